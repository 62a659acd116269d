"""Arithmetic that must not lose digits: means of exponentials, Bernoulli log-likelihoods from logits, fixed noise."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

# A product of g factors in (1, 2] stays below 2^g, and float32 holds 2^127.
_MAX_GROUP = 126


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


def effective_sample_size(log_weights: tf.Tensor) -> tf.Tensor:
    r"""Effective sample size of K importance weights, $(\sum_k w_k)^2 / \sum_k w_k^2$, between 1 and K.

    Args:
        log_weights: float tensor `[K, B]`.

    Returns:
        float tensor `[B]`, in samples.

    References:
        Kong (1992), A note on importance sampling using standardized weights.
    """
    return tf.exp(2.0 * tf.reduce_logsumexp(log_weights, axis=0) - tf.reduce_logsumexp(2.0 * log_weights, axis=0))


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


@tf.custom_gradient
def bernoulli_log_likelihood(x: tf.Tensor, logits: tf.Tensor):
    r"""Log-likelihood of pixels under independent Bernoullis, $\sum_d x_d l_d - \log(1 + e^{l_d})$.

    It equals `tfd.Independent(tfd.Bernoulli(logits=logits), 1).log_prob(x)` to float32, with less work. With
    $\log(1 + e^l) = \max(l, 0) + \log(1 + e^{-|l|})$ the last terms, each in (0, log 2], are summed as the logarithm of
    a product over a group of pixels, so D logarithms become D / group; the gradient $x - \sigma(l)$ is written out.

    Args:
        x: pixels in [0, 1], float32 `[..., D]`, that broadcasts against `logits`.
        logits: log-odds, float32 `[K, B, D]` or any `[..., D]` with a static D.

    Returns:
        nats, float32 of the shape of `logits` without its last axis.
    """
    size = logits.shape[-1]
    group = next(g for g in range(min(size, _MAX_GROUP), 0, -1) if size % g == 0)
    grouped = tf.concat([tf.shape(logits)[:-1], [size // group, group]], axis=0)
    factors = tf.reshape(1.0 + tf.exp(-tf.abs(logits)), grouped)
    log_normalizer = tf.reduce_sum(tf.math.log(tf.reduce_prod(factors, axis=-1)), axis=-1)
    log_likelihood = tf.reduce_sum(x * logits - tf.nn.relu(logits), axis=-1) - log_normalizer

    def gradient(upstream):
        upstream = upstream[..., tf.newaxis]
        d_x = _sum_to_shape(upstream * logits, tf.shape(x))
        return d_x, upstream * (x - tf.sigmoid(logits))

    return log_likelihood, gradient


def _sum_to_shape(value: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """Undo broadcasting: sum `value` over the axes along which a tensor of `shape` was repeated."""
    axes = tf.raw_ops.BroadcastGradientArgs(s0=shape, s1=tf.shape(value))[0]
    return tf.reshape(tf.reduce_sum(value, axes), shape)


class StreamingLogMeanExp(NamedTuple):
    r"""Mean over groups of `size` terms of the log-mean-exp within the group, fed a chunk at a time.

    With `size` = K it is the log-mean-exp of all K terms; with `size` = k < K it is an unbiased estimate of the
    k-sample bound that uses all K // k whole groups (terms of a last, incomplete group are left out).
    The state is three `[B]` tensors and does not grow with the number of terms.
    """

    size: tf.Tensor
    open_group: tf.Tensor
    closed_sum: tf.Tensor
    count: tf.Tensor

    @classmethod
    def zeros(cls, size: int | tf.Tensor, batch: tf.Tensor) -> "StreamingLogMeanExp":
        """State before any term, for groups of `size` terms and a batch of `batch` columns."""
        return cls(
            tf.convert_to_tensor(size, tf.int32),
            tf.fill([batch], -math.inf),
            tf.zeros([batch]),
            tf.constant(0, tf.int32),
        )

    def update(self, terms: tf.Tensor) -> "StreamingLogMeanExp":
        """State after the next terms, float32 `[C, B]`; C may cut groups anywhere."""
        begin, end = self.count, self.count + tf.shape(terms)[0]
        group = tf.range(begin, end) // self.size - begin // self.size
        peak = tf.math.segment_max(terms, group)
        # Where a whole group is -inf, -inf - -inf would be NaN.
        shift = tf.where(tf.math.is_finite(peak), peak, tf.zeros_like(peak))
        log_sums = shift + tf.math.log(tf.math.segment_sum(tf.exp(terms - tf.gather(shift, group)), group))
        first = tf.reduce_logsumexp(tf.stack([self.open_group, log_sums[0]]), axis=0)
        log_sums = tf.concat([first[tf.newaxis], log_sums[1:]], axis=0)
        closed = end // self.size - begin // self.size
        log_size = tf.math.log(tf.cast(self.size, terms.dtype))
        closed_sum = self.closed_sum + tf.reduce_sum(log_sums[:closed] - log_size, axis=0)
        is_open = end % self.size > 0
        open_group = tf.where(is_open, log_sums[-1], tf.fill(tf.shape(first), tf.constant(-math.inf, terms.dtype)))
        return StreamingLogMeanExp(self.size, open_group, closed_sum, end)

    def result(self) -> tf.Tensor:
        """Mean over the closed groups, `[B]`; NaN before the first group is closed."""
        return self.closed_sum / tf.cast(self.count // self.size, self.closed_sum.dtype)
