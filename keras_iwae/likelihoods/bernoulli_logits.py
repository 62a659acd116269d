"""The log-likelihood of binary entries from their logits, with fewer logarithms and a gradient of its own."""

import tensorflow as tf

# A product of g factors in (1, 2] stays below 2^g, and float32 holds 2^127.
_MAX_GROUP = 126


def group_size(entries: int, most: int = _MAX_GROUP) -> int:
    """The largest divisor of `entries` up to `most`, by default as many as factors between 1/2 and 2 may be."""
    return next(g for g in range(min(entries, most), 0, -1) if entries % g == 0)


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
    group = group_size(size)
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
