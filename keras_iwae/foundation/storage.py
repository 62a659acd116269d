"""Files that are whole or not there: everything is written beside its place and then renamed into it."""

import contextlib
import itertools
import json
import math
import os
import re
import socket
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

# Two threads of a process may write beside each other.
_NUMBERS = itertools.count()


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` if the block succeeds, remove it if it does not.

    A full disk, a kill or an error in the block leaves whatever `path` held before. What a killed process left beside
    it is removed by the next one that writes there.

    Args:
        path: the file to write.

    Yields:
        the path to write to; it has the same suffix.

    Raises:
        OSError: with the name of the file, if it cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    temporary = path.with_name(f".{path.stem}-{this_host()}-{os.getpid()}-{next(_NUMBERS)}.tmp{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except OSError as error:
        # A name that nobody gave says nothing to who reads it.
        if error.filename is not None and str(error.filename) != str(temporary):
            raise
        # Libraries that write by themselves, as HDF5 does, have no number to their error.
        named = (error.errno, error.strerror, str(path)) if error.errno is not None else (f"{error}: {path}",)
        raise OSError(*named) from error
    finally:
        # What could not be written need not be removable, and its error is the one to see.
        with contextlib.suppress(OSError):
            temporary.unlink()


def remove_leftovers(path: Path) -> None:
    """Remove what processes of this machine that are no more have left beside `path` of writing it."""
    pattern = re.compile(rf"\.{re.escape(path.stem)}-{this_host()}-(\d+)-\d+\.tmp{re.escape(path.suffix)}")
    for found in path.parent.glob(".*.tmp*"):
        match = pattern.fullmatch(found.name)
        if match and not is_running(int(match.group(1))):
            found.unlink(missing_ok=True)


def this_host() -> str:
    """The name of this machine, or container: others write to the same disk, by processes of their own numbers.

    Of letters, digits and "_"; names of two machines stay two.
    """
    return re.sub(r"[^A-Za-z0-9]", lambda other: f"_{ord(other[0]):x}_", socket.gethostname()) or "host"


def is_running(process: int) -> bool:
    """Whether there is a process of this number on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def json_text(value: object) -> str:
    """`value` as indented JSON, which knows neither NaN nor infinity: they become null."""
    return json.dumps(_finite(value), indent=2, allow_nan=False)


def _finite(value):
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def number_text(value: float | None, spec: str = ".2f") -> str:
    """A number for people; "-" where it is not finite, or null in a JSON file, which stands for that."""
    return "-" if value is None or not math.isfinite(value) else format(value, spec)


def percent_text(share: float | None) -> str:
    """A share for people: "0.0 %" is nothing and "100.0 %" all of it, and what is close to them is said to be so.

    "-" where it is not known, as `number_text` has it.
    """
    if share is None or not math.isfinite(share):
        return "-"
    if 0.0 < share < 0.001:
        return "< 0.1 %"
    return "> 99.9 %" if 0.999 < share < 1.0 else f"{100.0 * share:.1f} %"


def write_json(path: str | os.PathLike, value: object) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json_text(value) + "\n")


def read_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays of an .npz file.

    Raises:
        ValueError: if NumPy cannot read it.
        OSError: if there is none.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        raise
    # An array of a .npy file is no context.
    except (ValueError, OSError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"Expected arrays in {path}. Received: a file that NumPy cannot read ({type(error).__name__})"
        ) from error


def write_arrays(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays under their names as .npz, whole or not at all."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        # Its keyword `allow_pickle` makes mypy expect a bool.
        np.savez(file, **arrays)  # type: ignore[arg-type]
