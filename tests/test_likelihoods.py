"""Every family of likelihoods against its log density in float64: one suite, one row a family and option."""

import math
import tracemalloc
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from oracles import (
    above,
    bernoulli_log_prob,
    categorical_log_prob,
    continuous_bernoulli_log_prob,
    gaussian_log_prob,
    negative_binomial_log_prob,
    poisson_log_prob,
    rounded_logistic_log_prob,
    student_t_log_prob,
)
from scipy import special, stats

from keras_iwae import IWAE, likelihoods
from keras_iwae.foundation import Support
from keras_iwae.likelihoods import (
    BernoulliLikelihood,
    CategoricalLikelihood,
    ContinuousBernoulliLikelihood,
    DiscretizedLogisticLikelihood,
    GaussianLikelihood,
    NegativeBinomialLikelihood,
    PoissonLikelihood,
    StudentTLikelihood,
    discretized_logistic,
)
from keras_iwae.likelihoods.dispersed_counts import DispersedCounts

SEED = tf.constant([11, 0])
SHAPE = (2, 3)
SAMPLES, BATCH, UNITS = 4, 3, 5


def gaussian(x, loc, scale=None):
    return gaussian_log_prob(x, loc, 0.3 if scale is None else above(scale, 0.01))


def student_t(x, loc, scale=None, df=None):
    return student_t_log_prob(
        x, loc, 0.3 if scale is None else above(scale, 0.01), 4.0 if df is None else above(df, 2.01, 5.0)
    )


def discretized(levels):
    largest = levels - 1.0
    return lambda x, loc, scale: rounded_logistic_log_prob(x, largest * loc, largest * above(scale, 0.001, 0.1), levels)


def log_mean(raw):
    return 20.0 * np.tanh(raw / 20.0)


def negative_binomial(x, mean, dispersion=None):
    return negative_binomial_log_prob(x, log_mean(mean), 1.5 if dispersion is None else above(dispersion, 0.01))


class Family(NamedTuple):
    """A likelihood, and its log density in float64 of x and raw parameters: the decoder's, then the learned ones."""

    make: Callable
    log_prob: Callable


FAMILIES = {
    "bernoulli": Family(BernoulliLikelihood, bernoulli_log_prob),
    "gaussian": Family(GaussianLikelihood, gaussian),
    "gaussian, by example": Family(lambda: GaussianLikelihood(scale="example"), gaussian),
    "gaussian, fixed": Family(lambda: GaussianLikelihood(scale=0.3), gaussian),
    "student_t": Family(StudentTLikelihood, student_t),
    "student_t, df by example": Family(
        lambda: StudentTLikelihood("example", "dimension"), lambda x, loc, df, scale: student_t(x, loc, scale, df)
    ),
    "student_t, by example": Family(lambda: StudentTLikelihood("example", "example"), student_t),
    "student_t, fixed": Family(lambda: StudentTLikelihood(4.0, 0.3), student_t),
    "discretized_logistic": Family(DiscretizedLogisticLikelihood, discretized(256)),
    "discretized_logistic, few": Family(lambda: DiscretizedLogisticLikelihood(levels=4), discretized(4)),
    "continuous_bernoulli": Family(ContinuousBernoulliLikelihood, continuous_bernoulli_log_prob),
    "poisson": Family(PoissonLikelihood, lambda x, mean: poisson_log_prob(x, log_mean(mean))),
    "negative_binomial": Family(NegativeBinomialLikelihood, negative_binomial),
    "negative_binomial, by example": Family(lambda: NegativeBinomialLikelihood("example"), negative_binomial),
    "negative_binomial, fixed": Family(lambda: NegativeBinomialLikelihood(1.5), negative_binomial),
    "categorical": Family(lambda: CategoricalLikelihood(levels=5), categorical_log_prob),
}


def built(likelihood, event_shape=SHAPE, features=None):
    """The likelihood for features of a decoder, or for the parameters themselves where `features` is None."""
    likelihood.describe_events(event_shape, seed=3)
    likelihood.build((None, *(likelihood.parameter_shape if features is None else (features,))))
    return likelihood


class Case:
    """A likelihood on features `[K, B, F]`, all weights away from their start, and events that it drew."""

    def __init__(self, family):
        self.family, self.likelihood = family, built(family.make(), features=UNITS)
        rng = np.random.default_rng(5)
        for variable in self.likelihood.trainable_variables:
            variable.assign(0.4 * rng.normal(size=variable.shape))
        if self.likelihood.encoding == "levels":
            self.likelihood.head.bias.assign_add(np.tile([0.5, 0.0], math.prod(SHAPE)))
        self.features = rng.normal(size=(SAMPLES, BATCH, UNITS)).astype(np.float32)
        self.x = self.likelihood.sample(self.features[0], SEED)[1].numpy()
        support = self.likelihood.support
        if not support.integers and support.bounded:
            self.x = rng.random(self.x.shape).astype(np.float32)

    @property
    def values(self):
        """Features, kernel, bias and learned parameters, in float64."""
        return [np.asarray(v, np.float64) for v in (self.features, *self.likelihood.trainable_variables)]

    def reference(self, x, values=None):
        """log p(x_d|z) of each entry in float64, `[..., K, B, *event_shape]`."""
        own = [v.path.split("/")[-1] for v in self.likelihood.trainable_variables]
        features, *weights = self.values if values is None else values
        by_name = dict(zip(own, weights, strict=True))
        raw = features @ by_name.pop("kernel") + by_name.pop("bias")
        raw = raw.reshape(*features.shape[:-1], *SHAPE, self.likelihood.parameters)
        return self.family.log_prob(np.asarray(x, np.float64), *np.moveaxis(raw, -1, 0), *by_name.values())

    def grid(self):
        """Values of an entry and what each stands for in a sum or an integral, `[cells, 1, 1, 1, 1]` each."""
        support = self.likelihood.support
        if self.likelihood.discrete:
            x = np.arange(3000.0 if not support.bounded else support.high + 1.0)
            cells = np.ones_like(x)
        elif support.bounded:
            x = (np.arange(2000) + 0.5) / 2000
            cells = np.full_like(x, 1 / 2000)
        else:
            ticks = np.linspace(-12.0, 12.0, 4001)
            x, cells = np.sinh(ticks), np.cosh(ticks) * (ticks[1] - ticks[0])
        return [column.reshape(-1, 1, 1, 1, 1) for column in (x, cells)]

    def density(self, x):
        """Density or probability of each entry as the likelihood has it, `[cells, K, B, *event_shape]`."""
        entries = self.likelihood.entries(self.likelihood(self.features))
        return np.exp(np.asarray(entries.log_prob(x.astype(np.float32)), np.float64))


@pytest.fixture(scope="module", params=FAMILIES)
def case(request):
    return Case(FAMILIES[request.param])


def test_the_suite_has_every_family():
    assert {name.split(",")[0] for name in FAMILIES} == set(likelihoods.LIKELIHOODS)
    for name, family in FAMILIES.items():
        assert type(family.make()) is likelihoods.LIKELIHOODS[name.split(",")[0]]


@pytest.mark.slow
def test_log_prob_is_the_log_density(case):
    found = case.likelihood.log_prob(case.x, case.features)
    assert found.shape == (SAMPLES, BATCH)
    np.testing.assert_allclose(found, case.reference(case.x).sum(axis=(2, 3)), rtol=2e-5, atol=1e-4)
    np.testing.assert_allclose(found, case.likelihood.distribution(case.features).log_prob(case.x), rtol=1e-5)
    # Controls: any weight off by a little, as a parameter in another's place would be, and events in another order.
    rng = np.random.default_rng(7)
    for index in range(1, len(case.values)):
        values = case.values
        values[index] = values[index] + 0.02 * rng.normal(size=values[index].shape)
        assert np.abs(case.reference(case.x, values).sum(axis=(2, 3)) - found).max() > 1e-3, index
    assert np.abs(case.likelihood.log_prob(np.roll(case.x, 1, axis=1), case.features) - found).max() > 1e-3


@pytest.mark.slow
def test_density_sums_to_one(case):
    x, cells = case.grid()
    density = case.density(x)
    np.testing.assert_allclose((density * cells).sum(axis=0), 1.0, atol=2e-4)
    # Control: a density that is a little too peaked, and not normalized again.
    assert np.abs((density**1.05 * cells).sum(axis=0) - 1.0).max() > 0.005


@pytest.mark.slow
def test_moments_are_those_of_the_density(case):
    x, cells = case.grid()
    mass = case.density(x) * cells
    mean = (mass * x).sum(axis=0)
    stddev = np.sqrt((mass * (x - mean) ** 2).sum(axis=0))
    served = case.likelihood.served(case.features)
    if isinstance(case.likelihood, BernoulliLikelihood):
        np.testing.assert_allclose(served["probabilities"], mean, rtol=1e-5)
        np.testing.assert_allclose(tf.sigmoid(served["logits"]), mean, rtol=1e-5)
    else:
        np.testing.assert_allclose(served["mean"], mean, rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(served["stddev"], stddev, rtol=5e-3)
    if "probabilities" in served and case.likelihood.parameters > 1:
        np.testing.assert_allclose(np.moveaxis(served["probabilities"], -1, 0), mass, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(case.likelihood.mean(case.features), mean, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(case.likelihood.sample(case.features, SEED)[0], mean, rtol=2e-3, atol=2e-3)


@pytest.mark.statistical
def test_draws_are_as_frequent_as_the_density_says(case):
    count = 10_000
    x, cells = case.grid()
    mass = (case.density(x) * cells)[:, 0]
    draws = case.likelihood.distribution(case.features[0]).sample(count, seed=SEED).numpy().astype(np.float64)
    scale = max(1.0, np.sqrt((mass[:, 0, 0, 0] * x[:, 0, 0, 0, 0] ** 2).sum()))
    distances = []
    for wave in (0.5, 1.3):
        for trigonometric in (np.cos, np.sin):
            expected = (mass * trigonometric(wave * x[:, 0] / scale)).sum(axis=0)
            values = trigonometric(wave * draws / scale)
            # A draw that hardly varies has hardly an error; what float32 makes of the mass is left.
            error = values.std(axis=0) / math.sqrt(count) + 1e-5
            distances.append(np.abs(values.mean(axis=0) - [expected, np.roll(expected, 1, axis=0)]) / error)
    right, of_another_example = np.max(distances, axis=(0, 2, 3, 4))
    assert right < 5.0 < 20.0 < of_another_example
    mean, error = case.likelihood.mean(case.features[0]).numpy(), draws.std(axis=0) / math.sqrt(count)
    assert np.all(np.abs(draws.mean(axis=0) - mean) < 5.0 * error + 1e-4)
    np.testing.assert_array_equal(case.likelihood.check(draws[:, 0]), draws[:, 0])
    # `sample` draws from that distribution.
    again = case.likelihood.distribution(case.features[0]).sample(seed=SEED)
    np.testing.assert_array_equal(case.likelihood.sample(case.features[0], SEED)[1], again)


@pytest.mark.slow
def test_gradients_are_those_of_the_log_density(case):
    """Every weight and the features, each along a direction of its own, against differences in float64."""
    features, rng = tf.constant(case.features), np.random.default_rng(6)
    sources = [features, *(variable.value for variable in case.likelihood.trainable_variables)]
    with tf.GradientTape() as tape:
        tape.watch(features)
        total = tf.reduce_sum(case.likelihood.log_prob(case.x, features))
    for index, gradient in enumerate(tape.gradient(total, sources)):
        direction = rng.normal(size=gradient.shape)
        ends = []
        for step in (1e-5, -1e-5):
            values = case.values
            values[index] = values[index] + step * direction
            ends.append(case.reference(case.x, values).sum())
        slope = (gradient.numpy() * direction).sum()
        assert slope == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-3, abs=2e-3), index
        assert np.abs(gradient).max() > 0.01


def extreme(name):
    """The likelihood of two entries, and parameters `[16, 1, 2, P]` of 1e3 and 1e4 in all combinations of signs."""
    likelihood = built(FAMILIES[name].make(), (2,))
    for variable in likelihood.trainable_variables:
        variable.assign([-1e3, 1e3])
    signs = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3, indexing="ij"), axis=-1).reshape(8, 3)
    raw = np.concatenate([1e3 * signs, 1e4 * signs]).astype(np.float32)[:, : 1 if likelihood.parameters == 1 else 3]
    raw = np.resize(raw.T, (likelihood.parameters, len(raw))).T
    return likelihood, np.repeat(raw[:, np.newaxis, np.newaxis], 2, axis=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_extreme_parameters_and_events(name):
    likelihood, raw = extreme(name)
    support = likelihood.support
    ends = [support.low if math.isfinite(support.low) else -1e6, support.high if support.bounded else 1e6]
    x = np.array([ends, ends[::-1], [0.0, 1.0]], np.float32)
    raw = np.repeat(raw, len(x), axis=1)
    features = tf.constant(raw[..., 0] if likelihood.parameters == 1 else raw)
    with tf.GradientTape() as tape:
        tape.watch(features)
        found = likelihood.log_prob(x, features)
    learned = [variable.value for variable in likelihood.trainable_variables]
    for gradient in tape.gradient(found, [features, *learned]):
        assert np.all(np.isfinite(gradient))
    weights = [np.asarray(variable, np.float64) for variable in likelihood.trainable_variables]
    expected = FAMILIES[name].log_prob(x.astype(np.float64), *np.moveaxis(raw.astype(np.float64), -1, 0), *weights)
    np.testing.assert_allclose(found, expected.sum(axis=-1), rtol=1e-5, atol=1e-3)
    mean, draws = likelihood.sample(features, SEED)
    assert np.all(np.isfinite(mean))
    # Of a mean at its end draws are larger than what is learned from.
    Support(support.low, support.high, support.integers).check(draws[:, 0].numpy(), "draws")
    for value in likelihood.served(features).values():
        assert np.all(np.isfinite(value))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["discretized_logistic", "discretized_logistic, few", "poisson", "categorical"])
def test_whole_numbers_that_float32_has_not_kept_whole(name):
    """What `check` takes for a whole number has its probability."""
    case = Case(FAMILIES[name])
    top = 4.0 if not case.likelihood.support.bounded else case.likelihood.support.high
    x = np.resize(np.array([0.0, 1.0, top], np.float32), case.x.shape)
    expected = case.likelihood.log_prob(x, case.features)
    for off in (x * (1.0 - 1e-6), np.minimum(x + 2e-4, top)):
        found = case.likelihood.log_prob(case.likelihood.check(off), case.features)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


MEANS = {
    "bernoulli": (0.01, 0.3, 0.98),
    "gaussian": (-7.0, 0.0, 30.0),
    "student_t": (-7.0, 0.0, 30.0),
    "discretized_logistic": (0.01, 0.3, 0.98),
    "continuous_bernoulli": (0.01, 0.3, 0.98),
    "poisson": (0.05, 1.0, 40.0),
    "negative_binomial": (0.05, 1.0, 40.0),
    "categorical": (0.02, 0.3, 0.98),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_the_head_starts_from_a_mean(name):
    likelihood = built(FAMILIES[name].make(), (3,), features=UNITS)
    largest = likelihood.support.high if likelihood.support.bounded else 1.0
    mean = largest * np.array(MEANS[name.split(",")[0]])
    likelihood.initialize(mean)
    # At features of 0 only the bias is left.
    np.testing.assert_allclose(likelihood.mean(tf.zeros((2, 1, UNITS)))[1, 0], mean, rtol=2e-4, atol=1e-4)
    for edge in (likelihood.support.low, likelihood.support.high):
        likelihood.initialize(np.full(3, edge) if math.isfinite(edge) else mean)
        assert np.all(np.isfinite(likelihood.head.bias))
    # All else is what raw parameters of 0 give.
    zeros = np.delete(likelihood.parameters_of_mean(mean).reshape(3, -1), 0, axis=1)
    assert name == "categorical" or not zeros.any()


@pytest.mark.parametrize(
    ("likelihood", "parameter", "least", "start"),
    [
        (GaussianLikelihood("dimension", 0.05), "scale", 0.05, 1.0),
        (GaussianLikelihood("example", 0.05), "scale", 0.05, 1.0),
        (StudentTLikelihood("dimension", "example", 0.05), "scale", 0.05, 1.0),
        (StudentTLikelihood("dimension", "example"), "df", 2.01, 5.0),
        (StudentTLikelihood("example", "dimension", 0.05), "scale", 0.05, 1.0),
        (StudentTLikelihood("example", "dimension"), "df", 2.01, 5.0),
        (NegativeBinomialLikelihood("dimension", 0.05), "dispersion", 0.05, 1.0),
        (NegativeBinomialLikelihood("example", 0.05), "dispersion", 0.05, 1.0),
        (DiscretizedLogisticLikelihood(11, 0.02), "scale", 0.2, 1.0),
    ],
)
def test_a_positive_parameter_is_held_up_starts_where_it_says_and_grows(likelihood, parameter, least, start):
    likelihood = built(likelihood, (2,))

    def value(raw):
        for variable in likelihood.trainable_variables:
            variable.assign([raw, raw])
        return np.ravel(likelihood.entries(tf.fill((1, *likelihood.parameter_shape), raw)).parameters[parameter])

    np.testing.assert_allclose(value(0.0), start, rtol=1e-6)
    for raw in (-1e4, -100.0):
        np.testing.assert_allclose(value(raw), least, rtol=1e-6)
    assert np.all(value(50.0) > 4.0 * start)


def test_log_means_stay_between_their_bounds():
    likelihood = built(PoissonLikelihood(max_log_mean=3.0), (2,))
    raw = np.array([[-1e4, 1e4], [-0.3, 0.3]], np.float32)
    expected = [[math.exp(-3.0), math.exp(3.0)], [math.exp(-0.3), math.exp(0.3)]]
    np.testing.assert_allclose(likelihood.mean(raw), expected, rtol=2e-3)


@pytest.mark.parametrize("family", [PoissonLikelihood, NegativeBinomialLikelihood])
def test_counts_that_a_mean_does_not_reach_are_refused(family):
    support = family(max_log_mean=5.0).support
    largest = math.floor(math.exp(4.5))
    assert support.check(np.array([[0, largest]]), "x").tolist() == [[0.0, largest]]
    # As a file, and in a graph.
    for wrong in (lambda x: support.check(x, "x"), lambda x: support.checked(tf.constant(x), "x")):
        with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=r"at least 0 and up to 90[.;]"):
            wrong(np.array([[0, largest + 1]]))
    # The highest that float32 has a probability of, whatever the mean may be.
    assert family(max_log_mean=40.0).support.most == (1e6 if family is PoissonLikelihood else 1e15)
    assert family().support.most == pytest.approx(1e6 if family is PoissonLikelihood else math.exp(18.0))


def masked(name):
    """A likelihood that gets its parameters, events, parameters, and a mask with a full and an empty row."""
    case, likelihood = Case(FAMILIES[name]), built(FAMILIES[name].make())
    learned = [variable for variable in case.likelihood.trainable_variables if "raw" in variable.path]
    for variable, other in zip(likelihood.trainable_variables, learned, strict=True):
        variable.assign(other)
    mask = np.random.default_rng(8).random(case.x.shape) < 0.5
    mask[0], mask[1] = True, False
    assert 0 < mask[2].sum() < mask[2].size
    return likelihood, case.x, tf.constant(case.likelihood(case.features)), mask


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_what_was_not_observed_has_no_part_in_anything(name):
    likelihood, x, parameters, mask = masked(name)
    entries = likelihood.entries(parameters).log_prob(x).numpy().astype(np.float64)
    expected = np.where(mask, entries, 0.0).sum(axis=(2, 3))

    def found(x):
        learned = [variable.value for variable in likelihood.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            log_prob = likelihood.log_prob(tf.constant(x), parameters, tf.constant(mask))
        return log_prob, tape.gradient(log_prob, [parameters, *learned])

    log_prob, (slopes, *learned) = found(x)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5, atol=1e-5)
    assert np.abs(log_prob[:, 1]).max() < 1e-5
    # Of an entry as a whole: a level of a categorical one has a gradient whether it came or not.
    slopes = np.abs(slopes.numpy()).reshape(*entries.shape, -1).max(axis=-1)
    assert not slopes[:, ~mask].any()
    assert slopes[:, mask].min() > 0.0
    # Control: with the entries that were left out the numbers are others.
    assert np.abs(log_prob - entries.sum(axis=(2, 3)))[:, 1:].min() > 0.01
    support = likelihood.support
    for value in (0.0, support.high if support.bounded else 1e6):
        again, (others, *weights) = found(np.where(mask, x, np.float32(value)))
        np.testing.assert_array_equal(again, log_prob)
        np.testing.assert_array_equal(np.abs(others.numpy()).reshape(*entries.shape, -1).max(axis=-1), slopes)
        for one, other in zip(weights, learned, strict=True):
            np.testing.assert_array_equal(one, other)
    # A mask of True is none.
    everything = likelihood.log_prob(x, parameters, tf.ones_like(mask, bool))
    np.testing.assert_allclose(everything, likelihood.log_prob(x, parameters), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", likelihoods.LIKELIHOODS)
def test_the_same_under_xla(name):
    """What a model is trained with on a GPU: log densities, their gradients, and means."""
    case = Case(FAMILIES[name])
    mask = tf.constant(np.random.default_rng(8).random(case.x.shape) < 0.5)

    def compute(features):
        with tf.GradientTape() as tape:
            tape.watch(features)
            sources = [features, *(variable.value for variable in case.likelihood.trainable_variables)]
            log_prob = case.likelihood.log_prob(case.x, features, mask)
        return log_prob, case.likelihood.mean(features), tape.gradient(log_prob, sources)

    found = tf.function(compute, jit_compile=True, autograph=False)(tf.constant(case.features))
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(compute(tf.constant(case.features))), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_means_of_levels_are_sums_over_levels_whatever_the_axes():
    """Draws of images have six axes, which oneDNN's softmax does not take, nor its product one axis of 1."""
    likelihood = CategoricalLikelihood(levels=3)
    for shape in ((2, 1, 2, 3), (2, 1, 2, 2, 1, 3)):
        logits = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        weights = np.exp(logits.astype(np.float64))
        expected = (weights * np.arange(3)).sum(axis=-1) / weights.sum(axis=-1)
        np.testing.assert_allclose(likelihood.mean_of(tf.constant(logits)), expected, rtol=1e-5)


class LogNormalLikelihood(likelihoods.Likelihood):
    """Of a user's own, of numbers above 0."""

    support = Support(low=1e-3)

    def entries(self, parameters):
        return tfp.distributions.LogNormal(parameters, 1.0)


@pytest.mark.parametrize(
    ("levels", "some"), [(65536, {60000: 0.5, 60001: 0.5}), (256, {250: 0.99, 251: 0.01}), (3, {2: 1.0})]
)
def test_the_spread_of_high_levels_is_not_lost_in_their_squares(levels, some):
    logits = np.full(levels, -100.0, np.float32)
    logits[list(some)] = np.log(list(some.values()))
    shares = np.exp(logits.astype(np.float64))
    mean = np.sum(shares * np.arange(levels)) / shares.sum()
    stddev = np.sqrt(np.sum(shares * (np.arange(levels) - mean) ** 2) / shares.sum())
    found = CategoricalLikelihood(levels).moments_of(tf.constant(logits))
    np.testing.assert_allclose(found, [mean, stddev], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("levels", [65, 256])
def test_means_of_many_levels_are_an_integral_and_no_sum(levels):
    largest = levels - 1.0
    loc, scale = largest * np.linspace(-1.0, 2.0, 61), 0.1 * largest
    wanted = special.expit((loc - np.arange(0.5, largest)[:, np.newaxis]) / scale).sum(axis=0)
    found = discretized_logistic._mean(loc, scale, levels)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    np.testing.assert_allclose(largest - found, largest - wanted, rtol=1e-5)
    # Half a level further, which is where the levels themselves are.
    assert np.max(np.abs(discretized_logistic._mean(loc - 0.5, scale, levels) - wanted)) > 0.4


def test_a_start_at_a_mean_takes_no_memory_for_all_levels_of_all_entries():
    likelihood = DiscretizedLogisticLikelihood(levels=2**16)
    mean = np.full((64, 64, 1), 30000.0)
    mean[0, 0, 0] = 60000.0
    tracemalloc.start()
    try:
        parameters = likelihood.parameters_of_mean(mean)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Of the levels of one row it would be 32 MiB.
    assert peak < 4 * 2**20
    for entry, wanted in ((parameters[0, 0, 0], 60000.0), (parameters[-1, -1, 0], 30000.0)):
        found = special.expit((entry[0] * 65535.0 - np.arange(0.5, 65535.0)) / 6553.5).sum()
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.slow
def test_a_support_without_zero_may_have_missing_entries():
    model = IWAE(3, latent_dim=1, hidden=(4,), num_samples=2, likelihood=LogNormalLikelihood(), missing="nan")
    x = tf.constant([[0.5, np.nan, 2.0]])
    z = tf.zeros([2, 1, 1])
    location = model.generative(z)
    expected = tfp.distributions.LogNormal(location, 1.0).log_prob([[0.5, 1.0, 2.0]])
    expected = tf.reduce_sum(tf.gather(expected, [0, 2], axis=-1), axis=-1)
    np.testing.assert_allclose(model.generative.log_likelihood(x, z), expected, rtol=1e-5)
    sources = [variable.value for variable in model.generative.trainable_variables]
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(model.generative.log_likelihood(x, z))
    assert all(np.all(np.isfinite(gradient)) for gradient in tape.gradient(value, sources))


@pytest.mark.parametrize("df", [2.5, 30.0, 1e5])
def test_student_t_of_many_degrees_and_far_out(df):
    """Where a difference of log-gammas has lost its digits, and where float32 has no square."""
    likelihood = StudentTLikelihood(df, 1.0)
    x = np.array([0.0, 1.5, -40.0, 1e12, 1e25])
    found = likelihood.entry_log_prob(tf.constant(x, tf.float32), tf.zeros([5]))
    np.testing.assert_allclose(found, stats.t.logpdf(x, df), rtol=2e-6, atol=2e-6)
    direct = tf.math.lgamma(0.5 * (df + 1.0)) - tf.math.lgamma(0.5 * df) - 0.5 * math.log(math.pi * df)
    assert (abs(float(direct) - stats.t.logpdf(0.0, df)) > 1e-4) == (df == 1e5)


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_negative_binomial_of_large_counts(jit_compile):
    """Where its factors are as large as 1e9, log-probabilities and their slopes are right to rounding of the mean."""
    mean, r = np.meshgrid([1e-3, 3.0, 1e3, 1e6, 1e7, 6e7], [1e-6, 0.01, 1.5, 1e3, 1e5, 1e8, 1e20])
    log_mean, r = (np.asarray(each[..., np.newaxis], np.float32) for each in (np.log(mean), r))
    mean = np.exp(log_mean.astype(np.float64))
    spread = np.sqrt(mean + mean * mean / r)
    x = np.round(np.clip(mean + spread * [-4.0, -1.0, 0.0, 1.0, 4.0, 20.0], 0.0, 6e7)).astype(np.float32)
    x = np.concatenate([np.broadcast_to(np.arange(4, dtype=np.float32), [*x.shape[:-1], 4]), x], axis=-1)

    @tf.function(jit_compile=jit_compile)
    def found(x, log_mean, r):
        # Of each count, as slopes would be summed over them.
        log_mean, r = log_mean + tf.zeros_like(x), r + tf.zeros_like(x)
        with tf.GradientTape() as tape:
            tape.watch([log_mean, r])
            log_prob = DispersedCounts(log_mean, r).log_prob(x)
        return log_prob, *tape.gradient(log_prob, [log_mean, r])

    log_prob, by_log_mean, by_r = found(x, log_mean, r)
    x, log_mean, r = (np.asarray(each, np.float64) for each in (x, log_mean, r))
    # Of the largest dispersion SciPy is no oracle either: it has sixteen digits of 1e21, and Poisson is the limit.
    expected = np.where(r < 1e10, negative_binomial_log_prob(x, log_mean, r), poisson_log_prob(x, log_mean))
    np.testing.assert_allclose(log_prob, expected, rtol=2e-6, atol=5e-3)
    is_near = np.abs(x - mean) < 6.0 * spread
    np.testing.assert_allclose(log_prob[is_near], expected[is_near], rtol=2e-6, atol=2e-3)
    slopes = (x - mean) * r / (mean + r)
    assert np.all(np.abs(by_log_mean - slopes) < 1e-5 * (1.0 + np.abs(slopes)) + 3e-7 * mean)
    gammas, odds = special.digamma(x + r) - special.digamma(r), np.log1p(mean / r)
    slopes = r * (gammas - odds + (mean - x) / (mean + r))
    np.testing.assert_allclose((by_r * r)[:5], slopes[:5], rtol=1e-5, atol=1e-2)
    direct = tfp.distributions.NegativeBinomial(r.astype(np.float32), np.float32(log_mean - np.log(r))).log_prob(x)
    assert np.abs(direct - expected)[is_near].max() > 10.0


def test_the_likelihood_of_large_counts_is_that_one():
    likelihood = NegativeBinomialLikelihood(1e8)
    raw = tf.constant([20.0 * math.atanh(math.log(1e7) / 20.0)])
    expected = negative_binomial_log_prob(1e7, float(likelihood.log_mean(raw)[0]), 1e8)
    assert float(likelihood.entry_log_prob(tf.constant([1e7]), raw)[0]) == pytest.approx(expected, abs=2e-3)
