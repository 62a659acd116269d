"""Stated errors hold the truth at their stated rate, k-hat tells a bad proposal, the jackknife takes the bias off."""

import math
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from oracles import LinearGaussian, quadrature_log_evidence
from scipy.special import digamma

from keras_iwae import IWAE
from keras_iwae.evaluation.annealed import annealed_nll
from keras_iwae.evaluation.errors import error_of_mean, log_mean_error, standard_error
from keras_iwae.evaluation.importance import importance_weighted_nll
from keras_iwae.evaluation.jackknife import jackknife_correction
from keras_iwae.evaluation.proposals import Proposal
from keras_iwae.evaluation.streaming import LargestTerms
from keras_iwae.evaluation.sumo import sumo_nll

UNIT = 0.05  # small enough for data in [0, 1]


def evaluate(oracle, x, num_samples, **kwargs):
    return importance_weighted_nll(oracle, x, num_samples, bounds=(), batch_size=1000, verbose=False, **kwargs)


def part_of(result, rows):
    """The result of some of the images."""
    return replace(
        result,
        bound_per_example={k: values[rows] for k, values in result.bound_per_example.items()},
        ess_per_example=result.ess_per_example[rows],
        pareto_k_per_example=result.pareto_k_per_example[rows],
        jackknife_per_example=result.jackknife_per_example[rows],
    )


def coverage(covered, rate=0.95):
    """The share that is covered, and whether it is the stated rate within four binomial standard errors."""
    share = np.mean(covered)
    return share, abs(share - rate) < 4.0 * math.sqrt(rate * (1.0 - rate) / len(covered))


@pytest.mark.statistical
def test_monte_carlo_intervals_hold_the_truth_at_their_rate():
    groups, size = 300, 5
    for oracle, right in ((LinearGaussian(0.5, 1.3, unit=UNIT), True), (LinearGaussian(0.5, 0.4, unit=UNIT), False)):
        x = oracle.sample_data(size)
        truth = -oracle.log_evidence(x).mean()
        result = evaluate(oracle, np.tile(x, (groups, 1)), 200, seed=3)
        parts = [part_of(result, slice(i * size, (i + 1) * size)) for i in range(groups)]
        share, as_stated = coverage([abs(part.nll - truth) < 1.96 * part.monte_carlo_error for part in parts])
        # The control is a proposal whose weights have no variance; k-hat says so.
        assert as_stated == right, share
        assert (result.share_unreliable > 0.5) != right


@pytest.mark.statistical
@pytest.mark.parametrize("latent_dim", [1, 2])
def test_monte_carlo_intervals_of_a_decoder_hold_quadrature(latent_dim, images):
    model = IWAE((4, 3, 1), latent_dim=latent_dim, hidden=(8,), num_samples=5, seed=1)
    for variable in model.generative.trainable_variables:
        variable.assign(1.5 * variable + 0.1)
    groups, size = 200, len(images)
    truth = -quadrature_log_evidence(model, images).mean()
    result = importance_weighted_nll(
        model, np.tile(images, (groups, 1, 1, 1)), 800, (5,), batch_size=700, verbose=False
    )
    parts = [part_of(result, slice(i * size, (i + 1) * size)) for i in range(groups)]
    share, as_stated = coverage([abs(part.nll - truth) < 1.96 * part.monte_carlo_error for part in parts])
    assert as_stated, share
    # Control: the bound of far fewer samples, whose bias the interval does not know of.
    assert not coverage([abs(part.bounds[5] + truth) < 1.96 * part.monte_carlo_error for part in parts])[1]


@pytest.mark.statistical
def test_standard_error_over_images_holds_the_population_mean_at_its_rate():
    oracle, groups, size = LinearGaussian(0.0, 1.1, unit=UNIT), 300, 40
    covariance = oracle.weights @ oracle.weights.T + oracle.noise**2 * np.eye(5)
    entropy = 0.5 * np.linalg.slogdet(2.0 * math.pi * math.e * covariance)[1]
    result = evaluate(oracle, oracle.sample_data(groups * size), 50)
    parts = [part_of(result, slice(i * size, (i + 1) * size)) for i in range(groups)]
    share, as_stated = coverage([abs(part.nll - entropy) < 1.96 * part.standard_error for part in parts])
    assert as_stated, share
    # Control: the error over draws is no error over images.
    assert not coverage([abs(part.nll - entropy) < 1.96 * part.monte_carlo_error for part in parts])[1]


def test_errors_against_arithmetic():
    weights = np.random.default_rng(0).gamma(2.0, size=(9, 4))
    ess = weights.sum(axis=0) ** 2 / (weights**2).sum(axis=0)
    expected = weights.std(axis=0, ddof=1) / weights.mean(axis=0) / 3.0
    np.testing.assert_allclose(log_mean_error(ess, 9), expected)
    assert error_of_mean(expected) == pytest.approx(math.sqrt((expected**2).sum()) / 4.0)
    assert np.isnan(log_mean_error(np.ones(4), 1)).all()
    assert np.array_equal(log_mean_error(np.array([9.0, 9.00001]), 9), [0.0, 0.0])
    assert math.isnan(standard_error(np.ones(1)))


@pytest.mark.statistical
@pytest.mark.parametrize("count", [4, 8, 16])
def test_jackknife_takes_off_the_bias_of_first_order(count):
    """Gamma weights of shape a and mean 1, for which E[L_K] = psi(K a) - log(K a), and log of the mean is 0."""
    shape, repeats = 1.5, 100_000

    def bias(k):
        return digamma(k * shape) - math.log(k * shape)

    weights = np.random.default_rng(count).gamma(shape, 1.0 / shape, size=(count, repeats))
    state = LargestTerms.zeros(count, tf.constant(repeats)).update(tf.constant(np.log(weights), tf.float32))
    bounds = np.log(weights.mean(axis=0))
    corrected = bounds + jackknife_correction(count, state.largest.numpy(), state.rest.numpy())
    error = corrected.std(ddof=1) / math.sqrt(repeats)
    exact = count * bias(count) - (count - 1) * bias(count - 1)
    assert abs(corrected.mean() - exact) < 4.0 * error
    assert abs(bounds.mean() - bias(count)) < 4.0 * error
    # What theory says is left: a bias of order 1/K^2 in place of 1/K.
    assert abs(exact) < abs(bias(count)) / count
    assert abs(corrected.mean()) < abs(bounds.mean()) / 2.0


@pytest.mark.statistical
def test_jackknife_of_an_evaluation_is_nearer_to_the_truth():
    oracle = LinearGaussian(0.5, 1.3, unit=UNIT)
    x = oracle.sample_data(6)
    truth = -oracle.log_evidence(x).mean()
    result = evaluate(oracle, np.tile(x, (500, 1)), 21)
    error = result.monte_carlo_error
    assert result.nll - truth > 6.0 * error
    assert abs(result.jackknife_nll - truth) < min(4.0 * error, 0.5 * (result.nll - truth))


@pytest.mark.statistical
def test_k_hat_tells_a_narrow_proposal_from_a_good_one():
    # Weights of N(0, s^2) for N(0, 1) have moments below 1 / (1 - s^2): that is k-hat's k = 1 - s^2.
    for stretch, low, high in ((0.2, 0.8, 1.1), (0.5, 0.65, 0.8), (1.2, -math.inf, 0.3)):
        oracle = LinearGaussian(0.0, stretch, latent_dim=1, unit=UNIT)
        result = evaluate(oracle, np.tile(oracle.sample_data(5), (20, 1)), 5000)
        assert low < np.median(result.pareto_k_per_example) < high
        narrow = stretch < 1.0
        assert (result.share_unreliable > 0.3) == narrow
        assert (result.share_unreliable == 0.0) != narrow
        assert ("does not suffice: " in result.verdict and "annealed" in result.verdict) == narrow
        assert result.verdict.startswith("K = 5000 suffices") != narrow


@pytest.mark.slow
def test_verdicts_and_the_record(make_model, images):
    model = make_model()
    result = importance_weighted_nll(model, images, 21, bounds=(), verbose=False)
    biased = replace(
        result,
        pareto_k_per_example=np.full(7, 0.4),
        jackknife_per_example=result.log_likelihood_per_example + 0.25,
    )
    assert "the jackknife puts the NLL 0.25 nats lower" in biased.verdict
    record = replace(biased, pareto_k_per_example=np.array([0.1, 0.9, math.inf, 0.2, 0.3, 0.4, 0.5])).to_dict()
    assert "28.6 % of the images" in record["verdict"]
    assert record["pareto_k"] == {"median": 0.4, "max": None, "share_above_0.7": pytest.approx(2 / 7)}
    assert record["jackknife_nll"] == pytest.approx(record["nll"] - 0.25)
    assert record["monte_carlo_error"] == pytest.approx(
        math.sqrt((log_mean_error(result.ess_per_example, 21) ** 2).sum()) / 7
    )
    for text in ("Monte Carlo error", "jackknife NLL", "Pareto k-hat", "does not suffice"):
        assert text in str(biased)
    assert "too small to be judged" in importance_weighted_nll(model, images, 20, bounds=(), verbose=False).verdict
    alone = importance_weighted_nll(model, images, 1, bounds=(), verbose=False)
    assert [line.split()[-1] for line in str(alone).splitlines() if line[:6] in ("Monte ", "jackkn", "Pareto")] == 3 * [
        "-"
    ]
    single = alone.to_dict()
    assert single["jackknife_nll"] is single["monte_carlo_error"] is single["pareto_k"]["median"] is None


@pytest.mark.slow
def test_a_verdict_advises_what_the_latents_take(make_model, images):
    model = make_model(posterior="bernoulli", estimator="vimco")
    result = importance_weighted_nll(model, images, 21, bounds=(), verbose=False)
    poor = replace(result, pareto_k_per_example=np.full(7, math.inf))
    assert "`defensive`" in poor.verdict
    assert "anneal" not in poor.verdict
    assert "adapted" not in poor.verdict
    assert importance_weighted_nll(model, images, 21, bounds=(), defensive=0.1, verbose=False).num_examples == 7
    assert "anneal" in replace(poor, discrete_latents=False).verdict


@pytest.mark.slow
@pytest.mark.parametrize("evaluate", ["amortized", "adapted", "annealed", "sumo"])
def test_batches_without_examples_are_passed_over(make_model, images, evaluate):
    """As a filter leaves them; `fit` and `evaluate` pass over them too."""
    model = make_model()
    take = {
        "amortized": lambda data: importance_weighted_nll(model, data, 21, verbose=False).log_likelihood_per_example,
        "adapted": lambda data: (
            importance_weighted_nll(model, data, 21, proposal="adapted", verbose=False).log_likelihood_per_example
        ),
        "annealed": lambda data: annealed_nll(model, data, 3, 2, verbose=False).log_likelihood_per_example,
        "sumo": lambda data: sumo_nll(model, data, 3, verbose=False).log_likelihood_per_example,
    }[evaluate]
    parts = [images[:3], images[3:6], images[6:]]

    def batches(parts):
        return tf.data.Dataset.from_generator(lambda: iter(parts), output_signature=tf.TensorSpec([None, 4, 3, 1]))

    expected = take(batches(parts))
    for place in range(4):
        np.testing.assert_array_equal(take(batches([*parts[:place], images[:0], *parts[place:]])), expected)
    with pytest.raises(ValueError, match=r"`data`\. Expected at least one example\. Received: none"):
        take(batches([images[:0]]))


@pytest.mark.statistical
def test_a_wider_proposal_mends_a_narrow_posterior():
    narrow, wide = LinearGaussian(0.0, 0.3, unit=UNIT), LinearGaussian(0.0, 1.2, unit=UNIT)
    x = np.tile(narrow.sample_data(5), (20, 1))
    truth = -narrow.log_evidence(x).mean()
    mended = evaluate(narrow, x, 500, proposal_scale=4.0)
    np.testing.assert_allclose(
        mended.log_likelihood_per_example, evaluate(wide, x, 500).log_likelihood_per_example, rtol=1e-4, atol=1e-4
    )
    defensive = evaluate(narrow, x, 500, defensive=0.5)
    for result in (mended, defensive):
        assert result.share_unreliable == 0.0
        assert abs(result.nll - truth) < 4.0 * result.monte_carlo_error
        assert "proposal" in str(result)
    assert evaluate(narrow, x, 500).share_unreliable > 0.5
    assert (mended.to_dict()["proposal_scale"], defensive.to_dict()["defensive"]) == (4.0, 0.5)


def test_a_defensive_weight_is_never_above_the_likelihood_over_its_share():
    oracle = LinearGaussian(0.0, 0.2, unit=UNIT)
    x = tf.constant(oracle.sample_data(6))
    mixture = Proposal(defensive=0.1).distribution(oracle, x)
    z = mixture.sample([800], seed=tf.constant([1, 0]))
    weights = oracle.log_joint(x, z) - mixture.log_prob(z)
    assert np.all(weights <= oracle.log_likelihood(x, z) - math.log(0.1) + 1e-4)
    plain = oracle.log_joint(x, z) - oracle.distribution(x).log_prob(z)
    assert np.any(plain > oracle.log_likelihood(x, z) - math.log(0.1) + 1.0)
    # A tenth of the draws are the prior's, to four binomial standard errors.
    q = oracle.distribution(x)
    far = np.abs((z - q.mean()) / q.stddev()).max(axis=-1) > 5.0
    assert abs(far.mean() - 0.1) < 0.03


@pytest.mark.slow
@pytest.mark.parametrize("latent_dims", [(3,), (3, 2)])
def test_stretched_posteriors_of_one_and_two_layers(latent_dims, images):
    several = {"latent_dim": latent_dims, "hidden": ((8,), (6,))} if len(latent_dims) > 1 else {"latent_dim": 3}
    model = IWAE((4, 3, 1), **{"hidden": (8,), **several})
    plain = model.posterior.distribution(images)
    wide = Proposal(scale=1.7).distribution(model, tf.constant(images))
    seed = tf.constant([3, 1])
    z = wide.sample(seed=seed)
    # The draw's standardized values are those of the plain posterior with the same seed.
    eps = (plain.sample(seed=seed) - plain.mean())[..., :3] / plain.stddev()[..., :3]
    np.testing.assert_allclose((z - plain.mean())[..., :3] / plain.stddev()[..., :3], 1.7 * eps, rtol=1e-3, atol=1e-4)
    loc, scale = [plain.mean()[..., :3]], [plain.stddev()[..., :3]]
    if len(latent_dims) > 1:
        above = plain.networks[0].given(z[..., :3])
        loc.append(above[0])
        scale.append(above[1])
    loc, scale = np.concatenate(loc, axis=-1), 1.7 * np.concatenate(scale, axis=-1)
    expected = -0.5 * ((z - loc) / scale) ** 2 - np.log(scale) - 0.5 * math.log(2.0 * math.pi)
    np.testing.assert_allclose(wide.log_prob(z), expected.numpy().sum(axis=-1), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_proposals_that_make_no_sense_are_refused(make_model, images):
    for arguments, name in (
        ({"proposal_scale": 0.0}, "proposal_scale"),
        ({"proposal_scale": math.nan}, "proposal_scale"),
        ({"defensive": 1.0}, "defensive"),
        ({"defensive": -0.1}, "defensive"),
    ):
        with pytest.raises(ValueError, match=f"`{name}`"):
            importance_weighted_nll(make_model(), images, 9, verbose=False, **arguments)
    binary = make_model(posterior="bernoulli", estimator="vimco")
    with pytest.raises(ValueError, match=r"`proposal_scale`\. Expected 1 for a posterior that is no Gaussian"):
        importance_weighted_nll(binary, images, 9, proposal_scale=1.1, verbose=False)
    assert importance_weighted_nll(binary, images, 9, defensive=0.5, verbose=False).nll > 0.0
