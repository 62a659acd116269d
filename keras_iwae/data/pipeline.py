"""Images -> batches for training and evaluation, where every draw is a function of (seed, epoch, batch).

    x ~ Bernoulli(grey level),   drawn with the stateless key fold(fold(seed, epoch), batch)

Nothing else decides a draw, so a run that was killed goes on bit for bit from the epoch that it had reached. Dynamic
binarization follows Burda, Grosse and Salakhutdinov (2016), arXiv 1509.00519.
"""

import itertools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_iwae.data.binarization import check_binarization, drawn_once
from keras_iwae.data.catalog import SPLITS, Source
from keras_iwae.data.permutation import permuted
from keras_iwae.data.sharded import Rows
from keras_iwae.data.units import in_units
from keras_iwae.foundation import check_integer, check_seed, untuned

# Streams of random numbers that share the user's seed.
_SHUFFLE, _PIXELS = 0, 1


def load(
    source: Source,
    split: str = "train",
    batch_size: int = 100,
    binarization: str = "dynamic",
    seed: int = 0,
    first_epoch: int = 0,
    levels: int | None = None,
) -> tf.data.Dataset:
    """Return batches of one split; each iteration over the dataset is one pass over the images.

    The training split is shuffled anew at each pass and drops its partial last batch, which would recompile an XLA
    step. Validation and test splits keep their order and all their rows, and are the same at every pass: there,
    "dynamic" means one draw from the seed, which depends neither on the batch size nor on the pass.

    Args:
        source: a name, a path, or an array, as in `images`; or a folder of shards that `convert` made, of which only
            what a batch takes is read.
        split: "train", "validation" or "test".
        batch_size: images in a batch.
        binarization: "dynamic" draws x ~ Bernoulli(grey level) afresh at every fetch, "static" draws it once from the
            seed, "threshold" takes 1 where the grey level exceeds 0.5. "none" gives grey levels in [0, 1] of bytes,
            floats of a user's own data as they are, and refuses other integers; "levels" gives whole numbers from 0
            on: the levels of images, or counts. Pixels that are NaN stay NaN, for a model that takes them as missing.
        seed: a whole number from 0; the same seed gives the same shuffling and the same draws. Report it beside a test
            NLL.
        first_epoch: the epoch of the first iteration; the n-th `iter()` of the dataset gives epoch `first_epoch + n`,
            from n = 0. To resume after e epochs, pass e. Evaluation splits are the same at every epoch.
        levels: with "levels", C: how many levels there are; `None` is `num_levels(source)`. Grey levels 0..255 are
            counted in C steps; whole numbers below C, bytes too, are taken as they are. Which of the two bytes are is
            said by the largest of the training split, or of the array: below C, or so dark that all would be level 0,
            they are whole numbers, and one beyond C - 1 in any split is refused.

    Returns:
        a dataset with a known length of float32 batches `[B, H, W, C]`, or `[B, D]` for flat sources.

    Raises:
        ValueError: if an argument is out of its range, or the training split has fewer rows than a batch.

    Example:
        >>> len(load("digits", "train", batch_size=20))
        64
    """
    check_binarization(binarization, levels)
    batch_size = check_integer("batch_size", batch_size)
    seed = check_seed("seed", seed)
    first_epoch = check_integer("first_epoch", first_epoch, at_least=0)
    training = split == "train"
    values = in_units(source, split, binarization, levels)
    if binarization == "static" or (binarization == "dynamic" and not training):
        values = _drawn_once(values, seed, split)
    if not training:
        return _in_order(values, batch_size)
    if len(values) < batch_size:
        raise ValueError(
            f"Invalid value received for `batch_size`. Expected at most the {len(values)} rows of the training split, "
            f"which drops partial batches. Received: {batch_size}"
        )
    return _shuffled(values, batch_size, binarization == "dynamic", seed, first_epoch)


def in_order(
    source: Source, split: str, limit: int | None, batch_size: int, binarization: str, seed: int, levels: int | None
) -> tf.data.Dataset:
    """Return batches of the first rows of any split as those of a test split: in order, whole and binarized once.

    The whole source says what its bytes mean, however few rows are asked for.

    Args:
        source: as in `load`.
        split: "train", "validation" or "test"; all have the draws that `load` gives a test split.
        limit: only the first so many rows; `None` is all.
        batch_size: images in a batch.
        binarization: as in `load`; "dynamic" and "static" are one draw from the seed.
        seed: as in `load`.
        levels: as in `load`.

    Returns:
        a dataset as that of `load`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> len(in_order("digits", "train", 50, 20, "dynamic", seed=0, levels=None))
        3
    """
    check_binarization(binarization, levels)
    batch_size = check_integer("batch_size", batch_size)
    limit = None if limit is None else check_integer("limit", limit)
    seed = check_seed("seed", seed)
    found = in_units(source, split, binarization, levels)
    values = found.first(limit) if isinstance(found, Rows) else found[:limit]
    if binarization in ("dynamic", "static"):
        values = _drawn_once(values, seed, "test")
    return _in_order(values, batch_size)


def _drawn_once(values: np.ndarray | Rows, seed: int, split: str) -> np.ndarray | Rows:
    key = seed, SPLITS.index(split)
    return values.drawn(*key) if isinstance(values, Rows) else drawn_once(values, np.random.default_rng(key))


def _as_grey(levels: tf.Tensor) -> tf.Tensor:
    grey = tf.cast(levels, tf.float32)
    return grey / 255.0 if levels.dtype == tf.uint8 else grey


def _in_order(levels: np.ndarray | Rows, batch_size: int) -> tf.data.Dataset:
    if isinstance(levels, Rows):
        count, rows = len(levels), levels

        def batch(index: tf.Tensor) -> tf.Tensor:
            start = index * batch_size
            return _taken(rows, tf.range(start, tf.minimum(start + batch_size, count)))

        steps = -(-count // batch_size)
        dataset = tf.data.Dataset.range(steps).map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    else:
        with tf.device("CPU:0"):
            dataset = tf.data.Dataset.from_tensor_slices(levels).batch(batch_size)
    dataset = dataset.map(_as_grey, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return untuned(dataset.prefetch(tf.data.AUTOTUNE))


def _taken(rows: Rows, places: tf.Tensor) -> tf.Tensor:
    found = tf.numpy_function(rows.take, [places], tf.as_dtype(rows.dtype))
    return tf.ensure_shape(found, (None, *rows.shape))


def _ordered(levels: np.ndarray | Rows) -> Callable[[tf.Tensor], Callable[[tf.Tensor, int], tf.Tensor]]:
    """What gives, of a key, the order of a pass: rows from a place of it on, so many."""
    count = len(levels)
    if isinstance(levels, Rows):
        shards = levels

        def of_shards(key: tf.Tensor) -> Callable[[tf.Tensor, int], tf.Tensor]:
            return lambda start, size: _taken(shards, permuted(tf.range(start, start + size), count, key))

        return of_shards
    # An eager tensor is captured by reference, a NumPy array would be copied into the graph; tf.data reads host memory.
    with tf.device("CPU:0"):
        rows = tf.constant(levels)

    def of_array(key: tf.Tensor) -> Callable[[tf.Tensor, int], tf.Tensor]:
        order = tf.random.experimental.stateless_shuffle(tf.range(count), key)
        return lambda start, size: tf.gather(rows, order[start : start + size])

    return of_array


def _shuffled(
    levels: np.ndarray | Rows, batch_size: int, dynamic: bool, seed: int, first_epoch: int
) -> tf.data.Dataset:
    steps = len(levels) // batch_size
    ordered = _ordered(levels)
    if isinstance(levels, Rows):
        shape, some_missing = levels.shape, levels.missing
    else:
        shape, some_missing = levels.shape[1:], levels.dtype.kind == "f" and bool(np.isnan(levels).any())
    epochs = itertools.count(first_epoch)

    def next_epoch():
        yield next(epochs)

    def batches(epoch: tf.Tensor) -> tf.data.Dataset:
        rows_from = ordered(_key(seed, _SHUFFLE, epoch))
        key = _key(seed, _PIXELS, epoch)

        def batch(index: tf.Tensor) -> tf.Tensor:
            grey = tf.ensure_shape(_as_grey(rows_from(index * batch_size, batch_size)), (batch_size, *shape))
            if not dynamic:
                return grey
            uniform = tf.random.stateless_uniform(grey.shape, tf.random.experimental.stateless_fold_in(key, index))
            drawn = tf.cast(uniform < grey, tf.float32)
            return tf.where(tf.math.is_nan(grey), grey, drawn) if some_missing else drawn

        return tf.data.Dataset.range(steps).map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    # The generator runs once for each iteration over the dataset, so it is where an epoch gets its number.
    dataset = tf.data.Dataset.from_generator(next_epoch, output_signature=tf.TensorSpec((), tf.int64)).flat_map(batches)
    return untuned(dataset.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(tf.data.AUTOTUNE))


def _key(seed: int, stream: int, epoch: tf.Tensor) -> tf.Tensor:
    return tf.random.experimental.stateless_fold_in(tf.constant((seed, stream), tf.int64), epoch)
