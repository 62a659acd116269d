"""The standard normal prior, p(z) = N(0, I), the one of the IWAE paper."""

import keras
import tensorflow as tf

from keras_iwae.foundation import DiagonalGaussian, check_width, normal_of_rows, standard_normal_log_prob
from keras_iwae.priors.base import Prior


@keras.saving.register_keras_serializable("keras_iwae")
class StandardNormalPrior(Prior):
    """$p(z) = N(0, I)$.

    Args:
        latent_dim: D, the number of latent units.
        **kwargs: passed to `keras.Layer`.

    Example:
        >>> StandardNormalPrior(50).log_prob(tf.zeros([7, 3, 50])).shape
        TensorShape([7, 3])

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, section 2.
    """

    @property
    def distribution(self) -> DiagonalGaussian:
        return DiagonalGaussian(loc=tf.zeros(self.latent_dim), scale_diag=tf.ones(self.latent_dim))

    def log_prob(self, z: tf.Tensor, training: bool = False) -> tf.Tensor:
        """log N(z; 0, I) in nats, `[K, B]`, of latents `[K, B, D]`."""
        if self._has_another_than(StandardNormalPrior):
            return super().log_prob(z, training)
        check_width("latents", z, self.latent_dim)
        return standard_normal_log_prob(tf.cast(z, tf.float32))

    def sample(self, num_samples: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """N draws, float32 `[N, D]`; `seed`, int32 `[2]`, is a stateless one."""
        if self._has_another_than(StandardNormalPrior):
            return super().sample(num_samples, seed)
        return normal_of_rows(seed, [num_samples, self.latent_dim], axis=0)
