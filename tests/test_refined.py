"""Refined and adapted proposals against log p(x) that is known: unbiased weights, and as near as theory has it."""

from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import LinearGaussian, quadrature_log_evidence
from scipy import integrate, stats
from scipy.special import logsumexp
from test_exact_likelihoods import quadrature_of, small_model, with_gaps

from keras_iwae import AVB, IWAE, importance_weighted_nll
from keras_iwae.evaluation import importance, refined
from keras_iwae.evaluation.proposals import Proposal
from keras_iwae.foundation import DiagonalGaussian
from keras_iwae.likelihoods import GaussianLikelihood

FITTED = "refined", "adapted"


def nll(model, x, num_samples=200, batch_size=1000, **kwargs):
    return importance_weighted_nll(model, x, num_samples, (), verbose=False, batch_size=batch_size, **kwargs)


def plain(model, x, num_samples=200):
    """L_K of the posterior and its effective sample size, `[N]`, of all weights at once."""
    weights = model.log_weights(x, num_samples, tf.constant([0, 5])).numpy().astype(np.float64)
    total = logsumexp(weights, axis=0)
    return total - np.log(num_samples), np.exp(2.0 * total - logsumexp(2.0 * weights, axis=0))


def check(result, truth, repeats):
    """Mean weights of each of the examples, which come `repeats` times, are p(x), and L_K is not above it."""
    values = result.log_likelihood_per_example.astype(np.float64).reshape(repeats, -1) - truth
    ratio = np.exp(values)
    error = np.maximum(ratio.std(axis=0, ddof=1) / np.sqrt(repeats), 1e-5)
    assert np.all(np.abs(ratio.mean(axis=0) - 1.0) < 4.5 * error)
    assert np.all(values.mean(axis=0) < 4.5 * values.std(axis=0, ddof=1) / np.sqrt(repeats) + 1e-4)
    return values


def repeated(images, repeats):
    """Images that come so many times, and a key for each."""
    x = tf.constant(np.tile(images, (repeats, 1, 1, 1)))
    return x, tf.stack([tf.range(len(x)), tf.zeros(len(x), tf.int32)], axis=1)


def share_of_samples(dim, width):
    """ESS / K of a t of 2 (D + 1) degrees and this width for N(0, I): 1 / E_p[p / q], an integral over the radius."""
    degrees, normal = 2.0 * (dim + 1.0), stats.multivariate_normal(np.zeros(dim))
    q = stats.multivariate_t(np.zeros(dim), width**2 * np.eye(dim), degrees)

    def integrand(square):
        point = np.zeros(dim)
        point[0] = np.sqrt(square)
        return stats.chi2.pdf(square, dim) * np.exp(normal.logpdf(point) - q.logpdf(point))

    return 1.0 / integrate.quad(integrand, 0.0, 12.0 * dim + 40.0, limit=200)[0]


@pytest.mark.long
@pytest.mark.statistical
@pytest.mark.parametrize(("units", "width"), [(50, 1.1), (150, 1.0577)])
def test_a_linear_gaussian_model_of_many_units(units, width):
    oracle = LinearGaussian(shift=0.3, stretch=1.2, dim=units + 10, latent_dim=units, unit=0.05)
    count, repeats = 3, 15
    x = np.tile(oracle.sample_data(count), (repeats, 1))
    truth = oracle.log_evidence(x[:count])
    found = nll(oracle, x, proposal="refined")
    values = check(found, truth, repeats)
    # The mode is the mean and the curvature the precision: what is left is the shape of the proposal.
    share = share_of_samples(units, width)
    ratio = found.ess_per_example / 200
    assert abs(ratio.mean() / share - 1.0) < 0.15
    # To first order L_K is below by Var(w) / 2 K, and here that is small enough.
    gap = (1.0 / share - 1.0) / (2.0 * 200)
    assert abs(values.mean() + gap) < 4.0 * values.std() / np.sqrt(values.size) + 0.5 * gap
    # Control: the posterior itself, a little off in each of fifty units.
    assert truth.mean() - plain(oracle, x[:count])[0].mean() > 20.0 * gap


@pytest.mark.long
@pytest.mark.statistical
def test_draws_that_are_reported_are_no_draws_that_were_fitted_to():
    """In fifty units a few draws of the last round, weighed once more, would lie a quarter of a nat above log p(x)."""
    oracle = LinearGaussian(shift=0.3, stretch=1.2, dim=60, latent_dim=50, unit=0.05)
    count, repeats = 3, 10
    x = np.tile(oracle.sample_data(count), (repeats, 1))
    check(nll(oracle, x, proposal="adapted"), oracle.log_evidence(x[:count]), repeats)


@pytest.fixture(scope="module")
def bernoulli():
    """A model of two units, steep enough for its posteriors to be no normal ones, and seven images."""
    model = IWAE((4, 3, 1), latent_dim=2, hidden=(8,), num_samples=5, seed=1)
    for variable in model.generative.trainable_variables:
        variable.assign(3.0 * variable + 0.1)
    images = (np.random.default_rng(0).random((7, 4, 3, 1)) < 0.4).astype(np.float32)
    return model, images, quadrature_log_evidence(model, images)


@pytest.mark.long
@pytest.mark.statistical
@pytest.mark.parametrize("kind", FITTED)
def test_a_bernoulli_decoder_against_quadrature(bernoulli, kind):
    model, images, truth = bernoulli
    found = nll(model, np.tile(images, (60, 1, 1, 1)), proposal=kind)
    check(found, truth, 60)
    bound, ess = plain(model, np.tile(images, (60, 1, 1, 1)))
    # The error of a mean weight, and with it the bias of L_K, goes down by the factor that the sample sizes say.
    assert np.median(found.ess_per_example) > 2.0 * np.median(ess)
    assert found.nll + truth.mean() < 0.5 * (truth.mean() - bound.mean())


@pytest.mark.slow
def test_an_image_has_its_numbers_in_any_batch(bernoulli):
    model, images, _ = bernoulli
    whole = nll(model, images, proposal="adapted", seed=3)
    graphs = set(vars(model)["_graphs"][1])
    threes = nll(model, images, proposal="adapted", seed=3, batch_size=3)
    np.testing.assert_array_equal(threes.log_likelihood_per_example, whole.log_likelihood_per_example)
    four = nll(model, images[:4], proposal="adapted", seed=3)
    np.testing.assert_array_equal(four.ess_per_example, whole.ess_per_example[:4])
    shard = nll(model, images[3:], proposal="adapted", seed=3, batch_size=2, first=3)
    np.testing.assert_array_equal(shard.ess_per_example, whole.ess_per_example[3:])
    assert set(vars(model)["_graphs"][1]) == graphs
    # Sums in another order, and nothing else.
    chunked = nll(model, images, proposal="adapted", seed=3, chunk_size=7)
    np.testing.assert_allclose(chunked.log_likelihood_per_example, whole.log_likelihood_per_example, rtol=1e-6)
    # Controls: another seed, and the same images in other places.
    assert np.all(nll(model, images, proposal="adapted", seed=4).ess_per_example != whole.ess_per_example)
    turned = nll(model, images[::-1], proposal="adapted", seed=3).ess_per_example[::-1]
    assert np.all(turned[:3] != whole.ess_per_example[:3])


@pytest.mark.statistical
def test_adapting_moves_the_mean_from_the_mode_to_that_of_the_posterior(bernoulli):
    model, images, _ = bernoulli
    repeats = 20
    x, keys = repeated(images, repeats)

    @tf.function(autograph=False)
    def means():
        old = refined.fitted(model, x, keys, adapting=False)
        new = refined._adapted(model.generative, x, old, keys)
        shares = (tf.nn.softmax(each.log_share, axis=0)[..., tf.newaxis] for each in (old, new))
        return [tf.reduce_sum(share * each.mean, axis=0) for share, each in zip(shares, (old, new), strict=True)]

    ticks = np.linspace(-6.0, 6.0, 401, dtype=np.float32)
    grid = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 1, 2)
    density = tf.nn.softmax(model.generative.log_joint(images, np.repeat(grid, len(images), axis=1)), axis=0)
    truth = tf.reduce_sum(density[..., tf.newaxis] * grid, axis=0)
    of_mode, of_mean = (np.abs(found.numpy().reshape(repeats, *truth.shape) - truth) for found in means())
    assert of_mean.mean() < 0.6 * of_mode.mean(), (of_mean.mean(), of_mode.mean())


@pytest.mark.statistical
def test_draws_that_fitted_a_proposal_are_no_draws_of_it(bernoulli, monkeypatch):
    """The control of what is reported being fresh: the last round's draws under the proposal that was made of them."""
    model, images, truth = bernoulli
    draws, repeats = 4, 200
    for name, value in (("_DRAWN_TOGETHER", draws), ("_FEWEST_DRAWS", draws)):
        monkeypatch.setattr(refined, name, value)
    monkeypatch.setattr(refined._Effort, "of", lambda latent_dim: refined._Effort(7, 3, 3, draws_per_unit=2))
    x, keys = repeated(images, repeats)

    @tf.function(autograph=False)
    def reused_and_fresh():
        old = refined.fitted(model, x, keys, adapting=False)
        new = refined._adapted(model.generative, x, old, keys)
        z = refined._drawn(model.generative, x, old, keys)[0]
        fresh, log_proposal = new.draw(draws, keys + 1000)
        log_joint = model.generative.log_joint
        return log_joint(x, z) - new.log_prob(z), log_joint(x, fresh) - log_proposal

    for weights, right in zip(reused_and_fresh(), (False, True), strict=True):
        mean = np.exp(logsumexp(weights.numpy().astype(np.float64), axis=0) - np.log(draws) - np.tile(truth, repeats))
        off = (mean.mean() - 1.0) / (mean.std(ddof=1) / np.sqrt(len(mean)))
        assert (abs(off) < 4.0) == right, off


@pytest.mark.slow
@pytest.mark.parametrize("bounded", [True, False])
def test_a_fitted_mean_is_gone_to_only_as_far_as_draws_have_such_a_density(bounded, monkeypatch):
    """Of posteriors that are far from normal the least-squares fit may lie anywhere, which the control shows."""
    model = IWAE((4, 3, 1), latent_dim=10, hidden=(8,), num_samples=5, seed=1)
    for variable in model.generative.trainable_variables:
        variable.assign(8.0 * variable)
    x, keys = repeated((np.random.default_rng(0).random((20, 4, 3, 1)) < 0.4).astype(np.float32), 1)
    if not bounded:
        monkeypatch.setattr(refined, "_portion", lambda generative, x, mean, step, least: tf.ones_like(least))

    @tf.function(autograph=False)
    def at_means():
        found = refined.fitted(model, x, keys, adapting=True)
        return tf.where(found.log_share > np.log(0.01), model.generative.log_joint(x, found.mean), 0.0)

    assert (at_means().numpy().min() > -100.0) == bounded


def test_the_largest_portion_of_a_step_that_keeps_the_density_is_gone():
    normal = SimpleNamespace(log_joint=lambda x, z: -0.5 * tf.reduce_sum(z**2, axis=-1))
    # From -1 to 0, to 3 with 1 half way, to 7 with 1 after a quarter, too far, and to no number.
    steps = tf.constant([1.0, 4.0, 8.0, 100.0, np.nan])[:, tf.newaxis, tf.newaxis]
    mean = tf.fill([5, 1, 1], -1.0)
    found = refined._portion(normal, None, mean, steps, tf.fill([5, 1], -0.5))
    np.testing.assert_array_equal(found[:, 0], [1.0, 0.5, 0.25, 0.0, 0.0])


@pytest.mark.slow
@pytest.mark.parametrize(("posterior", "components"), [("gaussian", 18), ("full_covariance", 18), ("iaf", 16)])
def test_the_encoders_gaussian_is_adapted_too_and_drawn_from(posterior, components):
    model = IWAE((4, 3, 1), latent_dim=2, hidden=(8,), num_samples=5, seed=1, posterior=posterior)
    images = (np.random.default_rng(0).random((3, 4, 3, 1)) < 0.4).astype(np.float32)
    x, keys = repeated(images, 1)
    found = tf.function(lambda: refined.fitted(model, x, keys, adapting=True), autograph=False)()
    np.testing.assert_allclose(tf.reduce_sum(tf.exp(found.log_share), axis=0), np.ones(3), rtol=1e-5)
    assert len(found.mean) == components
    if posterior == "iaf":
        return
    encoded = model.posterior.distribution(x)
    np.testing.assert_allclose(np.exp(found.log_share[-1]), np.full(3, 0.1 * 0.2), rtol=1e-5)
    np.testing.assert_allclose(found.mean[-1], encoded.mean(), rtol=1e-5)
    root = found.axes[-1] * found.scale[-1][:, tf.newaxis]
    covariance = tf.matmul(root, root, transpose_b=True)
    np.testing.assert_allclose(covariance, 1.1**2 * encoded.covariance(), rtol=1e-4, atol=1e-6)
    # Adapted it is another, where the posterior is no Gaussian's.
    assert np.abs(found.mean[8] - found.mean[-1]).max() > 0.01


def test_what_an_encoder_says_that_is_no_number_leaves_its_component_one():
    locs = np.array([[0.5, 1.0], [np.nan, 0.0], [0.0, 0.0]], np.float32)
    scales = np.array([[1e-9, 2.0], [1.0, 1.0], [np.inf, 1.0]], np.float32)
    found = refined._of_encoder(DiagonalGaussian(tf.constant(locs), tf.constant(scales)))
    assert all(np.isfinite(part).all() for part in found)
    np.testing.assert_array_equal(found.mean[0], [locs[0], [0.0, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(found.scale[0], 1.1 * np.array([[1e-3, 2.0], [1.0, 1.0], [1.0, 1.0]]), rtol=1e-5)


@pytest.fixture(scope="module")
def bimodal():
    """x = W z^2 + b + noise, and log p(x) on a grid: z and -z are alike."""
    decoder = keras.Sequential([keras.Input([1]), keras.layers.Lambda(tf.square), keras.layers.Dense(5)])
    model = IWAE(5, 1, (8,), decoder=decoder, likelihood=GaussianLikelihood(scale=0.5), seed=2)
    decoder.layers[-1].kernel.assign([[1.0, -0.5, 0.7, 0.3, -1.0]])
    x = model.sample(40, seed=1).events.numpy()
    # Both modes far from 0, and of one another.
    x = x[(np.abs(model.sample(40, seed=1).latents[:, 0]) > 1.0)][:6]
    ticks = np.linspace(-6.0, 6.0, 2401)
    on_grid = model.generative.log_joint(
        x, np.tile(ticks[:, np.newaxis, np.newaxis], (1, len(x), 1)).astype(np.float32)
    )
    return model, x, logsumexp(on_grid.numpy().astype(np.float64), axis=0) + np.log(ticks[1] - ticks[0])


@pytest.mark.statistical
@pytest.mark.parametrize("kind", FITTED)
def test_a_posterior_of_two_modes(bimodal, kind):
    model, x, truth = bimodal
    found = nll(model, np.tile(x, (20, 1)), proposal=kind)
    # Seven climbs from the prior all to one side are one in 128.
    values = check(found, truth, 20)
    assert np.median(found.ess_per_example) > 100.0
    assert np.abs(values).mean() < 0.1


@pytest.mark.statistical
def test_one_climb_would_have_half_of_it(bimodal, monkeypatch):
    model, x, truth = bimodal
    monkeypatch.setattr(refined, "_MOST_CLIMBS", 0)
    alone = nll(model, x, num_samples=100, proposal="refined")
    np.testing.assert_allclose(alone.log_likelihood_per_example, truth - np.log(2.0), atol=0.15)


@pytest.mark.statistical
@pytest.mark.parametrize(("name", "kind"), [("student_t", "refined"), ("poisson", "adapted")])
def test_heavy_tails_and_counts_with_gaps(name, kind):
    model = small_model(name, 2, missing="nan")
    x = with_gaps(model.sample(5, seed=3).events.numpy())
    truth = quadrature_of(name, model, x)[0]
    found = nll(model, np.tile(x, (25, 1, 1)), proposal=kind)
    check(found, truth, 25)
    assert np.median(found.ess_per_example) > 100.0


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{"latent_dim": (1, 1), "hidden": ((6,), (6,))}, {"posterior": "auxiliary"}],
    ids=["two layers", "auxiliary variables"],
)
def test_whatever_the_posterior(make_model, images, settings):
    """Two layers are fitted as one, and of a posterior that is no normal one its mean is all that is taken."""
    model = make_model(**settings)
    for variable in model.generative.trainable_variables:
        variable.assign(1.5 * variable + 0.1)
    ticks = np.linspace(-7.0, 7.0, 141, dtype=np.float32)
    grid = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 1, 2)
    on_grid = model.generative.log_joint(images, np.tile(grid, (1, len(images), 1))).numpy().astype(np.float64)
    truth = logsumexp(on_grid, axis=0) + 2.0 * np.log(0.1)
    check(nll(model, np.tile(images, (30, 1, 1, 1)), proposal="refined"), truth, 30)


@pytest.mark.slow
def test_many_units_whose_posterior_is_no_gaussian_have_one_component_to_adapt(images):
    model = IWAE((4, 3, 1), latent_dim=(60, 10), hidden=((8,), (8,)))
    found = nll(model, images[:2], num_samples=10, proposal="adapted")
    assert np.isfinite(found.bound_per_example[10]).all()


@pytest.mark.slow
def test_what_cannot_be_fitted_is_refused(make_model, images):
    binary = make_model(posterior="bernoulli", estimator="vimco")
    with pytest.raises(ValueError, match=r"`proposal`\. Expected 'amortized' for discrete latents.*num_samples"):
        nll(binary, images, proposal="refined")
    with pytest.raises(ValueError, match=r"`model`\. Expected a posterior with a density.*annealed"):
        nll(AVB((4, 3, 1), 2, (8,)), images, proposal="adapted")
    for arguments, name in (
        ({"proposal": "fitted"}, "proposal"),
        ({"proposal": "refined", "proposal_scale": 1.2}, "proposal_scale"),
        ({"proposal": "adapted", "defensive": 0.1}, "defensive"),
    ):
        with pytest.raises(ValueError, match=f"`{name}`"):
            nll(make_model(), images, **arguments)


@pytest.mark.slow
def test_what_a_result_says_of_its_proposal(bernoulli):
    model, images, _ = bernoulli
    found = nll(model, images, proposal="adapted", seed=3)
    # Eight climbs of three Hessians of two products each and six steps, and three rounds of 100 slopes, in which nine
    # components try three portions of a step.
    evaluations = 8 * 3 * (2 + 2 * 2 + 6 * (2 + 4)) + 3 * (2 * 100 + 3 * 9) + 200
    assert found.decoder_evaluations == found.to_dict()["decoder_evaluations"] == evaluations
    assert (found.name, found.to_dict()["proposal"]) == ("L_200, adapted", "adapted")
    assert f"{evaluations:,} an image" in str(found)
    assert replace(found, proposal=Proposal()).decoder_evaluations == 200
    # One climb of two Hessians, and two rounds of 450 slopes and two components.
    climb = 2 * (2 + 2 * 150 + 6 * (2 + 4))
    assert Proposal(kind="adapted").evaluations(500, 150) == climb + 2 * (2 * 450 + 3 * 2) + 500


def test_what_was_fitted_with_another_effort_is_not_gone_on_from(bernoulli, monkeypatch):
    model, images, _ = bernoulli
    stored = []
    monkeypatch.setattr(importance, "in_batches", lambda *given, **_: stored.append(given[4]) or 1 / 0)
    for effort in (refined._Effort.of(2), refined._Effort.of(2)._replace(rounds=2), refined._Effort.of(2)):
        monkeypatch.setattr(refined._Effort, "of", lambda latent_dim, effort=effort: effort)
        with pytest.raises(ZeroDivisionError):
            nll(model, images, proposal="adapted")
    first, other, again = stored
    assert first == again != other


@pytest.mark.slow
@pytest.mark.parametrize(("units", "effort"), [(2, (8, 3)), (50, (2, 3)), (70, (1, 2))])
def test_the_effort_that_is_said_is_made(units, effort, monkeypatch):
    made = []
    monkeypatch.setattr(
        refined, "find_modes", lambda generative, x, starts, hessians: made.append((starts.shape[0], hessians)) or 1 / 0
    )
    oracle = LinearGaussian(dim=units + 5, latent_dim=units)
    with pytest.raises(ZeroDivisionError):
        nll(oracle, oracle.sample_data(1), proposal="refined")
    assert made == [effort]
    climbs, hessians = effort
    evaluations = climbs * hessians * (2 * units + 38) + 200
    assert Proposal(kind="refined").evaluations(200, units) == evaluations
