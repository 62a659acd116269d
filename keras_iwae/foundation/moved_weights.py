"""Weights that training may come to: a part of a user's own is looked at with others than it starts with."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np


@contextlib.contextmanager
def moved_weights(layer: keras.Layer) -> Iterator[None]:
    """Other weights of those that are trained for as long as it lasts: what is 0 at the start hides what it does.

    Args:
        layer: one that is built; its weights are what they were afterwards, whatever is raised.
    """
    weights = [weight for weight in layer.trainable_weights if "float" in str(weight.dtype)]
    before, rng = [keras.ops.convert_to_numpy(weight) for weight in weights], np.random.default_rng(1)
    try:
        for weight, value in zip(weights, before, strict=True):
            weight.assign(value + _change(np.shape(value), rng))
        yield
    finally:
        for weight, value in zip(weights, before, strict=True):
            weight.assign(value)


def _change(shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    if len(shape) < 2:
        # Upwards: it may be a scale.
        return rng.uniform(0.1, 0.4, shape)
    # Through the kernels of many layers numbers stay about as large as they are.
    return rng.uniform(-0.4, 0.4, shape) / np.sqrt(np.prod(shape[:-1]))
