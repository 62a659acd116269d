"""Log densities of many points under a mixture of many diagonal Gaussians, as one matrix product."""

import numpy as np
import tensorflow as tf

_LOG_2PI = np.log(2.0 * np.pi)


def gaussian_mixture_log_prob(
    z: tf.Tensor, loc: tf.Tensor, log_scale: tf.Tensor, log_shares: tf.Tensor | float
) -> tf.Tensor:
    r"""$\log \sum_m \pi_m N(z; \mu_m, \mathrm{diag}(\sigma_m^2))$.

    Args:
        z: points, float32 `[..., D]`.
        loc: float32 `[M, D]`.
        log_scale: log standard deviations, float32 `[M, D]`.
        log_shares: log pi, `[M]`, or one number for all.

    Returns:
        nats, float32 `[...]`.
    """
    points = tf.reshape(z, [-1, z.shape[-1]])
    each = gaussian_log_probs(points, loc, log_scale) + tf.cast(log_shares, tf.float32)
    return tf.reshape(tf.reduce_logsumexp(each, axis=-1), tf.shape(z)[:-1])


def gaussian_log_probs(points: tf.Tensor, loc: tf.Tensor, log_scale: tf.Tensor) -> tf.Tensor:
    r"""$\log N(z_n; \mu_m, \mathrm{diag}(\sigma_m^2))$ of each point under each Gaussian.

    $-2 \log N(z; \mu, \sigma) = \sum_d (z_d^2 \sigma_d^{-2} - 2 z_d \mu_d \sigma_d^{-2} + \mu_d^2 \sigma_d^{-2} +
    2 \log \sigma_d + \log 2 \pi)$, whose first two terms are one product of `[N, 2 D]` and `[2 D, M]`, where the
    differences would be N * M * D numbers. It is in float64: the terms are as large as $(z / \sigma)^2$ and nearly
    cancel.

    Args:
        points: float32 `[N, D]`.
        loc: float32 `[M, D]`.
        log_scale: log standard deviations, float32 `[M, D]`.

    Returns:
        nats, float32 `[N, M]`.
    """
    points, loc, log_scale = (tf.cast(part, tf.float64) for part in (points, loc, log_scale))
    precision = tf.exp(-2.0 * log_scale)
    constant = tf.reduce_sum(loc**2 * precision + 2.0 * log_scale + _LOG_2PI, axis=-1)
    powers = tf.concat([points**2, points], axis=1)
    squares = tf.matmul(powers, tf.concat([precision, -2.0 * loc * precision], axis=1), transpose_b=True) + constant
    return tf.cast(-0.5 * squares, tf.float32)
