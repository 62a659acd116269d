"""Planar flows: steps that stretch or squeeze along one direction around a hyperplane."""

import keras
import tensorflow as tf

from keras_iwae.networks import Planar
from keras_iwae.posteriors.flow import FlowPosterior


@keras.saving.register_keras_serializable("keras_iwae")
class PlanarPosterior(FlowPosterior):
    r"""Diagonal Gaussian, then T steps $z + \hat u \tanh(w^T z + b)$ with u, w and b linear in the features.

    log q at a z that it has not drawn takes the root of a function of one variable for each step, in place of a closed
    form; see `keras_iwae.networks.Planar`.

    Args:
        encoder: Keras layer or model from images `[B, *event_shape]` to features `[B, F]`.
        latent_dim: D, the number of latent units.
        seed: seed of the heads' initial kernels.
        num_steps: T.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `latent_dim` or `num_steps` is no positive integer.

    Example:
        >>> posterior = PlanarPosterior(dense_encoder(), latent_dim=50, num_steps=16)
        >>> model = IWAE((28, 28, 1), posterior=posterior)

    References:
        Rezende, Mohamed (2015), Variational inference with normalizing flows, section 4.1 and appendix A.1.
    """

    def __init__(self, encoder: keras.Layer, latent_dim: int, seed: int = 0, num_steps: int = 8, **kwargs):
        super().__init__(encoder, latent_dim, seed, num_steps, **kwargs)
        for index in range(num_steps):
            self.add_head(2 * self.latent_dim + 1, f"step_{index}", gain=0.3)

    def step(self, index: int, parameters: tf.Tensor) -> Planar:
        u, w, b = tf.split(parameters, [self.latent_dim, self.latent_dim, 1], axis=-1)
        return Planar(u, w, b[..., 0])
