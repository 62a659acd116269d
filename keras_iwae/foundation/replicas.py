"""Noise that belongs to the rows of a batch, however the batch is shared out over replicas.

A stateless key and a shape give noise. The rows of a batch that replicas have between them are to have the noise that
they have on one device, so that the number of devices changes no result: each replica draws for the whole batch, and
takes what its own rows have. Nothing is sent for it, and drawing costs little beside what is done with the draws.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import tensorflow as tf


class Rows(NamedTuple):
    """Which rows of the whole batch a replica has, int32 scalars.

    Attributes:
        first: place of the first.
        count: how many; 0 where there are fewer than replicas, and another's row stands in.
        total: those of all replicas.
    """

    first: tf.Tensor
    count: tf.Tensor
    total: tf.Tensor


# TensorFlow traces each replica in a thread of its own.
_of_thread = threading.local()


@contextlib.contextmanager
def having_rows(rows: Rows | None) -> Iterator[None]:
    """Draw the noise of these rows in the block; `None` is of a batch that is there as a whole."""
    before = current_rows()
    _of_thread.rows = rows
    try:
        yield
    finally:
        _of_thread.rows = before


def current_rows() -> Rows | None:
    """The rows whose noise is drawn here, `None` where the batch is there as a whole."""
    return getattr(_of_thread, "rows", None)


def noise_of_rows(
    draw: Callable[[tf.Tensor | Sequence], tf.Tensor],
    shape: tf.Tensor | Sequence,
    axis: int,
) -> tf.Tensor:
    """Noise of a shape, or of it what this replica's rows have of the noise of the whole batch.

    Args:
        draw: gives noise of the shape that it is called with.
        shape: of the noise that is wanted.
        axis: that of the rows in it, counted from the front.

    Returns:
        a tensor of that shape.

    Example:
        >>> key = tf.constant([0, 1])
        >>> whole = noise_of_rows(lambda shape: tf.random.stateless_normal(shape, key), [3, 4], axis=1)
        >>> with having_rows(Rows(tf.constant(1), tf.constant(2), tf.constant(4))):
        ...     part = noise_of_rows(lambda shape: tf.random.stateless_normal(shape, key), [3, 2], axis=1)
        >>> bool(tf.reduce_all(part == whole[:, 1:3]))
        True
    """
    rows = current_rows()
    if rows is None:
        return draw(shape)
    sizes = tf.unstack(tf.convert_to_tensor(shape, tf.int32))
    part = rows_out_of(draw(tf.stack([*sizes[:axis], rows.total, *sizes[axis + 1 :]])), sizes[axis], axis)
    # What a graph knows of the shape is lost on the way; these are not made in it, as nothing is done with them.
    part.set_shape(tf.zeros(shape).shape)
    return part


def rows_out_of(whole: tf.Tensor, wanted: tf.Tensor, axis: int = 0) -> tf.Tensor:
    """This replica's rows of what there is of the whole batch, `wanted` of them; all where there are no replicas."""
    rows = current_rows()
    if rows is None:
        return whole
    return tf.gather(whole, tf.minimum(rows.first, rows.total - wanted) + tf.range(wanted), axis=axis)
