"""Layers and models whose constructor arguments stay what they were: one set later would be ignored without a word."""

import inspect
from typing import Any, ClassVar

import numpy as np

_PACKAGE = __name__.split(".")[0]


def _arguments(cls: Any, *projects: str) -> frozenset[str]:
    """Names of the arguments of a class and of those it inherits from, as far as they are of these projects."""
    makers = [vars(base).get("__init__") for base in cls.__mro__ if base.__module__.split(".")[0] in projects]
    found = [p for maker in makers if maker is not None for p in inspect.signature(maker).parameters.values()]
    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    return frozenset(p.name for p in found if p.kind in kinds) - {"self"}


# For each class the names of all its arguments, and of those that are this package's own.
_KNOWN: dict[Any, tuple[frozenset[str], frozenset[str]]] = {}


def plain(value: Any) -> Any:
    """NumPy's numbers as Python's, in tuples and lists too: those are what a configuration is saved with."""
    if isinstance(value, np.generic):
        return value.item()
    return type(value)(map(plain, value)) if type(value) in (tuple, list) else value


class FixedArguments:
    """Refuses to set an attribute anew that is an argument of the constructor; NumPy's numbers become Python's.

    Once it is built, what is an argument and no attribute is refused too: a class of a user's own that has further
    arguments may keep those when this package's constructor is done.

    Attributes:
        parts: further attributes that stay, as they are made of the arguments.
    """

    parts: ClassVar[tuple[str, ...]] = ()

    def __setattr__(self, name, value):
        kind = type(self)
        if kind not in _KNOWN:
            project = kind.__module__.split(".")[0]
            _KNOWN[kind] = _arguments(kind, project, _PACKAGE), _arguments(kind, _PACKAGE)
        every, ours = _KNOWN[kind]
        made = name in vars(self) and (name in every or name in self.parts)
        if made or (name in ours and getattr(self, "built", False)):
            remedy = f", with from_config({{**get_config(), {name!r}: ...}})" if name in every else ""
            raise AttributeError(
                f"Invalid assignment to `{name}`. Expected none: it is what this {kind.__name__} was made with, and "
                f"what is set later would be ignored. Make another one{remedy}"
            )
        super().__setattr__(name, plain(value) if name in every else value)
