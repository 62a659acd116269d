"""Draws as a function of standard normal noise that is given, for where TensorFlow's random numbers are not."""

import tensorflow as tf

from keras_iwae.foundation.checks import MARK
from keras_iwae.foundation.diagonal_gaussian import standard_normal_log_prob


def of_noise(distribution, noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    r"""$z = f(\epsilon)$ and $\log q(z) = \log N(\epsilon; 0, I) - \log |\det f'(\epsilon)|$.

    Args:
        distribution: one with an `of_noise(noise)` of its own, or a TFP distribution of standard normal noise that a
            bijector transforms, batch `[B]` and event `[D]`.
        noise: $\epsilon$, float32 `[..., B, D]`.

    Returns:
        z `[..., B, D]`, and its log density in nats `[..., B]`.

    Raises:
        ValueError: if it is neither.

    Example:
        >>> z, log_q = of_noise(DiagonalGaussian(tf.ones([3, 2]), tf.ones([3, 2])), tf.zeros([7, 3, 2]))
        >>> z.shape, log_q.shape
        (TensorShape([7, 3, 2]), TensorShape([7, 3]))
    """
    if hasattr(distribution, "of_noise"):
        return distribution.of_noise(noise)
    if not hasattr(distribution, "bijector"):
        raise ValueError(
            f"{MARK}distribution`. Expected standard normal noise that is transformed. Received: a "
            f"{type(distribution).__name__}"
        )
    log_det = distribution.bijector.forward_log_det_jacobian(noise, event_ndims=1)
    return distribution.bijector.forward(noise), standard_normal_log_prob(noise) - log_det
