"""The prior of several stochastic layers, p(z) = p(z_L) p(z_{L-1}|z_L) ... p(z_1|z_2)."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_iwae.foundation import MARK, DiagonalGaussian, check_integer, check_width
from keras_iwae.networks import check_activation, checked_networks, checked_sizes, dense_gaussians
from keras_iwae.priors.base import Prior
from keras_iwae.priors.standard_normal import StandardNormalPrior


@keras.saving.register_keras_serializable("keras_iwae")
class HierarchicalPrior(Prior):
    r"""$p(z) = p(z_L) \prod_{l<L} N(z_l; \mu_l(z_{l+1}), \mathrm{diag}(\sigma_l(z_{l+1})^2))$, dense networks.

    The decoder sees z_1 only.

    Args:
        latent_dims: D_1, ..., D_L, the number of latent units of each layer, the one nearest the data first.
        hidden: a tuple of units for each p(z_l | z_{l+1}), the one nearest the data first, each from z_{l+1} to z_l.
        activation: a Keras activation, by name or callable, after every dense layer.
        seed: seed of the initial kernels.
        top: p(z_L), the prior of the last layer; `None` is N(0, I).
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `hidden` is not one tuple shorter than `latent_dims`, a size is no positive integer, there
            is no such activation, or `top` is no prior of D_L units, or made of the posterior.

    Example:
        >>> prior = HierarchicalPrior((100, 50), ((100, 100),))
        >>> z = prior.sample(7, tf.constant([0, 1]))
        >>> z.shape, prior.log_prob(z).shape, prior.decoded(z).shape
        (TensorShape([7, 150]), TensorShape([7]), TensorShape([7, 100]))

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, section 2 and appendix.
    """

    parts = ("networks",)

    def __init__(
        self,
        latent_dims: Sequence[int],
        hidden: Sequence[Sequence[int]],
        activation="tanh",
        seed: int = 0,
        top: Prior | None = None,
        **kwargs,
    ):
        sizes = tuple(check_integer("latent_dims", size) for size in checked_sizes(latent_dims))
        super().__init__(sum(sizes), **kwargs)
        self.latent_dims, self.decoded_dim = sizes, sizes[0]
        self.hidden, self.seed = checked_networks(hidden), seed
        check_activation("activation", activation)
        self.activation = keras.activations.get(activation)
        self.networks = tuple(dense_gaussians(self.latent_dims[:-1], self.hidden, activation, seed, self.dtype_policy))
        self._given = top
        top = StandardNormalPrior(sizes[-1], name="top") if top is None else top
        if not isinstance(top, Prior) or top.decoded_dim != top.latent_dim or top.latent_dim != sizes[-1]:
            raise ValueError(f"{MARK}top`. Expected a prior of {sizes[-1]} units of one layer. Received: {top!r}")
        if top.through_posterior:
            raise ValueError(
                f"{MARK}top`. Expected a prior that is not made of the posterior, which is one of all layers. Received:"
                f" a {type(top).__name__}"
            )
        self.top = top

    def get_config(self):
        config = super().get_config()
        del config["latent_dim"]
        activation = keras.activations.serialize(self.activation)
        own = {"latent_dims": self.latent_dims, "hidden": self.hidden, "activation": activation, "seed": self.seed}
        return {**config, **own, "top": keras.saving.serialize_keras_object(self._given)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "top": keras.saving.deserialize_keras_object(config["top"])})

    def build(self, input_shape):
        for network, above in zip(self.networks, self.latent_dims[1:], strict=True):
            if not network.built:
                network.build((None, above))
        if not self.top.built:
            self.top.build((None, self.latent_dims[-1]))
        self.built = True

    def log_prob(self, z: tf.Tensor, training: bool = False) -> tf.Tensor:
        """log p(z) in nats, `[K, B]`, of latents `[K, B, D]`: the sum over layers of log p(z_l | z_{l+1}).

        Args:
            z: latents `[..., D]`, all layers.
            training: whether the networks run in training mode.

        Returns:
            float32 `[...]`.
        """
        check_width("latents", z, self.latent_dim)
        layers = tf.split(tf.cast(z, tf.float32), self.latent_dims, axis=-1)
        terms = [self.top.log_prob(layers[-1], training)]
        for network, below, above in zip(self.networks, layers[:-1], layers[1:], strict=True):
            terms.append(DiagonalGaussian(*network.given(above, training)).log_prob(below))
        return tf.add_n(terms)

    def sample(self, num_samples: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Ancestral draws, z_L first.

        Args:
            num_samples: N.
            seed: int32 `[2]`, a stateless seed.

        Returns:
            float32 `[N, D]`, all layers.
        """
        top_seed, *seeds = tf.unstack(tf.random.split(seed, len(self.latent_dims)))
        layers = [self.top.sample(num_samples, top_seed)]
        for network, layer_seed in zip(self.networks[::-1], seeds, strict=True):
            layers.insert(0, DiagonalGaussian(*network.given(layers[0])).sample(seed=layer_seed))
        return tf.concat(layers, axis=-1)

    def of_noise(self, noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        *others, last = tf.split(noise, self.latent_dims, axis=-1)
        z, log_prob = self.top.of_noise(last)
        layers, log_probs = [z], [log_prob]
        for network, each in zip(self.networks[::-1], others[::-1], strict=True):
            z, log_prob = DiagonalGaussian(*network.given(layers[0])).of_noise(each)
            layers.insert(0, z)
            log_probs.append(log_prob)
        return tf.concat(layers, axis=-1), tf.add_n(log_probs)

    def decoded(self, z: tf.Tensor) -> tf.Tensor:
        """z_1, `[..., D_1]`, of latents `[..., D]`."""
        return z[..., : self.decoded_dim]
