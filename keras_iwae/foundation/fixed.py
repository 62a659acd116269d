"""Layers and models whose constructor arguments stay what they were: one set later would be ignored without a word."""

import inspect
from typing import Any


def _arguments(cls: Any) -> frozenset[str]:
    """Names of the arguments of a class and of those it inherits from, this package's and its own project's."""
    ours = {cls.__module__.split(".")[0], __name__.split(".")[0]}
    makers = [vars(base).get("__init__") for base in cls.__mro__ if base.__module__.split(".")[0] in ours]
    found = [p for maker in makers if maker is not None for p in inspect.signature(maker).parameters.values()]
    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    return frozenset(p.name for p in found if p.kind in kinds) - {"self"}


_KNOWN: dict[Any, frozenset[str]] = {}


class FixedArguments:
    """Refuses to set an attribute anew that is an argument of the constructor."""

    def __setattr__(self, name, value):
        kind = type(self)
        if kind not in _KNOWN:
            _KNOWN[kind] = _arguments(kind)
        if name in _KNOWN[kind] and name in vars(self):
            raise AttributeError(
                f"Invalid assignment to `{name}`. Expected none: it is what this {kind.__name__} was made with, and "
                "what is set later would be ignored. Make another one, with "
                f"from_config({{**get_config(), {name!r}: ...}})"
            )
        super().__setattr__(name, value)
