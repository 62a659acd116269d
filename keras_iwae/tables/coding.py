r"""A table as numbers that a model is trained on, and back: `[N, D]`, one number a column, NaN where one is missing.

Real columns are standardized, positive ones by their logarithms; counts are counts; levels are numbered from 0. With e
the number of a cell x, log p(x) = log p(e) + log |de/dx|, so that a density is in the units of the table.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from keras_iwae.foundation import MARK, check_boolean, check_number, check_positive, shape_text
from keras_iwae.likelihoods import Likelihood, MixedLikelihood
from keras_iwae.tables.dtypes import least_above_zero, with_dtype
from keras_iwae.tables.families import balanced_weights, families_of
from keras_iwae.tables.inference import check_values
from keras_iwae.tables.patching import patched
from keras_iwae.tables.schema import Column, Schema
from keras_iwae.tables.values import missing_of, refusal

# A column that varies by less of its size is constant: float64 has 16 digits.
_CONSTANT = 1e-12
_OF_NORMAL = 0.5 * math.log(2.0 * math.pi * math.e)
_STANDARDIZED = ("real", "positive")
_FITTED = ("centers", "scales", "constant", "entropies")
# Its square, and a sum of those, is within float64; and what it is standardized to is within float32.
_LARGEST, _LARGEST_ENCODED = 1e150, 1e15
# Its exponential is within float64, and hardly any number of that is above it.
LARGEST_LOG = 709.0


@dataclass(frozen=True)
class Coding:
    """A schema with what its columns are standardized by.

    Attributes:
        schema: the columns.
        centers: mean of each real column, and of the logarithm of each positive one; 0 of the others.
        scales: their standard deviations; 1 of the others, and of constant columns.
        constant: which real and positive columns have one value only.
        entropies: in nats, of each column by itself: of a normal distribution of scale 1 where it is real or positive,
            and else of the shares of its values.

    Raises:
        ValueError: if there is not one of each for each column, a number is not finite, a scale not above 0, or what is
            not standardized has a center, or a scale but 1.

    Example:
        >>> coding = Coding.fit(table, Schema.infer(table))
        >>> coding.decode(coding.encode(table)).dtypes.equals(table.dtypes)
        True
    """

    schema: Schema
    centers: tuple[float, ...]
    scales: tuple[float, ...]
    constant: tuple[bool, ...]
    entropies: tuple[float, ...]

    def __post_init__(self):
        _check_schema(self.schema)
        for name, check in (
            ("centers", check_number),
            ("scales", check_positive),
            ("constant", check_boolean),
            ("entropies", check_number),
        ):
            given = getattr(self, name)
            if np.ndim(given) != 1 or len(given) != len(self.schema):
                expected = f"one for each of {len(self.schema)} columns"
                raise ValueError(f"{MARK}{name}`. Expected {expected}. Received: {given!r}")
            object.__setattr__(self, name, tuple(check(name, value) for value in given))
        for column, *given in zip(self.schema, self.centers, self.scales, self.constant, strict=True):
            if column.kind not in _STANDARDIZED and given != [0.0, 1.0, False]:
                expected = f"center 0, scale 1 and constant=False of the kind {column.kind!r}"
                raise refusal(column.name, expected, ", ".join(map(str, given)))

    @classmethod
    def fit(cls, frame: pd.DataFrame, schema: Schema) -> "Coding":
        """The coding of a schema, of the observed cells of a table.

        Raises:
            ValueError: which names the column, if one is all missing, or the table is not of the schema.
        """
        _check_schema(schema)
        values = _numbers(frame, schema)
        for column, cells in zip(schema, values.T, strict=True):
            if np.isnan(cells).all():
                raise refusal(column.name, "at least one value", "none")
        fitted = [_moments(column, cells) for column, cells in zip(schema, values.T, strict=True)]
        return cls(schema, *zip(*fitted, strict=True))

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        """The numbers of a table, float32 `[N, D]`, in the order of the schema.

        Raises:
            ValueError: which names the column, if a cell is none that it can have.
        """
        values = _numbers(frame, self.schema)
        encoded = (values - self.centers) / self.scales
        for place, column in enumerate(self.schema):
            far = np.abs(np.nan_to_num(encoded[:, place])) > _LARGEST_ENCODED
            if far.any():
                expected = f"numbers within {_LARGEST_ENCODED:g} standard deviations of those that were learned from"
                raise refusal(column.name, expected, f"{frame[column.name].iloc[int(far.argmax())]}")
        return encoded.astype(np.float32)

    def decode(self, encoded: np.ndarray, index: pd.Index | None = None) -> pd.DataFrame:
        """The table of such numbers, in the dtypes and categories of the schema.

        Whole numbers and levels are rounded to the next that there is; a column of small integers or floats that does
        not hold what is in it is of larger ones, int16 in place of int8. What is NaN is missing; an integer or boolean
        column of NumPy's, which has nothing for that, is then one of pandas' nullable.

        Args:
            encoded: float `[N, D]`.
            index: of the rows; `None` counts them.

        Raises:
            ValueError: if they are of another shape, or infinite.
        """
        encoded = self._checked(encoded, None if index is None else len(index))
        if np.isinf(encoded).any():
            raise ValueError(f"{MARK}encoded`. Expected finite numbers, and NaN where one is missing. Received: inf")
        values = encoded * self.scales + self.centers
        cells = [_cells(column, cells) for column, cells in zip(self.schema, values.T, strict=True)]
        # By number, for names may be anything.
        frame = pd.DataFrame(dict(enumerate(cells)))
        frame.columns = pd.Index(self.schema.names)
        return frame if index is None else frame.set_index(index)

    def fill(self, frame: pd.DataFrame, encoded: np.ndarray) -> pd.DataFrame:
        """The table with its missing cells as these numbers say, and every other cell as it is, to the last digit.

        Args:
            frame: a table of the schema.
            encoded: float `[N, D]`.

        Raises:
            ValueError: if the table is not of the schema, or has not as many rows.
        """
        frame = self.schema.check(frame)
        filled = self.decode(encoded, frame.index)
        columns = {}
        for column in self.schema:
            own, new = frame[column.name], filled[column.name]
            gap = missing_of(own)
            columns[column.name] = own if not gap.any() else patched(own, new, gap)
        return pd.DataFrame(columns, index=frame.index)

    def log_jacobian(self, encoded: np.ndarray) -> np.ndarray:
        r"""$\log |de / dx|$ of each cell in nats, float64 `[N, D]`; 0 of counts, levels and missing cells.

        Args:
            encoded: e, float `[N, D]`.
        """
        encoded = self._checked(encoded)
        logs = np.array([column.kind == "positive" for column in self.schema])
        numbers = encoded * self.scales + self.centers
        slopes = -np.log(self.scales) - np.where(logs, numbers, 0.0)
        return np.where(np.isnan(encoded), 0.0, slopes)

    def likelihood(
        self,
        real: str | Likelihood = "student_t",
        count: str | Likelihood = "negative_binomial",
        balanced: bool = False,
    ) -> MixedLikelihood:
        r"""p(x|z) of such numbers, a family for each column.

        Positive columns are Gaussian in their logarithms, and so log-normal; a Student-t there would have no mean.
        A constant column has a Gaussian of scale 1: nothing is learned of a scale that is 0.

        Args:
            real: the family of real columns; where it is `widened` positive ones are too.
            count: the family of counts.
            balanced: whether training hears all columns alike, where a real one is otherwise worth several binary
                ones: with entropies $H_d$, of at least 0.25 nats, column d has the weight $\bar H / H_d$, which leaves
                the sum of all as it is. What is then climbed is no bound of log p(x); see `MixedLikelihood`.

        Raises:
            ValueError: if a family has no density at every real number, or no probability of every count.
        """
        weights = balanced_weights(self.entropies) if check_boolean("balanced", balanced) else None
        return MixedLikelihood(families_of(self.schema, self.constant, real, count), weights)

    def _checked(self, encoded: Any, rows: int | None = None) -> np.ndarray:
        """Numbers as float64, of this shape; another one would be broadcast."""
        try:
            found = np.asarray(encoded, np.float64)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"{MARK}encoded`. Expected numbers. Received: {encoded!r:.80}") from None
        if found.ndim != 2 or found.shape[1] != len(self.schema) or rows not in (None, len(found)):
            expected = shape_text("N" if rows is None else rows, len(self.schema))
            raise ValueError(f"{MARK}encoded`. Expected shape {expected}. Received: {list(found.shape)}")
        return found

    def to_dict(self) -> dict:
        """As a dictionary that JSON can hold."""
        return {**self.schema.to_dict(), **{name: list(getattr(self, name)) for name in _FITTED}}

    @classmethod
    def from_dict(cls, value: Mapping) -> "Coding":
        """The coding of which `to_dict` made this dictionary."""
        if not isinstance(value, Mapping) or value.keys() != {"columns", *_FITTED}:
            raise ValueError(f"{MARK}value`. Expected what `to_dict` makes of a coding. Received: {value!r:.200}")
        return cls(Schema.from_dict({"columns": value["columns"]}), *(value[name] for name in _FITTED))


def _check_schema(schema: Any) -> None:
    if not isinstance(schema, Schema):
        raise ValueError(f"{MARK}schema`. Expected a Schema. Received: a {type(schema).__name__}")


def _numbers(frame: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Cells as numbers, places of levels, and logarithms of positive ones, float64 `[N, D]`."""
    frame = schema.check(frame)
    found = [check_values(frame[column.name], column) for column in schema]
    logs = [np.log(cells) if column.kind == "positive" else cells for column, cells in zip(schema, found, strict=True)]
    return np.stack(logs, axis=1)


def _moments(column: Column, cells: np.ndarray) -> tuple[float, float, bool, float]:
    """What the cells are standardized by, whether they are all the same, and their entropy."""
    if column.kind not in _STANDARDIZED:
        shares = np.unique(cells[~np.isnan(cells)], return_counts=True)[1] / np.count_nonzero(~np.isnan(cells))
        return 0.0, 1.0, False, float(-(shares * np.log(shares)).sum())
    largest = float(np.nanmax(np.abs(cells)))
    if largest > _LARGEST:
        raise refusal(column.name, f"numbers up to {_LARGEST:g}; divide them by one of their size", "larger ones")
    # Of small numbers the squares would be 0; a power of two changes no digit.
    power = math.frexp(largest)[1]
    center, scale = float(np.nanmean(cells)), math.ldexp(float(np.nanstd(np.ldexp(cells, -power))), power)
    constant = scale <= _CONSTANT * abs(center)
    return center, 1.0 if constant else scale, constant, _OF_NORMAL


def _cells(column: Column, numbers: np.ndarray) -> pd.Series:
    """A column in its dtype, of numbers, places of levels or logarithms."""
    missing = np.isnan(numbers)
    known = np.where(missing, 0.0, numbers)
    if column.categories is not None:
        levels = np.empty(len(column.categories), object)
        levels[:] = column.categories
        places = np.clip(np.rint(known), 0, len(levels) - 1).astype(int)
        return with_dtype(levels[places], missing, column.dtype, column.categories)
    if column.kind == "positive":
        # Rounded to 0 it would be none of the column's values.
        known = np.maximum(np.exp(np.minimum(known, LARGEST_LOG)), least_above_zero(column.dtype))
    if column.kind == "count":
        known = np.maximum(np.rint(known), 0.0)
    return with_dtype(known, missing, column.dtype)
