"""A table as numbers and back: dtypes, levels and gaps that come back as they were, and densities in its units."""

import decimal
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid

from keras_iwae.likelihoods import CategoricalLikelihood, GaussianLikelihood, StudentTLikelihood
from keras_iwae.tables.coding import Coding
from keras_iwae.tables.dtypes import dtype_of
from keras_iwae.tables.schema import Column, Schema

WORDS = ("no", "yes", "it depends")
FLOATS = ("float64", "float32", "Float64", "object")
INTEGERS = ("int64", "int8", "uint16", "Int64", "UInt8", "int32[pyarrow]")
# Of NumPy's, which have nothing for what is missing.
WHOLE = ("int64", "int8", "uint16", "bool")


def text_dtypes(words):
    return ("str", "object", "string", pd.CategoricalDtype(words), pd.CategoricalDtype(words, ordered=True))


@st.composite
def columns(draw, rows):
    """A column of some kind and dtype, with gaps where the dtype has any, and what it is."""
    kind = draw(st.sampled_from(["real", "positive", "count", "binary", "categorical", "ordinal"]))
    categories = None
    if kind == "real":
        dtype = draw(st.sampled_from(FLOATS + INTEGERS))
        whole = dtype not in FLOATS
        values = st.integers(0, 120) if whole else st.floats(-1e4, 1e4, width=32)
    elif kind == "positive":
        dtype, values = draw(st.sampled_from(FLOATS)), st.floats(0.0009765625, 1e4, width=32)
    elif kind == "count":
        dtype, values = draw(st.sampled_from(FLOATS + INTEGERS)), st.integers(0, 120)
    elif draw(st.booleans()):
        categories = WORDS[:2] if kind == "binary" else WORDS
        dtype, values = draw(st.sampled_from(text_dtypes(categories))), st.sampled_from(categories)
    elif kind == "binary" and draw(st.booleans()):
        categories, dtype = (False, True), draw(st.sampled_from(["bool", "boolean", "object"]))
        values = st.booleans()
    else:
        categories = (2, 5) if kind == "binary" else (2, 5, 7)
        dtype, values = draw(st.sampled_from(FLOATS + INTEGERS)), st.sampled_from(categories)
    cells = draw(st.lists(values, min_size=rows, max_size=rows))
    if dtype not in WHOLE:
        # One at least is there.
        cells = [cells[0], *(draw(st.one_of(st.none(), st.just(cell))) for cell in cells[1:])]
    return pd.Series(cells, dtype=object).astype(dtype), kind, categories


@st.composite
def tables(draw):
    rows = draw(st.integers(1, 8))
    found = draw(st.lists(columns(rows), min_size=1, max_size=6))
    index = pd.Index(draw(st.permutations(range(rows)))) * 3
    frame = pd.DataFrame({f"c{i}": series for i, (series, _, _) in enumerate(found)}).set_index(index)
    given = {f"c{i}": Column(f"c{i}", kind, categories) for i, (_, kind, categories) in enumerate(found)}
    return frame, Schema.infer(frame, given)


def assert_same(found, frame, schema):
    pd.testing.assert_index_equal(found.index, frame.index)
    assert found.dtypes.to_dict() == frame.dtypes.to_dict()
    pd.testing.assert_frame_equal(found.isna(), frame.isna())
    for column in schema:
        one, other = found[column.name].dropna(), frame[column.name].dropna()
        if column.categories is None:
            # What float32 keeps of a standardized number.
            numbers = other.to_numpy(float)
            tolerance = 1e-5 * (1.0 + np.abs(numbers).max(initial=0.0))
            np.testing.assert_allclose(one.to_numpy(float), numbers, atol=tolerance, rtol=0.0)
        if column.categories is not None or pd.api.types.is_integer_dtype(other.dtype):
            assert list(one) == list(other)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(tables())
def test_tables_come_back_as_they_were(table):
    frame, schema = table
    coding = Coding.fit(frame, schema)
    encoded = coding.encode(frame)
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(encoded), frame.isna())
    assert_same(coding.decode(encoded, frame.index), frame, schema)
    assert Coding.from_dict(json.loads(json.dumps(coding.to_dict()))) == coding
    # With everything there, nothing of it is touched.
    pd.testing.assert_frame_equal(coding.fill(frame, encoded), frame)


@pytest.mark.slow
@settings(max_examples=30, deadline=None, derandomize=True)
@given(tables(), st.randoms(use_true_random=False))
def test_gaps_are_filled_in_the_dtype_and_nothing_else_is_touched(table, random):
    frame, schema = table
    coding = Coding.fit(frame, schema)
    gaps = np.array([[random.random() < 0.4 for _ in schema] for _ in range(len(frame))])
    with_gaps = frame.mask(gaps)
    filled = coding.fill(with_gaps, np.zeros(frame.shape))
    assert filled.dtypes.to_dict() == frame.dtypes.to_dict()
    assert not filled.isna().any(axis=None)
    kept = ~with_gaps.isna()
    for name in frame:
        assert list(filled[name][kept[name]]) == list(with_gaps[name][kept[name]])
    np.testing.assert_allclose(coding.encode(filled)[~kept], 0.0, atol=0.51)


def test_numbers_are_standardized_and_levels_numbered():
    frame = pd.DataFrame(
        {
            "real": [1.0, 3.0, np.nan, 5.0],
            "positive": [1.0, np.e, np.e**2, np.nan],
            "count": [0, 3, 2, 9],
            "level": ["b", None, "c", "a"],
            "constant": [7.0, np.nan, 7.0, 7.0],
        }
    )
    schema = Schema.infer(frame, {"positive": "positive", "count": "count"})
    coding = Coding.fit(frame, schema)
    scale = np.sqrt(8.0 / 3.0)
    expected = [
        [-2.0 / scale, -1.0 / np.sqrt(2.0 / 3.0), 0.0, 1.0, 0.0],
        [0.0, 0.0, 3.0, np.nan, np.nan],
        [np.nan, 1.0 / np.sqrt(2.0 / 3.0), 2.0, 2.0, 0.0],
        [2.0 / scale, np.nan, 9.0, 0.0, 0.0],
    ]
    np.testing.assert_allclose(coding.encode(frame), expected, rtol=1e-6, atol=1e-7)
    assert coding.constant == (False, False, False, False, True)


@pytest.mark.parametrize("size", [1e-200, 1e-9, 1e9, 1e149])
def test_a_column_far_from_zero_is_not_constant(size):
    frame = pd.DataFrame({"x": size * (1.0 + 1e-7 * np.arange(5))})
    coding = Coding.fit(frame, Schema.infer(frame))
    assert coding.constant == (False,)
    np.testing.assert_allclose(coding.encode(frame).std(), 1.0, rtol=1e-5)
    np.testing.assert_allclose(coding.decode(coding.encode(frame))["x"], frame["x"], rtol=1e-12)
    # Control: the same numbers, but for the last of their digits.
    same = pd.DataFrame({"x": size * (1.0 + 1e-15 * np.arange(5))})
    assert Coding.fit(same, Schema.infer(same)).constant == (True,)


def test_numbers_between_levels_and_beyond_the_ends():
    columns = (
        Column("count", "count", dtype="uint8"),
        Column("int", "real", dtype="int8"),
        Column("level", "ordinal", ("lo", "mid", "hi"), dtype="category[object, ordered]"),
        Column("positive", "positive"),
        Column("visits", "positive", dtype="Int16"),
        Column("share", "positive", dtype="float32"),
    )
    coding = Coding(Schema(columns), (0.0,) * 6, (1.0,) * 6, (False,) * 6, (1.0,) * 6)
    rows = [[-3.0, 200.4, 0.6, 1e6], [2.6, -1e9, 9.0, -1e6], [999.0, 1.6, -1.0, 0.0]]
    frame = coding.decode([[*row, -1.0, -200.0] for row in rows])
    assert frame["count"].tolist() == [0, 3, 999]
    assert frame["int"].tolist() == [200, -1_000_000_000, 2]
    assert frame.dtypes.astype(str).tolist()[:2] == ["uint16", "int32"]
    assert frame["level"].tolist() == ["mid", "hi", "lo"]
    assert frame["level"].cat.ordered
    assert np.all(np.isfinite(frame["positive"]))
    assert frame["positive"][2] == 1.0
    # No number above 0 is rounded to 0, which the column could not have.
    assert frame["positive"][1] > 0.0
    assert frame["visits"].tolist() == [1, 1, 1]
    assert (frame["share"] > 0.0).all()
    assert np.isfinite(coding.encode(frame)).all()
    with pytest.raises(ValueError, match=r"`encoded`\. Expected shape \[N, 6\]\. Received: \[2, 3\]"):
        coding.decode(np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("dtype", "filled", "found"),
    [
        ("int8", 100, "int8"),
        ("int8", 300, "int16"),
        ("Int8", 300, "Int16"),
        ("Int8", -1e6, "Int32"),
        ("UInt8", 256, "UInt16"),
        ("UInt8", -1, "Int16"),
        ("uint16", 1e10, "uint64"),
        ("int8[pyarrow]", 300, "int16[pyarrow]"),
        ("Int64", 1e30, "Float64"),
        ("int64[pyarrow]", 1e30, "double[pyarrow]"),
    ],
)
def test_a_number_that_a_small_integer_does_not_hold_is_in_a_wider_one(dtype, filled, found):
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    column = Column("n", "real", dtype=dtype)
    coding = Coding(Schema((column,)), (0.0,), (1.0,), (False,), (1.0,))
    assert coding.decode([[filled], [3.0]])["n"].tolist() == [filled, 3]
    # Beside cells of the table's own, where its dtype has gaps, and where they are too large for what was learned.
    for own in {"float64", dtype if dtype[0].isupper() or "pyarrow" in dtype else "float64"}:
        frame = pd.DataFrame({"n": pd.Series([100, None, 77], dtype=object).astype(own)})
        table = coding.fill(frame, [[0.0], [filled], [0.0]])["n"]
        assert table.tolist() == [100, filled, 77]
        # Floats stay the floats that they came as.
        assert str(table.dtype) == (own if own == "float64" and "int" not in found.lower() else found)


def test_cells_larger_than_what_was_learned_stay_as_they_are():
    coding = Coding(Schema((Column("n", "count", dtype="int8"),)), (0.0,), (1.0,), (False,), (1.0,))
    for own in ("float64", "Int64", "object"):
        frame = pd.DataFrame({"n": pd.Series([300, None], dtype=object).astype(own)})
        table = coding.fill(frame, [[0.0], [5.0]])
        assert table["n"].tolist() == [300, 5]


@pytest.mark.parametrize("learned", ["bool", "boolean", "object"])
@pytest.mark.parametrize("dtype", ["Int64", "float64", "Float64", "object", "boolean", "category", "double[pyarrow]"])
def test_booleans_are_filled_in_as_what_they_come_as(learned, dtype):
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"b": pd.Series([True, False, True]).astype(learned)})
    coding = Coding.fit(frame, Schema.infer(frame))
    given = pd.DataFrame({"b": pd.Series([1, None, None], dtype="Int64").astype(dtype)})
    if dtype == "object":
        given["b"] = pd.Series([1, None, None], dtype=object)
    filled = coding.fill(given, [[1.0], [0.0], [1.0]])["b"]
    assert filled.tolist() == [1, 0, 1]
    if dtype != "boolean":
        assert not any(isinstance(cell, (bool, np.bool_)) for cell in filled.tolist())
        assert str(filled.dtype) == (dtype if dtype != "category" else "Int64")
    # Nothing of it is known, so that it is what was learned.
    empty = coding.fill(given.assign(b=given["b"].where(given["b"].isna())), [[1.0], [0.0], [1.0]])["b"]
    assert [type(cell) for cell in empty.tolist()] == [bool] * 3


ARROW_S = ("double[pyarrow]", "float[pyarrow]", "bool[pyarrow]", "string[pyarrow]", "text", "large text", "words")


def arrow_s(name):
    """A dtype of pandas by its name, or one of Arrow that pandas has no name for, or that of another."""
    pyarrow = pytest.importorskip("pyarrow")
    text = pd.ArrowDtype(pyarrow.string())
    words = pd.CategoricalDtype(pd.Index(["a", "b"], dtype=text))
    return {"text": text, "large text": pd.ArrowDtype(pyarrow.large_string()), "words": words}.get(name, name)


@pytest.mark.parametrize("name", ARROW_S)
def test_arrow_s_dtypes_are_filled_in(name):
    cells = {"bool": [True, None, False], "double": [1.5, None, 3.0], "float": [1.5, None, 3.0]}
    cells = cells.get(name.partition("[")[0], ["a", None, "b"])
    frame = pd.DataFrame({"a": pd.array(cells, dtype=arrow_s(name))})
    coding = Coding.fit(frame, Schema.infer(frame))
    filled = coding.fill(frame, np.zeros((3, 1)))["a"]
    assert filled.dtype == frame["a"].dtype
    assert [filled[0], filled[2]] == [cells[0], cells[2]]
    assert filled[1] == {bool: False, str: "a"}.get(type(cells[0]), 2.25)
    # By itself too, from what a file says of it; before pandas 3 "string" is text in Python's own strings.
    again = Coding.from_dict(json.loads(json.dumps(coding.to_dict())))
    named = pd.api.types.pandas_dtype("string") if name == "string[pyarrow]" else frame["a"].dtype
    assert again.decode(np.zeros((3, 1)))["a"].dtype == named


@pytest.mark.parametrize("kind", ["real", "positive", "count", "categorical", None])
def test_what_is_nan_in_arrow_s_floats_is_missing(kind):
    pyarrow = pytest.importorskip("pyarrow")

    def table(cells):
        # Not by pandas' own way, which makes nulls of NaN.
        return pd.DataFrame({"a": pd.Series(pd.arrays.ArrowExtensionArray(pyarrow.array(cells, pyarrow.float64())))})

    frame = table([1.0, np.nan, 3.0, None])
    # Control: pandas sees the last one alone.
    assert frame["a"].isna().tolist() == [False, False, False, True]
    schema = Schema.infer(frame, {"a": kind} if kind else {})
    encoded = Coding.fit(frame, schema).encode(frame)
    assert np.isnan(encoded[:, 0]).tolist() == [False, True, False, True]
    filled = Coding.fit(frame, schema).fill(frame, np.zeros((4, 1)))["a"]
    assert filled.dtype == frame["a"].dtype
    assert not np.isnan(filled.to_numpy(float)).any()
    assert filled[[0, 2]].tolist() == [1.0, 3.0]
    with pytest.raises(ValueError, match=r"`column 'a'`\. Expected at least one value\. Received: none: all are miss"):
        Schema.infer(table([np.nan, np.nan]), {"a": kind} if kind else {})


@pytest.mark.parametrize("own", [pd.StringDtype("python"), pd.StringDtype("python", na_value=np.nan), "text"])
@pytest.mark.parametrize("learned", ["str", "string", "text", "object"])
def test_text_is_filled_in_the_dtype_that_it_comes_in(learned, own):
    frame = pd.DataFrame({"a": pd.Series(["a", "b"], dtype=arrow_s(learned))})
    coding = Coding.fit(frame, Schema.infer(frame))
    given = pd.DataFrame({"a": pd.Series(["b", None], dtype=arrow_s(own) if own == "text" else own)})
    filled = coding.fill(given, np.zeros((2, 1)))["a"]
    assert filled.tolist() == ["b", "a"]
    # Before pandas 3 "str" is objects.
    assert filled.dtype == (given["a"].dtype if frame["a"].dtype != object else object)


def test_a_dtype_that_text_does_not_say_is_refused_by_its_column():
    pyarrow = pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"price": pd.array([1, None, 3], dtype=pd.ArrowDtype(pyarrow.decimal128(5, 2)))})
    with pytest.raises(ValueError, match=r"`column 'price'`\. Expected dtype=a dtype of pandas that its text"):
        Schema.infer(frame)


def test_what_is_missing_in_numpy_s_integers_and_booleans():
    frame = pd.DataFrame({"i": [1, 2, 9], "b": [True, False, True]})
    coding = Coding.fit(frame, Schema.infer(frame))
    found = coding.decode([[np.nan, np.nan], [0.0, 0.0], [0.0, 1.0]])
    assert found.dtypes.astype(str).to_dict() == {"i": "Int64", "b": "boolean"}
    assert found.isna().sum().tolist() == [1, 1]


def test_own_cells_keep_their_digits():
    """Integers at fit, fractions later: they are not rounded away for the sake of a dtype."""
    frame = pd.DataFrame({"year": [1990, 2000, 2010]})
    coding = Coding.fit(frame, Schema.infer(frame))
    filled = coding.fill(pd.DataFrame({"year": [1995.25, np.nan]}), np.zeros((2, 1)))
    assert filled["year"].tolist() == [1995.25, 2000.0]
    filled = coding.fill(pd.DataFrame({"year": [1995.0, np.nan]}), np.zeros((2, 1)))
    assert filled["year"].dtype == np.int64


BEYOND = 2**53 + 1


@pytest.mark.parametrize(
    ("learned", "own", "cell", "number", "found"),
    [
        ("int64", "object", 1995.25, 2000, "object"),
        ("int64", "object", decimal.Decimal("1995.25"), 2000, "object"),
        ("float64", "object", decimal.Decimal("0.1"), 2000, "object"),
        ("float64", "object", decimal.Decimal("0.5"), 2000, "float64"),
        ("Int64", "object", 1995.25, 2000, "object"),
        ("Int64", "float64", 1995.25, 2000, "float64"),
        ("int64[pyarrow]", "object", 1995.25, 2000, "object"),
        ("float32", "Int64", 20_000_001, 2000.5, "float64"),
        ("float32", "Int64", 20_000_001, 2000, "Int64"),
        ("float32", "Int64", 20_000_000, 2000, "float32"),
        ("float32", "object", np.float64(0.1), 2000, "object"),
        ("float64", "Int64", BEYOND, 2000, "Int64"),
        ("float64", "Int64", BEYOND, 2000.5, "object"),
        ("float64", "object", np.int64(BEYOND), 2000.5, "object"),
        ("int8", "category", 1995.25, 2000, "float64"),
    ],
)
def test_own_cells_keep_their_digits_whatever_they_come_in(learned, own, cell, number, found):
    if "pyarrow" in learned:
        pytest.importorskip("pyarrow")
    coding = Coding(Schema((Column("n", "real", dtype=learned),)), (0.0,), (1.0,), (False,), (1.0,))
    frame = pd.DataFrame({"n": pd.Series([cell, None], dtype=object).astype(own)})
    table = coding.fill(frame, [[0.0], [number]])["n"]
    # Python's numbers compare by all of their digits.
    assert [getattr(value, "item", lambda value=value: value)() for value in table] == [cell, number]
    assert str(table.dtype) == found


@pytest.mark.parametrize("kind", ["real", "positive"])
def test_the_jacobian_is_the_slope(kind):
    """By differences, and so that the density of a table integrates to one."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": np.exp(2.0 + 0.7 * rng.normal(size=50))})
    coding = Coding.fit(frame, Schema.infer(frame, {"x": kind}))
    x = frame["x"].to_numpy()
    step = 1e-6 * x
    center, scale = coding.centers[0], coding.scales[0]

    def encoded(values):
        return ((np.log(values) if kind == "positive" else values) - center) / scale

    slope = (encoded(x + step) - encoded(x - step)) / (2.0 * step)
    found = coding.log_jacobian(coding.encode(frame))[:, 0]
    np.testing.assert_allclose(found, np.log(slope), rtol=1e-4, atol=1e-4)
    # Control: that of the other kind, or its negative, is not it.
    assert np.abs(found + np.log(slope)).max() > 0.1
    grid = np.exp(np.linspace(-12.0, 16.0, 20001)) if kind == "positive" else np.linspace(-400.0, 400.0, 20001)
    e = encoded(grid)
    density = np.exp(-0.5 * e**2 - 0.5 * np.log(2.0 * np.pi) + coding.log_jacobian(e[:, np.newaxis])[:, 0])
    assert trapezoid(density, grid) == pytest.approx(1.0, abs=1e-4)


def test_counts_levels_and_gaps_have_no_jacobian():
    frame = pd.DataFrame({"x": [1.0, np.nan, 5.0], "n": [3, 4, 0], "w": ["a", "b", None]})
    coding = Coding.fit(frame, Schema.infer(frame, {"n": "count"}))
    found = coding.log_jacobian(coding.encode(frame))
    np.testing.assert_allclose(found, [[-np.log(2.0), 0.0, 0.0], [0.0, 0.0, 0.0], [-np.log(2.0), 0.0, 0.0]])


def test_the_likelihood_of_a_schema():
    columns = (
        Column("a", "real"),
        Column("b", "count"),
        Column("c", "binary", ("x", "y")),
        Column("d", "categorical", ("x", "y", "z")),
        Column("e", "ordinal", ("x", "y", "z")),
        Column("f", "positive"),
        Column("g", "real"),
        Column("h", "categorical", ("x",)),
    )
    coding = Coding(Schema(columns), (0.0,) * 8, (1.0,) * 8, (False,) * 6 + (True, False), (1.0,) * 8)
    likelihood = coding.likelihood()
    names = [type(family).__name__.removesuffix("Likelihood") for family in likelihood.families]
    assert names == ["StudentT", "NegativeBinomial", "Bernoulli", "Categorical", "Gaussian", "Gaussian", "Categorical"]
    assert [family.levels for family in likelihood.families] == [None, None, None, 3, None, None, 2]
    # The scale of a constant column is not learned.
    assert [f.scale for f in likelihood.families if isinstance(f, GaussianLikelihood)] == ["example", 1.0]
    other = coding.likelihood(real=GaussianLikelihood("example"), count="poisson")
    names = [type(family).__name__.removesuffix("Likelihood") for family in other.families]
    assert names == ["Gaussian", "Poisson", "Bernoulli", "Categorical", "Gaussian", "Categorical"]
    assert isinstance(other.families[-1], CategoricalLikelihood)
    # Positive columns have a factor of their scales where real ones have.
    assert not likelihood.widened
    wide = coding.likelihood(real=StudentTLikelihood(widened=True))
    assert [family.widened for family in wide.families] == [True, False, False, False, True, False, False]


def test_balanced_columns_are_worth_the_same():
    frame = pd.DataFrame(
        {
            "real": np.linspace(-1.0, 1.0, 100),
            "half": np.resize([0, 1], 100),
            "five": np.resize([2, 4, 6, 8, 10], 100),
            "rare": np.arange(100) == 7,
            "gaps": np.where(np.arange(100) < 50, np.nan, np.resize(["a", "b", "c"], 100).astype(object)),
        }
    )
    coding = Coding.fit(frame, Schema.infer(frame, {"five": "ordinal"}))
    shares = np.unique(frame["gaps"].dropna(), return_counts=True)[1] / 50
    rare = -(0.01 * np.log(0.01) + 0.99 * np.log(0.99))
    expected = [0.5 * np.log(2 * np.pi * np.e), np.log(2.0), np.log(5.0), rare, -(shares * np.log(shares)).sum()]
    np.testing.assert_allclose(coding.entropies, expected, rtol=1e-12)
    assert coding.likelihood().column_weights is None
    weights = np.array(coding.likelihood(balanced=True).column_weights)
    worth = weights * np.maximum(expected, 0.25)
    np.testing.assert_allclose(worth, worth[0], rtol=1e-12)
    assert worth.sum() == pytest.approx(np.maximum(expected, 0.25).sum())


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"n": [np.inf]}, r"`column 'n'`\. Expected finite numbers"),
        ({"n": ["many"]}, r"`column 'n'`\. Expected numbers\. Received: text \('many'\)"),
        ({"n": [[1.0]]}, r"`column 'n'`\. Expected numbers, text or booleans\. Received: list"),
        ({"w": ["d"]}, r"`column 'w'`\. Expected one of the levels 'a', 'b', 'c'\. Received: 'd', which was not there"),
        ({"w": [1]}, r"`column 'w'`\. Expected one of the levels .*Received: 1, which"),
        ({"w": [["a"]]}, r"`column 'w'`\. Expected one of the levels .*Received: \['a'\], which"),
        ({"k": [-1]}, r"`column 'k'`\. Expected counts"),
        ({"k": [1.5]}, r"`column 'k'`\. Expected counts"),
        ({"p": [0.0]}, r"`column 'p'`\. Expected numbers above 0"),
        ({"p": pd.to_datetime(["2020-01-01"])}, r"`column 'p'`\. Expected numbers or levels; dates as a number"),
    ],
)
def test_cells_that_a_column_cannot_have_are_refused_by_name(cells, message):
    frame = pd.DataFrame({"n": [1.0, 2.5, 4.0], "w": ["a", "b", "c"], "k": [0, 3, 9], "p": [0.5, 1.0, 2.0]})
    coding = Coding.fit(frame, Schema.infer(frame, {"k": "count", "p": "positive"}))
    row = pd.DataFrame({"n": [1.0], "w": ["a"], "k": [1], "p": [1.0], **cells})
    with pytest.raises(ValueError, match=f"Invalid value received for {message}"):
        coding.encode(row)
    # A row of which nothing was observed is one, whatever its dtypes.
    assert np.isnan(coding.encode(pd.DataFrame({name: [None] for name in frame}))).all()


WITH_TEXT = {"columns": [{"name": "a", "kind": "ordinal", "categories": "abc", "unit": None, "dtype": None}]}
TWO = Schema((Column("a", "real"), Column("n", "count")))
FITTED = {"schema": TWO, "centers": (2.0, 0.0), "scales": (3.0, 1.0), "constant": (False, False), "entropies": (1, 1)}


def test_a_coding_of_lists_and_arrays_is_one():
    coding = Coding(TWO, [2, 0], np.array([3.0, 1.0], np.float32), [np.False_, False], (1, 1))
    assert coding == Coding(**FITTED)
    assert Coding.from_dict(json.loads(json.dumps(coding.to_dict()))) == coding


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        # Of one column it would be broadcast over all.
        ({"centers": (2.0,)}, r"`centers`\. Expected one for each of 2 columns\. Received: \(2.0,\)"),
        ({"scales": 3.0}, r"`scales`\. Expected one for each"),
        ({"entropies": (1.0, 1.0, 1.0)}, r"`entropies`\. Expected one for each"),
        ({"constant": np.zeros((2, 1), bool)}, r"`constant`\. Expected one for each"),
        ({"scales": (0.0, 1.0)}, r"`scales`\. Expected a number above 0\. Received: 0.0"),
        ({"scales": (-1.0, 1.0)}, r"`scales`\. Expected a number above 0"),
        ({"centers": (np.nan, 0.0)}, r"`centers`\. Expected a finite number"),
        ({"constant": (0, 0)}, r"`constant`\. Expected True or False"),
        ({"scales": (3.0, 2.0)}, r"`column 'n'`\. Expected center 0, scale 1 and constant=False of the kind 'count'"),
        ({"schema": (Column("a", "real"),)}, r"`schema`\. Expected a Schema\. Received: a tuple"),
    ],
)
def test_a_coding_that_is_none_is_refused(wrong, message):
    with pytest.raises(ValueError, match=f"Invalid value received for {message}"):
        Coding(**{**FITTED, **wrong})


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda c, f: c.log_jacobian(np.zeros((2, 1))), r"`encoded`\. Expected shape \[N, 2\]\. Received: \[2, 1\]"),
        (lambda c, f: c.decode(np.zeros((2, 2)), f.index), r"`encoded`\. Expected shape \[3, 2\]\. Received: \[2, 2\]"),
        (lambda c, f: c.fill(f, np.zeros((1, 2))), r"`encoded`\. Expected shape \[3, 2\]"),
        (lambda c, f: c.decode([[np.inf, 0.0]]), r"`encoded`\. Expected finite numbers"),
        (lambda c, f: c.decode("numbers"), r"`encoded`\. Expected numbers\. Received: 'numbers'"),
        (lambda c, f: c.likelihood(real="poisson"), r"`real`\. Expected a likelihood with a density at every"),
        (
            lambda c, f: c.likelihood(count="student_t"),
            r"`count`\. Expected a likelihood with a probability of every count",
        ),
        (lambda c, f: c.likelihood(balanced="no"), r"`balanced`\. Expected True or False"),
        (lambda c, f: Coding.fit(TWO, f), r"`schema`\. Expected a Schema\. Received: a DataFrame"),
        (
            lambda c, f: Coding.from_dict(TWO.to_dict()),
            r"`value`\. Expected what `to_dict` makes of a coding",
        ),
        (lambda c, f: Schema.from_dict([]), r"`value`\. Expected what `to_dict` makes of a schema\. Received: \[\]"),
        (lambda c, f: Schema.from_dict(None), r"`value`\. Expected what `to_dict` makes of a schema"),
        (lambda c, f: Schema.from_dict({"columns": None}), r"`value`\. Expected what `to_dict` makes"),
        (lambda c, f: Schema.from_dict({"columns": ["a"]}), r"`value`\. Expected what `to_dict` makes"),
        (lambda c, f: Schema.from_dict({**TWO.to_dict(), "unit": 1}), r"`value`\. Expected what `to_dict` makes"),
        (lambda c, f: Schema.from_dict(WITH_TEXT), r"`column 'a'`\. Expected levels in their order.*'abc'"),
        (lambda c, f: Coding.from_dict(None), r"`value`\. Expected what `to_dict` makes of a coding"),
        (
            lambda c, f: Coding.from_dict({**c.to_dict(), "more": 1}),
            r"`value`\. Expected what `to_dict` makes of a coding",
        ),
        (lambda c, f: Schema.from_dict({}), r"`value`\. Expected what `to_dict` makes of a schema"),
        (lambda c, f: Schema.from_dict({"columns": [{"name": "a"}]}), r"`value`\. Expected what `to_dict` makes"),
        (lambda c, f: Schema(("a", "n")), r"`columns`\. Expected a Column for each\. Received: 'a'"),
        (lambda c, f: Schema(set(TWO.columns)), r"`columns`\. Expected columns in their order"),
        (lambda c, f: Schema(3), r"`columns`\. Expected a Column for each\. Received: 3"),
        (lambda c, f: dtype_of("numbers", None), r"`text`\. Expected a dtype of pandas as text"),
    ],
)
def test_what_a_coding_cannot_do_is_refused_by_name(ask, message):
    frame = pd.DataFrame({"a": [0.5, 1.0, None], "n": [1, 2, 7]})
    with pytest.raises(ValueError, match=f"Invalid value received for {message}"):
        ask(Coding(**FITTED), frame)


def test_a_column_of_which_nothing_is_known_cannot_be_coded():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, 2.0]})
    with pytest.raises(ValueError, match=r"`column 'b'`\. Expected at least one value"):
        Coding.fit(frame.assign(b=np.nan), Schema.infer(frame))
