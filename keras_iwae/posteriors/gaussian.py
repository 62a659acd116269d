"""Diagonal Gaussian posterior, q(z|x) = N(z; mu(x), diag(sigma(x)^2)), the one of the IWAE paper."""

import keras
import tensorflow as tf

from keras_iwae.foundation import DiagonalGaussian
from keras_iwae.networks import GaussianNetwork
from keras_iwae.posteriors.base import Posterior


@keras.saving.register_keras_serializable("keras_iwae")
class GaussianPosterior(Posterior, GaussianNetwork):
    r"""Amortized diagonal Gaussian: $\mu = W_\mu h(x) + b_\mu$, $\sigma = \exp(W_\sigma h(x) + b_\sigma)$.

    Args:
        encoder: Keras layer or model from images `[B, *event_shape]` to features `[B, F]`.
        latent_dim: D, the number of latent units.
        seed: seed of the heads' initial kernels.
        log_scale_range: the lowest and the highest $\log \sigma$; `None` has no ends.
        **kwargs: passed to `keras.Layer`.

    Example:
        >>> posterior = GaussianPosterior(dense_encoder(), latent_dim=50)
        >>> z, log_q = posterior.sample_and_log_prob(np.zeros((3, 784)), 7, tf.constant([0, 1]))
        >>> z.shape, log_q.shape
        (TensorShape([7, 3, 50]), TensorShape([7, 3]))

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, section 2 and appendix A.
    """

    def distribution(self, x: tf.Tensor, training: bool = False) -> DiagonalGaussian:
        """The posterior of each image of `x` `[B, *event_shape]`, as a distribution of batch `[B]` and event `[D]`."""
        loc, scale = self(x, training=training)
        return DiagonalGaussian(loc=loc, scale_diag=scale)
