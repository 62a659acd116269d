"""A batch as one of several replicas has it: what it is of the whole, and sums over all of them."""

import warnings
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_iwae.foundation import MARK, Rows, weighted_mean

_OF_THE_WHOLE_GRADIENT = "clipnorm", "global_clipnorm", "clipvalue"


class Batch(NamedTuple):
    """Examples of a step.

    Attributes:
        x: float32 `[B, *event_shape]`.
        weights: of the examples, `[B]`; `None` where all count alike and there is one replica.
        total_weight: the sum over all replicas, a scalar; `None` where there is one.
        rows: which of the whole batch they are; `None` where there is one replica.
    """

    x: tf.Tensor
    weights: tf.Tensor | None = None
    total_weight: tf.Tensor | None = None
    rows: Rows | None = None

    def mean(self, values: tf.Tensor) -> tf.Tensor:
        """Weighted mean of `values` `[B]`; of a replica its share of that of all; 0 where all weights are 0."""
        if self.total_weight is None:
            return weighted_mean(values, self.weights)
        return tf.math.divide_no_nan(tf.reduce_sum(self.weights * values), self.total_weight)


def replica_context():
    """TensorFlow's replica context where there are several replicas, else `None`."""
    context = tf.distribute.get_replica_context()
    return None if context is None or context.num_replicas_in_sync == 1 else context


def number_of_replicas(model: keras.Model) -> int:
    """How many replicas train a model."""
    return model.distribute_strategy.num_replicas_in_sync


def shared_out(x: tf.Tensor, weights: tf.Tensor | None) -> Batch:
    """The batch of a step, of which this replica may have a part only.

    A replica without examples, as the last batch may leave one, has the first of all with weight 0: operations on no
    rows divide by their number here and there.

    Args:
        x: examples of this replica, float32 `[B, *event_shape]`.
        weights: theirs, `[B]`, or `None`.
    """
    replica = replica_context()
    if replica is None:
        return Batch(x, weights)
    own, replicas = replica.replica_id_in_sync_group, replica.num_replicas_in_sync
    weights = tf.ones(tf.shape(x)[:1]) if weights is None else weights
    count = tf.shape(x)[0]
    # As floats: on GPUs integers are not summed.
    mine = tf.one_hot(own, replicas) * tf.cast(count, tf.float32)
    all_of = replica.all_reduce(tf.distribute.ReduceOp.SUM, tf.concat([mine, [tf.reduce_sum(weights)]], axis=0))
    counts = tf.cast(tf.round(all_of[:-1]), tf.int32)
    first = tf.reduce_sum(tf.where(tf.range(replicas) < own, counts, 0))
    leading = tf.concat([x, tf.zeros([1, *x.shape[1:]])], axis=0)[:1]
    spare = replica.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(tf.equal(own, 0), leading, 0.0))
    x = tf.ensure_shape(tf.cond(count > 0, lambda: x, lambda: spare), [None, *x.shape[1:]])
    weights = tf.cond(count > 0, lambda: weights, lambda: tf.zeros([1]))
    return Batch(x, weights, all_of[-1], Rows(first, count, tf.reduce_sum(counts)))


def sum_over_replicas(values: tf.Tensor) -> tf.Tensor:
    """The sum of each replica's values, over their number, where there are several.

    What is added to a variable that is the sum of every replica's own is then whole in that sum, and each replica's
    own has what all have seen, but for that number.
    """
    replica = replica_context()
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, values) / float(replica.num_replicas_in_sync)


def seen_by_all(seen: keras.metrics.Sum) -> tf.Tensor:
    """The number of examples that all replicas have seen, a float32 scalar."""
    replica = replica_context()
    return seen.result() if replica is None else seen.result() * float(replica.num_replicas_in_sync)


def is_distributed(model: keras.Model) -> bool:
    """Whether a model's weights are those of a strategy, in whose scope it was made."""
    return isinstance(model.weights[0].value, tf.distribute.DistributedValues)


def refuse_on_batch(model: keras.Model, method: str) -> None:
    """Refuse a method of one batch where there are several replicas, each of which Keras would give the whole of it.

    Raises:
        ValueError: which names the method.
    """
    if number_of_replicas(model) > 1:
        one = {"train": "fit", "test": "evaluate", "predict": "predict"}[method.removesuffix("_on_batch")]
        raise ValueError(
            f"Invalid call of `{method}`. Expected `{one}` under a strategy of several replicas, which shares batches "
            f"out. Received: model.{method}"
        )


def refuse_over_machines(model: keras.Model, method: str) -> None:
    """Refuse a method of Keras' of a model that several machines train, under which it fails.

    Raises:
        ValueError: which names the method.
    """
    strategy = model.distribute_strategy
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return
    machines = strategy.cluster_resolver.cluster_spec().as_dict().values()
    if sum(map(len, machines)) > 1:
        instead = "training.fit_over_machines" if method == "fit" else f"{method} of the saved model, loaded outside"
        raise ValueError(
            f"Invalid call of `{method}`. Expected {instead}: Keras' own fails over several machines. Received: "
            f"model.{method}"
        )


def refuse_under_replicas(model: keras.Model, jit_compile, steps_per_execution: int) -> None:
    """Refuse to `compile` with what would fail with several replicas, and warn of layers that do another thing there.

    Raises:
        ValueError: which names the argument.
    """
    scope = tf.distribute.get_strategy()
    if scope.num_replicas_in_sync > 1 and not is_distributed(model):
        raise ValueError(
            f"Invalid call of `compile`. Expected one in the scope that the model was made in. Received: in that of a "
            f"{type(scope).__name__}, of a model that was made outside: make, or load, it there too"
        )
    if number_of_replicas(model) == 1:
        return
    strategy = type(model.distribute_strategy).__name__
    if jit_compile is True:
        raise ValueError(
            f"{MARK}jit_compile`. Expected False or 'auto' under a {strategy}, whose replicas cannot wait for each "
            "other inside XLA. Received: True"
        )
    if steps_per_execution > 1:
        raise ValueError(
            f"{MARK}steps_per_execution`. Expected 1 under a {strategy}, where Keras fails with more. Received: "
            f"{steps_per_execution}"
        )
    if found := sorted({type(layer).__name__ for layer in model._flatten_layers() if _is_of_replicas(layer)}):
        warnings.warn(
            f"Under a {strategy} {' and '.join(found)} take each replica's rows alone: the weights will not be those "
            "of one device",
            stacklevel=3,
        )


def _is_of_replicas(layer: keras.Layer) -> bool:
    """Whether it has statistics of a replica's own rows, or masks that all replicas have in common."""
    if isinstance(layer, keras.layers.BatchNormalization):
        return not layer.synchronized
    return getattr(layer, "seed_generator", None) is not None


def refuse_optimizer(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
    """Refuse an optimizer that would do to each replica's gradient what is meant for the whole, or would fail.

    Raises:
        ValueError: which names the option.
    """
    if number_of_replicas(model) == 1:
        return
    if not isinstance(optimizer.variables[0].value, tf.distribute.DistributedValues):
        raise ValueError(
            f"{MARK}optimizer`. Expected one that was made in the scope of the model's "
            f"{type(model.distribute_strategy).__name__}, or its name. Received: a {type(optimizer).__name__} that was "
            "made outside"
        )
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    for name in (*_OF_THE_WHOLE_GRADIENT, "gradient_accumulation_steps", "ema_overwrite_frequency"):
        if name in _OF_THE_WHOLE_GRADIENT and getattr(optimizer, "clips_whole_gradients", False):
            continue
        if (value := getattr(inner, name, None)) is not None:
            reason = (
                "has it of each replica's own share, and FusedAdam of the whole"
                if name in _OF_THE_WHOLE_GRADIENT
                else "fails with it"
            )
            raise ValueError(
                f"{MARK}{name}`. Expected None for the optimizer under a {type(model.distribute_strategy).__name__}, "
                f"where Keras {reason}. Received: {value}"
            )
