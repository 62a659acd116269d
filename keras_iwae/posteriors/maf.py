"""Masked autoregressive flow: the density of any z in one pass, a draw unit by unit."""

import keras
import tensorflow as tf

from keras_iwae.posteriors.autoregressive_flow import AutoregressiveFlow
from keras_iwae.posteriors.masked_flow import MaskedFlowPosterior


@keras.saving.register_keras_serializable("keras_iwae")
class MAFPosterior(MaskedFlowPosterior):
    r"""Diagonal Gaussian, then T steps $y_i = z_i \exp(\log \sigma_i(y_{<i}, h)) + \mu_i(y_{<i}, h)$.

    A draw runs each masked network until no unit changes, D times at most; log q of any z runs it once. Hence it goes
    with every estimator.

    Args:
        encoder: Keras layer or model from images `[B, *event_shape]` to features h, `[B, F]`.
        latent_dim: D, the number of latent units.
        seed: seed of the heads' initial kernels.
        num_steps: T; the odd steps go from the last unit to the first.
        hidden: units of each hidden layer of a masked network.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `latent_dim`, `num_steps` or a number of units is no positive integer.

    Example:
        >>> posterior = MAFPosterior(dense_encoder(), latent_dim=10, num_steps=2, hidden=(50, 50))
        >>> model = IWAE((28, 28, 1), posterior=posterior)

    References:
        Papamakarios, Pavlakou, Murray (2017), Masked autoregressive flow for density estimation, section 3.
    """

    def step(self, index: int, parameters: tf.Tensor) -> AutoregressiveFlow:
        return self.autoregressive(index, parameters)
