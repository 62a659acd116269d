"""Several training steps in a row as one program of XLA, in the place of one program for each."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

Logs = dict[str, tf.Tensor]


def joined_steps(
    step: Callable[[tuple], Logs], results: Callable[[Sequence[str]], Logs], count: int
) -> Callable[[Iterator], Logs]:
    """A function that takes `count` steps at a call, on the next batches of an iterator, or as many as there are.

    Batches of one shape are stacked, and a loop over them is compiled together with its steps: weights, moments and
    metrics stay where they are from one step to the next, and are not handed from program to program. Batches of
    another shape, as a last one is, are another program.

    Args:
        step: takes a batch, a tuple of tensors or `None`, and returns what is logged by name.
        results: what is logged after steps, of the names of what they log.
        count: steps a call, at least 1.

    Returns:
        a function of an iterator of batches, each a tensor or a tuple; it returns what is logged after the last step,
        and raises `StopIteration` where no batch is left.
    """

    @tf.function(jit_compile=True, autograph=False, reduce_retracing=True)
    def program(stacked: tuple, number: tf.Tensor) -> Logs:
        names: list[str] = []

        def take(taken: tf.Tensor) -> tuple[tf.Tensor]:
            names[:] = step(tuple(None if part is None else part[taken] for part in stacked))
            return (taken + 1,)

        tf.while_loop(lambda taken: taken < number, take, [tf.constant(0)])
        return results(names)

    def steps(iterator: Iterator) -> Logs:
        logs = None
        for _, alike in itertools.groupby(map(_parts, itertools.islice(iterator, count)), _shapes):
            batches = list(alike)
            stacked = tuple(_stacked(parts, count) for parts in zip(*batches, strict=True))
            logs = program(stacked, tf.constant(len(batches)))
        if logs is None:
            raise StopIteration
        return logs

    return steps


def _parts(batch: Any) -> tuple:
    parts = batch if isinstance(batch, (tuple, list)) else (batch,)
    # What Keras' own pipelines have in the place of `None`.
    return tuple(None if isinstance(part, tf.experimental.Optional) else part for part in parts)


def _shapes(parts: tuple) -> list:
    return [None if part is None else tuple(part.shape) for part in parts]


def _stacked(parts: Sequence, count: int) -> tf.Tensor | None:
    """`[count, ...]` of so many tensors or fewer, with zeros behind them: one shape is one program."""
    if parts[0] is None:
        return None
    # Where batches come from: one copy to a GPU in the place of one for each.
    with tf.device("CPU:0"):
        stacked = tf.stack(parts)
        if len(parts) == count:
            return stacked
        return tf.pad(stacked, [[0, count - len(parts)], *[[0, 0]] * (stacked.shape.rank - 1)])
