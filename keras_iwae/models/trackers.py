"""What a step adds to the running means that Keras reports."""

from collections.abc import Mapping

import keras
import tensorflow as tf


def update_trackers(
    trackers: Mapping[str, keras.metrics.Mean],
    seen: keras.metrics.Sum,
    values: Mapping[str, tf.Tensor],
    weights: tf.Tensor | None,
) -> None:
    """What each tracker's `update_state` does, without its many operations for other shapes.

    Args:
        trackers: a mean over examples for each name.
        seen: the number of examples.
        values: for each name an entry an example, `[B]`, or one number for the batch; `loss` has one an example.
        weights: the examples' weights, `[B]`, or `None`.
    """
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
