"""A column with its gaps filled in, whose own cells keep every digit whatever dtype they come in."""

from typing import Any

import numpy as np
import pandas as pd

from keras_iwae.tables.dtypes import holding, holds_text

# What pandas and Arrow say of a dtype that does not take a value.
_UNHELD = (TypeError, ValueError, OverflowError, NotImplementedError)


def patched(own: pd.Series, new: pd.Series, gap: pd.Series) -> pd.Series:
    """A column with its gaps filled, in the dtype of what is filled in unless its own cells would lose digits.

    Args:
        own: the column.
        new: what is filled in, in the dtype of what was learned.
        gap: where the column has nothing, bool; somewhere at least.
    """
    dtype: Any = new.dtype
    if isinstance(own.dtype, np.dtype) and own.dtype == dtype and dtype.kind == "f":
        # By far the fastest, and tables of many imputations are mostly this.
        return pd.Series(np.where(gap, new, own), own.index)
    known, came = own[~gap], own.dtype.categories.dtype if isinstance(own.dtype, pd.CategoricalDtype) else own.dtype
    if len(known) and _are_booleans(new.dropna()) and not _are_booleans(known):
        # Learned as booleans, and here as 0 and 1.
        new = new.astype(object).map(int, na_action="ignore")
        dtype = came
    elif pd.api.types.is_float_dtype(own.dtype):
        whole = not (known.to_numpy(np.float64) % 1.0).any()
        if pd.api.types.is_float_dtype(dtype) or (pd.api.types.is_integer_dtype(dtype) and not whole):
            dtype = own.dtype
    elif holds_text(dtype) and holds_text(own.dtype):
        dtype = own.dtype
    merged = own.astype(object).where(~gap, new.astype(object))
    cells = merged.dropna()
    if dtype != own.dtype and not _holds(holding(dtype, cells), known):
        wide = (holding(came, cells), np.dtype(np.float64))
        return merged.astype(next((other for other in wide if _holds(other, cells)), np.dtype(object)))
    return merged.astype(holding(dtype, cells))


def _holds(dtype: Any, cells: pd.Series) -> bool:
    """Whether cells of which none is missing are the same in a dtype, to the last digit."""
    try:
        return _plain(cells.astype(object).astype(dtype)) == _plain(cells)
    except _UNHELD:
        return False


def _plain(cells: pd.Series) -> list:
    """Cells as Python's own values, which compare by all of their digits, where NumPy's are made floats first."""
    return [getattr(cell, "item", lambda cell=cell: cell)() for cell in cells.astype(object)]


def _are_booleans(cells: pd.Series) -> bool:
    """Whether cells of which none is missing are booleans, and not the numbers 0 and 1."""
    return all(isinstance(cell, (bool, np.bool_)) for cell in cells)
