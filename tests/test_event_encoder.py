"""What an encoder sees of an event, entry by entry: units, zeros in the place of gaps, the mask behind them."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_likelihoods import FAMILIES

from keras_iwae import IWAE
from keras_iwae.likelihoods import CategoricalLikelihood
from keras_iwae.models.components import encoder_inputs
from keras_iwae.networks import EventEncoder, dense_encoder
from keras_iwae.posteriors import GaussianPosterior

NAN = np.nan
X = np.array([[[0.0], [2.0], [NAN]], [[1.0], [NAN], [3.0]]], np.float32)


def seen(x=X, **options):
    """What is behind the encoding, flat."""
    return EventEncoder(keras.layers.Flatten(), **options)(tf.constant(x)).numpy()


def test_units_of_each_encoding():
    full = np.nan_to_num(X)
    np.testing.assert_array_equal(seen(full), [[0.0, 2.0, 0.0], [1.0, 0.0, 3.0]])
    np.testing.assert_allclose(seen(full, encoding="levels", levels=5), [[0.0, 0.5, 0.0], [0.25, 0.0, 0.75]])
    np.testing.assert_allclose(seen(full, encoding="log1p"), np.log1p([[0.0, 2.0, 0.0], [1.0, 0.0, 3.0]]), rtol=1e-6)
    hot = np.eye(4)[full[..., 0].astype(int)].reshape(2, 12)
    np.testing.assert_array_equal(seen(full, encoding="one_hot", levels=4), hot)
    # What float32 makes of whole numbers.
    np.testing.assert_array_equal(seen(full * np.float32(1.0 - 1e-6), encoding="one_hot", levels=4), hot)


def test_an_encoder_that_encodes_already_is_taken_as_it_is():
    given = EventEncoder(keras.layers.Dense(4), "log1p", missing="nan", mask_input=True)
    settings = {"likelihood": "poisson", "missing": "nan", "mask_input": True}
    model = IWAE(6, 2, (4,), num_samples=2, **settings, encoder=given)
    assert model.posterior.encoder is given
    assert IWAE.from_config(model.get_config()).posterior.encoder.encoder.units == 4


def test_an_encoder_that_flattens_alone_is_encoded_for():
    given = EventEncoder(keras.layers.Conv2D(2, 3))
    model = IWAE((8, 8, 1), 2, (4,), num_samples=2, likelihood="poisson", encoder=given)
    assert (model.posterior.encoder.encoding, model.posterior.encoder.encoder) == ("log1p", given)


def test_zeros_in_the_place_of_gaps_and_the_mask_behind_the_last_axis():
    np.testing.assert_array_equal(seen(missing="nan"), [[0.0, 2.0, 0.0], [1.0, 0.0, 3.0]])
    both = [[0.0, 1.0, 2.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0, 3.0, 1.0]]
    np.testing.assert_array_equal(seen(missing="nan", mask_input=True), both)
    flat = EventEncoder(keras.layers.Flatten(), missing="nan", mask_input=True)(tf.constant(X[..., 0])).numpy()
    np.testing.assert_array_equal(flat, [[0.0, 2.0, 0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 3.0, 1.0, 0.0, 1.0]])


@pytest.mark.parametrize("mask_input", [False, True])
def test_a_gap_of_levels_is_none_of_them(mask_input):
    """Two channels, so that levels and channels could change places."""
    x = np.array([[[0.0, 2.0], [NAN, 1.0]]], np.float32)
    levels = [[1, 0, 0, 0, 0, 1], [0, 0, 0, 0, 1, 0]]
    mask = [[1, 1], [0, 1]]
    expected = np.concatenate([levels, mask] if mask_input else [levels], axis=-1).reshape(1, -1)
    found = seen(x, encoding="one_hot", levels=3, missing="nan", mask_input=mask_input)
    np.testing.assert_array_equal(found, expected)


def test_pictures_keep_their_axes_for_a_convolution_and_features_come_out_flat():
    convolution = keras.layers.Conv2D(3, 2, use_bias=False, kernel_initializer="ones")
    encoder = EventEncoder(convolution, missing="nan", mask_input=True)
    x = np.random.default_rng(0).random((5, 4, 4, 2)).astype(np.float32)
    x[:, 1, 2, 0] = NAN
    both = np.concatenate([np.nan_to_num(x), ~np.isnan(x)], axis=-1)
    windows = np.lib.stride_tricks.sliding_window_view(both.sum(axis=-1), (2, 2), axis=(1, 2)).sum(axis=(-1, -2))
    found = encoder(tf.constant(x))
    assert found.shape == (5, 27)
    assert encoder.compute_output_shape((None, 4, 4, 2)) == (None, 27)
    np.testing.assert_allclose(found, np.repeat(windows.reshape(5, 9), 3, axis=1), rtol=1e-5)


def test_gaps_bring_no_gradient_and_no_nan():
    encoder = EventEncoder(keras.layers.Dense(3), missing="nan", mask_input=True)
    with tf.GradientTape() as tape:
        tape.watch(x := tf.constant(X[..., 0]))
        total = tf.reduce_sum(encoder(x) ** 2)
    gradients = tape.gradient(total, [x, *encoder.trainable_variables])
    assert np.all(np.isfinite(np.concatenate([np.ravel(gradient) for gradient in gradients])))
    np.testing.assert_array_equal(gradients[0].numpy() == 0.0, np.isnan(X[..., 0]))


def test_counts_that_a_half_float_does_not_hold():
    encoder = EventEncoder(dense_encoder((4,), dtype="mixed_float16"), encoding="log1p", dtype="mixed_float16")
    assert np.all(np.isfinite(encoder(np.full((1, 3), 1e6, np.float32))))
    assert encoder.encoder.layers[1].compute_dtype == "float16"


@pytest.mark.slow
def test_a_model_of_half_floats_sees_counts_and_levels_as_they_are():
    counts = np.array([[1e6, 0.0, 70_000.0]], np.float32)
    model = IWAE(3, latent_dim=2, hidden=(4,), likelihood="poisson", dtype="mixed_float16")
    for found in (*model.posterior(counts), model(counts), model.predict(counts, verbose=0)):
        assert np.all(np.isfinite(found))
    likelihood = CategoricalLikelihood(300)
    # Above 256 a bfloat16 has every second level.
    levels = np.array([[296.0], [297.0], [298.0], [299.0]], np.float32)
    for latent_dim, hidden in ((2, (4,)), ((2, 2), ((4,), (4,)))):
        model = IWAE(1, latent_dim, hidden, likelihood=likelihood, dtype="mixed_bfloat16")
        posterior = model.posterior.distribution(tf.constant(levels))
        loc = np.asarray(posterior.loc if latent_dim != 2 else posterior.mean())
        assert len(np.unique(loc, axis=0)) == 4
        likelihood = CategoricalLikelihood(300)


@pytest.mark.parametrize("name", ["gaussian", "discretized_logistic", "poisson", "categorical"])
def test_a_likelihood_says_what_its_encoder_sees(name):
    likelihood = FAMILIES[name].make()
    kinds = {"gaussian": "identity", "discretized_logistic": "levels", "poisson": "log1p", "categorical": "one_hot"}
    told = encoder_inputs(likelihood, "nan", True)
    levels = likelihood.levels if name in ("discretized_logistic", "categorical") else None
    assert told == {"encoding": kinds[name], "levels": levels, "missing": "nan", "mask_input": True}
    model = IWAE((3, 1), latent_dim=2, hidden=(4,), likelihood=likelihood, missing="nan", mask_input=True)
    encoder = model.posterior.encoder
    assert {argument: getattr(encoder, argument) for argument in told} == told
    # Both give the same features of the same rows.
    own = EventEncoder(encoder.encoder, **told)
    np.testing.assert_array_equal(own(tf.constant(X)), encoder(tf.constant(X)))


def test_a_posterior_of_ones_own_has_to_see_events_as_the_likelihood_says():
    likelihood = CategoricalLikelihood(levels=4)
    bare = GaussianPosterior(dense_encoder((4,)), latent_dim=2)
    for options in ({"likelihood": likelihood}, {"missing": "nan", "likelihood": "gaussian"}):
        with pytest.raises(ValueError, match=r"`posterior`\. Expected one whose encoder is an EventEncoder\(encoder, "):
            IWAE((3, 1), hidden=(4,), posterior=bare, **options)
    wrapped = EventEncoder(dense_encoder((4,)), encoding="one_hot", levels=4)
    IWAE((3, 1), hidden=(4,), posterior=GaussianPosterior(wrapped, latent_dim=2), likelihood=likelihood)


def test_a_network_with_an_encoding_within_it_is_not_given_another():
    """Events would be encoded twice."""
    told = {"encoding": "one_hot", "levels": 4}
    within = keras.Sequential([EventEncoder(keras.layers.Flatten(), **told, name="own"), keras.layers.Dense(4)])
    settings = {"latent_dim": 2, "hidden": (4,), "encoder": within}
    with pytest.raises(ValueError, match=r"`encoder`\. Expected the network alone.*the EventEncoder own within it"):
        IWAE((3, 1), likelihood=CategoricalLikelihood(levels=4), **settings)
    # Bits are encoded by nothing else.
    model = IWAE((3, 1), **settings)
    assert model.posterior.encoder is within


@pytest.mark.parametrize("encoder", [lambda x: x, "dense", 3, keras.layers.Dense])
def test_what_is_no_layer_is_refused_by_name_whatever_the_likelihood(encoder):
    for likelihood in ("bernoulli", "poisson"):
        with pytest.raises(ValueError, match="Invalid value received for `encoder`"):
            IWAE((3,), latent_dim=2, hidden=(4,), encoder=encoder, likelihood=likelihood)


def test_levels_of_columns_may_be_an_array():
    encoder = EventEncoder(keras.layers.Flatten(), ("levels", "one_hot"), np.array([3, 4]))
    assert encoder.levels == (3, 4)
    assert encoder(tf.constant([[2.0, 1.0]])).numpy().tolist() == [[1.0, 0.0, 1.0, 0.0, 0.0]]


def test_configuration_survives_json():
    encoder = EventEncoder(dense_encoder((4,), seed=3), "one_hot", 4, "nan", True)
    copy = keras.saving.deserialize_keras_object(json.loads(json.dumps(keras.saving.serialize_keras_object(encoder))))
    assert copy.get_config() == encoder.get_config()
    # The kernels come of the seed, so that the features are the same.
    np.testing.assert_array_equal(copy(tf.constant(X)), encoder(tf.constant(X)))


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"encoding": "onehot"}, "encoding"),
        ({"encoding": None}, "encoding"),
        ({"encoding": ("levels", "levels"), "levels": 5}, "levels"),
        ({"encoding": ("levels", "levels"), "levels": (5,)}, "levels"),
        ({"missing": "zero"}, "missing"),
        ({"mask_input": True}, "mask_input"),
        ({"encoder": "dense"}, "encoder"),
    ],
)
def test_bad_arguments_are_refused_by_name(options, argument):
    with pytest.raises(ValueError, match=rf"Invalid value received for `{argument}`"):
        EventEncoder(**{"encoder": keras.layers.Flatten(), **options})(tf.constant(X))
