"""Every family of posteriors against quadrature in the plane of two latent units: one suite, one row a family."""

import itertools
import json
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae import IWAE, posteriors
from keras_iwae.bounds.estimators import ESTIMATORS, check_pair
from keras_iwae.bounds.gradients import bound_gradients
from keras_iwae.bounds.objectives import CIWAE, ELBO, JVI, MIWAE, PIWAE, IWAEBound, Renyi
from keras_iwae.evaluation.proposals import Proposal
from keras_iwae.models.components import POSTERIORS
from keras_iwae.networks.dense import dense_encoder
from keras_iwae.posteriors import GaussianPosterior

SEED = tf.constant([11, 0])
SHAPE = (4, 3, 1)
X = (np.random.default_rng(0).random((3, *SHAPE)) < 0.4).astype(np.float32)
# The square holds all but 1e-4 of every density below.
TICKS = np.linspace(-9.0, 9.0, 241)
CELL = (TICKS[1] - TICKS[0]) ** 2
GRID = np.stack(np.meshgrid(TICKS, TICKS, indexing="ij"), axis=-1).reshape(-1, 1, 2).astype(np.float32)

FAMILIES = {
    "gaussian": posteriors.GaussianPosterior,
    "full_covariance": posteriors.FullCovariancePosterior,
    "planar": posteriors.PlanarPosterior,
    "radial": posteriors.RadialPosterior,
    "iaf": posteriors.IAFPosterior,
    "maf": posteriors.MAFPosterior,
    "autoregressive": posteriors.AutoregressivePosterior,
}


MASKED = {"num_steps": 2, "hidden": (9, 7)}
OPTIONS = {
    "planar": {"num_steps": 3},
    "radial": {"num_steps": 3},
    "iaf": MASKED,
    "maf": MASKED,
    "autoregressive": {"hidden": (9, 7)},
}


# Without a density of z alone: it has tests of its own beside those of shapes, gradients and saving.
# The mixture is no transformed noise.
EVERY = {**FAMILIES, "auxiliary": posteriors.AuxiliaryPosterior, "mixture": posteriors.MixturePosterior}
# What needs a model around it is tested in files of its own.
OTHERS = {"semi_amortized": posteriors.SemiAmortizedPosterior, "adversarial": posteriors.ImplicitPosterior}


def make_posterior(family, latent_dim=2):
    posterior = EVERY[family](dense_encoder((8,), seed=1), latent_dim, seed=2, **OPTIONS.get(family, {}))
    posterior.build((None, *SHAPE))
    # Away from the start, where every family is close to the diagonal Gaussian; standard deviations about 1.
    rng = np.random.default_rng(5)
    for variable in posterior.trainable_variables:
        masked = "made" in variable.path
        gain = 0.3 if "log_scale" in variable.path else 0.6 if masked else 1.0
        noise = 0.1 if masked else 0.2
        variable.assign(gain * variable + noise * rng.normal(size=variable.shape))
    return posterior


class Case(NamedTuple):
    """A posterior of two latent units, what it gives for three images, and its density there, `[cells, B]`."""

    posterior: posteriors.Posterior
    q: object
    density: np.ndarray

    def expectation(self, values):
        """E_q of values `[cells, B]` or `[cells, 1]`, `[B]`, by quadrature."""
        return (self.density * values).sum(axis=0) * CELL


@pytest.fixture(scope="module", params=FAMILIES)
def case(request):
    posterior = make_posterior(request.param)
    q = posterior.distribution(X)
    log_density = q.log_prob(np.repeat(GRID, len(X), axis=1))
    return Case(posterior, q, np.exp(np.asarray(log_density, np.float64)))


def test_the_suite_has_every_family():
    assert {"bernoulli": posteriors.BernoulliPosterior, **EVERY, **OTHERS} == POSTERIORS


@pytest.mark.slow
def test_density_integrates_to_one(case):
    np.testing.assert_allclose(case.expectation(1.0), np.ones(3), atol=1e-3)
    # The density of the noise that z comes of, without the log determinant, does not.
    bare = np.exp(case.q.distribution.log_prob(case.q.bijector.inverse(np.repeat(GRID, 3, axis=1))))
    assert np.abs(bare.sum(axis=0) * CELL - 1.0).max() > 0.05


@pytest.mark.statistical
def test_draws_are_as_frequent_as_the_density_says(case):
    count = 20_000
    z = case.q.sample([count], seed=SEED).numpy().astype(np.float64)
    distances = []
    for wave in np.array([[0.5, 0.0], [0.0, 0.5], [1.0, 0.7], [-0.8, 1.3], [2.0, -2.0]]):
        for trigonometric in (np.cos, np.sin):
            values, expected = trigonometric(z @ wave), case.expectation(trigonometric(GRID @ wave))
            error = values.std(axis=0) / np.sqrt(count)
            distances.append(np.abs(values.mean(axis=0) - [expected, np.roll(expected, 1)]) / error)
    right, of_another_image = np.max(distances, axis=(0, 2))
    assert right < 4.0 < 20.0 < of_another_image


@pytest.mark.slow
def test_moments_are_those_of_the_density(case):
    mean = np.stack([case.expectation(GRID[..., unit]) for unit in range(2)], axis=-1)
    square = np.stack([case.expectation(GRID[..., unit] ** 2) for unit in range(2)], axis=-1)
    exact, stddev = isinstance(case.q, tfp.distributions.MultivariateNormalLinearOperator), np.sqrt(square - mean**2)
    # Where they are averages over 128 pairs of draws, four standard errors of these.
    np.testing.assert_array_less(np.abs(case.q.mean() - mean), (0.002 if exact else 4.0 / np.sqrt(128)) * stddev)
    np.testing.assert_array_less(np.abs(case.q.stddev() / stddev - 1.0), 0.002 if exact else 4.0 / np.sqrt(512))
    np.testing.assert_array_equal(case.posterior.mean(X), case.q.mean())
    # An image's are its own, whatever is beside it in the batch.
    np.testing.assert_allclose(case.posterior.mean(X[1:]), case.q.mean()[1:], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_log_density_is_that_of_the_noise_less_the_log_determinant(case):
    noise = case.q.distribution.sample([5], seed=SEED)
    z = case.q.bijector.forward(noise)
    # Each draw depends on its own noise only, so the gradient of a sum over draws is the row of each Jacobian.
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(same := tf.identity(noise))
        units = tf.unstack(case.q.bijector.forward(same), axis=-1)
    zero = tf.UnconnectedGradients.ZERO
    jacobian = np.stack([tape.gradient(unit, same, unconnected_gradients=zero) for unit in units], axis=-2)
    log_determinant = np.linalg.slogdet(jacobian)[1]
    expected = case.q.distribution.log_prob(noise) - log_determinant
    np.testing.assert_allclose(case.q.log_prob(z), expected, rtol=1e-4, atol=1e-4)
    # From its values alone, where nothing is remembered of the noise.
    np.testing.assert_allclose(case.q.log_prob(tf.identity(z)), expected, rtol=1e-3, atol=1e-3)


def flat(gradients):
    return np.concatenate([np.ravel(gradient) for gradient in gradients])


@pytest.mark.slow
def test_reparameterize_is_the_draw_itself(case):
    variables = [variable.value for variable in case.posterior.trainable_variables]

    def values_and_gradient(function):
        with tf.GradientTape() as tape:
            z = function(case.posterior.distribution(X))
            total = tf.reduce_sum(tf.sin(z) * [1.0, 2.0])
        zero = tf.UnconnectedGradients.ZERO
        return z, flat(tape.gradient(total, variables, unconnected_gradients=zero))

    z, drawn = values_and_gradient(lambda q: q.sample([5], seed=SEED))
    again, replayed = values_and_gradient(lambda q: case.posterior.reparameterize(q, tf.identity(z)))
    np.testing.assert_allclose(again, z, atol=1e-3)
    np.testing.assert_allclose(replayed, drawn, atol=2e-3 * np.abs(drawn).max())
    assert np.abs(drawn).max() > 0.1


@pytest.mark.slow
def test_gradient_in_z_against_finite_differences(case):
    z = case.q.sample([5], seed=SEED)
    with tf.GradientTape() as tape:
        tape.watch(z := tf.identity(z))
        total = tf.reduce_sum(case.q.log_prob(z))
    gradient, step = tape.gradient(total, z).numpy(), 1e-2
    for unit in range(2):
        direction = step * tf.one_hot(unit, 2)
        difference = (case.q.log_prob(z + direction) - case.q.log_prob(z - direction)) / (2.0 * step)
        np.testing.assert_allclose(gradient[..., unit], difference, rtol=2e-2, atol=5e-2)


@pytest.mark.slow
@pytest.mark.parametrize("family", EVERY)
def test_every_weight_gets_a_gradient(family):
    model = IWAE(SHAPE, latent_dim=4, hidden=(8,), posterior=family, num_samples=5)
    with tf.GradientTape() as tape:
        bound = tf.reduce_mean(model.objective(model.log_weights(X, 5, SEED)))
    gradients = tape.gradient(bound, [variable.value for variable in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert np.abs(gradient).max() > 1e-7, variable.path
        assert np.all(np.isfinite(gradient)), variable.path


OBJECTIVES = [IWAEBound(), ELBO(), MIWAE(num_groups=3), PIWAE(num_groups=3), CIWAE(beta=0.3), Renyi(alpha=0.4), JVI()]


@pytest.mark.slow
@pytest.mark.parametrize("family", EVERY)
def test_every_objective_and_every_estimator_that_is_legal_gives_gradients(family):
    model, legal = IWAE(SHAPE, hidden=(8,), posterior=make_posterior(family), num_samples=6), set()
    for objective, name in itertools.product(OBJECTIVES, ESTIMATORS):
        try:
            q = model.posterior
            check_pair(name, objective, 6, q.reparameterized, q.total_only, stratified=q.stratified)
        except ValueError:
            continue
        # Each estimator once, and the default one with each objective.
        if name in legal and name != "reparameterized":
            continue
        legal.add(name)
        found = bound_gradients(model.posterior, model.generative, X, 6, SEED, objective, ESTIMATORS[name])
        for gradient in (*found.generative, *found.posterior):
            assert 1e-8 < np.abs(gradient).max() < 1e4, (objective, name)
    # Draws in strata: "vimco" is for groups of several alone.
    expected = set(ESTIMATORS) - ({"vimco"} if model.posterior.stratified else set())
    assert legal == ({"reparameterized"} if model.posterior.total_only else expected)


@pytest.mark.slow
def test_a_flow_is_inverted_and_differentiated_under_xla():
    posterior = posteriors.PlanarPosterior(dense_encoder((4,), seed=1), 2, seed=2, num_steps=1)
    model = IWAE(SHAPE, hidden=(4,), posterior=posterior, num_samples=6)

    @tf.function(jit_compile=True, autograph=False)
    def gradients():
        found = bound_gradients(posterior, model.generative, X, 6, SEED, IWAEBound(), ESTIMATORS["dreg"])
        return found.posterior

    assert all(1e-8 < np.abs(gradient).max() < 1e4 for gradient in gradients())


@pytest.mark.slow
@pytest.mark.parametrize("family", EVERY)
def test_shapes_with_several_axes_of_draws(family):
    q = make_posterior(family, latent_dim=5).distribution(X)
    z = q.sample([4, 2], seed=SEED)
    assert z[..., :5].shape == (4, 2, 3, 5)
    assert q.log_prob(z).shape == (4, 2, 3)
    assert q.sample(seed=SEED)[:, :5].shape == q.mean().shape == q.stddev().shape == (3, 5)
    np.testing.assert_array_equal(z, q.sample([4, 2], seed=SEED))


@pytest.mark.slow
@pytest.mark.parametrize("family", EVERY)
def test_one_latent_unit(family):
    z, log_q = make_posterior(family, latent_dim=1).sample_and_log_prob(X, 5, SEED)
    assert z[..., :1].shape == (5, 3, 1)
    assert np.all(np.isfinite(log_q))


@pytest.mark.slow
@pytest.mark.parametrize("family", EVERY)
def test_configuration_and_weights_survive_saving(family):
    posterior = make_posterior(family)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(posterior)))
    copy = keras.saving.deserialize_keras_object(config)
    if not copy.built:
        copy.build((None, *SHAPE))
    copy.set_weights(posterior.get_weights())
    # What Keras notes of the encoder says whether it was built.
    assert {**copy.get_config(), "encoder": None} == {**posterior.get_config(), "encoder": None}
    ours, theirs = (each.sample_and_log_prob(X, 5, SEED) for each in (copy, posterior))
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[1], theirs[1])


@pytest.mark.slow
@pytest.mark.parametrize("family", EVERY)
def test_log_densities_are_float32_under_mixed_precision(family):
    model = IWAE(SHAPE, latent_dim=3, hidden=(8,), posterior=family, dtype="mixed_bfloat16")
    assert model.posterior.encoder.layers[1].compute_dtype == "bfloat16"
    assert {part.dtype for part in model.log_terms(X, 5, SEED)} == {tf.float32}


@pytest.mark.parametrize("family", EVERY)
def test_no_two_kernels_start_alike(family):
    posterior = EVERY[family](dense_encoder((4,), seed=5), 4, seed=2)
    posterior.build((None, 4))
    kernels = [v.numpy() for v in posterior.weights if "kernel" in v.path]
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels) > 2


def test_full_covariance_is_the_normal_of_its_covariance():
    q = make_posterior("full_covariance", latent_dim=4).distribution(X)
    z = q.sample([7], seed=SEED).numpy().astype(np.float64)
    covariance, residual = q.covariance().numpy().astype(np.float64), z - q.mean().numpy()
    assert np.abs(covariance[:, 1, 0]).min() > 0.01
    mahalanobis = np.einsum("kbi,bij,kbj->kb", residual, np.linalg.inv(covariance), residual)
    log_volume = np.linalg.slogdet(2.0 * np.pi * covariance)[1]
    np.testing.assert_allclose(q.log_prob(z.astype(np.float32)), -0.5 * (mahalanobis + log_volume), rtol=1e-3)


def test_full_covariance_is_stretched_as_a_proposal():
    posterior = make_posterior("full_covariance", latent_dim=3)
    wide = Proposal(scale=2.0).distribution(IWAE(SHAPE, hidden=(8,), posterior=posterior), X)
    q = posterior.distribution(X)
    np.testing.assert_allclose(wide.covariance(), 4.0 * q.covariance(), rtol=1e-5)
    np.testing.assert_allclose(wide.mean(), q.mean(), rtol=1e-6)


def test_a_posterior_of_the_users_own_making(tmp_path):
    own = posteriors.FullCovariancePosterior(dense_encoder((7,), seed=1), latent_dim=3, seed=2)
    model = IWAE(SHAPE, hidden=(8, 6), posterior=own, num_samples=5)
    assert model.posterior is own
    assert model.latent_dim == 3
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(loaded.log_weights(X, 5, SEED), model.log_weights(X, 5, SEED))
    with pytest.raises(ValueError, match=r"`encoder`. Expected none"):
        IWAE(SHAPE, posterior=own, encoder=dense_encoder())


def test_autoregressive_factors_are_the_normals_of_its_network():
    posterior = make_posterior("autoregressive", latent_dim=4)
    z = posterior.distribution(X).sample([7], seed=SEED).numpy()
    loc, log_scale = (part.numpy().astype(np.float64) for part in posterior.heads[0].given(posterior(X))(z))
    factors = -0.5 * ((z - loc) / np.exp(log_scale)) ** 2 - log_scale - 0.5 * np.log(2.0 * np.pi)
    np.testing.assert_allclose(posterior.log_prob(z, X), factors.sum(axis=-1), rtol=1e-4, atol=1e-4)
    # What the later units are drawn around depends on the earlier ones.
    spread = loc.std(axis=0).max(axis=0)
    assert spread[0] < 1e-6 < 1e-3 < spread[1:].min()


def test_the_scales_of_a_gaussian_can_have_ends(tmp_path):
    """Beyond them a log scale is cut off and has no gradient; between them it is what it was."""
    x = tf.constant(np.random.default_rng(0).normal(size=(6, 5)), tf.float32)
    plain, ended = (
        GaussianPosterior(dense_encoder((4,), seed=1), latent_dim=3, seed=2, log_scale_range=ends)
        for ends in (None, (-0.2, 0.1))
    )
    expected, clipped = (tf.math.log(posterior(x)[1]).numpy() for posterior in (plain, ended))
    np.testing.assert_allclose(clipped, np.clip(expected, -0.2, 0.1), atol=1e-6)
    beyond = (expected < -0.2) | (expected > 0.1)
    assert 0 < beyond.sum() < beyond.size
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(ended(x)[1] * beyond)
    assert not np.any(tape.gradient(total, ended.log_scale_head.bias.value))
    model = IWAE(5, posterior=ended, hidden=(4,))
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").posterior.log_scale_range == (-0.2, 0.1)


@pytest.mark.parametrize("ends", [3, (1.0,), (1.0, 1.0), (1.0, -3.0), ("a", 1.0), (None, 1.0), (-np.inf, 1.0), "ab"])
def test_ends_that_are_none_are_refused(ends):
    with pytest.raises(ValueError, match=r"`log_scale_range`\. Expected the lowest and the highest .*Received: "):
        GaussianPosterior(dense_encoder((4,)), latent_dim=3, log_scale_range=ends)
