"""Weights of examples take effect: gradients, bounds, metrics and likelihoods are weighted means."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_door import BATCH, LABELS, QUIET, WEIGHTS, Batches, X, dataset, generator, make, one_line, trained

from keras_iwae import AVB
from keras_iwae.bounds import bound_gradients
from keras_iwae.bounds.estimators import get as estimator_of
from keras_iwae.evaluation import (
    AnnealedResult,
    NLLResult,
    Proposal,
    SumoResult,
    annealed_nll,
    importance_weighted_nll,
    sumo_nll,
)
from keras_iwae.evaluation.batches import in_batches
from keras_iwae.evaluation.errors import error_of_mean, standard_error
from keras_iwae.evaluation.weighted import median
from keras_iwae.foundation.keys import Purpose, key_for
from keras_iwae.foundation.numerics import log_mean_exp, weighted_mean

SEED = tf.constant([5, 2])
NO_WEIGHT = r"`x: weights`\. Expected weights that are not all 0\. Received: zeros only"
WEIGHTED = {
    "tf.data": lambda: dataset(X, LABELS, WEIGHTS),
    "PyDataset": lambda: Batches(X, LABELS, WEIGHTS[:, np.newaxis]),
    "generator": lambda: generator(X, LABELS, WEIGHTS),
}


@pytest.fixture(scope="module")
def model():
    return make(run_eagerly=True)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"y": LABELS}, "y"),
        ({"y": LABELS.tolist()}, "y"),
        ({"sample_weight": WEIGHTS[:5]}, "sample_weight"),
        ({"sample_weight": WEIGHTS.reshape(4, 2)}, "sample_weight"),
        ({"sample_weight": -WEIGHTS}, "sample_weight"),
        ({"sample_weight": 0.0 * WEIGHTS}, "sample_weight"),
        ({"sample_weight": 1e-40 * WEIGHTS}, "sample_weight"),
        ({"sample_weight": np.nan * WEIGHTS}, "sample_weight"),
        ({"sample_weight": np.float32(2.0)}, "sample_weight"),
        ({"sample_weight": WEIGHTS.astype(str)}, "sample_weight"),
        ({"sample_weight": np.ma.masked_array(WEIGHTS, WEIGHTS > 6.0)}, "sample_weight"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_what_would_have_no_effect_is_refused(model, method, options, argument):
    with pytest.raises(ValueError, match=argument) as error:
        getattr(model, method)(X, **options)
    one_line(error, argument)


def test_masked_weights_are_refused_in_batches_too(model):
    masked = np.ma.masked_array(WEIGHTS, WEIGHTS > 6.0)
    for data in (Batches(X, LABELS, masked), generator(X, LABELS, masked)):
        with pytest.raises(ValueError, match=r"0 for one that has no say\. Received: masked ones") as error:
            model.fit(data, verbose=0)
        one_line(error, "x: weights")


def test_classes_and_weights_beside_batches_are_refused_too(model):
    for method in ("fit", "train_on_batch"):
        with pytest.raises(ValueError, match="there are no classes") as error:
            getattr(model, method)(X, class_weight={0: 1.0})
        one_line(error, "class_weight")
    with pytest.raises(ValueError, match="which bring their own") as error:
        model.fit(dataset(X), sample_weight=WEIGHTS)
    one_line(error, "sample_weight")


def fit(model, *arguments, **options):
    model.fit(*arguments, shuffle=False, verbose=0, **options)
    return trained(model)


@pytest.mark.slow
@pytest.mark.parametrize("way", WEIGHTED)
def test_batches_with_weights_are_the_array_with_its_own(way):
    model = make()
    expected = fit(model, X, batch_size=BATCH, sample_weight=WEIGHTS)
    judged = model.evaluate(X, batch_size=BATCH, sample_weight=WEIGHTS, verbose=0)
    other = make()
    # Of weights below 1; one near 0 is rounded as they are.
    np.testing.assert_allclose(fit(other, WEIGHTED[way]()), expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(other.evaluate(WEIGHTED[way](), verbose=0), judged, rtol=1e-6)
    assert np.abs(fit(make(), X, batch_size=BATCH) - expected).max() > 1e-3


def test_a_weight_is_as_many_examples_where_nothing_is_drawn():
    """The autoencoder takes the posterior mean, so that an example of weight 3 is three examples."""
    weighted, repeated = (make(run_eagerly=True, objective="ae") for _ in range(2))
    times = WEIGHTS.astype(int)
    logs = weighted.train_on_batch(X, sample_weight=times, return_dict=True)
    expected = repeated.train_on_batch(np.repeat(X, times, axis=0), return_dict=True)
    np.testing.assert_allclose(trained(weighted), trained(repeated), rtol=1e-5, atol=1e-7)
    for name, value in expected.items():
        assert logs[name] == pytest.approx(value, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["reparameterized", "dreg"])
def test_the_gradient_is_the_weighted_sum_of_each_example_s(estimator):
    model = make()
    posterior, generative = model.posterior, model.generative

    def gradients(x, **options):
        found = bound_gradients(posterior, generative, x, 3, SEED, model.objective, estimator_of(estimator), **options)
        return np.concatenate([part.numpy().ravel() for part in (*found.generative, *found.posterior)])

    found = gradients(X, example_weights=tf.constant(WEIGHTS))
    if estimator == "reparameterized":
        # Of the bound itself, by hand, under the draws that the step takes.
        with tf.GradientTape(persistent=True) as tape:
            q = posterior.distribution(X)
            z = q.sample([3], seed=tf.unstack(tf.random.split(SEED, 3))[0])
            log_weights = generative.log_joint(tf.constant(X), z) - q.log_prob(z)
            bounds = tf.unstack(log_mean_exp(log_weights))
        sources = [v.value for v in (*generative.trainable_variables, *posterior.trainable_variables)]
        each = [np.concatenate([g.numpy().ravel() for g in tape.gradient(bound, sources)]) for bound in bounds]
    else:
        alone = np.eye(8, dtype=np.float32)
        each = [gradients(X, example_weights=tf.constant(one)) for one in alone]
    np.testing.assert_allclose(found, np.average(each, axis=0, weights=WEIGHTS), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(gradients(X), np.mean(each, axis=0), rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_metrics_are_weighted_means():
    model = make()
    bounds = []
    for seen in (0, BATCH):
        key = tf.random.fold_in(key_for(Purpose.EVALUATE, 3), seen)
        bounds.append(log_mean_exp(model.log_weights(X[seen : seen + BATCH], 3, key)).numpy())
    expected = np.average(np.concatenate(bounds), weights=WEIGHTS)
    found = model.evaluate(X, batch_size=BATCH, sample_weight=WEIGHTS, verbose=0, return_dict=True)
    assert found["bound"] == pytest.approx(expected, rel=1e-5)
    assert found["loss"] == pytest.approx(-expected, rel=1e-5)
    assert found["bound"] != pytest.approx(np.concatenate(bounds).mean(), rel=1e-3)
    weights = (X, None, WEIGHTS)
    logs = model.fit(X, validation_data=weights, batch_size=BATCH, verbose=0).history
    after = model.evaluate(X, batch_size=BATCH, sample_weight=WEIGHTS, verbose=0, return_dict=True)
    assert logs["val_bound"][0] == pytest.approx(after["bound"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("evaluate", "arguments"), [(importance_weighted_nll, (4,)), (sumo_nll, (2,)), (annealed_nll, (2, 3, 1))]
)
def test_a_likelihood_is_a_weighted_mean_with_its_errors(evaluate, arguments):
    model = make()
    plain = evaluate(model, X, *arguments, batch_size=BATCH, **QUIET)
    weighted = evaluate(model, dataset(X, LABELS, WEIGHTS), *arguments, **QUIET)
    equal = evaluate(model, dataset(X, LABELS, np.full(8, 0.5)), *arguments, **QUIET)
    values = plain.log_likelihood_per_example
    np.testing.assert_allclose(weighted.log_likelihood_per_example, values)
    assert weighted.nll == pytest.approx(-np.average(values, weights=WEIGHTS))
    assert weighted.standard_error == pytest.approx(standard_error(values, WEIGHTS))
    for name in ("nll", "standard_error", "monte_carlo_error"):
        assert getattr(equal, name) == pytest.approx(getattr(plain, name))
        assert getattr(weighted, name) != pytest.approx(getattr(plain, name), rel=1e-4)


def test_errors_of_weighted_means():
    """Against a sample in which an example of weight w stands w times, but for what is known of its size."""
    values, weights = np.random.default_rng(0).normal(size=6), np.array([1.0, 2.0, 1.0, 1.0, 3.0, 2.0])
    shares = weights / weights.sum()
    squares = (shares * (values - shares @ values)) ** 2
    assert standard_error(values, weights) == pytest.approx(np.sqrt(6.0 / 5.0 * squares.sum()))
    assert standard_error(values, np.full(6, 7.0)) == pytest.approx(values.std(ddof=1) / np.sqrt(6.0))
    assert error_of_mean(np.abs(values), weights) == pytest.approx(np.sqrt(((shares * values) ** 2).sum()))


def results(rows, weights=None):
    """Of twelve examples, or some of them, as each evaluation gives them; the first six are not as they should be."""
    rng, odd = np.random.default_rng(4), np.arange(12) < 6
    values = np.where(odd, -np.inf, rng.normal(-9.0, 1.0, 12))[rows]
    ess, k = (
        np.where(odd, 1.0, rng.uniform(5.0, 20.0, 12))[rows],
        np.where(odd, np.nan, rng.uniform(0.4, 0.9, 12))[rows],
    )
    means, entries = (rng.normal(size=[12, 2]) * [1.0, 0.08] + 5.0 * odd[:, np.newaxis])[rows], np.arange(12)[rows]
    common = {"seed": 0, "weights": weights}
    bounds, jackknife = {1: values - 1.0, 50: values}, values + 0.3
    return (
        NLLResult(50, 0, bounds, ess, k, jackknife, means, 2, Proposal(), entries, weights=weights),
        AnnealedResult(values, ess, k, 30, 9, 2, "prior", entries_per_example=entries, **common),
        SumoResult(values, ess, 5, 6.0, **common),
    )


def test_an_example_of_weight_zero_is_not_there():
    weights = np.array([0, 0, 0, 0, 0, 0, 1.0, 2.5, 0.5, 0, 1.0, 3.0])
    for weighted, alone in zip(results(slice(None), weights), results(weights > 0, weights[weights > 0]), strict=True):
        assert weighted.to_dict() == alone.to_dict()
        assert str(weighted) == str(alone)
        assert None not in weighted.to_dict().values()
    first = results(slice(None), weights)[0]
    assert (first.num_examples, first.rounding < 1e-4, first.active_units) == (5, True, 1)


def test_an_example_of_weight_two_is_there_twice():
    """But for the errors, which ask how many there are; a share of examples is one of their weights."""
    times = np.array([0, 0, 0, 0, 0, 0, 1, 4, 1, 1, 2, 3])
    for weighted, repeated in zip(results(slice(None), times), results(np.repeat(np.arange(12), times)), strict=True):
        one, other = ({k: v for k, v in each.to_dict().items() if "error" not in k} for each in (weighted, repeated))
        assert one.pop("num_examples") == 6 < other.pop("num_examples")
        for name, value in one.items():
            assert value == (other[name] if isinstance(value, (str, int)) else pytest.approx(other[name])), name
    weighted, plain = results(slice(6, None), times[6:])[0], results(slice(6, None))[0]
    above = plain.pareto_k_per_example > 0.7
    assert weighted.share_unreliable == pytest.approx(times[6:][above].sum() / times.sum())
    # The control: what it was where weights did not reach it.
    assert weighted.share_unreliable != pytest.approx(plain.share_unreliable)
    assert f"{100.0 * weighted.share_unreliable:.1f} % of the images" in weighted.verdict


def test_medians_are_of_weights():
    rng = np.random.default_rng(1)
    for count in range(1, 9):
        values, times = rng.normal(size=count), rng.integers(0, 4, size=count)
        times[rng.integers(count)] += 1
        assert median(values, times) == np.median(np.repeat(values, times))
        assert median(values, 0.1 * times) == pytest.approx(np.median(np.repeat(values, times)))
    assert np.isnan(median(np.array([1.0, np.nan]), np.ones(2)))
    assert median(np.array([1.0, np.nan]), np.array([1.0, 0.0])) == 1.0


def test_grey_levels_without_weight_make_no_cross_entropy(model):
    grey, weights = X.copy(), np.array([1, 0, 2, 1, 1, 1, 1, 1], np.float32)
    grey[1] = 0.5

    def fractional(weights):
        def compute(x, seen, advance):
            return (x.numpy(),)

        return in_batches(model, dataset(grey, LABELS, weights), None, compute, {}, verbose=False).fractional

    assert not fractional(weights)
    assert fractional(weights + 1.0)


@pytest.mark.slow
def test_equal_weights_change_nothing():
    expected = fit(make(run_eagerly=True), X, batch_size=BATCH)
    found = fit(make(run_eagerly=True), X, batch_size=BATCH, sample_weight=np.full(8, 2.5))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["iwae", "ae", "resampled", "adversarial", "rws"])
def test_an_example_without_weight_has_no_say(kind):
    makers = {
        "iwae": lambda: make(run_eagerly=True),
        "ae": lambda: make(run_eagerly=True, objective="ae"),
        "resampled": lambda: make(run_eagerly=True, estimator="dreg", backward_samples=2),
        "adversarial": lambda: make(AVB, run_eagerly=True),
        "rws": lambda: make(run_eagerly=True, estimator="rws"),
    }
    other, weights = X.copy(), np.array([1, 0, 2, 1, 0, 1, 1, 0], np.float32)
    other[weights == 0.0] = 1.0 - X[weights == 0.0]
    models = [makers[kind]() for _ in range(3)]
    for model, x in zip(models, (X, other, other), strict=True):
        given = weights if x is X or model is models[1] else None
        model.train_on_batch(x, sample_weight=given)
    np.testing.assert_allclose(trained(models[0]), trained(models[1]), rtol=1e-5, atol=1e-7)
    # Control: with a say it changes what is learned.
    assert np.abs(trained(models[2]) - trained(models[0])).max() > 1e-4
    before = trained(models[0])
    batches = tf.data.Dataset.from_tensor_slices((X, LABELS, 0.0 * weights)).batch(8)
    with pytest.raises(ValueError, match=NO_WEIGHT):
        models[0].fit(batches, verbose=0)
    np.testing.assert_array_equal(trained(models[0]), before)


@pytest.mark.parametrize("options", [{}, {"estimator": "rws"}, {"backward_samples": 2}])
def test_the_gradient_of_a_batch_without_weights_is_nothing(model, options):
    """0 / 0 else; and the dreams of reweighted wake-sleep are of no example."""
    options = {"estimator": "dreg", **options}
    estimator = estimator_of(options.pop("estimator"))
    parts = model.posterior, model.generative, tf.constant(X), 3, SEED, model.objective, estimator
    for weights, moves in ((0.0 * WEIGHTS, False), (WEIGHTS, True)):
        found = bound_gradients(*parts, **options, example_weights=tf.constant(weights))
        for part in (found.generative, found.posterior):
            norm = sum(float(tf.reduce_sum(gradient**2)) for gradient in part)
            assert (norm > 0.0) == moves, norm


@pytest.mark.slow
def test_a_pass_without_weights_reports_nothing(model):
    """A bound of 0, the best that a Bernoulli could have, it would be."""
    nothing, held_out = dataset(X, LABELS, 0.0 * WEIGHTS), np.array([1, 1, 1, 1, 1, 1, 0, 0], np.float32)
    some = dataset(X, LABELS, held_out[::-1].copy())
    with pytest.raises(ValueError, match=NO_WEIGHT):
        model.evaluate(nothing, verbose=0)
    quiet = {"verbose": 0, "callbacks": [keras.callbacks.TerminateOnNaN()]}
    for options in ({}, {"validation_data": some}):
        with pytest.raises(ValueError, match=NO_WEIGHT):
            model.fit(nothing, **quiet, **options)
    with pytest.raises(ValueError, match=NO_WEIGHT.replace("x:", "validation_data:")):
        model.fit(X, sample_weight=held_out, validation_split=0.25, **quiet)
    # Of a batch it may be.
    last = held_out * (np.arange(8) < BATCH)
    assert model.evaluate(dataset(X, LABELS, last), verbose=0, return_dict=True)["bound"] < 0.0


def test_a_weighted_mean_of_nothing_is_nothing():
    assert float(weighted_mean(tf.constant([1.0, 2.0]), tf.constant([0.0, 0.0]))) == 0.0
    assert float(weighted_mean(tf.constant([1.0, 2.0]), tf.constant([1.0, 3.0]))) == 1.75


def test_weights_reach_a_model_in_training_mode_and_its_penalties_stay_whole():
    """A penalty is of the weights of the network, and not of examples."""
    penalized = [
        make(
            run_eagerly=True, encoder=keras.layers.Dense(8, "tanh", kernel_initializer="ones", kernel_regularizer="l2")
        )
    ] * 2
    logs = [
        model.evaluate(X, sample_weight=weights, verbose=0, return_dict=True)
        for model, weights in zip(penalized, (None, np.full(8, 9.0)), strict=True)
    ]
    assert logs[0]["loss"] == pytest.approx(logs[1]["loss"], rel=1e-5)
    assert logs[0]["loss"] + logs[0]["bound"] == pytest.approx(0.48, rel=1e-4)
