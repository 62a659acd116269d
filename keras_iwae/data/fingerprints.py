"""Which examples they are: a digest, so that a file that changes behind its name is noticed."""

from typing import NamedTuple

from keras_iwae.data.catalog import Source
from keras_iwae.data.digests import digest
from keras_iwae.data.sharded import Rows
from keras_iwae.data.units import in_units


class Fingerprint(NamedTuple):
    """What tells the examples of a split from others.

    Attributes:
        num_examples: how many there are.
        sha256: their digest; of a folder of shards made of the digest that it was written with, and of how it is read.
    """

    num_examples: int
    sha256: str


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
    return Fingerprint(len(values), values.digest() if isinstance(values, Rows) else digest(values))
