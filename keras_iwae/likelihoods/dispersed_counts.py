"""Negative binomial counts of large means and dispersions too, as a TFP distribution."""

import math

import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.likelihoods.entry_distribution import EntryDistribution

_Properties = tfp.util.ParameterProperties
# Up to which a series stands for what would otherwise be a small difference.
_NEAR = 0.25
# From which on Stirling's series is right to float32.
_LARGE = 8.0
# In a denominator: below it a dispersion is of no weight in what it divides, and float32 has no square of its inverse.
_LEAST = 1e-10


class DispersedCounts(EntryDistribution):
    r"""$P(X = x) = \frac{\Gamma(x + r)}{\Gamma(r) \, x!} (1 - p)^r p^x$ with $p = m / (m + r)$.

    As a sum of its factors it is a difference of numbers of the size of $x \log(m + r)$, of which float32 has no nat
    left from about a million on. With $S(a)$ what is left of $\log \Gamma(a)$ by Stirling's formula it is

    $S(x + r) - S(r) - S(x + 1) + 1 - x \log(1 + \frac{1}{x}) - \frac12 \log 2 \pi \frac{(x + r) (x + 1)}{r}$
    $- M \phi(\frac{x}{M} - 1) - R \phi(\frac{r}{R} - 1)$

    with $\phi(t) = (1 + t) \log(1 + t) - t$, and with $M = m c$, $R = r c$, $c = (x + r) / (m + r)$, which are what x
    and r would be of their sum: two numbers of at least 0, which are small where x is near its mean.

    Args:
        log_mean: log m, float32.
        dispersion: r, float32, above 0.

    References:
        Loader (2000), Fast and accurate computation of binomial probabilities.
    """

    def __init__(self, log_mean: tf.Tensor, dispersion: tf.Tensor, name: str = "dispersed_counts"):
        parameters = dict(locals())
        with tf.name_scope(name) as name:
            self._log_mean, self._dispersion = log_mean, dispersion
            super().__init__(parameters, name)

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return {"log_mean": _Properties(event_ndims=0), "dispersion": _Properties(event_ndims=0)}

    def _log_prob(self, value):
        # Of one shape, as the slopes are; counts have none.
        shape = tf.broadcast_dynamic_shape(tf.shape(value), self.batch_shape_tensor())
        log_mean, dispersion = (tf.broadcast_to(each, shape) for each in (self._log_mean, self._dispersion))
        return _log_prob(tf.broadcast_to(tf.stop_gradient(value), shape), log_mean, dispersion)

    def _sample_n(self, n, seed=None):
        shape = tf.concat([[n], self.batch_shape_tensor()], axis=0)
        mean, r = (tf.broadcast_to(each, shape) for each in (tf.exp(self._log_mean), self._dispersion))
        gamma_seed, poisson_seed = tfp.random.split_seed(seed, salt="dispersed_counts")
        factor = tf.random.stateless_gamma(shape, gamma_seed, alpha=r, beta=r)
        return tf.random.stateless_poisson(shape, poisson_seed, mean * factor, tf.float32)

    def _mean(self):
        return tf.exp(self._log_mean) + tf.zeros_like(self._dispersion)

    def _variance(self):
        mean = tf.exp(self._log_mean)
        return mean + mean / self._dispersion * mean


@tf.custom_gradient
def _log_prob(x: tf.Tensor, log_mean: tf.Tensor, r: tf.Tensor):
    """log P(X = x), all of one shape. Slopes of the single factors overflow where it has none that do."""
    mean, total = tf.exp(log_mean), x + r
    divisor = tf.maximum(total, _LEAST)
    # Each by a division of its own: by the inverse of a quotient XLA makes a product that overflows.
    share, inverse_share = (mean + r) / divisor, divisor / (mean + r)
    # Not by m, which may be small.
    inverse = tf.exp(-log_mean)
    of_mean = _deviance((x - mean) * inverse * (r / divisor), x * inverse * share)
    of_dispersion = _deviance((mean - x) / divisor, share)
    corrections = _stirling(total) - _stirling(r) - _stirling(x + 1.0)
    logs = math.log(2.0 * math.pi) + tf.math.log(total) - tf.math.log(r) + tf.math.log1p(x)
    rest = 1.0 - x * tf.math.log1p(1.0 / tf.maximum(x, 1.0)) - 0.5 * logs

    def slopes(upstream: tf.Tensor) -> tuple[None, tf.Tensor, tf.Tensor]:
        by_log_mean = (x - mean) * (r / (mean + r))
        by_dispersion = _log_less_digamma(r) - _log_less_digamma(total) - inverse_share * of_dispersion
        return None, upstream * by_log_mean, upstream * by_dispersion

    return corrections + rest - inverse_share * (mean * of_mean + r * of_dispersion), slopes


def _deviance(t: tf.Tensor, above: tf.Tensor) -> tf.Tensor:
    r"""$\phi(t) = (1 + t) \log(1 + t) - t$ of t and 1 + t, each with all its digits."""
    is_near = tf.abs(t) < _NEAR
    near = tf.where(is_near, t, 0.0)
    # t^2 / 2 - t^3 / 6 + t^4 / 12 - ...
    series = tf.zeros_like(near)
    for power in range(14, 1, -1):
        series = series * near + (-1.0) ** power / (power * (power - 1.0))
    return tf.where(is_near, series * near * near, tf.math.xlogy(above, above) - t)


def _stirling(a: tf.Tensor) -> tf.Tensor:
    r"""$\log \Gamma(a) - (a - \frac12) \log a + a - \frac12 \log 2 \pi$ for a above 0."""
    is_large = a > _LARGE
    large, small = tf.where(is_large, a, _LARGE), tf.where(is_large, _LARGE, a)
    inverse = 1.0 / large
    series = inverse * (1.0 / 12.0 - inverse * inverse * (1.0 / 360.0 - inverse * inverse / 1260.0))
    exact = tf.math.lgamma(small) - (small - 0.5) * tf.math.log(small) + small - 0.5 * math.log(2.0 * math.pi)
    return tf.where(is_large, series, exact)


def _log_less_digamma(a: tf.Tensor) -> tf.Tensor:
    r"""$\log a - \psi(a)$ for a above 0."""
    is_large = a > _LARGE
    large, small = tf.where(is_large, a, _LARGE), tf.where(is_large, _LARGE, a)
    inverse = 1.0 / large
    square = inverse * inverse
    series = 0.5 * inverse + square * (1.0 / 12.0 - square * (1.0 / 120.0 - square / 252.0))
    return tf.where(is_large, series, tf.math.log(small) - tf.math.digamma(small))
