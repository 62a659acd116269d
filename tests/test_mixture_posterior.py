"""The mixture posterior with draws in strata, against quadrature: density, bounds, gradients, and what is refused."""

import itertools
import json
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from oracles import quadrature_log_evidence

import keras_iwae
from keras_iwae import IWAE, posteriors
from keras_iwae.bounds.estimators import ESTIMATORS
from keras_iwae.bounds.gradients import bound_gradients
from keras_iwae.bounds.objectives import CIWAE, ELBO, MIWAE, PIWAE, IWAEBound, Objective
from keras_iwae.evaluation.proposals import Proposal
from keras_iwae.networks.dense import dense_encoder

SHAPE, SEED = (3, 2, 1), tf.constant([4, 9])
X = (np.random.default_rng(3).random((2, *SHAPE)) < 0.5).astype(np.float32)
TICKS = np.linspace(-9.0, 9.0, 361)
STEP = TICKS[1] - TICKS[0]
C = 2


def make_model(latent_dim=1, components=C, **settings):
    """Components that overlap and differ, of a model that has something to say of z."""
    posterior = posteriors.MixturePosterior(dense_encoder((4,), seed=1), latent_dim, seed=3, num_components=components)
    model = IWAE(SHAPE, hidden=(4,), posterior=posterior, seed=1, **{"num_samples": 6, **settings})
    rng = np.random.default_rng(7)
    for variable in model.trainable_variables:
        gain, noise = (0.3, 0.15) if "log_scale" in variable.path else (1.3, 0.4)
        variable.assign(gain * variable + noise * rng.normal(size=variable.shape))
    return model


def log_normal(z, loc, scale):
    return -0.5 * ((z - loc) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2.0 * np.pi)


class Exact(NamedTuple):
    """On the grid, of one latent unit: log densities of each component `[cells, B, C]` and log p(x, z) `[cells, B]`."""

    log_components: np.ndarray
    log_joint: np.ndarray

    @classmethod
    def of(cls, model):
        loc, scale = (np.asarray(part, np.float64)[..., 0] for part in model.posterior(X))
        z = np.repeat(TICKS.astype(np.float32).reshape(-1, 1, 1), len(X), axis=1)
        joint = np.asarray(model.generative.log_joint(X, z), np.float64)
        return cls(log_normal(TICKS[:, np.newaxis, np.newaxis], loc, scale), joint)

    @property
    def log_mixture(self):
        return np.logaddexp.reduce(self.log_components, axis=-1) - np.log(C)

    def elbo(self):
        """E_q log p(x, z) / q(z|x), `[B]`."""
        return (np.exp(self.log_mixture) * (self.log_joint - self.log_mixture)).sum(axis=0) * STEP

    def stratified_iwae(self):
        """E log (w(z_1) + w(z_2)) / 2 with z_1 of one component and z_2 of the other, `[B]`."""
        weights, (one, two) = self.log_joint - self.log_mixture, np.moveaxis(np.exp(self.log_components), -1, 0)
        both = np.logaddexp(weights[:, np.newaxis], weights[np.newaxis]) - np.log(2.0)
        return np.einsum("ib,jb,ijb->b", one, two, both) * STEP**2

    def independent_iwae(self):
        """The same of two draws of q."""
        weights, q = self.log_joint - self.log_mixture, np.exp(self.log_mixture)
        both = np.logaddexp(weights[:, np.newaxis], weights[np.newaxis]) - np.log(2.0)
        return np.einsum("ib,jb,ijb->b", q, q, both) * STEP**2


def replicas(count):
    return np.repeat(X, count, axis=0)


def errors(values, expected):
    """How far the means of values `[B, count]` are from what is expected, `[B]`, in their standard errors."""
    return np.abs(values.mean(axis=1) - expected) / (values.std(axis=1) / np.sqrt(values.shape[1]))


def sampled_log_weights(model, count, num_samples):
    """`[K, B, count]`, in float64."""
    found = model.log_weights(replicas(count), num_samples, SEED).numpy().astype(np.float64)
    return found.reshape(num_samples, len(X), count)


def test_density_and_moments_are_those_of_its_components():
    model = make_model(latent_dim=2, components=3)
    q, ticks = model.posterior.distribution(X), np.linspace(-8.0, 8.0, 161)
    grid = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 1, 2).astype(np.float32)
    loc, scale = (np.asarray(part, np.float64) for part in model.posterior(X))
    each = log_normal(grid[..., np.newaxis, :], loc, scale).sum(axis=-1)
    expected = np.logaddexp.reduce(each, axis=-1) - np.log(3.0)
    found = q.log_prob(np.repeat(grid, len(X), axis=1)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    density, cell = np.exp(expected), (ticks[1] - ticks[0]) ** 2
    np.testing.assert_allclose(density.sum(axis=0) * cell, 1.0, atol=1e-3)
    mean = np.einsum("cb,cd->bd", density, grid[:, 0]) * cell
    square = np.einsum("cb,cd->bd", density, grid[:, 0] ** 2) * cell
    np.testing.assert_allclose(q.mean(), mean, atol=2e-3)
    np.testing.assert_allclose(q.stddev(), np.sqrt(square - mean**2), rtol=3e-3)


def test_components_take_turns_from_a_start_that_is_drawn():
    model = make_model(latent_dim=2, components=3)
    q = model.posterior.distribution(replicas(40))
    drawn = q.labelled([7], seed=SEED).numpy()
    np.testing.assert_array_equal(drawn[..., :-1], q.sample([7], seed=SEED))
    component = drawn[..., -1].astype(int)
    assert {tuple(np.sort(component[i : i + 3, b])) for i in range(5) for b in range(80)} == {(0, 1, 2)}
    # Each image has a start of its own.
    assert set(component[0]) == {0, 1, 2}
    z = q.sample([4, 2], seed=SEED)
    assert z.shape == (4, 2, 80, 2)
    assert q.sample(seed=SEED).shape == (80, 2)


@pytest.mark.statistical
def test_every_draw_has_the_density_of_the_mixture_whatever_its_place():
    """By the characteristic function of the second of three draws, where two components take turns."""
    model = make_model()
    z = model.posterior.distribution(replicas(20_000)).labelled([3], seed=SEED).numpy().astype(np.float64)[1]
    z, density = z.reshape(len(X), -1, 2), np.exp(Exact.of(model).log_mixture)
    for trigonometric, wave in itertools.product((np.cos, np.sin), (0.5, 1.0, 2.0)):
        expected = (density * trigonometric(wave * TICKS)[:, np.newaxis]).sum(axis=0) * STEP
        assert errors(trigonometric(wave * z[..., 0]), expected).max() < 4.0
    # Of a start that is not drawn, it would be of one component.
    assert errors(np.sin(z[0][z[0][:, 1] == 0][np.newaxis, :, 0]), expected_sine(density)[:1]).max() > 10.0


def expected_sine(density):
    return (density * np.sin(TICKS)[:, np.newaxis]).sum(axis=0) * STEP


@pytest.mark.statistical
@pytest.mark.parametrize("num_samples", [1, 2, 3])
def test_weights_have_the_mean_p_of_x_and_log_weights_that_of_the_elbo(num_samples):
    """Where C divides K and where it does not. With the component's own density below, neither is so."""
    model = make_model()
    exact = Exact.of(model)
    log_evidence = quadrature_log_evidence(model, X)
    log_weights = sampled_log_weights(model, 20_000, num_samples)
    ratio = np.exp(log_weights - log_evidence[:, np.newaxis]).mean(axis=0)
    assert errors(ratio, 1.0).max() < 4.0
    assert errors(log_weights.mean(axis=0), exact.elbo()).max() < 4.0
    q = model.posterior.distribution(replicas(20_000))
    drawn = q.labelled([num_samples], seed=SEED)
    component = tf.transpose(tf.cast(drawn[..., -1], tf.int32))
    loc, scale = (tf.transpose(tf.gather(part[..., 0], component, axis=1, batch_dims=1)) for part in (q.loc, q.scale))
    own = log_normal(drawn[..., 0].numpy().astype(np.float64), loc.numpy(), scale.numpy())
    wrong = model.generative.log_joint(replicas(20_000), drawn[..., :1]).numpy() - own
    wrong = wrong.reshape(num_samples, len(X), -1).mean(axis=0)
    # The mean of these is that of the components' own ELBOs, which is lower.
    assert errors(wrong, exact.elbo()).max() > 10.0


@pytest.mark.statistical
def test_the_bound_of_strata_against_quadrature():
    model = make_model()
    exact, log_weights = Exact.of(model), sampled_log_weights(model, 20_000, C)
    found = np.logaddexp.reduce(log_weights, axis=0) - np.log(C)
    assert errors(found, exact.stratified_iwae()).max() < 4.0
    assert np.all(exact.elbo() < exact.stratified_iwae())
    assert np.all(exact.stratified_iwae() < quadrature_log_evidence(model, X))
    # It is another bound than that of independent draws.
    assert errors(found, exact.independent_iwae()).max() > 4.0


def slope(model, value, variable, index, step=2e-2):
    """Central difference of `value(model)`, the mean over images, in one number of a variable."""
    start, found = variable.numpy(), []
    for sign in (1.0, -1.0):
        moved = start.copy()
        moved[index] += sign * step
        variable.assign(moved)
        found.append(value(Exact.of(model)).mean())
    variable.assign(start)
    return (found[0] - found[1]) / (2.0 * step)


def mean_gradients(model, objective, estimator, blocks=40, count=400, **options):
    """Means and standard errors of the gradients by the biases of the heads, `[2, 2 C]`, location and log scale."""
    x, heads = replicas(count), model.posterior.heads

    @tf.function
    def of_block(seed):
        found = bound_gradients(
            model.posterior, model.generative, x, C, seed, objective, ESTIMATORS[estimator], **options
        )
        by_path = dict(zip([v.path for v in model.posterior.trainable_variables], found.posterior, strict=True))
        return tf.concat([by_path[head.bias.path] for head in heads], axis=0)

    found = np.stack([of_block(tf.constant([6, block])) for block in range(blocks)]).astype(np.float64)
    return found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(blocks)


@pytest.fixture(scope="module")
def exact_slopes():
    """By finite differences of quadratures: of the ELBO and of the bound of strata, by the biases of both heads."""
    model = make_model()
    return {
        kind: np.array([slope(model, value, h.bias, (i,)) for h in model.posterior.heads for i in range(C)])
        for kind, value in ((ELBO, Exact.elbo), (IWAEBound, Exact.stratified_iwae))
    }


LEGAL = [
    (ELBO(), "reparameterized", {}),
    (ELBO(), "stl", {}),
    (ELBO(), "dreg", {}),
    (ELBO(), "reinforce", {}),
    (ELBO(), "reparameterized", {"backward_samples": 1}),
    (IWAEBound(), "reparameterized", {}),
    (IWAEBound(), "reparameterized", {"backward_samples": 1}),
]


@pytest.mark.long
@pytest.mark.statistical
@pytest.mark.parametrize(("objective", "estimator", "options"), LEGAL, ids=lambda part: str(part).split("(")[0])
def test_mean_gradients_are_slopes_of_the_exact_bound(exact_slopes, objective, estimator, options):
    mean, error = mean_gradients(make_model(), objective, estimator, **options)
    expected = exact_slopes[type(objective)]
    assert np.abs(expected).max() > 10.0 * error.max()
    assert np.max(np.abs(mean - expected) / (error + 1e-5)) < 4.0


@pytest.mark.statistical
@pytest.mark.parametrize("estimator", ["dreg", "vimco", "reinforce"])
def test_what_takes_draws_for_independent_is_biased_and_refused(exact_slopes, estimator):
    mean, error = mean_gradients(make_model(), IWAEBound(), estimator, blocks=160)
    assert np.max(np.abs(mean - exact_slopes[IWAEBound]) / error) > 6.0
    for objective in (IWAEBound(), MIWAE(num_groups=2), PIWAE(num_groups=2), CIWAE(beta=0.3)):
        with pytest.raises(ValueError, match=r"`estimator`. Expected 'reparameterized' for groups .* in strata"):
            make_model(objective=objective, estimator=estimator)


def test_automatic_is_what_is_legal():
    objectives: tuple[Objective, ...] = (IWAEBound(), ELBO(), MIWAE(num_groups=3))
    for objective in objectives:
        assert make_model(objective=objective).get_config()["estimator"] == "reparameterized"


@pytest.mark.slow
@pytest.mark.parametrize("num_samples", [6, 52])
def test_samples_that_are_drawn_again_are_the_same_in_chunks_too(num_samples):
    """All of the K samples in the backward pass, at once or in chunks: the exact gradient of their bound."""
    model, estimator = make_model(latent_dim=2, components=3), ESTIMATORS["reparameterized"]
    of_elbo = ELBO()
    some = bound_gradients(
        model.posterior, model.generative, X, num_samples, SEED, of_elbo, estimator, backward_samples=num_samples
    )
    if num_samples == 6:
        whole = bound_gradients(model.posterior, model.generative, X, num_samples, SEED, of_elbo, estimator)
        for one, other in zip(some.posterior, whole.posterior, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
    assert all(np.abs(gradient).max() > 1e-6 for gradient in some.posterior)


@pytest.mark.slow
@pytest.mark.parametrize("proposal", [{}, {"scale": 1.5}, {"defensive": 0.3}, {"kind": "refined"}], ids=str)
def test_log_likelihoods_are_those_of_quadrature(proposal):
    model, settings = make_model(latent_dim=2, components=3), Proposal(**proposal)
    x = replicas(4)
    asked = {"proposal": settings.kind, "proposal_scale": settings.scale, "defensive": settings.defensive}
    result = keras_iwae.importance_weighted_nll(model, x, 400, verbose=False, **asked)
    log_evidence = np.repeat(quadrature_log_evidence(model, X), 4)
    assert abs(result.nll + log_evidence.mean()) < 0.05


def test_its_means_are_known_and_its_kl_of_a_unit_is_not():
    model = make_model(latent_dim=2, components=3)
    found = keras_iwae.evaluation.latents(model, X, num_draws=6)
    np.testing.assert_allclose(found.means, model.posterior.mean(X), rtol=1e-6)
    assert found.kl_per_unit is None
    assert not found.noise.any()


def test_a_number_of_components_is_kept():
    posterior = make_model(components=3).posterior
    assert json.loads(json.dumps(posterior.get_config()))["num_components"] == 3
    with pytest.raises(ValueError, match=r"`num_components`"):
        posteriors.MixturePosterior(dense_encoder((4,)), 2, num_components=0)
