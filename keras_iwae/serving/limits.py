"""What one request may ask for: one that takes all memory, or never ends, takes the server from everybody."""

from collections.abc import Callable

import tensorflow as tf

from keras_iwae.foundation import MARK, shape_text
from keras_iwae.serving.endpoints import Endpoint, Tensors

MAX_ROWS, MAX_SAMPLES = 10_000, 1_000_000
# Samples of a few rows, or of none, are as many steps one after the other, and take as long.
FEWEST_ROWS = 20


def limited(endpoint: Endpoint, max_rows: int, max_samples: int) -> Callable[..., Tensors]:
    """The function of an endpoint that refuses larger requests before it computes anything.

    Args:
        endpoint: the endpoint; where it takes rows and `num_samples`, that many importance samples are drawn for each
            row, or else as many as its own `samples`, and where it takes `num_samples` alone, that many rows are
            answered.
        max_rows: most rows of a request or an answer.
        max_samples: most importance samples of a request, those of all rows together; where a request has
            `num_samples`, fewer than 20 rows count as 20.

    Returns:
        a function of the same tensors, in whose graph InvalidArgument names the limit, or the input of another shape.
    """
    names = [spec.name for spec in endpoint.inputs]
    with_rows = [place for place, spec in enumerate(endpoint.inputs) if spec.shape.rank]
    first = with_rows[0] if with_rows else None
    of_rows = f"{max_rows} rows (max_rows)"
    of_samples = f"{max_samples} importance samples over all rows (max_samples)"
    few = f"fewer than {FEWEST_ROWS} rows count as {FEWEST_ROWS}"
    of_few = f"{max_samples} importance samples over all rows (max_samples; {few})"

    def function(*inputs: tf.Tensor) -> Tensors:
        checks = [_shaped(given, spec) for given, spec in zip(inputs, endpoint.inputs, strict=True)]
        # What follows goes by these shapes, and would fail in other words.
        with tf.control_dependencies(checks):
            inputs = tuple(map(tf.identity, inputs))
        if first is not None:
            rows = tf.shape(inputs[first], tf.int64)[0]
            checks.append(_at_most(max_rows, rows, names[first], of_rows))
            if len(with_rows) > 1:
                counts = tf.stack([tf.shape(inputs[place], tf.int64)[0] for place in with_rows])
                checks.append(_alike(counts, [names[place] for place in with_rows]))
            if endpoint.samples:
                each = f" rows with {endpoint.samples} samples each"
                checks.append(_at_most(max_samples, rows * endpoint.samples, names[first], of_samples, rows, each))
        if "num_samples" in names:
            count = tf.cast(inputs[names.index("num_samples")], tf.int64)
            if first is None:
                checks.append(_at_most(max_rows, count, "num_samples", of_rows))
            else:
                counted, each = tf.maximum(rows, FEWEST_ROWS) * count, " samples of each row"
                checks.append(_at_most(max_samples, counted, "num_samples", of_few, count, each))
        with tf.control_dependencies(checks):
            return endpoint.function(*map(tf.identity, inputs))

    return function


def _shaped(given: tf.Tensor, spec: tf.TensorSpec) -> tf.Operation:
    """Refuse an input of another shape than its spec says, which a loaded signature takes, by its name."""
    # To the graph's optimizer the shape is that of the spec, and a check of it nothing to compute: of a scalar it knows
    # all, and is not told that bytes are one.
    if spec.shape.rank:
        unknown = tf.raw_ops.PlaceholderWithDefault(input=given, shape=None)
    else:
        unknown = tf.io.parse_tensor(tf.io.serialize_tensor(given), given.dtype)
    found = tf.shape(unknown)
    wanted = [-1 if size is None else size for size in spec.shape]
    sizes = tf.concat([found, tf.fill([len(wanted)], -2)], axis=0)[: len(wanted)]
    right = tf.reduce_all((sizes == wanted) | (tf.constant(wanted, tf.int32) == -1))
    expected = shape_text(*("n" if size is None else size for size in spec.shape))
    message = tf.strings.format(f"{MARK}{spec.name}`. Expected shape {expected}. Received: {{}}", (found,))
    return tf.debugging.Assert(right & (tf.size(found) == len(wanted)), [message])


def _alike(counts: tf.Tensor, names: list[str]) -> tf.Operation:
    """Refuse inputs of which one has other rows than the first, `counts` of each, by its name."""
    other = tf.argmax(tf.cast(tf.not_equal(counts, counts[0]), tf.int32))
    expected = f"`. Expected as many rows as `{names[0]}` has, "
    first, found = tf.strings.as_string(counts[0]), tf.strings.as_string(counts[other])
    message = tf.strings.join([MARK, tf.gather(names, other), expected, first, ". Received: ", found])
    return tf.debugging.Assert(tf.reduce_all(tf.equal(counts, counts[0])), [message])


def _at_most(
    most: int, count: tf.Tensor, name: str, limit: str, received: tf.Tensor | None = None, of: str = ""
) -> tf.Operation:
    """Refuse a count above `most`, in the words of what was sent where it is another number."""
    message = f"Invalid value received for `{name}`. Expected at most {limit}, which were set at export. Received: "
    # Of a string it is one operation, of an int64 a branch.
    said = tf.strings.join([message, tf.strings.as_string(count if received is None else received), of])
    return tf.debugging.Assert(count <= most, [said])
