"""The family of bounds: their formulas, their order, and the arguments that make no sense. K, M and B all differ."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf
from oracles import LinearGaussian

from keras_iwae.bounds import objectives
from keras_iwae.bounds.estimators import derivative
from keras_iwae.bounds.objectives import CIWAE, ELBO, JVI, MIWAE, PIWAE, IWAEBound, Renyi
from keras_iwae.bounds.terms import term_value
from keras_iwae.foundation import log_share_without_each

WEIGHTS = (np.random.default_rng(0).normal(size=(12, 5)) * 3.0 - 800.0).astype(np.float32)


def log_mean_exp(x, axis=0):
    return np.logaddexp.reduce(np.asarray(x, np.float64), axis=axis) - math.log(np.shape(x)[axis])


FORMULAS = [
    (ELBO(), lambda w: w.mean(axis=0)),
    (IWAEBound(), log_mean_exp),
    (MIWAE(num_groups=3), lambda w: np.mean([log_mean_exp(w[i : i + 4]) for i in (0, 4, 8)], axis=0)),
    (PIWAE(num_groups=3), log_mean_exp),
    (CIWAE(beta=0.3), lambda w: 0.3 * w.mean(axis=0) + 0.7 * log_mean_exp(w)),
    (Renyi(alpha=0.4), lambda w: log_mean_exp(0.6 * w) / 0.6),
    (Renyi(alpha=-1.0), lambda w: log_mean_exp(2.0 * w) / 2.0),
    (Renyi(alpha=3.0), lambda w: log_mean_exp(-2.0 * w) / -2.0),
    (
        JVI(),
        lambda w: 12 * log_mean_exp(w) - 11 * np.mean([log_mean_exp(np.delete(w, i, 0)) for i in range(12)], axis=0),
    ),
]


@pytest.mark.parametrize(("objective", "formula"), FORMULAS, ids=[repr(objective) for objective, _ in FORMULAS])
def test_values_are_their_formulas(objective, formula):
    np.testing.assert_allclose(objective(tf.constant(WEIGHTS)), formula(WEIGHTS.astype(np.float64)), rtol=1e-6)
    assert objective(tf.constant(WEIGHTS)).shape == (5,)


@pytest.mark.parametrize("objective", [objective for objective, _ in FORMULAS], ids=repr)
def test_derivative_is_that_of_the_value(objective):
    weights = tf.constant(WEIGHTS + 800.0)
    with tf.GradientTape() as tape:
        tape.watch(weights)
        value = tf.reduce_sum(objective(weights))
    expected = derivative(objective.terms(12), weights)
    np.testing.assert_allclose(tape.gradient(value, weights), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(tf.reduce_sum(expected, axis=0), np.ones(5), rtol=1e-5)


def test_order_of_the_bounds():
    """ELBO <= MIWAE, CIWAE <= IWAE on the same samples; Renyi's falls as alpha grows, with IWAE and the ELBO on it."""
    w = tf.constant(WEIGHTS)
    elbo, iwae = ELBO()(w).numpy(), IWAEBound()(w).numpy()
    for between in (MIWAE(num_groups=3), MIWAE(num_groups=4), CIWAE(beta=0.5)):
        value = between(w).numpy()
        assert np.all((elbo < value) & (value < iwae))
    falling = [Renyi(alpha=alpha)(w).numpy() for alpha in (-1.0, 0.0, 0.3, 0.7, 1.0, 2.0)]
    for above, below in itertools.pairwise(falling):
        assert np.all(above > below)
    np.testing.assert_allclose(falling[1], iwae, rtol=1e-6)
    np.testing.assert_allclose(falling[4], elbo, rtol=1e-6)
    np.testing.assert_allclose(Renyi(alpha=1.0 - 1e-3)(w), elbo, rtol=1e-4)


def test_extremes_make_them_equal():
    w, one = tf.constant(WEIGHTS), tf.constant(WEIGHTS[:1])
    np.testing.assert_allclose(MIWAE(num_groups=1)(w), IWAEBound()(w), rtol=1e-7)
    np.testing.assert_allclose(MIWAE(num_groups=12)(w), ELBO()(w), rtol=1e-6)
    np.testing.assert_allclose(CIWAE(beta=0.0)(w), IWAEBound()(w), rtol=1e-7)
    np.testing.assert_allclose(CIWAE(beta=1.0)(w), ELBO()(w), rtol=1e-6)
    for objective in (ELBO(), IWAEBound(), MIWAE(num_groups=1), PIWAE(num_groups=1), CIWAE(), Renyi()):
        np.testing.assert_allclose(objective(one), WEIGHTS[0], rtol=1e-6)


def test_all_bounds_are_the_evidence_where_q_is_the_true_posterior():
    oracle = LinearGaussian(shift=0.0, stretch=1.0)
    x = oracle.sample_data(5)
    weights = oracle.log_weights(x, 12, tf.constant([1, 2]))
    for objective, _ in FORMULAS:
        np.testing.assert_allclose(objective(weights), oracle.log_evidence(x), rtol=3e-5, atol=3e-5)


def test_leaving_one_out_keeps_its_digits_next_to_a_weight_that_is_all():
    w = np.array([[0.0, -60.0, -61.0, -200.0], [-700.0, -700.0, -700.5, -699.0], [3.0, 3.0, 3.0, 3.0]])
    whole = np.logaddexp.reduce(w, axis=1)
    expected = [
        [np.logaddexp.reduce(np.delete(row, k)) - every for k in range(4)] for row, every in zip(w, whole, strict=True)
    ]
    found = log_share_without_each(tf.constant(w, tf.float32), axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with np.errstate(divide="ignore"):
        assert np.log(np.float32(1.0) - np.exp(np.float32(0.0) - np.float32(0.0))) == -np.inf  # the plain formula


@pytest.mark.statistical
def test_the_jackknife_leaves_a_bias_of_order_one_over_k_squared():
    """E L_K - log p(x) is near -a/K: with K doubled, half of it is left, and of JVI's, which is above 0, less."""
    oracle, count = LinearGaussian(shift=0.5, stretch=1.3), 200_000
    x = np.repeat(oracle.sample_data(1), count, axis=0)
    weights, log_evidence = oracle.log_weights(x, 16, tf.constant([3, 8])), oracle.log_evidence(x[:1])[0]

    def biases(objective):
        """Of K = 8 and 16, `[count]` each, the first in two groups."""
        halves = [objective(half).numpy().astype(np.float64) for half in (weights[:8], weights[8:])]
        return np.mean(halves, axis=0) - log_evidence, objective(weights).numpy() - log_evidence

    def in_errors(values):
        return values.mean() / (values.std() / np.sqrt(count))

    (plain, of_twice), (jackknife, its_twice) = biases(IWAEBound()), biases(JVI())
    assert in_errors(plain) < -20.0
    assert of_twice.mean() / plain.mean() == pytest.approx(0.5, abs=0.05)
    assert in_errors(jackknife) > 6.0  # no lower bound
    assert jackknife.mean() < -0.2 * plain.mean()
    assert in_errors(its_twice - 0.5 * jackknife) < -4.0


def test_the_jackknife_of_many_samples_keeps_its_digits():
    w = (np.random.default_rng(1).normal(size=(400, 3)) - 800.0).astype(np.float32)
    rest = [log_mean_exp(np.delete(w.astype(np.float64), i, 0)) for i in range(400)]
    expected = 400 * log_mean_exp(w) - 399 * np.mean(rest, axis=0)
    np.testing.assert_allclose(JVI()(tf.constant(w)), expected, atol=2e-4)
    # Terms that do not begin near 0 lose them.
    plain = sum(term.coefficient * term_value(term, tf.constant(w)) for term in JVI().terms(400))
    assert np.abs(plain - expected).max() > 1e-3


def test_the_jackknife_is_no_less_than_the_bound_and_no_bound():
    w = tf.constant(WEIGHTS)
    assert np.all(JVI()(w) >= IWAEBound()(w))
    with pytest.raises(ValueError, match=r"`num_samples`\. Expected at least 2"):
        JVI()(w[:1])


def test_positional_arguments_mean_what_they_say():
    assert CIWAE(0.3) == CIWAE(beta=0.3, learned=False)
    assert (MIWAE(4).num_groups, PIWAE(4).num_groups, Renyi(0.2).alpha) == (4, 4, 0.2)


def test_grouping_is_of_successive_samples_and_not_of_the_batch():
    w = np.zeros((6, 4), np.float32)
    w[:3] = 5.0
    np.testing.assert_allclose(MIWAE(num_groups=2)(tf.constant(w)), np.full(4, 2.5), rtol=1e-6)
    w[:3], w[::2] = 0.0, 5.0
    assert np.all(MIWAE(num_groups=2)(tf.constant(w)).numpy() > 4.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MIWAE(num_groups=0), "`num_groups`"),
        (lambda: MIWAE(num_groups=5).terms(12), "divisor of num_samples = 12, .*num_groups=4.*; .* Received: 5"),
        (lambda: PIWAE(num_groups=7).inference_terms(12), "divisor of num_samples = 12"),
        (lambda: CIWAE(beta=1.5), "`beta`"),
        (lambda: CIWAE(beta=0.0, learned=True), "both excluded"),
        (lambda: objectives.get("iwea"), "'jvi', or an Objective. Received: 'iwea'"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
