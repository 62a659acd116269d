"""Arithmetic that must not lose digits: means of exponentials, effective sample sizes, fixed noise."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf


def log_mean_exp(x: tf.Tensor, axis: int = 0) -> tf.Tensor:
    r"""Logarithm of the mean of exponentials, $\log \frac{1}{K} \sum_k e^{x_k}$, without overflow.

    Args:
        x: float tensor; along `axis` lie the K terms.
        axis: the axis to reduce.

    Returns:
        `x` without `axis`. Minus infinity where every term is.

    Example:
        >>> float(log_mean_exp(tf.constant([-1000.0, -1000.0])))
        -1000.0
    """
    count = tf.cast(tf.shape(x)[axis], x.dtype)
    return tf.reduce_logsumexp(x, axis=axis) - tf.math.log(count)


def log_power_mean(x: tf.Tensor, power: float, axis: int = 0) -> tf.Tensor:
    r"""$\frac{1}{p} \log \frac{1}{K} \sum_k e^{p x_k}$, which is the mean of x where p goes to 0.

    For small p the exponentials are all near 1 and their logarithm near 0, and dividing it by p would leave few digits.
    With m the mean of x, $m + \frac{1}{p} \mathrm{log1p}(\frac{1}{K} \sum_k \mathrm{expm1}(p (x_k - m)))$ keeps them.

    Args:
        x: float tensor; along `axis` lie the K terms.
        power: p, any number but 0.
        axis: the axis to reduce.

    Returns:
        `x` without `axis`.
    """
    if power == 1.0:
        return log_mean_exp(x, axis)
    middle = tf.reduce_mean(x, axis=axis, keepdims=True)
    scaled = power * (x - middle)
    near = tf.math.log1p(tf.reduce_mean(tf.math.expm1(tf.clip_by_value(scaled, -1.0, 1.0)), axis=axis)) / power
    is_near = tf.reduce_max(tf.abs(scaled), axis=axis) < 1.0
    largest = tf.stop_gradient(largest_power(x, power, axis))
    far = tf.squeeze(largest, axis) + log_mean_exp(power * (x - largest), axis) / power
    return tf.where(is_near, tf.squeeze(middle, axis) + near, far)


def largest_power(x: tf.Tensor, power: float, axis: int = 0) -> tf.Tensor:
    r"""The x_k of which $e^{p x_k}$ is largest, with `axis` of length 1; 0 where it is infinite."""
    largest = (tf.reduce_max if power > 0.0 else tf.reduce_min)(x, axis=axis, keepdims=True)
    return tf.where(tf.math.is_finite(largest), largest, 0.0)


def log_share_without_each(x: tf.Tensor, axis: int = 0) -> tf.Tensor:
    r"""$\log (\sum_{j \ne k} e^{x_j} / \sum_j e^{x_j})$ for each k, without a pass for each and without losing digits.

    It is $\log(1 - v_k)$, v_k the share of term k, where that is at most a half, as it is of all but the largest. Of
    the largest, next to which the others may be nothing, it is that of the sum of the others themselves.

    Args:
        x: float tensor; along `axis` lie the K >= 2 terms.
        axis: the axis to reduce.

    Returns:
        of the shape of `x`.

    Example:
        >>> log_share_without_each(tf.constant([0.0, 0.0, -200.0])).numpy().round(3)
        array([-0.693, -0.693, -0.   ], dtype=float32)
    """
    largest = tf.one_hot(tf.argmax(x, axis), tf.shape(x)[axis], True, False, axis=axis, dtype=tf.bool)
    x -= tf.stop_gradient(tf.reduce_max(x, axis, keepdims=True))
    shares = x - tf.reduce_logsumexp(x, axis, keepdims=True)
    # The share of the largest is not looked at on the right, nor its slope, which would be NaN.
    small = tf.where(largest, x.dtype.min, shares)
    return tf.where(largest, tf.reduce_logsumexp(small, axis, keepdims=True), tf.math.log1p(-tf.exp(small)))


def softmax(logits: tf.Tensor, axis: int = -1) -> tf.Tensor:
    r"""$e^{l_k} / \sum_j e^{l_j}$ along an axis, the same of equal logits wherever they stand among full lanes.

    Lanes are the eight or sixteen numbers that an instruction works on; what is left over goes to another one, which
    may round the last digit otherwise. TensorFlow's own works a block of the tensor at a time, and has such rests at
    the end of each. Along an axis that is not the last it transposes twice, too.

    Args:
        logits: float tensor; along `axis` lie the K terms, not all of them minus infinity.
        axis: the axis that the result sums to 1 along.

    Returns:
        of the shape of `logits`.

    Example:
        >>> softmax(tf.constant([0.0, 0.0])).numpy()
        array([0.5, 0.5], dtype=float32)
    """
    terms = tf.exp(logits - tf.stop_gradient(tf.reduce_max(logits, axis, keepdims=True)))
    return terms / tf.reduce_sum(terms, axis, keepdims=True)


def weighted_mean(values: tf.Tensor, weights: tf.Tensor | None) -> tf.Tensor:
    r"""$\sum_b w_b v_b / \sum_b w_b$, or the plain mean where there are no weights; a scalar, 0 where all are 0.

    Args:
        values: float tensor `[B]`.
        weights: `[B]`, or `None`.
    """
    if weights is None:
        return tf.reduce_mean(values)
    return tf.math.divide_no_nan(tf.reduce_sum(weights * values), tf.reduce_sum(weights))


def effective_sample_size(log_weights: tf.Tensor) -> tf.Tensor:
    r"""Effective sample size of K importance weights, $(\sum_k w_k)^2 / \sum_k w_k^2$, between 1 and K.

    Args:
        log_weights: float tensor `[K, B]`.

    Returns:
        float tensor `[B]`, in samples.

    References:
        Kong (1992), A note on importance sampling using standardized weights.
    """
    weights = tf.exp(log_weights - tf.reduce_max(log_weights, axis=0, keepdims=True))
    size = tf.square(tf.reduce_sum(weights, axis=0)) / tf.reduce_sum(tf.square(weights), axis=0)
    return as_sample_size(size, tf.shape(log_weights)[0])


def as_sample_size(value: tf.Tensor, num_samples: int | tf.Tensor) -> tf.Tensor:
    """An effective sample size `[B]` between 1 and K, where rounding put it a little beyond; NaN stays."""
    most = tf.cast(num_samples, value.dtype)
    return tf.where(value < 1.0, tf.ones_like(value), tf.where(value > most, most, value))


def antithetic_noise(draws: int, size: int, seed: int | Sequence[int] = 0) -> tf.Tensor:
    r"""Fixed standard normal noise in pairs $\pm\epsilon$ whose mean square is 1 in each dimension.

    The mean and the standard deviation of a diagonal Gaussian come out exactly, and those of anything else the same at
    every call, eager or compiled.

    Args:
        draws: an even number.
        size: dimensions of the noise.
        seed: seed of NumPy's generator.

    Returns:
        float32 `[draws, 1, size]`, the same for every image of a batch.
    """
    half = np.random.default_rng(seed).normal(size=(draws // 2, 1, size))
    half /= np.sqrt(np.mean(half**2, axis=0))
    return tf.constant(np.concatenate([half, -half]), tf.float32)


class StreamingLogMeanExp(NamedTuple):
    r"""Means over groups of terms of the log-mean-exp within a group, for S sizes of groups, fed a chunk at a time.

    With a size of K it is the log-mean-exp of all K terms; with k < K it is an unbiased estimate of the k-sample bound
    that uses all K // k whole groups (terms of a last, incomplete group are left out).
    The state is `[S, B]` and does not grow with the number of terms.
    """

    sizes: tf.Tensor
    open_groups: tf.Tensor
    closed_sums: tf.Tensor
    count: tf.Tensor

    @classmethod
    def zeros(cls, sizes: Sequence[int | tf.Tensor], batch: tf.Tensor) -> "StreamingLogMeanExp":
        """State before any term, for groups of these `sizes` and a batch of `batch` columns."""
        state = [len(sizes), batch]
        return cls(tf.stack(sizes), tf.fill(state, -math.inf), tf.zeros(state), tf.constant(0))

    def update(self, terms: tf.Tensor) -> "StreamingLogMeanExp":
        """State after the next terms, float32 `[C, B]`; C may cut groups anywhere."""
        added, kinds = tf.shape(terms)[0], tf.shape(self.sizes)[0]
        begin, end, sizes = self.count, self.count + added, self.sizes[:, tf.newaxis]
        # Groups that the terms fall into, counted from the open one; there are no more of them than terms.
        group = tf.range(begin, end) // sizes - begin // sizes
        segment = tf.reshape(group + added * tf.range(kinds)[:, tf.newaxis], [-1])
        repeated = tf.tile(terms, [kinds, 1])
        peak = tf.math.unsorted_segment_max(repeated, segment, kinds * added)
        # Where a whole group is -inf, -inf - -inf would be NaN.
        shift = tf.where(tf.math.is_finite(peak), peak, tf.zeros_like(peak))
        scaled = tf.exp(repeated - tf.gather(shift, segment))
        log_sums = shift + tf.math.log(tf.math.unsorted_segment_sum(scaled, segment, kinds * added))
        log_sums = tf.reshape(log_sums, [kinds, added, -1])
        first = tf.reduce_logsumexp(tf.stack([self.open_groups, log_sums[:, 0]]), axis=0)
        log_sums = tf.concat([first[:, tf.newaxis], log_sums[:, 1:]], axis=1)
        closed = end // self.sizes - begin // self.sizes
        is_closed = (tf.range(added) < closed[:, tf.newaxis])[..., tf.newaxis]
        log_means = log_sums - tf.math.log(tf.cast(sizes, terms.dtype))[..., tf.newaxis]
        closed_sums = self.closed_sums + tf.reduce_sum(tf.where(is_closed, log_means, 0.0), axis=1)
        last = tf.gather(log_sums, tf.minimum(closed, added - 1), batch_dims=1)
        open_groups = tf.where(end % sizes > 0, last, -math.inf)
        return StreamingLogMeanExp(self.sizes, open_groups, closed_sums, end)

    def result(self) -> tf.Tensor:
        """Means over the closed groups, `[S, B]`; NaN for a size of which no group is closed yet."""
        return self.closed_sums / tf.cast(self.count // self.sizes, self.closed_sums.dtype)[:, tf.newaxis]
