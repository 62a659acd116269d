"""Columns that go missing by their own values: against quadrature, and a table that the ignorable model gets wrong."""

import pickle

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy import special, stats
from scipy.integrate import trapezoid

from keras_iwae import IWAE, IWAEDensity, IWAEImputer, export_saved_model, load_saved_model
from keras_iwae.evaluation import conditional
from keras_iwae.likelihoods import (
    CategoricalLikelihood,
    GaussianLikelihood,
    MixedLikelihood,
    SelfMasking,
    logistic_normal,
)
from keras_iwae.likelihoods.logistic_normal import LogisticNormal
from keras_iwae.tables import trust

pytestmark = pytest.mark.slow

SEEDS, SAMPLES = 20, 400
NOISE, LEVELS = 0.7, 3
NAN = np.nan
# Gaussian, Gaussian, three levels; a gap in each, in all, in none.
X = np.array(
    [[NAN, 1.0, 0.0], [-0.5, NAN, 2.0], [NAN, NAN, 1.0], [0.4, 0.8, NAN], [NAN] * 3, [0.3, -1.0, 2.0]], np.float32
)
INTERCEPTS, SLOPES = np.array([-0.5, 0.8]), np.array([6.0, -1.5])
LEVEL_LOGITS = np.array([-2.0, 0.5, 2.0])


def made(missingness="self_masking"):
    likelihood = MixedLikelihood([GaussianLikelihood(NOISE), GaussianLikelihood(NOISE), CategoricalLikelihood(LEVELS)])
    model = IWAE(
        3,
        1,
        num_samples=5,
        likelihood=likelihood,
        missing="nan",
        mask_input=True,
        missingness=missingness,
        encoder=keras.layers.Dense(4, "tanh", kernel_initializer=keras.initializers.GlorotUniform(0)),
        decoder=keras.layers.Dense(5),
        seed=3,
    )
    kernel = np.array([[1.2, -0.9, 0.0, 0.7, -1.0]], np.float32)
    model.generative.decoder.set_weights([kernel, np.array([0.2, 0.0, 0.3, 0.0, -0.2], np.float32)])
    if missingness is not None:
        gaussian, levels = model.generative.missingness.weights
        gaussian.assign(np.stack([INTERCEPTS, SLOPES], axis=1) / 20.0)
        levels.assign(LEVEL_LOGITS[np.newaxis] / 20.0)
    return model


@pytest.fixture(scope="module")
def model():
    return made()


def exact(model, row, masked=True, known=()):
    """log p(x_obs, s), and mean and standard deviation of each cell given x_obs and s, by sums over z and each cell.

    `known` are values of some that went missing.
    """
    kernel, bias = (np.asarray(weight, np.float64) for weight in model.generative.decoder.weights)
    z, grid = np.linspace(-7.0, 7.0, 281), np.linspace(-12.0, 12.0, 1201)
    parameters = z[:, np.newaxis] * kernel[0] + bias
    each, means, squares = [], [], []
    for d, cell in enumerate(row):
        gone, cell = np.isnan(cell), dict(known).get(d, cell)
        values = np.array([cell]) if not np.isnan(cell) else grid if d < 2 else np.arange(3.0)
        if d < 2:
            share = stats.norm.pdf(values, parameters[:, [d]], NOISE) * (grid[1] - grid[0] if np.isnan(cell) else 1.0)
            logits = INTERCEPTS[d] + SLOPES[d] * values
        else:
            share = special.softmax(parameters[:, 2:], axis=1)[:, values.astype(int)]
            logits = LEVEL_LOGITS[values.astype(int)]
        joint = share * special.expit(logits if gone else -logits) if masked else share
        each.append(joint.sum(1))
        means.append((joint * values).sum(1) / joint.sum(1))
        squares.append((joint * values**2).sum(1) / joint.sum(1))
    weights = stats.norm.pdf(z) * np.prod(each, axis=0)
    mean, square = (trapezoid(weights * np.array(part), z) / trapezoid(weights, z) for part in (means, squares))
    return np.log(trapezoid(weights, z)), mean, np.sqrt(np.maximum(square - mean**2, 0.0))


def errors(found, wanted):
    """The largest distance of an average over seeds from what is wanted, in standard errors."""
    found = np.asarray(found, np.float64)
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    return np.max(np.abs(found.mean(axis=0) - wanted) / np.maximum(error, 1e-5))


@pytest.mark.parametrize("slope", [0.0, 0.3, -2.0, 60.0])
def test_the_logistic_normal_integral(slope):
    location, scale, intercept = np.array([-1.5, 0.0, 2.0], np.float32), 0.8, 0.4
    x = np.linspace(-14.0, 14.0, 200001)[:, np.newaxis]
    weights = stats.norm.pdf(x, location, scale) * special.expit(intercept + slope * x)
    found = LogisticNormal(tf.constant(location), scale, intercept, tf.constant(slope, tf.float32))
    total = trapezoid(weights, x, axis=0)
    mean = trapezoid(weights * x, x, axis=0) / total
    spread = np.sqrt(trapezoid(weights * x**2, x, axis=0) / total - mean**2)
    np.testing.assert_allclose(found.log_probability(), np.log(total), rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(found.mean(), mean, rtol=2e-4, atol=2e-4)
    many = LogisticNormal(tf.tile(location[np.newaxis], [20000, 1]), scale, intercept, tf.constant(slope, tf.float32))
    draws = many.sample(tf.constant([1, 2])).numpy()
    assert np.max(np.abs(draws.mean(0) - mean) / (spread / np.sqrt(20000))) < 4.5
    np.testing.assert_allclose(draws.std(0), spread, rtol=0.03)


def log_quadrature(location, scale, intercept, slope):
    """Of x that is missing, in float64: log probability, mean, standard deviation and the mean of sigma(-l)."""
    threshold, tilted = -intercept / slope, location + slope * scale**2
    fine = np.linspace(-60.0, 60.0, 120001)
    places = [location + fine * scale / 4, tilted + fine * scale / 4, threshold + fine / abs(slope)]
    # Beyond a threshold that is many standard deviations off, the rest of a tail is short, and nothing is behind it.
    places.append(threshold + fine * scale / max(1.0, abs(threshold - location) / scale))
    x = np.unique(np.concatenate(places))
    logs = stats.norm.logpdf(x, location, scale) - np.logaddexp(0.0, -(intercept + slope * x))
    weights = np.exp(logs - logs.max())
    total = trapezoid(weights, x)
    mean = trapezoid(weights * x, x) / total
    spread = np.sqrt(trapezoid(weights * (x - mean) ** 2, x) / total)
    observed = trapezoid(weights * special.expit(-(intercept + slope * x)), x) / total
    return logs.max() + np.log(total), mean, spread, observed


@pytest.mark.parametrize("intercept", [-4.0, -12.0, -30.0, -60.0, -600.0, -40000.0])
@pytest.mark.parametrize("slope", [20.0, -20.0, 60.0, 400.0, -400.0, 8000.0])
def test_the_log_of_a_probability_near_0_keeps_its_digits(slope, intercept):
    """By a mixture with a small absolute error its logarithm was wrong by tens of nats, and the mean went with it."""
    location, scale = 0.1, 0.05
    log_probability, mean, spread, observed = log_quadrature(location, scale, intercept, slope)
    given = [tf.constant([value], tf.float32) for value in (location, scale, intercept, slope)]
    with tf.GradientTape() as tape:
        tape.watch(given)
        found = LogisticNormal(*given).log_probability()
    np.testing.assert_allclose(found, [log_probability], rtol=2e-6, atol=2e-4)
    slopes = tape.gradient(found, given)
    assert np.isfinite(slopes).all()
    # In a, and in mu, of which the density of x has the slope (x - mu) / tau^2.
    np.testing.assert_allclose(slopes[2], [observed], rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(slopes[0], [(mean - location) / scale**2], rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(LogisticNormal(*given).mean(), [mean], atol=2e-3 * spread, rtol=1e-6)
    many = LogisticNormal(tf.fill([20000], location), *given[1:])
    draws = many.sample(tf.constant([1, 2])).numpy().astype(np.float64)
    assert abs(draws.mean() - mean) < 4.5 * spread / np.sqrt(20000) + 1e-6 * abs(mean)
    np.testing.assert_allclose(draws.std(), spread, rtol=0.03)


@pytest.mark.parametrize("slope", [20.0, 1000.0, -1000.0])
def test_the_mixture_is_least_right_where_it_turns(slope):
    """Where log p is between the two means, each with an error that is half of a logarithm's: at m = -v / 2."""
    scale = 0.05
    for beside in (-1e-3, 1e-3):
        intercept = np.float32(-0.5 * (scale * slope) ** 2 + beside)
        found = LogisticNormal(tf.constant(0.0), scale, tf.constant(intercept), tf.constant(slope, tf.float32))
        wanted = log_quadrature(0.0, scale, float(intercept), slope)[0]
        # And what float32 has of hundreds of nats.
        np.testing.assert_allclose(found.log_probability(), wanted, rtol=2e-7, atol=4e-5)


GAPS = np.isnan(X)
VALUES = np.where(GAPS, [[0.6, -0.4, 1.0]], NAN).astype(np.float32)


@pytest.fixture(scope="module")
def found(model):
    return [conditional(model, X, SAMPLES, num_draws=20, values=VALUES, seed=seed) for seed in range(SEEDS)]


@pytest.fixture(scope="module")
def wanted(model):
    """log p(x_obs, s), means and second moments; and what they are where gaps say nothing."""
    rows = [[exact(model, row, masked) for row in X] for masked in (True, False)]
    found = [[np.array(each) for each in zip(*of, strict=True)] for of in rows]
    return [(evidence, mean[GAPS], (mean**2 + stddev**2)[GAPS]) for evidence, mean, stddev in found]


@pytest.mark.statistical
def test_evidence_means_and_draws_are_those_of_quadrature(found, wanted):
    def distances(wanted):
        evidence, means, squares = wanted
        return (
            errors(np.exp([each.log_likelihood - evidence for each in found]), 1.0),
            errors([each.mean[GAPS] for each in found], means),
            errors([each.draws.mean(axis=0)[GAPS] for each in found], means),
            errors([(each.draws**2).mean(axis=0)[GAPS] for each in found], squares),
        )

    right, ignorable = wanted
    assert max(distances(right)) < 4.5
    # Not what the model says without the term of the mask, from which each of the four tells it.
    assert min(distances(ignorable)) > 10.0


@pytest.mark.statistical
def test_densities_of_values_that_went_missing(model, found, wanted):
    densities = np.full(X.shape, NAN)
    for row, d in np.argwhere(GAPS):
        densities[row, d] = exact(model, X[row], known={d: VALUES[row, d]})[0] - wanted[0][0][row]
    assert errors(np.exp([each.log_density[GAPS] - densities[GAPS] for each in found]), 1.0) < 4.5
    plain = np.array(
        [[exact(model, X[row], masked=False, known={d: VALUES[row, d]})[0]] for row, d in np.argwhere(GAPS)]
    )
    plain = plain[:, 0] - wanted[1][0][np.argwhere(GAPS)[:, 0]]
    assert errors(np.exp([each.log_density[GAPS] - plain for each in found]), 1.0) > 10.0


@pytest.mark.statistical
def test_levels_that_all_but_never_go_missing_have_a_log_probability_and_a_slope():
    model, logits = made(), np.array([-100.0, -104.0, -99.0])
    levels = model.generative.missingness.weights[1]
    levels.assign(logits[np.newaxis] / 20.0)
    parameters = model.generative(tf.constant([[[0.3]]]))
    shares = model.generative.likelihood.probabilities(model.generative.features(tf.constant([[[0.3]]])))[2].numpy()[
        0, 0
    ]
    with tf.GradientTape() as tape:
        found = model.generative.missingness._log_missing(parameters)[0, 0, 2]
    terms = np.log(shares) + special.log_expit(logits)
    assert float(found) == pytest.approx(special.logsumexp(terms), rel=1e-5)
    slope = tape.gradient(found, levels.value).numpy()[0] / 20.0
    np.testing.assert_allclose(slope, special.softmax(terms), rtol=1e-4)
    moments = model.generative.missingness.moments(parameters)[1][2].numpy()[0, 0]
    np.testing.assert_allclose(moments, special.softmax(terms), rtol=1e-4)


def test_the_bound_of_training_is_of_the_mask_too(model, wanted):
    def distance(model):
        weights = model.log_weights(tf.constant(X), 20000, tf.constant([5, 6])).numpy().astype(np.float64)
        weights = np.exp(weights - wanted[0][0])
        return np.max(np.abs(weights.mean(axis=0) - 1.0) / (weights.std(axis=0, ddof=1) / np.sqrt(len(weights))))

    assert distance(model) < 4.5
    # A bound without the term of the mask.
    assert distance(made(None)) > 20.0


def test_a_model_comes_back_from_its_file(model, tmp_path):
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    arguments = tf.constant(X), 3, tf.constant([1, 2])
    np.testing.assert_array_equal(again.log_weights(*arguments), model.log_weights(*arguments))


def test_bad_models():
    gaussian = MixedLikelihood([GaussianLikelihood(), "gaussian"])
    options = {"likelihood": gaussian, "hidden": (4,), "latent_dim": 1}
    with pytest.raises(ValueError, match=r"`missingness`. Expected None beside a model made without missing='nan'"):
        IWAE(2, missingness="self_masking", **options)
    with pytest.raises(ValueError, match=r"`missingness`. Expected None beside 'rws'"):
        IWAE(2, missing="nan", missingness="self_masking", estimator="rws", **options)
    with pytest.raises(ValueError, match=r"`missingness`. Expected 'self_masking'"):
        IWAE(2, missing="nan", missingness="logistic", **options)
    with pytest.raises(ValueError, match=r"`columns`. Expected numbers of columns from 0 to 1"):
        IWAE(2, missing="nan", missingness=SelfMasking([2]), **options)
    with pytest.raises(ValueError, match="no MixedLikelihood"):
        IWAE(2, missing="nan", missingness="self_masking", likelihood="gaussian", hidden=(4,), latent_dim=1)
    likelihood = MixedLikelihood(["gaussian", "student_t"])
    with pytest.raises(ValueError, match="column 1, a StudentTLikelihood"):
        IWAE(2, missing="nan", missingness="self_masking", likelihood=likelihood, hidden=(4,), latent_dim=1)


def self_masked(rows=160, seed=0):
    """Three columns of one factor, of which two go missing where they are above their means."""
    rng = np.random.default_rng(seed)
    full = rng.normal(size=(rows, 1)) * [1.0, -1.0, 1.2] + 0.4 * rng.normal(size=(rows, 3))
    gone = rng.uniform(size=full.shape) < special.expit(20.0 * full)
    gone[:, 2] = False
    return full, np.where(gone, NAN, full)


OPTIONS = {"latent_dim": 2, "hidden": (32,), "num_samples": 100, "training_samples": 5, "random_state": 0}


@pytest.fixture(scope="module")
def imputer():
    return IWAEImputer(missingness="self_masking", **OPTIONS).fit(self_masked()[1])


@pytest.mark.long
def test_large_values_that_went_missing_are_filled_in_as_large(imputer):
    full, table = self_masked()
    gaps = np.isnan(table)

    def error(estimator):
        return np.sqrt(np.mean((estimator.transform(table) - full)[gaps] ** 2))

    ignorable = error(IWAEImputer(**OPTIONS).fit(table))
    assert error(imputer) < 0.7 * ignorable
    # Where it is large: by most of a logit for each standard deviation at the least. One of the two comes near to 1.
    assert (20.0 * imputer.model_.generative.missingness.weights[0].numpy()[:2, 1] > 0.75).all()
    again = pickle.loads(pickle.dumps(imputer))
    np.testing.assert_array_equal(again.transform(table[:3]), imputer.transform(table[:3]))
    rows = imputer.rows(np.full((1, 3), NAN))
    assert rows.verdict[0] == trust.FROM_GAPS
    assert rows.effective_sample_size[0] < 99.0
    draws = imputer.impute(table, 1)
    assert 0.0 < np.abs(draws[0] - draws.filled)[gaps].mean() < 0.8


def test_it_is_served(imputer, tmp_path):
    table = self_masked()[1][:4]
    export_saved_model(imputer, tmp_path)
    endpoints = load_saved_model(tmp_path).signatures
    names = sorted(endpoints["impute"].structured_input_signature[1])
    cells = {name: tf.constant(column) for name, column in zip(names, table.T, strict=True)}
    answer = endpoints["impute"](**cells)
    # Of cells of size 1, whose means may be near 0.
    served = np.stack([answer[name] for name in names], axis=1)
    np.testing.assert_allclose(served, imputer.transform(table), rtol=1e-4, atol=1e-5)
    drawn = endpoints["draw"](**cells, seed=tf.range(4))
    np.testing.assert_array_equal(
        np.stack([drawn[name] for name in names], axis=1)[table == table], table[table == table]
    )


def test_bad_tables():
    table = pd.DataFrame({"visits": [0.0, 3.0, NAN, 9.0, 40.0], "height": [1.0, NAN, 2.0, 3.0, 4.0]})
    options = {**OPTIONS, "missingness": "self_masking"}
    with pytest.raises(ValueError, match=r"column 'visits'`. Expected no gaps in a count"):
        IWAEImputer(columns={"visits": "count"}, **options).fit(table)
    with pytest.raises(ValueError, match=r"`missingness`. Expected None for a table without gaps"):
        IWAEImputer(**options).fit(table.dropna())
    with pytest.raises(ValueError, match=r"`missingness`. Expected one of"):
        IWAEImputer(**{**options, "missingness": "mar"}).fit(table)


def test_a_score_is_of_the_gaps_too(imputer):
    table = self_masked()[1]
    density = IWAEDensity(missingness="self_masking", num_samples=OPTIONS["num_samples"])
    density.__dict__.update({name: value for name, value in vars(imputer).items() if name.endswith("_")})
    rows = np.array([[NAN, NAN, -2.0], [NAN, NAN, 2.0], [NAN] * 3])
    scores = density.score_samples(rows)
    # Two of one factor with opposite signs are hardly ever both above their means.
    assert scores[2] < -1.0
    for missingness in ("self_masking", None):
        with pytest.raises(ValueError, match=r"`score_cells`"):
            density.set_params(missingness=missingness).score_cells(table)


def test_a_model_that_is_built_again_keeps_its_mechanism():
    model = made()
    before = len(model.weights)
    model.build((None, 3))
    assert len(model.weights) == before
    with pytest.raises(ValueError, match=r"`missingness`\. Expected one that is of no other model"):
        made(model.generative.missingness)


def test_a_draw_of_a_uniform_0_is_no_farther_out_than_the_others():
    uniform = tf.constant([0.0, 2.0**-23, 0.5])
    for place in (-9.0, 0.0, 2.0):
        found = logistic_normal._above(tf.fill([3], place), uniform)
        expected = stats.norm.isf(np.maximum(uniform, 2.0**-24) * stats.norm.cdf(place))
        np.testing.assert_allclose(found, expected, rtol=1e-4)
