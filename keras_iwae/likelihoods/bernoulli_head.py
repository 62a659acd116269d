r"""The last layer of a decoder and the log-likelihood of binary entries as one operation with a gradient of its own.

With logits $l = h W + b$ and $\mathrm{softplus}(l) = \frac12 (l + |l|) - \log \sigma(|l|)$,

    log p(x|h) = sum_d x_d l_d - softplus(l_d)
               = h . W (x - 1/2) + b . (x - 1/2) - 1/2 sum_d |l_d| + log prod_d sigma(|l_d|),

whose first two terms are a product of F numbers for each sample and one matrix product for each event: of the passes
over all K * B * D logits that remain, none is for x. With c the gradient from above and s = sigma(l),

    dh = c (W x - W s),    dW = (sum_k c h)^T x - (c h)^T s,    db = (sum_k c) x - c s,

where one product with s gives what is taken off dW and db.
"""

import tensorflow as tf

from keras_iwae.likelihoods.bernoulli_logits import group_size

# With fewer samples of each event there is little to save, and small products cost more than they do.
FEWEST_SAMPLES = 10


@tf.custom_gradient
def bernoulli_head_log_likelihood(x: tf.Tensor, features: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor):
    """Log-likelihood of binary entries whose logits are a dense layer of features.

    It equals `bernoulli_log_likelihood(x, features @ kernel + bias)` to float32, values and gradients.

    Args:
        x: entries in [0, 1], float32 `[B, D]`.
        features: float32 `[K, B, F]`.
        kernel: float32 `[F, D]`.
        bias: float32 `[D]`.

    Returns:
        nats, float32 `[K, B]`.
    """
    units, size = kernel.shape
    # A last feature of 1, whose row of the kernel is the bias: one product for both, forwards and backwards.
    extended = tf.concat([tf.reshape(features, [-1, units]), tf.ones([tf.size(features) // units, 1])], axis=1)
    logits = tf.matmul(extended, tf.concat([kernel, bias[tf.newaxis]], axis=0))
    magnitude = tf.abs(logits)
    group = group_size(size)
    shape = tf.concat([tf.shape(features)[:-1], [size // group, group]], axis=0)
    products = tf.reduce_prod(tf.reshape(tf.sigmoid(magnitude), shape), axis=-1)
    tails = tf.reduce_sum(tf.math.log(products), axis=-1)
    centred = x - 0.5
    linear = tf.reduce_sum(features * tf.matmul(centred, kernel, transpose_b=True), axis=-1)
    linear += tf.linalg.matvec(centred, bias)
    half = tf.reshape(tf.linalg.matvec(magnitude, tf.fill([size], 0.5)), tf.shape(tails))
    log_likelihood = linear - half + tails

    def gradient(upstream):
        column = tf.reshape(upstream, [-1, 1])
        probabilities = tf.sigmoid(logits)
        scaled = column * extended
        given = tf.reduce_sum(tf.reshape(scaled, tf.concat([tf.shape(upstream), [units + 1]], axis=0)), axis=0)
        d_head = tf.matmul(given, x, transpose_a=True) - tf.matmul(scaled, probabilities, transpose_a=True)
        back = tf.reshape(tf.matmul(probabilities, kernel, transpose_b=True), tf.shape(features))
        d_features = upstream[..., tf.newaxis] * (tf.matmul(x, kernel, transpose_b=True) - back)
        d_x = tf.reduce_sum(tf.reshape(column * logits, tf.concat([tf.shape(features)[:-1], [size]], axis=0)), axis=0)
        return d_x, d_features, d_head[:-1], d_head[-1]

    return log_likelihood, gradient
