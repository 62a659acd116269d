"""Shards that are written side by side, examples by their places, and what becomes known of them meanwhile."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from keras_iwae.data.array_records import Writer
from keras_iwae.data.arrays import as_examples
from keras_iwae.data.shards import shard_name
from keras_iwae.data.streams import Stream
from keras_iwae.data.tally import Tally
from keras_iwae.foundation import MARK, shape_text


class Writing:
    """The files of all splits.

    Args:
        folder: where they are written.
        shards: files of each split.

    Attributes:
        tallies: of each split that there is an example of, what is known of its examples.
        shape: of an example.
        dtype: uint8 or float32.
        integers: whether some were integers other than bytes.
    """

    def __init__(self, folder: Path, shards: int):
        self._folder, self._shards = folder, shards
        self._writers: dict[str, list[Writer]] = {}
        self._open = contextlib.ExitStack()
        self.tallies: dict[str, Tally] = {}
        self.shape: tuple[int, ...] | None = None
        self.dtype: np.dtype | None = None
        self.integers = False
        self._first = ""

    def __enter__(self) -> "Writing":
        return self

    def __exit__(self, *error) -> None:
        self._open.__exit__(*error)

    def add(
        self, block: np.ndarray, stream: Stream, split: str, cut: dict[str, float], rng: np.random.Generator
    ) -> None:
        """Write a block of a source's split, of which some examples may be of a split that is cut from it."""
        self.integers = self.integers or (block.dtype.kind in "iu" and block.dtype != np.uint8)
        rows = as_examples(block, f"source: {stream.argument}", grey=False, binary=False)
        rows = np.ascontiguousarray(rows, rows.dtype.newbyteorder("<"))
        if self.shape is None:
            self.shape, self.dtype, self._first = rows.shape[1:], rows.dtype, stream.argument
        if (rows.shape[1:], rows.dtype) != (self.shape, self.dtype):
            raise ValueError(
                f"{MARK}source`. Expected examples {shape_text(*self.shape)} of {self.dtype}, as in {self._first}. "
                f"Received: {shape_text(*rows.shape[1:])} of {rows.dtype} in {stream.argument}"
            )
        for name, own in self._parts(rows, split, cut, rng):
            if len(own):
                self._write(name, own)

    @staticmethod
    def _parts(
        rows: np.ndarray, split: str, cut: dict[str, float], rng: np.random.Generator
    ) -> Iterator[tuple[str, np.ndarray]]:
        if not cut:
            yield split, rows
            return
        drawn, begin = rng.random(len(rows)), 0.0
        for name, share in cut.items():
            yield name, rows[(begin <= drawn) & (drawn < begin + share)]
            begin += share
        yield split, rows[drawn >= begin]

    def _write(self, split: str, rows: np.ndarray) -> None:
        if split not in self._writers:
            self.tallies[split] = Tally(rows.shape[1:], rows.dtype)
            self._writers[split] = []
            for number in range(self._shards):
                writer = Writer(self._folder / shard_name(split, number, self._shards), rows[0].nbytes)
                self._open.callback(writer.close)
                self._writers[split].append(writer)
        begin = self.tallies[split].count
        for number, writer in enumerate(self._writers[split]):
            writer.write(rows[(number - begin) % self._shards :: self._shards])
        self.tallies[split].add(rows)

    def record(self, split: str) -> dict:
        """What `info.json` has of a split."""
        files = [self._folder / shard_name(split, number, self._shards) for number in range(self._shards)]
        return {**self.tallies[split].record(), "bytes": [file.stat().st_size for file in files]}
