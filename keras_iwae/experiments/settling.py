"""What the fields of a section are made of what was given: JSON's lists, NumPy's numbers, one number for several."""

import os
from collections.abc import Sequence
from typing import Any

from keras_iwae import posteriors, priors
from keras_iwae.foundation import MARK, check_integer
from keras_iwae.models import sizes, units_of

# Which of them are mixtures, and of how many components by default.
_COMPONENTS = {
    "posterior": (("mixture",), posteriors.NUM_COMPONENTS),
    "prior": (("mixture", "vamp"), priors.NUM_COMPONENTS),
}


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
    return sizes("latent_dim", given)


def settle_hidden(given: Sequence | None, networks: int) -> tuple[tuple[int, ...], ...] | None:
    """Units of each dense network, as the models take them; `None` where there is no such network.

    Raises:
        ValueError: if there are not as many, or one has no layer, or a number is no positive integer.
    """
    if networks:
        return units_of(given, networks)
    if given is not None:
        raise ValueError(f"{MARK}hidden`. Expected none with the network 'conv', which has its own. Received: {given}")
    return None


def settle_components(part: str, name: str | None, given: int | None) -> int | None:
    """Components of a posterior or a prior that is a mixture, `None` of another.

    Raises:
        ValueError: if it is no positive integer, or given beside one that is no mixture.
    """
    mixtures, default = _COMPONENTS[part]
    if name in mixtures:
        return default if given is None else check_integer(f"{part}_components", given)
    if given is not None:
        raise ValueError(
            f"{MARK}{part}_components`. Expected none but with the {part} {' or '.join(map(repr, mixtures))}. "
            f"Received: {given!r} with {name!r}"
        )
    return None
