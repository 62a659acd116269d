"""Networks that a step runs more than once are the same network each time, or refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae import IWAE
from keras_iwae.posteriors import Posterior

X = (np.random.default_rng(0).random((8, 6)) < 0.4).astype(np.float32)


def make(**options):
    return IWAE(6, **{"latent_dim": 2, "hidden": (8,), "num_samples": 3, "seed": 3, **options})


class Centred(keras.Layer):
    """Mixes rows in training alone."""

    def call(self, x, training=False):
        return x - tf.reduce_mean(x, axis=0, keepdims=True) if training else x


class Counted(keras.Layer):
    def build(self, input_shape):
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.calls.assign_add(1.0)
        return tf.identity(x)


class Undeclared(keras.Layer):
    """Random in training, by a generator that Keras knows nothing of."""

    def call(self, x, training=False):
        return x + tf.random.normal(tf.shape(x)) if training else x


def frozen():
    layer = keras.layers.BatchNormalization()
    layer.trainable = False
    return layer


TWICE_REFUSED = {
    "Dropout": lambda: keras.layers.Dropout(0.2, name="culprit"),
    "an inner Dropout": lambda: keras.Sequential([keras.layers.Dropout(0.1, name="culprit")]),
    "GaussianNoise": lambda: keras.layers.GaussianNoise(0.01, name="culprit"),
    "BatchNormalization": lambda: keras.layers.BatchNormalization(name="culprit"),
    "SpectralNormalization": lambda: keras.layers.SpectralNormalization(keras.layers.Dense(2), name="culprit"),
    "statistics that never move": lambda: keras.layers.BatchNormalization(momentum=1.0),
    "rows mixed": Centred,
    "calls counted": lambda: Counted(name="culprit"),
    "undeclared": Undeclared,
}
TWICE_TAKEN = {
    "Dropout of nothing": lambda: keras.layers.Dropout(0.0),
    "Normalization": lambda: keras.layers.Normalization(mean=0.3, variance=2.0),
    "LayerNormalization": keras.layers.LayerNormalization,
    "frozen": frozen,
}


def behind(layer):
    return keras.Sequential([keras.layers.Dense(4, "tanh"), layer], name="network")


@pytest.mark.slow
@pytest.mark.parametrize("name", TWICE_REFUSED)
def test_what_differs_between_two_runs_of_a_decoder_is_refused_beside_resampling(name):
    layer = TWICE_REFUSED[name]()
    received = "2 with (culprit, a|network)" if layer.name != "culprit" else "2 with culprit, a"
    with pytest.raises(ValueError, match=rf"`backward_samples`\. Expected None beside.* Received: {received}"):
        make(backward_samples=2, decoder=behind(layer))


@pytest.mark.slow
@pytest.mark.parametrize("name", TWICE_TAKEN)
def test_what_is_the_same_in_two_runs_of_a_decoder_trains_beside_resampling(name):
    decoder = behind(TWICE_TAKEN[name]())
    # The encoder runs once, and may be as random as it likes.
    encoder = keras.Sequential([keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.Dropout(0.3)])
    model = IWAE(6, 2, num_samples=3, backward_samples=2, decoder=decoder, encoder=encoder)
    before = [weight.numpy() for weight in decoder.trainable_weights]
    model.compile("sgd", run_eagerly=True)
    model.train_on_batch(X)
    for weight, value in zip(decoder.trainable_weights, before, strict=True):
        assert np.any(weight.numpy() != value), weight.path


def test_what_is_thawed_is_looked_at_again_and_a_look_leaves_no_trace():
    layer = frozen()
    model = make(backward_samples=2, decoder=behind(layer))
    layer.trainable = True
    before = model.get_weights()
    with pytest.raises(ValueError, match=f"`backward_samples`.* Received: 2 with {layer.name}, a BatchNormalization"):
        model.compile("sgd")
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_dreams_do_not_move_what_an_encoder_keeps_of_images():
    with pytest.raises(ValueError, match=r"`estimator`\. Expected another .*: 'rws' with .*BatchNormalization"):
        make(estimator="rws", encoder=behind(keras.layers.BatchNormalization()))
    # Masks of images and of dreams are terms of a sum.
    random = [behind(keras.layers.Dropout(0.2)) for _ in range(2)]
    IWAE(6, 2, num_samples=3, estimator="rws", encoder=random[0], decoder=random[1])


class Late(tfp.distributions.MultivariateNormalDiag):
    """Its density runs the network again."""

    def __init__(self, network, x):
        super().__init__(network(x, training=True), tf.ones([2]))
        self._again = lambda: network(x, training=True)

    def _log_prob(self, value):
        return tfp.distributions.MultivariateNormalDiag(self._again(), tf.ones([2])).log_prob(value)


class OwnPosterior(Posterior):
    latent_dim = 2

    def __init__(self, late, rate):
        super().__init__()
        self.network = keras.Sequential([keras.layers.Dropout(rate, name="culprit"), keras.layers.Dense(2)])
        self.late = late

    def build(self, shape):
        self.network.build(shape)
        self.built = True

    def distribution(self, x, training=False):
        if self.late and training:
            return Late(self.network, x)
        return tfp.distributions.MultivariateNormalDiag(self.network(x, training=training), tf.ones([2]))


@pytest.mark.slow
def test_a_density_of_another_mask_than_the_draw_s_is_refused():
    with pytest.raises(ValueError, match=r"`posterior`\. Expected a class .* OwnPosterior with culprit, a Dropout"):
        make(posterior=OwnPosterior(late=True, rate=0.5))
    make(posterior=OwnPosterior(late=False, rate=0.5))
    make(posterior=OwnPosterior(late=True, rate=0.0))
