"""Examples of a source block by block, so that it need not fit into memory: arrays in files, Parquet, names."""

import math
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from keras_iwae.data.arrays import named_splits
from keras_iwae.data.catalog import examples, names
from keras_iwae.data.parquet import parquet_files, parquet_streams
from keras_iwae.foundation import MARK

# Bytes at a time.
_BLOCK = 2**22
_EXPECTED = "a name, a .npy or .npz file, a Parquet file or a folder of such"


class Stream(NamedTuple):
    """One split of a source.

    Attributes:
        argument: what it is called in errors.
        examples: how many examples there are.
        blocks: gives blocks of them `[B, ...]`, in order.
    """

    argument: str
    examples: int
    blocks: Callable[[], Iterator[np.ndarray]]


def streams(source: object) -> dict[str, Stream]:
    """What a source has of "train", "validation" and "test"; one that has no splits is "train".

    Args:
        source: a name of `names()`; a .npy file; a .npz file with `x`, or with `x_train` and `x_test`, and with
            `x_validation` or `x_val` where there is one; a Parquet file, or a folder with files `train*.parquet`,
            `validation*.parquet` and `test*.parquet`, files or folders that have these words in their names, or Parquet
            files of any names.

    Raises:
        ValueError: if it is none of these.
    """
    if not isinstance(source, (str, Path)):
        raise ValueError(f"{MARK}source`. Expected {_EXPECTED}. Received: {type(source).__name__}")
    if str(source) in names():
        name = str(source)
        return {split: _named(name, split) for split in ("train", "validation", "test")}
    if not str(source):
        raise ValueError(f"{MARK}source`. Expected {_EXPECTED}. Received: {source!r}")
    path = Path(source)
    if path.suffix == ".npy" and path.is_file():
        return {"train": _of_array(str(path), lambda: open(path, "rb"))}
    if path.suffix == ".npz" and path.is_file():
        return _of_archive(path)
    if files := parquet_files(path):
        return {split: Stream(str(path), *of_split) for split, of_split in parquet_streams(files).items()}
    raise ValueError(f"{MARK}source`. Expected {_EXPECTED}. Received: {str(source)!r}, which is none of them")


def _named(name: str, split: str) -> Stream:
    rows = examples(name, split)
    size = max(1, _BLOCK // rows[:1].nbytes)
    return Stream(name, len(rows), lambda: (rows[i : i + size] for i in range(0, len(rows), size)))


def _of_archive(path: Path) -> dict[str, Stream]:
    try:
        with zipfile.ZipFile(path) as archive:
            inside = {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}
    except (zipfile.BadZipFile, OSError) as error:
        raise _unreadable(str(path), error) from error

    def member(name: str) -> Stream:
        # A member that is open keeps what it needs of the archive.
        return _of_array(f"{path}: {name}", lambda: zipfile.ZipFile(path).open(f"{name}.npy"))

    return {split: member(name) for split, name in named_splits(inside, path).items()}


def _of_array(argument: str, opened: Callable[[], IO[bytes]]) -> Stream:
    try:
        with opened() as file:
            shape, dtype = _header(argument, file)
    # Of an archive in a format that Python does not read, or with a password.
    except (NotImplementedError, RuntimeError, OSError, zipfile.BadZipFile) as error:
        raise _unreadable(argument, error) from error
    size = dtype.itemsize * math.prod(shape[1:])

    def blocks() -> Iterator[np.ndarray]:
        rows = max(1, _BLOCK // size)
        with opened() as file:
            _header(argument, file)
            for begin in range(0, shape[0], rows):
                count = min(rows, shape[0] - begin)
                try:
                    content = file.read(count * size)
                except Exception as error:
                    raise _unreadable(argument, error) from error
                if len(content) < count * size:
                    raise ValueError(
                        f"{MARK}source`. Expected {shape[0]:,} examples in {argument}. Received: a file that ends "
                        f"within the first {begin + count:,}"
                    )
                yield np.frombuffer(content, dtype).reshape(count, *shape[1:])

    return Stream(argument, shape[0], blocks)


def _header(argument: str, file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array, whose first example begins where the file then is."""
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        shape, by_columns, dtype = read[np.lib.format.read_magic(file)](file)
    # Of a damaged header there is no end of what NumPy raises.
    except Exception as error:
        raise _unreadable(argument, error) from error
    if dtype.hasobject or dtype.kind not in "fbiu":
        raise ValueError(f"{MARK}source`. Expected numbers in {argument}. Received: dtype {dtype}")
    if len(shape) not in (2, 3, 4) or not math.prod(shape):
        raise ValueError(
            f"{MARK}source`. Expected shape [N, H, W], [N, H, W, C] or [N, D] in {argument}. Received: {list(shape)}"
        )
    if by_columns:
        raise ValueError(
            f"{MARK}source`. Expected an array in {argument} whose examples follow each other, as np.save writes it of "
            "np.ascontiguousarray(x). Received: one in Fortran order"
        )
    return shape, dtype


def _unreadable(argument: str, error: Exception) -> ValueError:
    return ValueError(
        f"{MARK}source`. Expected arrays that NumPy wrote in {argument}. Received: what cannot be read "
        f"({type(error).__name__}: {error})"
    )
