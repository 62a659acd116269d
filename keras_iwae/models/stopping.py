"""Training that has run away ends with an error: what every `fit` looks at after each epoch."""

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


def with_stopping(callbacks: Any, model: keras.Model) -> Any:
    """The callbacks of `fit`, with the one above before what saves; as they are where one of them stops at NaN."""
    given = list(callbacks.callbacks) if isinstance(callbacks, keras.callbacks.CallbackList) else callbacks
    flat = keras.tree.flatten(given) if given is not None else []
    if any(isinstance(each, (StopWhereLossNotFinite, keras.callbacks.TerminateOnNaN)) for each in flat):
        return callbacks
    stopping = StopWhereLossNotFinite()
    if isinstance(callbacks, keras.callbacks.CallbackList):
        stopping.set_model(model)
        callbacks.callbacks.insert(0, stopping)
        return callbacks
    return [stopping, *flat]
