"""What a step adds to the running means that Keras reports."""

from collections.abc import Mapping

import keras
import tensorflow as tf

from keras_iwae.foundation import Rows
from keras_iwae.models.replicas import Batch, sum_over_replicas


def update_trackers(
    trackers: Mapping[str, keras.metrics.Mean],
    seen: keras.metrics.Sum,
    values: Mapping[str, tf.Tensor],
    batch: Batch,
) -> None:
    """What each tracker's `update_state` does, without its many operations for other shapes.

    Args:
        trackers: a mean over examples for each name.
        seen: the number of examples.
        values: for each name an entry an example, `[B]`, or one number for the batch; `loss` has one an example.
        batch: the examples that they are of.
    """
    weights = batch.weights
    if batch.rows is not None:
        _of_replicas(trackers, seen, values, batch.weights, batch.rows)
        return
    examples = tf.cast(tf.size(values["loss"]), tf.float32)
    total_weight = examples if weights is None else tf.reduce_sum(weights)
    # Of TensorFlow's variables: Keras' own `assign_add` reads, adds and assigns.
    seen.total.value.assign_add(examples)
    for name, tracker in trackers.items():
        value = values[name]
        # One number for the batch, such as a learned coefficient, has no weights.
        of_examples = bool(value.shape.rank)
        weighted = weights * value if of_examples and weights is not None else value
        # Nothing is counted in a step that gets no batch.
        with tf.control_dependencies([examples]):
            tracker.total.value.assign_add(tf.reduce_sum(weighted))
            tracker.count.value.assign_add(total_weight if of_examples else 1.0)


def _of_replicas(
    trackers: Mapping[str, keras.metrics.Mean],
    seen: keras.metrics.Sum,
    values: Mapping[str, tf.Tensor],
    weights: tf.Tensor,
    rows: Rows,
) -> None:
    """The same where each replica has a part of the batch: every one's trackers then have the means over all of it."""
    of_examples = {name: bool(values[name].shape.rank) for name in trackers}
    totals, counts = [], []
    for name in trackers:
        totals.append(tf.reduce_sum(weights * values[name]) if of_examples[name] else values[name])
        counts.append(tf.reduce_sum(weights) if of_examples[name] else tf.constant(1.0))
    added = sum_over_replicas(tf.stack([*totals, *counts, tf.cast(rows.count, tf.float32)]))
    seen.total.value.assign_add(added[-1])
    for i, tracker in enumerate(trackers.values()):
        tracker.total.value.assign_add(added[i])
        tracker.count.value.assign_add(added[len(totals) + i])
