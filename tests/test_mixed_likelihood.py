"""The likelihood of a table: each column as its family by itself, one operation a family, and a model on top of it."""

import json

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from test_likelihoods import FAMILIES, built

import keras_iwae
from keras_iwae import AVB, IWAE, likelihoods
from keras_iwae.evaluation.streaming import stream_log_weights
from keras_iwae.foundation import Purpose, key_for
from keras_iwae.likelihoods import BernoulliLikelihood, CategoricalLikelihood, GaussianLikelihood, MixedLikelihood
from keras_iwae.models.components import encoder_inputs
from keras_iwae.networks import EventEncoder

pytestmark = pytest.mark.slow

SEED = tf.constant([4, 9])
SAMPLES, BATCH, UNITS = 4, 5, 6
# The family of each column, by its row in the table of families; those of one family are not side by side.
COLUMNS = (
    "student_t",
    "categorical",
    "gaussian",
    "student_t",
    "bernoulli",
    "poisson",
    "categorical",
    "negative_binomial",
    "discretized_logistic, few",
    "student_t",
)
LEVELS = {1: 5, 4: 2, 6: 5, 8: 4}


def mixed(columns=COLUMNS, features=None):
    """The likelihood of these columns with weights away from their start."""
    likelihood = built(MixedLikelihood([FAMILIES[name].make() for name in columns]), (len(columns),), features)
    rng = np.random.default_rng(5)
    for variable in likelihood.trainable_variables:
        variable.assign(0.4 * rng.normal(size=variable.shape))
    return likelihood


def alone(likelihood, parameters):
    """Each column by itself: a likelihood, its parameters from where they should be, its log density in float64."""
    found, place = {}, 0
    groups = {name: [i for i, other in enumerate(COLUMNS) if other == name] for name in dict.fromkeys(COLUMNS)}
    for (name, columns), family in zip(groups.items(), likelihood.families, strict=True):
        for position, column in enumerate(columns):
            single, count = built(FAMILIES[name].make(), (1,)), family.parameters
            learned = [np.asarray(variable)[[position]] for variable in family.trainable_variables]
            for variable, value in zip(single.trainable_variables, learned, strict=True):
                variable.assign(value)
            own = np.asarray(parameters)[..., place : place + count]
            raw = [np.asarray(value, np.float64) for value in (*np.moveaxis(own, -1, 0), *learned)]
            found[column] = (
                single,
                own if count == 1 else own[..., np.newaxis, :],
                lambda x, name=name, raw=raw: FAMILIES[name].log_prob(np.asarray(x, np.float64), *raw),
            )
            place += count
    assert place == parameters.shape[-1]
    return [found[column] for column in range(len(COLUMNS))]


@pytest.fixture(scope="module")
def case():
    """The likelihood, features, events that it drew, and its columns by themselves."""
    likelihood = mixed(features=UNITS)
    features = tf.constant(np.random.default_rng(6).normal(size=(SAMPLES, BATCH, UNITS)), tf.float32)
    x = likelihood.sample(features[0], SEED)[1].numpy()
    return likelihood, features, x, alone(likelihood, likelihood(features))


def test_log_prob_is_the_sum_of_the_families_by_themselves(case):
    likelihood, features, x, columns = case
    by_column = likelihood.column_log_prob(x, features)
    expected = [single.log_prob(x[:, [d]], own) for d, (single, own, _) in enumerate(columns)]
    np.testing.assert_allclose(by_column, np.stack(expected, axis=-1), rtol=1e-5, atol=1e-5)
    exact = np.stack([log_prob(x[:, d]) for d, (_, _, log_prob) in enumerate(columns)], axis=-1)
    np.testing.assert_allclose(by_column, exact, rtol=5e-5, atol=1e-4)
    found = likelihood.log_prob(x, features)
    assert found.shape == (SAMPLES, BATCH)
    np.testing.assert_allclose(found, exact.sum(axis=-1), rtol=2e-5, atol=2e-4)
    np.testing.assert_allclose(found, likelihood.distribution(features).log_prob(x), rtol=1e-5, atol=1e-5)
    # Control: two columns of a family in each other's place.
    swapped = x.copy()
    swapped[:, [0, 9]] = x[:, [9, 0]]
    assert np.abs(likelihood.log_prob(swapped, features) - found).max() > 0.01


def test_moments_draws_and_probabilities_are_those_of_the_families(case):
    likelihood, features, _, columns = case
    served, mean = likelihood.served(features), likelihood.mean(features)
    found = likelihood.probabilities(features)
    assert {column: p.shape[-1] for column, p in found.items()} == LEVELS
    assert served["probabilities"].shape == (SAMPLES, BATCH, len(LEVELS), 5)
    for d, (single, own, log_prob) in enumerate(columns):
        expected = [np.asarray(moment)[..., 0] for moment in single.moments_of(tf.constant(own))]
        np.testing.assert_allclose(mean[..., d], expected[0], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(served["mean"][..., d], expected[0], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(served["stddev"][..., d], expected[1], rtol=1e-4, atol=1e-5)
        if d in LEVELS:
            exact = np.exp([log_prob(np.float64(level)) for level in range(LEVELS[d])])
            np.testing.assert_allclose(np.moveaxis(found[d], -1, 0), exact, rtol=1e-4, atol=1e-6)
            padded = served["probabilities"][:, :, list(LEVELS).index(d)]
            np.testing.assert_array_equal(padded[..., : LEVELS[d]], found[d])
            np.testing.assert_array_equal(padded[..., LEVELS[d] :], 0.0)


@pytest.mark.statistical
def test_draws_have_the_means_and_are_independent(case):
    likelihood, features, _, _ = case
    count = 4000
    draws = likelihood.distribution(features[0, :1]).sample(count, seed=SEED).numpy()[:, 0]
    likelihood.check(draws)
    served = likelihood.served(features[0, :1])
    distance = (draws.mean(axis=0) - served["mean"][0]) / (served["stddev"][0] / np.sqrt(count))
    assert np.abs(distance).max() < 4.5
    # The group's draws of two columns are not the same numbers.
    assert np.abs(np.corrcoef(draws.T) - np.eye(len(COLUMNS))).max() < 5.0 / np.sqrt(count)


def test_what_was_not_observed_has_no_part_in_anything(case):
    likelihood, features, x, _ = case
    mask = np.random.default_rng(8).random(x.shape) < 0.5
    mask[0], mask[1] = True, False
    parameters = tf.constant(likelihood(features))
    bare = mixed()

    def found(x):
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            log_prob = bare.log_prob(tf.constant(x), parameters, tf.constant(mask))
        return log_prob, tape.gradient(log_prob, parameters)

    log_prob, slopes = found(x)
    by_column = bare.column_log_prob(x, parameters, mask)
    np.testing.assert_array_equal(by_column.numpy()[:, ~mask], 0.0)
    np.testing.assert_allclose(log_prob, tf.reduce_sum(by_column, axis=-1), rtol=1e-5, atol=1e-5)
    owners = np.concatenate(
        [
            np.repeat(places, family.parameters)
            for family, places in zip(likelihood.families, likelihood._places, strict=True)
        ]
    )
    moved = np.abs(slopes.numpy())
    for d in range(len(COLUMNS)):
        own = moved[..., owners == d].max(axis=-1)
        assert not own[:, ~mask[:, d]].any()
        assert own[:, mask[:, d]].min() > 0.0
    again, others = found(np.where(mask, x, 0.0).astype(np.float32))
    np.testing.assert_array_equal(again, log_prob)
    np.testing.assert_array_equal(others, slopes)


def operations(columns):
    """How many operations the log-likelihood and its gradient are."""
    likelihood = built(MixedLikelihood(columns), (len(columns),), UNITS)

    @tf.function
    def slope(x, features, mask):
        with tf.GradientTape() as tape:
            tape.watch(features)
            found = likelihood.log_prob(x, features, mask)
        return tape.gradient(found, features)

    rows = tf.TensorSpec((BATCH, len(columns)))
    features = tf.TensorSpec((SAMPLES, BATCH, UNITS))
    graph = slope.get_concrete_function(rows, features, tf.TensorSpec(rows.shape, tf.bool)).graph
    return len(graph.get_operations())


def test_columns_of_a_family_cost_one_operation():
    # With fewer, TensorFlow's gradients leave out sums over axes that happen to be as long as others.
    few, many = (operations(["student_t", "bernoulli"] * n) for n in (7, 15))
    assert few == many
    # Control: another setting is another family.
    assert operations(["student_t", "bernoulli", GaussianLikelihood(), GaussianLikelihood(0.5)] * 7) > few + 50
    likelihood = MixedLikelihood(["gaussian", GaussianLikelihood(), GaussianLikelihood(min_scale=0.02), "gaussian"])
    assert [family.get_config()["min_scale"] for family in likelihood.families] == [None, 0.02]


def test_columns_of_one_family_are_that_family():
    """The very numbers, from the same seed: weights, draws and bounds."""
    x = np.random.default_rng(0).normal(size=(20, 4))
    x[0, :2] = np.nan
    settings = {"latent_dim": 2, "hidden": (8,), "num_samples": 3, "seed": 2, "missing": "nan"}
    one = IWAE(4, likelihood="student_t", **settings)
    other = IWAE(4, likelihood=MixedLikelihood(["student_t"] * 4), **settings)
    terms = [model.log_terms(tf.constant(x, tf.float32), 3, SEED) for model in (one, other)]
    np.testing.assert_allclose(*[t.weights for t in terms], rtol=1e-6)
    np.testing.assert_array_equal(*[model.sample(5).mean for model in (one, other)])


def test_the_head_starts_from_the_means():
    likelihood = mixed(features=UNITS)
    mean = np.array([-3.0, 2.5, 7.0, 0.5, 0.3, 4.0, 1.0, 9.0, 1.2, 0.0])
    likelihood.initialize(mean)
    np.testing.assert_allclose(likelihood.mean(tf.zeros((1, 1, UNITS)))[0, 0], mean, rtol=3e-4, atol=1e-3)


def test_what_an_encoder_sees_of_a_table():
    likelihood = MixedLikelihood(["poisson", CategoricalLikelihood(3), "gaussian", "bernoulli", "poisson"])
    told = encoder_inputs(likelihood, "nan", True)
    assert told["encoding"] == ("log1p", "one_hot", "identity", "identity", "log1p")
    x = tf.constant([[1.0, 2.0, -4.0, 1.0, np.nan], [np.nan, np.nan, 0.5, np.nan, 3.0]])
    seen = EventEncoder(keras.layers.Flatten(), **told)(x)
    log = np.log1p
    expected = [
        [log(1.0), 0.0, 0.0, 1.0, -4.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.5, 0.0, log(3.0), 0.0, 0.0, 1.0, 0.0, 1.0],
    ]
    np.testing.assert_allclose(seen, expected, rtol=1e-6)
    # Columns that are all seen alike are seen as by one family.
    assert encoder_inputs(MixedLikelihood(["student_t", "bernoulli"]), None, False)["encoding"] == "identity"
    with pytest.raises(ValueError, match=r"`encoding`\. Expected one for each of 4 entries of the last axis.*: 2"):
        EventEncoder(keras.layers.Flatten(), encoding=["log1p", "identity"])(tf.zeros((1, 4)))
    with pytest.raises(ValueError, match=r"`levels`"):
        EventEncoder(keras.layers.Flatten(), encoding=["log1p", "identity"], levels=[None])
    with pytest.raises(ValueError, match=r"`encoding`"):
        EventEncoder(keras.layers.Flatten(), encoding=["log1p", "onehot"])


def test_values_outside_the_support_are_refused_and_the_column_named():
    likelihood = built(MixedLikelihood(["gaussian", CategoricalLikelihood(3), "poisson", "bernoulli"]), (4,))
    good = np.array([[0.5, 2.0, 7.0, 1.0], [-1.0, 0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(likelihood.check(good), good)
    gaps = np.where([[True], [False]], np.nan, good)
    np.testing.assert_array_equal(likelihood.check(gaps, missing=True), gaps)
    # What float32 makes of whole numbers is whole again, and the caller's array is left alone.
    near = (good * np.float32(1.0 - 1e-6)).astype(np.float32)
    kept = near.copy()
    np.testing.assert_array_equal(likelihood.check(near)[:, 1:], good[:, 1:])
    np.testing.assert_array_equal(near, kept)
    for column, value, message in (
        (0, np.inf, "finite values"),
        (1, 3.0, r"integers in \[0, 2\]"),
        (2, -1.0, "integers of at least 0"),
        (2, 0.5, "integers of at least 0"),
        (3, 0.5, r"integers in \[0, 1\]"),
    ):
        wrong = good.copy()
        wrong[1, column] = value
        named = "table" if column == 0 else f"table: column {column}"
        with pytest.raises(ValueError, match=rf"`{named}`\. Expected {message}"):
            likelihood.check(wrong, "table")
        with pytest.raises(tf.errors.InvalidArgumentError, match=rf"`table: column {column}`\. Expected {message}"):
            likelihood.support.checked(tf.constant(wrong, tf.float32), "table")
    np.testing.assert_array_equal(likelihood.support.checked(tf.constant(gaps), "table", missing=True), gaps)
    with pytest.raises(ValueError, match=r"Expected shape \[N, 4\]"):
        likelihood.check(good[:, :3])
    with pytest.raises(ValueError, match="Received: NaN"):
        likelihood.check(gaps)


def test_pictures_of_a_table_have_each_column_by_itself():
    likelihood = built(MixedLikelihood(["gaussian", CategoricalLikelihood(5)]), (2,))
    grey = likelihood.to_grey(np.array([[-3.0, 1.0], [1.0, np.nan], [5.0, 4.0]]))
    np.testing.assert_allclose(grey, [[0.0, 0.25], [0.5, 0.5], [1.0, 1.0]])


@pytest.mark.parametrize(
    ("columns", "argument"),
    [
        ([], "columns"),
        ("gaussian", "columns"),
        ({"gaussian", "bernoulli"}, "columns"),
        ({"gaussian": 1, "bernoulli": 2}, "columns"),
        (None, "columns"),
        (5, "columns"),
        (iter(["gaussian"]), "columns"),
        (np.array("gaussian"), "columns"),
        (np.array([["gaussian"]]), "columns"),
        (["gaussian", "normal"], r"columns\[1\]"),
        (["categorical"], r"columns\[0\]"),
        ([BernoulliLikelihood(seed=3)], r"columns\[0\]"),
        ([MixedLikelihood(["gaussian"])], r"columns\[0\]"),
    ],
)
def test_bad_columns_are_refused_by_name(columns, argument):
    with pytest.raises(ValueError, match=rf"Invalid value received for `{argument}`\. Expected .*\. Received: "):
        MixedLikelihood(columns)


def test_columns_are_in_an_order():
    for several in (tuple, np.array, pd.Series):
        likelihood = MixedLikelihood(several(["gaussian", "bernoulli"]), several([1.0, 2.0]))
        copy = MixedLikelihood.from_config(json.loads(json.dumps(likelihood.get_config())))
        assert [type(family) for family in copy.families] == [GaussianLikelihood, BernoulliLikelihood]
        assert copy.column_weights == [1.0, 2.0]


def test_as_many_columns_as_the_table_has():
    with pytest.raises(ValueError, match=r"`likelihood`. Expected one of events \[3\]. Received: .* of 2 columns"):
        IWAE(3, likelihood=MixedLikelihood(["gaussian", "bernoulli"]))


def test_configuration_survives_json():
    likelihood = MixedLikelihood(["student_t", CategoricalLikelihood(4), "student_t"], seed=3)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(likelihood)))
    copy = keras.saving.deserialize_keras_object(config)
    assert copy.get_config() == likelihood.get_config()
    assert (copy.support, copy.encoding, copy.levels) == (likelihood.support, likelihood.encoding, likelihood.levels)
    weighted = MixedLikelihood(["gaussian"] * 2, column_weights=np.array([1, 3]))
    assert MixedLikelihood.from_config(json.loads(json.dumps(weighted.get_config()))).column_weights == [1.0, 3.0]
    with pytest.raises(AttributeError, match="`columns`"):
        built(copy, (3,), features=5).columns = ["gaussian"] * 3


TABLE = ["student_t", CategoricalLikelihood(3), "bernoulli", "negative_binomial", "student_t", CategoricalLikelihood(4)]


@pytest.fixture(scope="module")
def trained():
    """A model of a table with gaps, with the bound before and after it was trained."""
    other = IWAE(6, latent_dim=2, hidden=(8,), likelihood=MixedLikelihood(TABLE), seed=1)
    for variable in other.generative.trainable_variables:
        variable.assign(3.0 * variable)
    x = other.sample(60, seed=1).events.numpy()
    x[np.random.default_rng(0).random(x.shape) < 0.3] = np.nan
    model = IWAE(
        6,
        latent_dim=2,
        hidden=(8,),
        num_samples=3,
        likelihood=MixedLikelihood(TABLE),
        missing="nan",
        mask_input=True,
        seed=1,
    )
    model.initialize_output_bias(np.nanmean(x, axis=0))
    model.compile(keras.optimizers.Adam(2e-2))
    history = model.fit(x, batch_size=20, epochs=25, verbose=0).history
    return model, x, history


def test_it_trains_and_is_evaluated(trained):
    model, x, history = trained
    assert history["bound"][-1] > history["bound"][0] + 0.3
    result = keras_iwae.importance_weighted_nll(model, x[:10], num_samples=30, bounds=(), verbose=False)
    assert np.all(np.isfinite(result.log_likelihood_per_example))
    # With columns that are real there are no bits, and no column is a cross-entropy.
    assert result.bits_per_dimension is None
    assert not model.generative.likelihood.discrete
    assert MixedLikelihood(["poisson", "bernoulli"]).discrete
    with pytest.raises(
        ValueError, match=r"`x: column 1`\. Expected integers in \[0, 2\]\. Received: values in \[0, 9\]"
    ):
        model.fit(np.where(np.arange(60)[:, np.newaxis] + np.arange(6) == 2, 9.0, np.nan_to_num(x)))


def test_it_saves_and_loads(trained, tmp_path):
    model, x, _ = trained
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    for one, other in zip(model.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)
    np.testing.assert_array_equal(loaded(x[:5]), model(x[:5]))


def test_it_is_exported(trained, tmp_path):
    model, x, _ = trained
    x = x[:10]
    keras_iwae.export_saved_model(model, tmp_path / "serving")
    served = keras_iwae.load_saved_model(tmp_path / "serving").signatures
    scalars = {"num_samples": tf.constant(30), "seed": tf.constant(5)}
    found = served["log_likelihood"](events=tf.constant(x), **scalars)
    expected = stream_log_weights(model, tf.constant(x), tf.constant(30), key_for(Purpose.SERVED, 5))
    np.testing.assert_allclose(found["log_likelihood"], expected.log_likelihood, rtol=1e-4, atol=1e-4)
    drawn = served["sample"](seed=tf.constant([3, 4]))
    np.testing.assert_allclose(drawn["events"][1], model.sample(1, seed=4).events[0], rtol=1e-4, atol=1e-5)
    model.generative.likelihood.check(drawn["events"].numpy())
    decoded = served["decode"](latents=drawn["latents"])
    assert set(decoded) == {"mean", "stddev", "probabilities"}
    assert decoded["probabilities"].shape == (2, 3, 4)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`events: column 3`\. Expected integers of at least 0"):
        served["log_likelihood"](events=tf.fill(x.shape, 0.5) * [1, 0, 0, 1, 1, 0], **scalars)


def test_the_same_under_xla(case):
    likelihood, features, x, _ = case
    mask = tf.constant(np.random.default_rng(8).random(x.shape) < 0.5)

    def compute(features):
        with tf.GradientTape() as tape:
            tape.watch(features)
            log_prob = likelihood.log_prob(x, features, mask)
        return log_prob, likelihood.mean(features), tape.gradient(log_prob, features)

    for one, other in zip(tf.function(compute, jit_compile=True)(features), compute(features), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


WEIGHTS = [2.0, 0.5, 1.0]


def weighted_model(weights):
    """A model whose training moves nothing, and its first batch."""
    likelihood = MixedLikelihood(["gaussian", "bernoulli", "gaussian"], column_weights=weights)
    model = IWAE(3, latent_dim=2, hidden=(4,), num_samples=3, likelihood=likelihood, missing="nan", seed=2)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    x = np.array([[0.5, 1.0, -1.0], [np.nan, 0.0, 2.0]], np.float32)
    return model, x, model.fit(x, shuffle=False, verbose=0, validation_data=x).history


def test_weights_of_columns_are_of_training_alone_and_it_says_so():
    model, x, history = weighted_model(WEIGHTS)
    _, _, plain = weighted_model(None)
    _, _, ones = weighted_model([1.0] * 3)
    _, _, twos = weighted_model([2.0] * 3)
    for name in ("bound", "elbo", "reconstruction", "ess"):
        assert f"weighted_{name}" in history
        assert name not in history
        assert ones[f"weighted_{name}"] == pytest.approx(plain[name], rel=1e-6)
        # What is evaluated is p(x), whatever the weights.
        assert history[f"val_{name}"] == pytest.approx(plain[f"val_{name}"], rel=1e-6)
    assert twos["weighted_reconstruction"][0] == pytest.approx(2.0 * plain["reconstruction"][0], rel=1e-6)
    assert abs(history["weighted_bound"][0] - plain["bound"][0]) > 0.1
    assert history["loss"][0] == pytest.approx(-history["weighted_bound"][0])
    z = tf.random.stateless_normal([4, 2, 2], [0, 1])
    features, mask = model.generative.features(z), ~np.isnan(x)
    by_column = model.generative.likelihood.column_log_prob(np.nan_to_num(x), features, mask)
    climbed = model.generative.log_likelihood(x, z, training=True)
    np.testing.assert_allclose(climbed, tf.reduce_sum(by_column * WEIGHTS, axis=-1), rtol=1e-5)
    np.testing.assert_allclose(model.generative.log_likelihood(x, z), tf.reduce_sum(by_column, axis=-1), rtol=1e-5)


@pytest.mark.parametrize(
    ("weights", "argument"),
    [
        ([1.0], "column_weights"),
        ([1.0, 0.0], r"column_weights\[1\]"),
        ("ab", "column_weights"),
        (np.array(1.0), "column_weights"),
        ({1.0, 2.0}, "column_weights"),
    ],
)
def test_bad_weights_are_refused_by_name(weights, argument):
    with pytest.raises(ValueError, match=rf"Invalid value received for `{argument}`\. Expected "):
        MixedLikelihood(["gaussian", "bernoulli"], weights)
    likelihood = MixedLikelihood(["gaussian", "bernoulli"], [1.0, 2.0])
    with pytest.raises(ValueError, match=r"`likelihood`\. Expected one that weighs no columns"):
        AVB(2, likelihood=likelihood)


def test_names_have_no_mixed_one():
    """It has to be told its columns, so that no name can stand for it."""
    assert "mixed" not in likelihoods.LIKELIHOODS
