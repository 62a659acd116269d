r"""The last layer of a decoder and the log-likelihood of binary entries as one operation with a gradient of its own.

With logits $l = h W + b$ and $s = \sigma(-l)$, the probability of a 0,

    log p(x|h) = sum_d x_d l_d - softplus(l_d)
               = h . W x + b . x + log prod_d s_d,

whose first two terms are a product of F numbers for each sample and one matrix product for each event: what is left to
do with all K * B * D numbers is their sigmoid and its product over a few entries at a time. With c the gradient from
above,

    dh = c (W (x - 1) + W s),    dW = (sum_k c h)^T (x - 1) + (c h)^T s,    db = (sum_k c) (x - 1) + c s,

which asks for nothing but the same s: one product with it gives what is added to dW and db.
"""

from collections.abc import Callable

import tensorflow as tf

from keras_iwae.likelihoods.bernoulli_logits import group_size

# With fewer samples of each event there is little to save, and small products cost more than they do.
FEWEST_SAMPLES = 10
# Entries whose probabilities are multiplied before a logarithm is taken: float32 holds those of logits up to 10 each.
_MOST_TOGETHER = 8
# Products below are not exact, or 0.
_SMALLEST = 1e-37


def bernoulli_head(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> Callable[[tf.Tensor], tf.Tensor]:
    """Log-likelihood of binary entries as a function of the features that a dense layer makes logits of.

    It equals `bernoulli_log_likelihood(x, features @ kernel + bias)` to float32, values and gradients, those in x and
    in the weights too. What depends on these alone is computed here, once for all features that follow.

    Args:
        x: entries in [0, 1], float32 `[B, D]`.
        kernel: float32 `[F, D]`.
        bias: float32 `[D]`.

    Returns:
        from features, float32 `[K, B, F]`, to nats, float32 `[K, B]`.
    """
    units, size = kernel.shape
    together = group_size(size, _MOST_TOGETHER)
    negative = -kernel
    slopes, at_zero = tf.matmul(x, kernel, transpose_b=True), tf.linalg.matvec(x, bias)

    @tf.custom_gradient
    def log_likelihood(x: tf.Tensor, features: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor):
        flat = tf.reshape(features, [-1, units])
        zeros = tf.sigmoid(tf.nn.bias_add(tf.matmul(flat, negative), -bias))
        # Entries that are far apart, so that the products are of whole rows.
        products = tf.reduce_prod(tf.reshape(zeros, [-1, together, size // together]), axis=1)

        def one_by_one() -> tf.Tensor:
            return -tf.reduce_sum(tf.nn.softplus(tf.matmul(flat, kernel) + bias), axis=-1)

        def by_products() -> tf.Tensor:
            return tf.reduce_sum(tf.math.log(products), axis=-1)

        exact = tf.reduce_min(products, axis=-1) > _SMALLEST
        # Row by row, for what one row is rounded to must not hang on the others.
        none = tf.cond(tf.reduce_all(exact), by_products, lambda: tf.where(exact, by_products(), one_by_one()))
        linear = tf.reduce_sum(features * slopes, axis=-1) + at_zero

        def gradient(upstream):
            column = tf.reshape(upstream, [-1, 1])
            # A last feature of 1, whose row of the kernel is the bias.
            scaled = column * tf.concat([flat, tf.ones_like(column)], axis=1)
            given = tf.reduce_sum(tf.reshape(scaled, tf.concat([tf.shape(upstream), [units + 1]], axis=0)), axis=0)
            d_head = tf.matmul(given, x - 1.0, transpose_a=True) + tf.matmul(scaled, zeros, transpose_a=True)
            back = tf.reshape(tf.matmul(zeros, kernel, transpose_b=True), tf.shape(features))
            d_features = upstream[..., tf.newaxis] * (slopes - tf.reduce_sum(kernel, axis=1) + back)
            logits = tf.matmul(flat, kernel) + bias
            by_event = tf.concat([tf.shape(features)[:-1], [size]], axis=0)
            d_x = tf.reduce_sum(tf.reshape(column * logits, by_event), axis=0)
            return d_x, d_features, d_head[:-1], d_head[-1]

        return linear + tf.reshape(none, tf.shape(linear)), gradient

    return lambda features: log_likelihood(x, features, kernel, bias)
