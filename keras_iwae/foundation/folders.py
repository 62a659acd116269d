"""Folders that are whole or not there: written beside their place and then renamed into it."""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from keras_iwae.foundation.storage import is_running


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Give a path beside `target` to make a folder at; rename it to `target` if the block succeeds, else remove it.

    Args:
        target: a folder that is not there, or is empty.

    Raises:
        ValueError: if another process has made the folder meanwhile.

    Yields:
        the path. It is no number, so that a server that watches the folder above does not load what is half written.
    """
    path = target.parent
    path.mkdir(parents=True, exist_ok=True)
    for left in path.glob(".unfinished-*-*"):
        process = left.name.split("-")[1]
        # Of a process that was killed.
        if process.isdecimal() and not is_running(int(process)):
            shutil.rmtree(left, ignore_errors=True)
    unfinished = path / f".unfinished-{os.getpid()}-{uuid.uuid4().hex}"
    try:
        yield unfinished
        try:
            unfinished.rename(target)
        except OSError as error:
            if not target.is_dir():
                raise
            # Another process was sooner.
            raise ValueError(f"Expected no folder {target} yet. Received: one that was made meanwhile") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
