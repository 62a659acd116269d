"""Gaussian likelihood: independent real entries."""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import Support
from keras_iwae.likelihoods.base import Likelihood
from keras_iwae.likelihoods.scales import Scale


@keras.saving.register_keras_serializable("keras_iwae")
class GaussianLikelihood(Likelihood):
    r"""$p(x|z) = \prod_d N(x_d; \mu_d(z), \sigma_d^2)$.

    A decoder that can follow its training data raises their density without limit where sigma may go to 0; it is at
    least `min_scale`. Data in other units than of about 1 are best standardized.

    Args:
        scale: sigma: "dimension", learned for each entry of an event and the same for all; "example", given by the
            decoder; or a positive number, in the units of x.
        min_scale: smallest learned sigma, in the units of x; below 1, where learning starts; `None` is 0.01.
        widened: whether a learned sigma is multiplied by a weight that training leaves at 1 and `widen` sets, by what
            is found on entries that were left out; see `keras_iwae.tables.calibration`.
        seed: seed of the head's initial kernel; `None` is the model's.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `scale` is none of these, or `min_scale` is not between 0 and 1 or beside a number.

    Example:
        >>> model = IWAE(13, likelihood=GaussianLikelihood(scale="example", min_scale=0.05))

    References:
        Kingma, Welling (2013), Auto-encoding variational Bayes, appendix C.2.
        Mattei, Frellsen (2018), Leveraging the exact likelihood of deep latent variable models, section 2, on
        likelihoods without a bound.
    """

    support = Support()
    has_location = True

    def __init__(
        self,
        scale: float | str = "dimension",
        min_scale: float | None = None,
        widened: bool = False,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(seed, **kwargs)
        self.scale, self.min_scale, self.widened = scale, min_scale, widened
        self._scale = Scale("scale", scale, min_scale, widened=widened)
        self.parameters = 1 + self._scale.by_decoder

    def get_config(self):
        own = {"scale": self.scale, "min_scale": self.min_scale, "widened": self.widened}
        return {**super().get_config(), **own}

    def build(self, features_shape):
        super().build(features_shape)
        self._scale.build(self, self.event_shape)

    def widen(self, factor: float) -> None:
        self._scale.widen(factor)

    def entries(self, parameters: tf.Tensor) -> tfp.distributions.Normal:
        loc, raw = tf.unstack(parameters, axis=-1) if self.parameters > 1 else (parameters, None)
        return tfp.distributions.Normal(loc, self._scale.value(raw))

    def parameters_of_mean(self, mean: np.ndarray) -> np.ndarray:
        return self.first_parameters(mean)
