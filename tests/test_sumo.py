"""SUMO: the lengths have their distribution, the estimate its formula, and on average it is log p(x)."""

import json
import math

import numpy as np
import pytest
import tensorflow as tf
from oracles import LinearGaussian

from keras_iwae.evaluation.sumo import _estimate, draw_lengths, sumo_nll, survival


def test_lengths_have_the_distribution_that_weighs_them():
    ends = np.array([1, 2, 3, 79, 80, 81, 100, 130])
    np.testing.assert_allclose(survival(ends[:4]), 1.0 / ends[:4])
    np.testing.assert_allclose(survival(ends[4:]), 0.9 ** (ends[4:] - 80) / 80.0)
    # An even grid of a million numbers in (0, 1].
    lengths = draw_lengths(np.arange(1, 1_000_001) / 1e6)
    shares = (lengths[:, np.newaxis] >= ends).mean(axis=0)
    np.testing.assert_allclose(shares, survival(ends), atol=2e-6)


def test_estimate_against_its_series():
    lengths = np.array([1, 4, 2])
    weights = np.random.default_rng(0).normal(size=(lengths + 1).sum()) * 3.0
    first = 0
    for index, length in enumerate(lengths):
        w = np.exp(weights[first : first + length + 1])
        first += length + 1
        bounds = [math.log(w[:k].mean()) for k in range(1, length + 2)]
        expected = bounds[0] + sum((bounds[k] - bounds[k - 1]) * k for k in range(1, length + 1))
        assert _estimate(weights, lengths)[index] == pytest.approx(expected)


@pytest.mark.statistical
def test_unbiased_within_its_stated_error_where_a_bound_is_not():
    oracle, repeats = LinearGaussian(0.2, 1.2, unit=0.05), 500
    x = oracle.sample_data(6)
    truth = -oracle.log_evidence(x).mean()
    result = sumo_nll(oracle, np.tile(x, (repeats, 1)), num_estimates=60, batch_size=3000, verbose=False)
    assert abs(result.nll - truth) < 4.0 * result.monte_carlo_error
    assert result.monte_carlo_error < 0.02
    assert abs(result.samples_per_estimate - 6.1) < 0.3
    # The same images again and again: their spread over images and the stated variance are two roads to one number.
    means = result.log_likelihood_per_example.reshape(repeats, 6)
    spread = math.sqrt((means.var(axis=0, ddof=1) / repeats).sum()) / 6.0
    assert result.monte_carlo_error == pytest.approx(spread, rel=0.25)
    # Control: what each series starts from is far away for either error.
    weights = oracle.log_weights(x, 2 * 5000, tf.constant([1, 2])).numpy().astype(np.float64).reshape(5000, 2, 6)
    bounds = np.logaddexp.reduce(weights, axis=1) - math.log(2.0)
    assert -bounds.mean() - truth > max(6.0 * result.monte_carlo_error, 6.0 * bounds.std() / math.sqrt(bounds.size))


@pytest.mark.slow
def test_numbers_of_a_result(make_model, images):
    result = sumo_nll(make_model(), images, num_estimates=3, batch_size=4, seed=2, verbose=False)
    record = json.loads(json.dumps(result.to_dict()))
    assert (record["num_examples"], record["num_estimates"], record["seed"]) == (7, 3, 2)
    assert record["nll"] == pytest.approx(-result.log_likelihood_per_example.mean())
    assert record["variance"] == pytest.approx(result.variance_per_example.mean())
    assert "NLL by SUMO" in str(result)
    again = sumo_nll(make_model(), images, num_estimates=3, batch_size=4, seed=2, verbose=False)
    assert again.nll == result.nll
    assert sumo_nll(make_model(), images, num_estimates=1, verbose=False).to_dict()["monte_carlo_error"] is None
    with pytest.raises(ValueError, match="`num_estimates`"):
        sumo_nll(make_model(), images, num_estimates=0, verbose=False)
