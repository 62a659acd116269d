"""A Gaussian network: two heads on features, a mean and a standard deviation."""

from collections.abc import Sequence

import keras
import numpy as np

from keras_iwae.foundation import MARK, FixedArguments, TakesFloat32, check_integer, check_number
from keras_iwae.networks.dense import checked_units, dense_encoder
from keras_iwae.networks.initializers import derived_seed, glorot
from keras_iwae.networks.shapes import check_layer, features_shape


@keras.saving.register_keras_serializable("keras_iwae")
class GaussianNetwork(TakesFloat32, FixedArguments, keras.Layer):
    r"""Parameters of a diagonal Gaussian: $\mu = W_\mu h(x) + b_\mu$, $\sigma = \exp(W_\sigma h(x) + b_\sigma)$.

    Args:
        encoder: Keras layer or model from inputs `[B, ...]` to features `[B, F]`.
        latent_dim: D, the number of the Gaussian's dimensions.
        seed: seed of the heads' initial kernels.
        log_scale_range: the lowest and the highest $\log \sigma$, where those beyond are cut off and have no gradient;
            `None` has no ends. What an encoder without bounds makes of one odd example, a $\sigma$ of a millionth, can
            end a training.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `latent_dim` is no positive integer, `log_scale_range` no two numbers of which the second is
            higher, or the encoder no Keras layer that gives vectors.

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, appendix: sigma is exp(linear).
        Tomczak, Welling (2018), VAE with a VampPrior, whose experiments keep the log variance between -6 and 2.
    """

    parts = ("loc_head", "log_scale_head")

    def __init__(
        self,
        encoder: keras.Layer,
        latent_dim: int,
        seed: int = 0,
        log_scale_range: Sequence[float] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.log_scale_range = _ends(log_scale_range)
        check_layer(encoder, "encoder")
        self.encoder, self.latent_dim, self.seed = encoder, check_integer("latent_dim", latent_dim), seed
        # Float32 under mixed precision too: the exponential of a half float would overflow early.
        self.loc_head, self.log_scale_head = (
            keras.layers.Dense(self.latent_dim, kernel_initializer=glorot(seed, i), dtype="float32", name=name)
            for i, name in enumerate(("loc", "log_scale"))
        )

    def get_config(self):
        encoder = keras.saving.serialize_keras_object(self.encoder)
        own = {"latent_dim": self.latent_dim, "seed": self.seed, "log_scale_range": self.log_scale_range}
        return {**super().get_config(), "encoder": encoder, **own}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "encoder": keras.saving.deserialize_keras_object(config["encoder"])})

    def build(self, input_shape):
        features = features_shape(self.encoder, input_shape)
        for head in (self.loc_head, self.log_scale_head):
            if not head.built:
                head.build(features)
        self.built = True

    def call(self, inputs, training=False):
        """Return the mean and the standard deviation, float32 `[B, D]` each, of inputs `[B, ...]`."""
        features = self.encoder(inputs, training=training)
        log_scale = self.log_scale_head(features)
        if self.log_scale_range is not None:
            log_scale = keras.ops.clip(log_scale, *self.log_scale_range)
        return self.loc_head(features), keras.ops.exp(log_scale)

    def given(self, z, training=False):
        """Mean and standard deviation, float32 `[..., D]` each, given vectors `[..., F]` with any leading axes."""
        # One matrix product over all K * B rows, not K of them over B.
        parameters = self(keras.ops.reshape(z, (-1, z.shape[-1])), training=training)
        shape = (*keras.ops.shape(z)[:-1], self.latent_dim)
        loc, scale = (keras.ops.reshape(parameter, shape) for parameter in parameters)
        return loc, scale


def _ends(given: Sequence[float] | None) -> tuple[float, float] | None:
    if given is None:
        return None
    ends = tuple(given) if isinstance(given, (list, tuple)) else ()
    try:
        low, high = (check_number("log_scale_range", end) for end in ends)
    except ValueError:
        low = high = 0.0
    if not low < high:
        raise ValueError(
            f"{MARK}log_scale_range`. Expected the lowest and the highest log of a scale, as (-3.0, 1.0). "
            f"Received: {given!r}"
        )
    return low, high


def checked_sizes(latent_dims: Sequence[int]) -> Sequence[int]:
    """Sizes of several stochastic layers.

    Raises:
        ValueError: which names `latent_dims`.
    """
    if not isinstance(latent_dims, (list, tuple, np.ndarray)) or not len(latent_dims):
        raise ValueError(f"{MARK}latent_dims`. Expected a size for each layer, as (100, 50). Received: {latent_dims!r}")
    return latent_dims


def checked_networks(hidden: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """Units of the layers of several networks.

    Raises:
        ValueError: which names `hidden`.
    """
    if not isinstance(hidden, (list, tuple)):
        raise ValueError(f"{MARK}hidden`. Expected units for each network, as ((100, 100),). Received: {hidden!r}")
    return tuple(tuple(checked_units(units)) for units in hidden)


def dense_gaussians(
    latent_dims: Sequence[int], hidden: Sequence[Sequence[int]], activation="tanh", seed: int = 0, dtype=None
) -> list[GaussianNetwork]:
    """One dense Gaussian network for each of `latent_dims`, with the units of the same place in `hidden` before it.

    Args:
        latent_dims: dimensions of each Gaussian.
        hidden: units of each network's dense layers, from its input to its heads.
        activation: a Keras activation, by name or callable, after every dense layer.
        seed: seed of all initial kernels, no two of which are alike.
        dtype: a Keras dtype or mixed-precision policy of the dense layers; `None` is the global one.

    Returns:
        the networks, in the order of `latent_dims`.

    Raises:
        ValueError: if `hidden` is not as long as `latent_dims`, or holds anything but positive integers.
    """
    if len(hidden) != len(latent_dims):
        raise ValueError(
            "Invalid value received for `hidden`. Expected a tuple of units for each pair of neighbouring latent "
            f"layers, {len(latent_dims)} in all. Received: {hidden}"
        )
    return [
        GaussianNetwork(
            # Indices 0 and 1 are those of the heads of a Gaussian network with this same seed.
            dense_encoder(units, activation, derived_seed(seed, 2 * i + 2), dtype, "trunk"),
            check_integer("latent_dims", latent_dim),
            derived_seed(seed, 2 * i + 3),
            dtype=dtype,
        )
        for i, (latent_dim, units) in enumerate(zip(latent_dims, hidden, strict=True))
    ]
