"""Arguments of a class of a user's own that are in no configuration, and that a saved or copied model would lose."""

import inspect
from collections.abc import Mapping
from typing import Any

import keras

from keras_iwae.foundation.checks import MARK

_OURS = "keras", __name__.split(".")[0]
# What Keras takes for any layer or model, and keeps in its own way.
FOR_KERAS = "name", "dtype", "trainable", "autocast", "activity_regularizer"
# Settings that say nothing of what a layer computes with its weights.
_OF_NO_WEIGHT = "name", "trainable", "dtype", "seed"


def is_own_class(kind: type) -> bool:
    """Whether it is a class of a user's own: neither this package's nor one of Keras."""
    return kind.__module__.split(".")[0] not in _OURS


def computing_settings(config: Any) -> Any:
    """A configuration without what a layer is called and starts from, in the layers that it holds too."""
    if isinstance(config, dict):
        return {name: computing_settings(value) for name, value in config.items() if name not in _OF_NO_WEIGHT}
    return [computing_settings(value) for value in config] if isinstance(config, (list, tuple)) else config


def chosen(kind: type, args: tuple, kwargs: Mapping[str, Any]) -> frozenset[str]:
    """Names of the arguments that are given to a class of a user's own and are not what it takes by default."""
    if not is_own_class(kind):
        return frozenset()
    maker: Any = next(vars(base)["__init__"] for base in kind.__mro__ if "__init__" in vars(base))
    signature = inspect.signature(maker)
    try:
        given = signature.bind(None, *args, **kwargs).arguments
    except TypeError:
        # The constructor will say what is wrong.
        return frozenset()
    found: dict[str, Any] = {}
    for name, value in list(given.items())[1:]:
        match signature.parameters[name].kind:
            case inspect.Parameter.VAR_KEYWORD:
                found |= value
            case inspect.Parameter.POSITIONAL_OR_KEYWORD | inspect.Parameter.KEYWORD_ONLY:
                if not _same(value, signature.parameters[name].default):
                    found[name] = value
    return frozenset(found) - {*FOR_KERAS}


def check_kept(argument: str, part: keras.Layer) -> None:
    """Refuse a layer of a class of the user's own whose configuration lacks an argument that it was given.

    Args:
        argument: what the caller knows it by.
        part: a layer; one that makes itself of its configuration in a way of its own is taken at its word.

    Raises:
        ValueError: which names the argument that a saved or copied model would not have.
    """
    kind = type(part)
    maker = next(base for base in kind.__mro__ if "from_config" in vars(base))
    if not is_own_class(kind) or is_own_class(maker):
        return
    remembered = vars(part).get("_chosen_arguments")
    names = _remembered_by_keras(part) if remembered is None else remembered
    try:
        config = part.get_config() if names else {}
    # Keras says why it cannot be saved to whoever saves it.
    except Exception:
        return
    lost = sorted(names - config.keys())
    if remembered is None:
        # A layer of anybody's: what is no attribute may be of no consequence.
        lost = [name for name in lost if _becomes_another(part, config, name)]
    if lost:
        raise ValueError(
            f"{MARK}{argument}`. Expected a class whose `get_config` has every argument of its constructor, as a model "
            f"is saved and copied with it. Received: {kind.__name__}, without `{lost[0]}`, which would be lost"
        )


def _remembered_by_keras(part: keras.Layer) -> frozenset[str]:
    found = getattr(vars(part).get("_auto_config"), "config", None)
    return chosen(type(part), (), found) if isinstance(found, dict) else frozenset()


def _becomes_another(part: keras.Layer, config: dict, name: str) -> bool:
    try:
        copy = type(part).from_config(config)
    except TypeError:
        # As of an argument without which it cannot be made.
        return True
    try:
        return not _same(getattr(part, name), getattr(copy, name))
    except Exception:
        return False


def _same(value: Any, other: Any) -> bool:
    try:
        return value is other or bool(value == other)
    # Of arrays there are many answers.
    except Exception:
        return False
