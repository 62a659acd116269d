"""The factor of the scales: found where it is known, right for every use of a model, and coverage that it gives."""

import math
import pickle

import keras
import numpy as np
import pytest
from oracles import ExactPosterior, linear_gaussian_log_evidence, linear_gaussian_model

from keras_iwae import IWAE, IWAEImputer
from keras_iwae.evaluation import conditional
from keras_iwae.likelihoods import GaussianLikelihood, MixedLikelihood, StudentTLikelihood
from keras_iwae.tables import calibration

DIM, FACTOR = 6, math.exp(0.4)
ALL = np.ones(DIM, bool)


@pytest.fixture(scope="module")
def sure():
    """A model of noise 1, and rows of what it says but that their noise is larger by a factor, with gaps."""
    posterior = ExactPosterior(2, 1.0)
    likelihood = GaussianLikelihood("dimension", widened=True)
    model = linear_gaussian_model(posterior, DIM, 1.0, likelihood=likelihood, missing="nan", mask_input=True)
    kernel, bias = (np.asarray(weight) for weight in model.generative.decoder.weights)
    rng = np.random.default_rng(4)

    def rows(noise):
        x = rng.normal(size=(1000, 2)) @ kernel + bias + noise * rng.normal(size=(1000, DIM))
        return np.where(rng.random(x.shape) < 0.2, np.nan, x).astype(np.float32)

    return model, rows


@pytest.mark.slow
@pytest.mark.statistical
def test_the_factor_by_which_a_model_is_too_sure_is_found(sure):
    model, rows = sure
    learned = []
    x = rows(FACTOR)
    found = calibration.scale_factor(model, learned.append, x, ALL, 0)
    # About 480 cells, enough for one time: log c is known to 1 / sqrt(2 n) = 0.032, and looked for in steps of 0.1.
    assert abs(math.log(found / FACTOR)) < 0.1 + 4 * 0.032
    # Of a model that is right it is 1, or the next that is looked at; of one that is not sure enough it is 1.
    assert calibration.scale_factor(model, learned.append, rows(1.0), ALL, 0) <= math.exp(0.1)
    assert calibration.scale_factor(model, learned.append, rows(0.7), ALL, 0) == 1.0
    # What is judged by was not learned from.
    assert len(learned) == 3
    np.testing.assert_array_equal(~np.isnan(x) & np.isnan(learned[0]), calibration.held_out(x, ALL, 0)[0])


@pytest.mark.slow
def test_one_factor_and_one_log_likelihood(sure):
    model, rows = sure
    x = rows(1.0)[:32]
    model.generative.likelihood.widen(1.5)
    found = conditional(model, x, calibration._SAMPLES, values=x, seed=1)
    # The standard error of the log of a mean of K weights, and a control: the evidence before it was widened.
    errors = np.sqrt(1 / found.effective_sample_size - 1 / calibration._SAMPLES) + 1e-3
    distance = np.abs(found.log_likelihood - linear_gaussian_log_evidence(model, x, 1.5)) / errors
    assert distance.max() < 5.0
    assert np.mean(np.abs(found.log_likelihood - linear_gaussian_log_evidence(model, x, 1.0)) / errors > 8.0) > 0.5


def test_cells_that_are_taken_out():
    x = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    x[2:, 1] = np.nan
    x[::2, 2] = np.nan
    counted = np.array([True, True, False])
    tenths = calibration.held_out(x, counted, 3)
    # Never what is not known, never of a column that has no scale, never the last two of one, and none of them twice.
    assert not tenths[..., 1:].any()
    assert tenths.sum(axis=0).max() == 1
    np.testing.assert_allclose(tenths[..., 0].sum(axis=1), 50, atol=5 * math.sqrt(500 * 0.1 * 0.9))
    np.testing.assert_array_equal(tenths, calibration.held_out(x, counted, 3))
    assert (tenths != calibration.held_out(x, counted, 4)).any()


def test_too_few_cells_and_too_many_rows_have_no_factor():
    def train(rows):
        raise AssertionError

    few, many = np.zeros((40, DIM), np.float32), np.zeros((6000, DIM), np.float32)
    for rows, counted in ((few, ALL), (many, ALL), (many[:4000], ~ALL)):
        assert calibration.scale_factor(None, train, rows, counted, 0) == 1.0


@pytest.mark.parametrize("family", [GaussianLikelihood, StudentTLikelihood])
def test_widened_scales(family):
    likelihood = MixedLikelihood([family(scale="example", widened=True), "bernoulli", family(scale=2.0)])
    likelihood.describe_events((3,), 0)
    likelihood.build((None, 4))
    features = keras.random.normal((2, 5, 4), seed=1)
    before = likelihood.moments_of(likelihood(features))
    likelihood.widen(3.0)
    after = likelihood.moments_of(likelihood(features))
    np.testing.assert_allclose(after[0], before[0])
    np.testing.assert_allclose(after[1], before[1] * np.array([3.0, 1.0, 1.0]), rtol=1e-6)
    assert likelihood.widened
    assert [weight.name for weight in likelihood.non_trainable_weights] == ["scale_factor"]
    with pytest.raises(ValueError, match="`factor`"):
        likelihood.widen(0.0)


def intervals_of(imputer, x, truth):
    """Share of the missing cells of rows that a 90 % interval covers, and its standard error over rows."""
    missing = np.isnan(x)
    draws = np.stack(list(imputer.impute(x, 60)))
    low, high = np.quantile(draws, [0.05, 0.95], axis=0, method="weibull")
    inside = ((low <= truth) & (truth <= high) & missing).sum(axis=1)
    share = inside.sum() / missing.sum()
    return share, np.sqrt(((inside - share * missing.sum(axis=1)) ** 2).sum()) / missing.sum()


@pytest.mark.long
@pytest.mark.statistical
def test_intervals_of_a_model_of_few_rows_cover(monkeypatch):
    # Twice is enough here.
    monkeypatch.setattr(calibration, "_ENOUGH_CELLS", 100)
    rng = np.random.default_rng(12)
    kernel = rng.normal(size=(3, 12))

    def table(count):
        truth = rng.normal(size=(count, 3)) @ kernel + rng.normal(size=(count, 12))
        return np.where(rng.random(truth.shape) < 0.3, np.nan, truth), truth

    rows, _ = table(80)
    others, truth = table(150)
    imputer = IWAEImputer(latent_dim=5, training_samples=3, num_samples=200, random_state=0).fit(rows)
    covered, error = intervals_of(imputer, others, truth)
    assert abs(covered - 0.9) < 0.05 + 2 * error
    # The factor goes with the model.
    thawed = pickle.loads(pickle.dumps(imputer))
    weights = zip(thawed.model_.get_weights(), imputer.model_.get_weights(), strict=True)
    assert all(np.array_equal(one, other) for one, other in weights)
    assert imputer.scale_factor_ == pytest.approx(float(imputer.model_.generative.likelihood.families[0]._scale.factor))
    # Without it the model is too sure of itself.
    imputer.model_.generative.likelihood.widen(1.0)
    narrow, error = intervals_of(imputer, others, truth)
    assert narrow < 0.9 - 3 * error
    assert narrow < covered - 3 * error


def test_a_model_is_saved_with_its_factor(tmp_path):
    likelihood = GaussianLikelihood(widened=True)
    model = IWAE(3, 2, (4,), likelihood=likelihood, missing="nan", seed=0)
    likelihood.widen(1.7)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert float(loaded.generative.likelihood.non_trainable_weights[0]) == np.float32(1.7)
