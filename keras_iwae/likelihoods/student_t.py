"""Student-t likelihood: independent real entries with outliers."""

import math

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import Support
from keras_iwae.likelihoods.base import Likelihood
from keras_iwae.likelihoods.scales import Scale

# Beyond it 1 + t^2 is t^2 in float32.
_FAR = 1e8
# Where learned degrees of freedom start, and what they stay above: at 2 there is no variance.
_START, _LEAST = 5.0, 2.01


@keras.saving.register_keras_serializable("keras_iwae")
class StudentTLikelihood(Likelihood):
    r"""$p(x|z) = \prod_d t_{\nu_d}((x_d - \mu_d(z)) / \sigma_d) / \sigma_d$.

    Args:
        df: nu, degrees of freedom, above 2, where there is a variance: "dimension", learned for each entry of an event
            from 5 on; "example", given by the decoder; or a number.
        scale: sigma: "example", given by the decoder; "dimension", learned for each entry of an event; or a positive
            number, in the units of x.
        min_scale: smallest learned sigma, in the units of x; below 1, where learning starts; `None` is 0.01.
        widened: whether a learned sigma is multiplied by a weight that training leaves at 1 and `widen` sets, by what
            is found on entries that were left out; see `keras_iwae.tables.calibration`.
        seed: seed of the head's initial kernel; `None` is the model's.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `df` or `scale` is none of these, or `min_scale` is not between 0 and 1 or beside a number.

    Example:
        >>> model = IWAE(30, likelihood=StudentTLikelihood(), missing="nan")

    References:
        Mattei, Frellsen (2019), MIWAE: deep generative modelling and imputation of incomplete data sets, section 4.
    """

    support = Support()
    has_location = True

    def __init__(
        self,
        df: float | str = "dimension",
        scale: float | str = "example",
        min_scale: float | None = None,
        widened: bool = False,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(seed, **kwargs)
        self.df, self.scale, self.min_scale, self.widened = df, scale, min_scale, widened
        self._df = Scale("df", df, _LEAST if isinstance(df, str) else None, _START, above=2.0)
        self._scale = Scale("scale", scale, min_scale, widened=widened)
        self.parameters = 1 + self._scale.by_decoder + self._df.by_decoder

    def get_config(self):
        own = {"df": self.df, "scale": self.scale, "min_scale": self.min_scale, "widened": self.widened}
        return {**super().get_config(), **own}

    def build(self, features_shape):
        super().build(features_shape)
        self._scale.build(self, self.event_shape)
        self._df.build(self, self.event_shape)

    def widen(self, factor: float) -> None:
        self._scale.widen(factor)

    def entries(self, parameters: tf.Tensor) -> tfp.distributions.StudentT:
        loc, scale, df = self._each(parameters)
        return tfp.distributions.StudentT(df, loc, scale)

    def _each(self, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """mu, of every entry, sigma and nu."""
        loc, *raw = tf.unstack(parameters, axis=-1) if self.parameters > 1 else [parameters]
        scale = self._scale.value(raw.pop(0) if self._scale.by_decoder else None)
        return loc, scale, self._df.value(raw.pop(0) if self._df.by_decoder else None)

    # TFP's are right, and hundreds of operations.
    def entry_log_prob(self, x, parameters):
        if not self.says_as(StudentTLikelihood):
            return super().entry_log_prob(x, parameters)
        loc, scale, df = self._each(parameters)
        distance = tf.abs(x - loc) / (tf.sqrt(df) * scale)
        # log(1 + t^2) where float32 has no t^2, too.
        near, far = tf.minimum(distance, _FAR), tf.maximum(distance, _FAR)
        log_kernel = tf.math.log1p(tf.square(near)) + 2.0 * tf.math.log(far / _FAR)
        return _log_gamma_ratio(0.5 * df) - tf.math.log(tf.sqrt(math.pi * df) * scale) - 0.5 * (df + 1.0) * log_kernel

    def mean_of(self, parameters):
        if not self.says_as(StudentTLikelihood):
            return super().mean_of(parameters)
        return self._each(parameters)[0]

    def moments_of(self, parameters):
        if not self.says_as(StudentTLikelihood):
            return super().moments_of(parameters)
        loc, scale, df = self._each(parameters)
        return loc, scale * tf.sqrt(df / (df - 2.0)) + tf.zeros_like(loc)

    def parameters_of_mean(self, mean: np.ndarray) -> np.ndarray:
        return self.first_parameters(mean)


def _log_gamma_ratio(a: tf.Tensor) -> tf.Tensor:
    r"""$\log \Gamma(a + 1/2) - \log \Gamma(a)$ for a of 1 or more, whose difference loses no digits where a is large.

    $\Gamma(b + 1/2) / \Gamma(b)$ by its asymptotic series at b = a + 4, and four steps down from there.
    """
    b = a + 4.0
    steps = [(a + n) / (a + (n + 0.5)) for n in range(4)]
    square = 1.0 / tf.square(b)
    series = 0.5 * tf.math.log(b) - (1.0 / 8.0 - square * (1.0 / 192.0 - square / 640.0)) / b
    return series + tf.math.log(math.prod(steps[1:], start=steps[0]))
