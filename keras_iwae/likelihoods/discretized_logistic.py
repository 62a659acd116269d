"""Discretized logistic likelihood: independent entries of whole numbers, such as 8-bit grey levels."""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import Support, check_integer
from keras_iwae.likelihoods.base import MOST_LEVELS, Likelihood
from keras_iwae.likelihoods.rounded_logistic import RoundedLogistic
from keras_iwae.likelihoods.scales import check_bound, positive

# Of the whole range of levels: where learning starts.
_START = 0.1
# Levels that are summed one by one. Of more, each entry would take memory for all, and the sum is an integral.
_FEW = 64


@keras.saving.register_keras_serializable("keras_iwae")
class DiscretizedLogisticLikelihood(Likelihood):
    r"""A logistic variable rounded to 0, ..., C - 1, the ends taking what lies beyond them.

    $p(x_d|z) = \sigma((x_d + \frac12 - \mu_d) / s_d) - \sigma((x_d - \frac12 - \mu_d) / s_d)$

    with $\mu(z)$ and $s(z)$ from the decoder, in units of C - 1. The encoder sees x / (C - 1).

    Args:
        levels: C, from 2 to 65,536; 256 for images of 8 bits.
        min_scale: smallest s in units of C - 1; below 0.1, where learning starts.
        seed: seed of the head's initial kernel; `None` is the model's.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `levels` is no such integer, or `min_scale` is not between 0 and 0.1.

    Example:
        >>> model = IWAE((28, 28, 1), likelihood="discretized_logistic")

    References:
        Kingma, Salimans, Jozefowicz, Chen, Sutskever, Welling (2016), Improved variational inference with inverse
        autoregressive flow, appendix on the ResNet VAE.
        Salimans, Karpathy, Chen, Kingma (2017), PixelCNN++, equation 2.
    """

    parameters = 2
    discrete = True
    has_location = True
    encoding = "levels"

    def __init__(self, levels: int = 256, min_scale: float = 0.001, seed: int | None = None, **kwargs):
        super().__init__(seed, **kwargs)
        self.levels = check_integer("levels", levels, at_least=2, at_most=MOST_LEVELS)
        self.support = Support(0.0, self.levels - 1.0, integers=True)
        self.min_scale = check_bound("min_scale", min_scale, _START)

    def get_config(self):
        return {**super().get_config(), "levels": self.levels, "min_scale": self.min_scale}

    def entries(self, parameters: tf.Tensor) -> tfp.distributions.Distribution:
        loc, raw = tf.unstack(parameters, axis=-1)
        largest = self.levels - 1.0
        return RoundedLogistic(largest * loc, largest * positive(raw, self.min_scale, _START), self.levels)

    def parameters_of_mean(self, mean: np.ndarray) -> np.ndarray:
        largest = self.levels - 1.0
        target = np.clip(mean / largest, 0.001, 0.999) * largest
        low, high = np.full(mean.shape, -1.0), np.full(mean.shape, 2.0)
        for _ in range(40):
            loc = 0.5 * (low + high)
            reached = _mean(largest * loc, largest * _START, self.levels)
            low, high = np.where(reached < target, loc, low), np.where(reached < target, high, loc)
        return self.first_parameters(loc)


def _mean(loc: np.ndarray, scale: float, levels: int) -> np.ndarray:
    r"""$\sum_{y = 1}^{C - 1} P(Y \ge y)$: not mu itself, of which the ends cut off what lies beyond them."""
    if levels <= _FEW:
        beyond = (np.arange(0.5, levels - 1.0) - loc[..., np.newaxis]) / scale
        return (0.5 - 0.5 * np.tanh(0.5 * beyond)).sum(axis=-1)
    # P(Y >= y) at y - 1/2, the middle of each of the levels - 1 units from 0 on: the integral over them, and less by
    # 1/24 of what the slope gains on the way, to the fourth order of 1 / scale.
    first, last = loc / scale, (loc - (levels - 1.0)) / scale
    whole = scale * (np.logaddexp(0.0, first) - np.logaddexp(0.0, last))
    slopes = [0.25 * (1.0 - np.tanh(0.5 * end) ** 2) / scale for end in (first, last)]
    return whole - (slopes[0] - slopes[1]) / 24.0
