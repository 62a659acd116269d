"""Values of one column of a table: as numbers, or as places among its levels; what is neither is refused by name."""

import datetime
import decimal
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from keras_iwae.foundation import MARK

_DATE = re.compile(r"\s*(\d{1,4})[-/.](\d{1,2})[-/.](\d{1,4})([ T].*)?")
# Values that are looked at to tell what a column of text holds, and levels that an error names.
_LOOKED_AT, _SHOWN = 200, 8


def refusal(name: Any, expected: str, received: str) -> ValueError:
    """The error of a column."""
    return ValueError(f"{MARK}column {name!r}`. Expected {expected}. Received: {received}")


def missing_of(series: pd.Series) -> pd.Series:
    """Which cells are missing, bool: of Arrow's floats what is NaN too, which pandas takes for a number there."""
    found = series.isna()
    if not isinstance(series.dtype, np.dtype) and pd.api.types.is_float_dtype(series.dtype):
        found |= np.isnan(series.to_numpy(np.float64, na_value=np.nan))
    return found


def check_type(series: pd.Series, name: Any) -> str:
    """What the observed values are: "number", "bool" or "text".

    Raises:
        ValueError: if they are dates, of several types, or of a type that is none of these.
    """
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return check_type(pd.Series(dtype.categories), name)
    if pd.api.types.is_bool_dtype(dtype) and not pd.api.types.is_object_dtype(dtype):
        return "bool"
    if pd.api.types.is_complex_dtype(dtype):
        raise refusal(name, "real numbers", f"dtype {dtype}")
    if pd.api.types.is_numeric_dtype(dtype):
        return "number"
    observed = series.dropna()
    kinds = {_kind_of(value): value for value in observed}
    if pd.api.types.is_datetime64_any_dtype(dtype) or not kinds.keys().isdisjoint({"date", "duration"}):
        raise _dates(name, str(dtype) if "date" not in kinds else plain_text(kinds["date"]))
    if len(kinds) > 1:
        found = " and ".join(f"{kind} ({plain_text(value)})" for kind, value in sorted(kinds.items())[:3])
        raise refusal(name, "values of one type", found)
    if not kinds:
        return "number"
    ((kind, value),) = kinds.items()
    if kind not in ("number", "bool", "text"):
        raise refusal(name, "numbers, text or booleans", f"{kind} ({plain_text(value)})")
    if kind == "text" and all(map(_is_date, observed.iloc[:_LOOKED_AT])):
        raise _dates(name, repr(value), "; or, if they are levels, that you say it is 'categorical'")
    return kind


def _is_date(text: str) -> bool:
    """Whether a text is a date, which has a year of two digits or four, a month and a day; versions have not."""
    found = _DATE.fullmatch(text)
    if found is None:
        return False
    first, middle, last = found.groups()[:3]
    ends = ((first, last), (last, first))
    days = (sorted((int(middle), int(day))) for year, day in ends if len(year) in (2, 4) and len(day) < 3)
    return any(1 <= low <= 12 and high <= 31 for low, high in days)


def _kind_of(value: object) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "bool"
    if isinstance(value, (int, float, np.integer, np.floating, decimal.Decimal)):
        return "number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, (datetime.date, np.datetime64, pd.Period)):
        return "date"
    if isinstance(value, (datetime.timedelta, np.timedelta64)):
        return "duration"
    return type(value).__name__


def _dates(name: Any, received: str, remedy: str = "") -> ValueError:
    expected = "numbers or levels; dates as a number, such as days since a day, or the column left out"
    return refusal(name, f"{expected}{remedy}", received)


def numbers(series: pd.Series, name: Any) -> np.ndarray:
    """The values as float64 `[N]`, NaN where they are missing.

    Raises:
        ValueError: if they are no numbers, or one is infinite.
    """
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = pd.Series(np.asarray(series, object))
    if check_type(series, name) == "text":
        raise refusal(name, "numbers", f"text ({series.dropna().iloc[0]!r})")
    values = (
        np.array([np.nan if missing else _as_float(v) for v, missing in zip(series, series.isna(), strict=True)])
        if series.dtype == object
        else series.to_numpy(np.float64, na_value=np.nan)
    )
    if infinite := int(np.isinf(values).sum()):
        raise refusal(name, "finite numbers, and NaN where one is missing", f"{infinite} that are infinite")
    return values


def _as_float(number: Any) -> float:
    """A number as float64; a whole one that is beyond it is infinite, as others are."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def levels(series: pd.Series, categories: Sequence, name: Any) -> np.ndarray:
    """Places of the values among the levels, float64 `[N]`, NaN where they are missing.

    Raises:
        ValueError: if a value is none of the levels; it names the first of them.
    """
    places = {category: float(place) for place, category in enumerate(categories)}
    missing = missing_of(series).to_numpy()
    values = np.asarray(series, object)
    found = np.array([np.nan if gap else _place(places, value) for value, gap in zip(values, missing, strict=True)])
    if (found < 0.0).any():
        unknown = list(dict.fromkeys(map(plain_text, values[found < 0.0])))
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise refusal(
            name,
            f"one of the levels {shown(categories)}{_spelling(values[found < 0.0].tolist(), categories)}",
            f"{', '.join(unknown[:_SHOWN])}{more}, which was not there when the levels were set",
        )
    return found


def _spelling(unknown: Sequence, categories: Sequence) -> str:
    """What to do about levels of another spelling or type, in words; empty where they are others."""
    texts = all(isinstance(value, str) for value in [*unknown, *categories])
    for alike in (_number, lambda value: str(value).strip().casefold()):
        if not ({alike(category) for category in categories} - {None}).isdisjoint(map(alike, unknown)):
            if not texts:
                return ", of the same type"
            # An order of numbers needs no levels that are said.
            further = "; numbers are in their order where the kind is 'ordinal' alone" if alike is _number else ""
            return f", to the letter, as the cells have them{further}"
    return ""


def _number(value: object) -> float | None:
    try:
        return float(str(value).replace(",", "."))
    except ValueError:
        return None


def _place(places: dict, value: object) -> float:
    """Where a value is among the levels, -1 where it is nowhere."""
    try:
        return places.get(value, -1.0)
    except TypeError:
        # A list or the like, which is no level.
        return -1.0


def plain_text(value: Any) -> str:
    """A value for an error; of NumPy's the number alone."""
    return repr(value.item() if isinstance(value, np.generic) else value)


def shown(categories: Sequence) -> str:
    """Levels for an error, the first few."""
    names = ", ".join(map(plain_text, categories[:_SHOWN]))
    return names if len(categories) <= _SHOWN else f"{names}, ... ({len(categories)} of them)"
