"""The gap log p(x) - ELBO on a curved posterior and on one with two modes, family by family, by quadrature."""

import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import minimize

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import _shapes as shapes

# How much of the diagonal Gaussian's gap is left, at most, after 300 of the script's 2,000 steps.
LEFT = {
    ("crescent", "iaf"): 0.2,
    ("two modes", "planar"): 0.2,
}


def best_gaussian_gap(target):
    """The least KL(q || p(z|x)) of any diagonal Gaussian q, by quadrature and direct search."""
    log_joint = shapes.true_log_joint(target)
    log_posterior = log_joint - np.logaddexp.reduce(log_joint) - np.log(shapes.CELL)

    def divergence(parameters):
        loc, log_scale = np.split(parameters, 2)
        noise = (shapes.GRID[:, 0] - loc) / np.exp(log_scale)
        log_q = (-0.5 * noise**2 - log_scale - 0.5 * np.log(2.0 * np.pi)).sum(axis=-1)
        return (np.exp(log_q) * (log_q - log_posterior)).sum() * shapes.CELL

    return minimize(
        divergence, [0.0, 0.5, -0.5, -0.5], method="Nelder-Mead", options={"fatol": 1e-4, "xatol": 1e-3}
    ).fun


@pytest.fixture(scope="module")
def gaussian():
    return {name: best_gaussian_gap(shapes.Target(name)) for name in shapes.TARGETS}


@pytest.mark.statistical
@pytest.mark.parametrize(("name", "family"), [("crescent", "gaussian"), *LEFT])
def test_the_gap_shrinks_from_the_gaussian_to_the_richer_family(gaussian, name, family):
    target = shapes.Target(name)
    posterior = shapes.make(family, target)
    shapes.fit(posterior, target, steps=300)
    gap, density = shapes.gap(posterior, target)
    assert density.sum() * shapes.CELL == pytest.approx(1.0, abs=0.01)
    if family == "gaussian":
        assert gap == pytest.approx(gaussian[name], abs=0.01)
    else:
        assert 0.0 < gap < LEFT[name, family] * gaussian[name]
    # The same gap from draws: log p(x) by quadrature, the ELBO from sampled log weights.
    z, log_q = posterior.sample_and_log_prob(shapes.IMAGE, 20_000, tf.constant([3, 4]))
    weights = (target.log_joint(None, z) - log_q).numpy().astype(np.float64)
    log_evidence = np.logaddexp.reduce(shapes.true_log_joint(target)) + np.log(shapes.CELL)
    assert abs(log_evidence - weights.mean() - gap) < 4.0 * weights.std() / np.sqrt(20_000) + 5e-3


@pytest.mark.slow
def test_the_refined_family_climbs_the_target():
    target = shapes.Target("crescent")
    posterior = shapes.make("semi_amortized", target)
    shapes.fit(posterior, target, steps=2, num_samples=4)
    assert all(np.isfinite(weight).all() for weight in posterior.get_weights())
