"""Numbers of passes and steps that `fit` is given: those that would do nothing, or not what they say, are refused."""

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_iwae.foundation import MARK, check_boolean, check_integer, check_number


def check_passes(epochs: Any, initial_epoch: Any) -> None:
    """Refuse numbers that are none, and a first pass beyond the last; a run that goes on may have none left to do.

    Raises:
        ValueError: which names the argument.
    """
    check_integer("epochs", epochs)
    if check_integer("initial_epoch", initial_epoch, at_least=0) > epochs:
        raise ValueError(
            f"{MARK}initial_epoch`. Expected at most epochs = {epochs}, which counts from the first pass of all. "
            f"Received: {initial_epoch}"
        )


def check_steps(steps: Any, x: Any, batch_size: Any, steps_a_call: int, argument: str = "steps") -> None:
    """Refuse a number of batches that is none, and one that ends within a call of Keras', which takes whole calls.

    Args:
        steps: how many batches a pass takes, `None` for all there are.
        x: the data, as the door opened it.
        batch_size: examples in a batch of data that does not come in batches; `None` is Keras' 32.
        steps_a_call: the model's `steps_per_execution`.
        argument: the name that the caller knows `steps` by.

    Raises:
        ValueError: which names the argument.
    """
    if steps is None or check_integer(argument, steps) % steps_a_call == 0:
        return
    there: float = math.inf
    if isinstance(x, tf.data.Dataset):
        there = int(x.cardinality()) if x.cardinality() >= 0 else math.inf
    elif isinstance(x, keras.utils.PyDataset):
        there = math.inf if x.num_batches is None else x.num_batches
    elif not isinstance(x, Iterator) and hasattr(x, "__len__"):
        there = math.ceil(len(x[0] if isinstance(x, tuple) else x) / (batch_size or 32))
    # Of data that ends there, a call takes no more.
    if there > steps:
        raise ValueError(
            f"{MARK}{argument}`. Expected a multiple of steps_per_execution = {steps_a_call}, which a call takes. "
            f"Received: {steps}"
        )


def check_ends(x: Any, steps: Any, argument: str, steps_name: str, passes: int = 1) -> None:
    """Refuse batches that never end, and a generator for several passes, of which only the first has its batches.

    Args:
        x: the data, as it was given.
        steps: how many batches a pass takes, `None` for all there are.
        argument: the name that the caller knows the data by.
        steps_name: the argument that `steps` is.
        passes: over the data.

    Raises:
        ValueError: which names the argument, and `steps_name` as the remedy.
    """
    if steps is not None:
        return
    endless = isinstance(x, tf.data.Dataset) and x.cardinality() == tf.data.INFINITE_CARDINALITY
    if endless or (isinstance(x, keras.utils.PyDataset) and x.num_batches is None):
        raise ValueError(f"{MARK}{argument}`. Expected batches that end, or `{steps_name}`. Received: endless ones")
    if isinstance(x, Iterator) and passes > 1:
        raise ValueError(
            f"{MARK}{argument}`. Expected batches that can be had again for each of {passes} passes, as of a "
            f"keras.utils.PyDataset or a tf.data.Dataset, or `{steps_name}`. Received: a {type(x).__name__}"
        )


def settle_validation_freq(freq: Any, epochs: int, initial_epoch: int) -> int | list[int]:
    """After which epochs there is validation, as Keras takes it: every so many, or those of a list.

    Raises:
        ValueError: if they are no such numbers, or none of them is an epoch of this `fit`.
    """
    several = isinstance(freq, (list, tuple, set, range, np.ndarray))
    given = [check_integer("validation_freq", each) for each in (freq if several else [freq])]
    ran = range(initial_epoch + 1, epochs + 1)
    if ran and not any(epoch in given if several else epoch % given[0] == 0 for epoch in ran):
        raise ValueError(
            f"{MARK}validation_freq`. Expected one after which an epoch from {ran[0]} to {epochs} is validated. "
            f"Received: {freq!r}"
        )
    return given if several else given[0]


def check_split(validation_split: Any, validation_data: Any, x: Any) -> None:
    """Refuse a share that is none, one beside validation data, which would be taken in its place, and one of batches.

    Raises:
        ValueError: which names the argument.
    """
    if not 0.0 <= check_number("validation_split", validation_split or 0.0) < 1.0:
        raise ValueError(
            f"{MARK}validation_split`. Expected a share of at least 0 and below 1. Received: {validation_split}"
        )
    if validation_split and isinstance(x, (tf.data.Dataset, keras.utils.PyDataset, Iterator)):
        raise ValueError(
            f"{MARK}validation_split`. Expected none beside batches, of which no share can be cut off; give "
            f"`validation_data`. Received: {validation_split} beside a {type(x).__name__}"
        )
    if validation_split and validation_data is not None:
        raise ValueError(
            f"{MARK}validation_split`. Expected none beside `validation_data`, which is taken. "
            f"Received: {validation_split}"
        )


def shuffles(x: Any, shuffle: bool | None) -> bool:
    """What Keras is to be told of `shuffle`: by default it is, where there is something to shuffle.

    Raises:
        ValueError: which names `shuffle`, if it is no boolean, or batches come in an order of their own.
    """
    # Of a PyDataset it shuffles the batches.
    possible = isinstance(x, np.ndarray) or getattr(x, "num_batches", None) is not None
    if shuffle is None:
        return possible
    if check_boolean("shuffle", shuffle) and not possible:
        raise ValueError(
            f"{MARK}shuffle`. Expected False beside batches in an order of their own; shuffle the dataset: "
            "dataset.shuffle(...). Received: True"
        )
    return bool(shuffle)
