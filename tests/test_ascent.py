"""The ascent to the best Gaussian against models in which each ELBO is known, and what the gap makes of bad ones."""

import math
import sys
from functools import partial

import numpy as np
import pytest
import tensorflow as tf
from oracles import LinearGaussian
from scipy import optimize

from keras_iwae.evaluation.ascent import ascend
from keras_iwae.evaluation.inference_gap import inference_gap
from keras_iwae.evaluation.mixtures import StudentMixture


class Counts(LinearGaussian):
    """p(x|z) Poisson of log rate W z + b, so that log p(x, z) is no quadratic and each ELBO of a Gaussian known.

    Units of 1, 0.1 and 0.01 make scales that differ as much.
    """

    def __init__(self):
        super().__init__(shift=0.0, stretch=1.0, dim=4, latent_dim=3)
        mixing = np.array([[1.0, 0.6, 0.0], [0.0, 1.0, 0.6], [0.6, 0.0, 1.0]])
        self.unit = np.array([1.0, 0.1, 0.01])
        self.weights, self.bias = self.weights @ mixing / self.unit, np.full(4, 1.0)

    def log_likelihood(self, x, z):
        log_rate = z @ tf.constant(self.weights.T, tf.float32) + tf.constant(self.bias, tf.float32)
        return tf.reduce_sum(x * log_rate - tf.exp(log_rate), axis=-1)

    def elbo_of(self, x, loc, log_scale):
        """Of one image, up to log x!: E exp(w z + b) is that of a lognormal."""
        mean = self.weights @ loc + self.bias
        rate = np.exp(mean + 0.5 * self.weights**2 @ np.exp(2.0 * log_scale))
        prior = 0.5 * (1.0 - loc**2 - np.exp(2.0 * log_scale)).sum()
        return (x * mean - rate).sum() + prior + log_scale.sum()


@pytest.mark.statistical
@pytest.mark.parametrize(("shift", "stretch"), [(1.0, 0.5), (-1.0, 2.0)])
def test_the_ascent_ends_at_the_best_gaussian(shift, stretch):
    model, rng = Counts(), np.random.default_rng(4)
    x = rng.poisson(np.exp(rng.normal(size=(12, 3)) * model.unit @ model.weights.T + model.bias))

    def below(one, parameters):
        return -model.elbo_of(one, parameters[:3] * model.unit, parameters[3:] + np.log(model.unit))

    best = [optimize.minimize(partial(below, one), np.repeat([0.0, -1.0], 3), tol=1e-9) for one in x]
    loc = np.stack([found.x[:3] for found in best]) * model.unit
    log_scale = np.stack([found.x[3:] for found in best]) + np.log(model.unit)
    start = tf.constant([loc + shift * np.exp(log_scale), log_scale + math.log(stretch)], tf.float32)

    def left(num_steps):
        found = ascend(model, tf.constant(x, tf.float32), start, num_steps, 10, tf.constant([0, 1]), lambda steps: None)
        return [
            [-known.fun - model.elbo_of(one, *each) for one, known, *each in zip(x, best, *gaussian, strict=True)]
            for gaussian in np.asarray(found, np.float64)
        ]

    late, last = left(250)
    assert np.min(last) > -1e-6
    assert np.max(last) < 1e-2
    assert np.max(np.abs(np.subtract(late, last))) < 1e-2
    # Control: a climb that was cut short is below, and what its last quarter brought says so.
    late, last = left(16)
    assert np.min(last) > 0.01
    assert np.min(np.subtract(late, last)) > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("log_scale", [3.0, 5.0])
def test_draws_that_go_too_far_out_make_a_gaussian_narrower(log_scale):
    """Rates of some of them, or of all, overflow, and the slopes of some counts less those of others are no numbers."""
    model = Counts()
    x = tf.constant(np.random.default_rng(4).poisson(3.0, size=(4, 4)), tf.float32)
    start = tf.tile([[[0.0]], [[log_scale]]], [1, 4, 3])
    found = ascend(model, x, start, 100, 10, tf.constant([0, 1]), lambda steps: None)
    assert np.isfinite(found).all()
    assert np.all(np.asarray(found)[:, 1] < 2.0)


def test_the_best_gaussian_of_what_is_fitted():
    """The inverse of the precision's diagonal, of the component of the largest share."""
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(2, 3, 4, 4))
    precision = roots @ roots.swapaxes(-1, -2) + np.eye(4)
    values, axes = np.linalg.eigh(precision)
    mean, log_share = rng.normal(size=(2, 3, 4)), np.log([[0.9, 0.2, 0.4], [0.1, 0.8, 0.6]])
    given = (tf.constant(each, tf.float32) for each in (mean, values, axes, log_share))
    loc, log_scale = StudentMixture.of(*given).diagonal_gaussian()
    which = [0, 1, 1], [0, 1, 2]
    np.testing.assert_allclose(loc, mean[which], rtol=1e-6)
    np.testing.assert_allclose(np.exp(-2.0 * log_scale), np.diagonal(precision, axis1=-2, axis2=-1)[which], rtol=1e-4)


@pytest.mark.long
@pytest.mark.statistical
def test_an_encoder_that_is_far_off_is_not_where_the_ascent_begins():
    model = LinearGaussian(shift=400.0, stretch=0.1)
    x = model.sample_data(10)
    gap = inference_gap(model, x, num_samples=100, seed=1)
    np.testing.assert_allclose(gap.best_elbo, model.log_evidence(x), atol=5e-3)
    assert np.abs(gap.late_gain).max() < 1e-2


@pytest.mark.long
@pytest.mark.parametrize("astray", [30.0, math.nan])
def test_an_ascent_that_goes_astray_leaves_the_encoder_s_gaussian(monkeypatch, astray):
    model = LinearGaussian()
    gap_module = sys.modules["keras_iwae.evaluation.inference_gap"]
    found = model.distribution(model.sample_data(5))
    late, best = (tf.stack([found.mean() + away, tf.math.log(found.stddev())]) for away in (20.0, astray))
    monkeypatch.setattr(gap_module, "ascend", lambda *_: [late, best])
    gap = inference_gap(model, model.sample_data(5), num_samples=50, num_steps=2)
    np.testing.assert_array_equal(gap.best_elbo, gap.elbo)
    assert np.min(gap.late_gain) > 100.0


@pytest.mark.slow
def test_the_ascent_begins_at_the_higher_elbo_image_by_image(monkeypatch):
    """What is fitted may be the worse one, too."""
    model = LinearGaussian(shift=0.3, stretch=1.0)
    gap_module, begun = sys.modules["keras_iwae.evaluation.inference_gap"], []
    x = model.sample_data(4)
    found = model.distribution(x)
    encoder = np.stack([found.mean(), np.log(found.stddev())])
    near = encoder + np.array([[[-0.3], [-0.3], [20.0], [20.0]], [[0.0]] * 4], np.float32)
    monkeypatch.setattr(gap_module, "_adapted", lambda *_: (np.zeros(4, np.float32), near))
    monkeypatch.setattr(gap_module, "ascend", lambda model, x, start, *_: begun.append(start) or [start, start])
    inference_gap(model, x, num_samples=10, num_steps=2)
    np.testing.assert_allclose(begun[0], np.concatenate([near[:, :2], encoder[:, 2:]], axis=1))
