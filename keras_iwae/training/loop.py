"""A training loop over several processes, in the place of Keras' `fit`.

Each process goes through the very batches that one alone would have, takes of each the rows of its own replicas, and
sums gradients with the others, so that all have the same weights after every step. Keras 3's `fit` does not work under
a `tf.distribute.MultiWorkerMirroredStrategy`; its callbacks do.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_iwae.foundation import MARK, check_integer, value_errors
from keras_iwae.models import AVB, IWAE, check_model, check_passes, with_stopping
from keras_iwae.training.machines import Machines, others_going_on


@others_going_on()
def fit_over_machines(
    machines: Machines,
    model: IWAE | AVB,
    training: tf.data.Dataset,
    validation: tf.data.Dataset,
    epochs: int,
    initial_epoch: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int = 2,
) -> keras.callbacks.History:
    """As `model.fit(training, validation_data=validation, ...)`, in all processes at once.

    Args:
        machines: of `over_machines`.
        model: made in its scope, and compiled there.
        training: batches that are the same in each process, as `data.load` gives them.
        validation: as well.
        epochs: the last one, counted from the start of training.
        initial_epoch: epochs that were before.
        callbacks: may differ from process to process; what stops one of them at the end of an epoch stops all.
        verbose: 1 is a bar and 2 a line an epoch, of the first process; 0 is silent.

    Returns:
        Keras' history, with means over the examples of all processes in each.

    Raises:
        ValueError: if `machines` are none, `model` is none, was made elsewhere or was not compiled, for numbers out of
            range and data that is not taken, and after an epoch as from `fit`.
        OSError: if another process ends before this one.

    Example:
        The same program in each process, with TF_CONFIG in its environment::

            machines = over_machines()
            with machines.scope():
                model = IWAE((28, 28, 1), num_samples=50)
                model.compile(FusedAdam(1e-3))
            training, validation = data.load("mnist", "train"), data.load("mnist", "validation")
            fit_over_machines(machines, model, training, validation, epochs=20)

    References:
        TensorFlow's tutorial of custom training loops with MultiWorkerMirroredStrategy.
    """
    check_passes(epochs, initial_epoch)
    verbose = check_integer("verbose", verbose, at_least=0, at_most=2)
    check_model(model)
    if not isinstance(machines, Machines):
        raise ValueError(
            f"{MARK}machines`. Expected what over_machines() gives beside TF_CONFIG; one process has model.fit. "
            f"Received: {machines!r}"
        )
    if model.distribute_strategy is not machines.strategy:
        raise ValueError(f"{MARK}model`. Expected one that was made in machines.scope(). Received: one made outside")
    if not model.compiled:
        raise ValueError(f"{MARK}model`. Expected one that was compiled. Received: one without an optimizer")
    batches, held_out = _opened(model, training, "training"), _opened(model, validation, "validation")
    called = keras.callbacks.CallbackList(
        with_stopping(callbacks, model),
        add_history=True,
        add_progbar=bool(verbose) and machines.first,
        verbose=verbose,
        model=model,
        epochs=epochs,
        steps=len(batches),
    )
    # For what it checks, and the optimizer's variables.
    model.make_train_function()
    test, model.stop_training = _over(machines, model.test_step, held_out), False
    steps: dict[int | None, Callable] = {}
    called.on_train_begin()
    try:
        with value_errors():
            for epoch in range(initial_epoch, epochs):
                called.on_epoch_begin(epoch)
                # Of K, which a callback may have changed.
                samples = getattr(model, "training_samples", None)
                steps[samples] = steps.get(samples) or _over(machines, model.train_step, batches)
                begin, end = called.on_train_batch_begin, called.on_train_batch_end
                logs = _pass(machines, model, steps[samples], batches, begin, end, "training")
                called.on_test_begin()
                begin, end = called.on_test_batch_begin, called.on_test_batch_end
                found = _pass(machines, model, test, held_out, begin, end, "validation")
                called.on_test_end(found)
                called.on_epoch_end(epoch, {**logs, **{f"val_{name}": value for name, value in found.items()}})
                if machines.any(model.stop_training):
                    break
    finally:
        model._end_fit()
    # As Keras' fit ends: with the averages, where the optimizer keeps them.
    model.optimizer.finalize_variable_values(model.trainable_weights)
    called.on_train_end()
    return model.history


def _opened(model: IWAE | AVB, batches: tf.data.Dataset, argument: str) -> tf.data.Dataset:
    if not isinstance(batches, tf.data.Dataset) or int(batches.cardinality()) < 1:
        raise ValueError(
            f"{MARK}{argument}`. Expected a tf.data.Dataset of batches whose number is known, as data.load gives it. "
            f"Received: {type(batches).__name__}"
        )
    return model.door.open(batches, argument)


def _over(machines: Machines, step: Callable, batches: tf.data.Dataset) -> Callable:
    """A step of all replicas, each on what it has of the rows of its process; one graph for any number of them."""

    def any_rows(spec: tf.TensorSpec) -> tf.TensorSpec:
        return tf.TensorSpec([None, *spec.shape[1:]], spec.dtype)

    # What is Python's in a step is decided once, as in `fit`: converting it takes longer than the tracing.
    @tf.autograph.experimental.do_not_convert
    def of_replica(rows: Any) -> Any:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return step(_part(rows, replica % machines.replicas, machines.replicas))

    takes = [tf.nest.map_structure(any_rows, batches.element_spec)]
    return tf.function(lambda rows: machines.strategy.run(of_replica, (rows,)), takes, autograph=False)


def _pass(
    machines: Machines,
    model: IWAE | AVB,
    step: Callable,
    batches: tf.data.Dataset,
    begin: Callable,
    end: Callable,
    argument: str,
) -> dict[str, float]:
    model.reset_metrics()
    logs: dict[str, tf.Tensor] = {}
    for i, batch in enumerate(batches):
        begin(i)
        found = step(_part(batch, machines.index, machines.count))
        # Of all replicas in each of them.
        logs = {name: machines.strategy.experimental_local_results(value)[0] for name, value in found.items()}
        end(i, logs)
    model._check_weighed(argument)
    return {name: float(value) for name, value in logs.items()}


def _part(batch: Any, part: int | tf.Tensor, parts: int) -> Any:
    """Of each tensor of a batch the rows of one of so many parts, which may be none."""

    def rows(tensor: tf.Tensor) -> tf.Tensor:
        size = -(-tf.shape(tensor)[0] // parts)
        return tensor[part * size : (part + 1) * size]

    return tf.nest.map_structure(rows, batch)
