"""Checks of single values, each with one kind of error, and the errors of graphs turned into it."""

import contextlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

MARK = "Invalid value received for `"


def check_integer(argument: str, value: object, at_least: int = 1) -> int:
    """`value` as an int if it is an integer of at least `at_least`; else a ValueError that names `argument`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < at_least:
        raise ValueError(f"{MARK}{argument}`. Expected an integer of at least {at_least}. Received: {value!r}")
    return int(value)


def check_positive(argument: str, value: object) -> float:
    """`value` as a float if it is a finite number above 0; else a ValueError that names `argument`."""
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, (bool, np.bool_))
    if not number or not 0.0 < float(value) < float("inf"):  # type: ignore[arg-type]
        raise ValueError(f"{MARK}{argument}`. Expected a number above 0. Received: {value!r}")
    return float(value)  # type: ignore[arg-type]


def check_choice(argument: str, value: object, allowed: tuple) -> None:
    """Raise a ValueError that names `argument` where `value` is none of `allowed`."""
    if value not in allowed:
        raise ValueError(f"{MARK}{argument}`. Expected one of {allowed}. Received: {value!r}")


def shape_text(*shape: object) -> str:
    """A shape as it is written in errors, `[N, 28, 28, 1]`."""
    return f"[{', '.join(map(str, shape))}]"


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
