"""What everything else stands on: checks of what comes in, files that are whole or not there, careful arithmetic."""

from keras_iwae.foundation.checks import (
    check_image_spec,
    check_images,
    check_integer,
    checked_dataset,
    value_errors,
)
from keras_iwae.foundation.numerics import (
    StreamingLogMeanExp,
    antithetic_noise,
    bernoulli_log_likelihood,
    effective_sample_size,
    log_mean_exp,
)
from keras_iwae.foundation.storage import replacing, write_arrays, write_json

__all__ = [
    "StreamingLogMeanExp",
    "antithetic_noise",
    "bernoulli_log_likelihood",
    "check_image_spec",
    "check_images",
    "check_integer",
    "checked_dataset",
    "effective_sample_size",
    "log_mean_exp",
    "replacing",
    "value_errors",
    "write_arrays",
    "write_json",
]
