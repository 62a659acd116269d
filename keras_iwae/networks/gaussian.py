"""A Gaussian network: two heads on features, a mean and a standard deviation."""

from collections.abc import Sequence

import keras

from keras_iwae.foundation import FixedArguments, check_integer
from keras_iwae.networks.dense import dense_encoder
from keras_iwae.networks.initializers import derived_seed, glorot
from keras_iwae.networks.shapes import check_layer, features_shape


@keras.saving.register_keras_serializable("keras_iwae")
class GaussianNetwork(FixedArguments, keras.Layer):
    r"""Parameters of a diagonal Gaussian: $\mu = W_\mu h(x) + b_\mu$, $\sigma = \exp(W_\sigma h(x) + b_\sigma)$.

    Args:
        encoder: Keras layer or model from inputs `[B, ...]` to features `[B, F]`.
        latent_dim: D, the number of the Gaussian's dimensions.
        seed: seed of the heads' initial kernels.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `latent_dim` is no positive integer, or the encoder no Keras layer that gives vectors.

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, appendix: sigma is exp(linear).
    """

    parts = ("loc_head", "log_scale_head")

    def __init__(self, encoder: keras.Layer, latent_dim: int, seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        check_layer(encoder, "encoder")
        self.encoder, self.latent_dim, self.seed = encoder, check_integer("latent_dim", latent_dim), seed
        # Float32 under mixed precision too: the exponential of a half float would overflow early.
        self.loc_head, self.log_scale_head = (
            keras.layers.Dense(self.latent_dim, kernel_initializer=glorot(seed, i), dtype="float32", name=name)
            for i, name in enumerate(("loc", "log_scale"))
        )

    def get_config(self):
        encoder = keras.saving.serialize_keras_object(self.encoder)
        return {**super().get_config(), "encoder": encoder, "latent_dim": self.latent_dim, "seed": self.seed}

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
        return self.loc_head(features), keras.ops.exp(self.log_scale_head(features))

    def given(self, z, training=False):
        """Mean and standard deviation, float32 `[..., D]` each, given vectors `[..., F]` with any leading axes."""
        # One matrix product over all K * B rows, not K of them over B.
        parameters = self(keras.ops.reshape(z, (-1, z.shape[-1])), training=training)
        shape = (*keras.ops.shape(z)[:-1], self.latent_dim)
        loc, scale = (keras.ops.reshape(parameter, shape) for parameter in parameters)
        return loc, scale


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
