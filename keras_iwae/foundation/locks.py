"""One process at a time at work in a folder."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from keras_iwae.foundation.checks import MARK

# A process that was stopped takes a moment to end.
_PATIENCE = 10.0
_PAUSE = 0.1


@contextlib.contextmanager
def held_folder(folder: Path, argument: str, patience: float | None = None) -> Iterator[None]:
    """Hold a folder for the block, so that no other process which asks for it writes there meanwhile.

    The lock is the process' own and ends with it, however that ends; no file is left. Where the system has no such
    locks, as on Windows and on some network disks, nothing is held.

    Args:
        folder: a folder that is there.
        argument: the name that the caller knows it by, for the error.
        patience: seconds to wait for another process; `None` is a moment.

    Raises:
        ValueError: if another process still holds it then.

    Yields:
        nothing.
    """
    descriptor = _opened(folder)
    try:
        end = time.monotonic() + (_PATIENCE if patience is None else patience)
        while descriptor is not None and not _let(descriptor):
            if time.monotonic() > end:
                raise ValueError(
                    f"{MARK}{argument}`. Expected a folder in which no other process is at work. Received: {folder}, "
                    "in which one is"
                )
            time.sleep(_PAUSE)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _opened(folder: Path) -> int | None:
    try:
        return os.open(folder, os.O_RDONLY)
    except PermissionError:
        # Folders cannot be opened on Windows.
        return None


def _let(descriptor: int) -> bool:
    """Whether no other process holds what is open; it is held from then on where that can be."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        # Not on Windows, nor on every network disk.
        pass
    return True
