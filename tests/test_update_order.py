"""No gradient of a step sees a variable that the step has moved already: every read is ordered against every update.

It is the graph that runs which counts, after TensorFlow's optimizer, which has been seen to drop such an order.
"""

import keras
import pytest
import tensorflow as tf

# TensorFlow 2 has no public name for the graphs that a function ran.
from tensorflow.python.eager import context

from keras_iwae import AVB, IWAE, data

TWO_LAYERS = {"latent_dim": (4, 2), "hidden": ((12,), (6,))}
MODELS = {
    "rws": (IWAE, {"estimator": "rws"}),
    "two layers, rws": (IWAE, {**TWO_LAYERS, "estimator": "rws"}),
    "two layers, dreg, resampled": (IWAE, {**TWO_LAYERS, "estimator": "dreg", "backward_samples": 2}),
    "semi-amortized": (IWAE, {"posterior": "semi_amortized"}),
    "mixture": (IWAE, {"posterior": "mixture"}),
    "auxiliary": (IWAE, {"posterior": "auxiliary"}),
    "adversarial": (AVB, {}),
}


def executed_graph(step):
    """Nodes by name of the largest graph that `step` ran."""
    context.context().enable_run_metadata()
    try:
        step()
        metadata = context.context().export_run_metadata()
    finally:
        context.context().disable_run_metadata()
    graphs = [graph for function in metadata.function_graphs for graph in function.partition_graphs]
    return {node.name: node for node in max(graphs, key=lambda graph: len(graph.node)).node}


def unordered_reads(nodes):
    """Pairs (read, write) of a variable, of which neither comes of the other."""

    def producer(edge):
        return edge.lstrip("^").split(":")[0]

    def ancestors(name):
        found, open_names = set(), [name]
        while open_names:
            for edge in nodes[open_names.pop()].input:
                if producer(edge) not in found:
                    found.add(producer(edge))
                    open_names.append(producer(edge))
        return found

    reads, writes = {}, {}
    for node in nodes.values():
        if node.op == "ReadVariableOp":
            reads.setdefault(producer(node.input[0]), []).append(node.name)
        elif node.op.startswith("Assign"):
            writes.setdefault(producer(node.input[0]), []).append(node.name)
    assert reads
    assert writes
    before = {name: ancestors(name) for names in (*reads.values(), *writes.values()) for name in names}
    return [
        (read, write)
        for variable, names in writes.items()
        for write in names
        for read in reads.get(variable, [])
        if read not in before[write] and write not in before[read]
    ]


def made(name):
    kind, settings = MODELS[name]
    model = kind((8, 8, 1), **{"latent_dim": 4, "hidden": (12,), "num_samples": 6, **settings})
    model.compile(keras.optimizers.Adam(5e-3))
    return model


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_read_is_before_or_after_every_update(name):
    model, batches = made(name), data.load("digits", "train", 50)
    nodes = executed_graph(lambda: model.fit(batches, epochs=1, steps_per_epoch=1, verbose=0))
    assert len(nodes) > 100
    assert not unordered_reads(nodes)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["two layers, rws", "adversarial"])
def test_draws_of_evaluate_are_keyed_before_the_images_are_counted(name):
    model, batches = made(name), data.load("digits", "validation", 50)
    nodes = executed_graph(lambda: model.evaluate(batches, verbose=0))
    assert len(nodes) > 100
    assert not unordered_reads(nodes)


def test_an_update_without_such_an_order_is_found():
    """The control: as the graph optimizer left the sleep phase, and the same with the edge that it dropped."""

    def graph(*order):
        edges = {"v": [], "g": [], "Read": ["v"], "Update": ["v", "g", *order]}
        ops = {"Read": "ReadVariableOp", "Update": "AssignSubVariableOp"}
        return {
            name: tf.compat.v1.NodeDef(name=name, op=ops.get(name, "_Arg"), input=inputs)
            for name, inputs in edges.items()
        }

    assert unordered_reads(graph()) == [("Read", "Update")]
    assert not unordered_reads(graph("^Read"))
