"""The standard normal prior, p(z) = N(0, I), the one of the IWAE paper."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.priors.base import Prior

tfd = tfp.distributions


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
    def distribution(self) -> tfp.distributions.MultivariateNormalDiag:
        return tfd.MultivariateNormalDiag(loc=tf.zeros(self.latent_dim), scale_diag=tf.ones(self.latent_dim))
