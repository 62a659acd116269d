"""What was done to a layer of a model is in what is saved and copied of it, or is refused there."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae import AVB, IWAE
from keras_iwae.evaluation import pruned
from keras_iwae.posteriors import AmortizedPosterior, GaussianPosterior

tfd = tfp.distributions

X = np.random.default_rng(0).integers(0, 2, (8, 6)).astype(np.float32)


def dense():
    return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(5, "tanh"), keras.layers.Dropout(0.1)])


def make(kind=IWAE, **options):
    keras.utils.set_random_seed(0)
    return kind(6, **{"latent_dim": 2, "num_samples": 2, **options})


def relu(model):
    model.posterior.encoder.layers[1].activation = keras.activations.relu


def less_dropout(model):
    model.posterior.encoder.layers[2].rate = 0.5


@keras.saving.register_keras_serializable("tests")
class Scaled(keras.layers.Layer):
    """A class of a user's own whose setting can be changed, with a network in it."""

    def __init__(self, inner, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.inner, self.factor = inner, factor

    def build(self, shape):
        if not self.inner.built:
            self.inner.build(shape)

    def call(self, x):
        return self.factor * self.inner(x)

    def get_config(self):
        inner = keras.saving.serialize_keras_object(self.inner)
        return {**super().get_config(), "inner": inner, "factor": self.factor}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "inner": keras.saving.deserialize_keras_object(config["inner"])})


@keras.saving.register_keras_serializable("tests")
class Gated(AmortizedPosterior):
    """A posterior of a user's own: a layer is made in `build`, and others when they are called first."""

    def __init__(self, encoder, latent_dim, fill=float("nan"), **kwargs):
        super().__init__(encoder, latent_dim, **kwargs)
        self.gate, self.fill = keras.Sequential([keras.layers.Dense(5), keras.layers.Dense(2)]), fill

    def build(self, shape):
        super().build(shape)
        self.loc = keras.layers.Dense(2)
        self.loc.build((None, 5))

    def call(self, x, training=None):
        features = self.encoder(x)
        return self.loc(features) + self.gate(features)

    def distribution(self, x, training=None):
        return tfd.MultivariateNormalDiag(self(x), tf.ones([2]))

    def get_config(self):
        return {**super().get_config(), "fill": self.fill}


def double(model):
    model.posterior.encoder.factor = 2.0


def as_measured(model):
    model.posterior.encoder.factor = np.float32(1.5)


GIVEN = {
    "an activation": (lambda: {"encoder": dense(), "hidden": (4,)}, relu),
    "an activation, in a posterior": (lambda: {"posterior": GaussianPosterior(dense(), 2), "hidden": (4,)}, relu),
    "a share that is dropped": (lambda: {"encoder": dense(), "hidden": (4,)}, less_dropout),
    "a setting of an own class": (lambda: {"encoder": Scaled(keras.layers.Dense(5)), "hidden": (4,)}, double),
    "a number of NumPy's": (lambda: {"encoder": Scaled(keras.layers.Dense(5)), "hidden": (4,)}, as_measured),
    "in an own posterior": (lambda: {"posterior": Gated(dense(), 2), "hidden": (4,)}, relu),
}


@pytest.mark.parametrize("name", GIVEN)
def test_a_network_that_was_given_is_saved_as_it_is(name, tmp_path):
    options, change = GIVEN[name]
    model = make(**options())
    before, made = model(X), model.get_config()
    change(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(X), model(X))
    if change is less_dropout:
        assert loaded.posterior.encoder.layers[2].rate == 0.5
    else:
        assert np.abs(loaded(X) - before).max() > 1e-3
    assert model.get_config() != made


@pytest.mark.parametrize("given", [{}, {"encoder": dense}])
def test_what_acts_on_weights_is_saved_in_them(given, tmp_path):
    model = make(hidden=(4,), **{name: network() for name, network in given.items()})
    made, layer = model.get_config(), model.posterior.encoder.layers[1]
    layer.kernel_regularizer = keras.regularizers.L2(0.1)
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(np.ones_like(layer.lora_kernel_b))
    model.save(tmp_path / "model.keras")
    assert model.get_config() == made
    np.testing.assert_allclose(keras.saving.load_model(tmp_path / "model.keras")(X), model(X), rtol=1e-5)


def test_a_part_that_makes_layers_when_it_is_called_is_saved(tmp_path):
    model = make(posterior=Gated(dense(), 2), hidden=(4,))
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(X), model(X))


def test_what_is_pruned_is_a_copy_of_the_model_as_it_is():
    model = make(encoder=dense(), hidden=(4,))
    relu(model)
    np.testing.assert_array_equal(pruned(model, np.array([True, True])).posterior.mean(X), model.posterior.mean(X))


@pytest.mark.slow
def test_the_configuration_of_a_model_that_trains_stays_what_it_was(tmp_path):
    model = make(encoder=dense(), hidden=(4,))
    made = model.get_config()
    model.compile("adam", run_eagerly=True)
    model.train_on_batch(X)
    model.save(tmp_path / "model.keras")
    model.posterior.encoder.trainable = False
    assert {**model.get_config(), "trainable_layers": 0} == {**made, "trainable_layers": 0}
    # What is changed back too.
    relu(model)
    model.posterior.encoder.layers[1].activation = keras.activations.tanh
    assert {**model.get_config(), "trainable_layers": 0} == {**made, "trainable_layers": 0}


def head(model):
    model.posterior.loc_head.activation = keras.activations.tanh


def likelihood_head(model):
    model.generative.likelihood.head.activation = keras.activations.tanh


def decoder(model):
    model.generative.decoder.layers[0].activation = keras.activations.relu


def discriminator(model):
    layers = model.discriminator._flatten_layers()
    next(each for each in layers if type(each) is keras.layers.Dense).activation = keras.activations.relu


DESCRIBED = {
    "encoder": (lambda: make(hidden=(4,)), relu, "encoder`.*dense.* in `activation`"),
    "decoder": (lambda: make(hidden=(4,)), decoder, "decoder`.* in `activation`"),
    "heads": (lambda: make(hidden=(4,)), head, "posterior`.* in `activation`"),
    "heads of a posterior that was given": (
        lambda: make(hidden=(4,), posterior=GaussianPosterior(dense(), 2)),
        head,
        "posterior`.* in `activation`",
    ),
    "head of the likelihood": (lambda: make(hidden=(4,)), likelihood_head, "likelihood`.* in `activation`"),
    "discriminator": (lambda: make(AVB, hidden=(4,)), discriminator, "model`.* in `activation`"),
}


@pytest.mark.parametrize("name", DESCRIBED)
def test_what_no_configuration_says_is_refused_where_it_is_saved(name, tmp_path):
    model, change, said = DESCRIBED[name]
    model = model()
    change(model)
    with pytest.raises(ValueError, match=said):
        model.save(tmp_path / "model.keras")
    assert not list(tmp_path.iterdir())
