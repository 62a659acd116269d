"""A mixture of diagonal Gaussians as a learned prior."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import (
    check_integer,
    check_seed,
    check_width,
    gaussian_mixture_log_prob,
    normal_of_rows,
    uniform_of_rows,
)
from keras_iwae.networks import derived_seed
from keras_iwae.priors.base import Prior

tfd = tfp.distributions

NUM_COMPONENTS = 500
# Of the means at the start, and what is left for each component: together N(0, 1) for every unit.
_BETWEEN = 0.5


@keras.saving.register_keras_serializable("keras_iwae")
class MixturePrior(Prior):
    r"""$p(z) = \sum_{m=1}^M \pi_m N(z; \mu_m, \mathrm{diag}(\sigma_m^2))$, all of whose parameters are learned.

    It starts with equal shares, means that are drawn, and mean 0 and variance 1 of every unit.

    Args:
        latent_dim: D, the number of latent units.
        num_components: M.
        seed: seed of the initial means.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if a number is no positive integer.

    Example:
        >>> IWAE((28, 28, 1), prior=MixturePrior(50, num_components=100))

    References:
        Tomczak, Welling (2018), VAE with a VampPrior, section 2, where it is the mixture of Gaussians that the
        VampPrior is compared with.
    """

    def __init__(self, latent_dim: int, num_components: int = NUM_COMPONENTS, seed: int = 0, **kwargs):
        super().__init__(latent_dim, **kwargs)
        self.num_components, self.seed = check_integer("num_components", num_components), check_seed("seed", seed)

    def get_config(self):
        return {**super().get_config(), "num_components": self.num_components, "seed": self.seed}

    def build(self, input_shape):
        shape, spread = (self.num_components, self.latent_dim), keras.initializers.RandomNormal
        start = spread(stddev=_BETWEEN**0.5, seed=derived_seed(self.seed, 0))
        within = keras.initializers.Constant(0.5 * tf.math.log(1.0 - _BETWEEN).numpy())
        # Float32 under mixed precision too, as densities are.
        self.loc = self.add_weight(shape=shape, initializer=start, name="loc", dtype="float32", autocast=False)
        self.log_scale = self.add_weight(
            shape=shape, initializer=within, name="log_scale", dtype="float32", autocast=False
        )
        self.logits = self.add_weight(
            shape=shape[:1], initializer="zeros", name="logits", dtype="float32", autocast=False
        )
        self.built = True

    @property
    def distribution(self) -> tfp.distributions.MixtureSameFamily:
        components = tfd.MultivariateNormalDiag(self.loc.value, tf.exp(self.log_scale.value))
        return tfd.MixtureSameFamily(tfd.Categorical(logits=self.logits.value), components)

    def log_prob(self, z: tf.Tensor, training: bool = False) -> tf.Tensor:
        """log p(z) in nats, `[K, B]`, of latents `[K, B, D]`."""
        check_width("latents", z, self.latent_dim)
        shares = tf.nn.log_softmax(self.logits.value)
        return gaussian_mixture_log_prob(z, self.loc.value, self.log_scale.value, shares)

    def sample(self, num_samples: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """N draws, float32 `[N, D]`; `seed`, int32 `[2]`, is a stateless one."""
        # TFP would draw from every component, and take one of them.
        which_seed, noise_seed = tf.unstack(tf.random.split(seed, 2))
        ends = tf.cumsum(tf.nn.softmax(self.logits.value))
        # Float32 sums may end short of 1: scaled by the last, none falls behind it.
        within = uniform_of_rows(which_seed, [num_samples], axis=0) * ends[-1]
        which = tf.minimum(tf.searchsorted(ends, within, side="right"), self.num_components - 1)
        noise = normal_of_rows(noise_seed, [num_samples, self.latent_dim], axis=0)
        return tf.gather(self.loc.value, which) + tf.gather(tf.exp(self.log_scale.value), which) * noise
