"""Training that has run away, or in which no example has a weight, ends with an error after each epoch of `fit`."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_iwae.foundation import MARK


class StopWhereLossNotFinite(keras.callbacks.Callback):
    """Stop training with an error after an epoch whose loss, or a weight after it, is not finite.

    The loss is a mean over the epoch, so that one step is enough; a last step may break the weights alone.

    Raises:
        ValueError: from `fit`; it names the epoch and what mostly causes it.
    """

    kept = "Go back to weights that were saved before"

    def on_epoch_end(self, epoch, logs=None):
        where = f"epoch {epoch + 1}, at its end"
        self._check({"loss": (logs or {}).get("loss", 0.0)}, where)
        broken = first_not_finite(self.model)
        if broken:
            raise self._error(broken, where)

    def _check(self, values: dict, where: str) -> None:
        for name, value in values.items():
            if not np.isfinite(np.asarray(value, np.float64)).all():
                raise self._error(name, where)

    def _error(self, name: str, where: str) -> ValueError:
        return _ran_away(self.model, name, where, self.kept)


def first_not_finite(model: keras.Model) -> str:
    """Path of the first weight that is not finite, empty where all are."""
    weights = [weight for weight in model.weights if "float" in weight.dtype]
    # On the device where they are, and asked for at once.
    found = tf.stack([tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(weight))) for weight in weights]).numpy()
    return "" if found.all() else weights[int(np.argmin(found))].path


def check_batch(model: keras.Model, where: str, loss: Any = None) -> None:
    """Refuse a model whose loss or weights are not finite, before or after a single batch.

    Raises:
        ValueError: which names what is not, and what mostly causes it.
    """
    broken = "loss" if loss is not None and not np.isfinite(loss) else first_not_finite(model)
    if broken:
        # A mean over batches, which would stay what it is when the weights are other ones.
        model.reset_metrics()
        raise _ran_away(model, broken, where, StopWhereLossNotFinite.kept)


def _ran_away(model: keras.Model, name: str, where: str, kept: str) -> ValueError:
    cause = (
        "a learning rate that is too high, then values of the data that are far out; an optimizer with "
        "`global_clipnorm` outlasts a single odd example"
    )
    if model.dtype_policy.compute_dtype == "float16":
        cause = f"the dtype policy {model.dtype_policy.name!r}, as float16 ends at 65504, then {cause}"
    return ValueError(f"Training stopped in {where}: {name} is not finite. The likely cause is {cause}. {kept}")


class StopWithoutWeight(keras.callbacks.Callback):
    """Stop training with an error after an epoch in which no example had a weight above 0.

    Raises:
        ValueError: from `fit`.
    """

    def on_epoch_end(self, epoch, logs=None):
        self.model._check_weighed("x")


def check_callbacks(callbacks: Any) -> list[keras.callbacks.Callback]:
    """The callbacks that a method was given, in one list.

    Raises:
        ValueError: if one is none, such as the name or the class of one.
    """
    given = list(callbacks.callbacks) if isinstance(callbacks, keras.callbacks.CallbackList) else callbacks
    # What is made of a dict is not said by its values.
    flat = [given] if isinstance(given, dict) else keras.tree.flatten(given) if given is not None else []
    for each in flat:
        if not isinstance(each, keras.callbacks.Callback):
            expected = "objects of Keras' callbacks, such as keras.callbacks.EarlyStopping('val_bound', mode='max')"
            raise ValueError(f"{MARK}callbacks`. Expected {expected}. Received: {each!r}")
    return flat


def with_stopping(callbacks: Any, model: keras.Model) -> Any:
    """The callbacks of `fit`, with those above before what saves; the first only where none of them stops at NaN."""
    flat = check_callbacks(callbacks)
    kinds = (StopWhereLossNotFinite, keras.callbacks.TerminateOnNaN), (StopWithoutWeight,)
    added = [kind[0]() for kind in kinds if not any(isinstance(each, kind) for each in flat)]
    if isinstance(callbacks, keras.callbacks.CallbackList):
        for each in added:
            each.set_model(model)
        callbacks.callbacks[:0] = added
        return callbacks
    return [*added, *flat]
