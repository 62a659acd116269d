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

from keras_iwae.foundation import MARK, held_folder, replacing

_BLOCK = 1 << 20
_SETTINGS = "settings.json"
_SEAL = ".seal"
# With the number of the process that is at work, for people alone: after a restart of the machine, or in another
# container, any other may have the same.
_OWNER = "process"
# Seconds that a process has to end which was stopped.
_PATIENCE = 1.0
# What this process holds until it ends, by its own number and that of the folder: what it did not finish, as in a
# notebook, it may begin again.
_HELD: dict[tuple[int, ...], contextlib.ExitStack] = {}


class Work:
    """A folder `.NAME.partial` beside the file that is being written, kept while its settings are the same.

    It stays from the first thing on that is worth keeping. What is in it is taken for finished where it is sealed
    and is what it was then: a disk that was full, or a person, may have left less. It is of one process at a time,
    where the disk has locks: parts of two that learned other models would be put together.

    Args:
        out: the file that is written in the end.
        settings: all that decides what is in it; where the folder has others, it is emptied.

    Raises:
        ValueError: if another process is at work on it, here or later.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]):
        self.folder = out.with_name(f".{out.name}.partial")
        self._out, self._settings = out, json.dumps(settings, sort_keys=True, default=str)
        if self.folder.is_dir():
            self._hold()
            if not self._is_ours():
                self.done()

    def _hold(self) -> None:
        """Keep other processes out of the folder, and make it where it is not there."""
        while True:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self._out)) from error
            place = self._place()
            if place in _HELD:
                return
            with contextlib.ExitStack() as held, contextlib.suppress(FileNotFoundError):
                try:
                    held.enter_context(held_folder(self.folder, "out", _PATIENCE))
                except ValueError:
                    raise self._refusal() from None
                # Another process that was done meanwhile has removed it, and what is held is no folder any more.
                if place is not None and self._place() == place:
                    (self.folder / _OWNER).write_text(str(os.getpid()), encoding="ascii")
                    _HELD[place] = held.pop_all()
                    return

    def _place(self) -> tuple[int, ...] | None:
        """What is this folder in this process, and no other; `None` where there is none."""
        try:
            found = self.folder.stat()
        except FileNotFoundError:
            return None
        return os.getpid(), found.st_dev, found.st_ino

    def _refusal(self) -> ValueError:
        try:
            owner = f"process {int((self.folder / _OWNER).read_text())}"
        except (FileNotFoundError, ValueError):
            owner = "another process"
        return ValueError(
            f"{MARK}out`. Expected a file that no other process is at work on. Received: {self._out}, which {owner} is "
            "writing; let it end, or write to another file"
        )

    def _is_ours(self) -> bool:
        file = self.folder / _SETTINGS
        return file.is_file() and file.read_text() == self._settings

    def _claim(self) -> bool:
        """Make the folder that of this process and of these settings; whether it was not there."""
        self._hold()
        if self._is_ours():
            return False
        if any(file.name != _OWNER for file in self.folder.iterdir()):
            self.done()
            self._hold()
        with replacing(self.folder / _SETTINGS) as temporary:
            temporary.write_text(self._settings)
        return True

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
        """Remove the folder, which is then anyone's."""
        held = _HELD.pop(self._place() or (), None)
        shutil.rmtree(self.folder)
        if held is not None:
            held.close()


def digest(path: str | os.PathLike) -> str:
    """SHA-256 of the bytes of a file."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()
