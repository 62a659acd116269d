"""Planar and radial maps where they are hardest to invert, and what a masked network may see."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_iwae import IWAE, export_saved_model, posteriors
from keras_iwae.networks.bijectors import Planar, Radial
from keras_iwae.networks.dense import dense_encoder
from keras_iwae.networks.masked import MADE

RNG = np.random.default_rng(2)
Z = RNG.normal(size=(5, 7, 3)).astype(np.float32) * 2.0
SEED = tf.constant([11, 0])


def values(*shape, scale=1.0):
    return tf.constant(scale * RNG.normal(size=shape), tf.float32)


# Batch 7 and event 3. At scale 4 w^T u reaches far below the -1 from which z + u tanh(w^T z + b) would fold over.
BIJECTORS = {
    "planar": lambda scale: Planar(values(7, 3, scale=scale), values(7, 3, scale=scale), values(7)),
    "radial": lambda scale: Radial(values(7, 3), values(7, scale=0.5 * scale), values(7, scale=scale)),
}


def jacobians(function, z):
    """Jacobian of each draw `[..., D, D]`, where each depends on its own z only."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(z := tf.identity(z))
        units = tf.unstack(function(z), axis=-1)
    return np.stack([tape.gradient(unit, z) for unit in units], axis=-2)


@pytest.mark.parametrize("scale", [0.5, 4.0])
@pytest.mark.parametrize("name", BIJECTORS)
def test_log_determinant_is_that_of_the_jacobian_and_positive(name, scale):
    bijector = BIJECTORS[name](scale)
    sign, log_determinant = np.linalg.slogdet(jacobians(bijector.forward, Z).astype(np.float64))
    np.testing.assert_array_equal(sign, np.ones((5, 7)))
    ours = bijector.forward_log_det_jacobian(Z, event_ndims=1)
    np.testing.assert_allclose(ours, log_determinant, rtol=1e-3, atol=2e-3)
    # Control: the determinant of the same map without the constraint on u is negative somewhere.
    if name == "planar" and scale == 4.0:
        u, w, b = bijector.parameters["u"], bijector.parameters["w"], bijector.parameters["b"]
        slope = 1.0 - tf.tanh(tf.reduce_sum(Z * w, axis=-1) + b) ** 2
        assert np.min(1.0 + tf.reduce_sum(u * w, axis=-1) * slope) < 0.0


@pytest.mark.parametrize("scale", [0.5, 4.0])
@pytest.mark.parametrize("name", BIJECTORS)
def test_inverse_undoes_it_and_has_the_inverse_derivative(name, scale):
    bijector = BIJECTORS[name](scale)
    moved = tf.identity(bijector.forward(Z))
    np.testing.assert_allclose(bijector.inverse(moved), Z, rtol=1e-3, atol=2e-3)
    again = bijector.forward(tf.identity(bijector.inverse(moved)))
    np.testing.assert_allclose(again, moved, rtol=1e-4, atol=1e-4)
    if scale == 0.5:
        products = jacobians(bijector.inverse, moved) @ jacobians(bijector.forward, Z)
        np.testing.assert_allclose(products, np.broadcast_to(np.eye(3), products.shape), atol=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", BIJECTORS)
def test_inverse_is_differentiable_in_the_parameters(name):
    """With f(g(z; p); p) = z for all p, the derivative of g is found from finite differences of g."""
    sizes = {"planar": (3, 3, 1), "radial": (3, 1, 1)}[name]
    start = 0.7 * RNG.normal(size=sum(sizes))
    z, weights = Z[:, 0], RNG.normal(size=3)

    def total(parameters):
        first, second, third = tf.split(tf.cast(parameters, tf.float32), sizes)
        parts = (first, second, third[0]) if name == "planar" else (first, second[0], third[0])
        return tf.reduce_sum({"planar": Planar, "radial": Radial}[name](*parts).inverse(tf.identity(z)) * weights)

    with tf.GradientTape() as tape:
        variable = tf.constant(start, tf.float32)
        tape.watch(variable)
        value = total(variable)
    gradient, step = tape.gradient(value, variable).numpy(), 1e-2
    for index, direction in enumerate(step * np.eye(len(start))):
        difference = (total(start + direction) - total(start - direction)) / (2.0 * step)
        np.testing.assert_allclose(gradient[index], difference, rtol=2e-2, atol=2e-2)


def test_zero_parameters_are_the_identity():
    zero, w = tf.zeros([7, 3]), values(7, 3)
    for bijector in (Planar(zero, w, values(7)), Planar(zero, zero, values(7)), Radial(zero, values(7), tf.zeros(7))):
        np.testing.assert_allclose(bijector.forward(Z), Z, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(bijector.forward_log_det_jacobian(Z, event_ndims=1), np.zeros((5, 7)), atol=1e-5)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("hidden", [(11,), (9, 13)])
def test_a_masked_network_sees_what_comes_before_and_all_of_it(hidden, backwards):
    made = MADE(5, hidden, "tanh", backwards=backwards, seed=3)
    network = made.given(made(values(7, 4)))
    z = values(6, 7, 5)
    for part in (0, 1):
        seen = np.abs(jacobians(lambda z, part=part: network(z)[part], z)).max(axis=(0, 1)) > 1e-7
        expected = np.tril(np.ones((5, 5), bool), -1)
        np.testing.assert_array_equal(seen, expected.T if backwards else expected)
    # Without masks every output sees every input.
    made.masks[:] = [np.ones_like(mask) for mask in made.masks]
    open_network = made.given(made(values(7, 4)))
    assert np.all(np.abs(jacobians(lambda z: open_network(z)[0], z)).max(axis=(0, 1)) > 1e-7)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("hidden", [(1,), (4,), (7,), (8,), (4, 20), (20, 4), (3, 5)])
def test_a_masked_network_of_few_units_sees_all_inputs_but_the_last(hidden, backwards):
    """By units of degrees 1, 2, 3, ... the last inputs would be seen by none."""
    made = MADE(9, hidden, "tanh", backwards=backwards, seed=3)
    features, z = (tf.random.stateless_normal(shape, [1, 2]) for shape in ((7, 4), (6, 7, 9)))
    network = made.given(made(features))
    seen = np.abs(jacobians(lambda z: network(z)[0], z)).max(axis=(0, 1)) > 1e-7
    seen = seen[::-1, ::-1] if backwards else seen
    np.testing.assert_array_equal(seen[8], np.arange(9) < 8)
    assert not np.triu(seen).any()
    # No two units of the smallest layer are of the same use.
    assert len(np.unique(seen.sum(axis=1))) == 1 + min(8, *hidden)


def test_every_output_of_a_masked_network_sees_the_context():
    made, features, z = MADE(5, (9, 13), "tanh", seed=3), values(7, 4), values(7, 5)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(features)
        units = tf.unstack(tf.concat(made.given(made(features))(z), axis=-1), axis=-1)
    assert all(np.abs(tape.gradient(unit, features)).max() > 1e-3 for unit in units)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"latent_dim": 0}, "latent_dim"),
        ({"hidden": ()}, "hidden"),
        ({"hidden": (0,)}, "hidden"),
        ({"hidden": 100}, "hidden"),
        ({"activation": "tanhh"}, "activation"),
        ({"backwards": "no"}, "backwards"),
        ({"gain": "1"}, "gain"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_masked_network_refuses_what_makes_no_sense(options, argument):
    with pytest.raises(ValueError, match=rf"^Invalid value received for `{argument}`\. Expected"):
        MADE(**{"latent_dim": 3, **options})


def loops(posterior, function):
    graph = tf.function(function).get_concrete_function(tf.TensorSpec([None, 6])).graph
    return sum("While" in operation.type for operation in graph.get_operations())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "drawn", "given"), [(posteriors.IAFPosterior, 0, 2), (posteriors.MAFPosterior, 2, 0)]
)
def test_where_iaf_and_maf_go_one_unit_after_the_other(family, drawn, given):
    """IAF draws and judges its draws without a loop over units, MAF judges any z without one."""
    posterior = family(dense_encoder((8,)), 4, num_steps=2, hidden=(9,))
    posterior.build((None, 6))
    assert loops(posterior, lambda x: posterior.sample_and_log_prob(x, 5, SEED)) == drawn
    assert loops(posterior, lambda x: posterior.log_prob(tf.zeros([5, tf.shape(x)[0], 4]), x)) == given


@pytest.mark.parametrize("family", [posteriors.PlanarPosterior, posteriors.RadialPosterior, posteriors.MAFPosterior])
def test_the_number_of_steps_is_an_option_of_the_family(family):
    posterior = family(dense_encoder((8,)), 4, num_steps=3)
    assert len(posterior.heads) == 2 + 3
    config = keras.saving.serialize_keras_object(posterior)
    assert keras.saving.deserialize_keras_object(config).num_steps == 3
    with pytest.raises(ValueError, match="`num_steps`"):
        family(dense_encoder((8,)), 4, num_steps=0)


@pytest.mark.slow
def test_a_flow_is_exported(tmp_path):
    images = (RNG.random((5, 6)) < 0.4).astype(np.float32)
    posterior = posteriors.IAFPosterior(dense_encoder((8,)), 3, num_steps=1, hidden=(9,))
    model = IWAE(6, hidden=(8,), posterior=posterior, num_samples=4)
    # Near to the prior, where 500 weights say what 500 others do.
    for head in posterior.heads[:2]:
        head.kernel.assign(0.1 * head.kernel)
    served = tf.saved_model.load(str(export_saved_model(model, tmp_path / "serving"))).signatures
    np.testing.assert_allclose(served["encode"](images=tf.constant(images))["mean"], posterior.mean(images), rtol=1e-4)
    bound = served["log_likelihood"](images=tf.constant(images), num_samples=tf.constant(500), seed=tf.constant(0))
    ours = model.objective(model.log_weights(images, 500, SEED))
    np.testing.assert_allclose(bound["log_likelihood"], ours, atol=0.2)
