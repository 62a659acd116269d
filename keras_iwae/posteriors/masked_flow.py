"""What IAF and MAF share: steps that shift and scale each unit by a masked network of the units before it."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_iwae.networks import MADE, checked_units, derived_seed
from keras_iwae.posteriors.autoregressive_flow import AutoregressiveFlow
from keras_iwae.posteriors.flow import FlowPosterior


class MaskedFlowPosterior(FlowPosterior):
    """Diagonal Gaussian, then T autoregressive steps, the odd ones from the last unit to the first.

    Args:
        encoder: Keras layer or model from images `[B, *event_shape]` to features `[B, F]`.
        latent_dim: D, the number of latent units.
        seed: seed of the heads' initial kernels.
        num_steps: T.
        hidden: units of each hidden layer of a masked network.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `latent_dim`, `num_steps` or a number of units is no positive integer.
    """

    def __init__(
        self,
        encoder: keras.Layer,
        latent_dim: int,
        seed: int = 0,
        num_steps: int = 4,
        hidden: Sequence[int] = (100,),
        **kwargs,
    ):
        super().__init__(encoder, latent_dim, seed, num_steps, **kwargs)
        self.hidden = tuple(checked_units(hidden))
        for index in range(num_steps):
            backwards, network_seed = index % 2 == 1, derived_seed(seed, len(self.heads))
            made = MADE(latent_dim, hidden, backwards=backwards, gain=0.1, seed=network_seed, name=f"made_{index}")
            self.heads = (*self.heads, made)

    def get_config(self):
        return {**super().get_config(), "hidden": self.hidden}

    def autoregressive(self, index: int, parameters: tf.Tensor) -> AutoregressiveFlow:
        r"""$z_i = \epsilon_i \exp(\log \sigma_i(z_{<i})) + \mu_i(z_{<i})$."""
        return AutoregressiveFlow(self.heads[2 + index], parameters)
