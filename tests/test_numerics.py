import itertools
import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_iwae.foundation.numerics import (
    StreamingLogMeanExp,
    antithetic_noise,
    effective_sample_size,
    log_mean_exp,
    softmax,
)
from keras_iwae.likelihoods.bernoulli_logits import bernoulli_log_likelihood

RNG = np.random.default_rng(0)


def exact_log_likelihood(x, logits):
    x, logits = np.asarray(x, np.float64), np.asarray(logits, np.float64)
    return (x * logits - np.logaddexp(0.0, logits)).sum(axis=-1)


def test_log_mean_exp_is_log_of_mean_along_its_axis():
    x = RNG.normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_allclose(log_mean_exp(x, axis=0), np.log(np.exp(x).mean(axis=0)), rtol=1e-5)
    np.testing.assert_allclose(log_mean_exp(x, axis=1), np.log(np.exp(x).mean(axis=1)), rtol=1e-5)
    assert np.abs(log_mean_exp(x, axis=0) - x.mean(axis=0)).min() > 0.1  # a mean of logs would be caught


def test_log_mean_exp_shifts_by_the_maximum():
    # float32 exp(-104) is 0: without the shift all of these would be minus infinity.
    np.testing.assert_allclose(log_mean_exp(tf.constant([-1000.0, -1000.0, -1000.0])), -1000.0)
    np.testing.assert_allclose(log_mean_exp(tf.constant([500.0, -500.0])), 500.0 - math.log(2.0))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_is_that_of_float64_and_the_same_wherever_equal_logits_stand(axis):
    # No block of whole rows of nine is a multiple of what an instruction takes: TensorFlow's own rounds some otherwise.
    one = RNG.normal(size=(1, 100, 9)).astype(np.float32) * 5.0
    logits = np.moveaxis(np.repeat(one, 16, axis=0), -1, axis)
    found = np.moveaxis(softmax(tf.constant(logits), axis).numpy(), axis, -1)
    exact = np.exp(one.astype(np.float64) - one.max(axis=-1, keepdims=True))
    np.testing.assert_allclose(found[:1], exact / exact.sum(axis=-1, keepdims=True), rtol=1e-5)
    np.testing.assert_array_equal(found, np.repeat(found[:1], 16, axis=0))


def test_softmax_has_the_slope_of_a_softmax():
    logits = tf.constant([[0.3, -2.0, 5.0], [-700.0, 700.0, 699.0]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        ours, theirs = (tf.reduce_sum(each(logits) * [1.0, 2.0, 4.0]) for each in (softmax, tf.nn.softmax))
    np.testing.assert_allclose(tape.gradient(ours, logits), tape.gradient(theirs, logits), rtol=1e-4, atol=1e-6)


def test_effective_sample_size_runs_from_one_to_k():
    equal, one = tf.fill([6, 2], -700.0), tf.constant([[0.0], [-300.0], [-300.0]])
    np.testing.assert_allclose(effective_sample_size(equal), [6.0, 6.0], rtol=1e-4)
    np.testing.assert_allclose(effective_sample_size(one), [1.0], rtol=1e-5)


# 787 is prime: no grouping. 784 = 8 * 98. 1000 has a divisor of 125.
@pytest.mark.parametrize("size", [1, 12, 784, 787, 1000])
@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0])
def test_bernoulli_log_likelihood_equals_float64(size, scale):
    logits = (scale * RNG.normal(size=(4, 3, size))).astype(np.float32)
    x = (RNG.random((3, size)) < 0.5).astype(np.float32)
    expected = exact_log_likelihood(x, logits)
    np.testing.assert_allclose(bernoulli_log_likelihood(x, logits), expected, rtol=3e-6, atol=3e-5)


def test_bernoulli_log_likelihood_equals_tfp():
    logits = RNG.normal(size=(4, 3, 98)).astype(np.float32)
    x = (RNG.random((3, 98)) < 0.5).astype(np.float32)
    tfd = tfp.distributions
    expected = tfd.Independent(tfd.Bernoulli(logits=logits), 1).log_prob(x)
    np.testing.assert_allclose(bernoulli_log_likelihood(x, logits), expected, rtol=1e-5)


def test_bernoulli_log_likelihood_of_sure_pixels():
    # A probability of float32 sigmoid(17) is 1, and its log-odds are lost; logits keep them.
    result = bernoulli_log_likelihood(tf.zeros([1, 4]), tf.constant([[40.0, 100.0, -100.0, 17.0]]))
    np.testing.assert_allclose(result, [-157.0], rtol=1e-6)
    assert np.isfinite(bernoulli_log_likelihood(tf.ones([1, 126]), tf.zeros([1, 126])))


def test_bernoulli_log_likelihood_gradients():
    logits, x = tf.constant(RNG.normal(size=(4, 3, 20)), tf.float32), tf.constant(RNG.random((3, 20)), tf.float32)
    upstream = tf.constant(RNG.normal(size=(4, 3)), tf.float32)

    def plain(x, logits):
        return tf.reduce_sum(x * logits - tf.nn.softplus(logits), axis=-1)

    gradients = []
    for function in (plain, bernoulli_log_likelihood):
        with tf.GradientTape() as outer:
            outer.watch([x, logits])
            with tf.GradientTape() as tape:
                tape.watch([x, logits])
                value = tf.reduce_sum(upstream * function(x, logits))
            first = tape.gradient(value, [x, logits])
            penalty = tf.reduce_sum(first[1] ** 2)
        gradients.append([*first, *outer.gradient(penalty, [x, logits])])
    for expected, got in zip(*gradients, strict=True):
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    total=st.integers(1, 40),
    group=st.integers(1, 40),
    cuts=st.lists(st.integers(1, 39), max_size=6),
    shift=st.sampled_from([-800.0, 0.0, 300.0]),
)
def test_streaming_does_not_depend_on_where_chunks_are_cut(total, group, cuts, shift):
    sizes = sorted({1, min(group, total), total})
    terms = (np.random.default_rng(total).normal(size=(total, 3)) * 5 + shift).astype(np.float32)
    stream = StreamingLogMeanExp.zeros(sizes, 3)
    edges = sorted({0, total, *(cut for cut in cuts if cut < total)})
    for begin, end in itertools.pairwise(edges):
        stream = stream.update(tf.constant(terms[begin:end]))
    for size, found in zip(sizes, stream.result(), strict=True):
        groups = terms[: total // size * size].astype(np.float64).reshape(-1, size, 3)
        expected = (np.logaddexp.reduce(groups, axis=1) - math.log(size)).mean(axis=0)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_streaming_keeps_terms_of_zero_weight():
    terms = tf.constant([[-math.inf, 0.0], [-math.inf, -math.inf], [0.0, -math.inf]])
    stream = StreamingLogMeanExp.zeros([3], 2)
    for row in terms:
        stream = stream.update(row[tf.newaxis])
    np.testing.assert_allclose(stream.result()[0], [-math.log(3.0)] * 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("draws", "of_mean", "of_spread"), [(256, 1 / 11, {2: 0.03, 50: 0.06}), (64, 1 / 5.6, {50: 0.12})]
)
def test_moments_over_fixed_noise_are_as_sure_as_the_pages_say(draws, of_mean, of_spread):
    """Of Gaussians that are turned; and of a mean, where each of a pair says what the other does."""
    for size, wanted in of_spread.items():
        noise = np.concatenate([antithetic_noise(draws, size, seed).numpy() for seed in range(200)], axis=1)
        turned = np.random.default_rng(0).normal(size=(size, 20))
        turned = noise @ (turned / np.linalg.norm(turned, axis=0))
        found = np.sqrt(np.mean((turned.std(axis=0) - 1.0) ** 2))
        assert 0.9 * wanted < found < 1.15 * wanted
        np.testing.assert_allclose(turned.mean(axis=0), 0.0, atol=1e-5)
        np.testing.assert_allclose(noise.std(axis=0), 1.0, rtol=1e-5)
        even = np.cos(3.0 * noise)
        of_cosine = np.sqrt(np.mean((even.mean(axis=0) - np.exp(-4.5)) ** 2)) / even.std()
        assert 0.9 * of_mean < of_cosine < 1.1 * of_mean
