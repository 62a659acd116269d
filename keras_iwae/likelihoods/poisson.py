"""Poisson likelihood: independent counts whose variance is their mean."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.likelihoods.counts import CountLikelihood


@keras.saving.register_keras_serializable("keras_iwae")
class PoissonLikelihood(CountLikelihood):
    r"""$p(x|z) = \prod_d r_d^{x_d} e^{-r_d} / x_d!$ with rates $\log r(z)$ between -L and L.

    Args:
        max_log_mean: L, at most 40. Counts are up to exp(0.9 L), and to a million: $x \log r - r - \log x!$ is a
            difference of numbers of which float32 has no nat left beyond.
        seed: seed of the head's initial kernel; `None` is the model's.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `max_log_mean` is not above 0 and at most 40.

    Example:
        >>> model = IWAE(500, likelihood="poisson")
    """

    largest_count = 1e6

    def entries(self, parameters: tf.Tensor) -> tfp.distributions.Poisson:
        return tfp.distributions.Poisson(log_rate=self.log_mean(parameters))
