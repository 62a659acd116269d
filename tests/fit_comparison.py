"""What the processes compare that hold fits on several devices, or machines, to one."""

from collections.abc import Callable, Iterable

import numpy as np


def apart(one: Iterable, other: Iterable) -> float:
    """The largest distance between numbers of two lists of arrays."""
    return max(float(np.max(np.abs(np.asarray(a) - np.asarray(b)))) for a, b in zip(one, other, strict=True))


def said(call: Callable) -> str:
    """What a call is refused with, empty where it is not."""
    try:
        call()
    except ValueError as error:
        return str(error)
    return ""
