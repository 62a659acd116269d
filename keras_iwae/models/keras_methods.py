"""`fit`, `evaluate`, `predict` and what works on one batch: Keras' own, behind the one door for data."""

import keras
import numpy as np
import tensorflow as tf

from keras_iwae.foundation import MARK, is_own_class, shape_text, value_errors
from keras_iwae.models.compiled import CompiledModel, as_floats
from keras_iwae.models.door import SMALLEST_WEIGHT, Door, check_batch_size, check_weights, is_nested_numbers, no_weight
from keras_iwae.models.passes import (
    check_ends,
    check_passes,
    check_split,
    check_steps,
    settle_validation_freq,
    shuffles,
)
from keras_iwae.models.replicas import Batch, refuse_on_batch, refuse_over_machines, shared_out
from keras_iwae.models.stopping import check_batch, check_callbacks, with_stopping


class CheckedModel(CompiledModel):
    """`keras.Model` with a loss of its own, whose methods refuse data that its likelihood gives no density."""

    event_shape: tuple[int, ...]
    _trackers: dict[str, keras.metrics.Mean]
    _seen: keras.metrics.Sum

    def check_finite(self, argument: str = "model") -> None:
        """Refuse weights that are not finite."""
        raise NotImplementedError

    @property
    def door(self) -> Door:
        """What counts as data."""
        raise NotImplementedError

    def _end_fit(self) -> None:
        """Give up what a callback changed of training, which is of the `fit` that it was given to."""
        # Set by a `BackupAndRestore`: Keras would begin each further fit there.
        self._initial_epoch = None

    @property
    def metrics_names(self) -> list[str]:
        """What is reported; that it was of any examples is not."""
        return [*self._trackers]

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=None,
        class_weight=None,
        sample_weight=None,
        initial_epoch=0,
        steps_per_epoch=None,
        validation_steps=None,
        validation_batch_size=None,
        validation_freq=1,
    ):
        """As `keras.Model.fit`; examples are checked, and weighted by `sample_weight` `[N]` where it is given.

        Raises:
            ValueError: for data that is not taken, for arguments that would have no effect, and after an epoch whose
                loss is not finite, unless a `keras.callbacks.TerminateOnNaN` is there to end it, or in which no
                example had a weight above 0.
        """
        refuse_over_machines(self, "fit")
        _refuse_labels(y, class_weight)
        check_batch_size(x, batch_size)
        check_passes(epochs, initial_epoch)
        check_split(validation_split, validation_data, x)
        check_ends(x, steps_per_epoch, "x", "steps_per_epoch", epochs - initial_epoch)
        if validation_data is None and not validation_split:
            every = None if np.array_equal(validation_freq, 1) else validation_freq
            _refuse_validation(steps=validation_steps, batch_size=validation_batch_size, freq=every)
        else:
            validation_freq = settle_validation_freq(validation_freq, epochs, initial_epoch)
        check_batch_size(validation_data, validation_batch_size, "validation_batch_size")
        check_ends(validation_data, validation_steps, "validation_data", "validation_steps", epochs - initial_epoch)
        try:
            with value_errors():
                x, weights = self._opened(x, sample_weight, "x")
                _refuse_nothing_observed(x)
                check_steps(steps_per_epoch, x, batch_size, self.steps_per_execution, "steps_per_epoch")
                validation, rows = self._validation(validation_data), validation_batch_size or batch_size
                check_steps(validation_steps, validation, rows, self.steps_per_execution, "validation_steps")
                # In the place of labels too: without labels Keras leaves out the weights.
                return super().fit(
                    x,
                    weights,
                    batch_size,
                    epochs,
                    verbose,
                    with_stopping(callbacks, self),
                    validation_split,
                    validation,
                    shuffles(x, shuffle),
                    None,
                    weights,
                    initial_epoch,
                    steps_per_epoch,
                    validation_steps,
                    validation_batch_size,
                    validation_freq,
                )
        finally:
            self._end_fit()

    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        steps=None,
        callbacks=None,
        return_dict=False,
        **kwargs,
    ):
        """As `keras.Model.evaluate`; the same data gives the same numbers at every call.

        Raises:
            ValueError: for data that is not taken, weights of the model that are not finite, and after a pass in which
                no example had a weight above 0.
        """
        options = {"steps": steps, "callbacks": callbacks, "return_dict": return_dict, **kwargs}
        # Keras' fit evaluates what it has checked already, in the shape that it keeps.
        if "_use_cached_eval_dataset" in kwargs:
            # Of the epoch before it, whose metrics end here.
            self._check_weighed("x")
            found = super().evaluate(x, y, batch_size, verbose, sample_weight, **options)
            self._check_weighed("validation_data")
            return found
        refuse_over_machines(self, "evaluate")
        check_callbacks(callbacks)
        _refuse_labels(y)
        check_batch_size(x, batch_size)
        check_ends(x, steps, "x", "steps")
        self.check_finite()
        with value_errors():
            x, weights = self._opened(x, sample_weight, "x")
            check_steps(steps, x, batch_size, self.steps_per_execution)
            found = super().evaluate(x, weights, batch_size, verbose, weights, **options)
        self._check_weighed("x")
        return as_floats(found)

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """As `keras.Model.predict`: E[x|z] at the posterior mean of each example, `[N, *event_shape]`.

        Raises:
            ValueError: for data that is not taken, weights that are not finite, and entries that have no mean.
        """
        refuse_over_machines(self, "predict")
        check_callbacks(callbacks)
        check_batch_size(x, batch_size)
        check_ends(x, steps, "x", "steps")
        self.check_finite()
        with value_errors():
            x = self.door.open(x, "x")
            check_steps(steps, x, batch_size, self.steps_per_execution)
            found = super().predict(x, batch_size, verbose, steps, callbacks)
        return self._with_means(found)

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """As `keras.Model.train_on_batch`, on examples that are checked.

        Raises:
            ValueError: for data that is not taken, and where the loss, or a weight after it, is not finite.
        """
        refuse_on_batch(self, "train_on_batch")
        _refuse_labels(y, class_weight)
        x, weights = self._opened_batch(x, sample_weight)
        found = super().train_on_batch(x, weights, sample_weight=weights, return_dict=return_dict)
        check_batch(self, "train_on_batch", keras.ops.convert_to_numpy(self._trackers["loss"].result()))
        return as_floats(found)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """As `keras.Model.test_on_batch`, on examples that are checked; weights that are not finite are refused."""
        refuse_on_batch(self, "test_on_batch")
        _refuse_labels(y)
        self.check_finite()
        x, weights = self._opened_batch(x, sample_weight)
        return as_floats(super().test_on_batch(x, weights, sample_weight=weights, return_dict=return_dict))

    def predict_on_batch(self, x):
        """As `keras.Model.predict_on_batch`, on examples that are checked; weights not finite are refused."""
        refuse_on_batch(self, "predict_on_batch")
        self.check_finite()
        return self._with_means(super().predict_on_batch(self.door.array(x, "x")))

    def _with_means(self, predicted: np.ndarray) -> np.ndarray:
        """What was predicted, unless entries of a class of the user's own have no mean."""
        likelihood = self.generative.likelihood
        families = (type(family) for family in getattr(likelihood, "families", [likelihood]))
        own = sorted(kind.__name__ for kind in families if is_own_class(kind))
        if own and np.isnan(predicted).any():
            raise ValueError(
                f"{MARK}likelihood`. Expected a class with `mean_of(parameters)`, what is shown for entries that have "
                f"no mean. Received: {', '.join(own)}, with a mean that is NaN"
            )
        return predicted

    def _opened(self, x, sample_weight, argument: str):
        opened = self.door.open(x, argument)
        if sample_weight is None:
            return opened, None
        if not isinstance(opened, np.ndarray):
            raise ValueError(
                f"{MARK}sample_weight`. Expected none beside batches, which bring their own: elements (x, label, "
                f"weights). Received: {type(sample_weight).__name__}"
            )
        return opened, check_weights(sample_weight, len(opened), "sample_weight")

    def __call__(self, events, *args, **kwargs):
        # Before Keras makes a tensor of them, which has no mask.
        return super().__call__(self._looked_at(events), *args, **kwargs)

    def _looked_at(self, x):
        """Examples that are checked, where they are there to be looked at and not those of a graph."""
        if isinstance(x, keras.KerasTensor) or (tf.is_tensor(x) and not tf.executing_eagerly()):
            return x
        return tf.convert_to_tensor(self.door.array(x, "x"))

    def _check_weighed(self, argument: str) -> None:
        """Refuse to report means over a pass in which no example had a weight above 0."""
        weight = float(tf.convert_to_tensor(self._trackers["loss"].count))
        if weight < SMALLEST_WEIGHT and float(self._seen.result()) > 0.0:
            raise no_weight(f"{argument}: weights")

    def _opened_batch(self, x, sample_weight):
        x = self.door.array(x, "x")
        return x, None if sample_weight is None else check_weights(sample_weight, len(x), "sample_weight")

    def _validation(self, data):
        """Validation data as Keras takes it: batches, or a tuple of examples, labels and weights."""
        if data is None or not isinstance(data, (tuple, list)):
            return self.door.open(data, "validation_data") if data is not None else None
        if not is_nested_numbers(data) and 1 < len(data) <= 3 and data[1] is not None:
            raise ValueError(
                f"{MARK}validation_data`. Expected examples, or a tuple of examples, None and weights: there are no "
                f"labels. Received: a {type(data).__name__} whose second part is a {type(data[1]).__name__}"
            )
        x, weights = self.door.batch(data, "validation_data")
        return (x, None) if weights is None else (x, weights, weights)

    def _batch(self, data) -> Batch:
        """Examples and weights as a step gets them."""
        x, _, weights = keras.utils.unpack_x_y_sample_weight(data)
        # Arrays where Keras runs eagerly.
        x = tf.convert_to_tensor(x)
        if not x.shape[1:].is_compatible_with(self.event_shape):
            expected = shape_text("B", *self.event_shape)
            raise ValueError(f"{MARK}x`. Expected shape {expected}. Received: {x.shape}")
        weights = None if weights is None else tf.reshape(tf.cast(weights, tf.float32), [-1])
        return shared_out(tf.cast(x, tf.float32), weights)

    def predict_step(self, data):
        """As Keras' own; a replica that has no examples gives none."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        batch = shared_out(tf.cast(x, tf.float32), None)
        predicted = self(batch.x, training=False)
        return predicted if batch.rows is None else predicted[: batch.rows.count]

    def _maybe_symbolic_build(self, *args, **kwargs):
        # Under a strategy Keras would take a batch to build the model by, and an epoch of the data has then begun.
        if not self.built:
            super()._maybe_symbolic_build(*args, **kwargs)


def _refuse_nothing_observed(x) -> None:
    if isinstance(x, np.ndarray) and np.isnan(x).all():
        raise ValueError(f"{MARK}x`. Expected at least one entry that was observed. Received: NaN alone")


def _refuse_validation(**options) -> None:
    for name, value in options.items():
        if value is not None:
            raise ValueError(f"{MARK}validation_{name}`. Expected none without validation data. Received: {value!r}")


def _refuse_labels(y, class_weight=None) -> None:
    if y is not None:
        raise ValueError(
            f"{MARK}y`. Expected none: examples are all that is learned from. Received: {type(y).__name__}"
        )
    if class_weight is not None:
        raise ValueError(
            f"{MARK}class_weight`. Expected none, as there are no classes; give each example its sample_weight. "
            f"Received: {class_weight!r}"
        )
