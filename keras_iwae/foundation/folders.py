"""Folders that are whole or not there: written beside their place and then renamed into it."""

import contextlib
import os
import re
import shutil
import socket
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
    host = _this_host()
    for left in path.glob(f".unfinished-{host}-*-*"):
        process = left.name.split("-")[2]
        # Of a process that was killed.
        if process.isdecimal() and not is_running(int(process)):
            shutil.rmtree(left, ignore_errors=True)
    unfinished = path / f".unfinished-{host}-{os.getpid()}-{uuid.uuid4().hex}"
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


def _this_host() -> str:
    """The name of this machine, or container: others write beside it, whose processes have numbers of their own."""
    return re.sub(r"[^A-Za-z0-9]", "", socket.gethostname()) or "host"
