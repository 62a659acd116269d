"""Numbers of passes and steps that `fit` is given: those that would do nothing, or not what they say, are refused."""

from typing import Any

from keras_iwae.foundation import MARK, check_integer, check_number


def check_passes(epochs: Any, initial_epoch: Any, steps_per_epoch: Any, validation_steps: Any) -> None:
    """Refuse numbers that are none, and those with which there is nothing to do.

    Raises:
        ValueError: which names the argument.
    """
    check_integer("epochs", epochs)
    if check_integer("initial_epoch", initial_epoch, at_least=0) > epochs:
        raise ValueError(
            f"{MARK}initial_epoch`. Expected at most epochs = {epochs}, which counts from the first pass of all. "
            f"Received: {initial_epoch}"
        )
    for name, steps in {"steps_per_epoch": steps_per_epoch, "validation_steps": validation_steps}.items():
        if steps is not None:
            check_integer(name, steps)


def check_split(validation_split: Any, validation_data: Any) -> None:
    """Refuse a share that is none, and one beside validation data, which would be taken in its place.

    Raises:
        ValueError: which names the argument.
    """
    if not 0.0 <= check_number("validation_split", validation_split or 0.0) < 1.0:
        raise ValueError(
            f"{MARK}validation_split`. Expected a share of at least 0 and below 1. Received: {validation_split}"
        )
    if validation_split and validation_data is not None:
        raise ValueError(
            f"{MARK}validation_split`. Expected none beside `validation_data`, which is taken. "
            f"Received: {validation_split}"
        )
