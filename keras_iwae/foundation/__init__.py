"""What everything else stands on: checks of what comes in, files that are whole or not there, careful arithmetic."""

import keras_iwae.foundation.frameworks  # noqa: F401

# isort: split
from keras_iwae.foundation.checks import (
    MARK,
    check_boolean,
    check_callable,
    check_choice,
    check_ending,
    check_file,
    check_folder,
    check_integer,
    check_key,
    check_number,
    check_path,
    check_positive,
    check_positive_float32,
    check_replaceable,
    check_seed,
    check_several,
    check_target,
    check_width,
    shape_text,
    value_errors,
)
from keras_iwae.foundation.column_supports import ColumnSupports
from keras_iwae.foundation.command_lines import command_line
from keras_iwae.foundation.diagonal_gaussian import DiagonalGaussian, is_known, standard_normal_log_prob
from keras_iwae.foundation.fixed import FixedArguments, plain
from keras_iwae.foundation.float32_products import float32_products
from keras_iwae.foundation.float_inputs import ReadsWeightsAsTheyAre, TakesFloat32
from keras_iwae.foundation.folders import whole_folder
from keras_iwae.foundation.gaussian_mixture import gaussian_log_probs, gaussian_mixture_log_prob
from keras_iwae.foundation.kept_arguments import check_kept, computing_settings, is_own_class
from keras_iwae.foundation.keys import Purpose, key_for, seed_of_keys
from keras_iwae.foundation.laws import same_law
from keras_iwae.foundation.locks import held_file, held_folder
from keras_iwae.foundation.moments import moment
from keras_iwae.foundation.moved_weights import moved_weights
from keras_iwae.foundation.numerics import (
    StreamingLogMeanExp,
    antithetic_noise,
    as_sample_size,
    effective_sample_size,
    largest_power,
    log_mean_exp,
    log_power_mean,
    log_share_without_each,
    softmax,
    weighted_mean,
)
from keras_iwae.foundation.of_noise import of_noise
from keras_iwae.foundation.output_shapes import GivesShapes
from keras_iwae.foundation.pipelines import untuned
from keras_iwae.foundation.rows import (
    Places,
    Rows,
    current_rows,
    drawn_for_rows,
    having_rows,
    normal_of_rows,
    rows_out_of,
    uniform_of_rows,
)
from keras_iwae.foundation.storage import (
    json_text,
    number_text,
    percent_text,
    read_arrays,
    remove_leftovers,
    replacing,
    write_arrays,
    write_json,
)
from keras_iwae.foundation.support import Support, check_dtype, masked_as_nan

__all__ = [
    "MARK",
    "ColumnSupports",
    "DiagonalGaussian",
    "FixedArguments",
    "GivesShapes",
    "Places",
    "Purpose",
    "ReadsWeightsAsTheyAre",
    "Rows",
    "StreamingLogMeanExp",
    "Support",
    "TakesFloat32",
    "antithetic_noise",
    "as_sample_size",
    "check_boolean",
    "check_callable",
    "check_choice",
    "check_dtype",
    "check_ending",
    "check_file",
    "check_folder",
    "check_integer",
    "check_kept",
    "check_key",
    "check_number",
    "check_path",
    "check_positive",
    "check_positive_float32",
    "check_replaceable",
    "check_seed",
    "check_several",
    "check_target",
    "check_width",
    "command_line",
    "computing_settings",
    "current_rows",
    "drawn_for_rows",
    "effective_sample_size",
    "float32_products",
    "gaussian_log_probs",
    "gaussian_mixture_log_prob",
    "having_rows",
    "held_file",
    "held_folder",
    "is_known",
    "is_own_class",
    "json_text",
    "key_for",
    "largest_power",
    "log_mean_exp",
    "log_power_mean",
    "log_share_without_each",
    "masked_as_nan",
    "moment",
    "moved_weights",
    "normal_of_rows",
    "number_text",
    "of_noise",
    "percent_text",
    "plain",
    "read_arrays",
    "remove_leftovers",
    "replacing",
    "rows_out_of",
    "same_law",
    "seed_of_keys",
    "shape_text",
    "softmax",
    "standard_normal_log_prob",
    "uniform_of_rows",
    "untuned",
    "value_errors",
    "weighted_mean",
    "whole_folder",
    "write_arrays",
    "write_json",
]
