"""Graphs that belong to a model and its settings, and are traced once."""

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import tensorflow as tf

T = TypeVar("T")


class KeepsGraphs:
    """Keeps what was compiled for it, as long as it has the same weights and `drop_graphs` is not called.

    TensorFlow and TFP keep what a graph was traced from, so that one made at each call would never be freed.
    """

    def drop_graphs(self) -> None:
        """Forget all that is kept: a layer may compute something else from now on."""
        # Not attributes that Keras tracks: they hold no state.
        vars(self).pop("_graphs", None)

    def kept(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gave the first time it was asked for under `key`."""
        # The weights themselves, for the id of one that is gone may be another's; a closed form has none.
        weights = getattr(self, "weights", ())
        traced_with, graphs = vars(self).get("_graphs", ((), {}))
        if len(weights) != len(traced_with) or any(a is not b for a, b in zip(weights, traced_with, strict=True)):
            graphs = {}
            vars(self)["_graphs"] = weights, graphs
        if key not in graphs:
            graphs[key] = make()
        return graphs[key]

    def traced(self, key: Hashable, function: Callable, specs: Sequence[tf.TensorSpec]) -> Callable:
        """`function` as a graph for tensors of these specs, traced the first time it is asked for under `key`."""
        # Nothing here is Python's control flow of tensors; converting it would take longer than tracing it.
        return self.kept(key, lambda: tf.function(function, autograph=False).get_concrete_function(*specs))
