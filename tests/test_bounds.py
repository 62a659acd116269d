"""The bound against models whose log p(x) is known, and its gradient against arithmetic, with controls that fail."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import LinearGaussian, quadrature_log_evidence

from keras_iwae import IWAE
from keras_iwae.bounds.objectives import ELBO, IWAEBound
from keras_iwae.evaluation.importance import importance_weighted_nll
from keras_iwae.evaluation.streaming import stream_log_weights

SEED = tf.constant([11, 0])


def replicated_bounds(log_weights, size, groups):
    """Mean and standard error over `groups` independent groups of the `size`-sample bound, each `[B]`."""
    by_group = tf.transpose(tf.reshape(log_weights, [groups, size, -1]), [1, 0, 2])
    bounds = IWAEBound()(tf.reshape(by_group, [size, -1])).numpy().reshape(groups, -1)
    return bounds.mean(axis=0), bounds.std(axis=0, ddof=1) / math.sqrt(groups)


@pytest.mark.statistical
def test_linear_gaussian_bounds_grow_to_the_evidence_and_never_pass_it():
    oracle = LinearGaussian()
    x = oracle.sample_data(6)
    truth, groups = oracle.log_evidence(x), 400
    means = []
    for size in (1, 3, 10, 100):
        mean, error = replicated_bounds(oracle.log_weights(x, groups * size, SEED), size, groups)
        assert np.all(mean <= truth + 4.0 * error)
        means.append(mean.mean())
        if size == 1:
            np.testing.assert_array_less(np.abs(mean - oracle.elbo(x)), 4.0 * error)
        if size == 100:
            np.testing.assert_array_less(np.abs(mean - truth), 4.0 * error + 0.02)
    assert means == sorted(means)
    assert truth.mean() - means[0] > 0.2


@pytest.mark.statistical
@pytest.mark.parametrize("mistake", ["no log K", "no prior", "variance for scale", "weights of the loss"])
def test_the_oracle_refuses_wrong_formulas(mistake):
    oracle, size, groups = LinearGaussian(), 100, 400
    x = oracle.sample_data(6)
    q = oracle.distribution(x)
    z = q.sample([groups * size], seed=SEED)
    weights = oracle.log_likelihood(x, z) + oracle.log_prior(z) - q.log_prob(z)
    if mistake == "no prior":
        weights -= oracle.log_prior(z)
    if mistake == "variance for scale":
        weights += q.log_prob(z) - type(q)(q.mean(), q.stddev() ** 2).log_prob(z)
    if mistake == "weights of the loss":
        weights = -weights
    mean, error = replicated_bounds(weights, size, groups)
    if mistake == "no log K":
        mean = mean + math.log(size)
    if mistake == "weights of the loss":
        mean = -mean
    assert np.any(np.abs(mean - oracle.log_evidence(x)) > 4.0 * error + 0.02)


@pytest.mark.slow
def test_all_bounds_are_the_evidence_where_q_is_the_true_posterior():
    oracle = LinearGaussian(shift=0.0, stretch=1.0)
    x = oracle.sample_data(6)
    weights = oracle.log_weights(x, 9, SEED)
    for objective in (ELBO(), IWAEBound()):
        np.testing.assert_allclose(objective(weights), oracle.log_evidence(x), rtol=2e-5, atol=2e-5)
    streamed = stream_log_weights(oracle, tf.constant(x), tf.constant(9), SEED, [1, 4, 9], chunk_size=2)
    np.testing.assert_allclose(streamed.bounds, np.tile(oracle.log_evidence(x), (3, 1)), rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(streamed.effective_sample_size, np.full(6, 9.0), rtol=1e-4)


@pytest.mark.statistical
@pytest.mark.parametrize("latent_dim", [1, 2])
def test_bernoulli_nll_reaches_quadrature(latent_dim, images):
    keras.utils.set_random_seed(0)
    model = IWAE((4, 3, 1), latent_dim=latent_dim, hidden=(8,), num_samples=5, seed=1)
    # Larger weights than the initial ones, so that the latent matters and L_1 is far from log p(x).
    for variable in model.generative.trainable_variables:
        variable.assign(3.0 * variable + 0.1)
    truth = quadrature_log_evidence(model, images)
    result = importance_weighted_nll(model, images, num_samples=20_000, bounds=(1, 5, 50), seed=4, verbose=False)
    error = 1.0 / np.sqrt(result.ess_per_example)
    np.testing.assert_array_less(np.abs(result.log_likelihood_per_example - truth), 4.0 * error)
    values = list(result.bounds.values())
    assert values == sorted(values)
    assert values[-1] - values[0] > 0.3
    assert -result.nll <= truth.mean() + 4.0 * np.sqrt((error**2).sum()) / len(images)
    # Controls: forgetting log K, and the sum of normalized weights times log w in the bound's place, are both caught.
    weights = model.log_weights(images, 20_000, SEED).numpy().astype(np.float64)
    impostor = (np.exp(weights - np.logaddexp.reduce(weights, axis=0)) * weights).sum(axis=0)
    assert np.any(np.abs(impostor - truth) > 4.0 * error)
    assert np.any(np.abs(result.log_likelihood_per_example + math.log(20_000) - truth) > 4.0 * error)


@pytest.mark.statistical
def test_elbo_objective_has_the_analytic_kl_in_expectation(make_model, images):
    model = make_model()
    q = model.posterior.distribution(images)
    analytic = q.kl_divergence(model.generative.prior.distribution).numpy()
    terms = model.log_terms(images, 4000, SEED)
    sampled = (terms.posterior - terms.prior).numpy()
    error = sampled.std(axis=0, ddof=1) / math.sqrt(4000)
    np.testing.assert_array_less(np.abs(sampled.mean(axis=0) - analytic), 4.0 * error + 1e-6)


def test_log_weights_are_the_sum_of_sampled_log_densities(make_model, images):
    model = make_model()
    z, log_q = model.posterior.sample_and_log_prob(images, 5, SEED)
    assert z.shape == (5, 7, 2)
    assert log_q.shape == (5, 7)
    flat = images.reshape(7, -1)
    loc, scale = (part.numpy() for part in model.posterior(images))
    normal = -0.5 * ((z - loc) / scale) ** 2 - np.log(scale) - 0.5 * math.log(2.0 * math.pi)
    np.testing.assert_allclose(log_q, normal.numpy().sum(axis=-1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.posterior.log_prob(z, images), log_q, rtol=1e-4, atol=1e-5)
    logits = model.generative(z).numpy().reshape(5, 7, -1)
    likelihood = (flat * logits - np.logaddexp(0.0, logits)).sum(axis=-1)
    prior = (-0.5 * z.numpy() ** 2 - 0.5 * math.log(2.0 * math.pi)).sum(axis=-1)
    np.testing.assert_allclose(model.log_weights(images, 5, SEED), likelihood + prior - log_q, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(model.generative.distribution(z).log_prob(images), likelihood, rtol=1e-4)
    np.testing.assert_allclose(model.generative.log_joint(images, z), likelihood + prior, rtol=1e-4)


def test_the_two_roads_to_the_likelihood_agree_on_grey_levels(make_model, images):
    model, grey, z = make_model(), 0.8 * images + 0.1, tf.random.stateless_normal([5, 7, 2], SEED)
    fused = model.generative.log_likelihood(grey, z)
    np.testing.assert_allclose(model.generative.distribution(z).log_prob(grey), fused, rtol=1e-5)


def flat_gradient(tape, target, variables):
    return np.concatenate([g.numpy().ravel() for g in tape.gradient(target, variables)])


def weighted_sum_of_gradients(model, images, weigh):
    """Gradient of the mean bound, put together from sum_k weigh(log w)_k * grad log w_k."""
    with tf.GradientTape() as tape:
        log_weights = model.log_weights(images, 5, SEED)
        total = tf.reduce_sum(tf.stop_gradient(weigh(log_weights)) * log_weights) / len(images)
    return flat_gradient(tape, total, model.trainable_variables)


def bound_gradient(model, images):
    with tf.GradientTape() as tape:
        bound = tf.reduce_mean(model.objective(model.log_weights(images, 5, SEED)))
    return flat_gradient(tape, bound, model.trainable_variables)


def test_iwae_gradient_is_the_sum_of_normalized_weights_times_gradients(make_model, images):
    model = make_model()
    gradient = bound_gradient(model, images)
    right = weighted_sum_of_gradients(model, images, lambda w: tf.nn.softmax(w, axis=0))
    np.testing.assert_allclose(gradient, right, rtol=1e-3, atol=1e-5)
    mistakes = {
        "weights of a loss": lambda w: tf.nn.softmax(-w, axis=0),
        "equal weights": lambda w: tf.fill(w.shape, 0.2),
        "the batch axis": lambda w: tf.nn.softmax(w, axis=1),
    }
    for weigh in mistakes.values():
        wrong = weighted_sum_of_gradients(model, images, weigh)
        assert np.abs(gradient - wrong).max() > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["iwae", "elbo"])
def test_gradient_against_finite_differences(make_model, images, objective):
    model = make_model(objective=objective)
    gradient, variables = bound_gradient(model, images), model.trainable_variables
    rng, step = np.random.default_rng(5), 1e-2
    for _ in range(3):
        directions = [rng.normal(size=v.shape).astype(np.float32) / 10 for v in variables]

        def moved(amount, directions=directions):
            for variable, direction in zip(variables, directions, strict=True):
                variable.assign_add(amount * direction)
            return float(tf.reduce_mean(model.objective(model.log_weights(images, 5, SEED))))

        ahead, behind = moved(step), moved(-2.0 * step)
        moved(step)
        along = gradient @ np.concatenate([d.ravel() for d in directions])
        np.testing.assert_allclose((ahead - behind) / (2.0 * step), along, rtol=5e-3, atol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("objective", ["iwae", "elbo", "ae"])
def test_train_step_follows_the_gradient_of_the_mean_bound(make_model, images, objective, jit_compile):
    model = make_model(objective=objective, estimator="reparameterized")
    model.compile(keras.optimizers.SGD(1.0), jit_compile=jit_compile)
    before = [variable.numpy() for variable in model.trainable_variables]
    # XLA draws other numbers for the same seed, so the draws are made under the same compiler.
    seed = tf.constant([3, -1])

    @tf.function(jit_compile=jit_compile, autograph=False)
    def expected_step():
        draws = tf.random.split(seed, 3)[0]
        with tf.GradientTape() as tape:
            if objective == "ae":
                z = model.posterior.mean(images)
                loss = -tf.reduce_mean(model.generative.distribution(z).log_prob(images))
            else:
                loss = -tf.reduce_mean(model.objective(model.log_weights(images, 5, draws)))
        variables = [variable.value for variable in model.trainable_variables]
        return tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    expected = [old - gradient for old, gradient in zip(before, expected_step(), strict=True)]
    model.train_on_batch(images)
    for variable, value in zip(model.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, rtol=1e-4, atol=1e-5, err_msg=variable.path)
