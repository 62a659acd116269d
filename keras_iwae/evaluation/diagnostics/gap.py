r"""Why a bound falls short of log p(x): the family of the posterior, or the encoder that fills in its parameters.

    log p(x) - L[q] = ( log p(x) - L[q*] )  +  ( L[q*] - L[q] )
                        approximation gap        amortization gap

with q* the best member of the family for this one image (Cremer, Li and Duvenaud 2018, section 3).
"""

from dataclasses import dataclass

import numpy as np

from keras_iwae.evaluation.diagnostics.averages import mean_and_error


@dataclass(frozen=True)
class InferenceGap:
    """The inference gap of N images.

    Attributes:
        log_likelihood: an estimate of log p(x) of each image in nats, `[N]`.
        best_elbo: L[q*] of each image in nats, `[N]`.
        elbo: L[q] of each image in nats, `[N]`.
        late_gain: by how much L[q*] rose over the last quarter of its optimization, in nats, `[N]`. If it is not next
            to nothing, q* was stopped too early or never found: the amortization gap is larger and the approximation
            gap smaller.
    """

    log_likelihood: np.ndarray
    best_elbo: np.ndarray
    elbo: np.ndarray
    late_gain: np.ndarray

    @property
    def approximation(self) -> np.ndarray:
        """log p(x) - L[q*], nats, `[N]`: what no Gaussian can do."""
        return self.log_likelihood - self.best_elbo

    @property
    def amortization(self) -> np.ndarray:
        """L[q*] - L[q], nats, `[N]`: what the encoder leaves of what a Gaussian could do."""
        return self.best_elbo - self.elbo

    def to_dict(self) -> dict:
        """Means over images and their standard errors in nats, ready for JSON."""
        parts = {
            "log_likelihood": self.log_likelihood,
            "best_elbo": self.best_elbo,
            "elbo": self.elbo,
            "approximation_gap": self.approximation,
            "amortization_gap": self.amortization,
            "late_gain": self.late_gain,
        }
        return {"num_images": len(self.elbo), **{name: mean_and_error(values) for name, values in parts.items()}}
