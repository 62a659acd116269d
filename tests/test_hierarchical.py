"""Several stochastic layers: densities, draws and derivatives against arithmetic, log p(x) against quadrature."""

import json
import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_iwae.evaluation.streaming import stream_log_weights
from keras_iwae.foundation.numerics import log_mean_exp
from keras_iwae.likelihoods import BernoulliLikelihood
from keras_iwae.models.generative import GenerativeModel
from keras_iwae.networks.dense import dense_decoder, dense_encoder
from keras_iwae.posteriors.gaussian import GaussianPosterior
from keras_iwae.posteriors.hierarchical import HierarchicalPosterior
from keras_iwae.priors.hierarchical import HierarchicalPrior
from keras_iwae.priors.standard_normal import StandardNormalPrior

SEED = tf.constant([11, 0])
IMAGE_SHAPE = (4, 3, 1)


def make_parts(latent_dims=(3, 2), posterior_stretch=2.0):
    """A posterior and a generative model with larger means than the initial ones, and standard deviations about 1."""
    hidden = tuple((6 + i, 5 + i) for i in range(len(latent_dims) - 1))
    posterior = HierarchicalPosterior(dense_encoder((8,), seed=1), latent_dims, hidden, seed=2)
    prior = HierarchicalPrior(latent_dims, hidden, seed=3)
    generative = GenerativeModel(dense_decoder((8,), seed=4), prior, BernoulliLikelihood(), IMAGE_SHAPE, seed=5)
    posterior.build((None, *IMAGE_SHAPE))
    generative.build((None, sum(latent_dims)))
    for part, stretch in ((posterior, posterior_stretch), (generative, 2.0)):
        for variable in part.trainable_variables:
            variable.assign((0.5 if "log_scale" in variable.path else stretch) * variable + 0.1)
    return SimpleNamespace(posterior=posterior, generative=generative)


@pytest.fixture(scope="module")
def parts():
    return make_parts()


def gaussian64(network, inputs):
    """Mean and standard deviation of a dense Gaussian network, in float64 and NumPy."""
    features = np.asarray(inputs, np.float64).reshape(-1, network.encoder.layers[1].kernel.shape[0])
    for layer in network.encoder.layers[1:]:
        features = np.tanh(features @ layer.kernel.numpy().astype(np.float64) + layer.bias.numpy())
    loc, log_scale = (
        features @ head.kernel.numpy().astype(np.float64) + head.bias.numpy()
        for head in (network.loc_head, network.log_scale_head)
    )
    return loc, np.exp(log_scale)


def normal64(z, loc, scale):
    """log N(z; loc, diag(scale^2)) of z `[K, B, D]`, in float64."""
    loc, scale = (parameter.reshape(-1, *z.shape[1:]) for parameter in (loc, scale))
    residual = (np.asarray(z, np.float64) - loc) / scale
    return (-0.5 * residual**2 - np.log(scale) - 0.5 * math.log(2.0 * math.pi)).sum(axis=-1)


def test_log_densities_equal_float64_arithmetic(parts, images):
    z, log_q = parts.posterior.sample_and_log_prob(images, 5, SEED)
    assert z.shape == (5, 7, 5)
    assert log_q.shape == (5, 7)
    z1, z2 = z.numpy()[..., :3], z.numpy()[..., 3:]
    bottom, upper = parts.posterior.bottom, parts.posterior.networks[0]
    expected = normal64(z1, *gaussian64(bottom, images)) + normal64(z2, *gaussian64(upper, z1))
    np.testing.assert_allclose(log_q, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(parts.posterior.log_prob(z, images), expected, rtol=1e-4, atol=1e-4)
    prior = (-0.5 * z2.astype(np.float64) ** 2 - 0.5 * math.log(2.0 * math.pi)).sum(axis=-1)
    prior += normal64(z1, *gaussian64(parts.generative.prior.networks[0], z2))
    np.testing.assert_allclose(parts.generative.log_prior(z), prior, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(parts.generative.prior.log_prob(z[0, 0]), prior[0, 0], rtol=1e-4, atol=1e-4)
    logits = parts.generative.likelihood(parts.generative.decoder(z1.reshape(35, 3))).numpy().reshape(5, 7, -1)
    likelihood = (images.reshape(7, -1) * logits - np.logaddexp(0.0, logits)).sum(axis=-1)
    np.testing.assert_allclose(parts.generative.log_likelihood(images, z), likelihood, rtol=1e-4)


def test_latents_of_float64_have_a_log_density_of_float32(parts):
    z = np.random.default_rng(0).normal(size=(2, 3, 5))
    found = parts.generative.prior.log_prob(z)
    assert found.dtype == tf.float32
    np.testing.assert_array_equal(found, parts.generative.prior.log_prob(z.astype(np.float32)))


def test_three_layers_are_a_chain(images):
    parts = make_parts((3, 2, 4))
    z, log_q = parts.posterior.sample_and_log_prob(images, 5, SEED)
    z1, z2, z3 = np.split(z.numpy(), [3, 5], axis=-1)
    first, second = parts.posterior.networks
    expected = normal64(z1, *gaussian64(parts.posterior.bottom, images))
    expected += normal64(z2, *gaussian64(first, z1)) + normal64(z3, *gaussian64(second, z2))
    np.testing.assert_allclose(log_q, expected, rtol=1e-4, atol=1e-4)
    first, second = parts.generative.prior.networks
    expected = (-0.5 * z3.astype(np.float64) ** 2 - 0.5 * math.log(2.0 * math.pi)).sum(axis=-1)
    expected += normal64(z1, *gaussian64(first, z2)) + normal64(z2, *gaussian64(second, z3))
    np.testing.assert_allclose(parts.generative.log_prior(z), expected, rtol=1e-4, atol=1e-4)
    q = parts.posterior.distribution(images)
    np.testing.assert_allclose(q.reparameterize(z), z, atol=1e-4)


def test_one_layer_is_the_gaussian_posterior_and_the_standard_normal(images):
    one = HierarchicalPosterior(dense_encoder((8,), seed=1), (3,), (), seed=2)
    gaussian = GaussianPosterior(dense_encoder((8,), seed=1), 3, seed=2)
    for ours, theirs in zip(one(images), gaussian(images), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    z = one.sample_and_log_prob(images, 5, SEED)[0]
    np.testing.assert_allclose(one.log_prob(z, images), gaussian.log_prob(z, images), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(HierarchicalPrior((3,), ()).log_prob(z), StandardNormalPrior(3).log_prob(z), rtol=1e-5)


def residual_z_scores(residuals):
    """How many standard errors off are the means, variances and correlations of what should be white noise `[N, D]`."""
    count, size = residuals.shape
    moments = residuals.T @ residuals / count
    expected_error = np.sqrt((1.0 + np.eye(size)) / count)
    return np.abs(residuals.mean(axis=0)) * math.sqrt(count), np.abs(moments - np.eye(size)) / expected_error


@pytest.mark.statistical
def test_draws_have_the_moments_of_the_density(parts, images):
    z = parts.posterior.distribution(images).sample([4000], seed=SEED).numpy()
    loc, scale = gaussian64(parts.posterior.bottom, images)
    above_loc, above_scale = (p.reshape(4000, 7, 2) for p in gaussian64(parts.posterior.networks[0], z[..., :3]))
    residuals = np.concatenate([(z[..., :3] - loc) / scale, (z[..., 3:] - above_loc) / above_scale], axis=-1)
    for scores in residual_z_scores(residuals.reshape(-1, 5)):
        assert scores.max() < 4.0
    mean_loc, mean_scale = gaussian64(parts.posterior.networks[0], loc)
    residuals[..., 3:] = (z[..., 3:] - mean_loc) / mean_scale
    assert residual_z_scores(residuals.reshape(-1, 5))[1].max() > 20.0


@pytest.mark.statistical
def test_prior_draws_have_the_moments_of_the_density(parts):
    prior = parts.generative.prior
    z = prior.sample(20_000, SEED).numpy()
    loc, scale = gaussian64(prior.networks[0], z[:, 3:])
    for scores in residual_z_scores(np.concatenate([(z[:, :3] - loc) / scale, z[:, 3:]], axis=-1)):
        assert scores.max() < 4.0
    np.testing.assert_array_equal(prior.decoded(z), z[:, :3])
    samples = parts.generative.sample(4, SEED)
    assert samples.latents.shape == (4, 5)
    assert samples.events.shape == (4, *IMAGE_SHAPE)
    np.testing.assert_array_equal(samples.latents, parts.generative.sample(4, SEED).latents)


def test_mean_and_stddev_go_layer_by_layer(parts, images):
    loc, scale = gaussian64(parts.posterior.bottom, images)
    above_loc, above_scale = gaussian64(parts.posterior.networks[0], loc)
    q = parts.posterior.distribution(images)
    np.testing.assert_allclose(q.mean(), np.concatenate([loc, above_loc], axis=-1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(q.stddev(), np.concatenate([scale, above_scale], axis=-1), rtol=1e-4)
    np.testing.assert_array_equal(parts.posterior.mean(images), q.mean())


def test_reparameterize_is_the_draw_itself(parts, images):
    variables = [variable.value for variable in parts.posterior.trainable_variables]
    bottom, upper = parts.posterior.bottom, parts.posterior.networks[0]
    noise = np.random.default_rng(0).normal(size=(5, 7, 5)).astype(np.float32)

    def drawn(stop=tf.identity):
        loc, scale = bottom(images)
        z1 = loc + scale * noise[..., :3]
        above_loc, above_scale = (tf.reshape(p, (5, 7, 2)) for p in upper(tf.reshape(stop(z1), (35, 3))))
        return tf.concat([z1, above_loc + above_scale * noise[..., 3:]], axis=-1)

    def gradient(function):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(tf.sin(function()) * tf.range(1.0, 6.0))
        return np.concatenate([part.numpy().ravel() for part in tape.gradient(total, variables)])

    z = drawn()

    def again():
        return parts.posterior.reparameterize(parts.posterior.distribution(images), z)

    np.testing.assert_allclose(again(), z, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gradient(again), gradient(drawn), rtol=1e-3, atol=1e-3)
    assert np.abs(gradient(lambda: drawn(tf.stop_gradient)) - gradient(drawn)).max() > 0.1


@pytest.mark.parametrize("density", ["posterior", "prior"])
def test_gradient_in_z_against_finite_differences(parts, images, density):
    q, z = parts.posterior.distribution(images), parts.posterior.sample_and_log_prob(images, 5, SEED)[0]
    log_prob = q.log_prob if density == "posterior" else parts.generative.log_prior
    with tf.GradientTape() as tape:
        tape.watch(z)
        total = tf.reduce_sum(log_prob(z))
    gradient, step = tape.gradient(total, z).numpy(), 1e-2
    for unit in range(5):
        direction = step * tf.one_hot(unit, 5)
        difference = (log_prob(z + direction) - log_prob(z - direction)) / (2.0 * step)
        np.testing.assert_allclose(gradient[..., unit], difference, rtol=1e-2, atol=2e-2)


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_every_weight_gets_a_gradient(parts, images, jit_compile):
    variables = parts.posterior.trainable_variables + parts.generative.trainable_variables
    assert len(variables) == 2 * (1 + 2 + 2 + 2) + 2 * (2 + 2 + 2)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def gradients():
        with tf.GradientTape() as tape:
            z, log_q = parts.posterior.sample_and_log_prob(images, 5, SEED, training=True)
            log_joint = parts.generative.log_likelihood(images, z, True) + parts.generative.log_prior(z, True)
            bound = tf.reduce_mean(log_mean_exp(log_joint - log_q))
        return tape.gradient(bound, [variable.value for variable in variables])

    for variable, gradient in zip(variables, gradients(), strict=True):
        assert np.abs(gradient).max() > 1e-6, variable.path


def quadrature_log_evidence(parts, x):
    """log p(x) of two layers of one unit each, by the trapezoid rule, in float64, `[B]`."""
    ticks = np.linspace(-10.0, 10.0, 801)
    decoded = parts.generative.decoder(ticks[:, np.newaxis].astype(np.float32))
    logits = parts.generative.likelihood(decoded).numpy().reshape(801, -1)
    logits = logits.astype(np.float64)
    log_likelihood = x.reshape(len(x), -1) @ logits.T - np.logaddexp(0.0, logits).sum(axis=1)
    # Rows are z_1, columns z_2.
    loc, scale = gaussian64(parts.generative.prior.networks[0], ticks)
    log_prior = -0.5 * ((ticks[:, np.newaxis] - loc[:, 0]) / scale[:, 0]) ** 2 - np.log(scale[:, 0])
    log_prior += -0.5 * ticks**2 - math.log(2.0 * math.pi)
    over_z2 = np.logaddexp.reduce(log_prior, axis=1)
    return np.logaddexp.reduce(log_likelihood + over_z2, axis=1) + 2.0 * math.log(ticks[1] - ticks[0])


@pytest.mark.statistical
def test_bernoulli_nll_of_two_layers_reaches_quadrature(images):
    parts, count = make_parts((1, 1), posterior_stretch=0.7), 5000
    # A proposal wide enough to cover the true posterior; else the error of the mean weight cannot be told from draws.
    for network in (parts.posterior.bottom, *parts.posterior.networks):
        network.log_scale_head.bias.assign([0.8])
    # A q(z_2|z_1) that depends on z_1 enough for a wrong z_1 to show.
    head = parts.posterior.networks[0].loc_head
    head.kernel.assign(-2.0 * head.kernel)
    truth = quadrature_log_evidence(parts, images)
    stream = tf.function(
        lambda x: stream_log_weights(parts, x, tf.constant(count), SEED, [1, 50, count], 500), autograph=False
    )
    streamed = stream(tf.constant(images))
    error = 1.0 / np.sqrt(streamed.effective_sample_size)
    assert np.max(error) < 0.1
    np.testing.assert_array_less(np.abs(streamed.bounds[-1] - truth), 4.0 * error)
    single, fifty, all_of_them = np.mean(streamed.bounds, axis=1)
    assert single < fifty < all_of_them
    assert all_of_them - single > 0.3

    q = parts.posterior.distribution(images)
    z = q.sample([count], seed=SEED)
    one_given_two = parts.generative.log_prior(z) - StandardNormalPrior(1).log_prob(z[..., 1:])
    bottom = normal64(z[..., :1].numpy(), q.loc.numpy(), q.scale.numpy())

    def log_q_given(z1):
        """log q with q(z_2|z_1) taken at z1, and q(z_1|x) at the z_1 that was drawn."""
        moved = tf.concat([z1, z[..., 1:]], axis=-1)
        return bottom + q.log_prob(moved) - normal64(z1.numpy(), q.loc.numpy(), q.scale.numpy())

    log_joint, log_q = parts.generative.log_joint(images, z), q.log_prob(z)
    estimates = {
        "right": log_joint - log_q,
        "no log p(z1|z2)": log_joint - one_given_two - log_q,
        "no log q(z2|z1)": log_joint - bottom,
        "q(z2|z1) at another z1": log_joint - log_q_given(tf.roll(z[..., :1], 1, axis=0)),
        "q(z2|z1) at the mean of z1": log_joint - log_q_given(tf.broadcast_to(q.loc, z[..., :1].shape)),
    }
    for name, log_weights in estimates.items():
        weights = np.asarray(log_weights, np.float64)
        estimate = np.logaddexp.reduce(weights, axis=0) - math.log(count)
        # The error of log of a mean is that of the mean over the mean.
        relative = np.exp(weights - estimate)
        error = relative.std(axis=0, ddof=1) / math.sqrt(count)
        assert np.all(np.abs(estimate - truth) < 4.0 * error) == (name == "right"), name


def test_the_encoder_runs_once_for_a_distribution(images):
    calls = []

    class Counting(keras.layers.Flatten):
        def call(self, inputs):
            calls.append(inputs.shape)
            return super().call(inputs)

    posterior = HierarchicalPosterior(Counting(), (3, 2), ((6,),))
    posterior.build((None, *IMAGE_SHAPE))
    calls.clear()
    q = posterior.distribution(images)
    z = q.sample([5], seed=SEED)
    q.log_prob(posterior.reparameterize(q, z))
    q.mean(), q.stddev()
    assert calls == [images.shape]


def test_training_mode_reaches_every_network(parts, images, monkeypatch):
    modes = []
    for network in (*parts.posterior.networks, *parts.generative.prior.networks):
        original = network.encoder.call
        monkeypatch.setattr(
            network.encoder,
            "call",
            lambda x, training=None, original=original, **k: modes.append(training) or original(x),
        )
    z = parts.posterior.distribution(images, training=True).sample(seed=SEED)
    parts.generative.log_prior(z, training=True)
    assert modes == [True, True]
    parts.posterior.log_prob(z, images)
    parts.generative.log_prior(z)
    assert modes[2:] == [False, False]


def test_configuration_and_weights_survive_saving(parts, images, tmp_path):
    def through_json(layer):
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
        return keras.saving.deserialize_keras_object(config)

    class Holder(keras.Model):
        def __init__(self, posterior, generative):
            super().__init__()
            self.posterior, self.generative = posterior, generative
            self.built = True

    copy = SimpleNamespace(posterior=through_json(parts.posterior), generative=through_json(parts.generative))
    copy.posterior.build((None, *IMAGE_SHAPE))
    copy.generative.build((None, 5))
    Holder(parts.posterior, parts.generative).save_weights(tmp_path / "a.weights.h5")
    Holder(copy.posterior, copy.generative).load_weights(tmp_path / "a.weights.h5")
    z, log_q = parts.posterior.sample_and_log_prob(images, 5, SEED)
    for ours, theirs in zip(copy.posterior.sample_and_log_prob(images, 5, SEED), (z, log_q), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(copy.generative.log_joint(images, z), parts.generative.log_joint(images, z))
    assert copy.generative.prior.get_config() == parts.generative.prior.get_config()


def test_log_densities_are_float32_under_mixed_precision(images):
    posterior = HierarchicalPosterior(
        dense_encoder((8,), dtype="mixed_float16"), (3, 2), ((6,),), dtype="mixed_float16"
    )
    prior = HierarchicalPrior((3, 2), ((6,),), dtype="mixed_float16")
    assert posterior.networks[0].encoder.layers[1].compute_dtype == prior.networks[0].encoder.layers[1].compute_dtype
    assert prior.networks[0].encoder.layers[1].compute_dtype == "float16"
    z, log_q = posterior.sample_and_log_prob(images, 5, SEED)
    assert {z.dtype, log_q.dtype, prior.log_prob(z).dtype} == {tf.float32}


def test_no_two_kernels_start_alike():
    posterior = HierarchicalPosterior(dense_encoder((4,), seed=5), (4, 4, 4), ((4, 4), (4, 4)), seed=2)
    prior = HierarchicalPrior((4, 4, 4), ((4, 4), (4, 4)), seed=3)
    posterior.build((None, 4))
    prior.build((None, 12))
    kernels = [v.numpy() for v in posterior.weights + prior.weights if v.path.endswith("kernel")]
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels) == 1 + 2 + 2 * 4 + 2 * 4


@pytest.mark.parametrize("hidden", [(), ((6,), (6,)), ((),), ((0,),)])
def test_hidden_that_does_not_fit_is_refused(hidden):
    with pytest.raises(ValueError, match="`hidden`"):
        HierarchicalPrior((3, 2), hidden)
    with pytest.raises(ValueError, match="`hidden`"):
        HierarchicalPosterior(dense_encoder((8,)), (3, 2), hidden)
