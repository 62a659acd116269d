r"""Pareto k-hat: how heavy the tail of an image's importance weights is, from its largest weights alone.

A generalized Pareto distribution is fitted to the n weights $a_1 \le ... \le a_n$ above the first that is no longer of
the tail, less that one. With $\theta_i$ a grid of $m = 30 + \lfloor \sqrt n \rfloor$ places below $1 / a_n$,

    k(theta) = mean_j log(1 - theta a_j),    l(theta) = n (log(-theta / k(theta)) - k(theta) - 1),

k-hat is $k(\hat\theta)$ at the mean of the grid under weights $\propto e^{l(\theta_i)}$, drawn towards 0.5 as if by ten
further weights. It is made of sums over a tail whose length is masked, so that a served graph gives it as well.

References:
    Zhang, Stephens (2009), A new and efficient estimation method for the generalized Pareto distribution, section 3.
    Vehtari, Simpson, Gelman, Yao, Gabry (2024), Pareto smoothed importance sampling, section 3 and appendix C.
"""

import math

import numpy as np
import tensorflow as tf

from keras_iwae.foundation import softmax

# Vehtari et al. (2024): above it the error of an importance-sampled mean is not to be trusted at any affordable K.
UNRELIABLE_K = 0.7
# Below five weights in the tail there is nothing to fit.
_LEAST_TAIL = 5
# Of the sum of a tail: weights of which there are too few to judge them do no harm below it.
_LITTLE = 0.1
# Log weights of hundreds of nats are rounded to about this in float32.
_ROUNDING = 1e-4
# Relative to the largest: weights that float64 has no number for are not of the tail.
_LEAST_LOG = math.log(np.finfo(np.float64).tiny)
_GRID, _PRIOR_THETA = 30, 3.0
_PRIOR_K, _PRIOR_WEIGHTS = 0.5, 10.0
# Images whose tails are fitted together: memory grows neither with their number nor, to speak of, with K.
_TOGETHER = 100


def tail_length(num_samples: int) -> int:
    r"""Weights that make up the tail, $\lceil \min(K / 5, 3 \sqrt{K}) \rceil$."""
    return math.ceil(min(num_samples / 5.0, 3.0 * math.sqrt(num_samples)))


def pareto_k(largest: np.ndarray, num_samples: int) -> np.ndarray:
    r"""Shape k-hat of a generalized Pareto distribution fitted to the largest of K weights of each image.

    The weights have finite moments up to order 1 / k: below 0.5 the central limit theorem holds as usual, up to 0.7 the
    error shrinks fast enough in practice, and above it the estimate and its stated error are not to be trusted.

    Args:
        largest: the largest log weights of each image, the largest first, `[N, n]` with n above `tail_length(K)`.
        num_samples: K.

    Returns:
        float64 `[N]`: 0 where all weights are equal, NaN for K below 21, where the tail is too short for a fit.

    Example:
        >>> log_weights = np.random.default_rng(0).normal(size=(3, 5000))
        >>> pareto_k(np.sort(log_weights)[:, ::-1], 5000).round(1)
        array([0.1, 0.2, 0.3])
    """
    largest = np.asarray(largest)
    parts = [largest[begin : begin + _TOGETHER] for begin in range(0, len(largest), _TOGETHER)]
    return np.concatenate([np.zeros(0), *(pareto_k_of(tf.constant(part), num_samples).numpy() for part in parts)])


def pareto_k_of(largest: tf.Tensor, num_samples: int) -> tf.Tensor:
    """As `pareto_k`, of a tensor, in a graph too; infinity where the tail cannot be fitted."""
    length = tail_length(num_samples)
    if length < _LEAST_TAIL:
        return tf.fill(tf.shape(largest)[:1], tf.constant(math.nan, tf.float64))
    logs = tf.cast(largest[:, : length + 1], tf.float64)
    logs -= logs[:, :1]
    # What is equal to the first weight below the tail is not of it.
    cut = tf.maximum(logs[:, -1:], _LEAST_LOG)
    # Discrete latents have few weights, each many times. Such a tail begins at 0, if those above it have little of it.
    higher = logs[:, :-1] > cut + _ROUNDING
    few = tf.reduce_sum(tf.cast(higher, tf.int32), axis=1, keepdims=True) < _LEAST_TAIL
    tail = tf.exp(logs[:, :-1])
    of_few = tf.reduce_sum(tf.where(higher, tail, 0.0), axis=1, keepdims=True)
    ties = few & (cut > _LEAST_LOG) & (of_few < _LITTLE * tf.reduce_sum(tail, axis=1, keepdims=True))
    cut = tf.where(ties, tf.constant(-math.inf, tf.float64), cut)
    in_tail = logs[:, :-1] > cut
    above = tf.where(in_tail, tail - tf.exp(cut), 0.0)
    count = tf.reduce_sum(tf.cast(in_tail, tf.int32), axis=1)
    number = tf.cast(tf.maximum(count, 1), tf.float64)

    def mean_log(theta: tf.Tensor) -> tf.Tensor:
        """k(theta), `[N, m]`."""
        return tf.reduce_sum(tf.math.log1p(-theta[:, :, tf.newaxis] * above[:, tf.newaxis]), -1) / number[:, tf.newaxis]

    # A lower quartile, in the order from the largest on.
    place = tf.maximum(count - tf.cast(number / 4.0 + 0.5, tf.int32), 0)
    quartile = tf.gather(above, tf.minimum(place, length - 1), batch_dims=1)[:, tf.newaxis]
    size = _GRID + tf.floor(tf.sqrt(number))[:, tf.newaxis]
    steps = tf.range(1.0, _GRID + math.isqrt(length) + 1.0, dtype=tf.float64)
    on_grid = steps <= size
    theta = (1.0 - tf.sqrt(size / (steps - 0.5))) / (_PRIOR_THETA * quartile) + 1.0 / above[:, :1]
    shapes = mean_log(theta)
    fits = number[:, tf.newaxis] * (tf.math.log(-theta / shapes) - shapes - 1.0)
    # At theta = 0, which equal weights alone have on the grid, it is a limit that is left out.
    weights = softmax(tf.where(on_grid & (theta != 0.0), fits, -math.inf))
    best = tf.reduce_sum(tf.where(on_grid, weights * theta, 0.0), axis=1, keepdims=True)
    found = (number * mean_log(best)[:, 0] + _PRIOR_WEIGHTS * _PRIOR_K) / (number + _PRIOR_WEIGHTS)
    fitted = tf.where((count < _LEAST_TAIL) | tf.math.is_nan(found), tf.constant(math.inf, tf.float64), found)
    return tf.where(-logs[:, -1] < _ROUNDING, tf.constant(0.0, tf.float64), fitted)
