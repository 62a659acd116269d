"""Refined Gaussians: what the steps gain by quadrature, and that their gradient is that of the whole bound."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.optimize import minimize

from keras_iwae import IWAE, export_saved_model
from keras_iwae.bounds.estimators import ESTIMATORS
from keras_iwae.bounds.gradients import bound_gradients
from keras_iwae.networks.dense import dense_encoder
from keras_iwae.posteriors import semi_amortized
from keras_iwae.posteriors.semi_amortized import SemiAmortizedPosterior
from keras_iwae.training import FusedAdam

SEED = tf.constant([11, 0])
SHAPE = (4, 3, 1)
X = (np.random.default_rng(0).random((3, *SHAPE)) < 0.4).astype(np.float32)
TICKS = np.linspace(-8.0, 8.0, 161)
CELL = (TICKS[1] - TICKS[0]) ** 2
GRID = np.stack(np.meshgrid(TICKS, TICKS, indexing="ij"), axis=-1).reshape(-1, 1, 2).astype(np.float32)
K = 4


def make(estimator="reparameterized", **options):
    posterior = SemiAmortizedPosterior(dense_encoder((6,), seed=1), 2, seed=2, **options)
    model = IWAE(SHAPE, hidden=(6,), posterior=posterior, num_samples=K, seed=1, estimator=estimator)
    rng = np.random.default_rng(7)
    for variable in model.trainable_variables:
        gain = 0.5 if "log_scale" in variable.path else 1.5
        variable.assign(gain * variable + 0.2 * rng.normal(size=variable.shape))
    return model


def elbo(log_joint, log_q):
    return (np.exp(log_q) * (log_joint - log_q)).sum(axis=0) * CELL


def log_normal(parameters):
    loc, log_scale = np.split(parameters, 2)
    noise = (GRID[:, 0] - loc) / np.exp(log_scale)
    return (-0.5 * noise**2 - log_scale - 0.5 * np.log(2.0 * np.pi)).sum(axis=-1)


@pytest.mark.slow
def test_steps_climb_from_the_encoders_elbo_to_the_best_there_is():
    model, wide = make(num_draws=64), np.repeat(GRID, 3, axis=1)
    log_joint = model.generative.log_joint(X, wide).numpy().astype(np.float64)
    reached = []
    for steps in (0, 1, 3, 12):
        set_steps(model.posterior, steps)
        log_q = model.posterior.distribution(X).log_prob(wide).numpy().astype(np.float64)
        np.testing.assert_allclose(np.exp(log_q).sum(axis=0) * CELL, np.ones(3), atol=1e-3)
        reached.append(elbo(log_joint, log_q))
    searches = [
        minimize(lambda p, b=b: -elbo(log_joint[:, b], log_normal(p)), np.zeros(4), method="Nelder-Mead")
        for b in range(3)
    ]
    best = np.array([-search.fun for search in searches])
    assert np.min(np.diff(reached[:3], axis=0)) > 0.0
    assert np.min(best - reached[0]) > 0.1
    np.testing.assert_allclose(reached[-1], best, atol=0.03)


def set_steps(posterior, steps):
    """What a constructor was told cannot be set anew, but by those who look behind it."""
    vars(posterior)["num_steps"] = steps


def gradients_and_bound(model):
    draws = tf.random.split(SEED, 3)[0]
    gradients = tf.function(
        lambda: bound_gradients(
            model.posterior, model.generative, X, K, SEED, model.objective, ESTIMATORS["reparameterized"]
        )[1:],
        autograph=False,
    )
    bound = tf.function(lambda: tf.reduce_mean(model.objective(model.log_weights(X, K, draws))), autograph=False)
    by_variable = []
    for part, found in zip((model.generative, model.posterior), gradients(), strict=True):
        by_variable += list(zip(part.trainable_variables, found, strict=True))
    return by_variable, bound


def distances(model):
    """Of the largest gradient of each variable from the central difference of the bound, next to its size."""
    found, (by_variable, bound) = {}, gradients_and_bound(model)
    for variable, gradient in by_variable:
        index = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        start, values = variable.numpy(), []
        for step in (0.004, -0.004):
            moved = start.copy()
            moved[index] += step
            variable.assign(moved)
            values.append(float(bound()))
        variable.assign(start)
        difference = (values[0] - values[1]) / 0.008
        found[variable.path] = abs(gradient.numpy()[index] - difference) / (abs(difference) + 0.05)
    return found


@pytest.mark.slow
def test_gradient_through_the_steps_is_that_of_the_bound():
    """For encoder and decoder, by finite differences. Steps that count as constants leave some of it out."""
    assert max(distances(make(num_steps=3)).values()) < 5e-3
    cut = distances(make(num_steps=3, differentiable=False))
    assert max(value for path, value in cut.items() if "decoder" in path) > 0.05
    assert max(value for path, value in cut.items() if "encoder" in path) > 0.05


def sensitivity(model):
    """Of each image, the length of a gradient of 1 by the refined mean, gone back to what the encoder gave."""
    posterior = model.posterior
    loc, scale = posterior(X)
    log_scale = tf.math.log(scale)
    with tf.GradientTape() as tape:
        tape.watch((loc, log_scale))
        vars(posterior)["call"] = lambda *_, **__: (loc, tf.exp(log_scale))
        refined = posterior.distribution(X, training=True).mean()
        climbed = tf.reduce_sum(refined[:, 0])
    return tf.norm(tf.concat(tape.gradient(climbed, (loc, log_scale)), axis=-1), axis=-1).numpy()


@pytest.mark.slow
def test_steps_do_not_multiply_a_gradient(monkeypatch):
    """A decoder so steep that the steps overshoot: untamed, one image's gradient would outweigh all others."""

    def steep():
        model = make(num_steps=5)
        for variable in model.generative.decoder.trainable_variables:
            variable.assign(3.0 * variable)
        return model

    assert sensitivity(steep()).max() <= 3.0 + 1e-4
    monkeypatch.setattr(semi_amortized, "_ends_of_the_steps", lambda: 2 * [lambda *pair: pair])
    assert sensitivity(steep()).max() > 6.0


@pytest.mark.slow
def test_without_differentiating_the_steps_are_constants():
    model = make(num_steps=3, differentiable=False)
    loc, scale = model.posterior(X)
    refined = model.posterior.distribution(X)
    shift, stretch = refined.mean() - loc, refined.stddev() / scale
    variables = [variable.value for variable in model.posterior.trainable_variables]
    with tf.GradientTape() as tape:
        loc, scale = model.posterior(X)
        q = tfp.distributions.MultivariateNormalDiag(loc + shift, scale * stretch)
        z = q.sample([K], seed=tf.random.split(SEED, 3)[0])
        bound = tf.reduce_mean(model.objective(model.generative.log_joint(X, z) - q.log_prob(z)))
    expected, (by_variable, _) = tape.gradient(bound, variables), gradients_and_bound(model)
    for (variable, found), like in zip(by_variable[-len(variables) :], expected, strict=True):
        np.testing.assert_allclose(found, like, rtol=1e-3, atol=1e-5, err_msg=variable.path)


@pytest.mark.slow
@pytest.mark.parametrize("differentiable", [True, False])
def test_no_step_leaves_the_range_of_the_scales(differentiable):
    found = [
        np.log(make(differentiable=differentiable, log_scale_range=ends).posterior.distribution(X).stddev())
        for ends in (None, (-0.05, 0.02))
    ]
    assert found[0].min() < -0.1
    np.testing.assert_array_less(found[1], 0.02 + 1e-5)
    np.testing.assert_array_less(-0.05 - 1e-5, found[1])
    assert found[1].min() < -0.05 + 1e-5


@pytest.mark.slow
def test_an_image_has_one_posterior_whatever_is_beside_it():
    posterior = make().posterior
    np.testing.assert_allclose(posterior.mean(X)[1:], posterior.mean(X[1:]), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_estimators_and_options():
    for estimator in ("dreg", "vimco", "rws"):
        with pytest.raises(ValueError, match=r"`estimator`. Expected 'reparameterized' .*differentiable=False"):
            make(estimator)
        assert make(estimator, differentiable=False).posterior.total_only == ""
    for options in ({"num_draws": 3}, {"step_size": 0.0}, {"differentiable": "no"}, {"differentiable": 0}):
        with pytest.raises(ValueError, match=f"`{next(iter(options))}`"):
            make(**options)
    assert make(differentiable=np.bool_(False)).posterior.get_config()["differentiable"] is False
    alone = SemiAmortizedPosterior(dense_encoder((6,)), 2)
    with pytest.raises(ValueError, match="in a model"):
        alone.distribution(X)


@pytest.mark.slow
def test_trains_saves_loads_and_is_exported(tmp_path):
    model = make(num_steps=1, differentiable=False)
    model.compile(FusedAdam(1e-2))
    model.train_on_batch(X)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    assert (loaded.posterior.num_steps, loaded.posterior.differentiable) == (1, False)
    np.testing.assert_array_equal(loaded.log_weights(X, K, SEED), model.log_weights(X, K, SEED))
    folder = export_saved_model(model, tmp_path / "serving")
    served = tf.saved_model.load(str(folder)).signatures["encode"](images=tf.constant(X))
    np.testing.assert_allclose(served["mean"], model.posterior.mean(X), rtol=1e-4, atol=1e-5)
    set_steps(model.posterior, 0)
    assert np.abs(served["mean"] - model.posterior.mean(X)).max() > 0.05
