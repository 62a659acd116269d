"""Numbers are what they are called: near the limits of float32 too, and where they are no likelihood."""

import math

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import logsumexp

from keras_iwae import CIWAE, IWAE, Renyi
from keras_iwae.evaluation import (
    BidirectionalResult,
    NLLResult,
    Proposal,
    annealed_nll,
    importance_weighted_nll,
    paired_difference,
    sumo_nll,
)
from keras_iwae.evaluation.jackknife import jackknife_correction
from keras_iwae.evaluation.streaming import LargestTerms
from keras_iwae.foundation.numerics import log_mean_exp
from keras_iwae.likelihoods import GaussianLikelihood, MixedLikelihood

X = (np.random.default_rng(0).random((8, 6)) < 0.4).astype(np.float32)
QUIET = {"verbose": False}


def make(optimizer="adam", **options):
    model = IWAE(6, **{"latent_dim": 2, "hidden": (8,), "num_samples": 3, "seed": 3, **options})
    model.compile(optimizer, run_eagerly=True)
    return model


def result(log_likelihood, jackknife=None, num_samples=50, **options):
    """Of three examples whose weights leave nothing else to be wished for."""
    values = np.asarray(log_likelihood, np.float64)
    return NLLResult(
        num_samples=num_samples,
        seed=0,
        bound_per_example={num_samples: values},
        ess_per_example=np.full(3, 0.9 * num_samples),
        pareto_k_per_example=np.full(3, 0.2),
        jackknife_per_example=values if jackknife is None else np.asarray(jackknife),
        means_per_example=np.zeros([3, 2]),
        latent_dim=2,
        proposal=Proposal(),
        entries_per_example=np.full(3, 6),
        **options,
    )


def test_a_result_is_judged_where_it_can_be():
    assert result([-50.0, -60.0, -70.0]).verdict.startswith("K = 50 suffices")


@pytest.mark.parametrize("wrong", [math.nan, -math.inf, math.inf])
def test_a_number_that_is_not_finite_is_no_bound(wrong):
    found = result([-50.0, wrong, -70.0])
    for said in (found.verdict, str(found)):
        assert "The NLL is not finite: it is no bound of anything" in said
        assert "upper bound" not in said
        assert "suffice" not in said
    record = found.to_dict()
    assert record["nll"] is record["bounds"]["50"] is record["bits_per_dimension"] is record["jackknife_nll"] is None


def test_a_jackknife_that_is_not_finite_is_no_bias_of_about_nan():
    verdict = result([-50.0, -60.0, -70.0], [-50.0, math.nan, -70.0]).verdict
    assert verdict == "K = 50 cannot be judged: some weights leave the jackknife without a finite value."


@pytest.mark.slow
def test_log_weights_of_a_million_nats_are_not_judged():
    """Float32 has steps of 0.06 to 0.25 nats there, and log weights differ by some of them or by nothing."""
    model = make(likelihood=GaussianLikelihood(scale=1e-3))
    found = importance_weighted_nll(model, X, 30, bounds=(), **QUIET)
    assert -found.log_likelihood_per_example.min() > 1e6
    assert found.rounding > 0.1
    assert found.verdict.startswith("Float32 rounds log weights of this size by 0.")
    assert "Standardize the data" in found.verdict
    assert result([-50.0, -60.0, -7e4]).verdict.startswith("K = 50 suffices")


EVALUATIONS = {
    "two samples": lambda model, x: importance_weighted_nll(model, x, 2, **QUIET),
    "a tail": lambda model, x: importance_weighted_nll(model, x, 200, **QUIET),
    "annealing": lambda model, x: annealed_nll(model, x, 2, 3, 1, **QUIET),
    "sumo": lambda model, x: sumo_nll(model, x, 3, **QUIET),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("scale", [1.0, 1e-14])
@pytest.mark.parametrize("name", EVALUATIONS)
def test_numpy_says_nothing_of_log_weights_however_large(name, scale):
    """Of 1e20 nats, of which float32 does not tell one from the next, and of minus infinity."""
    found = EVALUATIONS[name](make(likelihood=GaussianLikelihood(scale=scale)), 1e10 * X)
    assert math.isfinite(found.nll) == (scale == 1.0)
    assert str(found)
    if "annealing" != name != "sumo" and scale == 1.0:
        np.testing.assert_allclose(found.jackknife_per_example, found.log_likelihood_per_example, rtol=1e-6)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_no_gap_between_infinities_is_said_without_a_warning():
    gone = np.array([-math.inf])
    record = BidirectionalResult(gone, gone, gone, 0.6, 5, 3, 9, 2, "prior", 0).to_dict()
    assert record["gap"]["mean"] is record["importance_gap_at_most"]["mean"] is None


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("level", [0.0, -1e4, -1e20])
@pytest.mark.parametrize("count", [2, 64, 200])
def test_equal_weights_leave_the_jackknife_nothing_to_take_off(count, level):
    """The control is one weight that is all there is, which leaves infinitely much."""
    kept = min(count, 64)
    state = LargestTerms.zeros(kept, tf.constant(1)).update(tf.fill([count, 1], level))
    correction = jackknife_correction(count, state.largest.numpy(), state.rest.numpy())
    # The sums of those that are not kept are of float32, which rounds 1e20 nats by more than log 136.
    assert abs(correction[0]) < (1e-9 if count == kept else 0.01)
    one = np.full([1, kept], -np.inf)
    one[0, 0] = level
    assert jackknife_correction(count, one, np.full([4, 1], -np.inf)) == np.inf


GREY = np.linspace(0.0, 1.0, 48, dtype=np.float32).reshape(8, 6)
JUDGES = {
    "importance": lambda model, x: importance_weighted_nll(model, x, 4, **QUIET),
    "annealing": lambda model, x: annealed_nll(model, x, 2, 3, 1, **QUIET),
    "sumo": lambda model, x: sumo_nll(model, x, 2, **QUIET),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", JUDGES)
def test_grey_levels_under_a_bernoulli_have_a_cross_entropy(name):
    """Their sum of x log p + (1 - x) log(1 - p) is no log-density: it does not integrate to 1."""
    model = make()
    grey, binary = JUDGES[name](model, GREY), JUDGES[name](model, X)
    assert grey.to_dict()["quantity"] == "cross-entropy of grey levels"
    assert binary.to_dict()["quantity"] == "negative log-likelihood"
    assert str(grey).startswith("cross-entropy")
    assert str(binary).startswith("NLL")
    assert "bits per dimension" not in str(grey)
    if name != "sumo":
        assert grey.bits_per_dimension is None
        assert binary.bits_per_dimension == pytest.approx(binary.nll / (6.0 * math.log(2.0)))
        assert "bits per dimension" in str(binary)


@pytest.mark.slow
def test_grey_levels_under_a_density_have_a_likelihood_and_no_bits():
    found = JUDGES["importance"](make(likelihood="continuous_bernoulli"), GREY)
    assert found.to_dict()["quantity"] == "negative log-likelihood"
    assert found.bits_per_dimension is None


@pytest.mark.slow
@pytest.mark.parametrize("name", JUDGES)
def test_a_likelihood_of_gaps_too_says_so(name):
    """log p(x_obs, s) is neither log p(x_obs) nor a number of nats for each observed entry."""
    gaps = np.where(X[:, :2] > 0.5, np.nan, 0.0).astype(np.float32)
    options = {"latent_dim": 1, "hidden": (4,), "missing": "nan", "likelihood": MixedLikelihood(["bernoulli"] * 2)}
    joint, observed = (
        JUDGES[name](IWAE(2, **options, missingness=each, seed=3), gaps) for each in ("self_masking", None)
    )
    assert joint.to_dict()["quantity"] == "negative log-likelihood of what was observed and of which entries were"
    assert observed.to_dict()["quantity"] == "negative log-likelihood"
    assert "which entries were" in str(joint)
    assert "which entries were" not in str(observed)
    with pytest.raises(ValueError, match=r"`log_likelihood`. Expected .* quantity = .* and of which entries were"):
        paired_difference(observed, joint)
    if name != "sumo":
        assert joint.bits_per_dimension is None
        assert observed.bits_per_dimension > 0.0


@pytest.mark.slow
def test_an_unbiased_estimate_of_a_density_is_not_compared_with_one_of_a_probability():
    density, probability = (
        sumo_nll(IWAE(6, 1, hidden=(4,), likelihood=each), X, 2, **QUIET) for each in ("gaussian", "bernoulli")
    )
    assert (density.discrete, probability.discrete) == (False, True)
    with pytest.raises(ValueError, match=r"`log_likelihood`. Expected what `reference` has, discrete = True"):
        paired_difference(density, probability)


@pytest.mark.parametrize("order", [1.0 - 1e-6, 1.0 - 1e-4, 1.0 - 1e-2, 1.0 + 1e-6, 1.0 + 1e-4, 0.5, 2.0])
def test_renyi_near_its_limit_keeps_its_digits(order):
    log_weights = np.random.default_rng(0).normal(-100.0, 6.0, size=(50, 7)).astype(np.float32)
    power = 1.0 - order
    wide = log_weights.astype(np.float64)
    expected = (logsumexp(power * wide, axis=0) - math.log(50)) / power
    objective = Renyi(alpha=order)
    np.testing.assert_allclose(objective(tf.constant(log_weights)), expected, atol=2e-4)
    with tf.GradientTape() as tape:
        given = tf.constant(log_weights)
        tape.watch(given)
        bound = objective(given)
    slopes = np.exp(power * wide - logsumexp(power * wide, axis=0))
    np.testing.assert_allclose(tape.gradient(bound, given), slopes, rtol=2e-3, atol=1e-6)
    if abs(power) < 1e-5:
        # Control: the formula as it stands loses tenths of a nat.
        plain = log_mean_exp(tf.constant(power * log_weights)) / power
        assert np.abs(plain - expected).max() > 0.02


def test_a_learned_coefficient_is_reported_as_of_before_the_step():
    model, other = (make("sgd", objective=CIWAE(beta=0.3, learned=True), estimator="reparameterized") for _ in range(2))
    model.optimizer.learning_rate = 5.0
    # The draws of the step.
    draw_key = tf.random.split(other._next_seed(X), 3)[0]
    log_weights = model.log_weights(X, 3, draw_key).numpy().astype(np.float64)
    logs = model.train_on_batch(X, return_dict=True)
    # Control: the step was large enough to be seen.
    after = float(model.beta)
    bounds = [
        np.mean(beta * log_weights.mean(axis=0) + (1.0 - beta) * (logsumexp(log_weights, axis=0) - math.log(3)))
        for beta in (0.3, after)
    ]
    assert logs["bound"] == pytest.approx(bounds[0], rel=1e-5)
    assert abs(bounds[1] - bounds[0]) > 1e-2
    assert logs["beta"] == pytest.approx(0.3, rel=1e-5)
    # Keras before 3.13 goes on with the means of the batch before.
    model.reset_metrics()
    assert model.test_on_batch(X, return_dict=True)["beta"] == pytest.approx(after, rel=1e-5)
