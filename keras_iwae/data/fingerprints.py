"""Which examples they are: a digest, so that a file that changes behind its name is noticed."""

import hashlib
from typing import NamedTuple

import numpy as np

from keras_iwae.data.catalog import Source
from keras_iwae.data.pipeline import in_units


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
    if values.dtype.kind == "f":
        # One zero, and one NaN: what is equal has equal bytes.
        values = np.where(np.isnan(values), values.dtype.type(np.nan), values + values.dtype.type(0.0))
    values = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    found = hashlib.sha256(f"{values.dtype.str} {values.shape}".encode())
    found.update(values.data)
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
