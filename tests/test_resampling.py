"""Resampled draws against quadrature: q for K = 1, the exact q_EW for K = 2, the true posterior for large K."""

import numpy as np
import pytest

from keras_iwae import IWAE
from keras_iwae.evaluation.resampling import resampled_posterior, resampled_reconstruction
from keras_iwae.networks.dense import dense_encoder
from keras_iwae.posteriors import MixturePosterior

SHAPE = (4, 3, 1)
X = (np.random.default_rng(0).random((3, *SHAPE)) < 0.4).astype(np.float32)
TICKS = np.linspace(-18.0, 18.0, 721)
DRAWS = 2000


@pytest.fixture(scope="module")
def model():
    made = IWAE(SHAPE, latent_dim=1, hidden=(8,), num_samples=5, seed=1)
    # A generative model that has something to say, and a posterior that is off.
    for variable in made.generative.trainable_variables:
        variable.assign(2.5 * variable + 0.1)
    made.posterior.loc_head.bias.assign([1.0])
    return made


@pytest.fixture(scope="module")
def densities(model):
    """q and log w on the grid, `[cells, B]`."""
    z = np.repeat(TICKS[:, np.newaxis, np.newaxis], 3, axis=1).astype(np.float32)
    log_q = model.posterior.log_prob(z, X).numpy().astype(np.float64)
    return np.exp(log_q), model.generative.log_joint(X, z).numpy() - log_q


def moments(density):
    density = density / density.sum(axis=0)
    mean = (density * TICKS[:, np.newaxis]).sum(axis=0)
    return mean, np.sqrt((density * TICKS[:, np.newaxis] ** 2).sum(axis=0) - mean**2)


def expected_density(densities, num_samples):
    q, log_w = densities
    if num_samples == 1:
        return q
    w = np.exp(log_w - log_w.max(axis=0))
    if num_samples > 2:
        return q * w
    # q_EW(z) = q(z) E_z'[ w(z) / ((w(z) + w(z')) / 2) ], z' ~ q.
    step = TICKS[1] - TICKS[0]
    columns = [
        (2.0 * w[:, np.newaxis, b] / (w[:, np.newaxis, b] + w[np.newaxis, :, b]) * q[np.newaxis, :, b]).sum(axis=1)
        for b in range(3)
    ]
    return q * step * np.stack(columns, axis=-1)


@pytest.mark.statistical
@pytest.mark.parametrize("num_samples", [1, 2, 200])
def test_draws_have_the_moments_of_the_density(model, densities, num_samples):
    z = resampled_posterior(model, X, DRAWS, num_samples).numpy()[..., 0]
    assert z.shape == (DRAWS, 3)

    def distance(of):
        mean, stddev = moments(expected_density(densities, of))
        centre = np.abs(z.mean(axis=0) - mean) / (stddev / np.sqrt(DRAWS))
        # The standard error of a variance, from the fourth moment of the draws themselves.
        fourth = np.mean((z - z.mean(axis=0)) ** 4, axis=0)
        error = np.sqrt((fourth - z.var(axis=0) ** 2) / DRAWS)
        return np.max(np.maximum(centre, np.abs(z.var(axis=0) - stddev**2) / error))

    assert distance(num_samples) < 4.0
    assert all(distance(other) > 8.0 for other in {1, 2, 200} - {num_samples})


@pytest.mark.slow
def test_the_seed_decides(model):
    first, again, other = (resampled_posterior(model, X, 5, 30, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.all(first != other)


def test_reconstructions_are_nearer_to_the_image_than_those_of_q(model):
    ours, plain = (resampled_reconstruction(model, X, 200, samples).numpy() for samples in (50, 1))
    assert ours.shape == X.shape
    likelihoods = [np.log(np.where(X == 1.0, p, 1.0 - p)).sum(axis=(1, 2, 3)).mean() for p in (ours, plain)]
    assert likelihoods[0] > likelihoods[1] + 0.1


@pytest.mark.statistical
def test_draws_of_strata_are_independent():
    """Two of one call come of the two components in turn; of independent ones half are of one."""
    model = IWAE(SHAPE, latent_dim=1, hidden=(8,), posterior=MixturePosterior(dense_encoder((8,)), 1, num_components=2))
    model.posterior.heads[0].bias.assign([-50.0, 50.0])
    z = np.concatenate([resampled_posterior(model, X, 2, 1, seed).numpy()[..., 0] for seed in range(60)], axis=1)
    apart = (z[0] > 0.0) != (z[1] > 0.0)
    assert abs(apart.mean() - 0.5) < 4.0 * 0.5 / np.sqrt(apart.size)


@pytest.mark.slow
def test_auxiliary_variables_are_left_out():
    model = IWAE(SHAPE, latent_dim=2, hidden=(8,), posterior="auxiliary")
    z = resampled_posterior(model, X, 4, 30)
    assert z.shape == (4, 3, 2)
    assert np.all(np.isfinite(z))


@pytest.mark.parametrize(
    ("arguments", "name"), [((X, 0, 5), "num_draws"), ((X, 5, 0), "num_samples"), ((9.0 * X, 5, 5), "x")]
)
def test_bad_input(model, arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        resampled_posterior(model, *arguments)
