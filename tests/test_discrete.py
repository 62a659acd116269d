"""Binary latents: with three of them all eight states can be listed, so log p(x) and every density are exact."""

import itertools
import json
import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_iwae.evaluation.streaming import stream_log_weights
from keras_iwae.likelihoods import BernoulliLikelihood
from keras_iwae.models.generative import GenerativeModel
from keras_iwae.networks.dense import dense_decoder, dense_encoder
from keras_iwae.posteriors.bernoulli import BernoulliPosterior
from keras_iwae.priors.bernoulli import BernoulliPrior

SEED = tf.constant([11, 0])
IMAGE_SHAPE = (4, 3, 1)
STATES = np.array(list(itertools.product((0.0, 1.0), repeat=3)), np.float32)


@pytest.fixture(scope="module")
def parts():
    posterior = BernoulliPosterior(dense_encoder((8,), seed=1), 3, seed=2)
    generative = GenerativeModel(
        dense_decoder((8,), seed=4), BernoulliPrior(3), BernoulliLikelihood(), IMAGE_SHAPE, seed=5
    )
    posterior.build((None, *IMAGE_SHAPE))
    generative.build((None, 3))
    # Larger weights than the initial ones, so that the latents matter.
    for variable in (*posterior.trainable_variables, *generative.trainable_variables):
        variable.assign(2.0 * variable + 0.1)
    return SimpleNamespace(posterior=posterior, generative=generative)


def enumerated_log_evidence(parts, x):
    """log p(x) `[B]`, as a sum over all states in float64."""
    logits = parts.generative(STATES).numpy().astype(np.float64).reshape(8, -1)
    log_likelihood = x.reshape(len(x), -1) @ logits.T - np.logaddexp(0.0, logits).sum(axis=1)
    return np.logaddexp.reduce(log_likelihood, axis=1) - 3.0 * math.log(2.0)


def probabilities64(parts, x):
    """q(z_d = 1 | x) `[B, D]`, in float64 and NumPy."""
    features, head = parts.posterior.encoder(x).numpy().astype(np.float64), parts.posterior.heads[0]
    return 1.0 / (1.0 + np.exp(-(features @ head.kernel.numpy() + head.bias.numpy())))


def state_probabilities(parts, x):
    """q(z|x) of each state, `[8, B]`, in float64."""
    p = probabilities64(parts, x)
    return np.prod(np.where(STATES[:, np.newaxis] == 1.0, p, 1.0 - p), axis=-1)


def test_log_densities_are_exact(parts, images):
    states = np.repeat(STATES[:, np.newaxis], len(images), axis=1)
    exact = state_probabilities(parts, images)
    np.testing.assert_allclose(exact.sum(axis=0), np.ones(7), rtol=1e-12)
    np.testing.assert_allclose(parts.posterior.log_prob(states, images), np.log(exact), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(parts.generative.log_prior(states), np.full((8, 7), -3.0 * math.log(2.0)), rtol=1e-6)
    np.testing.assert_allclose(parts.posterior.mean(images), probabilities64(parts, images), rtol=1e-5)
    log_joint = parts.generative.log_joint(images, states)
    np.testing.assert_allclose(
        tf.reduce_logsumexp(log_joint, axis=0), enumerated_log_evidence(parts, images), rtol=1e-5
    )


@pytest.mark.statistical
def test_states_are_drawn_as_often_as_they_are_likely(parts, images):
    count = 20_000
    z, log_q = parts.posterior.sample_and_log_prob(images, count, SEED)
    assert z.dtype == log_q.dtype == tf.float32
    assert set(np.unique(z)) == {0.0, 1.0}
    exact = state_probabilities(parts, images)
    index = (z.numpy() @ np.array([4, 2, 1])).astype(int)
    frequencies = np.stack([(index == state).mean(axis=0) for state in range(8)])
    error = np.sqrt(exact * (1.0 - exact) / count)
    np.testing.assert_array_less(np.abs(frequencies - exact), 4.0 * error)
    # The same frequencies against another image's probabilities.
    assert np.any(np.abs(frequencies - np.roll(exact, 1, axis=1)) > 20.0 * error)
    fair = parts.generative.prior.sample(count, SEED).numpy()
    assert set(np.unique(fair)) == {0.0, 1.0}
    np.testing.assert_array_less(np.abs(fair.mean(axis=0) - 0.5), 4.0 * 0.5 / math.sqrt(count))


@pytest.mark.statistical
def test_bernoulli_nll_reaches_the_sum_over_states(parts, images):
    count = 5000
    truth = enumerated_log_evidence(parts, images)
    stream = tf.function(
        lambda x: stream_log_weights(parts, x, tf.constant(count), SEED, [1, 10, count], 500), autograph=False
    )
    streamed = stream(tf.constant(images))
    # The variance of a weight is a sum over eight states, so the standard error is exact too.
    q = state_probabilities(parts, images)
    states = np.repeat(STATES[:, np.newaxis], len(images), axis=1)
    relative = np.exp(parts.generative.log_joint(images, states).numpy() - np.log(q) - truth)
    error = np.sqrt(((q * relative**2).sum(axis=0) - 1.0) / count)
    np.testing.assert_array_less(np.abs(streamed.bounds[-1] - truth), 4.0 * error)
    single, ten, all_of_them = np.mean(streamed.bounds, axis=1)
    assert single < ten < all_of_them
    assert all_of_them - single > 0.1
    # A prior of normals in place of coins, as of a model with Gaussian latents, is caught: the estimate's limit is off.
    log_normal = (-0.5 * STATES**2 - 0.5 * math.log(2.0 * math.pi)).sum(axis=1) + 3.0 * math.log(2.0)
    wrong = np.log((q * relative * np.exp(log_normal)[:, np.newaxis]).sum(axis=0))
    assert np.all(np.abs(wrong) > 4.0 * error)


def test_gradient_reaches_every_weight_but_not_through_the_draws(parts, images):
    variables = [variable.value for variable in parts.posterior.trainable_variables]
    with tf.GradientTape(persistent=True) as tape:
        z, log_q = parts.posterior.sample_and_log_prob(images, 5, SEED)
        score, through_z = tf.reduce_sum(log_q), tf.reduce_sum(z)
    assert all(np.abs(gradient).max() > 1e-3 for gradient in tape.gradient(score, variables))
    assert tape.gradient(through_z, variables) == [None] * len(variables)


def test_reparameterization_is_refused(parts, images):
    assert not parts.posterior.reparameterized
    q = parts.posterior.distribution(images)
    with pytest.raises(ValueError, match='"vimco", "reinforce" or "rws"'):
        parts.posterior.reparameterize(q, q.sample([5], seed=SEED))


def test_configuration_survives_saving(parts, images):
    def through_json(layer):
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
        copy = keras.saving.deserialize_keras_object(config)
        if not copy.built:
            copy.build((None, *IMAGE_SHAPE))
        copy.set_weights(layer.get_weights())
        return copy

    posterior, generative = through_json(parts.posterior), through_json(parts.generative)
    z, log_q = parts.posterior.sample_and_log_prob(images, 5, SEED)
    for ours, theirs in zip(posterior.sample_and_log_prob(images, 5, SEED), (z, log_q), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(generative.log_joint(images, z), parts.generative.log_joint(images, z))
    assert isinstance(generative.prior, BernoulliPrior)
    assert generative.latent_dim == 3
