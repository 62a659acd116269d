r"""Exponential moving averages of the weights, which an optimizer with `use_ema` keeps beside them.

After step t, $\bar\theta_t = d \bar\theta_{t-1} + (1 - d) \theta_t$, and $\bar\theta_1 = \theta_1$. Steps go on from
$\theta$; whatever is found out about a model is found out about $\bar\theta$, of less noise. So in a fit the two change
places after the steps of an epoch, for validation, the file of the model and what else is made of it, and back before
the next. A file that is written in between holds the averages as the model's weights, and the weights that training
goes on from as the optimizer's averages: whoever loads it has the model that was judged, and `exchange_averages` gives
the one to go on with, to the last bit.
"""

import hashlib

import keras
import tensorflow as tf

from keras_iwae.foundation import MARK


def exchange_averages(model: keras.Model) -> None:
    """Let weights and their averages change places; twice, nothing has happened.

    Args:
        model: a model whose optimizer has `use_ema`, and has taken a step or was loaded.

    Raises:
        ValueError: if the optimizer keeps no averages, or has none before its first step.

    References:
        Polyak, Juditsky (1992), Acceleration of stochastic approximation by averaging.
    """
    optimizer = _with_averages(model)
    if not optimizer.built:
        raise ValueError(f"{MARK}optimizer`. Expected one with averages. Received: one before its first step")
    for weight, average in zip(optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True):
        before = tf.identity(weight.value)
        weight.assign(average)
        average.assign(before)
    # Once by hand undoes what a fit did or left; twice, it is as it was.
    done, undone = getattr(optimizer, "_exchanged_in_fit", False), getattr(optimizer, "_undone_by_hand", False)
    optimizer._exchanged_in_fit, optimizer._undone_by_hand = undone, done


def _with_averages(model: keras.Model) -> keras.optimizers.Optimizer:
    """The optimizer that has the averages: within the one that scales the loss, under mixed precision."""
    optimizer = getattr(model, "optimizer", None)
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not getattr(optimizer, "use_ema", False):
        raise ValueError(
            f"{MARK}optimizer`. Expected one with use_ema=True, which keeps averages of the weights. Received: "
            + ("none" if optimizer is None else f"a {type(optimizer).__name__} without")
        )
    return optimizer


class AveragesAfterEpochs(keras.callbacks.Callback):
    """Let a model have the averages of its weights for validation and for the callbacks after it, and then its own.

    It comes first, and what it has at `ends`, another callback, last: what lies between the two sees the averages when
    an epoch ends. Keras itself leaves the averages in the model when `fit` does. A fit that was stopped while the model
    was judged leaves them in it too; the next one with such a callback goes on from the weights, or from others that
    were given to the model since.

    Raises:
        ValueError: from `fit`, if the optimizer has no `use_ema`, or `ends` is not among the callbacks behind it.
    """

    def __init__(self):
        super().__init__()
        self._has_ends = False
        self.ends = keras.callbacks.LambdaCallback(
            on_train_begin=lambda logs: setattr(self, "_has_ends", True),
            on_epoch_end=lambda epoch, logs: self._set(False),
        )

    def on_train_begin(self, logs=None):
        self._has_ends = False
        optimizer = _with_averages(self.model)
        # Of a fit that was stopped while it was judged; weights that were loaded since are not its averages.
        if getattr(optimizer, "_exchanged_in_fit", False) not in (False, _digest(optimizer)):
            optimizer._exchanged_in_fit = False
        self._set(False)

    def on_epoch_begin(self, epoch, logs=None):
        if not self._has_ends:
            raise ValueError(
                f"{MARK}callbacks`. Expected the `ends` of AveragesAfterEpochs behind it, as the last. Received: none "
                "there"
            )

    def on_test_begin(self, logs=None):
        self._set(True)

    def on_epoch_end(self, epoch, logs=None):
        # Of an epoch without validation.
        self._set(True)

    def _set(self, exchanged: bool) -> None:
        # Kept where the averages are: the next fit may have another callback.
        optimizer = _with_averages(self.model)
        if exchanged != bool(getattr(optimizer, "_exchanged_in_fit", False)):
            exchange_averages(self.model)
            optimizer._exchanged_in_fit = exchanged and _digest(optimizer)
            optimizer._undone_by_hand = False


def _digest(optimizer: keras.optimizers.Optimizer) -> str:
    """Of the weights that are in the model."""
    found = hashlib.sha256()
    for weight in optimizer._trainable_variables:
        found.update(keras.ops.convert_to_numpy(weight).tobytes())
    return found.hexdigest()
