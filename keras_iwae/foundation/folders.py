"""Folders that are whole or not there: written beside their place and then renamed into it."""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from keras_iwae.foundation.storage import is_running, this_host


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Give a path beside `target` to make a folder at; rename it to `target` if the block succeeds, else remove it.

    What a killed process of this machine left is removed by the next one; that of a container, which has a name of its
    own each time, stays.

    Args:
        target: a folder that is not there, or is empty; what a link points to.

    Raises:
        ValueError: if another process has made the folder meanwhile.
        OSError: if it cannot be written or have its name.

    Yields:
        the path. It is no number, so that a server that watches the folder above does not load what is half written.
    """
    # Of a link it is not the link that another folder can take the place of.
    target = target.resolve()
    path = target.parent
    path.mkdir(parents=True, exist_ok=True)
    host = this_host()
    for left in path.glob(f".unfinished-{host}-*-*"):
        process = left.name.split("-")[2]
        # Of a process that was killed.
        if process.isdecimal() and not is_running(int(process)):
            shutil.rmtree(left, ignore_errors=True)
    unfinished = path / f".unfinished-{host}-{os.getpid()}-{uuid.uuid4().hex}"
    try:
        yield unfinished
        # Windows gives no folder the name of another, an empty one neither.
        with contextlib.suppress(OSError):
            target.rmdir()
        try:
            unfinished.rename(target)
        except OSError as error:
            if not target.is_dir() or not any(target.iterdir()):
                raise OSError(error.errno, error.strerror, str(target)) from error
            # Another process was sooner.
            raise ValueError(f"Expected no folder {target} yet. Received: one that was made meanwhile") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
