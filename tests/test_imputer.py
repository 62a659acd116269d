"""IWAEImputer under scikit-learn's rules, on tables that are odd, and against the best that can be known of a table."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import keras_iwae
from keras_iwae import IWAEImputer
from keras_iwae.tables import Coding, Schema, calibration, trust
from keras_iwae.tables.fitting import Fitting

pytestmark = pytest.mark.slow

TINY = {"latent_dim": 2, "hidden": (8,), "training_samples": 3, "max_steps": 5, "num_samples": 50, "random_state": 0}
RNG = np.random.default_rng(0)
X = RNG.normal(3.0, 2.0, (40, 3)) @ RNG.normal(size=(3, 4))
X[RNG.random(X.shape) < 0.3] = np.nan
X[0], X[1] = np.nan, 1.5


@pytest.fixture(scope="module")
def imputer():
    return IWAEImputer(**TINY).fit(X)


@pytest.fixture(scope="module")
def filled(imputer):
    return imputer.transform(X)


@pytest.fixture(scope="module")
def imputations(imputer):
    return imputer.impute(X, 2)


@pytest.fixture(scope="module")
def frame():
    rows = np.arange(60)
    table = pd.DataFrame(
        {
            "weight": RNG.normal(70.0, 9.0, 60),
            "visits": pd.array(RNG.poisson(4.0, 60), "Int64"),
            "smoker": pd.array(rows % 3 == 0, "boolean"),
            "stage": pd.Categorical(np.array(["I", "II", "III"])[rows % 3], ["I", "II", "III"], ordered=True),
        },
        index=pd.Index(rows + 100, name="patient"),
    )
    return table.mask(RNG.random(table.shape) < 0.25)


@pytest.mark.long
def test_scikit_learns_own_checks(eagerly, monkeypatch):
    # Of models that learn for two steps: a factor of their scales would cost more than all else.
    monkeypatch.setattr(calibration, "_FEWEST_CELLS", 10_000)
    settings = {**TINY, "max_steps": 2, "num_samples": 21, "random_state": None}
    check_estimator(IWAEImputer(**settings), on_skip=None)


def test_what_was_observed_stays_and_the_rest_is_filled_in(filled, imputations):
    assert np.isfinite(filled).all()
    observed = ~np.isnan(X)
    np.testing.assert_array_equal(filled[observed], X[observed])
    assert len(imputations) == 2
    for table in imputations:
        assert np.isfinite(table).all()
        np.testing.assert_array_equal(table[observed], X[observed])
    assert np.all(imputations[0][~observed] != imputations[1][~observed])
    # One pass gives both: the means are those that `transform` gives, but for the order of float32 additions.
    np.testing.assert_allclose(imputations.filled, filled, rtol=1e-4)


def test_means_draws_and_verdicts_are_of_one_pass(imputer, monkeypatch):
    passes = []
    conditional = IWAEImputer._conditional

    def counted(self, encoded, **options):
        passes.append(len(encoded))
        return conditional(self, encoded, **options)

    monkeypatch.setattr(IWAEImputer, "_conditional", counted)
    found = imputer.impute(X, 2)
    # Of the rows with gaps alone.
    assert passes == [np.isnan(X).any(axis=1).sum()]
    assert (len(found), found.filled.shape, len(found.rows.verdict)) == (2, X.shape, len(X))
    complete = imputer.impute(np.nan_to_num(X[:3]), 2)
    assert len(passes) == 1
    assert set(complete.rows.verdict) == {trust.COMPLETE}


def test_a_row_is_filled_in_alike_whatever_comes_with_it(imputer, filled, imputations):
    for row in (0, 5, 17):
        np.testing.assert_array_equal(imputer.transform(X[row : row + 1])[0], filled[row])
    np.testing.assert_array_equal(imputer.transform(X[::-1])[::-1], filled)
    np.testing.assert_array_equal(imputer.impute(X[5:6], 2)[1][0], imputations[1][5])
    # The same row further down a table that is filled in part by part.
    assert np.any(imputer.impute(X[:1], 2, first=9)[1][0] != imputations[1][0])


def test_the_seed_decides(filled):
    again, other = IWAEImputer(**TINY).fit(X), IWAEImputer(**{**TINY, "random_state": 1}).fit(X)
    np.testing.assert_array_equal(again.transform(X), filled)
    assert np.all(other.transform(X)[np.isnan(X)] != filled[np.isnan(X)])


def test_training_starts_anew_each_time(eagerly):
    """The model that learns from all cells knows nothing of those that learned from some."""
    frame = pd.DataFrame(X)
    coding = Coding.fit(frame, Schema.infer(frame, dict.fromkeys(frame, "real")))
    encoded = coding.encode(frame)
    fitting = Fitting(coding, encoded, 2, (8,), 3, False, 5, 0, False, False)
    history, weights = fitting.train(encoded), fitting.model.get_weights()
    assert fitting.train(encoded[::-1].copy()) != history
    assert fitting.train(encoded) == history
    for one, other in zip(fitting.model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_pickled_and_cloned(imputer, filled):
    thawed = pickle.loads(pickle.dumps(imputer))
    np.testing.assert_array_equal(thawed.transform(X), filled)
    assert clone(imputer).get_params() == imputer.get_params()
    assert not hasattr(clone(imputer), "model_")


def test_rows_say_how_far_to_trust_them(imputer, imputations):
    rows = imputer.rows(X)
    np.testing.assert_array_equal(rows.missing, np.isnan(X).sum(axis=1))
    assert rows.verdict[0] == trust.FROM_PRIOR
    assert rows.pareto_k[0] == 0.0
    assert rows.verdict[1] == trust.COMPLETE
    assert np.isnan(rows.pareto_k[1])
    assert not rows.unsteady[:2].any()
    some = (rows.missing > 0) & (rows.missing < 4)
    np.testing.assert_array_equal(rows.verdict[some] == trust.UNSTEADY, rows.pareto_k[some] > 0.7)
    assert "1 rows: filled in from the prior" in str(rows)
    np.testing.assert_array_equal(imputations.rows.verdict, rows.verdict)
    # Neither that the model fits a row, nor that it does not, can be read off its weights, and no verdict says so.
    for verdict in (trust.STEADY, trust.UNSTEADY):
        assert "how good the model is they do not judge" in verdict or "does not say that the model is wrong" in verdict


def test_verdicts_are_of_what_was_fitted(imputer):
    imputer.set_params(missingness="self_masking")
    try:
        assert imputer.rows(X).verdict[0] == trust.FROM_PRIOR
    finally:
        imputer.set_params(missingness=None)


def test_scores_of_held_out_cells(imputer):
    values = np.where(np.isnan(X), 2.0, X)
    scores = imputer.score_held_out(X, values)
    np.testing.assert_array_equal(np.isnan(scores), ~np.isnan(X))
    # In other units a density is another number: 8 times as large a unit, 1/8 of the width.
    larger = pickle.loads(pickle.dumps(imputer))
    object.__setattr__(larger.coding_, "centers", tuple(8.0 * np.array(imputer.coding_.centers)))
    object.__setattr__(larger.coding_, "scales", tuple(8.0 * np.array(imputer.coding_.scales)))
    np.testing.assert_allclose(larger.score_held_out(8.0 * X, 8.0 * values), scores - np.log(8.0), atol=1e-4)
    with pytest.raises(ValueError, match="`values`"):
        imputer.score_held_out(X, values[:3])


def test_too_few_samples_are_no_evidence_against_a_row(imputer):
    few = pickle.loads(pickle.dumps(imputer)).set_params(num_samples=10)
    rows = few.rows(X)
    assert set(rows.verdict) == {trust.FROM_PRIOR, trust.COMPLETE, trust.UNKNOWN}
    assert not rows.unsteady.any()


def test_a_dataframe_keeps_its_types(frame):
    pipeline = make_pipeline(IWAEImputer(**TINY))
    filled = pipeline.fit_transform(frame)
    pd.testing.assert_series_equal(filled.dtypes, frame.dtypes)
    pd.testing.assert_index_equal(filled.index, frame.index)
    assert not filled.isna().any().any()
    for name in frame:
        known = frame[name].notna()
        pd.testing.assert_series_equal(filled.loc[known, name], frame.loc[known, name])
    fitted = pipeline[0]
    assert list(fitted.get_feature_names_out()) == list(frame.columns)
    assert [column.kind for column in fitted.coding_.schema] == ["real", "count", "binary", "ordinal"]
    table = fitted.impute(frame, 2)[1]
    pd.testing.assert_series_equal(table.dtypes, frame.dtypes)
    with pytest.raises(ValueError, match="`column 'stage'`"):
        fitted.transform(frame.astype({"stage": object}).replace({"stage": {"II": "IV"}}))
    # The level of highest probability, and not the one next to the mean of their numbers.
    encoded = fitted.coding_.encode(frame)
    found = fitted._conditional(encoded)
    probabilities = found.probabilities[3]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
    gaps = np.isnan(encoded[:, 3])
    codes = filled["stage"].cat.codes.to_numpy()
    np.testing.assert_array_equal(codes[gaps], probabilities.argmax(axis=1)[gaps])


def test_balanced_columns_are_trained_on_in_other_shares_and_it_says_so(frame, eagerly):
    found = IWAEImputer(**TINY, balanced=True).fit(frame)
    assert set(found.history_[0]) == {"step", "weighted_bound"}
    assert found.model_.generative.likelihood.column_weights == found.coding_.likelihood(balanced=True).column_weights
    thawed = pickle.loads(pickle.dumps(found))
    assert thawed.model_.generative.likelihood.weighted
    plain = IWAEImputer(**TINY).fit(frame)
    assert set(plain.history_[0]) == {"step", "bound"}
    weights = zip(found.model_.get_weights(), plain.model_.get_weights(), strict=True)
    assert any(np.any(one != other) for one, other in weights if one.dtype == np.float32)


def test_arrays_and_frames_by_set_output(imputer):
    scaled = make_pipeline(StandardScaler(), IWAEImputer(**TINY)).set_output(transform="pandas").fit(X)
    assert isinstance(scaled.transform(X), pd.DataFrame)
    assert imputer.transform(X.astype(np.float32)).dtype == np.float32
    assert imputer.transform(X.tolist()).dtype == np.float64


@pytest.mark.parametrize(
    "table",
    [
        np.array([[1.0], [2.0], [np.nan], [4.0], [5.5]]),
        np.array([[7.3, 1.0], [7.3, np.nan], [np.nan, 2.0], [np.nan, np.nan]]),
        np.array([[1.0, np.nan], [np.nan, 2.0]]),
    ],
    ids=["one column", "a constant column", "two rows"],
)
def test_odd_tables(table, eagerly):
    filled = IWAEImputer(**TINY).fit_transform(table)
    assert np.isfinite(filled).all()
    if table[0, 0] == 7.3:
        np.testing.assert_array_equal(filled[:, 0], 7.3)


def test_no_more_steps_are_taken_than_were_asked_for():
    history = IWAEImputer(**{**TINY, "max_steps": 75}).fit(X).history_
    assert [row["step"] for row in history] == [37.0, 74.0]


def test_numbers_that_stand_for_gaps_are_pointed_at(eagerly):
    table = np.arange(60.0).reshape(20, 3) % 7
    table[::5, 1] = -999.0
    estimator = IWAEImputer(latent_dim=1, hidden=(2,), max_steps=1, num_samples=2)
    with pytest.warns(UserWarning, match="the column 1 has -999 in 4 rows, .* put NaN there"):
        estimator.fit(table)


def test_bad_input(imputer):
    infinite, empty = X.copy(), X.copy()
    infinite[3, 1], empty[:, 2] = np.inf, np.nan
    for table, message in (
        (infinite, "infinity"),
        (empty, "`column 2`"),
        (X[:, :0], "0 feature"),
        (pd.DataFrame(X).assign(b=np.inf).rename(columns=str), "`column 'b'`"),
    ):
        with pytest.raises(ValueError, match=message):
            IWAEImputer(**TINY).fit(table)
    with pytest.raises(ValueError, match="infinity"):
        imputer.transform(infinite)
    with pytest.raises(ValueError, match="`num_imputations`"):
        imputer.impute(X, -1)
    for setting in ("num_samples", "training_samples", "max_steps", "latent_dim"):
        with pytest.raises(ValueError, match=f"`{setting}`"):
            IWAEImputer(**{**TINY, setting: 0}).fit(X)
    with pytest.raises(ValueError, match=r"`columns`. Expected names that all differ. Received: 'a' twice"):
        IWAEImputer(**TINY).fit(pd.DataFrame(X, columns=list("aabc")))
    with pytest.raises(ValueError, match=r"`column 1`.*text"):
        IWAEImputer(**TINY).fit(np.array([[1.0, "a"], [2.0, "b"]], object))
    with pytest.raises(ValueError, match=r"`column 0`.*up to 1e"):
        IWAEImputer(**TINY).fit(X * [1e300, 1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match=r"`column 0`.*standard deviations"):
        imputer.transform(X * [1e20, 1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match=r"`columns`. Expected a dictionary"):
        IWAEImputer(**TINY, columns="real").fit(X)
    with pytest.raises(ValueError, match="`balanced`"):
        IWAEImputer(**TINY, balanced="yes").fit(X)
    with pytest.raises(ValueError, match=r"`columns`. Expected names of \[0, 1, 2, 3\]. Received: 'a'"):
        IWAEImputer(**TINY, columns={"a": "real"}).fit(X)


def test_the_names_come_when_they_are_asked_for():
    assert keras_iwae.IWAEImputer is IWAEImputer
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = keras_iwae.nothing
