"""Checks of single values, each with one kind of error, and the errors of graphs turned into it."""

import contextlib
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

MARK = "Invalid value received for `"
# Of int32, which integers are in graphs.
_LARGEST = 2**31 - 1


def check_integer(argument: str, value: object, at_least: int = 1, at_most: int | None = None) -> int:
    """`value` as an int if it is an integer in this range, and in that of int32; else a ValueError with `argument`."""
    integer = isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))
    largest = _LARGEST if at_most is None else at_most
    if not integer or not at_least <= value <= largest:  # type: ignore[operator]
        open_ended = at_most is None and not (integer and value > largest)  # type: ignore[operator]
        span = f"of at least {at_least}" if open_ended else f"from {at_least} to {largest}"
        raise ValueError(f"{MARK}{argument}`. Expected an integer {span}. Received: {value!r}")
    return int(value)  # type: ignore[call-overload]


def check_seed(argument: str, value: object) -> int:
    """`value` as an int if a stateless key, which is of int32, holds it; else a ValueError that names `argument`."""
    return check_integer(argument, value, at_least=0, at_most=_LARGEST)


def check_key(argument: str, value: object) -> None:
    """Refuse what is no stateless key, two integers, by `argument`."""
    found = np.asarray(value)
    if found.shape != (2,) or found.dtype.kind not in "iu":
        raise ValueError(f"{MARK}{argument}`. Expected a key, two integers, as [0, 1]. Received: {value!r}")


def check_number(argument: str, value: object) -> float:
    """`value` as a float if it is a finite number; else a ValueError that names `argument`."""
    if not _is_number(value) or not math.isfinite(value):  # type: ignore[arg-type]
        raise ValueError(f"{MARK}{argument}`. Expected a finite number. Received: {value!r}")
    return float(value)  # type: ignore[arg-type]


def check_positive(argument: str, value: object) -> float:
    """`value` as a float if it is a finite number above 0; else a ValueError that names `argument`."""
    if not _is_number(value) or not 0.0 < float(value) < math.inf:  # type: ignore[arg-type]
        raise ValueError(f"{MARK}{argument}`. Expected a number above 0. Received: {value!r}")
    return float(value)  # type: ignore[arg-type]


def check_positive_float32(argument: str, value: object) -> float:
    """As `check_positive`, of a number that float32 has.

    Below the smallest normal number processors take it for 0, and beyond the largest it is infinite.
    """
    found = check_positive(argument, value)
    least, largest = (float(bound) for bound in (np.finfo(np.float32).tiny, np.finfo(np.float32).max))
    if not least <= found <= largest:
        span = f"a number from {least:.2g} to {largest:.2g}, which float32 holds"
        raise ValueError(f"{MARK}{argument}`. Expected {span}. Received: {value!r}")
    return found


def _is_number(value: object) -> bool:
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        # As a float it would be an error of Python's.
        return False
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, (bool, np.bool_))


def check_boolean(argument: str, value: object) -> bool:
    """`value` as a bool if it is one, of Python's or NumPy's; else a ValueError that names `argument`."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{MARK}{argument}`. Expected True or False. Received: {value!r}")
    return bool(value)


def check_choice(argument: str, value: object, allowed: tuple) -> None:
    """Raise a ValueError that names `argument` where `value` is none of `allowed`, names or None."""
    # An array has no truth to compare by, and a list no hash.
    if not isinstance(value, (str, type(None))) or value not in allowed:
        raise ValueError(f"{MARK}{argument}`. Expected one of {allowed}. Received: {value!r}")


def check_path(argument: str, path: object) -> Path:
    """`path` as a Path if it is a name of a file or folder; else a ValueError that names `argument`."""
    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(f"{MARK}{argument}`. Expected a path. Received: {path!r}")
    # Models are read from there.
    if not str(path).startswith("hf://"):
        _refuse_address(argument, path)
    return Path(path)


def _refuse_address(argument: str, path: object) -> None:
    """Refuse what would be taken for the name of a folder here: a bucket, or a page."""
    if re.match("[A-Za-z][A-Za-z0-9+.-]+://", str(path)):
        raise ValueError(f"{MARK}{argument}`. Expected a path on a disk of this machine. Received: {path!r}")


def check_target(argument: str, path: object) -> Path:
    """`path` as a Path if a file can be put there, in a new folder too; else a ValueError that names `argument`."""
    found = check_path(argument, path)
    _refuse_address(argument, path)
    files = [part for part in found.parents if part.exists() and not part.is_dir()]
    if files or found.is_dir():
        why = f"where {files[0]} is no folder" if files else "which is a folder"
        raise ValueError(f"{MARK}{argument}`. Expected the path of a file. Received: {found}, {why}")
    return found


def check_ending(argument: str, path: str | os.PathLike, *endings: str) -> Path:
    """`path` as a Path if its name ends as what is written there does; else a ValueError that names `argument`."""
    found = check_path(argument, path)
    if found.suffix.lower() not in endings:
        expected = " or ".join(endings)
        raise ValueError(f"{MARK}{argument}`. Expected a file name that ends in {expected}. Received: {str(path)!r}")
    return check_target(argument, path)


def check_folder(argument: str, path: str | os.PathLike) -> Path:
    """`path` as a Path if it is a folder or one can be made there; else a ValueError that names `argument`."""
    found = check_path(argument, path)
    _refuse_address(argument, path)
    files = [part for part in (found, *found.parents) if part.exists() and not part.is_dir()]
    if files or not str(path):
        received = f"{found}, where {files[0]} is a file" if files else "an empty name"
        raise ValueError(f"{MARK}{argument}`. Expected a folder. Received: {received}")
    return found


def check_replaceable(argument: str, path: Path) -> None:
    """Refuse a folder, even an empty one, that a new one cannot take the place of, by `argument`."""
    found = path.resolve()
    if found.is_dir() and (found == Path.cwd() or os.path.ismount(found)):
        why = "in which this runs" if found == Path.cwd() else "where a disk is mounted"
        raise ValueError(
            f"{MARK}{argument}`. Expected a folder that is not there yet, or an empty one that can be replaced. "
            f"Received: {path}, {why}; name one in it"
        )


def check_file(argument: str, path: Any) -> Path:
    """`path` as a Path if a file can be there, in a folder that there is; else a ValueError that names `argument`."""
    # An integer would be taken for an open file.
    if not isinstance(path, (str, os.PathLike)) or not str(path):
        raise ValueError(f"{MARK}{argument}`. Expected the path of a file. Received: {path!r}")
    found = check_target(argument, path)
    if not found.parent.is_dir():
        where = f"{found}, and no folder {found.parent}"
        raise ValueError(f"{MARK}{argument}`. Expected a file in a folder that there is. Received: {where}")
    return found


def check_several(argument: str, values: object) -> list:
    """`values` as a list if they are a sequence of at least one; else a ValueError that names `argument`."""
    found = [] if isinstance(values, (str, bytes)) or not isinstance(values, Iterable) else list(values)
    if not found:
        raise ValueError(f"{MARK}{argument}`. Expected a sequence of at least one. Received: {values!r}")
    return found


def check_callable(argument: str, value: object) -> None:
    """Refuse what cannot be called, by `argument`."""
    if not callable(value):
        raise ValueError(f"{MARK}{argument}`. Expected a function. Received: {value!r}")


def shape_text(*shape: object) -> str:
    """A shape as it is written in errors, `[N, 28, 28, 1]`."""
    return f"[{', '.join(map(str, shape))}]"


def check_width(argument: str, latents: Any, *widths: int) -> None:
    """Refuse latents whose last axis is known and has none of these lengths, which would broadcast or be cut."""
    found = tuple(latents.shape) if hasattr(latents, "shape") else np.shape(latents)
    if len(found) and found[-1] is not None and found[-1] not in widths:
        expected = " or ".join(shape_text("...", width) for width in dict.fromkeys(widths))
        raise ValueError(f"{MARK}{argument}`. Expected shape {expected}. Received: {shape_text(*found)}")


@contextlib.contextmanager
def value_errors() -> Iterator[None]:
    """Turn the runtime error of a check that runs in a graph into the ValueError that it stands for."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        start = error.message.find(MARK)
        if start < 0:
            raise
        # Of an assertion, which puts it in brackets, or of a generator, which has its traceback below it.
        line = error.message[start:].splitlines()[0]
        raise ValueError(line[: line.find("]]") + 1] if "]]" in line else line) from None
