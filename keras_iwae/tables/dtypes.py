"""The pandas dtype of a column as text, and back: what a file can hold."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

_CATEGORY = "category["
_ORDERED = ", ordered"
_NULLABLE = {
    "bool": "boolean",
    **{f"{sign}int{bits}": f"{'U' if sign else ''}Int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


def dtype_text(dtype: object) -> str:
    """A dtype as text; of a categorical one the dtype of its categories too, and whether they are in an order."""
    if isinstance(dtype, pd.CategoricalDtype):
        return f"{_CATEGORY}{dtype.categories.dtype}{_ORDERED if dtype.ordered else ''}]"
    return str(dtype)


def dtype_of(text: str, categories: Sequence | None) -> object:
    """The dtype of which `dtype_text` made this text.

    Args:
        text: what it made.
        categories: all of the column, in their order, where it has any.
    """
    if not text.startswith(_CATEGORY):
        return pd.api.types.pandas_dtype(text)
    inner = text[len(_CATEGORY) : -1]
    ordered = inner.endswith(_ORDERED)
    index = pd.Index(list(categories or ()), dtype=inner.removesuffix(_ORDERED))
    return pd.CategoricalDtype(index, ordered=ordered)


def with_dtype(
    values: np.ndarray, missing: np.ndarray, text: str | None, categories: Sequence | None = None
) -> pd.Series:
    """A column of values in the dtype that `text` stands for.

    Where something is missing that NumPy's integers and booleans cannot leave out, it is in pandas' nullable dtype of
    the same name; whole numbers beyond the ends of a dtype are its ends.

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
        ends = np.iinfo(_width(dtype))
        cells = [
            None if gap else min(max(round(v), ends.min), ends.max) for v, gap in zip(values, missing, strict=True)
        ]
    if isinstance(dtype, np.dtype) and dtype.kind in "iub" and missing.any():
        dtype = pd.api.types.pandas_dtype(_NULLABLE[dtype.name])
    if isinstance(dtype, np.dtype) and dtype.kind == "f":
        return pd.Series(np.where(missing, np.nan, values), dtype=dtype)
    return pd.Series(cells, dtype=object).where(~missing, None).astype(dtype)


def _width(dtype: Any) -> np.dtype:
    """NumPy's dtype of as many bits."""
    return dtype if isinstance(dtype, np.dtype) else np.dtype(getattr(dtype, "numpy_dtype", np.int64))
