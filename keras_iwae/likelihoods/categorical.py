"""Categorical likelihood: independent entries with a probability of their own for each of some levels."""

import math

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import MARK, Support, check_integer, softmax
from keras_iwae.likelihoods.base import MOST_LEVELS, Likelihood

# Logits of one event: 64 MiB for each sample, and a head that is as many times as large as there are features.
_MOST_LOGITS = 2**24


@keras.saving.register_keras_serializable("keras_iwae")
class CategoricalLikelihood(Likelihood):
    r"""$p(x|z) = \prod_d \mathrm{softmax}(l_d(z))_{x_d}$ for whole numbers x from 0 to C - 1.

    The encoder sees x one-hot. `mean` is the expected number, which has a meaning where the levels are in an order.

    Args:
        levels: C, from 2 to 65,536. An event of D entries has C D logits, of which there may be 2^24.
        seed: seed of the head's initial kernel; `None` is the model's.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `levels` is no such integer.

    Example:
        >>> model = IWAE((8, 8, 1), likelihood=CategoricalLikelihood(levels=17))

    References:
        Van den Oord, Kalchbrenner, Kavukcuoglu (2016), Pixel recurrent neural networks, section 3.4.
    """

    encoding = "one_hot"
    discrete = True

    def __init__(self, levels: int, seed: int | None = None, **kwargs):
        super().__init__(seed, **kwargs)
        self.levels = self.parameters = check_integer("levels", levels, at_least=2, at_most=MOST_LEVELS)
        self.support = Support(0.0, self.levels - 1.0, integers=True)

    def describe_events(self, event_shape: tuple[int, ...], seed: int, features: bool = False) -> None:
        entries = math.prod(event_shape)
        if entries * self.levels > _MOST_LOGITS:
            raise ValueError(
                f"{MARK}levels`. Expected at most {_MOST_LOGITS // entries} for events of {entries} entries, as each "
                f"level of each has a logit; a DiscretizedLogisticLikelihood has none. Received: {self.levels}"
            )
        super().describe_events(event_shape, seed, features)

    def get_config(self):
        return {**super().get_config(), "levels": self.levels}

    def entries(self, parameters: tf.Tensor) -> tfp.distributions.Categorical:
        return tfp.distributions.Categorical(logits=parameters, dtype=tf.float32)

    def entry_log_prob(self, x: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        # TFP cuts off what follows the point, and 6.9999995 is what float32 makes of a 7.
        return super().entry_log_prob(tf.round(x), parameters)

    def mean_of(self, parameters: tf.Tensor) -> tf.Tensor:
        return self.moments_of(parameters)[0]

    def moments_of(self, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        probabilities, numbers = self.level_probabilities(parameters), tf.range(self.levels, dtype=tf.float32)
        # No matrix product: oneDNN's, of a tensor of rank 4 with an axis of 1 by a matrix, writes past its end in
        # TensorFlow 2.21 (its issue 117700), and ends the process.
        centre = tf.round(tf.reduce_sum(probabilities * numbers, axis=-1))
        # From the level next to the mean: squares of levels are large, and their difference has no digits left.
        offsets = numbers - centre[..., tf.newaxis]
        first = tf.reduce_sum(probabilities * offsets, axis=-1)
        variance = tf.reduce_sum(probabilities * offsets**2, axis=-1) - first**2
        return centre + first, tf.sqrt(tf.maximum(variance, 0.0))

    def served(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """As everywhere, and `probabilities` of all levels, `[..., *event_shape, C]`."""
        parameters = self(features)
        return {**self._served_moments(parameters), "probabilities": self.level_probabilities(parameters)}

    def level_probabilities(self, parameters: tf.Tensor) -> tf.Tensor:
        if not self.says_as(CategoricalLikelihood):
            return super().level_probabilities(parameters)
        return softmax(parameters)

    def parameters_of_mean(self, mean: np.ndarray) -> np.ndarray:
        """Logits that are linear in the level: of all distributions with this mean the one of largest entropy."""
        numbers = np.arange(self.levels)
        low, high = np.full(mean.shape, -30.0), np.full(mean.shape, 30.0)
        target = np.clip(mean / (self.levels - 1), 0.01, 0.99) * (self.levels - 1)
        for _ in range(60):
            slope = 0.5 * (low + high)
            weights = np.exp(slope[..., np.newaxis] * (numbers - (self.levels - 1) * (slope > 0)[..., np.newaxis]))
            reached = (weights * numbers).sum(axis=-1) / weights.sum(axis=-1)
            low, high = np.where(reached < target, slope, low), np.where(reached < target, high, slope)
        logits = slope[..., np.newaxis] * numbers
        return logits - logits.mean(axis=-1, keepdims=True)
