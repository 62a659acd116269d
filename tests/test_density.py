"""IWAEDensity under scikit-learn's rules, and its scores against a table whose density is known."""

import pickle

import numpy as np
import pandas as pd
import pytest
from oracles import ExactPosterior, linear_gaussian_log_evidence, linear_gaussian_model
from sklearn.utils.estimator_checks import check_estimator

from keras_iwae import IWAEDensity
from keras_iwae.tables import Coding, Schema, calibration

pytestmark = pytest.mark.slow

TINY = {"latent_dim": 2, "hidden": (8,), "training_samples": 3, "max_steps": 5, "num_samples": 50, "random_state": 0}
RNG = np.random.default_rng(0)
X = RNG.normal(3.0, 2.0, (30, 3)) @ RNG.normal(size=(3, 4))
X[RNG.random(X.shape) < 0.3] = np.nan
X[0], X[1] = np.nan, X[2]


@pytest.fixture(scope="module")
def density():
    return IWAEDensity(**TINY).fit(X)


@pytest.fixture(scope="module")
def exact():
    """An estimator around a linear-Gaussian model with its exact posterior, in units that are not standard."""
    table = pd.DataFrame(RNG.normal([5.0, -2.0, 0.0, 100.0, 1.0], [2.0, 0.1, 1.0, 30.0, 4.0], (200, 5)))
    # Fewer than the proposal is fitted with: it is the exact posterior, of which every weight is p(x).
    made = IWAEDensity(num_samples=150)
    made.coding_ = Coding.fit(table, Schema.infer(table, {name: "real" for name in table}))
    made.model_ = linear_gaussian_model(ExactPosterior(2, 0.7), missing="nan", mask_input=True)
    made.seed_, made._gives_frames, made.n_features_in_ = 0, True, 5
    return made, table.mask(RNG.random(table.shape) < 0.3).iloc[:12]


@pytest.mark.long
def test_scikit_learns_own_checks(eagerly, monkeypatch):
    # Of models that learn for two steps: a factor of their scales would cost more than all else.
    monkeypatch.setattr(calibration, "_FEWEST_CELLS", 10_000)
    settings = {**TINY, "max_steps": 2, "num_samples": 21, "random_state": None}
    check_estimator(IWAEDensity(**settings), on_skip=None)


def encoded_evidence(made, table):
    """log p(x_obs) in the units of the table, by hand."""
    centers, scales = np.array(made.coding_.centers), np.array(made.coding_.scales)
    units = np.where(table.isna(), 0.0, np.log(scales)).sum(axis=1)
    return linear_gaussian_log_evidence(made.model_, (table.to_numpy() - centers) / scales) - units


def test_scores_are_the_exact_densities_in_the_units_of_the_table(exact):
    made, table = exact
    wanted = encoded_evidence(made, table)
    # With the exact posterior every weight is p(x).
    np.testing.assert_allclose(made.score_samples(table), wanted, rtol=1e-4, atol=2e-4)
    assert made.score(table) == pytest.approx(wanted.mean(), rel=1e-4)


@pytest.mark.statistical
def test_scores_of_cells_are_the_exact_conditional_densities(exact, monkeypatch):
    made, table = exact
    # A ratio of averages has a bias of the order of 1 / K, which is to be far below an error.
    monkeypatch.setattr(made, "num_samples", 2000)
    found = []
    for seed in range(12):
        monkeypatch.setattr(made, "seed_", seed)
        found.append(made.score_cells(table))
    assert isinstance(found[0], pd.DataFrame)
    np.testing.assert_array_equal(np.isnan(found[0]), table.isna())
    found = np.array([each.to_numpy() for each in found])
    whole = encoded_evidence(made, table)
    wanted = np.full(table.shape, np.nan)
    for place, name in enumerate(table):
        rest = table.copy()
        rest[name] = np.nan
        wanted[:, place] = np.where(table[name].isna(), np.nan, whole - encoded_evidence(made, rest))
    seen = ~np.isnan(wanted)

    def distance(logs):
        ratios = np.exp(found - logs)[:, seen]
        error = ratios.std(axis=0, ddof=1) / np.sqrt(len(ratios))
        return (np.abs(ratios.mean(axis=0) - 1.0) / np.maximum(error, 1e-4)).max()

    assert distance(wanted) < 5.0
    # The other cells say something: each by itself has another density.
    alone = np.full(table.shape, np.nan)
    for place, name in enumerate(table):
        others = table.copy()
        others[[other for other in table if other != name]] = np.nan
        alone[:, place] = np.where(table[name].isna(), np.nan, encoded_evidence(made, others))
    assert distance(alone) > 20.0


def test_scores_by_row(density):
    scores = density.score_samples(X)
    assert scores.shape == (30,)
    assert scores.dtype == np.float64
    assert scores[0] == pytest.approx(0.0, abs=1e-5)
    assert scores[1] == scores[2]
    np.testing.assert_array_equal(density.score_samples(X[4:5]), scores[4:5])
    assert density.score(X) == scores.mean()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(density)).score_samples(X), scores)


def test_samples_are_as_what_was_fitted(density):
    drawn = density.sample(5, random_state=1)
    assert drawn.shape == (5, 4)
    np.testing.assert_array_equal(density.sample(5, random_state=1), drawn)
    assert np.all(density.sample(5, random_state=2) != drawn)
    with pytest.raises(ValueError, match="`n_samples`"):
        density.sample(0)


def test_samples_of_a_frame_have_its_types(exact):
    made, table = exact
    drawn = made.sample(3, random_state=0)
    pd.testing.assert_series_equal(drawn.dtypes, table.dtypes)
