"""The kind of a column, by its dtype and its values."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from keras_iwae.foundation import MARK
from keras_iwae.tables.dress import UNDRESSED, dressed
from keras_iwae.tables.dtypes import LARGEST_WHOLE, dtype_text, not_held
from keras_iwae.tables.schema import Column
from keras_iwae.tables.values import check_type, levels, missing_of, numbers, plain_text, refusal, shown

# Text of more levels is free text or identifiers.
_MOST_LEVELS = 50
# Fewer values than this are too few to tell a level or a shape by.
_FEWEST = 20
# Whole numbers of so few values, each seen so often on average, are levels in an order.
_MOST_GRADES, _PER_GRADE = 10, 10
# Beyond it a negative binomial has nothing that a density does not.
_LARGEST_COUNT = 100_000
# Whole numbers that float32 tells apart, and well within what the mean of counts reaches; see `CountLikelihood`.
MOST_COUNTED = 10_000_000
COUNTS = f"counts, whole numbers from 0 to {MOST_COUNTED:,}; larger ones are 'positive', or 'real' where one is 0"


def infer_column(series: pd.Series, name: Any, given: str | Column | None = None) -> Column:
    """What a column is.

    Args:
        series: its values.
        name: its name.
        given: its kind, one of `KINDS`, or all of it, where that is known.

    Raises:
        ValueError: which names the column, if it has no kind, or is not what is given.
    """
    if not isinstance(name, (str, int)):
        raise ValueError(f"{MARK}columns`. Expected names that are strings or integers. Received: {name!r}")
    dtype = dtype_text(series.dtype)
    if isinstance(given, Column):
        check_values(series, given)
        if given.dtype is not None:
            return given
        if given.categories is None:
            return replace(given, dtype=_of_numbers(series))
        return given if not_held(dtype, given.categories) else replace(given, dtype=dtype)
    series = series[~missing_of(series)]
    if series.empty:
        raise refusal(name, "at least one value", "none: all are missing; leave the column out")
    if given is not None:
        column = _of_kind(series, name, given, dtype)
        check_values(series, column)
        return column
    kind = check_type(series, name)
    if isinstance(series.dtype, pd.CategoricalDtype):
        return _levelled(name, list(series.dtype.categories), dtype, bool(series.dtype.ordered))
    if kind == "bool":
        return Column(name, "binary", (False, True), dtype=dtype)
    if kind == "text":
        found = sorted(series.unique())
        if (dress := dressed(found)) is not None:
            expected = f"numbers of digits alone, as {UNDRESSED}"
            raise refusal(name, f"{expected}; or, if they are levels, that you say it is 'categorical'", repr(dress))
        count = len(series)
        if len(found) > _MOST_LEVELS or (len(found) > _MOST_GRADES and 2 * len(found) > count):
            raise refusal(
                name,
                f"numbers, or text of at most {_MOST_LEVELS} levels that repeat; leave free text and identifiers out, "
                "or say that it is 'categorical'",
                f"{len(found)} different texts in {count} rows, such as {found[0]!r}",
            )
        return _levelled(name, found, dtype)
    return _numeric(series, name, dtype)


def check_values(series: pd.Series, column: Column) -> np.ndarray:
    """Values as numbers, or as places among the levels, float64 `[N]`, NaN where they are missing.

    Raises:
        ValueError: which names the column, if there are values that it cannot have.
    """
    if column.categories is not None:
        return levels(series, column.categories, column.name)
    values = numbers(series, column.name)
    observed = values[~np.isnan(values)]
    if column.kind == "positive" and (observed <= 0.0).any():
        raise refusal(column.name, "numbers above 0", f"{observed.min():g}")
    if column.kind == "count" and (observed > MOST_COUNTED).any():
        raise refusal(column.name, COUNTS, f"{observed.max():g}")
    if column.kind == "count" and ((observed < 0.0) | (observed != np.round(observed))).any():
        wrong = observed[(observed < 0.0) | (observed != np.round(observed))]
        raise refusal(column.name, COUNTS, f"{wrong[0]:g}")
    return values


def _of_kind(series: pd.Series, name: Any, kind: str, dtype: str) -> Column:
    if kind in ("real", "positive", "count"):
        # Which says of text that it is none.
        numbers(series, name)
        return Column(name, kind, dtype=_of_numbers(series))
    # Which says of dates that they are none, but of text that may be versions: it is levels to the letter.
    text = _is_text(series) or check_type(series, name) == "text"
    if pd.api.types.is_float_dtype(series.dtype) and (far := series.abs().max()) >= LARGEST_WHOLE:
        remedy = (
            "levels that float64 tells apart; read the column as text, as pd.read_csv(path, dtype={name: str}) does"
        )
        raise refusal(name, remedy, f"{series.dtype} up to {far:g}")
    if isinstance(series.dtype, pd.CategoricalDtype):
        found = tuple(series.dtype.categories)
        # Categories that nobody put in an order are in that of the alphabet, or of the rows; numbers have their own.
        ordered = series.dtype.ordered or (not text and series.dtype.categories.is_monotonic_increasing)
    else:
        found, ordered = tuple(sorted(series.unique())), not text
    if kind == "ordinal" and not ordered:
        order = f"Column({name!r}, 'ordinal', categories) with them in their order"
        expected = f"{order}, the kind 'ordinal(low<mid<high)' with these, or pandas' ordered categories"
        raise refusal(name, expected, f"{'text' if text else 'categories'} in no order: {shown(found)}")
    if isinstance(series.dtype, pd.CategoricalDtype):
        return Column(name, kind, found, dtype=dtype)
    if kind == "binary" and len(found) > 2:
        raise refusal(name, "two levels", f"{len(found)}: {shown(found)}")
    if kind == "binary" and len(found) == 1:
        raise refusal(
            name, f"Column({name!r}, 'binary', categories), which names both levels", f"{plain_text(found[0])} alone"
        )
    return Column(name, kind, found, dtype=dtype)


def _is_text(series: pd.Series) -> bool:
    cells = series.dtype.categories if isinstance(series.dtype, pd.CategoricalDtype) else series
    return pd.api.types.infer_dtype(cells, skipna=True) == "string"


def _of_numbers(series: pd.Series) -> str:
    """The dtype of what is modelled as a number, and so comes back as one."""
    dtype = series.dtype.categories.dtype if isinstance(series.dtype, pd.CategoricalDtype) else series.dtype
    return "float64" if pd.api.types.is_bool_dtype(dtype) else dtype_text(dtype)


def _levelled(name: Any, found: list, dtype: str, ordered: bool = False) -> Column:
    kind = "binary" if len(found) == 2 else "ordinal" if ordered else "categorical"
    return Column(name, kind, tuple(found), dtype=dtype)


def _numeric(series: pd.Series, name: Any, dtype: str) -> Column:
    values = numbers(series, name)
    values = values[~np.isnan(values)]
    different = np.unique(values)
    if len(different) == 1:
        return Column(name, "real", dtype=dtype)
    whole = bool((values == np.round(values)).all()) and np.abs(values).max() < LARGEST_WHOLE
    integer = pd.api.types.is_integer_dtype(series.dtype)
    # Floats may be whole by chance where there are few of them.
    if whole and (integer or len(values) >= _FEWEST):
        exact = tuple(int(v) if integer else float(v) for v in different)
        if set(exact) == {0, 1} or (len(exact) == 2 and len(values) >= _FEWEST):
            return Column(name, "binary", exact, dtype=dtype)
        varies = values.var() >= 0.5 * values.mean()
        if values.min() >= 0.0 and values.max() <= _LARGEST_COUNT and varies:
            return Column(name, "count", dtype=dtype)
        if len(exact) <= _MOST_GRADES and len(values) >= _PER_GRADE * len(exact):
            return Column(name, "ordinal", exact, dtype=dtype)
    skewed = len(values) >= _FEWEST and values.min() > 0.0 and _skew(values) > 1.0
    positive = skewed and abs(_skew(np.log(values))) < 0.5 * _skew(values)
    return Column(name, "positive" if positive else "real", dtype=dtype)


def _skew(values: np.ndarray) -> float:
    scale = values.std()
    # Numbers that are nearly all the same, as identifiers of 18 digits are to float64, may have none.
    return float((((values - values.mean()) / scale) ** 3).mean()) if scale > 0.0 else 0.0
