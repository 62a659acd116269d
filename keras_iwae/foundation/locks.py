"""One process at a time at work in a folder, or on a file."""

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
        folder: a folder that is there; a file is held in the same way.
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


@contextlib.contextmanager
def held_file(path: Path) -> Iterator[None]:
    """Hold a file for the block, which takes a moment: to read it, add to it and write it anew.

    Others who ask for it wait. It need not be there, and may be replaced by another: what is locked is a file beside
    it, which is removed in the end; where a killed process left one, it is taken. Where the system has no such locks,
    nothing is held.

    Args:
        path: the file, in a folder that is there.

    Yields:
        nothing.
    """
    if os.name == "nt":
        yield
        return
    lock = path.with_name(f".{path.name}.lock")
    descriptor = _held_lock(lock)
    try:
        yield
    finally:
        # Before it is let go: whoever makes another then has one of this moment.
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def _held_lock(lock: Path) -> int:
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT)
        while not _let(descriptor):
            time.sleep(_PAUSE)
        # Whoever held it has removed it, and another may hold the next.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(lock)):
                return descriptor
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
