"""Moments of a distribution, which not every one has."""

import contextlib
from typing import Any

import tensorflow as tf


def moment(distribution: Any, name: str) -> tf.Tensor | None:
    """What a distribution, of TFP or of a user's own, has for its "mean" or "stddev"; `None` where it has none."""
    with contextlib.suppress(NotImplementedError):
        if hasattr(distribution, name):
            return getattr(distribution, name)()
    return None
