"""Training that has run away, or in which no example has a weight, ends with an error after each epoch of `fit`."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf


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
        for weight in self.model.weights:
            # On the device where it is, and not copied.
            if "float" in weight.dtype and not bool(tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(weight)))):
                raise self._error(weight.path, where)

    def _check(self, values: dict, where: str) -> None:
        for name, value in values.items():
            if not np.isfinite(np.asarray(value, np.float64)).all():
                raise self._error(name, where)

    def _error(self, name: str, where: str) -> ValueError:
        return ValueError(
            f"Training stopped in {where}: {name} is not finite. The likely cause is a learning rate that is too high, "
            f"then values of the data that are far out. {self.kept}"
        )


class StopWithoutWeight(keras.callbacks.Callback):
    """Stop training with an error after an epoch in which no example had a weight above 0.

    Raises:
        ValueError: from `fit`.
    """

    def on_epoch_end(self, epoch, logs=None):
        self.model._check_weighed("x")


def with_stopping(callbacks: Any, model: keras.Model) -> Any:
    """The callbacks of `fit`, with those above before what saves; the first only where none of them stops at NaN."""
    given = list(callbacks.callbacks) if isinstance(callbacks, keras.callbacks.CallbackList) else callbacks
    flat = keras.tree.flatten(given) if given is not None else []
    kinds = (StopWhereLossNotFinite, keras.callbacks.TerminateOnNaN), (StopWithoutWeight,)
    added = [kind[0]() for kind in kinds if not any(isinstance(each, kind) for each in flat)]
    if isinstance(callbacks, keras.callbacks.CallbackList):
        for each in added:
            each.set_model(model)
        callbacks.callbacks[:0] = added
        return callbacks
    return [*added, *flat]
