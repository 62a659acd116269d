"""A folder of shards, files of array_record, and the examples in them: any of them at once, none kept in memory.

```
FOLDER/info.json                             written last: without it the folder is no data set
FOLDER/totals.npz                            sums over the training split, for means
FOLDER/train-00000-of-00016.array_record     a record is the bytes of an example
```

Example i of a split of S shards is record i // S of shard i % S, so that neighbours are read from all of them.
"""

import functools
import hashlib
import itertools
import json
import math
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_iwae.data.array_records import Reader
from keras_iwae.foundation import MARK, read_arrays, shape_text

INFO, TOTALS = "info.json", "totals.npz"
# Splits whose files stay open: those of two folders.
_OPEN = 6
# A cache does not keep threads that miss it together from opening the files once each.
_OPENING = threading.Lock()
# Files of a folder that is no folder of shards, to say which those are.
_LOOKED_AT = 1000
DTYPES: dict[str, np.dtype] = {"uint8": np.dtype("u1"), "float32": np.dtype("<f4")}


def shard_name(split: str, number: int, shards: int) -> str:
    """The name of one file of a split."""
    return f"{split}-{number:05d}-of-{shards:05d}.array_record"


def seal(info: dict) -> str:
    """A digest of what `info.json` says, which it has itself: it decides what every number of the data means."""
    said = {name: value for name, value in info.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def is_folder(source: object) -> bool:
    """Whether a source is the path of a folder, and so no file and no array; an empty text is none."""
    return isinstance(source, (str, Path)) and str(source) != "" and Path(source).is_dir()


@dataclass(frozen=True)
class Split:
    """One split of a folder: N examples, their digest, their extremes, a fraction among them and whether any is NaN."""

    examples: int
    sha256: str
    low: float | None
    high: float | None
    fraction: float | None
    missing: bool
    bytes: tuple[int, ...]

    def witnesses(self, dtype: np.dtype) -> np.ndarray:
        """A few entries `[W, 1]` that are in a range, whole, or there just where those of all examples are."""
        values = [value for value in (self.low, self.high, self.fraction) if value is not None]
        return np.array([*values, *([math.nan] if self.missing else [])], dtype)[:, np.newaxis]


@dataclass(frozen=True)
class Shards:
    """A folder of shards.

    Attributes:
        folder: where it is.
        shape: of an example, `[H, W, C]` or `[D]`.
        dtype: uint8 or float32.
        bits: whether bytes are 0 and 1, and stand for black and white.
        integers: whether float32 were integers, of which nobody knows whether they are grey levels.
        levels: how many grey levels or counts there are; `None` where entries are no whole numbers from 0 on.
        splits: "train", "validation" and "test".
    """

    folder: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    bits: bool
    integers: bool
    levels: int | None
    splits: dict[str, Split]

    @classmethod
    def open(cls, folder: str | Path) -> "Shards":
        """Read `info.json`, and see that its files are there, each as large as it says.

        Raises:
            ValueError: if the folder is no folder of shards, or one of its files is missing or has another size.
        """
        folder = Path(folder)
        expected = f"{MARK}source`. Expected a folder of shards, which convert.py makes, with {INFO}"
        try:
            info = json.loads((folder / INFO).read_text(encoding="utf-8"))
        except FileNotFoundError:
            # A folder that was meant for another may have millions of files, which are not all looked at for this.
            some = itertools.islice(folder.rglob("*"), _LOOKED_AT)
            inside = sorted({file.suffix or file.name for file in some if file.is_file()})[:5]
            raise ValueError(f"{expected}. Received: {folder}, with {', '.join(inside) or 'no'} files") from None
        except (OSError, ValueError, RecursionError) as error:
            raise ValueError(f"{expected}. Received: {folder}, whose {INFO} cannot be read ({error})") from error
        if not isinstance(info, dict) or info.get("sha256") != seal(info):
            raise ValueError(f"{expected} as convert.py wrote it. Received: another in {folder}")
        try:
            found = cls._of(folder, info)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{expected} of its own. Received: another in {folder} ({error!r})") from error
        for split, one in found.splits.items():
            for file, size in zip(found.files(split), one.bytes, strict=True):
                there = file.stat().st_size if file.is_file() else None
                if there != size:
                    received = "none" if there is None else f"{there:,} bytes"
                    raise ValueError(f"{MARK}source`. Expected {size:,} bytes in {file}. Received: {received}")
        return found

    @classmethod
    def _of(cls, folder: Path, info: dict) -> "Shards":
        splits = {name: Split(**{**one, "bytes": tuple(one["bytes"])}) for name, one in info["splits"].items()}
        shape, levels = tuple(int(size) for size in info["shape"]), info["levels"]
        numbers = [*shape, *(one.examples for one in splits.values()), *([] if levels is None else [levels])]
        if set(splits) != {"train", "validation", "test"} or min(numbers) < 1 or len(shape) not in (1, 3):
            raise ValueError(f"splits {sorted(splits)}, shape {shape_text(*shape)}")
        if any(not 0 < len(one.bytes) <= one.examples for one in splits.values()):
            raise ValueError("a split with more files than examples")
        return cls(folder, shape, DTYPES[info["dtype"]], bool(info["bits"]), bool(info["integers"]), levels, splits)

    def files(self, split: str) -> list[Path]:
        """The files of a split."""
        return _files(self.folder, split, len(self.splits[split].bytes))

    def read(self, split: str, places: np.ndarray) -> np.ndarray:
        """Examples of a split as they are stored.

        Args:
            split: which.
            places: int64 `[B]`, from 0 to the number of its examples.

        Returns:
            uint8 or float32 `[B, *shape]`.

        Raises:
            ValueError: if a file was written over, or damaged, since the folder was made.
        """
        with _OPENING:
            readers = _readers(self.folder, split, self.splits[split])
        rows = np.empty((len(places), math.prod(self.shape)), self.dtype)
        shards = places % len(readers)
        for number in np.unique(shards):
            here = np.flatnonzero(shards == number)
            records = readers[number].read(places[here] // len(readers))
            size = rows.shape[1] * self.dtype.itemsize
            if any(len(record) != size for record in records):
                file = self.files(split)[number]
                raise ValueError(f"{MARK}source`. Expected records of {size} bytes in {file}. Received: others")
            rows[here] = np.frombuffer(b"".join(records), self.dtype).reshape(len(here), -1)
        return rows.reshape(len(places), *self.shape)

    def totals(self) -> tuple[np.ndarray, np.ndarray]:
        """Sums of the training examples, and in how many each entry was observed, `[*shape]` each.

        Raises:
            ValueError: if the file that has them cannot be read.
        """
        try:
            arrays = read_arrays(self.folder / TOTALS)
            found = arrays["total"], arrays["observed"]
        except (OSError, KeyError, ValueError) as error:
            raise ValueError(
                f"{MARK}source`. Expected sums of its examples in {self.folder / TOTALS}. Received: {error}"
            ) from error
        if found[0].shape != self.shape or found[1].shape != self.shape:
            raise ValueError(
                f"{MARK}source`. Expected sums of shape {shape_text(*self.shape)} in {self.folder / TOTALS}. "
                f"Received: {shape_text(*found[0].shape)}"
            )
        return found


def _files(folder: Path, split: str, count: int) -> list[Path]:
    return [folder / shard_name(split, number, count) for number in range(count)]


@functools.lru_cache(maxsize=_OPEN)
def _readers(folder: Path, split: str, content: Split) -> list[Reader]:
    """The files of a split, open, and still those if the same examples are there."""
    return [Reader(file) for file in _files(folder, split, len(content.bytes))]
