"""Errors of what is read under a configuration's `dataset`, by that name: what reads it knows it as its `source`."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from keras_iwae import data
from keras_iwae.foundation import MARK

_SOURCE = f"{MARK}source`"


@contextlib.contextmanager
def as_dataset() -> Iterator[None]:
    """Let an error that names `source` name `dataset`."""
    try:
        yield
    except ValueError as error:
        said = str(error)
        if not said.startswith(_SOURCE):
            raise
        raise ValueError(f"{MARK}dataset`{said.removeprefix(_SOURCE)}") from error


def check_there(run: str | os.PathLike, dataset: str) -> None:
    """Refuse to go on with a run whose file of data is gone.

    Args:
        run: the run folder.
        dataset: what its configuration names.

    Raises:
        ValueError: which says where it is looked for.
    """
    if dataset in data.names() or Path(dataset).exists():
        return
    looked = "" if Path(dataset).is_absolute() else f" in {Path.cwd()}, where this was started"
    raise ValueError(
        f"{MARK}dataset`. Expected the file that {run} was trained on. Received: {dataset}, which is not there{looked}"
        f"; put it back, or write where it is now as `dataset` into {Path(run) / 'config.json'}"
    )
