"""A second call with the same settings takes no new graph, and calls do not make the process grow."""

import gc

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_iwae import IWAE
from keras_iwae.evaluation import (
    annealed_nll,
    bidirectional_gap,
    importance_weighted_nll,
    inference_gap,
    latents,
    pairwise_log_posterior,
    resampled_posterior,
    resampled_reconstruction,
    sumo_nll,
)
from keras_iwae.models.graphs import KeepsGraphs
from keras_iwae.serving.export import export_saved_model

ANNEALING = {"num_chains": 2, "num_temperatures": 3, "num_leapfrog_steps": 1, "verbose": False}
CALLS = {
    "importance": lambda model, x: importance_weighted_nll(model, x, 30, verbose=False),
    "importance, widened": lambda model, x: importance_weighted_nll(model, x, 30, proposal_scale=1.2, verbose=False),
    "sumo": lambda model, x: sumo_nll(model, x, 2, verbose=False),
    "annealing": lambda model, x: annealed_nll(model, x, **ANNEALING),
    "bidirectional": lambda model, x: bidirectional_gap(model, 3, 10, **ANNEALING),
    "latents": lambda model, x: latents(model, x),
    "pairs": lambda model, x: pairwise_log_posterior(model, x, np.zeros((len(x), 2))),
    "resampling": lambda model, x: resampled_posterior(model, x, 2, 5),
    "resampled reconstruction": lambda model, x: resampled_reconstruction(model, x, 2, 5),
    "inference gap": lambda model, x: inference_gap(model, x, 30, 4),
}


def megabytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20


@pytest.fixture
def traces(monkeypatch):
    """How many functions have been made graphs of since."""
    made, function = [], tf.function

    def counted(*args, **kwargs):
        made.append(args)
        return function(*args, **kwargs)

    monkeypatch.setattr(tf, "function", counted)
    return made


@pytest.mark.long
@pytest.mark.parametrize("name", CALLS)
def test_a_second_call_makes_no_graph_and_more_take_no_memory(make_model, images, traces, name):
    model = make_model()
    CALLS[name](model, images)
    first = len(traces)
    assert first > 0, "what is counted has to be there"
    # Fewer examples, other values: the graph is one of batches of any size.
    CALLS[name](model, images[:3])
    assert len(traces) == first
    assert grown(lambda: CALLS[name](model, images[:1]), 5) < 5.0
    assert len(traces) == first


@pytest.mark.slow
def test_other_settings_are_another_graph_and_other_weights_are_not_stale(make_model, images):
    model = make_model()
    one, other = (importance_weighted_nll(model, images, k, verbose=False) for k in (20, 30))
    assert set(other.bound_per_example) != set(one.bound_per_example)
    for weight in model.trainable_variables:
        weight.assign(weight + 0.1)
    moved = importance_weighted_nll(model, images, 20, verbose=False)
    assert abs(moved.nll - one.nll) > 1e-3
    again = make_model()
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(importance_weighted_nll(again, images, 20, verbose=False).nll, moved.nll, rtol=1e-6)


def relu(network):
    network.layers[1].activation = keras.activations.relu


def lora(network):
    network.layers[1].enable_lora(2)
    network.layers[1].lora_kernel_b.assign(np.ones((2, 3)))


def adapted(network):
    network.layers[0].adapt(np.array([[3.0, 5.0], [4.0, -5.0]]))


def given_statistics(network):
    # Keras makes the layer's constants anew in `adapt` and in loading alone.
    network.layers[0].set_weights([np.full(2, 3.0), np.full(2, 5.0), np.int32(1)])


@pytest.mark.slow
@pytest.mark.parametrize("change", [relu, lora, adapted, given_statistics])
def test_what_a_layer_computes_otherwise_holds_from_compile_on(change):
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.layers.Normalization(), keras.layers.Dense(3, "tanh")])
    model = IWAE(4, 2, num_samples=2, encoder=keras.layers.Dense(2), decoder=network)
    latents = tf.constant([[0.3, -0.7]])
    # Of some first weights tanh and relu are the same to 1e-3.
    network.layers[1].kernel.assign([[1.0, -1.0, 0.5], [0.5, 1.0, -1.0]])

    def decode():
        return model.traced("mean", model.generative.mean, [tf.TensorSpec([None, 2])])(latents).numpy()

    before = decode()
    model.compile("adam")
    np.testing.assert_array_equal(decode(), before)
    change(network)
    model.compile("adam")
    now = decode()
    assert np.abs(now - before).max() > 1e-3
    np.testing.assert_allclose(now, model.generative.mean(latents), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("samples", [3, 12])
def test_what_the_likelihood_s_head_computes_otherwise_holds_for_any_number_of_samples(samples):
    """Of many samples a Bernoulli head is multiplied out, by its kernel and bias alone."""
    model = IWAE(4, 2, hidden=(3,), num_samples=samples)
    head = model.generative.likelihood.head
    head.kernel.assign(3.0 * head.kernel)
    x, z = tf.constant([[0.0, 1.0, 1.0, 0.0]]), tf.random.stateless_normal([samples, 1, 2], [0, 1])

    def found():
        seen = [tf.TensorSpec([1, 4]), tf.TensorSpec([samples, 1, 2])]
        return [
            model.traced("joint", model.generative.log_likelihood, seen)(x, z).numpy(),
            model.traced("of", lambda x, z: model.generative.log_likelihood_of(x)(z), seen)(x, z).numpy(),
        ]

    model.compile("adam")
    before = found()
    head.activation = keras.activations.tanh
    model.compile("adam")
    after = found()
    assert np.abs(after[0] - before[0]).max() > 1e-2
    np.testing.assert_allclose(after, 2 * [model.generative.distribution(z).log_prob(x)], rtol=1e-5)


def test_a_graph_of_other_weights_is_never_used():
    model = KeepsGraphs()
    model.weights = [object(), object()]
    first = model.kept("key", object)
    assert model.kept("key", object) is first
    for weights in ([*model.weights, object()], model.weights[:1], [object(), object()]):
        model.weights, before = weights, model.kept("key", object)
        assert model.kept("key", object) is not before
    last = model.kept("key", object)
    model.drop_graphs()
    assert model.kept("key", object) is not last


def grown(call, calls):
    """Megabytes that further calls take, after three that trace and fill caches."""
    for _ in range(3):
        call()
    gc.collect()
    before = megabytes()
    for _ in range(calls):
        call()
    gc.collect()
    return megabytes() - before


@pytest.mark.long
def test_a_second_export_makes_no_graph_and_takes_little(make_model, traces, tmp_path):
    """Each took 21 MiB of endpoints traced twice; the wrappers that TensorFlow makes of them are 9."""
    model = make_model()
    export_saved_model(model, tmp_path)
    first = len(traces)
    assert first > 0
    assert grown(lambda: export_saved_model(model, tmp_path), 3) < 3 * 15.0
    assert len(traces) == first


@pytest.mark.slow
def test_thirty_calls_take_no_memory(make_model, images):
    """They took ten megabytes each, of graphs that TensorFlow's and TFP's caches kept."""
    model = make_model(posterior="iaf")
    assert grown(lambda: importance_weighted_nll(model, images[:1], 30, verbose=False), 30) < 15.0
