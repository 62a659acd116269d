"""Radial flows: steps that contract or expand around a point."""

import keras
import tensorflow as tf

from keras_iwae.networks import Radial
from keras_iwae.posteriors.flow import FlowPosterior


@keras.saving.register_keras_serializable("keras_iwae")
class RadialPosterior(FlowPosterior):
    r"""Diagonal Gaussian, then T steps around points c, with c, log alpha and gamma linear in the features.

    Args:
        encoder: Keras layer or model from images `[B, *event_shape]` to features `[B, F]`.
        latent_dim: D, the number of latent units.
        seed: seed of the heads' initial kernels.
        num_steps: T.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `latent_dim` or `num_steps` is no positive integer.

    Example:
        >>> posterior = RadialPosterior(dense_encoder(), latent_dim=50, num_steps=16)
        >>> model = IWAE((28, 28, 1), posterior=posterior)

    References:
        Rezende, Mohamed (2015), Variational inference with normalizing flows, section 4.1 and appendix A.2.
    """

    def __init__(self, encoder: keras.Layer, latent_dim: int, seed: int = 0, num_steps: int = 8, **kwargs):
        super().__init__(encoder, latent_dim, seed, num_steps, **kwargs)
        for index in range(num_steps):
            self.add_head(self.latent_dim + 2, f"step_{index}", gain=0.3)

    def step(self, index: int, parameters: tf.Tensor) -> Radial:
        center, log_alpha, gamma = tf.split(parameters, [self.latent_dim, 1, 1], axis=-1)
        return Radial(center, log_alpha[..., 0], gamma[..., 0])
