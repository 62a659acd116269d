"""Draws of a masked network are TFP's to the last bit in fewer rounds, and their gradients those through all rounds."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae import IWAE
from keras_iwae.networks import MADE
from keras_iwae.posteriors import autoregressive_flow
from keras_iwae.posteriors.autoregressive_flow import AutoregressiveFlow

D = 7


@pytest.fixture
def rounds(monkeypatch):
    """How often each draw, and then each gradient, ran the network."""
    counts, settled = [], autoregressive_flow._settled

    def counted(again, start):
        counts.append(0)

        def call(values):
            counts[-1] += 1
            return again(values)

        return settled(call, start)

    monkeypatch.setattr(autoregressive_flow, "_settled", counted)
    return counts


def parts(gain: float = 1.0, **settings) -> tuple[MADE, tf.Tensor, tf.Tensor]:
    """A network, what it takes of three images, and noise; a large gain lets every unit hang on all before it."""
    made = MADE(D, seed=1, gain=gain, **{"hidden": (24,), **settings})
    features = tf.random.stateless_normal([3, 5], [1, 2])
    biases = made(features)
    return made, biases, tf.random.stateless_normal([4, 3, D], [3, 4])


def gradients(flow, inputs: list[tf.Tensor]) -> tuple[np.ndarray, list[np.ndarray]]:
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = flow(*inputs)
        # Units of unlike weight, so that none stands for another.
        loss = tf.reduce_sum(tf.sin(y) * tf.range(1.0, D + 1.0))
    return y.numpy(), [each.numpy() for each in tape.gradient(loss, inputs)]


def of_tfp(made: MADE, x, biases, *kernels):
    masked = [kernel * mask for kernel, mask in zip(kernels, made.masks, strict=True)]
    return tfp.bijectors.MaskedAutoregressiveFlow(lambda z: made.run(z, biases, *masked)).forward(x)


def of_ours(made: MADE, x, biases, *kernels):
    masked = [kernel * mask for kernel, mask in zip(kernels, made.masks, strict=True)]
    return autoregressive_flow._drawn(made.run, x, biases, *masked)


CASES = [
    pytest.param({}, id="one layer"),
    pytest.param({"backwards": True}, id="backwards"),
    pytest.param({"hidden": (12, 9), "activation": "tanh"}, id="two layers"),
    pytest.param({"gain": 4.0, "activation": "tanh"}, id="steep"),
    pytest.param({"hidden": (2,), "activation": "softplus", "gain": 4.0}, id="fewer units than inputs"),
]


@pytest.mark.slow
@pytest.mark.parametrize("settings", CASES)
def test_draws_and_gradients_are_those_through_all_rounds(settings):
    made, biases, x = parts(**settings)
    inputs = [x, biases, *map(tf.convert_to_tensor, made.kernels)]
    expected, expected_gradients = gradients(lambda *given: of_tfp(made, *given), inputs)
    y, found = gradients(lambda *given: of_ours(made, *given), inputs)
    np.testing.assert_array_equal(y, expected)
    for one, other in zip(found, expected_gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * np.abs(other).max())


def test_no_round_is_missing_where_every_unit_hangs_on_the_one_before(rounds):
    made, biases, x = parts(gain=4.0, activation="tanh")
    _, found = gradients(lambda x: of_ours(made, x, biases, *made.kernels), [x])
    # The first unit takes a round; what follows the last is not asked for.
    assert rounds == [D, D]
    assert all(np.isfinite(each).all() for each in found)


def test_there_are_as_few_rounds_as_change_something(rounds):
    made, biases, x = parts()
    # Nothing is seen of other units: one round finds all, and the next that nothing changed; of the gradient the first.
    weights = [biases, *(0.0 * kernel for kernel in made.masked(biases)[1:])]
    gradients(lambda x: autoregressive_flow._drawn(made.run, x, *weights), [x])
    assert rounds == [2, 1]


def test_a_gradient_of_one_round_would_be_seen(monkeypatch):
    made, biases, x = parts()
    inputs = [x, biases, *map(tf.convert_to_tensor, made.kernels)]
    _, expected = gradients(lambda *given: of_ours(made, *given), inputs)
    settled, calls = autoregressive_flow._settled, []

    def hasty(again, start):
        calls.append(start)
        return settled(again, start) if len(calls) == 1 else again(start)

    monkeypatch.setattr(autoregressive_flow, "_settled", hasty)
    _, found = gradients(lambda *given: of_ours(made, *given), inputs)
    assert np.abs(found[0] - expected[0]).max() > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("posterior", ["maf", "autoregressive", "iaf"])
@pytest.mark.parametrize("compiled", [False, True])
def test_log_q_of_a_draw_is_that_of_the_same_numbers(posterior, compiled):
    model = IWAE(6, latent_dim=4, hidden=(5,), posterior=posterior, num_samples=2, seed=0)
    x = (np.random.default_rng(0).random((3, 6)) < 0.4).astype(np.float32)

    @tf.function(jit_compile=compiled)
    def both(x):
        q = model.posterior.distribution(x)
        z = q.sample([5], seed=[1, 2])
        return q.log_prob(z), model.posterior.distribution(x).log_prob(tf.identity(z))

    drawn, given = both(x)
    np.testing.assert_allclose(drawn, given, atol=2e-4)


def test_noise_that_is_not_finite_ends():
    made, biases, x = parts()
    y = AutoregressiveFlow(made, biases).forward(x * np.nan)
    assert np.isnan(y).all()
