"""The Gaussian of the encoder and the prior against TFP's own, to the last bit, and where its inverse loses digits."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import DiagonalGaussian

TFP = tfp.distributions.MultivariateNormalDiag
RNG = np.random.default_rng(0)
LOC = tf.constant(RNG.normal(size=(4, 5)), tf.float32)
SCALE = tf.constant(np.exp(RNG.normal(size=(4, 5))), tf.float32)
SEED = tf.constant([3, 4])


def everything(kind):
    """Draws, their densities, the gradients of both, and densities of what was not drawn."""
    with tf.GradientTape() as tape:
        tape.watch([LOC, SCALE])
        normal = kind(LOC, SCALE)
        z = normal.sample([7], seed=SEED)
        log_prob = normal.log_prob(z)
        total = tf.reduce_sum(log_prob * tf.range(4.0)) + tf.reduce_sum(tf.sin(z))
    together = normal.experimental_sample_and_log_prob([2], seed=SEED)
    others = normal.log_prob(z + 0.3), normal.sample(seed=SEED), normal.sample([2, 3], seed=SEED)
    return [z, log_prob, *tape.gradient(total, [LOC, SCALE]), *together, *others, normal.mean(), normal.stddev()]


@pytest.mark.slow
@pytest.mark.parametrize("graph", [False, True])
def test_it_is_tfps_to_the_last_bit(graph):
    both = [functools.partial(everything, kind) for kind in (DiagonalGaussian, TFP)]
    found, expected = (tf.function(each, autograph=False)() if graph else each() for each in both)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_it_is_one_of_tfps():
    normal = DiagonalGaussian(LOC, SCALE)
    assert isinstance(normal, TFP)
    other = TFP(tf.zeros([5]), tf.ones([5]))
    expected = tfp.distributions.kl_divergence(TFP(LOC, SCALE), other)
    np.testing.assert_allclose(tfp.distributions.kl_divergence(normal, other), expected, rtol=1e-6)
    np.testing.assert_array_equal(normal[1:].log_prob(tf.zeros([5])), TFP(LOC, SCALE)[1:].log_prob(tf.zeros([5])))


def test_a_draw_has_the_density_of_its_noise():
    """Its inverse, (z - loc) / scale, is off by half a standard deviation here."""
    normal = DiagonalGaussian(tf.fill([3, 4], 1e4), tf.fill([3, 4], 1e-3))
    z = normal.sample([50], seed=SEED)
    near = DiagonalGaussian(tf.zeros([3, 4]), tf.fill([3, 4], 1e-3))
    expected = near.log_prob(near.sample([50], seed=SEED))
    np.testing.assert_array_equal(normal.log_prob(z), expected)
    assert np.abs(normal.log_prob(z + 0.0) - expected).max() > 0.1


def test_batches_of_unknown_size():
    @tf.function(input_signature=[tf.TensorSpec([None, 5]), tf.TensorSpec([], tf.int32)], autograph=False)
    def drawn(loc, count):
        z = DiagonalGaussian(loc, tf.exp(loc)).sample([count], seed=SEED)
        assert z.shape.as_list() == [None, None, 5]
        return z

    np.testing.assert_array_equal(drawn(LOC, 3), TFP(LOC, tf.exp(LOC)).sample([3], seed=SEED))


def test_reparameterized_values_move_with_the_parameters():
    with tf.GradientTape() as tape:
        tape.watch([LOC, SCALE])
        normal = DiagonalGaussian(LOC, SCALE)
        again = normal.reparameterize(tf.ones([2, 4, 5]))
    np.testing.assert_allclose(again, np.ones((2, 4, 5)), rtol=1e-5)
    by_loc, by_scale = tape.gradient(again, [LOC, SCALE])
    np.testing.assert_allclose(by_loc, np.full((4, 5), 2.0))
    np.testing.assert_allclose(by_scale, 2.0 * (1.0 - LOC) / SCALE, rtol=1e-5)


def test_the_slope_is_the_tapes():
    rng = np.random.default_rng(4)
    q = DiagonalGaussian(tf.constant(rng.normal(size=(3, 2))), tf.constant(rng.gamma(3.0, size=(3, 2))))
    z = tf.constant(rng.normal(size=(5, 3, 2)))
    with tf.GradientTape() as tape:
        tape.watch(z)
        log_q = q.log_prob(z)
    np.testing.assert_allclose(q.slope(z), tape.gradient(log_q, z), rtol=1e-12)
