"""Gaussian posterior of full covariance, q(z|x) = N(z; mu(x), L(x) L(x)^T), with L lower triangular."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import normal_of_rows
from keras_iwae.posteriors.amortized import AmortizedPosterior


class FullGaussian(tfp.distributions.MultivariateNormalTriL):
    """TFP's, with the same draws, by rows."""

    def _call_sample_n(self, sample_shape, seed):
        key, draws = tfp.random.sanitize_seed(seed), tf.reshape(tf.cast(sample_shape, tf.int32), [-1])
        # The units before the rows, as TFP draws them.
        shape = tf.concat([draws, tf.reverse(tf.shape(self.loc), [0])], axis=0)
        rank = shape.shape[0]
        noise = normal_of_rows(key, shape, axis=rank - 1)
        noise = tf.transpose(noise, [*range(rank - 2), rank - 1, rank - 2])
        return self.loc + self.scale.matvec(noise)


@keras.saving.register_keras_serializable("keras_iwae")
class FullCovariancePosterior(AmortizedPosterior):
    r"""Amortized Gaussian of any covariance: $\mu$ and $L$ are linear in $h(x)$, but for $L$'s diagonal, exp(linear).

    L has D (D + 1) / 2 entries, where the diagonal Gaussian has D standard deviations.

    Args:
        encoder: Keras layer or model from images `[B, *event_shape]` to features `[B, F]`.
        latent_dim: D, the number of latent units.
        seed: seed of the heads' initial kernels.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `latent_dim` is no positive integer.

    Example:
        >>> posterior = FullCovariancePosterior(dense_encoder(), latent_dim=50)
        >>> posterior.distribution(np.zeros((3, 784))).covariance().shape
        TensorShape([3, 50, 50])

    References:
        Kingma, Welling (2019), An introduction to variational autoencoders, section 2.5.1.
    """

    def __init__(self, encoder: keras.Layer, latent_dim: int, seed: int = 0, **kwargs):
        super().__init__(encoder, latent_dim, seed, **kwargs)
        self.add_head(self.latent_dim, "loc")
        self.add_head(self.latent_dim * (self.latent_dim + 1) // 2, "scale_tril", gain=0.1)

    def call(self, images, training=False):
        """Return the mean `[B, D]` and L `[B, D, D]`, float32."""
        features = self.encoder(images, training=training)
        loc, entries = (head(features) for head in self.heads)
        return loc, tfp.bijectors.FillScaleTriL(diag_bijector=tfp.bijectors.Exp(), diag_shift=None)(entries)

    def distribution(self, x: tf.Tensor, training: bool = False) -> tfp.distributions.MultivariateNormalTriL:
        """The posterior of each image of `x` `[B, *event_shape]`, as a distribution of batch `[B]` and event `[D]`."""
        loc, scale_tril = self(x, training=training)
        return FullGaussian(loc=loc, scale_tril=scale_tril)
