"""Examples in the units that a binarization asks for, whatever holds them: levels, grey levels or numbers."""

import functools
import math
from pathlib import Path

import numpy as np

from keras_iwae.data.binarization import above_half, check_binarization, level_table
from keras_iwae.data.catalog import LEVELS, SPLITS, Source, examples, grey_levels, stored
from keras_iwae.data.sharded import Rows, known_levels, open_shards, rows_in_units
from keras_iwae.foundation import Support, check_choice, check_integer

# As which the pseudo-inputs of a prior may start.
_SAMPLE = 10_000


def num_levels(source: Source) -> int:
    """Return how many grey levels or counts the entries of a source may have: 0, 1, ..., up to one less.

    Args:
        source: as in `examples`.

    Returns:
        17 for digits, 2 for binary images, 256 for other 8-bit images; for a user's array of whole numbers one more
        than the largest of the training split.

    Raises:
        ValueError: as in `examples`, or if a user's array holds no whole numbers from 0 on.
    """
    if isinstance(source, (str, Path)) and str(source) in LEVELS:
        return LEVELS[str(source)]
    if (shards := open_shards(source)) is not None:
        return known_levels(shards)
    values = examples(source, "train")
    if values.dtype == np.uint8:
        return 2 if np.isin(values, (0, 255)).all() else 256
    whole = Support(low=0.0, integers=True).check(values, "source", missing=True)
    return _largest(whole) + 1


def _largest(values: np.ndarray) -> int:
    """The largest level; 0 where all are missing."""
    return int(np.nanmax(values, initial=0.0))


def whole_numbers(source: Source, split: str, levels: int | None = None) -> np.ndarray:
    """Return levels 0, ..., C - 1 of one split as float32: of grey levels 0..255, or whole numbers as they are.

    Bytes are grey levels where the largest of the training split is C or more and not level 0, and else levels already.

    Args:
        source: as in `examples`.
        split: "train", "validation" or "test".
        levels: C; `None` is `num_levels(source)`.

    Raises:
        ValueError: if they are no whole numbers from 0 to C - 1, or `levels` is no integer of at least 2.
    """
    known = num_levels(source) if levels is None else check_integer("levels", levels, at_least=2)
    values = stored(source, split, grey=False, binary=False)
    if values.dtype == np.uint8:
        # Of another type than this split, the training split may have more than a byte.
        brightest = _largest(stored(source, "train", grey=False, binary=False))
        table = level_table(known, brightest)
        if table is not None:
            return table[values]
    largest = math.inf if levels is None and values.dtype != np.uint8 else known - 1.0
    return Support(0.0, largest, integers=True).check(values, "source", missing=True)


def mean_image(source: Source, binarization: str = "dynamic", levels: int | None = None) -> np.ndarray:
    """Return the mean of each entry over the training split, from which the decoder's output bias starts.

    Args:
        source: as in `examples`.
        binarization: as in `load`: "levels" gives the mean level, "none" that of any numbers, and the others the mean
            grey level in [0, 1].
        levels: with "levels", how many levels the uint8 values of a source stand for, as in `load`.

    Returns:
        float32 `[H, W, C]`, or `[D]` for flat sources; of an entry that was never observed it is 0.

    Raises:
        ValueError: as in `images`, or if there is no such binarization.
    """
    check_binarization(binarization, levels)
    if (shards := open_shards(source)) is not None:
        units = binarization if binarization in ("none", "levels") else "dynamic"
        return rows_in_units(shards, "train", units, levels).mean()
    read = functools.partial(examples, floats=True) if binarization == "none" else grey_levels
    values = whole_numbers(source, "train", levels) if binarization == "levels" else read(source, "train")
    if values.dtype == np.uint8:
        return (values.mean(axis=0, dtype=np.float64) / 255.0).astype(np.float32)
    observed = ~np.isnan(values)
    total = np.where(observed, values, 0.0).sum(axis=0, dtype=np.float64)
    return (total / np.maximum(observed.sum(axis=0), 1)).astype(np.float32)


def in_units(source: Source, split: str, binarization: str, levels: int | None) -> np.ndarray | Rows:
    """All rows of a split in the units of the binarization, before any draw: an array, or those of a folder."""
    if (shards := open_shards(source)) is not None:
        return rows_in_units(shards, split, binarization, levels)
    if binarization == "levels":
        return whole_numbers(source, split, levels)
    if binarization == "none":
        return examples(source, split, floats=True)
    grey = grey_levels(source, split)
    return above_half(grey) if binarization == "threshold" else grey


def before_draws(source: Source, split: str, binarization: str, levels: int | None) -> np.ndarray:
    """Rows of a split as float32, as a model sees them on average: for pixels that are drawn their grey levels.

    All of them; of a folder of shards at most 10,000, at random and always the same.
    """
    found = in_units(source, split, binarization, levels)
    rows = found.sample(_SAMPLE) if isinstance(found, Rows) else found
    return rows.astype(np.float32) / np.float32(255.0 if rows.dtype == np.uint8 else 1.0)


def num_examples(source: Source, split: str) -> int:
    """Return how many examples a split has.

    Args:
        source: as in `load`.
        split: "train", "validation" or "test".

    Raises:
        ValueError: as in `examples`, or if a folder is no folder of shards.

    Example:
        >>> num_examples("digits", "test")
        300
    """
    if (shards := open_shards(source)) is not None:
        check_choice("split", split, SPLITS)
        return shards.splits[split].examples
    return len(examples(source, split))


def has_missing(source: Source) -> bool:
    """Whether some entry of the training split is NaN."""
    if (shards := open_shards(source)) is not None:
        return shards.splits["train"].missing
    values = examples(source, "train")
    return values.dtype.kind == "f" and bool(np.isnan(values).any())


def brightest_byte(source: Source) -> int | None:
    """The largest grey level of the training split; `None` where entries are no bytes."""
    if (shards := open_shards(source)) is not None:
        if shards.dtype != np.uint8:
            return None
        return int(shards.splits["train"].high or 0) * (255 if shards.bits else 1)
    values = examples(source, "train")
    return int(values.max()) if values.dtype == np.uint8 else None
