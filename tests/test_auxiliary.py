"""Auxiliary variables: with one z and one a every density and every integral is there by quadrature."""

import numpy as np
import pytest
import tensorflow as tf

from keras_iwae import IWAE, importance_weighted_nll
from keras_iwae.evaluation.annealed import annealed_nll
from keras_iwae.evaluation.latents import latents
from keras_iwae.foundation.keys import Purpose, key_for
from keras_iwae.networks.dense import dense_encoder
from keras_iwae.posteriors.auxiliary import AuxiliaryPosterior

SEED = tf.constant([11, 0])
SHAPE = (4, 3, 1)
X = (np.random.default_rng(0).random((3, *SHAPE)) < 0.4).astype(np.float32)


def make_posterior(latent_dim=1, auxiliary_dim=1):
    posterior = AuxiliaryPosterior(dense_encoder((8,), seed=1), latent_dim, 2, auxiliary_dim, units=6)
    posterior.build((None, *SHAPE))
    rng = np.random.default_rng(5)
    for variable in posterior.trainable_variables:
        gain = 0.3 if "log_scale" in variable.path else 1.0
        variable.assign(gain * variable + 0.15 * rng.normal(size=variable.shape))
    return posterior


def grid(half_width=10.0, points=301):
    ticks = np.linspace(-half_width, half_width, points)
    pairs = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 1, 2)
    return ticks, np.repeat(pairs, 3, axis=1).astype(np.float32)


@pytest.mark.statistical
def test_density_of_z_and_a_integrates_to_one_and_is_that_of_the_draws():
    q, (ticks, pairs), count = make_posterior().distribution(X), grid(), 20_000
    cell = (ticks[1] - ticks[0]) ** 2
    density = np.exp(q.log_density(pairs).numpy().astype(np.float64))
    np.testing.assert_allclose(density.sum(axis=0) * cell, np.ones(3), atol=1e-3)
    draws = q.sample([count], seed=SEED).numpy().astype(np.float64)
    distances = []
    for wave in np.array([[0.7, 0.0], [0.0, 0.7], [1.0, 0.7], [-0.8, 1.3]]):
        for trigonometric in (np.cos, np.sin):
            values, expected = trigonometric(draws @ wave), (density * trigonometric(pairs @ wave)).sum(axis=0) * cell
            error = values.std(axis=0) / np.sqrt(count)
            distances.append(np.abs(values.mean(axis=0) - [expected, np.roll(expected, 1)]) / error)
    right, of_another_image = np.max(distances, axis=(0, 2))
    assert right < 4.0 < 20.0 < of_another_image
    # Moments of z alone, a summed out.
    marginal = density.reshape(len(ticks), len(ticks), 3).sum(axis=1) * cell
    mean = (marginal * ticks[:, np.newaxis]).sum(axis=0)
    stddev = np.sqrt((marginal * ticks[:, np.newaxis] ** 2).sum(axis=0) - mean**2)
    np.testing.assert_array_less(np.abs(q.mean()[:, 0] - mean), 0.1 * stddev)
    np.testing.assert_allclose(q.stddev()[:, 0], stddev, rtol=0.1)


def test_the_bound_is_looser_by_how_far_the_reverse_is_from_the_exact_one():
    """With q(a|x, z) for p(a|x, z), log q(z, a|x) - log p(a|x, z) is log q(z|x) whatever a is, by quadrature."""
    q, (ticks, pairs) = make_posterior().distribution(X), grid()
    step = ticks[1] - ticks[0]
    log_density = q.log_density(pairs).numpy().astype(np.float64).reshape(len(ticks), len(ticks), 3)
    log_marginal = np.logaddexp.reduce(log_density, axis=1) + np.log(step)
    log_reverse = log_density - log_marginal[:, np.newaxis]
    ours = q.log_prob(pairs).numpy().astype(np.float64).reshape(log_density.shape)
    reverse = log_density - ours
    # Ours is a density of a for every z, as the exact one is.
    np.testing.assert_allclose(np.exp(reverse).sum(axis=1) * step, np.ones((len(ticks), 3)), atol=2e-3)
    np.testing.assert_allclose(np.exp(log_reverse).sum(axis=1) * step, np.ones((len(ticks), 3)), atol=1e-6)
    # E_q of ours exceeds -H(q(z|x)) by E KL(q(a|x, z) || p(a|x, z)), and the bound is looser by that.
    density, cell = np.exp(log_density), step**2
    looser = (density * (ours - log_marginal[:, np.newaxis])).sum(axis=(0, 1)) * cell
    divergence = (density * (log_reverse - reverse)).sum(axis=(0, 1)) * cell
    np.testing.assert_allclose(looser, divergence, atol=1e-4)
    assert divergence.min() > 0.01


def test_reparameterize_is_the_draw_itself():
    posterior = make_posterior(3, 2)
    variables = [variable.value for variable in posterior.trainable_variables]

    def values_and_gradient(function):
        with tf.GradientTape() as tape:
            draws = function(posterior.distribution(X))
            total = tf.reduce_sum(tf.sin(draws) * tf.range(1.0, 6.0))
        found = tape.gradient(total, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return draws, np.concatenate([np.ravel(part) for part in found])

    draws, gradient = values_and_gradient(lambda q: q.sample([5], seed=SEED))
    again, replayed = values_and_gradient(lambda q: posterior.reparameterize(q, tf.identity(draws)))
    assert draws.shape == (5, 3, 5)
    np.testing.assert_allclose(again, draws, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(replayed, gradient, rtol=1e-3, atol=1e-3)


def test_the_generative_model_sees_z_alone():
    posterior = make_posterior(3, 2)
    model = IWAE(SHAPE, hidden=(8,), posterior=posterior, num_samples=4)
    assert model.latent_dim == model.generative.latent_dim == 3
    assert posterior.mean(X).shape == posterior.distribution(X).stddev().shape == (3, 3)
    draws, log_q = posterior.sample_and_log_prob(X, 5, SEED)
    z = draws[..., :3]
    terms = model.log_terms(X, 5, SEED)
    np.testing.assert_allclose(terms.likelihood, model.generative.log_likelihood(X, z), rtol=1e-5)
    np.testing.assert_allclose(terms.prior, model.generative.log_prior(z), rtol=1e-5)
    np.testing.assert_allclose(terms.posterior, log_q, rtol=1e-5)
    assert model.generative.sample(5, SEED).latents.shape == (5, 3)
    moved = tf.concat([z, draws[..., 3:] + 1.0], axis=-1)
    np.testing.assert_array_equal(model.generative.log_joint(X, moved), model.generative.log_joint(X, draws))


@pytest.mark.slow
def test_latents_are_those_that_the_generative_model_sees():
    model = IWAE(SHAPE, hidden=(8,), posterior=make_posterior(3, 2), num_samples=4)
    found = latents(model, X, num_draws=5, seed=3)
    assert found.layer_sizes == (3,)
    for name in ("means", "noise", "draws"):
        assert getattr(found, name).shape == (3, 3), name
    assert [each.shape for each in found.by_layer(found.draws)] == [(3, 3)]
    # The one batch's draws are those of the seed folded with 0; their density is that of z and a.
    draws, log_q = model.posterior.sample_and_log_prob(X, 5, tf.random.fold_in(key_for(Purpose.LATENTS, 3), 0))
    np.testing.assert_allclose(found.draws, draws[0, :, :3], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.means, tf.reduce_mean(draws[..., :3], axis=0), rtol=1e-5, atol=1e-6)
    kl = tf.reduce_mean(log_q - model.generative.log_prior(draws[..., :3]), axis=0)
    np.testing.assert_allclose(found.kl, kl, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_any_reverse_leaves_the_mean_weight_at_the_evidence():
    """E_q w = p(x) whatever p(a|x, z) is; without it the mean weight is another number."""
    model = IWAE(SHAPE, hidden=(8,), posterior=make_posterior(), num_samples=4)
    q, (ticks, pairs) = model.posterior.distribution(X), grid()
    step = ticks[1] - ticks[0]
    log_joint = model.generative.log_joint(X, pairs).numpy().astype(np.float64)
    of_z = log_joint.reshape(len(ticks), len(ticks), 3)[:, 0]
    log_evidence = np.logaddexp.reduce(of_z, axis=0) + np.log(step)
    log_density = q.log_density(pairs).numpy().astype(np.float64)

    def log_mean_weight(log_q):
        return np.logaddexp.reduce(log_density + log_joint - log_q, axis=0) + 2.0 * np.log(step)

    right = log_mean_weight(q.log_prob(pairs).numpy().astype(np.float64))
    np.testing.assert_allclose(right, log_evidence, atol=5e-3)
    assert np.all(np.abs(log_mean_weight(log_density) - log_evidence) > 0.5)


def test_estimators_that_would_not_train_the_reverse_are_refused():
    for estimator in ("dreg", "vimco", "reinforce", "rws"):
        with pytest.raises(ValueError, match=r"`estimator`. Expected 'reparameterized' .*auxiliary.* Received"):
            IWAE(SHAPE, latent_dim=2, hidden=(8,), posterior="auxiliary", num_samples=4, estimator=estimator)


def test_what_needs_log_q_of_z_alone_is_refused():
    model = IWAE(SHAPE, hidden=(8,), posterior=make_posterior(), num_samples=4)
    with pytest.raises(ValueError, match=r"`defensive`. Expected 0 .*auxiliary"):
        importance_weighted_nll(model, X, 10, defensive=0.1)
    with pytest.raises(ValueError, match=r"`initial`. Expected 'prior'"):
        annealed_nll(model, X, initial="posterior")


@pytest.mark.parametrize("options", [{"auxiliary_dim": 0}, {"units": 0}, {"latent_dim": 0}])
def test_counts_are_checked(options):
    with pytest.raises(ValueError, match=r"Expected an integer of at least 1"):
        AuxiliaryPosterior(dense_encoder((8,)), **{"latent_dim": 2, **options})


def test_it_starts_near_a_gaussian_of_z():
    """What q(a|x) and p(a|x, z) disagree on at first is taken off the bound, and so is the noise that a brings to z."""

    def disagreement(posterior):
        q = posterior.distribution(X)
        draws = q.sample([500], seed=SEED)
        gaps = q.log_prob(draws) - q._given(q.forward, draws[..., 30:]).log_prob(draws[..., :30])
        locs, _ = q.forward(q.features, draws[..., 30:])
        return float(tf.reduce_mean(gaps)), float(tf.reduce_mean(tf.math.reduce_variance(locs, axis=0)))

    posterior = AuxiliaryPosterior(dense_encoder((20,)), latent_dim=30)
    posterior.build((None, *SHAPE))
    gap, noise = disagreement(posterior)
    # The control: kernels as large as elsewhere.
    for network in (posterior.heads[0], posterior.heads[1], posterior.backward.loc_head, posterior.forward.of_vector):
        network.kernel.assign(10.0 * network.kernel)
    large_gap, large_noise = disagreement(posterior)
    assert 0.0 < gap < 0.5 < 5.0 < large_gap
    assert noise < 0.05 < 0.2 < large_noise
