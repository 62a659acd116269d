"""What was done to the layers of a model since it was made, and how the configuration that is saved says it."""

import inspect
from collections.abc import Iterator
from functools import cache
from typing import Any

import keras

from keras_iwae.foundation import MARK
from keras_iwae.models.penalties import parts_of

# Of any layer, and no more than that it has variables, or what they are called.
_OF_ANY = "self", "name", "trainable", "dtype", "args", "kwargs"
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
    """The settings of a model's layers when it was built."""

    def __init__(self, model: keras.Model):
        self._settings = {id(layer): _settings(layer) for layer in model._flatten_layers(include_self=False)}

    def config(self, model: Any) -> dict[str, Any]:
        """What the model was made with; a network that was given, and changed since, as it is now.

        Raises:
            ValueError: which names the part of the model whose layer no configuration says as it is now.
        """
        _refuse_lora(model)
        changed = {id(layer): (layer, name) for layer, name in self._changes(model)}
        found, said = dict(vars(model._made_with)), list[dict]()
        for argument, part in found.items():
            if isinstance(part, Given):
                found[argument] = part.config
                if part.config is None or any(id(layer) in changed for layer in part.layer._flatten_layers()):
                    # Of a network that cannot be saved, Keras says why.
                    found[argument] = keras.saving.serialize_keras_object(part.layer)
                    said += _configs(found[argument])
        for layer, name in changed.values():
            if not any(_says(config, layer, name) for config in said):
                raise ValueError(
                    f"{MARK}{_part_of(model, layer)}`. Expected layers as they were made, in a model that is saved or "
                    "copied, unless they are of a network that was given: give one of your own, or save the weights, "
                    f"with save_weights. Received: {layer.name}, changed in `{name}`"
                )
        return found

    def _changes(self, model: keras.Model) -> Iterator[tuple[keras.Layer, str]]:
        """Layers that are not what they were made as, and the name of a setting that each has otherwise."""
        for layer in model._flatten_layers(include_self=False):
            before, now = self._settings.get(id(layer)), _settings(layer)
            if before is None:
                yield layer, "name"
            elif names := sorted(name for name in before.keys() & now if before[name] != now[name]):
                yield layer, names[0]


def _refuse_lora(model: Any) -> None:
    for layer in model._flatten_layers():
        if getattr(layer, "lora_enabled", False):
            raise ValueError(
                f"{MARK}{_part_of(model, layer)}`. Expected no LoRA in a model that is saved or copied: Keras adds it "
                "to the kernel, and nothing of it would be trained from there on; save the weights, with save_weights, "
                f"and load them into a model without. Received: {layer.name}, of rank {layer.lora_rank}"
            )


def _part_of(model: Any, layer: keras.Layer) -> str:
    return next(name for name, part in parts_of(model) if any(layer is each for each in part._flatten_layers()))


@cache
def _arguments(kind: type) -> frozenset[str]:
    makers = [vars(base)["__init__"] for base in kind.__mro__ if "__init__" in vars(base) and base is not object]
    return frozenset(name for maker in makers for name in inspect.signature(maker).parameters) - {*_OF_ANY}


def _settings(layer: keras.Layer) -> dict[str, Any]:
    """What a layer computes by, besides weights: numbers, names and functions that are arguments of its class.

    They are attributes and not its configuration: to ask for one while a file is written changes what is written.
    """
    kind: Any = type(layer)
    values = {name: vars(layer).get(name) for name in _arguments(kind)}
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
