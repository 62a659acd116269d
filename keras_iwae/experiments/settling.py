"""What the fields of a section are made of what was given: JSON's lists, NumPy's numbers, one number for several."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_iwae.foundation import MARK, check_integer
from keras_iwae.models import HIDDEN

_SEVERAL = (tuple, list, np.ndarray)


def settle(section: Any, **values: Any) -> None:
    """Give a frozen section other values of some fields."""
    for name, value in values.items():
        object.__setattr__(section, name, value)


def check_path(argument: str, value: object) -> str:
    """A name or a path as text.

    Raises:
        ValueError: if it is neither, or empty.
    """
    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(path, str) or not path:
        raise ValueError(f"{MARK}{argument}`. Expected a name or a path. Received: {value!r}")
    return path


def settle_latent_dim(given: int | Sequence[int]) -> tuple[int, ...]:
    """Units of each stochastic layer, of one number too.

    Raises:
        ValueError: if one is no positive integer, or there is none.
    """
    found = tuple(check_integer("latent_dim", units) for units in (given if isinstance(given, _SEVERAL) else [given]))
    if not found:
        raise ValueError(f"{MARK}latent_dim`. Expected at least one stochastic layer. Received: {given!r}")
    return found


def settle_hidden(given: Sequence | None, networks: int) -> tuple[tuple[int, ...], ...] | None:
    """Units of each dense network; one sequence of numbers is that of the only one.

    Args:
        given: one sequence of units for each network, or for one network its units; `None` is the default.
        networks: how many dense networks there are.

    Returns:
        `None` where there is no dense network.

    Raises:
        ValueError: if there are not as many, or one has no layer, or a number is no positive integer.
    """
    if given is None:
        if networks > 1:
            raise _wrong(given, networks)
        return (HIDDEN,) if networks else None
    if not networks:
        raise ValueError(f"{MARK}hidden`. Expected none with the network 'conv', which has its own. Received: {given}")
    if isinstance(given, _SEVERAL) and len(given) and not any(isinstance(units, _SEVERAL) for units in given):
        given = [given]
    if not isinstance(given, _SEVERAL) or len(given) != networks:
        raise _wrong(given, networks)
    if not all(isinstance(units, _SEVERAL) and len(units) for units in given):
        raise _wrong(given, networks)
    return tuple(tuple(check_integer("hidden", size) for size in units) for units in given)


def _wrong(given: object, networks: int) -> ValueError:
    several = f"{networks} sequences of units, one for each stochastic layer that has dense networks"
    wanted = "the units of each layer, as (200, 200)" if networks == 1 else several
    return ValueError(f"{MARK}hidden`. Expected {wanted}. Received: {given!r}")
