"""Posteriors and likelihoods of a user's own with a mistake in them: refused by name when the model is made."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae import IWAE
from keras_iwae.foundation import Support
from keras_iwae.likelihoods import Likelihood
from keras_iwae.posteriors import Posterior

tfd = tfp.distributions
X = (np.random.default_rng(0).random((4, 6)) < 0.4).astype(np.float32)


class Own(Posterior):
    latent_dim = 2

    def build(self, shape):
        self.dense = keras.layers.Dense(2)
        self.dense.build(shape)
        self.built = True

    def distribution(self, x, training=False):
        return tfd.MultivariateNormalDiag(self.dense(x), tf.ones_like(self.dense(x)))


class Sum(tfd.MultivariateNormalDiag):
    def log_prob(self, value, **options):
        return tf.reduce_sum(super().log_prob(value))


class NoDensity(tfd.MultivariateNormalDiag):
    def _log_prob(self, value):
        raise NotImplementedError("none\nhere")


def gives(make, **attributes):
    """A posterior whose distribution is made of what its dense layer gives for x."""
    return type("Odd", (Own,), {"distribution": lambda self, x, training=False: make(self.dense(x)), **attributes})


def draws(make):
    """A posterior whose draws and densities are made of K and B."""
    return type("Odd", (Own,), {"sample_and_log_prob": lambda self, x, k, seed, training=False: make(k, len(x))})


def diagonal(loc, scale=1.0, kind=tfd.MultivariateNormalDiag):
    return kind(loc, scale * tf.ones_like(loc))


POSTERIORS = {
    "no latent units": (type("Odd", (Posterior,), {}), "`latent_dim`, its latent units"),
    "no distribution": (type("Odd", (Posterior,), {"latent_dim": 2}), "`distribution`. .* with none"),
    "another density": (gives(diagonal, density="exakt"), "`density`, one of .* with 'exakt'"),
    "a tensor": (gives(lambda loc: loc), "a TFP distribution. .* with a EagerTensor"),
    "entries apart": (gives(lambda loc: tfd.Normal(loc, 1.0)), r"event shape \[2\]. .* batch shape \[3, 2\]"),
    "other latent units": (gives(diagonal, latent_dim=3), r"event shape \[3\]. .* event shape \[2\]"),
    "one for all rows": (gives(lambda loc: diagonal(loc[:1])), r"batch shape \[B\] .* batch shape \[1\]"),
    "no training": (type("Odd", (Own,), {"distribution": lambda self, x: diagonal(self.dense(x))}), "with TypeError"),
    "no density": (gives(lambda loc: diagonal(loc, kind=NoDensity)), "NotImplementedError: none here"),
    "NaN": (gives(lambda loc: diagonal(loc, np.nan)), "are numbers. .* with NaN"),
    "float64": (gives(lambda loc: diagonal(tf.cast(loc, tf.float64))), "float32 .* with float64"),
    "one density for all": (gives(lambda loc: diagonal(loc, kind=Sum)), r"float32 \[K, B\]. .* float32 \[\]"),
    "mixed rows": (gives(lambda loc: diagonal(loc - tf.reduce_mean(loc, 0))), "each row by itself"),
    "no axis of draws": (
        draws(lambda k, b: (tf.zeros([k, b, 2]), tf.zeros([b]))),
        r"\[K, B\]. .* float32 \[3\] for K = 2",
    ),
    "draws last": (draws(lambda k, b: (tf.zeros([k, b, 2]), tf.zeros([b, k]))), r"\[K, B\]. .* float32 \[3, 2\]"),
    "rows first": (draws(lambda k, b: (tf.zeros([b, k, 2]), tf.zeros([k, b]))), r"\[K, B, 2\]. .* float32 \[3, 2, 2\]"),
}


@pytest.mark.parametrize("name", POSTERIORS)
def test_a_posterior_with_a_mistake_is_refused(name):
    kind, said = POSTERIORS[name]
    with pytest.raises(ValueError, match=rf"^Invalid .*`posterior`\. Expected a class with .*{said}.*$"):
        IWAE(6, hidden=(3,), num_samples=3, posterior=kind())


class Coins(Likelihood):
    support = Support(0.0, 1.0)

    def entries(self, parameters):
        return tfd.Bernoulli(parameters, dtype=tf.float32)


def log_probs(change):
    return type("Odd", (Coins,), {"log_prob": lambda self, x, f, mask=None: change(Coins.log_prob(self, x, f, mask))})


def entries(make, **attributes):
    return type("Odd", (Coins,), {"entries": lambda self, parameters: make(parameters), **attributes})


LIKELIHOODS = {
    "no axis of draws": (log_probs(lambda found: found[0]), r"float32 \[K, B\]. .* float32 \[3\] for K = 2"),
    "draws last": (log_probs(tf.transpose), r"float32 \[3, 2\]"),
    "one for all": (log_probs(tf.reduce_mean), r"float32 \[\]"),
    "float64": (log_probs(lambda found: tf.cast(found, tf.float64)), "float64"),
    "NaN": (log_probs(lambda found: found * np.nan), "a number for x = 0 .* with NaN"),
    "no mask": (type("Odd", (Coins,), {"log_prob": lambda self, x, features: None}), "`log_prob` can be called"),
    "nothing": (entries(lambda parameters: None), "a TFP distribution. .* with a NoneType"),
    "a scale below 0": (entries(lambda p: tfd.Normal(p, -1.0)), "with NaN"),
    "an error": (entries(lambda p: p["loc"]), "`entries` can be called. .* with TypeError"),
}


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_likelihood_with_a_mistake_is_refused(name):
    kind, said = LIKELIHOODS[name]
    with pytest.raises(ValueError, match=rf"^Invalid .*`likelihood`\. Expected .*{said}.*$"):
        IWAE(6, latent_dim=2, hidden=(3,), num_samples=3, likelihood=kind())


@pytest.mark.parametrize("wrong", [0, 2.0, "2"])
def test_numbers_of_parameters_are_named(wrong):
    with pytest.raises(ValueError, match=r"`parameters`\. Expected an integer of at least 1"):
        IWAE(6, latent_dim=2, hidden=(3,), likelihood=type("Odd", (Coins,), {"parameters": wrong})())


def test_what_has_no_mistake_trains_and_a_path_that_nobody_knows_is_named():
    model = IWAE(6, hidden=(3,), num_samples=3, posterior=Own(), likelihood=Coins())
    model.compile("sgd", run_eagerly=True)
    assert np.isfinite(model.train_on_batch(X)[0])
    independent = gives(lambda loc: tfd.Independent(tfd.Normal(loc, 1.0), 1))
    for backward_samples in (None, 2):
        model = IWAE(6, hidden=(3,), num_samples=3, posterior=independent(), backward_samples=backward_samples)
        model.compile("sgd", run_eagerly=True)
        if backward_samples is None:
            assert np.isfinite(model.train_on_batch(X)[0])
        else:
            with pytest.raises(ValueError, match=r"`posterior`\. Expected a class with `reparameterize\(.*Independent"):
                model.train_on_batch(X)
