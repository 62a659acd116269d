"""Which examples they are: a digest, so that a file that changes behind its name is noticed."""

import hashlib
from typing import NamedTuple

import numpy as np

from keras_iwae.data.catalog import Source
from keras_iwae.data.pipeline import in_units

# Rows at a time, so that a large data set is not in memory twice.
_BLOCK = 1000


class Fingerprint(NamedTuple):
    """What tells the examples of a split from others.

    Attributes:
        num_examples: how many there are.
        sha256: `digest` of them.
    """

    num_examples: int
    sha256: str


def digest(values: np.ndarray) -> str:
    """256 bits of an array's type, shape and entries in hexadecimal, the same on every machine.

    Example:
        >>> digest(np.zeros(3, np.uint8)) == digest(np.zeros((3, 1), np.uint8))
        False
    """
    kind = values.dtype.newbyteorder("<")
    found = hashlib.sha256(f"{kind.str} {values.shape}".encode())
    for begin in range(0, len(values), _BLOCK):
        block = values[begin : begin + _BLOCK]
        if kind.kind == "f":
            # One zero, and one NaN: what is equal has equal bytes.
            block = np.where(np.isnan(block), kind.type(np.nan), block + kind.type(0.0))
        found.update(np.ascontiguousarray(block, kind).data)
    return found.hexdigest()


def fingerprint(source: Source, split: str, binarization: str = "dynamic", levels: int | None = None) -> Fingerprint:
    """The fingerprint of one split as `load` takes it, before anything is drawn or shuffled.

    Args:
        source: as in `load`.
        split: "train", "validation" or "test".
        binarization: as in `load`, which says what bytes stand for.
        levels: as in `load`.

    Raises:
        ValueError: as `load`.

    Example:
        >>> fingerprint("digits", "test").num_examples
        300
    """
    values = in_units(source, split, binarization, levels)
    return Fingerprint(len(values), digest(values))
