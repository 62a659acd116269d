"""One split of a folder of shards in the units of a binarization: rows that are read where they are asked for."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_iwae.data.arrays import as_examples
from keras_iwae.data.binarization import above_half, drawn_at, level_table
from keras_iwae.data.catalog import SPLITS, names
from keras_iwae.data.permutation import permuted
from keras_iwae.data.shards import Shards, is_folder
from keras_iwae.foundation import Support, check_choice, check_integer

# Bytes of examples at a time, where all of them pass by.
_BLOCK = 2**22


def open_shards(source: object) -> Shards | None:
    """The folder of shards that a source is; `None` where it is a name, a file or an array.

    Raises:
        ValueError: if it is another folder, or one of which something is missing.
    """
    if is_folder(source) and str(source) not in names() and Path(str(source)).suffix not in (".npz", ".npy"):
        return Shards.open(str(source))
    return None


@dataclass(frozen=True)
class Rows:
    """N examples of a split.

    Attributes:
        shards: the folder.
        split: "train", "validation" or "test".
        dtype: uint8 grey levels, or float32.
        reading: all that decides what the units of a stored value are, for a digest.
        table: what each of 256 bytes stands for; `None` where they stand for themselves.
        of_floats: what float32 becomes; `None` where it stays.
        limit: only the first so many.
        seed: where each pixel is drawn once from its grey level, by this.
    """

    shards: Shards
    split: str
    dtype: np.dtype
    reading: tuple
    table: np.ndarray | None = None
    of_floats: Callable[[np.ndarray], np.ndarray] | None = None
    limit: int | None = None
    seed: tuple[int, ...] | None = None

    def __len__(self) -> int:
        count = self.shards.splits[self.split].examples
        return count if self.limit is None else min(count, self.limit)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an example."""
        return self.shards.shape

    @property
    def missing(self) -> bool:
        """Whether entries of some example are NaN."""
        return self.shards.splits[self.split].missing

    def first(self, limit: int | None) -> "Rows":
        """The first of them."""
        return replace(self, limit=limit)

    def drawn(self, *seed: int) -> "Rows":
        """With pixels that are drawn once, as `drawn_once` draws those of an array."""
        return replace(self, seed=seed, dtype=np.dtype(np.float32))

    def take(self, places: np.ndarray) -> np.ndarray:
        """Some of them, `[B, *shape]` of the type `dtype`, by their places, int64 `[B]`."""
        rows = self.shards.read(self.split, places)
        if self.table is not None:
            rows = self.table[rows]
        elif self.of_floats is not None:
            rows = self.of_floats(rows)
        if self.seed is not None:
            rows = drawn_at(rows, self.seed, places)
        return rows.astype(self.dtype, copy=False)

    def blocks(self) -> Iterator[np.ndarray]:
        """All of them, in order, a few MB at a time."""
        size = max(1, _BLOCK // (math.prod(self.shape) * self.shards.dtype.itemsize))
        for begin in range(0, len(self), size):
            yield self.take(np.arange(begin, min(begin + size, len(self))))

    def sample(self, most: int) -> np.ndarray:
        """All of them, or so many at random, always the same ones, in order."""
        if len(self) <= most:
            return self.take(np.arange(len(self)))
        places = permuted(tf.range(most, dtype=tf.int64), len(self), tf.zeros([2], tf.int64))
        return self.take(np.sort(places.numpy()))

    def mean(self) -> np.ndarray:
        """The mean of each entry over the examples that it was observed in, 0 where there are none, float32."""
        if self.reading[0] == "levels" and (self.table is not None or self.of_floats is not None):
            total, observed = np.zeros(self.shape), np.zeros(self.shape, np.int64)
            for block in self.blocks():
                there = ~np.isnan(block)
                total += np.where(there, block, 0.0).sum(axis=0, dtype=np.float64)
                observed += there.sum(axis=0)
        else:
            total, observed = self.shards.totals()
            if self.table is not None:
                # Of bits, the one other table: sums of 0 and 1, which are levels 0 and 255.
                total = total * float(self.table[1])
        if self.dtype == np.uint8:
            return (total / observed / 255.0).astype(np.float32)
        return (total / np.maximum(observed, 1)).astype(np.float32)

    def digest(self) -> str:
        """256 bits that tell these examples, and what is made of them, from others, in hexadecimal."""
        # The order in which they are trained on is that of shards, which no array has.
        said = ["shards", self.shape, self.shards.dtype.str, self.shards.bits, self.reading]
        return hashlib.sha256(json.dumps([*said, self.shards.splits[self.split].sha256]).encode()).hexdigest()


def known_levels(shards: Shards) -> int:
    """How many grey levels or counts the entries of a folder may have.

    Raises:
        ValueError: if they are no whole numbers from 0 on.
    """
    if shards.levels is None:
        Support(low=0.0, integers=True).check(shards.splits["train"].witnesses(shards.dtype), "source", missing=True)
    return int(shards.levels or 1)


def rows_in_units(shards: Shards, split: str, binarization: str, levels: int | None) -> Rows:
    """One split in the units of a binarization, before any draw, as `units.in_units` has those of an array.

    Raises:
        ValueError: if what is stored is out of their range.
    """
    check_choice("split", split, SPLITS)
    # What is asked of all entries is asked of a few, which are at the ends of their range.
    witnesses = shards.splits[split].witnesses(shards.dtype)
    stored_bytes = shards.dtype == np.uint8
    if binarization == "levels":
        return _of_levels(shards, split, witnesses, levels)
    if binarization == "none":
        as_examples(witnesses.astype(np.int64) if shards.integers else witnesses, grey=False, binary=False, floats=True)
    else:
        as_examples(witnesses, binary=False)
    table = np.minimum(np.arange(256) * 255, 255).astype(np.uint8) if shards.bits else None
    of_floats = None
    dtype = shards.dtype
    if binarization == "threshold":
        if stored_bytes:
            table = above_half(np.arange(256, dtype=np.uint8) if table is None else table).astype(np.float32)
        else:
            of_floats = above_half
        dtype = np.dtype(np.float32)
    return Rows(shards, split, dtype, (binarization, shards.integers), table, of_floats)


def _of_levels(shards: Shards, split: str, witnesses: np.ndarray, levels: int | None) -> Rows:
    stored_bytes, table = shards.dtype == np.uint8, None
    known = known_levels(shards) if levels is None else check_integer("levels", levels, at_least=2)
    brightest = shards.splits["train"].high
    if stored_bytes and brightest is not None:
        table = level_table(known, int(brightest))
    of_floats = None
    if table is None:
        support = Support(0.0, math.inf if levels is None and not stored_bytes else known - 1.0, integers=True)
        support.check(witnesses, "source", missing=True)
        if not stored_bytes:

            def of_floats(rows: np.ndarray) -> np.ndarray:
                return support.check(rows, "source", missing=True)

    return Rows(shards, split, np.dtype(np.float32), ("levels", known, brightest), table, of_floats)
