"""What is kept of K log weights, against all of them at once: the largest, the power sums, k-hat and the jackknife."""

import math

import numpy as np
import pytest
import tensorflow as tf
from oracles import LinearGaussian

from keras_iwae.evaluation.importance import curve
from keras_iwae.evaluation.jackknife import jackknife_correction
from keras_iwae.evaluation.pareto import pareto_k, tail_length
from keras_iwae.evaluation.streaming import LargestTerms, stream_log_weights


def fed(log_weights, size, chunk):
    """`LargestTerms` after all rows of `[K, B]`, a chunk at a time."""
    state = LargestTerms.zeros(size, tf.constant(log_weights.shape[1]))
    for begin in range(0, len(log_weights), chunk):
        state = state.update(tf.constant(log_weights[begin : begin + chunk], tf.float32))
    return state.largest.numpy(), state.rest.numpy()


def direct_jackknife(log_weights):
    """JVI of order 1 by its definition, every bound without one sample computed anew, in float64."""
    count = len(log_weights)
    whole = np.logaddexp.reduce(log_weights, axis=0) - math.log(count)
    without = [
        np.logaddexp.reduce(np.delete(log_weights, k, axis=0), axis=0) - math.log(count - 1) for k in range(count)
    ]
    return count * whole - (count - 1) * np.mean(without, axis=0)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [1, 7, 40, 300])
def test_largest_terms_equal_a_sort_of_all(chunk):
    log_weights = np.random.default_rng(0).normal(size=(201, 3)) * 5.0
    log_weights[::9, 1] = -math.inf
    largest, rest = fed(log_weights, 11, chunk)
    falling = np.sort(log_weights, axis=0)[::-1]
    np.testing.assert_allclose(largest, falling[:11].T, rtol=1e-6)
    expected = [np.logaddexp.reduce(power * falling[11:], axis=0) for power in (1, 2, 3, 4)]
    np.testing.assert_allclose(rest, expected, rtol=1e-5)


@pytest.mark.parametrize("dominating", [0.0, 3.0, 40.0])
@pytest.mark.parametrize(("count", "kept"), [(2, 2), (9, 9), (150, 64), (400, 64)])
def test_jackknife_equals_its_definition(count, kept, dominating):
    log_weights = np.random.default_rng(count).normal(size=(count, 5)).astype(np.float32).astype(np.float64) * 2.0
    log_weights[count // 2] += dominating
    found = jackknife_correction(count, *fed(log_weights, kept, 13))
    whole = np.logaddexp.reduce(log_weights, axis=0) - math.log(count)
    np.testing.assert_allclose(found, direct_jackknife(log_weights) - whole, rtol=1e-5, atol=1e-6)
    # Control: 1 - w/S as a float32 difference, where one weight is nearly all of S.
    if dominating == 40.0:
        share = np.exp(log_weights - np.logaddexp.reduce(log_weights, axis=0)).astype(np.float32)
        assert ((np.float32(1.0) - share).min(axis=0) == 0.0).all()


def test_jackknife_of_equal_weights_and_of_one():
    largest, rest = fed(np.full((30, 4), -90.0), 8, 7)
    np.testing.assert_allclose(jackknife_correction(30, largest, rest), 0.0, atol=1e-6)
    assert np.isnan(jackknife_correction(1, largest[:, :1], rest)).all()


@pytest.mark.parametrize("count", [25, 100, 1000, 5000])
def test_k_hat_of_the_largest_weights_is_that_of_all(count):
    from arviz import psislw

    log_weights = np.random.default_rng(count).normal(size=(count, 6)) * np.array([0.1, 0.5, 1.0, 2.0, 4.0, 30.0])
    log_weights = log_weights.astype(np.float32)
    largest, _ = fed(log_weights, tail_length(count) + 1, 77)
    np.testing.assert_allclose(pareto_k(largest, count), psislw(log_weights.T.astype(np.float64))[1], rtol=1e-6)


def test_k_hat_where_there_is_nothing_to_fit():
    assert np.isnan(pareto_k(np.zeros((3, 6)), 20)).all()
    rounding = -90.0 + np.random.default_rng(0).choice([-8e-6, 0.0, 8e-6], size=(3, 65))
    np.testing.assert_array_equal(pareto_k(np.sort(rounding)[:, ::-1], 300), 0.0)
    # A few weights beyond all float64 ratios: no fit, and no trust.
    hopeless = np.concatenate([np.zeros((1, 3)), np.full((1, 62), -2000.0)], axis=1)
    assert np.isinf(pareto_k(hopeless, 300)).all()


@pytest.mark.parametrize("sizes", [(1.0, 2.0), (1.0, 1.5, 1.2)])
@pytest.mark.parametrize("share", [0.5, 0.02, 0.001])
def test_few_weights_each_many_times_are_no_heavy_tail(sizes, share):
    """As of discrete latents: fewer than five weights above the first below the tail are not too few of them."""
    others = (1.0 - share) / (len(sizes) - 1)
    drawn = np.random.default_rng(3).choice(
        sizes, p=[others, share] if len(sizes) == 2 else [others, others, share], size=(40, 5000)
    )
    # Equal ones come out of float32 in several roundings.
    log_weights = np.log(drawn).astype(np.float32) + np.float32(-90.0)
    k = pareto_k(np.sort(log_weights)[:, ::-1], 5000)
    assert np.all(k < 0.5), k.max()
    # A hundred and ten equal ones above the cut: for so many a place on the grid is 0, where the fit is a limit.
    assert np.all(pareto_k(np.log(np.where(np.arange(214) < 110, 2.0, 1.0))[np.newaxis], 5000) < 0.5)
    # Control: a few that are much larger decide alone.
    for size in (100.0, 1e6):
        drawn = np.where(np.random.default_rng(4).random((40, 5000)) < 4e-4, size, 1.0)
        few = (drawn > 1.0).sum(axis=1)
        k = pareto_k(np.sort(np.log(drawn))[:, ::-1], 5000)
        assert np.all(k[(few > 0) & (few < 5)] > 0.7)


def test_curve():
    assert curve(5000) == [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000]
    assert curve(7) == [1, 2, 5, 7]
    assert curve(1) == [1]


@pytest.mark.slow
def test_chunks_of_any_size_give_the_same_numbers():
    oracle, count = LinearGaussian(shift=0.8, stretch=0.7), 5000
    x = tf.constant(oracle.sample_data(3))
    found = []
    for chunk in (1, 7, 500, 5000):
        stream = tf.function(
            lambda x, chunk=chunk: stream_log_weights(
                oracle, x, tf.constant(count), tf.constant([4, 1]), curve(count)[:-1], chunk, tail_length(count) + 1
            ),
            autograph=False,
        )
        found.append(tf.nest.map_structure(lambda t: t.numpy(), stream(x)))
    *smaller, whole = found
    for chunk, other in zip((1, 7, 500), smaller, strict=True):
        # The sum of all weights takes count / chunk float32 additions.
        rounding = {1: 5e-4, 7: 1e-4, 500: 2e-5}[chunk]
        for ours, theirs in zip(whole[:3], other[:3], strict=True):
            np.testing.assert_allclose(theirs, ours, rtol=rounding, atol=rounding)
        for ours, theirs in zip(whole[3:], other[3:], strict=True):
            np.testing.assert_allclose(theirs, ours, rtol=2e-5, atol=2e-5)
        corrections = [jackknife_correction(count, kept.largest, kept.rest) for kept in (whole, other)]
        np.testing.assert_allclose(*corrections, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(*[pareto_k(kept.largest, count) for kept in (whole, other)], atol=1e-4)
    # Control: other draws are further away than rounding.
    stream = tf.function(
        lambda x: stream_log_weights(oracle, x, tf.constant(count), tf.constant([4, 2]), [], 500), autograph=False
    )
    assert np.abs(stream(x).log_likelihood - whole.log_likelihood).max() > 5e-3
