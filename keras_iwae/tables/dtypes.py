"""The pandas dtype of a column as text, and back: what a file can hold."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd

from keras_iwae.foundation import MARK

_CATEGORY = "category["
_ORDERED = ", ordered"
# Of pandas' own two of text and of Arrow's, pandas calls one like another.
_ARROW_TEXT = "arrow[string]"
_NULLABLE = {
    "bool": "boolean",
    "float64": "Float64",
    **{f"{sign}int{bits}": f"{'U' if sign else ''}Int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
# Beyond it whole numbers of float64 are further apart than 1.
LARGEST_WHOLE = 2.0**53
# Bytes of an integer; and the floats that there are.
_SIZES, _FLOATS = (1, 2, 4, 8), ("f2", "f4", "f8")


def dtype_text(dtype: object) -> str:
    """A dtype as text; of a categorical one the dtype of its categories too, and whether they are in an order."""
    if isinstance(dtype, pd.CategoricalDtype):
        return f"{_CATEGORY}{dtype_text(dtype.categories.dtype)}{_ORDERED if dtype.ordered else ''}]"
    return _ARROW_TEXT if isinstance(dtype, pd.ArrowDtype) and str(dtype) == "string[pyarrow]" else str(dtype)


def dtype_of(text: str, categories: Sequence | None) -> object:
    """The dtype of which `dtype_text` made this text.

    Args:
        text: what it made.
        categories: all of the column, in their order, where it has any.

    Raises:
        ValueError: if it is none, or one of categories that these are not.
    """
    try:
        if text == "category":
            return pd.CategoricalDtype(list(categories or ()))
        if text == _ARROW_TEXT:
            return _arrow_text()
        if not text.startswith(_CATEGORY):
            return pd.api.types.pandas_dtype(text)
        inner = text[len(_CATEGORY) : -1]
        ordered = inner.endswith(_ORDERED)
        index = pd.Index(list(categories or ()), dtype=dtype_of(inner.removesuffix(_ORDERED), None))
        return pd.CategoricalDtype(index, ordered=ordered)
    except (AttributeError, TypeError, ValueError, NotImplementedError):
        expected = "a dtype of pandas as text, as 'Int64', and for a categorical one categories of its own type"
        raise ValueError(f"{MARK}text`. Expected {expected}. Received: {text!r}, {categories!r:.80}") from None


def _arrow_text() -> pd.ArrowDtype:
    """Arrow's dtype of text."""
    try:
        import pyarrow
    except ImportError:
        raise ValueError("pyarrow is not installed") from None
    return pd.ArrowDtype(pyarrow.string())


def holds_text(dtype: Any) -> bool:
    """Whether a dtype is of text alone, of pandas' or of Arrow's; objects may be anything.

    Example:
        >>> holds_text(pd.StringDtype("python")), holds_text(np.dtype(object))
        (True, False)
    """
    return isinstance(dtype, pd.StringDtype) or (
        isinstance(dtype, pd.ArrowDtype) and pd.api.types.is_string_dtype(dtype)
    )


def holds_numbers(dtype: Any) -> bool:
    """Whether real numbers, or some of them, are values of a dtype; not where they are booleans."""
    types = pd.api.types
    if types.is_bool_dtype(dtype) or types.is_complex_dtype(dtype) or isinstance(dtype, pd.CategoricalDtype):
        return False
    return types.is_numeric_dtype(dtype) or types.is_object_dtype(dtype)


def not_held(text: str, levels: Sequence) -> list:
    """Those of some levels that are others, or none, in the dtype that `text` stands for.

    Example:
        >>> not_held("int8", (1, 300, 2.5))
        [300, 2.5]
    """

    def held(level: object) -> bool:
        cells = np.empty(1, object)
        cells[:] = [level]
        try:
            found = with_dtype(cells, np.array([False]), text, levels)
        except (TypeError, ValueError, OverflowError):
            return False
        # One that is wider is another dtype.
        return found.dtype == dtype_of(text, levels) and found.tolist() == [level]

    return [level for level in levels if not held(level)]


def with_dtype(
    values: np.ndarray, missing: np.ndarray, text: str | None, categories: Sequence | None = None
) -> pd.Series:
    """A column of values in the dtype that `text` stands for.

    Where something is missing that NumPy's integers and booleans cannot leave out, it is in pandas' nullable dtype of
    the same name; numbers beyond the ends of a dtype are in a wider one, as `holding` says.

    Args:
        values: numbers or objects `[N]`.
        missing: bool `[N]`.
        text: what `dtype_text` made, `None` for whatever suits the values.
        categories: as for `dtype_of`.
    """
    dtype: Any = dtype_of(text, categories) if text is not None else None
    cells: Any = values
    if dtype is None:
        return pd.Series(values).where(~missing, None).infer_objects()
    if pd.api.types.is_integer_dtype(dtype):
        cells = [None if gap else round(v) for v, gap in zip(values, missing, strict=True)]
        dtype = holding(dtype, [cell for cell in cells if cell is not None])
        # Arrow takes no integer beyond 64 bits for a float.
        cells = values if pd.api.types.is_float_dtype(dtype) else cells
    elif pd.api.types.is_float_dtype(dtype):
        dtype = holding(dtype, values[~missing])
    if isinstance(dtype, np.dtype) and dtype.kind in "iub" and missing.any():
        dtype = _nullable(dtype)
    if isinstance(dtype, np.dtype) and dtype.kind == "f":
        return pd.Series(np.where(missing, np.nan, values), dtype=dtype)
    return pd.Series(cells, dtype=object).where(~missing, None).astype(dtype)


def holding(dtype: Any, numbers: Collection) -> Any:
    """A dtype of integers or floats, or the narrowest wider one of its kind that holds these numbers too.

    Unsigned ones become signed where a number is below 0, and where no integers of pandas are wide enough it is
    float64; what is NumPy's, nullable or Arrow's stays that. Every other dtype is itself.

    Args:
        dtype: of pandas or NumPy.
        numbers: none of them missing, and whole where the dtype is one of integers.

    Example:
        >>> holding(np.dtype("int8"), [3, 200])
        dtype('int16')
    """
    own, floats = numpy_dtype(dtype), pd.api.types.is_float_dtype(dtype)
    # Of a sparse one the numbers are of a dtype that it does not say so.
    if not len(numbers) or not (pd.api.types.is_integer_dtype(dtype) or (floats and own.kind == "f")):
        return dtype
    # Whole numbers may have more digits than NumPy's.
    given: Any = np.asarray(numbers, np.float64).ravel() if floats else numbers
    low, high = (given.min(), given.max()) if floats else (min(given), max(given))
    names = _FLOATS if floats else (*(f"{own.kind}{size}" for size in _SIZES), *(f"i{size}" for size in _SIZES), "f8")
    wider = (other for other in map(np.dtype, names) if np.can_cast(own, other))
    found = next((other for other in wider if other.name == "float64" or _spans(other, low, high)), own)
    if isinstance(dtype, np.dtype) or found == own:
        return dtype if found == own else found
    arrow = isinstance(dtype, pd.ArrowDtype)
    return pd.api.types.pandas_dtype(f"{found.name}[pyarrow]") if arrow else _nullable(found)


def _spans(dtype: np.dtype, low: float, high: float) -> bool:
    ends = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return bool(ends.min <= low and high <= ends.max)


def least_above_zero(text: str | None) -> float:
    """The smallest number above 0 that the dtype holds which `text` stands for, `None` being float64.

    Example:
        >>> least_above_zero("Int64")
        1.0
    """
    own = np.dtype(np.float64) if text is None else numpy_dtype(dtype_of(text, None))
    if own.kind in "iu":
        return 1.0
    return float(np.finfo(own if own.kind == "f" else np.float64).tiny)


def _nullable(dtype: np.dtype) -> Any:
    return pd.api.types.pandas_dtype(_NULLABLE[dtype.name])


def numpy_dtype(dtype: Any) -> np.dtype:
    """NumPy's dtype of the same numbers."""
    return dtype if isinstance(dtype, np.dtype) else np.dtype(getattr(dtype, "numpy_dtype", np.int64))
