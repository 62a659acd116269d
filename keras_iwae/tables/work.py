"""Work on a file chunk by chunk that goes on where it was stopped: a folder of parts beside what is being written."""

import contextlib
import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from keras_iwae.foundation import MARK, is_running, replacing

_BLOCK = 1 << 20
_SETTINGS = "settings.json"
_SEAL = ".seal"
# With the number of the process that is at work.
_OWNER = "process"


class Work:
    """A folder `.NAME.partial` beside the file that is being written, kept while its settings are the same.

    It stays from the first thing on that is worth keeping. What is in it is taken for finished where it is sealed
    and is what it was then: a disk that was full, or a person, may have left less. It is of one process at a time:
    parts of two that learned other models would be put together.

    Args:
        out: the file that is written in the end.
        settings: all that decides what is in it; where the folder has others, it is emptied.

    Raises:
        ValueError: if another process is at work on it, here or later.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]):
        self.folder = out.with_name(f".{out.name}.partial")
        self._out, self._settings = out, json.dumps(settings, sort_keys=True, default=str)
        self._check_owner()
        self._remove_others()

    def _check_owner(self) -> None:
        owner = self._owner()
        if owner not in (None, os.getpid()) and is_running(owner):
            raise ValueError(
                f"{MARK}out`. Expected a file that no other process is at work on. Received: {self._out}, which "
                f"process {owner} is writing; let it end, or write to another file"
            )

    def _owner(self) -> int | None:
        try:
            return int((self.folder / _OWNER).read_text())
        except (FileNotFoundError, ValueError):
            return None

    def _remove_others(self) -> None:
        file = self.folder / _SETTINGS
        if self.folder.is_dir() and not (file.is_file() and file.read_text() == self._settings):
            shutil.rmtree(self.folder)

    def _claim(self) -> bool:
        """Make the folder that of this process; whether it was not there."""
        self._check_owner()
        self._remove_others()
        new = not self.folder.is_dir()
        if new:
            with replacing(self.folder / _SETTINGS) as temporary:
                temporary.write_text(self._settings)
        if self._owner() != os.getpid():
            (self.folder / _OWNER).unlink(missing_ok=True)
            with contextlib.suppress(FileExistsError), open(self.folder / _OWNER, "x") as file:
                file.write(str(os.getpid()))
            # Another one may have been faster.
            self._check_owner()
        return new

    def _replacing(self, name: str) -> AbstractContextManager[Path]:
        self._claim()
        return replacing(self.folder / name)

    def kept(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` gives, or what it gave before the work was stopped."""
        # Before hours of training, and not after them.
        new = self._claim()
        if self.is_sealed(name):
            # Written by this very program into this folder; it is no file that anyone sends.
            return pickle.loads((self.folder / name).read_bytes())
        try:
            value = make()
        except BaseException:
            if new:
                self.done()
            raise
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
