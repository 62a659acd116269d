"""Files of array_record, of which any record can be read: opened once, read by one thread at a time, errors by name."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_iwae.foundation import MARK

# Bytes that are read together. The index of a file, 20 bytes a group, is in memory; more would take longer to read.
_GROUP = 2**14
_MOST_IN_GROUP = 256
# To read here and there, and nothing ahead of that.
_AT_RANDOM = "readahead_buffer_size:0,max_parallelism:0"


def array_record() -> Any:
    """The module that reads and writes the files.

    Raises:
        ValueError: if it is not installed, as where there is none for the system.
    """
    try:
        from array_record.python import array_record_module
    except ImportError as error:
        raise ValueError(
            f"{MARK}source`. Expected, for a folder of shards, array_record (pip install array_record), which there is "
            f"for Linux and macOS; elsewhere a .npy or .npz file is read as a whole. Received: {error}"
        ) from error
    return array_record_module


class Writer:
    """A file that is being written, of records that all have the same size.

    Args:
        file: its path.
        record_bytes: the size; many small records are read together, or one that is large. None is compressed, for
            that would double the time to read one.
    """

    def __init__(self, file: Path, record_bytes: int):
        group = min(max(1, _GROUP // record_bytes), _MOST_IN_GROUP)
        self._file = file
        with self._errors():
            self._writer = array_record().ArrayRecordWriter(str(file), f"group_size:{group},uncompressed")

    def write(self, rows: np.ndarray) -> None:
        """Add the bytes of each row `[B, ...]` as a record."""
        with self._errors():
            for row in rows:
                self._writer.write(row.tobytes())

    def close(self) -> None:
        """Write what is left, and the index."""
        with self._errors():
            self._writer.close()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, ValueError) as error:
            if str(error).startswith(MARK):
                raise
            raise OSError(f"{error}: {self._file}") from error


class Reader:
    """An open file.

    Args:
        file: its path.
    """

    def __init__(self, file: Path):
        self._file, self._lock = file, threading.Lock()
        with self._errors():
            self._reader = array_record().ArrayRecordReader(str(file), options=_AT_RANDOM)

    def read(self, positions: np.ndarray) -> list[bytes]:
        """The records at some positions.

        Raises:
            ValueError: if the file is none of array_record, is damaged, or has fewer records.
        """
        with self._lock, self._errors():
            return self._reader.read(positions.tolist())

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, ValueError, IndexError) as error:
            if str(error).startswith(MARK):
                raise
            raise ValueError(
                f"{MARK}source`. Expected {self._file} as convert.py wrote it. Received: one that array_record cannot "
                f"read ({error})"
            ) from error
