r"""The rate of counts from any number: an exponential near 0 that cannot overflow far out.

$\log r = L \tanh(a / L)$, which is a to a hundredth for |a| below L / 6 and stays between -L and L.
A mean near its ends is hardly moved by a, and one beyond them is never learned: counts are up to $e^{0.9 L}$.
"""

import math

import numpy as np
import tensorflow as tf

from keras_iwae.foundation import MARK, Support, check_positive_float32
from keras_iwae.likelihoods.base import Likelihood

# exp of it is what float32 holds, with room for a product of two.
_LARGEST = 40.0
# Of L, up to which log r is a fifth as steep as a, or steeper.
_WITHIN_REACH = 0.9


class CountLikelihood(Likelihood):
    """Whole numbers from 0 on whose log mean the decoder gives, and what the encoder sees is log(1 + x).

    Args:
        max_log_mean: L, between which and its negative the log of the mean stays; at most 40. Counts are up to
            exp(0.9 L), 66 million for 20.
        seed: seed of the head's initial kernel; `None` is the model's.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `max_log_mean` is not above 0 and at most 40.
    """

    discrete = True
    encoding = "log1p"
    # Beyond them float32 has no digits left for a probability.
    largest_count = Support().most

    def __init__(self, max_log_mean: float = 20.0, seed: int | None = None, **kwargs):
        super().__init__(seed, **kwargs)
        self.max_log_mean = check_positive_float32("max_log_mean", max_log_mean)
        if max_log_mean > _LARGEST:
            raise ValueError(f"{MARK}max_log_mean`. Expected at most {_LARGEST:g}. Received: {max_log_mean}")
        most = min(math.exp(_WITHIN_REACH * self.max_log_mean), self.largest_count)
        self.support = Support(low=0.0, integers=True, most=most)

    def get_config(self):
        return {**super().get_config(), "max_log_mean": self.max_log_mean}

    def log_mean(self, raw: tf.Tensor) -> tf.Tensor:
        """Log of the mean, of any number."""
        return self.max_log_mean * tf.tanh(raw / self.max_log_mean)

    def parameters_of_mean(self, mean: np.ndarray) -> np.ndarray:
        # A count that never came in training may come later.
        share = np.log(np.maximum(mean, 1e-3)) / self.max_log_mean
        return self.first_parameters(self.max_log_mean * np.arctanh(np.clip(share, -0.99, 0.99)))
