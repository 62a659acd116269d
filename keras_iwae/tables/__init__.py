"""Incomplete tables of mixed columns: filled in, with a verdict for each row, and log p(x) as a score."""

from keras_iwae.tables.coding import LARGEST_LOG, Coding
from keras_iwae.tables.density import IWAEDensity
from keras_iwae.tables.dtypes import dtype_of, least_above_zero
from keras_iwae.tables.estimator import TableEstimator
from keras_iwae.tables.files import TableFile, dialect_of, open_filled, open_table
from keras_iwae.tables.filling import FilledFiles, impute_file
from keras_iwae.tables.imputations import Imputations
from keras_iwae.tables.imputer import IWAEImputer
from keras_iwae.tables.inference import MOST_COUNTED
from keras_iwae.tables.pooling import Pooled, pool
from keras_iwae.tables.schema import Column, Schema
from keras_iwae.tables.scoring import ScoredFile, score_file
from keras_iwae.tables.trust import RowTrust

__all__ = [
    "LARGEST_LOG",
    "MOST_COUNTED",
    "Coding",
    "Column",
    "FilledFiles",
    "IWAEDensity",
    "IWAEImputer",
    "Imputations",
    "Pooled",
    "RowTrust",
    "Schema",
    "ScoredFile",
    "TableEstimator",
    "TableFile",
    "dialect_of",
    "dtype_of",
    "impute_file",
    "least_above_zero",
    "open_filled",
    "open_table",
    "pool",
    "score_file",
]
