"""Binary posterior, q(z|x) = prod_d Bernoulli(z_d; sigmoid(l_d(x))): latents in {0, 1}, of no reparameterization."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import uniform_of_rows
from keras_iwae.posteriors.amortized import AmortizedPosterior

tfd = tfp.distributions


class _Coins(tfp.distributions.Bernoulli):
    """TFP's, with the same draws, by rows."""

    def _sample_n(self, n, seed=None):
        key, probabilities = tfp.random.sanitize_seed(seed), tf.sigmoid(self.logits)
        shape = tf.concat([[n], tf.shape(probabilities)], axis=0)
        uniform = uniform_of_rows(key, shape, axis=1)
        return tf.cast(uniform < probabilities, self.dtype)


@keras.saving.register_keras_serializable("keras_iwae")
class BernoulliPosterior(AmortizedPosterior):
    r"""Amortized independent Bernoullis: $q(z_d = 1 | x) = \sigma(W h(x) + b)_d$.

    Args:
        encoder: Keras layer or model from images `[B, *event_shape]` to features `[B, F]`.
        latent_dim: D, the number of binary latent units.
        seed: seed of the head's initial kernel.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `latent_dim` is no positive integer.

    Example:
        >>> posterior = BernoulliPosterior(dense_encoder(), latent_dim=200)
        >>> z, log_q = posterior.sample_and_log_prob(np.zeros((3, 784)), 7, tf.constant([0, 1]))
        >>> z.shape, log_q.shape
        (TensorShape([7, 3, 200]), TensorShape([7, 3]))

    References:
        Mnih, Rezende (2016), Variational inference for Monte Carlo objectives, section 4.
    """

    reparameterized = False

    def __init__(self, encoder: keras.Layer, latent_dim: int, seed: int = 0, **kwargs):
        super().__init__(encoder, latent_dim, seed, **kwargs)
        self.add_head(self.latent_dim, "logits")

    def call(self, images, training=False):
        """Return the logits, float32 `[B, D]`."""
        (logits,) = self.heads
        return logits(self.encoder(images, training=training))

    def distribution(self, x: tf.Tensor, training: bool = False) -> tfp.distributions.Independent:
        """The posterior of each image of `x` `[B, *event_shape]`, as a distribution of batch `[B]` and event `[D]`."""
        # TFP's Bernoulli is of integers by default; the decoder and the prior take floats.
        return tfd.Independent(_Coins(logits=self(x, training=training), dtype=tf.float32), 1)

    def reparameterize(self, distribution: tfp.distributions.Independent, z: tf.Tensor) -> tf.Tensor:
        """Raise: a draw in {0, 1} is a step function of the logits, whose derivative is zero or not there.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            'Invalid value received for `estimator`. Expected "vimco", "reinforce" or "rws": discrete latents are no '
            f"differentiable function of their parameters. Received: one that reparameterizes a {type(self).__name__}"
        )
