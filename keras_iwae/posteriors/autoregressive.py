"""Autoregressive Gaussian posterior, q(z|x) = q(z_1|x) q(z_2|z_1, x) ... q(z_D|z_1..z_(D-1), x)."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_iwae.networks import MADE, checked_units
from keras_iwae.posteriors.amortized import AmortizedPosterior
from keras_iwae.posteriors.autoregressive_flow import AutoregressiveFlow
from keras_iwae.posteriors.transformed import TransformedNormal, transformed_normal


@keras.saving.register_keras_serializable("keras_iwae")
class AutoregressivePosterior(AmortizedPosterior):
    r"""$q(z|x) = \prod_i N(z_i; \mu_i(z_{<i}, h(x)), \sigma_i(z_{<i}, h(x))^2)$, all factors by one masked network.

    log q of any z runs the network once, a draw runs it until no unit changes, D times at most.

    Args:
        encoder: Keras layer or model from images `[B, *event_shape]` to features h, `[B, F]`.
        latent_dim: D, the number of latent units.
        seed: seed of the initial kernels.
        hidden: units of each hidden layer of the masked network.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `latent_dim` or a number of units is no positive integer.

    Example:
        >>> posterior = AutoregressivePosterior(dense_encoder(), latent_dim=10, hidden=(100, 100))
        >>> model = IWAE((28, 28, 1), posterior=posterior)

    References:
        Gregor, Danihelka, Mnih, Blundell, Wierstra (2014), Deep autoregressive networks; the masked network is of
        Germain et al. (2015), MADE.
    """

    def __init__(self, encoder: keras.Layer, latent_dim: int, seed: int = 0, hidden: Sequence[int] = (100,), **kwargs):
        super().__init__(encoder, latent_dim, seed, **kwargs)
        self.hidden = tuple(checked_units(hidden))
        self.heads = (*self.heads, MADE(latent_dim, hidden, seed=seed, name="made"))

    def get_config(self):
        return {**super().get_config(), "hidden": self.hidden}

    def call(self, images, training=False):
        """Return what the masked network takes of the image, the biases of all its layers, float32 `[B, ...]`."""
        return self.heads[0](self.encoder(images, training=training))

    def distribution(self, x: tf.Tensor, training: bool = False) -> TransformedNormal:
        """The posterior of each image of `x` `[B, *event_shape]`, as a distribution of batch `[B]` and event `[D]`."""
        biases = self(x, training=training)
        return transformed_normal(AutoregressiveFlow(self.heads[0], biases), tf.shape(biases)[0], self.latent_dim)
