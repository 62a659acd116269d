"""What was done to the layers of a model since it was made, and how the configuration that is saved says it."""

import inspect
from collections.abc import Iterator
from functools import cache
from typing import Any

import keras

from keras_iwae.foundation import MARK, is_own_class, plain
from keras_iwae.models.penalties import parts_of

# Of any layer, and no more than that it has variables, or what they are called.
_OF_ANY = "self", "name", "trainable", "dtype", "args", "kwargs"
# They act when variables are made, or add to the kernel, in which they are saved.
_OF_VARIABLES = "_initializer", "_regularizer", "_constraint", "lora_rank", "lora_alpha"
_PLAIN = bool, int, float, str, type(None)


class Given:
    """A layer that was given, and its configuration then; `None` where it has none, which matters to who saves it."""

    def __init__(self, layer: keras.Layer):
        self.layer = layer
        try:
            self.config = keras.saving.serialize_keras_object(layer)
        except NotImplementedError:
            self.config = None


def as_given(part: Any) -> Any:
    """A layer as it is kept for the configuration; what is none, as a name, is kept itself."""
    return Given(part) if isinstance(part, keras.Layer) else part


class AsMade:
    """The settings of a model's layers when it was built, and whether one was frozen."""

    def __init__(self, model: keras.Model):
        layers = model._flatten_layers(include_self=False)
        self._settings = {id(layer): _settings(layer) for layer in layers}
        self._was_frozen = not all(layer.trainable for layer in layers)

    def config(self, model: Any) -> dict[str, Any]:
        """What the model was made with; a network that was given, and changed since, as it is now.

        Raises:
            ValueError: which names the part of the model whose layer no configuration says as it is now, but for one of
                a user's own class, which says what it wants to.
        """
        changes = list(self._changes(model))
        changed = {id(layer) for layer, _ in changes}
        found, said = dict(vars(model._made_with)), list[dict]()
        for argument, part in found.items():
            if isinstance(part, Given):
                found[argument] = part.config
                if part.config is None or any(id(layer) in changed for layer in part.layer._flatten_layers()):
                    # Of a network that cannot be saved, Keras says why.
                    found[argument] = keras.saving.serialize_keras_object(part.layer)
                    # It is built with the model, and not before.
                    found[argument].pop("build_config", None)
                    said += _configs(found[argument])
        for layer, name in changes:
            if not is_own_class(type(layer)) and not any(_says(config, layer, name) for config in said):
                raise ValueError(
                    f"{MARK}{_part_of(model, layer)}`. Expected layers as they were made, in a model that is saved or "
                    "copied, unless they are of a network that was given: give one of your own, or save the weights, "
                    f"with save_weights. Received: {layer.name}, changed in `{name}`"
                )
        flags = [bool(layer.trainable) for layer in model._flatten_layers()]
        # Of what was made frozen and is trained since, what it was made with says that it is frozen.
        return found if all(flags) and not self._was_frozen else {**found, "trainable_layers": flags}

    def _changes(self, model: keras.Model) -> Iterator[tuple[keras.Layer, str]]:
        """Layers that are not what they were made as, with the name of each setting that is another."""
        for layer in model._flatten_layers(include_self=False):
            # One that a layer made at its first call has none.
            before, now = self._settings.get(id(layer), {}), _settings(layer)
            for name in sorted(before.keys() & now):
                # NaN is what it is, and not equal to itself.
                if before[name] is not now[name] and before[name] != now[name]:
                    yield layer, name


def _part_of(model: Any, layer: keras.Layer) -> str:
    return next(name for name, part in parts_of(model) if any(layer is each for each in part._flatten_layers()))


@cache
def _arguments(kind: type) -> frozenset[str]:
    makers = [vars(base)["__init__"] for base in kind.__mro__ if "__init__" in vars(base) and base is not object]
    names = frozenset(name for maker in makers for name in inspect.signature(maker).parameters) - {*_OF_ANY}
    return frozenset(name for name in names if not name.endswith(_OF_VARIABLES))


def _settings(layer: keras.Layer) -> dict[str, Any]:
    """What a layer computes by, besides weights: numbers, names and functions that are arguments of its class.

    They are attributes and not its configuration: to ask for one while a file is written changes what is written.
    """
    kind: Any = type(layer)
    values = {name: plain(vars(layer).get(name)) for name in _arguments(kind)}
    # Lists may be changed where they are.
    values = {name: tuple(value) if isinstance(value, (list, tuple)) else value for name, value in values.items()}
    return {"dtype": layer.dtype_policy.name, **{name: value for name, value in values.items() if _is_setting(value)}}


def _is_setting(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(isinstance(each, _PLAIN) for each in value)
    return isinstance(value, _PLAIN) or (callable(value) and not isinstance(value, keras.Layer))


def _configs(saved: Any) -> Iterator[dict]:
    """The configuration of every layer, or other object, in one that is saved."""
    if isinstance(saved, dict):
        if isinstance(saved.get("config"), dict):
            yield saved["config"]
        saved = list(saved.values())
    for value in saved if isinstance(saved, (list, tuple)) else ():
        yield from _configs(value)


def _says(config: dict, layer: keras.Layer, name: str) -> bool:
    """Whether it is that layer's configuration, and has this setting as it is now."""
    if config.get("name") != layer.name or name not in config:
        return False
    value = _settings(layer).get(name, layer.name)
    return config[name] == value or not isinstance(value, _PLAIN) or name == "dtype"
