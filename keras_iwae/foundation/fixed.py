"""Layers and models that stay what they were made as: an attribute set later would be ignored without a word."""

import difflib
import inspect
from collections.abc import Mapping
from types import FunctionType, MethodType
from typing import Any, ClassVar, NamedTuple

import numpy as np

from keras_iwae.foundation.checks import MARK
from keras_iwae.foundation.kept_arguments import FOR_KERAS, chosen

_PACKAGE = __name__.split(".")[0]
# Keras lets these be set on what is built, where they have no effect any more.
_OF_KERAS = "dtype_policy", "activity_regularizer", "autocast"


def _arguments(cls: Any, *projects: str) -> frozenset[str]:
    """Names of the arguments of a class and of those it inherits from, as far as they are of these projects."""
    makers = [vars(base).get("__init__") for base in cls.__mro__ if base.__module__.split(".")[0] in projects]
    found = [p for maker in makers if maker is not None for p in inspect.signature(maker).parameters.values()]
    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    return frozenset(p.name for p in found if p.kind in kinds) - {"self"}


def _declared(cls: Any) -> frozenset[str]:
    """Public names that the package's classes, this one and those that it inherits from, give values or types."""
    found: set[str] = set(_OF_KERAS)
    for base in cls.__mro__:
        if base.__module__.split(".")[0] == _PACKAGE:
            values = {n for n, v in vars(base).items() if not isinstance(v, (FunctionType, property, classmethod))}
            found.update(values, vars(base).get("__annotations__", ()), vars(base).get("parts", ()))
    return frozenset(name for name in found if not name.startswith("_"))


class _Names(NamedTuple):
    """Of a class: all its arguments, and what stays once it is built."""

    arguments: frozenset[str]
    fixed: frozenset[str]


_KNOWN: dict[Any, _Names] = {}


def _names(kind: Any) -> _Names:
    if kind not in _KNOWN:
        project = kind.__module__.split(".")[0]
        arguments = _arguments(kind, project, _PACKAGE)
        _KNOWN[kind] = _Names(arguments, _arguments(kind, _PACKAGE) | _declared(kind))
    return _KNOWN[kind]


def _check_known(given: Mapping[str, Any], kind: "type[FixedArguments]") -> None:
    """Refuse arguments that a constructor has left over, with the name that is most like the first of them.

    Args:
        given: arguments by name.
        kind: what is constructed.

    Raises:
        ValueError: which names the argument.
    """
    for name, value in given.items():
        if name not in FOR_KERAS:
            every = sorted({*FOR_KERAS, *_names(kind).arguments})
            known, close = f"one of {', '.join(every)}", difflib.get_close_matches(name, every, 1)
            if name in kind.elsewhere or close:
                meant = kind.elsewhere.get(name) or f"the closest is `{close[0]}`"
                known = f"no such argument of {kind.__name__}; {meant}"
            raise ValueError(f"{MARK}{name}`. Expected {known}. Received: {name}={value!r:.60}")


def _is_method(kind: Any, name: str) -> bool:
    """Whether users call it, or Python does for them; of an object's own Python would call none that is special."""
    hidden = name.startswith("_") and not name.startswith("__")
    # Keras keeps what `compile` is given under the name of a method.
    return not hidden and name != "loss" and isinstance(getattr(kind, name, None), (FunctionType, MethodType))


def plain(value: Any) -> Any:
    """NumPy's numbers as Python's, in tuples and lists too: those are what a configuration is saved with."""
    if isinstance(value, np.generic):
        return value.item()
    return type(value)(map(plain, value)) if type(value) in (tuple, list) else value


class FixedArguments:
    """Refuses to set or delete an attribute that is an argument of the constructor; NumPy's numbers become Python's.

    A method cannot be set on an object either, where some of what calls it would not see it, and no file would have it.

    Once it is built, what is an argument and no attribute is refused too, and what a class of this package declares: a
    class of a user's own that has further arguments may keep those when this package's constructor is done.

    Attributes:
        parts: further attributes that stay once it is built, as they are made of the arguments; of each class its own.
        elsewhere: what to write in the place of arguments that one could look for here.
    """

    parts: ClassVar[tuple[str, ...]] = ()
    elsewhere: ClassVar[Mapping[str, str]] = {}

    def __new__(cls, *args, **kwargs):
        made = super().__new__(cls, *args, **kwargs)
        # Names alone, and past Keras, which would look for layers in them.
        vars(made)["_chosen_arguments"] = chosen(cls, args, kwargs)
        return made

    def __init__(self, **kwargs):
        # What the constructors before it have left is for Keras.
        _check_known(kwargs, type(self))
        super().__init__(**kwargs)

    def __setattr__(self, name, value):
        every = self._refuse_change(name)
        if _is_method(type(self), name) and "_chosen_arguments" in vars(self):
            # Keras wraps some of a layer that is not made yet.
            raise AttributeError(
                f"Invalid assignment to `{name}`. Expected none: it is a method of this {type(self).__name__}, and "
                "steps, evaluations and saved files go by those of its class. Make a subclass that overrides it"
            )
        super().__setattr__(name, plain(value) if name in every else value)

    def __delattr__(self, name):
        self._refuse_change(name)
        super().__delattr__(name)

    def _refuse_change(self, name: str) -> frozenset[str]:
        """Refuse an attribute that stays, or is worked out; give the names of all arguments."""
        kind = type(self)
        every, fixed = _names(kind)
        if (name in every and name in vars(self)) or (name in fixed and getattr(self, "built", False)):
            remedy = f", with from_config({{**get_config(), {name!r}: ...}})" if name in every else ""
            raise AttributeError(
                f"Invalid assignment to `{name}`. Expected none: it is what this {kind.__name__} was made with, and "
                f"what is set later would be ignored. Make another one{remedy}"
            )
        known = getattr(kind, name, None)
        if isinstance(known, property) and known.fset is None:
            raise AttributeError(
                f"Invalid assignment to `{name}`. Expected none: this {kind.__name__} works it out from what it was "
                "made with and has learned"
            )
        return every
