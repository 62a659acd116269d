"""Diagnostics against models in which KL, mutual information and gaps are known, with controls that are wrong."""

import math
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from oracles import LinearGaussian

from keras_iwae import IWAE
from keras_iwae.evaluation import diagnostics
from keras_iwae.evaluation.diagnostics.gap import InferenceGap
from keras_iwae.evaluation.diagnostics.information import MutualInformation
from keras_iwae.evaluation.inference_gap import inference_gap
from keras_iwae.evaluation.latents import latents, pairwise_log_posterior
from keras_iwae.evaluation.proposals import Proposal
from keras_iwae.foundation.keys import Purpose, key_for
from keras_iwae.priors import BernoulliPrior
from keras_iwae.training import FusedAdam

tfd = tfp.distributions


class Correlated(LinearGaussian):
    """As `LinearGaussian`, with a true posterior that no diagonal Gaussian equals.

    The best diagonal one has the true mean and the diagonal of the true precision: what `distribution` gives where
    nothing is shifted or stretched.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.weights = self.weights @ np.array([[1.0, 0.9], [0.0, 0.4]])
        self.precision = np.eye(2) + self.weights.T @ self.weights / self.noise**2

    @property
    def approximation_gap(self):
        """KL of the best diagonal Gaussian to the true posterior: half of log det diag(P) - log det P."""
        return 0.5 * (np.log(np.diag(self.precision)).sum() - np.linalg.slogdet(self.precision)[1])


def amortization_gap(model):
    """KL of the shifted and stretched Gaussian to its unshifted and unstretched self, written out."""
    stretch, shift, size = model.stretch, model.shift, len(model.precision)
    return 0.5 * (size * (stretch**2 - 1.0 - 2.0 * math.log(stretch)) + shift**2 * model.precision.sum())


def test_gaussian_kl_is_tfp_s():
    rng = np.random.default_rng(0)
    means, scales = rng.normal(size=(7, 3)), rng.uniform(0.2, 2.0, size=(7, 3))
    expected = tfd.kl_divergence(tfd.Normal(means, scales), tfd.Normal(np.float64(0.0), np.float64(1.0)))
    np.testing.assert_allclose(diagnostics.gaussian_kl(means, scales), expected, rtol=1e-10)
    # Control: a variance in the place of a standard deviation.
    assert np.abs(diagnostics.gaussian_kl(means, scales**2) - expected).max() > 0.1


def test_bernoulli_kl_is_tfp_s_and_finite_at_the_ends():
    p = np.array([0.2, 0.5, 0.9])
    expected = tfd.kl_divergence(tfd.Bernoulli(probs=p), tfd.Bernoulli(probs=np.full(3, 0.5)))
    np.testing.assert_allclose(diagnostics.bernoulli_kl(p), expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(diagnostics.bernoulli_kl(np.array([0.0, 1.0])), math.log(2.0))


@pytest.mark.statistical
def test_noise_of_averages_does_not_make_a_unit_active():
    """A silent unit with unit variance, its mean taken from 16 draws: 1/16 of variance that is none of the image's."""
    draws = np.random.default_rng(0).normal(size=(16, 3000, 4)) + np.array([0.0, 0.0, 1.0, 0.0])
    means, noise = draws.mean(axis=0), draws.var(axis=0, ddof=1) / 16
    assert diagnostics.active_units(means).all()
    assert not diagnostics.active_units(means, noise=noise).any()
    images = np.random.default_rng(1).normal(size=(3000, 4)) * 0.2
    # The variance of a variance of N normal numbers of variance v is 2 v^2 / N.
    error = (0.04 + 1 / 16) * math.sqrt(2.0 / 3000)
    assert np.abs(diagnostics.mean_variances(images + means, noise) - 0.04).max() < 4.0 * error


def test_units_that_carry_the_kl():
    kl = np.array([0.0, 5.0, 0.2, 4.3, 0.5])
    assert diagnostics.units_that_carry(kl) == 3
    assert diagnostics.units_that_carry(kl, share=1.0) == 4
    assert diagnostics.units_that_carry(kl, share=0.5) == 1
    # A sampled KL may be below zero for a unit, and nothing carries a KL of zero.
    assert diagnostics.units_that_carry(np.array([3.0, -0.1])) == 1
    assert diagnostics.units_that_carry(np.zeros(3)) == 0


def matrix(model, x, seed=0):
    """log q(z_i|x_j) and log p(z_i) in the linear Gaussian model."""
    posterior = model.distribution(x)
    z = posterior.sample(seed=tf.constant([seed, 1]))
    return posterior.log_prob(z[:, tf.newaxis]).numpy(), model.log_prior(z).numpy()


def known_information(model):
    """Mutual information, marginal KL and mean KL: x is Gaussian, so q(z) is, with diagonal covariance."""
    truth = 1.0 / np.diag(model.precision)
    q_variance = model.stretch**2 * truth
    # By the law of total variance the true posterior's mean has the variance 1 - truth.
    aggregate = 1.0 - truth + q_variance
    information = 0.5 * np.log(aggregate / q_variance).sum()
    marginal = 0.5 * (aggregate + model.shift**2 - 1.0 - np.log(aggregate)).sum()
    return information, marginal


@pytest.mark.statistical
@pytest.mark.parametrize(("shift", "stretch"), [(0.0, 1.0), (0.6, 1.4)])
def test_mutual_information_and_marginal_kl_of_the_linear_gaussian_model(shift, stretch):
    model = LinearGaussian(shift=shift, stretch=stretch, noise=1.5)
    information, marginal = known_information(model)
    log_posterior, log_prior = matrix(model, model.sample_data(1500))
    found = diagnostics.mutual_information(log_posterior, log_prior)
    kl_error = (np.diag(log_posterior) - log_prior).std(ddof=1) / math.sqrt(1500)
    assert not found.saturated
    assert found.lower - 4.0 * found.lower_error < information < found.upper + 4.0 * found.upper_error
    assert abs(found.lower - information) < 4.0 * found.lower_error + 0.02
    assert abs(found.marginal_kl_upper - marginal) < 4.0 * kl_error + 0.02
    assert abs(found.mean_kl - information - marginal) < 4.0 * kl_error
    # Control: taking the whole mean KL for the information is wrong where the aggregate is not the prior.
    assert (abs(found.mean_kl - information) > 0.3) == (shift > 0.0)


@pytest.mark.statistical
def test_lower_never_passes_log_n_and_upper_stays_above_the_truth():
    """Much more information than log N: twelve units known almost exactly."""
    model = LinearGaussian(shift=0.0, stretch=1.0, noise=0.05, dim=16, latent_dim=12)
    information, _ = known_information(model)
    found = diagnostics.mutual_information(*matrix(model, model.sample_data(50)))
    assert information > 30.0
    assert found.saturated
    assert math.log(50) - 0.5 < found.lower < math.log(50) + 1e-12
    assert found.upper > information - 4.0 * found.upper_error
    assert found.upper <= found.mean_kl


def test_a_density_of_zero_under_another_image_is_taken():
    """Minus infinity off the diagonal: three images whose posteriors have nothing in common."""
    apart = np.where(np.eye(3, dtype=bool), 0.0, -np.inf)
    assert diagnostics.mutual_information(apart, np.full(3, -2.0)).lower == pytest.approx(math.log(3.0))


SQUARE, INFORMATION = np.zeros((3, 3)), MutualInformation(1.0, 2.0, 0.1, 0.1, 3.0, 9)
NAN = np.where(np.arange(12).reshape(4, 3) == 5, np.nan, 0.5)
REFUSED = {
    "no square": (lambda d: d.mutual_information(np.zeros((3, 4)), np.zeros(3)), "log_posterior"),
    "one image": (lambda d: d.mutual_information(np.zeros((1, 1)), np.zeros(1)), "log_posterior"),
    "no matrix": (lambda d: d.mutual_information(np.zeros(3), np.zeros(3)), "log_posterior"),
    "NaN among densities": (lambda d: d.mutual_information(NAN[:3], np.zeros(3)), "log_posterior"),
    "no density of its own": (lambda d: d.mutual_information(np.diag([0.0, -np.inf]), np.zeros(2)), "log_posterior"),
    "an infinite density": (lambda d: d.mutual_information(SQUARE + np.inf, np.zeros(3)), "log_posterior"),
    "fewer under the prior": (lambda d: d.mutual_information(SQUARE, np.zeros(2)), "log_prior"),
    "NaN under the prior": (lambda d: d.mutual_information(SQUARE, NAN[1]), "log_prior"),
    "text": (lambda d: d.mutual_information("abc", np.zeros(3)), "log_posterior"),
    "a share in percent": (lambda d: d.units_that_carry([6.0, 0.1], share=95), "share"),
    "a share of nothing": (lambda d: d.units_that_carry([6.0, 0.1], share=0), "share"),
    "a share in words": (lambda d: d.units_that_carry([6.0, 0.1], share="most"), "share"),
    "a KL of NaN": (lambda d: d.units_that_carry([6.0, np.nan]), "kl_per_unit"),
    "KLs of images": (lambda d: d.units_that_carry(np.ones((4, 3))), "kl_per_unit"),
    "means of one unit": (lambda d: d.active_units(np.zeros(4)), "posterior_means"),
    "a mean of NaN": (lambda d: d.active_units(NAN), "posterior_means"),
    "means of one image": (lambda d: d.mean_variances(np.zeros((1, 3))), "posterior_means"),
    "a variance below 0": (lambda d: d.active_units(np.zeros((4, 3)), threshold=-1), "threshold"),
    "a threshold of NaN": (lambda d: d.active_units(np.zeros((4, 3)), threshold=np.nan), "threshold"),
    "noise of others": (lambda d: d.active_units(np.zeros((4, 3)), noise=np.ones((2, 2))), "noise"),
    "noise of NaN": (lambda d: d.active_units(np.zeros((4, 3)), noise=NAN), "noise"),
    "weights of others": (lambda d: d.active_units(np.zeros((4, 3)), weights=np.ones(3)), "weights"),
    "no weight": (lambda d: d.active_units(np.zeros((4, 3)), weights=np.zeros(4)), "weights"),
    "a negative scale": (lambda d: d.gaussian_kl([0.0], [-1.0]), "scales"),
    "scales of others": (lambda d: d.gaussian_kl(np.zeros((2, 3)), np.ones(3)), "scales"),
    "an infinite mean": (lambda d: d.gaussian_kl([np.inf], [1.0]), "means"),
    "no probability": (lambda d: d.bernoulli_kl([0.5, 2.0]), "probabilities"),
    "other densities": (lambda d: d.sampled_kl(np.zeros((2, 3)), np.zeros((3, 2))), "log_prior"),
    "no draws": (lambda d: d.sampled_kl(np.zeros((0, 3)), np.zeros((0, 3))), "log_posterior"),
    "no layers": (lambda d: d.collapse_verdict(np.ones(3), INFORMATION), "variances"),
    "a layer of NaN": (lambda d: d.collapse_verdict([np.full(3, np.nan)], INFORMATION), "variances"),
    "no information": (lambda d: d.collapse_verdict([np.ones(3)], 3.0), "information"),
    "a mean of a matrix": (lambda d: d.mean_and_error(np.zeros((3, 2))), "values"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_such_number_is_refused_by_its_name(name):
    call, argument = REFUSED[name]
    with pytest.raises(ValueError, match=f"^Invalid value received for `{argument}`. Expected .*Received: "):
        call(diagnostics)


def test_what_is_not_finite_is_not_written_down():
    for values in ([], [np.nan, 1.0]):
        assert diagnostics.mean_and_error(np.array(values)) == {"mean": None, "standard_error": None}
    assert diagnostics.mean_and_error(np.array([2.0])) == {"mean": 2.0, "standard_error": None}
    # A point has no KL to a normal that is a number.
    assert diagnostics.gaussian_kl([1.0], [0.0]) == np.inf


def test_verdicts():
    rich, poor = (MutualInformation(low, up, 0.1, 0.1, 30.0, 1000) for low, up in ((6.8, 20.0), (0.0, 0.02)))
    alive, dead = np.full(3, 0.5), np.zeros(2)
    verdict = diagnostics.collapse_verdict
    assert verdict([alive], rich).startswith("No collapse: 3 of 3 units are active")
    assert verdict([dead], rich).startswith("The posterior has collapsed: 0 of 2")
    assert verdict([alive], poor).startswith("The posterior has collapsed: 3 of 3")
    assert verdict([alive, dead], rich).startswith("Layer 2 has collapsed")
    assert "layer 1 has 3 of 3 active" in verdict([alive, dead], rich)


def small_model(latent_dim=3, hidden=(16,), **kwargs):
    model = IWAE((4, 3, 1), latent_dim=latent_dim, hidden=hidden, num_samples=4, seed=1, **kwargs)
    model.compile(FusedAdam(1e-2))
    return model


@pytest.fixture(scope="module")
def patterns():
    """Two hundred noisy copies of eight patterns: log 8 nats to be told."""
    rng = np.random.default_rng(0)
    prototypes = rng.random((8, 4, 3, 1)) < 0.5
    chosen = prototypes[rng.integers(8, size=200)]
    return np.where(rng.random(chosen.shape) < 0.02, ~chosen, chosen).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"latent_dim": (2, 1), "hidden": ((8,), (4,))}])
def test_every_draw_is_held_against_every_image(options, patterns, monkeypatch):
    """In blocks that do not divide the draws, of which progress hears."""
    model, images, done = small_model(**options), patterns[:7], []
    draws = np.random.default_rng(1).normal(size=(7, model.latent_dim)).astype(np.float32)
    # The room has a function of that name too.
    file = sys.modules["keras_iwae.evaluation.latents"]
    monkeypatch.setattr(file, "_PAIRS", 15)
    monkeypatch.setattr(file, "_PARTS", 2)
    found = pairwise_log_posterior(model, images, draws, done.append)
    expected = [[model.posterior.log_prob(z[np.newaxis, np.newaxis], x[np.newaxis]) for x in images] for z in draws]
    np.testing.assert_allclose(found, np.array(expected).reshape(7, 7), rtol=1e-5)
    assert (len(done), sum(done)) == (2, 7)


def verdict_of(model, images):
    found = latents(model, images, num_draws=8)
    pairs = pairwise_log_posterior(model, images, found.draws)
    information = diagnostics.mutual_information(pairs, model.generative.log_prior(found.draws).numpy())
    variances = found.by_layer(diagnostics.mean_variances(found.means, found.noise))
    return diagnostics.collapse_verdict(variances, information), information


@pytest.mark.slow
def test_collapse_is_seen_where_the_encoder_ignores_the_image_and_only_there(patterns):
    model = small_model()
    model.fit(patterns, batch_size=20, epochs=40, verbose=0)
    trained, information = verdict_of(model, patterns)
    assert trained.startswith("No collapse")
    assert information.lower > 1.0
    # The heads keep their biases, so that q is still far from the prior: a KL that says nothing.
    model.posterior.loc_head.kernel.assign(tf.zeros_like(model.posterior.loc_head.kernel))
    model.posterior.log_scale_head.kernel.assign(tf.zeros_like(model.posterior.log_scale_head.kernel))
    model.posterior.loc_head.bias.assign([2.0, -1.0, 0.5])
    ignoring, information = verdict_of(model, patterns)
    assert ignoring.startswith("The posterior has collapsed")
    assert information.mean_kl > 1.0
    assert information.upper == pytest.approx(0.0, abs=1e-4)


@pytest.mark.statistical
@pytest.mark.parametrize("kind", ["one", "two", "binary"])
def test_kl_per_unit_adds_up_to_the_sampled_kl(patterns, kind):
    model = {
        "one": lambda: small_model(),
        "two": lambda: small_model((3, 2), ((16,), (8,))),
        "binary": lambda: small_model(posterior="bernoulli", estimator="vimco"),
    }[kind]()
    # Keras shuffles under no seed, by which the KL of the binary one went from 0.23 to 0.6, and once below 0.2.
    model.fit(patterns, batch_size=20, epochs=10, shuffle=False, verbose=0)
    found = latents(model, patterns, num_draws=40)
    draws = found.kl_per_unit.sum(axis=1) - found.kl
    # Zero on average; the spread between images is that of 40 draws each.
    assert abs(draws.mean()) < 4.0 * draws.std(ddof=1) / math.sqrt(len(draws)) + 1e-4
    assert found.kl.mean() > 0.2
    sizes = {"one": (3,), "two": (3, 2), "binary": (3,)}[kind]
    assert found.layer_sizes == sizes
    assert found.kl_is_exact.tolist() == [kind != "two"] * 3 + [True] * (len(sizes) - 1) * 2
    # Control: with several layers the closed form against N(0, I) below the top is another number.
    if kind == "two":
        loc, scale = model.posterior(patterns)
        wrong = diagnostics.gaussian_kl(loc, scale).sum(axis=1)
        assert abs((wrong - found.kl).mean()) > 10.0 * draws.std(ddof=1) / math.sqrt(len(draws))


class BiasedCoins(BernoulliPrior):
    @property
    def distribution(self):
        return tfd.Independent(tfd.Bernoulli(logits=tf.fill([self.latent_dim], -2.0), dtype=tf.float32), 1)


@pytest.mark.slow
def test_against_coins_of_ones_own_there_is_no_kl_of_fair_ones(patterns):
    model = small_model(posterior="bernoulli", estimator="vimco", prior=BiasedCoins(3))
    found = latents(model, patterns, num_draws=4)
    assert found.kl_per_unit is None
    assert not found.kl_is_exact.any()
    # Control: the means are known, whatever the prior is.
    assert (found.noise == 0.0).all()


@pytest.mark.statistical
def test_upper_layers_means_are_averages_over_the_layer_below(patterns):
    """The mean of z_2 given the mean of z_1 is not the mean of z_2, and what noise the average has is subtracted."""
    model = small_model((3, 2), ((16,), (8,)))
    for variable in model.posterior.networks[0].trainable_variables:
        variable.assign(3.0 * variable)
    found, many = (latents(model, patterns, num_draws=n, seed=n) for n in (16, 2000))
    np.testing.assert_array_equal(found.noise[:, :3], 0.0)
    scores = (found.means - many.means)[:, 3:] / np.sqrt((found.noise + many.noise)[:, 3:])
    assert np.abs(scores.mean(axis=0)).max() < 4.0 / math.sqrt(200)
    assert scores.std() < 1.3
    naive = model.posterior.mean(patterns).numpy()
    assert np.abs((naive - many.means)[:, 3:]).mean() > 4.0 * np.sqrt(many.noise[:, 3:]).mean()


@pytest.mark.slow
def test_a_posterior_of_another_family_has_no_units(patterns):
    """A full covariance: draws stand for means, and only the KL of all latents together is there."""
    model = small_model()

    def correlated(x, training=False):
        loc, scale = model.posterior(x, training=training)
        mixing = tf.constant([[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.5, 0.5, 1.0]])
        return tfd.MultivariateNormalTriL(loc, tf.linalg.diag(scale) @ mixing)

    vars(model.posterior)["distribution"] = correlated
    found = latents(model, patterns, num_draws=16)
    assert found.kl_per_unit is None
    assert not found.kl_is_exact.any()
    assert (found.noise > 0.0).all()
    with pytest.raises(ValueError, match="Expected a diagonal Gaussian posterior"):
        inference_gap(model, patterns[:2], num_samples=3, num_steps=4)


@pytest.mark.slow
def test_reconstructions_are_of_the_draws(patterns):
    model = small_model()
    found = latents(model, patterns, num_draws=5, seed=3)
    # The first batch of 200 is the whole of it, and its draws are those of the seed folded with 0.
    z, _ = model.posterior.sample_and_log_prob(patterns, 5, tf.random.fold_in(key_for(Purpose.LATENTS, 3), 0))
    likelihood = model.generative.distribution(z)
    np.testing.assert_allclose(found.log_likelihood, likelihood.log_prob(patterns).numpy().mean(axis=0), rtol=1e-5)
    error = ((patterns - likelihood.mean().numpy()) ** 2).mean(axis=(0, 2, 3, 4))
    np.testing.assert_allclose(found.squared_error, error, rtol=1e-5)
    np.testing.assert_allclose(found.draws, z[0], atol=1e-5)
    again = latents(model, patterns, num_draws=5, seed=3)
    np.testing.assert_array_equal(found.kl, again.kl)
    assert not np.array_equal(found.kl, latents(model, patterns, num_draws=5, seed=4).kl)


def test_bad_input_of_latents(patterns, monkeypatch):
    model = small_model()
    with pytest.raises(ValueError, match="`num_draws`"):
        latents(model, patterns, num_draws=1)
    with pytest.raises(ValueError, match="`images`"):
        latents(model, patterns * 3)
    for draws in (np.zeros((4, 3)), np.zeros((5, 2)), np.full((5, 3), np.nan), None):
        with pytest.raises(ValueError, match=r"`draws`\. Expected (finite )?numbers.*Received"):
            pairwise_log_posterior(model, patterns[:5], draws)
    monkeypatch.setattr(type(model.posterior), "density", "joint")
    with pytest.raises(ValueError, match=r"`model`\. Expected one whose log q"):
        pairwise_log_posterior(model, patterns[:5], np.zeros((5, 3)))


@pytest.mark.statistical
@pytest.mark.parametrize(("shift", "stretch"), [(0.0, 1.0), (0.3, 1.2)])
def test_gaps_where_the_family_holds_the_true_posterior(shift, stretch):
    model = LinearGaussian(shift=shift, stretch=stretch)
    x = model.sample_data(30)
    shares = []
    gap = inference_gap(model, x, num_samples=600, num_steps=300, seed=1, progress=shares.append)
    assert sum(shares) == pytest.approx(1.0)
    error = gap.amortization.std(ddof=1) / math.sqrt(30)
    assert abs(gap.amortization.mean() - amortization_gap(model)) < 4.0 * error + 1e-3
    assert np.abs(gap.approximation).max() < 0.05
    assert abs(gap.approximation.mean()) < 1e-2
    np.testing.assert_allclose(gap.best_elbo, model.log_evidence(x), atol=5e-3)
    assert np.abs(gap.late_gain).max() < 1e-2


@pytest.mark.statistical
@pytest.mark.parametrize(("shift", "stretch"), [(0.0, 1.0), (0.4, 0.7)])
def test_gaps_where_no_diagonal_gaussian_is_the_true_posterior(shift, stretch):
    model = Correlated(shift=shift, stretch=stretch, noise=0.4)
    x = model.sample_data(40)
    gap = inference_gap(model, x, num_samples=4000, num_steps=400, seed=2)
    assert model.approximation_gap > 0.2
    for found, known in ((gap.approximation, model.approximation_gap), (gap.amortization, amortization_gap(model))):
        assert abs(found.mean() - known) < 4.0 * found.std(ddof=1) / math.sqrt(40) + 5e-3


def log_mixture_bound(model, x, num_samples, seed):
    """L_K of an even mixture of the shifted and stretched Gaussian and the best diagonal one."""
    best = type(model)(shift=0.0, stretch=1.0, noise=model.noise).distribution(x)
    first, second = tf.unstack(tf.random.split(tf.constant(seed), 2))
    q = model.distribution(x)
    z = tf.concat(
        [q.sample([num_samples // 2], seed=first), best.sample([num_samples - num_samples // 2], seed=second)], axis=0
    )
    log_density = tf.reduce_logsumexp(tf.stack([q.log_prob(z), best.log_prob(z)]), axis=0) - math.log(2.0)
    return tf.reduce_logsumexp(model.log_joint(x, z) - log_density, axis=0).numpy() - math.log(num_samples)


@pytest.mark.long
@pytest.mark.statistical
def test_log_p_x_is_nearer_than_by_a_mixture_of_both_gaussians():
    """Of a true posterior along a diagonal, to whose ends neither Gaussian reaches."""
    model = Correlated(shift=0.1, stretch=1.2, noise=0.1)
    x = model.sample_data(100)
    gap = inference_gap(model, x, num_samples=20, num_steps=2, seed=3, num_reference_samples=500)
    error = gap.log_likelihood - model.log_evidence(x)
    assert abs(error.mean()) < 4.0 * error.std(ddof=1) / math.sqrt(100)
    cost = Proposal(kind="adapted").evaluations(500, 2)
    # Control: as many decoded images for the mixture, the fit counted, are more than twice as far off.
    other = log_mixture_bound(model, x, cost, [5, 3]) - model.log_evidence(x)
    assert (other**2).mean() > 4.0 * (error**2).mean()


@pytest.mark.statistical
def test_the_larger_of_two_estimates_would_be_too_high():
    """Why log p(x) comes of one proposal: with few samples the larger of two estimates passes log p(x)."""
    model, exact = LinearGaussian(shift=0.8, stretch=1.5), LinearGaussian(shift=0.0, stretch=1.0)
    x = model.sample_data(400)
    gap = inference_gap(model, x, num_samples=20, num_steps=2, num_reference_samples=20)
    excess = gap.log_likelihood - model.log_evidence(x)
    assert excess.mean() < 4.0 * excess.std(ddof=1) / math.sqrt(400)
    amortized, best = (
        np.logaddexp.reduce(m.log_weights(x, 20, tf.constant([7, 1])), axis=0) - math.log(20) for m in (model, exact)
    )
    larger = np.maximum(amortized, best) - model.log_evidence(x)
    assert larger.mean() > 10.0 * larger.std(ddof=1) / math.sqrt(400)


def test_gap_as_numbers():
    gap = InferenceGap(np.array([-1.0, -2.0]), np.array([-1.5, -2.5]), np.array([-3.0, -5.0]), np.zeros(2))
    record = gap.to_dict()
    assert record["num_images"] == 2
    assert record["approximation_gap"]["mean"] == 0.5
    assert record["amortization_gap"] == {"mean": 2.0, "standard_error": pytest.approx(0.5)}
    one = InferenceGap(*(np.zeros(1),) * 4).to_dict()
    assert one["elbo"]["standard_error"] is None
