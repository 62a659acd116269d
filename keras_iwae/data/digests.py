"""Digests of examples: equal where the examples are, whatever holds them and wherever."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

# Rows at a time, so that a large data set is not in memory twice.
_BLOCK = 1000


def digest(values: np.ndarray) -> str:
    """256 bits of an array's type, shape and entries in hexadecimal, the same on every machine.

    Example:
        >>> digest(np.zeros(3, np.uint8)) == digest(np.zeros((3, 1), np.uint8))
        False
    """
    found = begun(values.dtype, values.shape)
    for begin in range(0, len(values), _BLOCK):
        add_rows(found, values[begin : begin + _BLOCK])
    return found.hexdigest()


def digest_of_batches(batches: Iterable[np.ndarray], examples: int) -> str:
    """The digest of the array that some batches `[B, ...]` are together, of so many examples."""
    found: Any = None
    for batch in batches:
        found = begun(batch.dtype, (examples, *batch.shape[1:])) if found is None else found
        add_rows(found, batch)
    return found.hexdigest()


def begun(dtype: np.dtype, shape: tuple[int, ...]) -> Any:
    """A digest of an array of this type and shape, of which no row is there yet."""
    return hashlib.sha256(f"{dtype.newbyteorder('<').str} {shape}".encode())


def add_rows(found: Any, rows: np.ndarray) -> None:
    """Go on with a digest by the next rows of the array."""
    kind = rows.dtype.newbyteorder("<")
    if kind.kind == "f":
        # One zero, and one NaN: what is equal has equal bytes.
        rows = np.where(np.isnan(rows), kind.type(np.nan), rows + kind.type(0.0))
    found.update(np.ascontiguousarray(rows, kind).data)
