"""Conditional means, densities and draws of linear-Gaussian models, whose exact ones are known; keys of examples."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from oracles import ExactPosterior, linear_gaussian_log_evidence, linear_gaussian_model
from scipy import stats

from keras_iwae import IWAE
from keras_iwae.evaluation import conditional
from keras_iwae.evaluation.imputation import _digests

pytestmark = pytest.mark.slow

tfd = tfp.distributions

NOISE, DIM, SAMPLES, SEEDS = 0.7, 5, 500, 30
PATTERNS = np.array([[0, 0, 1, 0, 1], [1, 0, 0, 0, 0], [1, 1, 0, 1, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool)
X = np.where(PATTERNS, np.nan, np.random.default_rng(2).normal(0.0, 1.5, PATTERNS.shape)).astype(np.float32)


class Beside(ExactPosterior):
    """The exact posterior, moved and wider: the weights make it right, and have a variance."""

    def distribution(self, x, training=False):
        truth = super().distribution(x)
        return tfd.MultivariateNormalTriL(truth.mean() + 0.3, 1.3 * truth.scale_tril)


def made_of(posterior):
    return linear_gaussian_model(posterior, DIM, NOISE, missing="nan", mask_input=True)


@pytest.fixture(scope="module")
def model():
    return made_of(Beside(2, NOISE))


def exact(model, row):
    """Mean and covariance of all entries given those of a row that are not NaN; of observed ones, measured again."""
    kernel, bias = (np.asarray(weight, np.float64) for weight in model.generative.decoder.weights)
    seen = ~np.isnan(row)
    part = kernel[:, seen]
    covariance = np.linalg.inv(np.eye(2) + part @ part.T / NOISE**2)
    mean = covariance @ part @ (row[seen] - bias[seen]) / NOISE**2
    return mean @ kernel + bias, kernel.T @ covariance @ kernel + NOISE**2 * np.eye(DIM)


def errors(found, wanted):
    """The largest distance of an average over seeds from what is wanted, in standard errors, of `found` `[S, ...]`."""
    found = np.asarray(found, np.float64)
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    # Of what is drawn exactly there is none but rounding.
    return np.max(np.abs(found.mean(axis=0) - wanted) / np.maximum(error, 1e-5))


@pytest.fixture(scope="module")
def drawn(model):
    """z, log q(z|x) and E[x|z] of draws for all seeds, `[S, K, N, ...]`."""
    q = model.posterior.distribution(tf.constant(X))
    z = q.sample([SEEDS * SAMPLES], seed=[3, 1])
    return z, *(
        np.reshape(each, (SEEDS, SAMPLES, *each.shape[1:])) for each in (q.log_prob(z), model.generative.mean(z))
    )


def shares(log_weights):
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    return (weights / weights.sum(axis=1, keepdims=True))[..., np.newaxis]


def log_joint(model, z, x):
    return np.reshape(model.generative.log_joint(x.astype(np.float32), z), (SEEDS, SAMPLES, len(x)))


@pytest.mark.statistical
def test_means_and_evidence_are_the_exact_ones(model, drawn):
    found = [conditional(model, X, SAMPLES, seed=seed) for seed in range(SEEDS)]
    wanted = np.array([exact(model, row)[0] for row in X])
    assert errors([each.mean for each in found], wanted) < 4.5
    # Of weights themselves, whose mean has no bias.
    evidence = linear_gaussian_log_evidence(model, X)
    assert errors(np.exp([each.log_likelihood - evidence for each in found]), 1.0) < 4.5

    z, log_q, means = drawn
    joint = log_joint(model, z, X)

    def distance(log_weights):
        return errors((shares(log_weights) * means).sum(axis=1)[:, :3], wanted[:3])

    assert distance(joint - log_q) < 4.5
    assert distance(np.zeros_like(log_q)) > 8.0
    assert distance(joint) > 8.0
    assert distance(log_joint(model, z, np.nan_to_num(X)) - log_q) > 8.0


@pytest.mark.statistical
def test_draws_have_the_exact_covariance(model, drawn):
    draws = np.concatenate([conditional(model, X, SAMPLES, 50, seed=seed).draws for seed in range(SEEDS)])
    assert draws.shape == (50 * SEEDS, *X.shape)
    np.testing.assert_array_equal(draws[:, ~PATTERNS], np.broadcast_to(X[~PATTERNS], (len(draws), (~PATTERNS).sum())))

    def distance(draws, row):
        """Of means and of products of pairs of missing entries, whose expectations are known."""
        missing = PATTERNS[row]
        mean, covariance = (part[..., missing] for part in exact(model, X[row]))
        rest = draws[:, row][:, missing] - mean
        # 50 draws of one call share their samples of z, so that only calls are independent.
        calls = rest.reshape(SEEDS, 50, -1)
        products = (calls[..., np.newaxis] * calls[..., np.newaxis, :]).mean(axis=1)
        return max(errors(calls.mean(axis=1), 0.0), errors(products, covariance[missing]))

    rows = [row for row in range(len(X)) if PATTERNS[row].any()]
    assert all(distance(draws, row) < 4.5 for row in rows)
    # Entries that come of different z have their variances, but no covariance.
    shuffled = draws.copy()
    for entry in range(DIM):
        shuffled[..., entry] = np.roll(draws[..., entry], 7 * entry, axis=0)
    assert distance(shuffled, 4) > 8.0

    z, log_q, means = drawn

    def spread(x, row=0):
        """Distance of the covariance under the weights of x in the place of what was observed."""
        mean, covariance = exact(model, X[row])
        rest, share = (each[:, :, row] for each in (means - mean, shares(log_joint(model, z, x) - log_q)))
        products = np.einsum("ski,skj->sij", share * rest, rest)
        return errors(products + NOISE**2 * np.eye(DIM), covariance)

    assert spread(X) < 4.5
    # What was put in is no observation: the mean would be right and the spread too small.
    assert spread(np.where(PATTERNS, [exact(model, row)[0] for row in X], X)) > 8.0


@pytest.mark.statistical
def test_densities_of_held_out_entries(model):
    moments = [exact(model, row) for row in X]
    rng = np.random.default_rng(3)
    held_out = np.array([rng.multivariate_normal(mean, cov) for mean, cov in moments], np.float32)
    held_out[0, 3] = np.nan
    found = np.array([conditional(model, X, SAMPLES, values=held_out, seed=seed).log_density for seed in range(SEEDS)])
    assert np.isnan(found[:, 0, 3]).all()
    assert np.isnan(found).sum() == SEEDS

    def distance(stddev):
        pairs = zip(held_out, moments, strict=True)
        wanted = np.array([stats.norm.logpdf(y, mean, stddev(cov)) for y, (mean, cov) in pairs])
        # Densities and not their logs, whose mean is biased.
        return errors(np.exp(np.nan_to_num(found - wanted)), 1.0)

    assert distance(lambda cov: np.sqrt(np.diag(cov))) < 4.5
    # What p(x|z) at the mean of z would be.
    assert distance(lambda cov: NOISE) > 8.0


def test_an_example_knows_nothing_of_its_neighbours(model):
    together = conditional(model, X, 700, 3)
    alone = [conditional(model, X[row : row + 1], 700, 3) for row in range(len(X))]
    turned = conditional(model, X[::-1], 700, 3)
    for name in ("mean", "log_likelihood", "effective_sample_size", "pareto_k"):
        np.testing.assert_array_equal(getattr(together, name), np.concatenate([getattr(one, name) for one in alone]))
        np.testing.assert_array_equal(getattr(together, name), getattr(turned, name)[::-1])
    np.testing.assert_array_equal(together.draws, np.concatenate([one.draws for one in alone], axis=1))


def test_equal_examples_have_equal_means_and_draws_of_their_own(model):
    found = conditional(model, X[[0, 1, 0]], 300, 2)
    np.testing.assert_array_equal(found.mean[0], found.mean[2])
    assert np.all(found.draws[:, 0, PATTERNS[0]] != found.draws[:, 2, PATTERNS[0]])
    np.testing.assert_array_equal(found.draws[:, :2], conditional(model, X[:2], 300, 2).draws)
    other = conditional(model, X[:1], 300, 2, seed=1)
    assert np.all(other.mean != found.mean[0])
    # Of examples that come in several calls, too.
    both, later = conditional(model, X[[0, 0]], 300, 2), conditional(model, X[[0]], 300, 2, first=1)
    np.testing.assert_array_equal(later.draws[:, 0], both.draws[:, 1])
    with pytest.raises(ValueError, match=r"`first`\. Expected an integer from 0 to 2147483642\. Received: 2147483645"):
        conditional(model, X, 300, first=2**31 - 3)


def test_what_is_equal_has_one_key():
    odd_nan = np.array([0x7FC00001], np.uint32).view(np.float32)[0]
    rows = np.array([[0.0, np.nan], [-0.0, odd_nan], [np.nan, 0.0], [0.0, np.nan]], np.float32)
    digests = _digests(rows, 0)
    np.testing.assert_array_equal(digests[[0, 1, 3], :2], digests[[0, 0, 0], :2])
    np.testing.assert_array_equal(digests[:, 2], [0, 1, 0, 2])
    assert np.any(digests[2, :2] != digests[0, :2])


def test_k_hat_tells_a_proposal_that_is_too_narrow(model):
    """One that takes zeros for what is missing is surer than it should be; it is mended where there are samples to."""
    narrow = made_of(ExactPosterior(2, NOISE, sees_mask=False))
    wanted = np.array([exact(model, row)[0] for row in X[:3]])
    for proposal, samples, trusted in ((model, 150, True), (narrow, 150, False), (narrow, 2000, True)):
        found = conditional(proposal, X[:3], samples)
        assert (found.pareto_k.max() < 0.7) == trusted
        assert (np.abs(found.mean - wanted).max() < 0.35) == trusted


@pytest.mark.statistical
def test_k_hat_flags_the_rows_whose_intervals_do_not_cover():
    """The proposal takes zeros for what is missing, which is right by chance of an entry that says nothing of z."""
    noise, count = 0.15, 100
    narrow = linear_gaussian_model(
        ExactPosterior(2, noise, sees_mask=False), DIM, noise, missing="nan", mask_input=True
    )
    kernel, bias = (weight.numpy() for weight in narrow.generative.decoder.weights)
    kernel[:, 4], bias[4] = 0.0, 0.0
    narrow.generative.decoder.set_weights([kernel, bias])
    rng = np.random.default_rng(6)
    x = rng.normal(size=(2 * count, 2)) @ kernel + bias + noise * rng.normal(size=(2 * count, DIM))
    # Too few samples to mend what is drawn of the first half.
    missing = np.repeat([[True, True, True, False, False], [False, False, False, False, True]], count, axis=0)
    found = conditional(narrow, np.where(missing, np.nan, x), 150, 60)
    low, high = np.quantile(found.draws, [0.05, 0.95], axis=0, method="weibull")
    covered = ((low <= x) & (x <= high) & missing).sum(axis=1) / missing.sum(axis=1)
    flagged = found.pareto_k > 0.7
    assert flagged[:count].mean() > 0.8
    assert covered[flagged].mean() < 0.4
    assert not flagged[count:].any()
    assert abs(covered[count:].mean() - 0.9) < 4.0 * np.sqrt(0.9 * 0.1 / count)


def test_nothing_observed_is_the_prior(model):
    found = conditional(model, X[4:], 300)
    assert found.log_likelihood == pytest.approx(0.0, abs=1e-5)
    assert found.effective_sample_size == pytest.approx(300.0, rel=1e-4)
    assert found.pareto_k == 0.0


@pytest.mark.parametrize("proposal", ["amortized", "refined"])
def test_nothing_observed_is_the_prior_beside_auxiliary_variables_too(proposal):
    model = IWAE(DIM, 2, hidden=(8,), likelihood="gaussian", posterior="auxiliary", missing="nan", seed=3)
    rows = np.stack([X[0], X[4], X[4]])
    found = conditional(model, rows, 20, num_draws=3, seed=1, proposal=proposal)
    np.testing.assert_allclose(found.log_likelihood[1:], 0.0, atol=1e-5)
    np.testing.assert_allclose(found.effective_sample_size[1:], 20.0, rtol=1e-5)
    assert found.draws.shape == (3, 3, DIM)
    # Beside rows of which something was observed, and alone, where these are whole.
    assert abs(found.log_likelihood[0]) > 0.1
    whole = conditional(model, np.nan_to_num(rows), 20, seed=1, proposal=proposal)
    assert (whole.effective_sample_size < 20.0).all()


@pytest.mark.parametrize("seed", ["a", 2**40, 1.5, True, None])
def test_seeds_that_are_none_are_refused_as_by_every_evaluation(model, seed):
    with pytest.raises(ValueError, match=r"`seed`\. Expected an integer from -2147483648 to 2147483647\. Received: "):
        conditional(model, X, 10, seed=seed)


def test_bad_input(model):
    with pytest.raises(ValueError, match="`num_draws`"):
        conditional(model, X, 10, -1)
    with pytest.raises(ValueError, match="`num_samples`"):
        conditional(model, X, 0)
    with pytest.raises(ValueError, match="`x`"):
        conditional(model, X[:, :2])
    with pytest.raises(ValueError, match=r"`values`. Expected shape \[5, 5\]"):
        conditional(model, X, 10, values=X[:2])
    with pytest.raises(ValueError, match="missing='nan'"):
        conditional(IWAE(DIM, likelihood="gaussian", hidden=(4,), latent_dim=2), X, 10)
