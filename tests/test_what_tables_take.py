"""What estimators of tables are given takes effect, or is refused by its name: masks, wide numbers, settings."""

import numpy as np
import pandas as pd
import pytest

from keras_iwae import IWAEDensity, IWAEImputer
from keras_iwae.tables import Coding, Schema, dtype_of
from keras_iwae.tables.estimator import TableEstimator

TINY = {"latent_dim": 2, "hidden": (8,), "training_samples": 3, "max_steps": 6, "num_samples": 20, "random_state": 0}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 3))
GAPS = RNG.random(X.shape) < 0.3
WITH_NAN = np.where(GAPS, np.nan, X)
# What is under a mask is nothing that could be learned.
MASKED = np.ma.array(np.where(GAPS, 1e6, X), mask=GAPS)


@pytest.fixture(scope="module")
def imputer():
    return IWAEImputer(**TINY).fit(MASKED)


def of_class(kind, fitted):
    found = kind(**TINY)
    found.__dict__.update({name: value for name, value in vars(fitted).items() if name.endswith("_")})
    return found


@pytest.mark.slow
def test_what_a_mask_leaves_out_is_not_learned(imputer):
    observed = [X[~gaps, place] for place, gaps in enumerate(GAPS.T)]
    np.testing.assert_allclose(imputer.coding_.centers, [cells.mean() for cells in observed])
    np.testing.assert_allclose(imputer.coding_.scales, [cells.std() for cells in observed])


class Asked(Exception):
    """Of the model, which need not answer."""


@pytest.mark.slow
@pytest.mark.parametrize("given", [MASKED, list(MASKED), MASKED.astype(np.float32)], ids=["array", "rows", "float32"])
@pytest.mark.parametrize(
    ("kind", "ask"),
    [
        (IWAEImputer, lambda made, x: made.transform(x)),
        (IWAEImputer, lambda made, x: made.impute(x, 2)),
        (IWAEImputer, lambda made, x: made.rows(x)),
        (IWAEImputer, lambda made, x: made.score_held_out(x, np.ma.array(X, mask=~GAPS))),
        (IWAEDensity, lambda made, x: made.score_samples(x)),
        (IWAEDensity, lambda made, x: made.score_cells(x)),
    ],
    ids=["transform", "impute", "rows", "score_held_out", "score_samples", "score_cells"],
)
def test_what_a_mask_leaves_out_is_missing(kind, ask, given, imputer, monkeypatch):
    asked = []

    def conditional(self, encoded, **options):
        asked.append((encoded, options.get("values")))
        raise Asked

    monkeypatch.setattr(TableEstimator, "_conditional", conditional)
    for x in (given, WITH_NAN.astype(getattr(given, "dtype", np.float64))):
        with pytest.raises(Asked):
            ask(of_class(kind, imputer), x)
    (one, values), (other, more) = asked
    np.testing.assert_array_equal(one, other)
    if values is not None:
        np.testing.assert_array_equal(values, more)


@pytest.fixture
def of_frames(imputer):
    """As if it had been fitted to a DataFrame with the columns 0, 1 and 2."""
    found = of_class(IWAEImputer, imputer)
    found._gives_frames = True
    return found


@pytest.fixture(scope="module")
def of_text():
    sex = pd.Series(["one", "two", None] * 10)
    return IWAEImputer(**TINY).fit(pd.DataFrame({"age": X[:, 0], "sex": sex, "flag": [0, 1, 1] * 10}))


@pytest.mark.slow
@pytest.mark.parametrize("make", [np.asarray, np.ndarray.tolist], ids=["array", "list"])
@pytest.mark.parametrize("cell", [np.nan, 1.0])
def test_an_array_has_no_column_of_text(make, cell, of_text):
    given = make(np.full((2, 3), cell))
    expected = r"Expected a DataFrame, as the column 'sex' has levels that are text\. Received: a(n array| list)$"
    for ask in (of_text.transform, of_text.impute, of_text.rows, of_class(IWAEDensity, of_text).score_samples):
        with pytest.raises(ValueError, match=rf"`X`\. {expected}"):
            ask(given)
    known = pd.DataFrame({"age": [0.5, np.nan], "sex": ["one", "two"], "flag": [1, 0]})
    with pytest.raises(ValueError, match=rf"`values`\. {expected}"):
        of_text.score_held_out(known, given)
    # Control: a DataFrame is taken, without any of its text too.
    assert of_text.transform(known.assign(sex=None))["sex"].isin(["one", "two"]).all()


def test_held_out_cells_are_of_the_same_rows(of_frames, monkeypatch):
    def conditional(self, encoded, **options):
        raise Asked

    monkeypatch.setattr(TableEstimator, "_conditional", conditional)
    index = [f"r{i}" for i in range(30)]
    holes, known = (pd.DataFrame(x, index) for x in (WITH_NAN, X))
    with pytest.raises(ValueError, match=r"`values`\. Expected the index of `X`, as .*Received: 'r29' in the place of"):
        of_frames.score_held_out(holes, known[::-1])
    with pytest.raises(ValueError, match=r"`values`\. Expected the index of `X`"):
        of_frames.score_held_out(holes, known.reset_index(drop=True))
    with pytest.raises(ValueError, match=r"`values`\. Expected shape \[30, 3\]\. Received: \[29, 3\]"):
        of_frames.score_held_out(holes, known[1:])
    with pytest.raises(ValueError, match=r"`values`\. Expected the columns of `X`, \[0, 1, 2\], in this o"):
        of_frames.score_held_out(holes, known[[2, 1, 0]])
    for none in (None, "table.csv", X[:, :2], 3.0):
        with pytest.raises(ValueError, match=r"`values`\. Expected a(n array or a Data| table like `X`\. Rec)"):
            of_frames.score_held_out(holes, none)
    # Control: the same rows, and rows of which nothing but their number is known.
    for values in (known, X):
        with pytest.raises(Asked):
            of_frames.score_held_out(holes, values)


@pytest.mark.slow
def test_draws_beyond_the_largest_small_integer_are_not_cut_off():
    visits = pd.array(np.minimum(RNG.poisson(250.0, 30), 255), "UInt8")
    frame = pd.DataFrame({"visits": visits}).mask(GAPS[:, :1])
    gaps = frame["visits"].isna()
    drawn = IWAEImputer(**TINY, columns={"visits": "count"}).fit(frame).impute(frame, 4)
    # Control: of a negative binomial of mean 250 many are above 255.
    assert max(table["visits"].max() for table in drawn) > 255
    for table in drawn:
        np.testing.assert_array_equal(table["visits"][~gaps].astype(int), frame["visits"][~gaps].astype(int))
        assert str(table["visits"].dtype) == ("UInt16" if table["visits"].max() > 255 else "UInt8")


@pytest.mark.parametrize(
    ("dtype", "wide"),
    [
        ("float16", "float32"),
        ("float32", "float64"),
        ("Float32", "Float64"),
        ("halffloat[pyarrow]", "float[pyarrow]"),
        ("float[pyarrow]", "double[pyarrow]"),
    ],
)
def test_what_is_filled_in_is_finite_whatever_floats_a_column_has(dtype, wide):
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    large = float(np.finfo(np.float16 if dtype in ("float16", "halffloat[pyarrow]") else np.float32).max)
    frame = pd.DataFrame({"x": pd.Series([0.25 * large, 0.75 * large, None]).astype(dtype)})
    coding = Coding.fit(frame, Schema.infer(frame))
    # Control: what the dtype holds stays in it.
    for encoded, expected in ((1.0, dtype), (2.5, wide)):
        filled = coding.fill(frame, np.full((3, 1), encoded))["x"]
        cells = [0.25 * large, 0.75 * large, large * (0.5 + 0.25 * encoded)]
        np.testing.assert_allclose(filled.astype(float), cells, rtol=1e-3)
        assert filled.dtype == dtype_of(expected, None)
        assert coding.decode(np.array([[0.0], [encoded]]))["x"].dtype == dtype_of(expected, None)


def test_an_array_of_float32_is_filled_in_with_finite_numbers(imputer):
    frame = pd.DataFrame({name: [1.0, 1e39] for name in imputer.coding_.schema.names})
    for cells, dtype in ((frame, np.float64), (frame.clip(upper=1e38), np.float32)):
        filled = imputer._as_given(np.zeros((2, 1), np.float32), cells)
        assert filled.dtype == dtype
        np.testing.assert_allclose(filled, cells, rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[1.0, 10**400, 2.0]], r"`X`\. Expected numbers that float64 holds\. Received: a larger integer"),
        ({"a": [1.0, 2.0]}, r"`X`\. Expected an array or a DataFrame, as pd.DataFrame\(X\) .*Received: a dict"),
        (
            pd.Series([1.0, "c"]),
            r"`X`\. Expected a table, of one row too, as frame.loc.*Received: a Series of shape \[2\]",
        ),
        (np.array([1.0, "c"], object), r"`X`\. Expected a table, of one row too.*Received: a ndarray of shape \[2\]"),
        ("table.csv", r"`X`\. Expected an array or a DataFrame, .*Received: a str"),
        (
            [[1.0, "a", 2.0]],
            r"`column 1`\. Expected numbers; a DataFrame may have columns of text\. Received: text \('a'\)",
        ),
        (pd.DataFrame(index=range(3)), r"`X`\. Expected rows and columns\. Received: a DataFrame of shape \[3, 0\]"),
        (pd.DataFrame(X, columns=["a", 1, 2]), r"`columns`\. Expected names that are all strings, or none of them"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(given, message, imputer):
    for ask in (IWAEImputer(**TINY).fit, imputer.transform):
        with pytest.raises(ValueError, match=f"^Invalid value received for {message}"):
            ask(given)


@pytest.mark.parametrize("kind", [np.asarray, list])
def test_what_pandas_takes_for_missing_is_missing_among_objects(kind, imputer, monkeypatch):
    asked = []
    monkeypatch.setattr(TableEstimator, "_conditional", lambda self, encoded, **options: asked.append(encoded))
    objects = np.where(GAPS, pd.NA, X.astype(object))
    objects[GAPS[:, 0], 0] = None
    for given in (kind(objects), WITH_NAN):
        with pytest.raises(AttributeError):
            of_class(IWAEDensity, imputer).score_samples(given)
    np.testing.assert_array_equal(*asked)


# Of each argument of the constructor what it cannot be.
NONE_OF_THEM = {
    "columns": ["real", ["real"], 3],
    "latent_dim": [None, 0, -1, 2.0, "2", True, (2, 3)],
    "hidden": [None, 8, (), "88", (8, 0), (8.0,), (None,), ((8,),), np.array(8)],
    "training_samples": [None, 0, 1.5, True],
    "balanced": [None, "yes", 1],
    "max_steps": [None, 0, 1.5, True],
    "num_samples": [None, 0, 1e3, True],
    "random_state": ["a", -1, 2**40, 1.5, True],
    "missingness": [False, True, "", "mnar"],
    "verbose": [None, 1, "x"],
}
OF_A_DENSITY = {"proposal": [None, "fitted", 1, ["adapted"]]}


@pytest.mark.parametrize(
    ("kind", "none_of_them"), [(IWAEImputer, NONE_OF_THEM), (IWAEDensity, NONE_OF_THEM | OF_A_DENSITY)]
)
def test_what_the_constructor_took_is_refused_at_fit(kind, none_of_them):
    assert none_of_them.keys() == kind().get_params().keys()
    for name, values in none_of_them.items():
        for value in values:
            made = kind(**{**TINY, name: value})
            assert getattr(made, name) is value
            with pytest.raises(ValueError, match=f"^Invalid value received for `{name}`\\. Expected "):
                made.fit(X)


STATES = ["a", -1, 2**40, 1.5, True, np.random.default_rng(0)]


@pytest.mark.parametrize("state", STATES, ids=lambda state: type(state).__name__ + str(state)[:4])
@pytest.mark.parametrize(
    "ask",
    [
        lambda imputer, state: IWAEImputer(**{**TINY, "random_state": state}).fit(X),
        lambda imputer, state: of_class(IWAEDensity, imputer).sample(2, random_state=state),
    ],
    ids=["fit", "sample"],
)
def test_seeds_that_are_none_are_refused(ask, state, imputer):
    expected = (
        r"`random_state`\. Expected None, an integer from 0 to 4294967295 or a numpy.random.RandomState\. Received: "
    )
    with pytest.raises(ValueError, match=expected):
        ask(imputer, state)
