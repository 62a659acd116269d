"""Inverse autoregressive flow: a draw and its density in one pass, the density of any other z unit by unit."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.posteriors.masked_flow import MaskedFlowPosterior


@keras.saving.register_keras_serializable("keras_iwae")
class IAFPosterior(MaskedFlowPosterior):
    r"""Diagonal Gaussian, then T steps $y_i = (z_i - \mu_i(z_{<i}, h)) \exp(-\log \sigma_i(z_{<i}, h))$.

    A draw and its log q run each masked network once. log q of a z that it has not drawn has to be inverted, one unit
    after the other, in D runs at most: the estimators that differentiate log q at a given z are refused, and the
    resampled backward pass inverts the samples that it draws.

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
        >>> posterior = IAFPosterior(dense_encoder(), latent_dim=50, num_steps=8, hidden=(200,))
        >>> model = IWAE((28, 28, 1), posterior=posterior)

    References:
        Kingma et al. (2016), Improved variational inference with inverse autoregressive flow, section 3.
    """

    total_only = "whose log q at a given z takes a pass for each latent unit, where 'maf' takes one"

    def step(self, index: int, parameters: tf.Tensor) -> tfp.bijectors.Invert:
        return tfp.bijectors.Invert(self.autoregressive(index, parameters))
