"""What the normalizing flows share: a diagonal Gaussian of the encoder's, and steps that transform its draws."""

from abc import abstractmethod

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import check_integer
from keras_iwae.posteriors.amortized import AmortizedPosterior
from keras_iwae.posteriors.transformed import TransformedNormal, transformed_normal

tfb = tfp.bijectors


class FlowPosterior(AmortizedPosterior):
    r"""$z = f_T(\ldots f_1(\mu(x) + \sigma(x) \epsilon))$; a family adds a head for each step and says what $f_t$ is.

    Args:
        encoder: Keras layer or model from images `[B, *event_shape]` to features `[B, F]`.
        latent_dim: D, the number of latent units.
        seed: seed of the heads' initial kernels.
        num_steps: T.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `latent_dim` or `num_steps` is no positive integer.
    """

    def __init__(self, encoder: keras.Layer, latent_dim: int, seed: int, num_steps: int, **kwargs):
        super().__init__(encoder, latent_dim, seed, **kwargs)
        self.num_steps = check_integer("num_steps", num_steps)
        self.add_head(self.latent_dim, "loc")
        self.add_head(self.latent_dim, "log_scale")

    def get_config(self):
        return {**super().get_config(), "num_steps": self.num_steps}

    def call(self, images, training=False):
        """Return mu and sigma, float32 `[B, D]` each, and the parameters of each step, `[B, ...]`."""
        features = self.encoder(images, training=training)
        loc, log_scale, *steps = (head(features) for head in self.heads)
        return loc, keras.ops.exp(log_scale), *steps

    @abstractmethod
    def step(self, index: int, parameters: tf.Tensor) -> tfp.bijectors.Bijector:
        """f_t of batch `[B]` and event `[D]`, from what the head of step `index` gave."""

    def distribution(self, x: tf.Tensor, training: bool = False) -> TransformedNormal:
        """The posterior of each image of `x` `[B, *event_shape]`, as a distribution of batch `[B]` and event `[D]`."""
        loc, scale, *parameters = self(x, training=training)
        steps = [self.step(index, each) for index, each in enumerate(parameters)]
        bijector = tfb.Chain([*steps[::-1], tfb.Shift(loc), tfb.Scale(scale)])
        return transformed_normal(bijector, tf.shape(loc)[0], self.latent_dim)
