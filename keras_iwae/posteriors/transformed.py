"""Normal noise through a bijector: the distribution of every flow, with moments that are averages over fixed draws."""

import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import antithetic_noise, normal_of_rows

tfd = tfp.distributions

_DRAWS = 256


class TransformedNormal(tfp.distributions.TransformedDistribution):
    r"""$z = f(\epsilon)$, $\epsilon \sim N(0, I)$, and $\log q(z) = \log N(\epsilon; 0, I) - \log|\det f'(\epsilon)|$.

    A draw and its density need f only: TFP remembers the noise that a tensor came of. For a tensor that it has not
    drawn, it inverts f.

    The mean and the standard deviation have no closed form. They are averages over 256 draws of fixed noise, the same
    for every image, in pairs $\pm\epsilon$ of mean square 1: exact for a diagonal Gaussian, and else with a standard
    error of at most 1/11 of a standard deviation in the mean, and in the standard deviation, where q is near to normal,
    of 3% in two dimensions and 6% in many.
    """

    def _fixed_draws(self) -> tf.Tensor:
        noise = antithetic_noise(_DRAWS, int(self.event_shape[-1]))
        # Not by TFP's `batch_shape_tensor`, whose BroadcastArgs no other runtime has.
        shape = tf.shape(self.distribution.distribution.loc)
        return self.bijector.forward(tf.broadcast_to(noise, tf.concat([[_DRAWS], shape], axis=0)))

    def _mean(self):
        return tf.reduce_mean(self._fixed_draws(), axis=0)

    def _stddev(self):
        return tf.math.reduce_std(self._fixed_draws(), axis=0)


def transformed_normal(bijector: tfp.bijectors.Bijector, batch: tf.Tensor, latent_dim: int) -> TransformedNormal:
    """The distribution of f(noise).

    Args:
        bijector: f, of batch `[B]` and event `[D]`.
        batch: B, an int32 scalar.
        latent_dim: D.
    """
    noise = tfd.Independent(_Noise(tf.zeros([batch, latent_dim]), 1.0), 1)
    return TransformedNormal(noise, bijector)


class _Noise(tfp.distributions.Normal):
    """TFP's standard normal, with the same draws, by rows."""

    def _sample_n(self, n, seed=None):
        key = tfp.random.sanitize_seed(seed)
        shape = tf.concat([[n], tf.shape(self.loc)], axis=0)
        return normal_of_rows(key, shape, axis=1)
