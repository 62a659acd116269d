"""The prior of binary latents: fair coins."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import uniform_of_rows
from keras_iwae.priors.base import Prior

tfd = tfp.distributions


@keras.saving.register_keras_serializable("keras_iwae")
class BernoulliPrior(Prior):
    r"""Fair coins, $p(z) = 2^{-D}$ for z in $\{0, 1\}^D$, as float32.

    Args:
        latent_dim: D, the number of binary latent units.
        **kwargs: passed to `keras.Layer`.

    Example:
        >>> BernoulliPrior(3).sample(2, tf.constant([0, 1])).shape
        TensorShape([2, 3])

    References:
        Mnih, Rezende (2016), Variational inference for Monte Carlo objectives, section 4.
    """

    @property
    def distribution(self) -> tfp.distributions.Independent:
        return tfd.Independent(tfd.Bernoulli(logits=tf.zeros(self.latent_dim), dtype=tf.float32), 1)

    def sample(self, num_samples: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """N draws, float32 `[N, D]`; `seed`, int32 `[2]`, is a stateless one."""
        if self._has_another_than(BernoulliPrior):
            return super().sample(num_samples, seed)
        return tf.cast(uniform_of_rows(seed, [num_samples, self.latent_dim], axis=0) < 0.5, tf.float32)
