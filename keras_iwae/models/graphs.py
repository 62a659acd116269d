"""Graphs that belong to a model and its settings, and are traced once."""

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import tensorflow as tf

T = TypeVar("T")


class KeepsGraphs:
    """Keeps what was compiled for it.

    TensorFlow and TFP keep what a graph was traced from, so that one made at each call would never be freed.
    """

    def kept(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gave the first time it was asked for under `key`."""
        # Not an attribute that Keras tracks: it holds no state.
        graphs = vars(self).setdefault("_graphs", {})
        if key not in graphs:
            graphs[key] = make()
        return graphs[key]

    def traced(self, key: Hashable, function: Callable, specs: Sequence[tf.TensorSpec]) -> Callable:
        """`function` as a graph for tensors of these specs, traced the first time it is asked for under `key`."""
        # Nothing here is Python's control flow of tensors; converting it would take longer than tracing it.
        return self.kept(key, lambda: tf.function(function, autograph=False).get_concrete_function(*specs))
