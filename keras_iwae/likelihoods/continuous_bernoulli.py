"""Continuous Bernoulli likelihood: independent entries between 0 and 1, with a density."""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import Support
from keras_iwae.likelihoods.base import Likelihood

# The mean of a logit l is within 1 / l of 1: beyond it there is nothing left to fit.
_STEEPEST = 1000.0


@keras.saving.register_keras_serializable("keras_iwae")
class ContinuousBernoulliLikelihood(Likelihood):
    r"""$p(x|z) = \prod_d C(l_d) \, \sigma(l_d)^{x_d} (1 - \sigma(l_d))^{1 - x_d}$ for x in [0, 1], logits $l(z)$.

    $C(l) = l \, \coth(l / 2)$, 2 at l = 0, makes it a density, which the Bernoulli's cross-entropy of grey levels is
    not: the two differ by nats that depend on l.

    Args:
        seed: seed of the head's initial kernel; `None` is the model's.
        **kwargs: passed to `keras.Layer`.

    Example:
        >>> model = IWAE((28, 28, 1), likelihood="continuous_bernoulli")

    References:
        Loaiza-Ganem, Cunningham (2019), The continuous Bernoulli: fixing a pervasive error in variational autoencoders.
    """

    support = Support(0.0, 1.0)

    def entries(self, parameters: tf.Tensor) -> tfp.distributions.ContinuousBernoulli:
        return tfp.distributions.ContinuousBernoulli(logits=parameters)

    def parameters_of_mean(self, mean: np.ndarray) -> np.ndarray:
        target = np.clip(mean, 0.001, 0.999)
        low, high = np.full(mean.shape, -_STEEPEST), np.full(mean.shape, _STEEPEST)
        for _ in range(60):
            logits = 0.5 * (low + high)
            low, high = np.where(_mean(logits) < target, logits, low), np.where(_mean(logits) < target, high, logits)
        return logits


def _mean(logits: np.ndarray) -> np.ndarray:
    r"""$1 / (1 - e^{-l}) - 1 / l$, which is $1/2 + l / 12$ near 0."""
    away = np.where(np.abs(logits) < 1e-3, 1.0, logits)
    with np.errstate(over="ignore"):
        return np.where(np.abs(logits) < 1e-3, 0.5 + logits / 12.0, -1.0 / np.expm1(-away) - 1.0 / away)
