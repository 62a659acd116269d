"""What a likelihood of a user's own is tried on: values of its support."""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from keras_iwae.foundation import ColumnSupports, Support
from keras_iwae.likelihoods.base import Likelihood

# All levels up to so many, and of more of them so many.
_LEVELS, _FEW = 12, 8
_REALS = np.array([0.0, 0.2, 0.5, 1.0, 1.5, 2.0, 4.0, 8.0])


def values(likelihood: Likelihood) -> tf.Tensor:
    """Events, float32 `[N, *event_shape]`, in which each entry has each of about eight values of its support once."""
    support: Any = likelihood.support
    columns = support.columns if isinstance(support, ColumnSupports) else (support,)
    lists = [_of_support(column) for column in columns]
    count = max(map(len, lists))
    # Neighbours have others, so that entries that are exchanged are seen too.
    found = [
        np.roll(np.resize(lists[place % len(lists)], count), -place)
        for place in range(math.prod(likelihood.event_shape))
    ]
    return tf.constant(np.reshape(np.transpose(found), (count, *likelihood.event_shape)), tf.float32)


def _of_support(support: Support) -> np.ndarray:
    """All of a few levels, else some from end to end, or from the end that there is, or on both sides of 0."""
    low, high = support.low, support.high
    if support.bounded:
        if not support.integers:
            return np.linspace(low, high, _FEW + 1)
        span = math.floor(high) - math.ceil(low)
        return np.unique(np.round(np.linspace(math.ceil(low), math.floor(high), min(span + 1, _LEVELS))))
    steps = np.arange(float(_FEW)) if support.integers else _REALS
    if math.isfinite(low):
        return low + steps
    if math.isfinite(high):
        return high - steps
    return np.concatenate([-steps[1::2], steps[::2]])
