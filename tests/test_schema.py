"""What the columns of a table are: kinds by dtypes and values, what is said of them, and what is refused by name."""

import datetime
import decimal
import json

import numpy as np
import pandas as pd
import pytest

from keras_iwae.tables.coding import Coding
from keras_iwae.tables.schema import Column, Schema, kinds_text

N = 60
RNG = np.random.default_rng(0)
WORDS = np.array(["red", "green", "blue"])


def category(values, categories=None, ordered=False):
    return pd.Categorical(values, categories=categories, ordered=ordered)


KINDS = {
    "normal": (RNG.normal(size=N), "real", "float64"),
    "float32": (RNG.normal(size=N).astype(np.float32), "real", "float32"),
    "log-normal": (np.exp(1.5 * RNG.normal(size=N)), "positive", "float64"),
    "above zero": (5.0 + RNG.normal(size=N) / 2.0, "real", "float64"),
    "counts": (RNG.poisson(3.0, N), "count", "int64"),
    "counts with gaps": (np.where(RNG.random(N) < 0.2, np.nan, RNG.poisson(3.0, N)), "count", "float64"),
    "nullable counts": (pd.array(RNG.poisson(3.0, N), dtype="Int16"), "count", "Int16"),
    "years": (RNG.integers(1950, 2020, N), "real", "int64"),
    "below zero": (RNG.integers(-9, 90, N), "real", "int64"),
    "grades": (np.resize([3, 4, 5], N), "ordinal", "int64"),
    "incomes": (np.round(np.exp(12.0 + 1.5 * RNG.normal(size=N))).astype(int), "positive", "int64"),
    "0 and 1": (np.resize([0, 1, 1], N), "binary", "int64"),
    "0.0 and 1.0": (np.resize([0.0, 1.0, np.nan], N), "binary", "float64"),
    "1 and 2": (np.resize([1, 2, 2], N), "binary", "int64"),
    "bool": (RNG.random(N) < 0.5, "binary", "bool"),
    "boolean": (pd.array(np.resize([True, False, None], N), dtype="boolean"), "binary", "boolean"),
    "bool objects": (np.resize(np.array([True, None, False], object), N), "binary", "object"),
    "number objects": (np.resize(np.array([1.5, None, 2, decimal.Decimal("3.25")], object), N), "real", "object"),
    "words": (np.resize(WORDS, N), "categorical", "str"),
    "two words": (np.resize(WORDS[:2], N), "binary", "str"),
    "category": (category(np.resize(WORDS, N)), "categorical", "category[str]"),
    "ordered": (category(np.resize(WORDS, N), WORDS, True), "ordinal", "category[str, ordered]"),
    "category of numbers": (category(np.resize([7, 1, 3], N)), "categorical", "category[int64]"),
    "two categories": (category(np.resize(WORDS[:2], N), WORDS[:2], True), "binary", "category[str, ordered]"),
    "constant": (np.full(N, 7), "real", "int64"),
    "constant word": (np.full(N, "red"), "categorical", "str"),
    "arrow": (pd.array(RNG.poisson(3.0, N), dtype="Float64"), "count", "Float64"),
}
LEVELS = {
    "grades": (3, 4, 5),
    "0 and 1": (0, 1),
    "bool objects": (False, True),
    "words": ("blue", "green", "red"),
    "ordered": ("red", "green", "blue"),
    "category of numbers": (1, 3, 7),
    "two categories": ("red", "green"),
    "constant word": ("red",),
}


@pytest.fixture(scope="module")
def table():
    return pd.DataFrame({name: values for name, (values, _, _) in KINDS.items()})


def test_kinds_and_dtypes(table):
    schema = Schema.infer(table)
    assert schema.names == list(KINDS)
    found = {column.name: (column.kind, column.dtype) for column in schema}
    # Text is of one dtype from pandas 3 on and of objects before.
    text = str(table["words"].dtype)
    assert found == {name: (kind, dtype.replace("str", text)) for name, (_, kind, dtype) in KINDS.items()}
    levels = {column.name: column.categories for column in schema if column.name in LEVELS}
    assert levels == LEVELS
    assert all((column.categories is None) is (column.kind in ("real", "positive", "count")) for column in schema)


def test_it_survives_json(table):
    schema = Schema.infer(table)
    assert Schema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema


def test_what_is_said_of_a_column_is_what_it_is():
    frame = pd.DataFrame(
        {"a": np.resize([1, 2, 3], 9), "b": np.resize(["lo", "mid", "hi"], 9), "c": np.arange(9.0) + 1, "d": range(9)}
    )
    order = Column("b", "ordinal", ("lo", "mid", "hi"), unit="of a scale")
    schema = Schema.infer(frame, {"a": "categorical", "b": order, "c": "positive", "d": "count"})
    assert [column.kind for column in schema] == ["categorical", "ordinal", "positive", "count"]
    assert schema.columns[0].categories == (1, 2, 3)
    assert schema.columns[1].categories == ("lo", "mid", "hi")
    assert (schema.columns[1].unit, schema.columns[1].dtype) == ("of a scale", str(frame["b"].dtype))
    # As numbers, whatever they were.
    numbers = Schema.infer(
        pd.DataFrame({"c": category([1, 2, 2]), "b": [True, False, True]}), {"c": "real", "b": "real"}
    )
    assert [column.dtype for column in numbers] == ["int64", "float64"]


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        (category(["hi", "lo", "mid"], ["lo", "mid", "hi"], True), ("lo", "mid", "hi")),
        (category([7, 1, 3]), (1, 3, 7)),
        (category(["hi", "lo", "mid"]), "text in no order: 'hi', 'lo', 'mid'"),
        (category(["hi", "lo"], ["lo", "hi"]), "text in no order: 'lo', 'hi'"),
        (category([7, 1, 3], [7, 1, 3]), "categories in no order: 7, 1, 3"),
    ],
)
def test_categories_are_ordinal_where_they_are_in_an_order(values, levels):
    frame = pd.DataFrame({"g": values})
    if isinstance(levels, tuple):
        assert Schema.infer(frame, {"g": "ordinal"}).columns[0].categories == levels
        return
    with pytest.raises(ValueError, match=rf"`column 'g'`\. Expected Column\('g', 'ordinal', .*Received: {levels}"):
        Schema.infer(frame, {"g": "ordinal"})
    # With their order said, and as levels without one.
    order = Column("g", "ordinal", tuple(sorted(frame["g"])))
    assert Schema.infer(frame, {"g": order}).columns[0].categories == order.categories
    assert Schema.infer(frame, {"g": "categorical"}).columns[0].kind == "categorical"


def many_words(count):
    return [f"answer {i}" for i in range(count)]


REFUSED = {
    "all missing": ([np.nan, np.nan], "at least one value"),
    "all missing objects": ([None, None], "at least one value"),
    "mixed types": (["a", 1], r"values of one type\. Received: number \(1\) and text \('a'\)"),
    "mixed with booleans": ([True, 2.5], r"values of one type\. Received: bool \(True\) and number \(2.5\)"),
    "dates": (pd.to_datetime(["2020-01-01", "2021-01-01"]), "dates as a number.*Received: Timestamp"),
    "dates as objects": ([datetime.date(2020, 1, 1), None], "dates as a number"),
    "dates as text": (["2020-01-01", "31.12.2021"], "dates as a number.*Received: '31.12.2021'"),
    "dates of two digits": (["31/12/21", "1/2/20"], "dates as a number.*, that you say it is 'categorical'"),
    "dates by years of two digits": (["21-12-31", "20-02-01"], "dates as a number"),
    "dates with points": (["3.4.2021", "2021.4.30"], "dates as a number"),
    "dates as categories": (category(pd.to_datetime(["2020-01-01", "2021-01-01"])), "dates as a number"),
    "periods": (pd.period_range("2020-01", periods=2, freq="M"), "dates as a number"),
    "durations": (pd.to_timedelta([1, 2], unit="D"), "dates as a number"),
    "free text": (many_words(60), "text of at most 50 levels that repeat.*60 different texts in 60 rows.*'answer 0'"),
    "identifiers": (many_words(12), "at most 50 levels that repeat.*12 different texts in 12 rows"),
    "infinite": ([1.0, np.inf], r"finite numbers.*Received: 1 that are infinite"),
    "beyond float64": (pd.Series([-(10**400), 1.0], dtype=object), r"finite numbers.*Received: 1 that are infinite"),
    "infinite objects": (np.array([1.0, -np.inf, None], object), "finite numbers"),
    "complex": ([1j, 2.0], "real numbers"),
    "lists": ([[1], [2]], r"numbers, text or booleans\. Received: list"),
    "intervals": (pd.cut([1.0, 2.0], 2), "numbers, text or booleans"),
}


@pytest.mark.parametrize("bad", REFUSED)
def test_bad_columns_are_refused_by_name(bad):
    values, message = REFUSED[bad]
    frame = pd.DataFrame({"good": range(len(values)), "bad one": values})
    with pytest.raises(ValueError, match=rf"Invalid value received for `column 'bad one'`\. Expected .*{message}"):
        Schema.infer(frame)


@pytest.mark.parametrize("levels", [["1.10.12", "1.9.12"], ["2024-01-01", "2024-02-01"]])
def test_what_looks_like_dates_is_levels_where_it_is_said_to_be(levels):
    frame = pd.DataFrame({"version": np.resize(levels, N)})
    with pytest.raises(
        ValueError, match=r"dates as a number, .*, if they are levels, that you say it is 'categorical'"
    ):
        Schema.infer(frame)
    for given in (frame, frame.astype("category")):
        assert Schema.infer(given, {"version": "categorical"}).columns[0].categories == tuple(sorted(levels))


def test_text_of_many_levels_is_taken_where_it_is_said_to_be_levels():
    schema = Schema.infer(pd.DataFrame({"code": many_words(60)}), {"code": "categorical"})
    assert len(schema.columns[0].categories) == 60


DRESSED = {
    "%": ["5%", "7,5 %", "10"],
    "currencies": ["$5", "-$10"],
    "a currency behind": ["5 €", "1 200,50 €"],
    "spaces in thousands": ["900", "1 200", "12 000"],
    "narrow spaces": ["1\u202f200", "2\u00a0500.5"],
    "apostrophes": ["1'200", "900"],
    "another minus": ["\u22125", "7"],
    "a unit": ["5 kg", "10 kg", "7"],
    "times": ["12:00", "13:30"],
    "months": ["2024-01", "2024-12"],
    "glued units": ["5mg", "10mg", "7"],
    "units of a kind": ["500 mg", "1g"],
    "hours": ["12h", "24h"],
    "thousands": ["5k", "10k"],
    "degrees": ["20°C", "25 °C", "-3°"],
    "degrees of latitude": ["48°N", "5°S"],
    "parentheses": ["(5)", "( 6.5 )", "7"],
    "underscores": ["1_000", "2_000_000"],
    "errors": ["10±2", "9.5 ± 1", "7"],
    "errors of a keyboard": ["10 +/- 2", "9+-1"],
    "deviations in parentheses": ["10.2 (2.1)", "9 (1)"],
    "intervals": ["5 [3]", "7 [ -1 ]"],
    "pressures": ["120/80", "95 / 60"],
}
LEVELS_OF_DIGITS = (
    ["0", "1", "2", "3+"],
    ["1 low", "2 mid", "3 high"],
    ["1A", "2A"],
    ["10-19", "20-29"],
    ["2023-24", "2024-25"],
    ["5 kg"],
    ["007", "010"],
    ["5%", "none"],
    ["2D", "3D"],
    ["4G", "5G"],
    ["2L", "3L"],
    ["1st", "2nd"],
    ["5mg"],
    ["5mg", "high"],
    ["(a)", "(b)"],
    ["1.0.2", "1.0.3"],
    ["1.10.0", "2.3.1"],
    ["2024.1.0", "2024.1.1"],
    ["10.0.17763"],
    ["0/0", "0/1", "1/1"],
    ["+", "-", "±"],
    ["1 (low)", "2 (high)"],
)


@pytest.mark.parametrize("dress", DRESSED)
def test_numbers_in_the_dress_of_a_spreadsheet_are_no_levels(dress):
    frame = pd.DataFrame({"p": np.resize(DRESSED[dress], N)})
    expected = (
        r"`column 'p'`\. Expected numbers of digits alone, .*, if they are levels, that you say it is 'categorical'"
    )
    with pytest.raises(ValueError, match=expected):
        Schema.infer(frame)
    levels = Schema.infer(frame, {"p": "categorical"}).columns[0].categories
    assert levels == tuple(sorted(DRESSED[dress]))


@pytest.mark.parametrize("levels", LEVELS_OF_DIGITS)
def test_levels_with_digits_are_levels(levels):
    assert Schema.infer(pd.DataFrame({"p": np.resize(levels, N)})).columns[0].categories == tuple(levels)


def test_kinds_on_one_line(table):
    schema = Schema.infer(table[["normal", "years", "counts", "words", "bool"]])
    expected = "real: normal, years; count: counts; binary: bool (2 levels); categorical: words (3 levels)"
    assert kinds_text(schema) == expected
    assert kinds_text([Column(i, "real") for i in range(12)]) == "real: 0, 1, 2, 3, 4, 5, 6, 7 and 4 more"


def test_tables_that_are_none_are_refused():
    twice = pd.DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(ValueError, match=r"`columns`\. Expected names that all differ\. Received: 'a' twice"):
        Schema.infer(twice)
    for frame in (pd.DataFrame({"a": []}), pd.DataFrame(index=[1])):
        with pytest.raises(ValueError, match=r"`frame`\. Expected rows and columns"):
            Schema.infer(frame)
    for other in (np.zeros((2, 2)), {"a": [1]}, None):
        with pytest.raises(ValueError, match=r"`frame`\. Expected a pandas DataFrame"):
            Schema.infer(other)
    for columns in ("real", ["real"], [("n", "real")]):
        with pytest.raises(ValueError, match=r"`columns`\. Expected a dictionary of kinds by name"):
            Schema.infer(FRAME, columns)
    with pytest.raises(ValueError, match=r"Expected names that are strings or integers\. Received: \('a', 'b'\)"):
        Schema.infer(pd.DataFrame([[1.0]], columns=pd.MultiIndex.from_tuples([("a", "b")])))


def test_counts_beyond_what_a_mean_of_counts_reaches_are_refused():
    frame = pd.DataFrame({"c": np.resize([5, 10_000_000], 60)})
    schema = Schema.infer(frame, {"c": "count"})
    expected = r"`column 'c'`\. Expected counts, whole numbers from 0 to 10,000,000; larger ones are 'positive'"
    for ask in (
        lambda wrong: Schema.infer(wrong, {"c": "count"}),
        lambda wrong: Schema.infer(wrong, {"c": Column("c", "count")}),
        lambda wrong: Coding.fit(wrong, schema),
        lambda wrong: Coding.fit(frame, schema).encode(wrong),
    ):
        with pytest.raises(ValueError, match=rf"{expected}.*Received: 1e\+07"):
            ask(frame + 1)
    assert Schema.infer(frame + 1, {"c": "positive"}).columns[0].kind == "positive"


FRAME = pd.DataFrame({"n": [0.5, -1.0, 2.0], "w": ["a", "b", "c"], "one": ["a", "a", "a"]})


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"other": "real"}, r"`columns`\. Expected names of .*Received: 'other'"),
        ({"n": "normal"}, r"`column 'n'`\. Expected one of \('real', "),
        ({"n": None}, r"`column 'n'`\. Expected one of \('real', .*Received: None"),
        ({"n": 3}, r"`column 'n'`\. Expected one of \('real', .*Received: 3"),
        ({"n": "positive"}, r"`column 'n'`\. Expected numbers above 0\. Received: -1"),
        ({"n": "count"}, r"`column 'n'`\. Expected counts.*Received: 0.5"),
        ({"w": "real"}, r"`column 'w'`\. Expected numbers\. Received: text \('a'\)"),
        ({"w": "ordinal"}, r"`column 'w'`\. Expected Column\('w', 'ordinal', categories\).*text in no order"),
        ({"w": "binary"}, r"`column 'w'`\. Expected two levels\. Received: 3"),
        ({"one": "binary"}, r"`column 'one'`\. Expected Column.*which names both levels"),
        ({"w": Column("w", "categorical", ("a", "b"))}, r"`column 'w'`\. Expected one of the levels.*Received: 'c'"),
        ({"w": Column("n", "real")}, r"`column 'w'`\. Expected a Column of the same name\. Received: 'n'"),
    ],
)
def test_what_is_said_has_to_be_true(columns, message):
    with pytest.raises(ValueError, match=f"Invalid value received for {message}"):
        Schema.infer(FRAME, columns)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a", "normal"), r"`column 'a': kind`"),
        (("a", "categorical"), r"`column 'a'`\. Expected categories=levels"),
        (("a", "real", ("x",)), r"`column 'a'`\. Expected categories=None"),
        (("a", "binary", ("x",)), r"`column 'a'`\. Expected two levels"),
        (("a", "categorical", ()), r"`column 'a'`\. Expected at least one level"),
        (("a", "categorical", ("x", "x")), r"`column 'a'`\. Expected levels that all differ"),
        (
            ("a", "categorical", ("x", None)),
            r"`column 'a'`\. Expected levels that are strings, finite numbers or booleans",
        ),
        (("a", "real", None, None, "float63"), r"`column 'a'`\. Expected dtype=a dtype of pandas"),
        (("a", "real", None, None, np.float64), r"`column 'a'`\. Expected dtype=a dtype of pandas"),
        (("a", "real", None, None, "datetime64[ns]"), r"`column 'a'`\. Expected dtype=one of numbers.*'datetime64"),
        (("a", "real", None, None, "object[x]"), r"`column 'a'`\. Expected dtype=a dtype"),
        (("a", "real", None, None, "string"), r"`column 'a'`\. Expected dtype=one of numbers"),
        (("a", "real", None, None, "bool"), r"`column 'a'`\. Expected dtype=one of numbers"),
        (("a", "count", None, None, "category"), r"`column 'a'`\. Expected dtype=one of numbers"),
        (("a", "count", None, None, "category[int64]"), r"`column 'a'`\. Expected dtype=one of numbers"),
        (("a", "positive", None, None, "complex128"), r"`column 'a'`\. Expected dtype=one of numbers"),
        (
            ("a", "binary", ("x", "y"), None, "float64"),
            r"`column 'a'`\. Expected dtype=one that its levels have, as they",
        ),
        (("a", "binary", (0, 5), None, "bool"), r"`column 'a'`\. Expected dtype=one that.*Received: 'bool' for 5"),
        (("a", "binary", (False, True), None, "str"), r"`column 'a'`\. Expected dtype=one that"),
        (("a", "ordinal", (1, 300), None, "Int8"), r"`column 'a'`\. Expected dtype=one that.*Received: 'Int8' for 300"),
        (
            ("a", "ordinal", (1.5, 2), None, "int64"),
            r"`column 'a'`\. Expected dtype=one that.*Received: 'int64' for 1.5",
        ),
        (("a", "ordinal", (0.5, 0.1), None, "float32"), r"`column 'a'`\. Expected dtype=one that.*'float32' for 0.1"),
        (
            ("a", "ordinal", (2**53 + 1, 0), None, "float64"),
            r"`column 'a'`\. Expected dtype=one that.*for 9007199254740993",
        ),
        (("a", "binary", ("x", "y"), None, "category[int64]"), r"`column 'a'`\. Expected dtype="),
        (("a", "binary", "xy"), r"`column 'a'`\. Expected levels in their order, as \('no', 'yes'\)"),
        (("a", "categorical", 3), r"`column 'a'`\. Expected levels in their order, as"),
        (("a", "ordinal", {"x", "y"}), r"`column 'a'`\. Expected levels in their order, as"),
        (("a", "binary", frozenset("xy")), r"`column 'a'`\. Expected levels in their order, as"),
        (("a", "categorical", (1.0, np.nan)), r"`column 'a'`\. Expected levels that are strings, finite numbers"),
        (("a", "real", None, 3), r"`column 'a'`\. Expected unit=a text"),
        ((("a", "b"), "real"), r"`name`"),
    ],
)
def test_columns_that_are_none_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"Invalid value received for {message}"):
        Column(*arguments)


@pytest.mark.parametrize(
    ("levels", "dtype"),
    [
        (("x", "y"), "category"),
        (("x", "y"), "category[object, ordered]"),
        ((0, 1), "bool"),
        ((False, True), "Int8"),
        ((1, 2), "float32"),
        ((2**53 + 1, 2**60), "int64"),
    ],
)
def test_levels_come_back_in_any_dtype_that_has_them(levels, dtype):
    column = Column("a", "binary", levels, dtype=dtype)
    coding = Coding(Schema((column,)), (0.0,), (1.0,), (False,), (1.0,))
    found = coding.decode([[1.0], [1.0], [0.0]])["a"]
    assert found.tolist() == [levels[1], levels[1], levels[0]]
    assert str(found.dtype) == dtype.partition("[")[0]


def test_a_table_of_small_integers_has_larger_ones_where_a_level_is_larger():
    frame = pd.DataFrame({"a": pd.array([1, None, 1], "Int8"), "b": [True, False, True]})
    given = {"a": Column("a", "binary", (1, 300)), "b": Column("b", "real")}
    coding = Coding.fit(frame, Schema.infer(frame, given))
    assert coding.decode([[1.0, 0.0], [0.0, 0.0]])["a"].tolist() == [300, 1]
    # A number comes back as one.
    assert coding.schema.columns[1].dtype == "float64"


def test_integers_that_float64_does_not_tell_apart_are_no_levels():
    frame = pd.DataFrame({"id": np.resize([2**53, 2**53 + 1, 5], 90)})
    assert Schema.infer(frame).columns[0].kind == "real"
    assert Schema.infer(frame, {"id": "ordinal"}).columns[0].categories == (5, 2**53, 2**53 + 1)


def test_the_columns_of_another_table():
    schema = Schema.infer(FRAME)
    assert list(schema.check(FRAME[["w", "one", "n"]])) == ["n", "w", "one"]
    with pytest.raises(ValueError, match=r"Expected the columns .*Received: none called 'w'"):
        schema.check(FRAME[["n", "one"]])
    with pytest.raises(ValueError, match=r"Expected the columns .*Received: 'more' too"):
        schema.check(FRAME.assign(more=1))
    with pytest.raises(ValueError, match=r"`columns`\. Expected at least one"):
        Schema(())
    with pytest.raises(ValueError, match=r"'a' twice"):
        Schema((Column("a", "real"), Column("a", "real")))
