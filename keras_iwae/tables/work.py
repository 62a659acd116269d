"""Work on a file chunk by chunk that goes on where it was stopped: a folder of parts beside what is being written."""

import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from keras_iwae.foundation import replacing

_BLOCK = 1 << 20
_SETTINGS = "settings.json"
_SEAL = ".seal"


class Work:
    """A folder `.NAME.partial` beside the file that is being written, kept while its settings are the same.

    It is there from the first thing on that is worth keeping. What is in it is taken for finished where it is sealed
    and is what it was then: a disk that was full, or a person, may have left less.

    Args:
        out: the file that is written in the end.
        settings: all that decides what is in it; where the folder has others, it is emptied.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]):
        self.folder = out.with_name(f".{out.name}.partial")
        self._settings = json.dumps(settings, sort_keys=True, default=str)
        file = self.folder / _SETTINGS
        if self.folder.is_dir() and not (file.is_file() and file.read_text() == self._settings):
            shutil.rmtree(self.folder)

    def _replacing(self, name: str) -> AbstractContextManager[Path]:
        if not self.folder.is_dir():
            with replacing(self.folder / _SETTINGS) as temporary:
                temporary.write_text(self._settings)
        return replacing(self.folder / name)

    def kept(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` gives, or what it gave before the work was stopped."""
        if self.is_sealed(name):
            # Written by this very program into this folder; it is no file that anyone sends.
            return pickle.loads((self.folder / name).read_bytes())
        value = make()
        with self._replacing(name) as temporary:
            temporary.write_bytes(pickle.dumps(value))
        self.seal(name, [name])
        return value

    def part(self, name: str, write: Callable[..., object], *arguments: Any) -> None:
        """A part that `write(path, *arguments)` writes, whole or not at all."""
        with self._replacing(name) as temporary:
            write(temporary, *arguments)

    def seal(self, name: str, parts: Sequence[str]) -> None:
        """Say that these parts are all of what `name` stands for, and are finished."""
        with self._replacing(f"{name}{_SEAL}") as temporary:
            temporary.write_text(json.dumps({part: digest(self.folder / part) for part in parts}))

    def is_sealed(self, name: str) -> bool:
        """Whether the parts of `name` are there as they were when they were finished."""
        try:
            digests = json.loads((self.folder / f"{name}{_SEAL}").read_text())
            return all(digest(self.folder / part) == found for part, found in digests.items())
        except (FileNotFoundError, ValueError):
            return False

    def done(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder)


def digest(path: str | os.PathLike) -> str:
    """SHA-256 of the bytes of a file."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()
