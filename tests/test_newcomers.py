"""What someone new to the package gave it, that was taken without a word or refused without a name."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae import IWAE
from keras_iwae.bounds.objectives import Objective
from keras_iwae.bounds.terms import Term
from keras_iwae.foundation import Support
from keras_iwae.likelihoods import Likelihood
from keras_iwae.priors import Prior

tfd = tfp.distributions
X = (np.random.default_rng(0).random((20, 6)) < 0.4).astype(np.float32)


def small(**given) -> IWAE:
    return IWAE(6, **{"latent_dim": 2, "hidden": (4,), "num_samples": 3, **given})


@pytest.mark.slow
def test_a_model_that_is_called_sees_what_predict_does():
    model = small(missing="nan")
    masked = np.ma.masked_array(X, X > 0.0)
    expected = model.predict(masked, verbose=0)
    assert np.abs(expected - model.predict(X, verbose=0)).max() > 1e-3
    for given in (masked, np.where(X > 0.0, np.nan, X).astype(object), {"x": masked}, masked.filled(np.nan).tolist()):
        np.testing.assert_allclose(model(given), expected, rtol=1e-5)
    key = tf.constant([0, 1])
    np.testing.assert_array_equal(model.log_weights(masked, 3, key), model.log_weights(masked.filled(np.nan), 3, key))
    with pytest.raises(ValueError, match=r"`x`. Expected values"):
        small()(X + 1.0)


@pytest.mark.slow
def test_a_checkpoint_of_another_warm_up_starts_the_models_own(tmp_path):
    trained, other = small(kl_warmup_steps=3), small(kl_warmup_steps=50)
    for model in (trained, other):
        model.compile("sgd")
    trained.fit(X, batch_size=10, epochs=3, verbose=0)
    path = tf.train.Checkpoint(model=trained).save(str(tmp_path / "weights"))
    tf.train.Checkpoint(model=other).restore(path)
    other.fit(X, batch_size=10, epochs=1, verbose=0)
    np.testing.assert_array_equal(other.rng, [2, 50])
    again = small(kl_warmup_steps=3)
    again.compile("sgd")
    tf.train.Checkpoint(model=again).restore(path)
    again.fit(X, batch_size=10, epochs=1, verbose=0)
    np.testing.assert_array_equal(again.rng, [8, 3])


@pytest.mark.slow
@pytest.mark.parametrize("steps", [0, -1, 1.5, "2"])
@pytest.mark.parametrize("method", ["evaluate", "predict"])
def test_numbers_of_batches_are_named(method, steps):
    model = small()
    model.compile("sgd")
    with pytest.raises(ValueError, match=r"`steps`\. Expected an integer of at least 1"):
        getattr(model, method)(X, steps=steps)


@pytest.mark.slow
@pytest.mark.parametrize("second", [np.zeros(20), X])
def test_labels_of_validation_data_are_refused_as_those_of_training_are(second):
    model = small()
    model.compile("sgd")
    with pytest.raises(ValueError, match=r"`validation_data`. Expected examples, or a tuple of examples, None and"):
        model.fit(X, validation_data=(X, second), verbose=0)
    fit = model.fit(X, validation_data=(X, None, np.ones(20)), verbose=0)
    assert "val_loss" in fit.history


def test_what_is_a_hair_above_the_support_is_shown_and_clipped():
    with pytest.raises(ValueError, match=r"clip what is rounding\. Received: values in \[0, 1\.00000[0-9]+\]"):
        small().predict(X * np.float32(1.0 + 1e-6), verbose=0)
    with pytest.raises(ValueError, match="divide 8-bit images by 255"):
        small().predict(X * 255.0, verbose=0)


class Method(Prior):
    def distribution(self):
        return tfd.MultivariateNormalDiag(tf.zeros(2))


class NoDraws(Prior):
    def log_prob(self, z, training=False):
        return tfd.MultivariateNormalDiag(tf.zeros(2)).log_prob(z)


class Broken(Prior):
    def sample(self, num_samples, seed):
        raise ArithmeticError("no number")


class Bounded(Prior):
    @property
    def distribution(self):
        return tfd.Independent(tfd.Uniform(-tf.ones(2), 1.0), 1)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Method, "`distribution` is a property, .* Method, with a method"),
        (NoDraws, "has `distribution`, a property, or `sample` and `log_prob`: its `sample` asks for it"),
        (Broken, "`sample` can be called. Received: Broken, with ArithmeticError: no number"),
        (Bounded, "a density wherever the posterior draws. Received: a Bounded"),
    ],
)
def test_priors_with_a_mistake_are_named(kind, said):
    with pytest.raises(ValueError, match=rf"`prior`\. Expected .*{said}"):
        small(prior=kind(2))


class Noisy(keras.layers.Layer):
    def call(self, x):
        return x + tf.random.normal(tf.shape(x))


class Counting(keras.layers.Layer):
    def build(self, shape):
        self.n = self.add_weight(shape=(), initializer="zeros", trainable=False, name="n")

    def call(self, x):
        self.n.assign_add(1.0)
        return x * self.n


class Log(keras.layers.Layer):
    def call(self, x):
        return keras.ops.log(x - 1.0)


@pytest.mark.parametrize("argument", ["encoder", "decoder"])
@pytest.mark.parametrize(
    ("layer", "said"), [(Noisy, "the same features of the same rows"), (Counting, "the same"), (Log, "finite features")]
)
def test_networks_that_are_no_function_are_refused(argument, layer, said):
    network = keras.Sequential([keras.layers.Dense(4), keras.layers.Activation("sigmoid"), layer()])
    with pytest.raises(ValueError, match=rf"`{argument}`\. Expected {said}"):
        small(**{argument: network})


@pytest.mark.slow
def test_networks_that_draw_in_training_alone_are_taken():
    network = keras.Sequential([keras.layers.Dense(4), keras.layers.Dropout(0.5), keras.layers.GaussianNoise(1.0)])
    model = small(encoder=network)
    model.compile("sgd")
    assert np.isfinite(model.fit(X, verbose=0).history["loss"]).all()


def test_what_training_cannot_mean_is_refused():
    model = small(missing="nan")
    model.compile("sgd")
    with pytest.raises(ValueError, match=r"`x`\. Expected at least one entry that was observed"):
        model.fit(np.full((20, 6), np.nan), verbose=0)
    for rate in (-0.1, np.nan):
        with pytest.raises(ValueError, match=r"`optimizer`\. Expected one whose learning rate is at least 0"):
            small().compile(keras.optimizers.Adam(rate))
    with pytest.raises(ValueError, match=r"`run_eagerly`\. Expected a boolean|`run_eagerly`\. Expected True"):
        small().compile("sgd", run_eagerly="yes")

    class Own(IWAE):
        def build(self, input_shape=None):
            self.built = True

    with pytest.raises(ValueError, match=r"definition of `build`. Expected none, or one that calls super"):
        Own(6, latent_dim=2, hidden=(4,))


@pytest.mark.parametrize("name", ["model.h5", "model.hdf5"])
def test_a_format_that_cannot_be_loaded_is_not_saved(tmp_path, name):
    with pytest.raises(ValueError, match=r"`filepath`\. Expected a file that ends in \.keras"):
        small().save(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("coefficients", [(0.0,), (-1.0,), (0.5, -0.75)])
def test_terms_that_are_no_bound_are_refused(coefficients):
    class Own(Objective):
        def terms(self, num_samples, parameter=None):
            return tuple(Term(each, num_samples) for each in coefficients)

        def get_config(self):
            return {}

        @classmethod
        def from_config(cls, config):
            return cls()

    with pytest.raises(ValueError, match=r"`objective`\. Expected .*`terms` whose coefficients sum to more than 0"):
        small(objective=Own())


@pytest.mark.parametrize("axis", [0, 1])
def test_a_likelihood_that_mixes_events_is_refused(axis):
    class Mixing(Likelihood):
        support = Support(0.0, 1.0)

        def entries(self, parameters):
            return tfd.Bernoulli(parameters - tf.reduce_mean(parameters, axis, keepdims=True), dtype=tf.float32)

    with pytest.raises(ValueError, match=r"`likelihood`\. Expected a class whose"):
        small(likelihood=Mixing())


def test_a_likelihood_that_draws_is_refused():
    class Drawing(Likelihood):
        support = Support(0.0, 1.0)

        def entries(self, parameters):
            return tfd.Bernoulli(parameters + tf.random.normal(tf.shape(parameters)), dtype=tf.float32)

    with pytest.raises(ValueError, match=r"`likelihood`\. Expected a class whose"):
        small(likelihood=Drawing())
