"""Noise that belongs to the rows of a batch, however the examples are shared out: over replicas, or over batches.

A stateless key and a shape give noise. The rows of a batch that replicas have between them are to have the noise that
they have on one device, so that the number of devices changes no result: each replica draws for the whole batch, and
takes what its own rows have. Nothing is sent for it, and drawing costs little beside what is done with the draws.

The rows of a batch that is some of a data set are to have noise of their own, whatever else is in the batch. A stream
of numbers under a key can be entered anywhere: each row has a stretch of it, which its place among all examples tells.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import tensorflow as tf

# TensorFlow's number of the generator Philox. A step of it gives four numbers, and two of float64.
_PHILOX = 1


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


class Places(NamedTuple):
    """Which examples of all the rows of a batch are: those from `first` on, one after the other.

    Attributes:
        first: place of the first, a scalar of an integer type.
    """

    first: tf.Tensor


# TensorFlow traces each replica in a thread of its own.
_of_thread = threading.local()


@contextlib.contextmanager
def having_rows(rows: Rows | Places | None) -> Iterator[None]:
    """Draw the noise of these rows in the block; `None` is of a batch that is there as a whole, and is all there is."""
    before = _current()
    _of_thread.rows = rows
    try:
        yield
    finally:
        _of_thread.rows = before


def _current() -> Rows | Places | None:
    return getattr(_of_thread, "rows", None)


def current_rows() -> Rows | None:
    """The rows of a replica whose noise is drawn here, `None` where the batch is there as a whole."""
    rows = _current()
    return rows if isinstance(rows, Rows) else None


def normal_of_rows(key: tf.Tensor, shape: tf.Tensor | Sequence, axis: int, dtype: tf.DType = tf.float32) -> tf.Tensor:
    """Standard normal noise of a shape, or of the noise of more rows what those have that are drawn for here.

    Args:
        key: int32 `[2]`, a stateless seed.
        shape: of the noise that is wanted.
        axis: that of the rows in it, counted from the front.
        dtype: of the noise.

    Returns:
        a tensor of that shape.

    Example:
        >>> key = tf.constant([0, 1])
        >>> whole = normal_of_rows(key, [3, 4], axis=1)
        >>> with having_rows(Rows(tf.constant(1), tf.constant(2), tf.constant(4))):
        ...     part = normal_of_rows(key, [3, 2], axis=1)
        >>> bool(tf.reduce_all(part == whole[:, 1:3]))
        True
    """
    return _of_rows(tf.random.stateless_normal, tf.raw_ops.StatelessRandomNormalV2, key, shape, axis, dtype)


def uniform_of_rows(key: tf.Tensor, shape: tf.Tensor | Sequence, axis: int) -> tf.Tensor:
    """As `normal_of_rows`, uniform in [0, 1)."""
    return _of_rows(tf.random.stateless_uniform, tf.raw_ops.StatelessRandomUniformV2, key, shape, axis, tf.float32)


def _of_rows(
    draw: Callable, entered: Callable, key: tf.Tensor, shape: tf.Tensor | Sequence, axis: int, dtype: tf.DType
) -> tf.Tensor:
    rows = _current()
    if rows is None:
        return draw(shape, key, dtype=dtype)
    sizes = tf.unstack(tf.convert_to_tensor(shape, tf.int32))
    before, count, after = sizes[:axis], sizes[axis], sizes[axis + 1 :]
    if isinstance(rows, Rows):
        part = rows_out_of(draw(tf.stack([*before, rows.total, *after]), key, dtype=dtype), count, axis)
    else:
        size = tf.reduce_prod(tf.stack([1, *before, *after]))
        stretches = _stretches(entered, key, rows.first, count, size, dtype)
        order = [*range(1, axis + 1), 0, *range(axis + 1, len(sizes))]
        part = tf.transpose(tf.reshape(stretches, tf.stack([count, *before, *after])), order)
    # What a graph knows of the shape is lost on the way; these are not made in it, as nothing is done with them.
    part.set_shape(tf.zeros(shape).shape)
    return part


def _stretches(
    entered: Callable, key: tf.Tensor, first: tf.Tensor, count: tf.Tensor, size: tf.Tensor, dtype: tf.DType
) -> tf.Tensor:
    """`[count, size]`: of each place from `first` on its stretch of the numbers under a key."""
    of_step = 2 if dtype == tf.float64 else 4
    # A row begins with a step.
    steps = -(-size // of_step)
    philox_key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=key)
    # As signed numbers, which are added on every device.
    begin = tf.cast(first, tf.int64) * tf.cast(steps, tf.int64)
    counter = tf.bitcast(tf.bitcast(counter, tf.int64) + tf.stack([begin, 0]), tf.uint64)
    shape = tf.stack([count, steps * of_step])
    return entered(shape=shape, key=philox_key, counter=counter, alg=_PHILOX, dtype=dtype)[:, :size]


def drawn_for_rows(
    sample: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], count: int | tf.Tensor, batch: tf.Tensor, key: tf.Tensor
) -> tf.Tensor:
    """Draws for each row of what knows no rows, as a prior.

    Args:
        sample: from how many and a key to draws `[N, D]`.
        count: n, how many for each row.
        batch: B, how many rows there are.
        key: int32 `[2]`.

    Returns:
        `[n, B, D]`.
    """
    rows = _current()
    if isinstance(rows, Places):
        rows = Places(tf.cast(rows.first, tf.int64) * tf.cast(count, tf.int64))
    with having_rows(rows):
        z = sample(count * batch, key)
    return tf.transpose(tf.reshape(z, [batch, count, z.shape[-1]]), [1, 0, 2])


def rows_out_of(whole: tf.Tensor, wanted: tf.Tensor, axis: int = 0) -> tf.Tensor:
    """This replica's rows of what there is of the whole batch, `wanted` of them; all where there are no replicas."""
    rows = current_rows()
    if rows is None:
        return whole
    return tf.gather(whole, tf.minimum(rows.first, rows.total - wanted) + tf.range(wanted), axis=axis)
