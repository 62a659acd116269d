"""Settings of an estimator that a file's way to it passes on: refused by name, before anything is read."""

from collections.abc import Mapping
from typing import Any, TypeVar

from keras_iwae.foundation import MARK
from keras_iwae.tables.estimator import TableEstimator

# What has a name of its own where there is a file.
_INSTEAD = {"columns": "kinds", "random_state": "seed"}
Kind = TypeVar("Kind", bound=TableEstimator)


def estimator_of(kind: type[Kind], seed: int, verbose: bool, options: Mapping[str, Any]) -> Kind:
    """An estimator with these settings, which are those that it takes.

    Args:
        kind: its class.
        seed: its seed.
        verbose: whether it shows progress.
        options: further arguments of its constructor, but for what a file's own arguments say.

    Raises:
        ValueError: which names the one that is none, or cannot be that.
    """
    for name, other in _INSTEAD.items():
        if name in options:
            raise ValueError(f"{MARK}{name}`. Expected `{other}` in its place. Received: {options[name]!r}")
    names = [name for name in kind().get_params() if name not in (*_INSTEAD, "verbose")]
    unknown = [name for name in options if name not in names]
    if unknown:
        received = f"{unknown[0]}={options[unknown[0]]!r}"
        raise ValueError(f"{MARK}{unknown[0]}`. Expected one of the arguments {names}. Received: {received}")
    made = kind(random_state=seed, verbose=verbose, **options)
    made.check_settings()
    return made
