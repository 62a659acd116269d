"""Adversarial variational Bayes: the discriminator's optimum on known densities, and what has no density is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_scripts import error_line

from keras_iwae import AVB, IWAE, experiments, export_saved_model, importance_weighted_nll
from keras_iwae.evaluation.annealed import annealed_nll
from keras_iwae.evaluation.bidirectional import bidirectional_gap
from keras_iwae.evaluation.latents import latents, pairwise_log_posterior
from keras_iwae.evaluation.resampling import resampled_posterior
from keras_iwae.evaluation.sumo import sumo_nll
from keras_iwae.networks.dense import dense_encoder
from keras_iwae.networks.discriminator import Discriminator, discrimination
from keras_iwae.posteriors.implicit import ImplicitPosterior
from keras_iwae.training import runs

SHAPE = (4, 3, 1)
X = (np.random.default_rng(0).random((3, *SHAPE)) < 0.4).astype(np.float32)
TICKS = np.linspace(-8.0, 8.0, 321)
STEP = TICKS[1] - TICKS[0]


def log_normal(z, loc=0.0, scale=1.0):
    return -0.5 * ((z - loc) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2.0 * np.pi)


def test_the_log_ratio_is_the_stationary_point_of_what_the_discriminator_climbs():
    """By quadrature, with a value of T at every point of the grid."""
    log_q = np.logaddexp(log_normal(TICKS, -1.5, 0.5), log_normal(TICKS, 1.0, 0.8)) - np.log(2.0)
    log_r, best = log_normal(TICKS), log_q - log_normal(TICKS)

    def value_and_slope(ratio):
        ratio = tf.constant(ratio)
        with tf.GradientTape() as tape:
            tape.watch(ratio)
            # Each of the two terms alone, with the other's argument where it is nil.
            of_q, of_r = discrimination(ratio, -1e9 * tf.ones_like(ratio)), discrimination(1e9 + 0.0 * ratio, ratio)
            value = STEP * tf.reduce_sum(np.exp(log_q) * of_q + np.exp(log_r) * of_r)
        return float(value), np.abs(tape.gradient(value, ratio)).max()

    value, slope = value_and_slope(best)
    assert slope < 1e-12
    assert -2.0 * np.log(2.0) < value < 0.0
    for wrong in (-best, 0.5 * best, best + 0.3):
        assert value_and_slope(wrong)[0] < value - 1e-3
        assert value_and_slope(wrong)[1] > 1e-4


@pytest.mark.slow
def test_a_trained_discriminator_recovers_the_log_ratio_of_each_image():
    images, scales = np.eye(2, 3, dtype=np.float32), np.array([[0.5, 1.5], [1.0, 0.6]], np.float32)
    locs = np.array([[0.5, 0.0], [-0.6, 0.4]], np.float32)
    discriminator = Discriminator(dense_encoder((8,), seed=1), 2, units=32, seed=2)
    discriminator.build((None, 3))
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.02, 400))
    optimizer.build(discriminator.trainable_variables)

    @tf.function(autograph=False)
    def step(seed):
        noise = tf.random.stateless_normal([2, 500, 2, 2], seed)
        with tf.GradientTape() as tape:
            of_images = discriminator(images)
            of_q = discriminator.given(of_images, locs + scales * noise[0])
            loss = -tf.reduce_mean(discrimination(of_q, discriminator.given(of_images, noise[1])))
        variables = [variable.value for variable in discriminator.trainable_variables]
        optimizer.apply(tape.gradient(loss, variables))

    for index in range(400):
        step(tf.constant([0, index]))
    z = (locs + scales * np.random.default_rng(3).normal(size=(500, 2, 2))).astype(np.float32)
    exact = (log_normal(z, locs, scales) - log_normal(z)).sum(axis=-1)
    found = discriminator.given(discriminator(images), z).numpy()
    assert np.sqrt(np.mean((found - exact) ** 2)) < 0.15
    # That of the other image is not it.
    assert np.sqrt(np.mean((found[:, ::-1] - exact) ** 2)) > 0.5


def make(units=6, **options):
    posterior = ImplicitPosterior(dense_encoder((6,), seed=1), 1, seed=2, noise_dim=2, units=units)
    model = AVB(SHAPE, hidden=(8,), posterior=posterior, num_samples=5, seed=1, **options)
    rng = np.random.default_rng(7)
    for variable in [*posterior.trainable_variables, *model.generative.trainable_variables]:
        gain = 0.3 if "log_scale" in variable.path else 1.5
        variable.assign(gain * variable + 0.2 * rng.normal(size=variable.shape))
    return model


@pytest.mark.slow
def test_with_the_optimal_discriminator_the_elbo_and_the_kl_are_exact():
    """Without noise in its network q is Gaussian and r is q, so T = 0; KL(q || p) has a closed form."""
    model = make()
    model.posterior.given_noise.of_vector.kernel.assign(np.zeros((2, 6)))
    q = model.posterior.distribution(X)
    exact = np.mean(0.5 * (q.mean() ** 2 + q.stddev() ** 2 - 1.0) - np.log(q.stddev()))
    many = np.repeat(X, 300, axis=0)
    model.compile()

    def reported():
        return model.evaluate(many, batch_size=900, verbose=0, return_dict=True)

    assert abs(reported()["kl"] - exact) > 0.05
    model.discriminator.ratio.kernel.assign(np.zeros((200, 1)))
    found = reported()
    # 4,500 draws, each with a variance of about 1.
    assert found["kl"] == pytest.approx(exact, abs=4.0 / np.sqrt(4500))
    assert found["elbo"] == pytest.approx(found["reconstruction"] - found["kl"], abs=1e-4)
    assert found["discrimination"] == pytest.approx(-2.0 * np.log(2.0), abs=1e-5)


@pytest.mark.slow
def test_beside_a_frozen_posterior_the_discriminator_climbs():
    model, many = make(), np.repeat(X, 50, axis=0)
    # A shape that is far from its Gaussian: there is something to find.
    model.posterior.given_noise.of_vector.kernel.assign(4.0 * np.ones((2, 6)) * [1, 1, 1, -1, 0.2, 0.1])
    model.posterior.given_noise.log_scale_head.bias.assign([-2.0])
    model.posterior.trainable = model.generative.trainable = False
    model.compile(keras.optimizers.Adam(0.01))
    history = model.fit(many, batch_size=150, epochs=40, verbose=0).history["discrimination"]
    assert np.mean(history[-5:]) > np.mean(history[:5]) + 0.05


class Unlearned(keras.layers.Layer):
    """A penalized layer that no gradient of the bound reaches."""

    def build(self, shape):
        self.below, self.above = keras.layers.Dense(4, kernel_regularizer="l2"), keras.layers.Dense(4, "tanh")
        self.below.build(shape)
        self.above.build((None, 4))

    def call(self, x):
        return self.above(tf.stop_gradient(self.below(x)))


def test_a_weight_without_a_gradient_pays_its_penalty():
    model = AVB(6, 2, (4,), encoder=Unlearned())
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    kernel = model.posterior.encoder.below.kernel
    before = kernel.numpy()
    model.train_on_batch(X.reshape(6, 6))
    # l2 is 0.01 times the sum of squares.
    np.testing.assert_allclose(kernel, (1.0 - 0.1 * 2.0 * 0.01) * before, rtol=1e-5)


def log_evidence(model):
    z = np.repeat(TICKS[:, np.newaxis, np.newaxis], 3, axis=1).astype(np.float32)
    return np.logaddexp.reduce(model.generative.log_joint(X, z).numpy().astype(np.float64), axis=0) + np.log(STEP)


@pytest.mark.slow
def test_the_likelihood_by_annealing_and_by_a_fitted_proposal():
    model = make()
    exact = -log_evidence(model).mean()
    annealed = annealed_nll(model, X, num_chains=16, num_temperatures=30, num_leapfrog_steps=3, verbose=False)
    assert annealed.nll == pytest.approx(exact, abs=0.1)
    decoder, likelihood = model.generative.decoder, model.generative.likelihood
    decoder.trainable = likelihood.trainable = False
    judge = IWAE(SHAPE, latent_dim=1, hidden=(8,), decoder=decoder, likelihood=likelihood, num_samples=5)
    fixed = [*decoder.weights, *likelihood.weights]
    weights = [weight.numpy().copy() for weight in fixed]
    judge.compile(keras.optimizers.Adam(0.02))
    judge.fit(np.repeat(X, 20, axis=0), epochs=10, verbose=0)
    for weight, start in zip(fixed, weights, strict=True):
        np.testing.assert_array_equal(weight, start)
    assert importance_weighted_nll(judge, X, 2000, verbose=False).nll == pytest.approx(exact, abs=0.1)


def test_what_needs_a_density_is_refused_with_what_to_do():
    model = make()
    refused = [
        lambda: importance_weighted_nll(model, X, 10),
        lambda: sumo_nll(model, X, 10),
        lambda: resampled_posterior(model, X, 2),
        lambda: latents(model, X),
        lambda: pairwise_log_posterior(model, X, np.zeros((len(X), model.latent_dim))),
    ]
    for call in refused:
        with pytest.raises(ValueError, match=r"evaluate_nll.py --method ais.*fitted proposal"):
            call()
    with pytest.raises(ValueError, match=r"only be drawn from"):
        model.posterior.log_prob(np.zeros((5, 3, 1)), X)
    with pytest.raises(ValueError, match=r"`initial`. Expected 'prior'"):
        bidirectional_gap(model, 5, initial="posterior")
    with pytest.raises(ValueError, match=r"`posterior`.*`keras_iwae.AVB` trains"):
        IWAE(SHAPE, latent_dim=2, posterior="adversarial")
    with pytest.raises(ValueError, match=r"`posterior`.*`keras_iwae.IWAE` trains"):
        AVB(SHAPE, latent_dim=2, posterior="gaussian")


def test_a_run_is_not_diagnosed_and_the_script_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "load_model", lambda path: make())
    said = error_line("diagnose", "--model", tmp_path, cwd=tmp_path)
    assert "`model`. Expected one whose log q(z|x) is known" in said
    assert "ImplicitPosterior" in said
    assert not list(tmp_path.iterdir())


def test_a_configuration_by_name():
    config = {"dataset": "digits", "posterior": "adversarial", "hidden": ((8,),), "latent_dim": (2,)}
    assert isinstance(experiments.build(experiments.ExperimentConfig.of(objective="elbo", **config)), AVB)
    for settings in ({}, {"objective": "elbo", "estimator": "dreg"}, {"objective": "elbo", "backward_samples": 2}):
        with pytest.raises(ValueError, match="'adversarial', which has no log weights"):
            experiments.build(experiments.ExperimentConfig.of(**config, **settings))


@pytest.mark.slow
def test_every_weight_is_trained_saved_loaded_and_exported(tmp_path):
    model = make()
    before = [variable.numpy().copy() for variable in model.trainable_variables]
    model.compile(keras.optimizers.Adam(0.01))
    model.train_on_batch(X)
    for variable, start in zip(model.trainable_variables, before, strict=True):
        assert np.abs(variable - start).max() > 1e-6, variable.path
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    for each in (model, loaded):
        each.train_on_batch(X)
    for one, other in zip(model.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)
    with pytest.raises(ValueError, match=r"`max_samples`. Expected None beside a posterior without a density"):
        export_saved_model(model, tmp_path / "serving", max_samples=1000)
    served = tf.saved_model.load(str(export_saved_model(model, tmp_path / "serving"))).signatures
    assert set(served) == {"serving_default", "sample", "sample_n", "decode", "encode", "reconstruct"}
    np.testing.assert_allclose(served["encode"](images=tf.constant(X))["mean"], model.posterior.mean(X), rtol=1e-4)
