"""Negative binomial likelihood: independent counts that vary more than their mean."""

import keras
import tensorflow as tf

from keras_iwae.likelihoods.counts import CountLikelihood
from keras_iwae.likelihoods.dispersed_counts import DispersedCounts
from keras_iwae.likelihoods.scales import Scale


@keras.saving.register_keras_serializable("keras_iwae")
class NegativeBinomialLikelihood(CountLikelihood):
    r"""Counts of mean m(z) and variance $m + m^2 / r$, with log m between -L and L.

    $p(x|z) = \prod_d \frac{\Gamma(x_d + r_d)}{\Gamma(r_d) \, x_d!} (1 - p_d)^{r_d} p_d^{x_d}$, $p = m / (m + r)$.

    Args:
        dispersion: r: "dimension", learned for each entry of an event from 1 on; "example", given by the decoder; or a
            positive number. The larger, the nearer to Poisson.
        min_dispersion: smallest learned r; below 1; `None` is 0.01.
        max_log_mean: L, at most 40. Counts are up to exp(0.9 L), 66 million for 20.
        seed: seed of the head's initial kernel; `None` is the model's.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `dispersion` is none of these, or a bound is out of range.

    Example:
        >>> model = IWAE(2000, likelihood=NegativeBinomialLikelihood(dispersion="dimension"))

    References:
        Lopez, Regier, Cole, Jordan, Yosef (2018), Deep generative modeling for single-cell transcriptomics, methods.
    """

    def __init__(
        self,
        dispersion: float | str = "dimension",
        min_dispersion: float | None = None,
        max_log_mean: float = 20.0,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(max_log_mean, seed, **kwargs)
        self.dispersion, self.min_dispersion = dispersion, min_dispersion
        self._dispersion = Scale("dispersion", dispersion, min_dispersion)
        self.parameters = 1 + self._dispersion.by_decoder

    def get_config(self):
        return {**super().get_config(), "dispersion": self.dispersion, "min_dispersion": self.min_dispersion}

    def build(self, features_shape):
        super().build(features_shape)
        self._dispersion.build(self, self.event_shape)

    def entries(self, parameters: tf.Tensor) -> DispersedCounts:
        raw_mean, raw = tf.unstack(parameters, axis=-1) if self.parameters > 1 else (parameters, None)
        return DispersedCounts(self.log_mean(raw_mean), self._dispersion.value(raw))
