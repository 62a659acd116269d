"""The rounded logistic distribution against float64, far out in the tails, and its moments."""

import numpy as np
import pytest
import tensorflow as tf
from oracles import rounded_logistic_log_prob

from keras_iwae.likelihoods import rounded_logistic
from keras_iwae.likelihoods.rounded_logistic import RoundedLogistic


def rounded(loc, scale, levels):
    return RoundedLogistic(tf.constant(loc, tf.float32), tf.constant(scale, tf.float32), levels)


@pytest.mark.parametrize("levels", [2, 4, 256])
@pytest.mark.parametrize("scale", [0.003, 0.3, 20.0, 1e5])
def test_rounded_logistic_keeps_its_digits_far_in_the_tails(levels, scale):
    loc = np.array([-1e6, -500.0, -0.5, 0.4 * levels, levels - 1.0, levels + 300.0, 1e6])[:, np.newaxis]
    x = np.unique(np.array([0.0, 1.0, levels // 2, levels - 2.0, levels - 1.0]))
    expected = rounded_logistic_log_prob(x, loc, scale, levels)
    found = rounded(loc, scale, levels).log_prob(x.astype(np.float32)).numpy()
    # What float32 can tell of (x + 1/2 - mu) / s.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    # Control: the difference of the two distribution functions, as it is usually written.
    upper, lower = (tf.sigmoid(((x + half - loc) / scale).astype(np.float32)) for half in (0.5, -0.5))
    assert levels < 256 or scale > 1.0 or np.isinf(tf.math.log(upper - lower)).any()


@pytest.mark.slow
@pytest.mark.parametrize("levels", [2, 4, 256])
def test_rounded_logistic_moments_of_narrow_and_wide_ones(levels):
    largest = levels - 1.0
    loc = (largest * np.array([-0.5, 0.001, 0.3, 0.98, 1.0, 1.7]))[:, np.newaxis]
    scale = largest * np.array([0.001, 0.03, 0.5, 30.0])
    y = np.arange(levels)
    mass = np.exp(rounded_logistic_log_prob(y, loc[..., np.newaxis], scale[:, np.newaxis], levels))
    mean = (mass * y).sum(axis=-1)
    variance = (mass * (y - mean[..., np.newaxis]) ** 2).sum(axis=-1)
    found = rounded(loc, scale, levels)
    np.testing.assert_allclose(found.mean(), mean, rtol=1e-5, atol=1e-5 * largest)
    np.testing.assert_allclose(found.stddev(), np.sqrt(variance), rtol=1e-3, atol=1e-5 * largest)


def test_moments_of_many_levels_are_no_eager_steps_one_by_one(monkeypatch):
    calls, sign = [], rounded_logistic.tf.sign
    monkeypatch.setattr(rounded_logistic.tf, "sign", lambda x: calls.append(x) or sign(x))
    # A shape that no other test has, so that it is traced here.
    found = rounded([30_000.0] * 13, [3.0] * 13, 65_536)
    np.testing.assert_allclose(found.mean(), 30_000.0)
    np.testing.assert_allclose(found.stddev(), np.sqrt(np.pi**2 / 3 * 9 + 1 / 12), rtol=1e-4)
    assert 0 < len(calls) < 20
