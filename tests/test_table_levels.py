"""Levels of tables: texts to the letter in a CSV file where they are said, and the values of DataFrames and Parquet."""

import json

import numpy as np
import pandas as pd
import pytest

from keras_iwae.serving.table_cells import served_columns
from keras_iwae.tables import Coding, Column, Schema
from keras_iwae.tables.files import check_cells, columns_of, open_table
from keras_iwae.tables.pairs import open_pair

# Of each pair some are the same number.
LETTERS = {
    "versions": ["1.1", "1.10", "1.2"],
    "identifiers of 17 digits": ["90071992547409931", "90071992547409932"],
    "exponents": ["100000", "10E4", "1E5"],
    "no numbers that are finite": ["1E999", "inf"],
    "leading zeros": ["007", "07", "7"],
    "decimals": ["1", "1.0", "1.00"],
    "signs": ["+5", "-5", "5"],
    "either mark": ["1,5", "1.5", "1.50"],
}


def written(folder, cells, name="table.csv", header="code;x"):
    path = folder / name
    path.write_text("\n".join([header, *(f"{cell};{n}" for n, cell in enumerate(cells))]) + "\n")
    return path


def filled_in(table, given, level, out):
    """The cells of the first column, written with each gap filled in by one level."""
    sample = pd.concat([frame for _, frame in table.chunks(2)], ignore_index=True)
    columns = columns_of(table, sample, given)
    place = list(columns["code"].categories).index(level)
    coding = Coding.fit(sample, Schema(tuple(columns.values())))
    parts = []
    for cells, frame in table.chunks(3):
        parts.append(out / f"part-{len(parts)}")
        encoded = np.full((len(frame), 2), [place, 0.0])
        table.write_part(parts[-1], cells, coding.fill(frame, encoded))
    return [line.split(";")[0] for part in parts for line in part.read_text().split()]


@pytest.mark.slow
@pytest.mark.parametrize("said", ["categorical", "binary", "Column"])
@pytest.mark.parametrize("name", LETTERS)
def test_levels_that_are_said_are_texts_to_the_letter(name, said, tmp_path):
    cells = sorted(LETTERS[name])[: 2 if said == "binary" else None]
    given = {"code": Column("code", "categorical", tuple(cells[::-1])) if said == "Column" else said}
    table = open_table(written(tmp_path, [*cells, "", *cells, "NA"]), kinds=given)
    assert (table.is_text("code"), table.levels("code")) == (True, cells)
    for level in cells:
        assert filled_in(table, given, level, tmp_path) == [*cells, level, *cells, level]


def test_control_numbers_of_which_nothing_is_said_are_numbers(tmp_path):
    table = open_table(written(tmp_path, LETTERS["versions"]))
    assert (table.is_text("code"), table.levels("code")) == (False, [1.1, 1.2])
    # By value too where the levels that are said are numbers.
    given = {"code": Column("code", "categorical", (1.1, 1.2))}
    table = open_table(written(tmp_path, [*LETTERS["versions"], ""]), kinds=given)
    assert filled_in(table, given, 1.2, tmp_path) == ["1.1", "1.10", "1.2", "1.20"]
    given = {"code": Column("code", "binary", (False, True))}
    table = open_table(written(tmp_path, ["TRUE", "False", ""]), kinds=given)
    assert filled_in(table, given, True, tmp_path) == ["TRUE", "False", "True"]


def test_a_level_that_no_column_has_is_found_in_all_rows(tmp_path):
    given = {"code": Column("code", "categorical", ("1.1", "1.10"))}
    table = open_table(written(tmp_path, ["1.1", "1.10", "1.2"]), kinds=given)
    with pytest.raises(
        ValueError, match=r"`column 'code'`\. Expected one of the levels '1.1', '1.10'\. Received: '1.2'"
    ):
        columns_of(table, next(table.chunks(2))[1], given)


@pytest.mark.parametrize(
    ("cells", "said", "expected"),
    [
        (["1.0", "2.0", "3.0"], "ordinal(1<2<3)", "'1', '2', '3', to the letter, as .*; numbers .* 'ordinal' alone"),
        (["1,0", "2,5"], "ordinal(1<2.5)", "'1', '2.5', to the letter, as the cells have them; numbers"),
        (
            ["Low", "high"],
            "ordinal(low<high)",
            r"'low', 'high', to the letter, as the cells have them\. Received: 'Low'",
        ),
        (["1", "mid"], "ordinal(1<3)", r"'1', '3'\. Received: 'mid'"),
        (["1", "2"], Column("code", "ordinal", (1, 3)), r"1, 3\. Received: 2"),
    ],
)
def test_levels_of_another_spelling_are_said_to_be_such(cells, said, expected, tmp_path):
    table = open_table(written(tmp_path, [*cells, *cells, ""]), kinds={"code": said})
    with pytest.raises(ValueError, match=rf"`column 'code'`\. Expected one of the levels {expected}"):
        columns_of(table, next(table.chunks(9))[1], {"code": said})
    # Control: the remedy.
    if "alone" in expected:
        table = open_table(written(tmp_path, [*cells, *cells, ""]), kinds={"code": "ordinal"})
        assert columns_of(table, next(table.chunks(9))[1], {"code": "ordinal"})["code"].categories == (1, 2, 3)
    frame = pd.DataFrame({"code": [1.0, 2.0]})
    with pytest.raises(ValueError, match=r"one of the levels '1', '2', of the same type\. Received: 1.0"):
        Schema.infer(frame, {"code": "ordinal(1<2)"})


@pytest.mark.slow
@pytest.mark.parametrize("said", ["ordinal", Column("code", "ordinal", (2**53, 2**53 + 1))])
@pytest.mark.parametrize("sign", ["", "-"])
def test_numbers_that_float64_does_not_tell_apart_are_no_levels(said, sign, tmp_path):
    # Which would be two levels, and one in float64.
    cells = [f"{sign}9007199254740992", f"{sign}9007199254740993", "1", ""]
    table = open_table(written(tmp_path, cells), kinds={"code": said})
    expected = rf"`column 'code'`\. Expected levels that float64 tells apart; as texts, .*{sign}9.0072e\+15"
    with pytest.raises(ValueError, match=expected):
        columns_of(table, next(table.chunks(9))[1], {"code": said})
    # Controls: the remedies, and the largest that it tells apart.
    for remedy in ("categorical", f"ordinal({cells[0]}<{cells[1]}<1)"):
        table = open_table(written(tmp_path, cells), kinds={"code": remedy})
        assert filled_in(table, {"code": remedy}, cells[1], tmp_path) == [*cells[:3], cells[1]]
    table = open_table(written(tmp_path, ["9007199254740990", "9007199254740991"]), kinds={"code": "ordinal"})
    column = columns_of(table, next(table.chunks(9))[1], {"code": "ordinal"})["code"]
    assert column.categories == (2**53 - 2, 2**53 - 1)


def test_numbers_that_float64_does_not_tell_apart_are_no_levels_of_another_file(tmp_path):
    pytest.importorskip("pyarrow")
    given = {"code": "categorical"}
    pd.DataFrame({"code": [2**53, 2**53 + 1], "x": [0, 1]}).to_parquet(tmp_path / "table.parquet")
    new, known = open_pair(written(tmp_path, ["9007199254740993"]), tmp_path / "table.parquet", kinds=given)
    columns = columns_of(known, next(known.chunks(9))[1], given)
    with pytest.raises(ValueError, match=r"`column 'code'`\. Expected levels that float64 tells apart"):
        check_cells(columns, new)


def test_numbers_of_late_rows_that_float64_does_not_tell_apart_are_numbers(tmp_path):
    cells = [*map(str, np.resize([3, 4, 5], 60)), "9007199254740992", "9007199254740993"]
    table = open_table(written(tmp_path, cells))
    sample = next(table.chunks(60))[1]
    # Control: of these rows alone they are levels.
    assert Schema.infer(sample).columns[0].kind == "ordinal"
    assert columns_of(table, sample, {})["code"].kind == "real"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_levels_beyond_the_rows_that_are_learned_from_are_known_where_they_are_said(name, tmp_path):
    cells = [f"w{n:03d}" for n in np.r_[np.resize(np.arange(5), 100), np.arange(90)]]
    path = written(tmp_path, cells)
    if name == "parquet":
        pytest.importorskip("pyarrow")
        pd.read_csv(path, sep=";").to_parquet(path := tmp_path / "table.parquet")
    table = open_table(path, kinds={"code": "categorical"})
    # A sample of rows in which five of ninety levels are.
    sample = next(table.chunks(100))[1]
    assert columns_of(table, sample, {"code": "categorical"})["code"].categories == tuple(sorted(set(cells)))
    # Where nothing is said, text of so many is none that can be learned from, before a model is made of the sample.
    table = open_table(path)
    expected = (
        r"`column 'code'`\. Expected text of at most 60 levels; leave .* 'categorical'\. Received: more in all 190"
    )
    with pytest.raises(ValueError, match=expected):
        columns_of(table, sample, {})
    few = open_table(written(tmp_path, [f"w00{n}" for n in range(5)], "few.csv"), kinds={"code": "categorical"})
    columns = columns_of(few, next(few.chunks(9))[1], {"code": "categorical"})
    with pytest.raises(
        ValueError, match=r"`column 'code'`\. Expected one of the levels 'w000'.*Received: more than 60"
    ):
        check_cells(columns, table)
    # Numbers of so many levels are numbers, whatever a sample has of them.
    path = written(tmp_path, np.r_[np.resize(np.arange(1, 4), 100), np.arange(90)])
    table = open_table(path)
    assert columns_of(table, next(table.chunks(100))[1], {})["code"].kind == "real"
    table = open_table(path, kinds={"code": "ordinal"})
    assert len(columns_of(table, next(table.chunks(100))[1], {"code": "ordinal"})["code"].categories) == 90


def test_levels_that_are_said_are_not_without_end(tmp_path):
    table = open_table(written(tmp_path, range(10_001)), kinds={"code": "categorical"})
    with pytest.raises(ValueError, match=r"`column 'code'`\. Expected at most 10,000 levels; leave free text"):
        columns_of(table, next(table.chunks(9))[1], {"code": "categorical"})


def test_cells_that_a_model_cannot_have_are_refused_before_it_is_made(tmp_path):
    cells = {"n": [0, 3, 40], "x": [1.5, 2.5, 900.0], "w": ["a", "b", "a"]}
    pd.DataFrame(cells).to_csv(tmp_path / "old.csv", index=False)
    kinds = {"n": "count", "x": "positive", "w": "binary"}
    for line, expected in {
        "-1,2.5,a": r"'n'`\. Expected counts.*Received: -1",
        "1.5,2.5,a": r"'n'`\. Expected counts.*Received: fractions in .*new.csv",
        "1,0.0,a": r"'x'`\. Expected numbers above 0\. Received: 0",
        "1,2.5,c": r"'w'`\. Expected one of the levels 'a', 'b'\. Received: 'c'",
        "1,2.5,a": None,
        ",,": None,
    }.items():
        (tmp_path / "new.csv").write_text(f"n,x,w\n0,1.5,b\n7,1.5,b\n{line}\n")
        table, learned = open_pair(tmp_path / "new.csv", tmp_path / "old.csv", kinds=kinds)
        columns = columns_of(learned, next(learned.chunks(9))[1], kinds)
        if expected is None:
            check_cells(columns, table)
            continue
        with pytest.raises(ValueError, match=f"`column {expected}"):
            check_cells(columns, table)


def test_levels_of_a_frame_are_its_values():
    ids = [2**53, 2**53 + 1, 2**53 + 3]
    for dtype in ("int64", "Int64", "uint64"):
        frame = pd.DataFrame({"code": pd.array([*ids, *ids], dtype)})
        coding = Coding.fit(frame, Schema.infer(frame, {"code": "categorical"}))
        assert coding.schema.columns[0].categories == tuple(ids)
        found = coding.decode(np.array([[1.0], [2.0]]))["code"]
        assert (found.tolist(), str(found.dtype)) == (ids[1:], dtype)
    # Of floats that is no longer known, and a text of a file is none of the numbers.
    with pytest.raises(
        ValueError, match=r"`column 'code'`\. Expected levels that float64 tells apart; read .*dtype=\{"
    ):
        Schema.infer(frame.astype("float64"), {"code": "categorical"})
    with pytest.raises(ValueError, match=r"Expected one of the levels 9007.*, of the same type\. Received: '9007"):
        coding.encode(frame.astype(str))
    # Where pandas read whole numbers beside gaps they are the same levels.
    small = pd.DataFrame({"code": [1, 2, 3]})
    coding = Coding.fit(small, Schema.infer(small, {"code": "categorical"}))
    np.testing.assert_array_equal(coding.encode(pd.DataFrame({"code": [3.0, np.nan]})), [[2.0], [np.nan]])


def test_levels_of_parquet_are_its_values(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet")
    ids = [2**53, 2**53 + 1]
    path = tmp_path / "table.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"code": [*ids, None]}), path)
    table = open_table(path, kinds={"code": "categorical"})
    ((cells, frame),) = table.chunks(3)
    column = columns_of(table, frame, {"code": "categorical"})["code"]
    assert column.categories == tuple(ids)
    coding = Coding.fit(frame, Schema((column,)))
    table.write_part(tmp_path / "part", cells, coding.fill(frame, np.ones((3, 1))))
    assert pyarrow.parquet.read_table(tmp_path / "part")["code"].to_pylist() == [*ids, ids[1]]
    # Texts that look like dates are levels where they are said to be.
    pyarrow.parquet.write_table(pyarrow.table({"code": ["2024-01-01", "2024-02-01"]}), path)
    for given in ({"code": "categorical"}, {}):
        table = open_table(path, kinds=given)
        sample = next(table.chunks(2))[1]
        if given:
            assert columns_of(table, sample, given)["code"].categories == ("2024-01-01", "2024-02-01")
        else:
            with pytest.raises(ValueError, match=r"`column 'code'`\. .*dates as a number"):
                columns_of(table, sample, given)
    decimals = pyarrow.array(ids).cast(pyarrow.decimal128(20, 0))
    pyarrow.parquet.write_table(pyarrow.table({"code": decimals}), path)
    with pytest.raises(
        ValueError, match=r"`column 'code'`\. Expected levels of at most 15 digits, .*decimal128\(20, 0\)"
    ):
        open_table(path, kinds={"code": "categorical"})


def test_levels_of_two_files_are_those_that_are_learned_from(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet")
    given = {"code": "categorical"}
    text = written(tmp_path, ["1", "2.0", ""], header="code;x")
    pyarrow.parquet.write_table(pyarrow.table({"code": [1, 2], "x": [0, 1]}), tmp_path / "table.parquet")
    table, _ = open_pair(text, tmp_path / "table.parquet", kinds=given)
    assert table.levels("code") == [1, 2]
    with pytest.raises(ValueError, match=r"`column 'code'`\. Expected text, as in .*table.csv\. Received: numbers"):
        open_pair(tmp_path / "table.parquet", text, kinds=given)
    new = written(tmp_path, ["1.10", "1.1"], "new.csv")
    assert [table.levels("code") for table in open_pair(new, text, kinds=given)] == [["1.1", "1.10"], ["1", "2.0"]]


def test_levels_that_are_texts_are_served_as_such():
    frame = pd.DataFrame({"code": LETTERS["versions"]})
    (cells,) = served_columns(Coding.fit(frame, Schema.infer(frame, {"code": "categorical"})))
    assert cells.spec.dtype == "string"
    np.testing.assert_array_equal(cells.encode(np.array([b"1.10", b"", b"1.1"])), [1.0, np.nan, 0.0])


ORDER = "ordinal(low < mid<high)"


def test_an_order_is_said_in_a_word(tmp_path):
    frame = pd.DataFrame({"code": ["mid", "high", None, "low"]})
    column = Column("code", "ordinal", ("low", "mid", "high"), dtype=str(frame["code"].dtype))
    schema = Schema.infer(frame, {"code": ORDER})
    assert schema == Schema((column,)) == Schema.from_dict(json.loads(json.dumps(schema.to_dict())))
    np.testing.assert_array_equal(Coding.fit(frame, schema).encode(frame), [[1.0], [2.0], [np.nan], [0.0]])
    for said in (ORDER, Column("code", "ordinal", column.categories)):
        table = open_table(written(tmp_path, ["mid", "high", "", "low"]), kinds={"code": said})
        assert filled_in(table, {"code": said}, "high", tmp_path) == ["mid", "high", "high", "low"]


def test_an_order_of_texts_that_look_like_numbers_or_gaps(tmp_path):
    given = {"code": "ordinal(-<+<1.10<1.1)"}
    table = open_table(written(tmp_path, ["1.1", "-", "", "1.10", "+"]), kinds=given)
    assert filled_in(table, given, "-", tmp_path) == ["1.1", "-", "-", "1.10", "+"]


@pytest.mark.parametrize("said", ["ordinal()", "ordinal(low)", "ordinal(low<)", "ordinal(low<<high)"])
def test_orders_that_are_none_are_refused(said, tmp_path):
    message = r"Expected levels with < between them, as 'ordinal\(low<mid<high\)'; where one has a < in it, a Column"
    with pytest.raises(ValueError, match=rf"`column 'code'`\. {message}"):
        Schema.infer(pd.DataFrame({"code": ["low", "high"]}), {"code": said})
    with pytest.raises(ValueError, match=rf"`kinds\['code'\]`\. {message}"):
        open_table(written(tmp_path, ["low", "high"]), kinds={"code": said})


def test_levels_without_an_order_are_told_how_to_say_it(tmp_path):
    table = open_table(written(tmp_path, ["low", "high"]), kinds={"code": "ordinal"})
    expected = (
        r"`column 'code'`\. Expected Column\('code', .* the kind 'ordinal\(low<mid<high\)' with these, .*'high', 'low'"
    )
    with pytest.raises(ValueError, match=expected):
        columns_of(table, next(table.chunks(2))[1], {"code": "ordinal"})
    # A level that the order has not is said of all rows.
    given = {"code": "ordinal(low<mid)"}
    table = open_table(written(tmp_path, ["low", "mid", "high"]), kinds=given)
    with pytest.raises(
        ValueError, match=r"`column 'code'`\. Expected one of the levels 'low', 'mid'\. Received: 'high'"
    ):
        columns_of(table, next(table.chunks(2))[1], given)
