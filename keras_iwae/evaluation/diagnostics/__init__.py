"""What the latents are doing: arrays in, arrays out."""

from keras_iwae.evaluation.diagnostics.averages import mean_and_error
from keras_iwae.evaluation.diagnostics.collapse import collapse_verdict
from keras_iwae.evaluation.diagnostics.gap import InferenceGap
from keras_iwae.evaluation.diagnostics.information import MutualInformation, mutual_information
from keras_iwae.evaluation.diagnostics.ranks import RankCalibration
from keras_iwae.evaluation.diagnostics.units import (
    ACTIVE_UNIT_THRESHOLD,
    active_units,
    bernoulli_kl,
    gaussian_kl,
    mean_variances,
    sampled_kl,
    units_that_carry,
)

__all__ = [
    "ACTIVE_UNIT_THRESHOLD",
    "InferenceGap",
    "MutualInformation",
    "RankCalibration",
    "active_units",
    "bernoulli_kl",
    "collapse_verdict",
    "gaussian_kl",
    "mean_and_error",
    "mean_variances",
    "mutual_information",
    "sampled_kl",
    "units_that_carry",
]
