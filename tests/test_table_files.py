"""Files of tables as people have them: read as they mean it, written as they were, or refused with a sentence."""

import contextlib
import csv
import decimal
import itertools
import os
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

from keras_iwae.tables import Coding, Column, Schema, work
from keras_iwae.tables.codes import warn_of_codes
from keras_iwae.tables.dialect import Dialect
from keras_iwae.tables.doubts import warn_of_doubts
from keras_iwae.tables.files import columns_of, open_table, sampled
from keras_iwae.tables.work import Work


def written(folder, text, name="table.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def read(path, **options):
    """All values of a file, whatever the chunks."""
    table = open_table(path, **options)
    wholes, pieces = ([frame for _, frame in table.chunks(size)] for size in (100, 2))
    together = pd.concat(pieces)
    pd.testing.assert_frame_equal(pd.concat(wholes).reset_index(drop=True), together.reset_index(drop=True))
    return together.reset_index(drop=True)


VALUES = {"x": [1.5, None, -2.25, 1000.0], "n": [3, 4, None, 12], "w": ["a", "b c", "a", None]}
DIALECTS = {
    "plain": ("x,n,w\n1.5,3,a\nNA,4,b c\n-2.25,,a\n1000.0,12,?\n", "utf-8", Dialect("utf-8", ",")),
    "German Excel": (
        "x;n;w\r\n1,5;3;a\r\n;4;b c\r\n-2,25;#NV;a\r\n1000,0;12;\r\n",
        "cp1252",
        Dialect("utf-8", ";", ",", "", "\r\n"),
    ),
    "thousands": ("x;n;w\n1,5;3;a\n;4;b c\n-2,25;-;a\n1.000,0;12;\n", "utf-8", Dialect("utf-8", ";", ",", ".")),
    "American thousands": (
        'x,n,w\n1.5,3,a\n,4,b c\n-2.25,.,a\n"1,000.0",12,\n',
        "utf-8",
        Dialect("utf-8", ",", ".", ","),
    ),
    "tabs of Excel": (
        "x\tn\tw\r\n1,5\t3\ta\r\nnan\t4\tb c\r\n-2,25\tNULL\ta\r\n1000\t12\t\r\n",
        "utf-16",
        Dialect("utf-16", "\t", ",", "", "\r\n"),
    ),
    "with a mark": ("x|n|w\n1.5|3|a\n|4|b c\n-2.25||a\n1e3|12|\n", "utf-8-sig", Dialect("utf-8-sig", "|")),
    "it says so": (
        "sep=;\nx;n;w\n1.5;3;a\n;4;b c\n\n-2.25;;a\n1000;12;\n",
        "utf-8",
        Dialect("utf-8", ";", first_line="sep=;"),
    ),
    "it says so in quotes": (
        '"SEP=|"\r\nx|n|w\r\n1.5|3|a\r\n|4|b c\r\n-2.25||a\r\n1000|12|\r\n',
        "utf-16",
        Dialect("utf-16", "|", newline="\r\n", first_line='"SEP=|"'),
    ),
    "a separator at every end": (
        "x;n;w;\r\n1,5;3;a;\r\n;4;b c;\r\n-2,25;;a;\r\n1000;12;;\r\n",
        "utf-8",
        Dialect("utf-8", ";", ",", "", "\r\n"),
    ),
    "more of them here and there": (
        "x,n,w\n1.5,3,a,,\n,4,b c\n-2.25,,a, ,\n1000,12,,\n",
        "utf-8",
        Dialect("utf-8", ","),
    ),
    "quotes": ('x,"n",w\n"1.5",3,"a"\n,4,b c\n-2.25,,a\n1000,12,""\n', "utf-8", Dialect("utf-8", ",")),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_what_a_file_says_whatever_way_it_says_it(name, tmp_path):
    text, encoding, dialect = DIALECTS[name]
    path = written(tmp_path, text, encoding=encoding)
    assert Dialect.of(path) == dialect
    frame = read(path)
    assert list(frame) == ["x", "n", "w"]
    assert frame.dtypes.astype(str).to_dict() == {"x": "float64", "n": "Int64", "w": "object"}
    for column, values in VALUES.items():
        found = [None if pd.isna(value) else value for value in frame[column]]
        assert found == values, column


def test_letters_of_western_europe_without_utf_8(tmp_path):
    path = written(tmp_path, "Größe;Ort\n1,5;Köln\n2,5;Ørsta\n", encoding="cp1252")
    frame = read(path)
    assert list(frame) == ["Größe", "Ort"]
    assert frame["Ort"].tolist() == ["Köln", "Ørsta"]


def rows_of(path, dialect):
    with open(path, encoding=dialect.encoding, newline="") as file:
        return [row for row in csv.reader(file, delimiter=dialect.separator) if row]


@pytest.mark.parametrize(
    ("text", "separator", "columns"),
    [
        # An only column, of numbers or of texts with what separates columns elsewhere.
        ("x\n1,5\n2\n\n-0,25\n", ";", {"x": [1.5, 2.0, None, -0.25]}),
        ("tag\na|b\nc|d\n", ",", {"tag": ["a|b", "c|d"]}),
        ("x\n1\n2\n", ",", {"x": [1, 2]}),
        # A row of gaps, and none where a line is blank.
        ("a,b\n1,x\n,,\n\n2,y\n", ",", {"a": [1, None, 2], "b": ["x", None, "y"]}),
    ],
)
def test_what_separates_columns(text, separator, columns, tmp_path):
    path = written(tmp_path, text)
    assert Dialect.of(path).separator == separator
    frame = read(path)
    assert {name: [None if pd.isna(cell) else cell for cell in frame[name]] for name in frame} == columns


@pytest.mark.slow
@pytest.mark.parametrize("minus", ["\u2212", "\u2013"])
def test_a_minus_of_typography_is_one(minus, tmp_path):
    cells = [f"{minus}1.500,5", f"{minus}2,5", "3", f"4e{minus}1", ""]
    path = written(tmp_path, "\n".join(["x;w", *(f"{cell};{cell or 'low'}" for cell in cells)]))
    frame = read(path)
    assert frame["x"].tolist() == pytest.approx([-1500.5, -2.5, 3.0, 0.4, np.nan], nan_ok=True)
    # Among texts it is one.
    assert frame["w"].tolist() == [*cells[:4], "low"]
    assert read(path, missing=["-2.5"])["x"].isna().tolist() == [False, True, False, False, True]
    table = open_table(path)
    ((texts, values),) = table.chunks(9)
    table.write_part(tmp_path / "part", texts, values.fillna({"x": -7.25}))
    assert [line.split(";")[0] for line in (tmp_path / "part").read_text().split()] == [*cells[:4], "-7,25"]
    # Controls: before a blank, between two numbers and alone it is none.
    for cell in (f"{minus} 5", f"5{minus}7", minus):
        with pytest.raises(ValueError, match=r"`column 'x'`\. Expected numbers"):
            open_table(written(tmp_path, "\n".join(["x", *map(str, range(20)), cell])))


@pytest.mark.parametrize(
    ("cell", "row", "expected"),
    [
        ("\u2212 5", 9, "numbers, of digits alone, as .*-5 for '\u2212 5'"),
        ("10±2", 9, "numbers, of digits alone, as .* two columns for '10±2'"),
        ("[kg]", 1, r"numbers, or '\[kg\]' among `missing` .*, or that row taken out if it has units"),
        ("Total", 20, "numbers, or 'Total' among `missing` .*, or that row taken out if it is a total or a note"),
        ("x", 9, "numbers; take out the line that has the names of the columns again"),
        ("inf", 1, "numbers, or 'inf' among `missing` if it stands for a cell that is not known\\. Received"),
        ("about 30", 9, r"numbers, or 'about 30' among `missing` if it stands for a cell that is not known\. Received"),
    ],
)
def test_a_text_among_numbers_is_asked_about_by_what_it_is(cell, row, expected, tmp_path):
    cells = [str(n) for n in range(19)]
    cells.insert(row - 1, cell)
    path = written(tmp_path, "\n".join(["x", *cells]))
    with pytest.raises(ValueError, match=rf"`column 'x'`\. Expected {expected}.*in row {row} among numbers"):
        open_table(path)


@pytest.mark.parametrize(
    ("line", "options", "what"),
    [
        ("Total;6,3;14;", {}, "column 'x' has the sum of the rows above, '6,3'"),
        ("grand total:;;14;", {}, "column 'n' has the sum of the rows above, '14'"),
        (";;4,67;Mean", {}, "column 'n' has the mean of the rows above, '4,67'"),
        ("Summe;6,3;;", {"ignore": ["who"]}, "column 'x' has the sum"),
    ],
)
def test_a_line_of_sums_is_no_row(line, options, what, tmp_path):
    text = "who;x;n;w\nanna;1,1;3;a\nbert;2,2;4;b\ncecil;3,0;7;a\n"
    column = "w" if "Mean" in line else "who"
    level = "" if options else f", or say that column '{column}' is 'categorical', if it is a level"
    # What a spreadsheet writes below the last line that it shows.
    for below, which in (("", ""), (";;;\n; ;;\n", " that has cells")):
        said = rf"take out the last line{which}{level}\. Received: .* there, where {what}"
        with pytest.raises(ValueError, match=said):
            open_table(written(tmp_path, f"{text}{line}\n{below}"), **options)
    # Controls: a name like any other, and other numbers.
    for other in (line.replace("Total", "Tom"), "Total;6,5;15;", "Mean;0;;"):
        if other != line:
            assert open_table(written(tmp_path, f"{text}{other}\n"), **options).num_rows == 4


def test_a_last_line_with_a_level_is_a_row(tmp_path):
    rows = ["low,1", "average,5", "high,3"]
    path = written(tmp_path, "\n".join(["quality,rating", *rows, "average,3", ",", ""]))
    assert open_table(path).levels("quality") == ["average", "high", "low"]
    assert open_table(path).blank_rows == 1
    # A level that one row alone has is said to be one; of a column that is not looked at it is none.
    path = written(tmp_path, "\n".join(["quality,rating", *rows, "mean,3"]))
    with pytest.raises(ValueError, match="column 'quality' is 'categorical'"):
        open_table(path)
    assert open_table(path, kinds={"quality": "categorical"}).num_rows == 4
    with pytest.raises(ValueError, match=r"take out the last line\. Received: 'mean'"):
        open_table(path, ignore=["quality"])


def test_a_row_of_texts_above_what_is_blank_is_the_last(tmp_path):
    numbers = "".join(f"{n},{n}.5\n" for n in range(12))
    with pytest.raises(ValueError, match="take out row 13 if it is a total or a note"):
        open_table(written(tmp_path, f"x,n\n{numbers}n=5,about 3\n,\n"))
    with pytest.raises(ValueError, match="or that row taken out if it is a total or a note"):
        open_table(written(tmp_path, f"x,n\n{numbers},Total\n,\n"))


@pytest.mark.parametrize("name", DIALECTS)
def test_what_was_there_is_written_as_it_was(name, tmp_path):
    text, encoding, dialect = DIALECTS[name]
    path = written(tmp_path, text, encoding=encoding)
    table, parts = open_table(path), []
    for number, (cells, frame) in enumerate(table.chunks(3)):
        filled = frame.copy()
        filled["x"], filled["n"] = filled["x"].fillna(0.126), filled["n"].fillna(7)
        filled["w"] = filled["w"].where(filled["w"].notna(), "b c")
        parts.append(tmp_path / f"part-{number}")
        table.write_part(parts[-1], cells, filled)
    table.join(parts, out := tmp_path / "out.csv")
    assert Dialect.of(out) == dialect
    before, after = (rows_of(file, dialect) for file in (path, out))
    assert [len(row) for row in after] == [len(row) for row in before]
    assert after[: dialect.skipped] == before[: dialect.skipped]
    before, after = before[dialect.skipped :], after[dialect.skipped :]
    gaps = [(2, 0), (3, 1), (4, 2)]
    for place, row in enumerate(before):
        for column, cell in enumerate(row):
            if (place, column) not in gaps:
                assert after[place][column] == cell
    decimals = table.facts["x"].decimals
    mark = dialect.decimal
    assert after[2][0] == ("0.126" if decimals < 0 else f"{0.126:.{decimals}f}").replace(".", mark)
    assert (after[3][1], after[4][2]) == ("7", "b c")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "marks", "last"),
    [
        ("grade;n\n" + "".join(f"{n % 3};{n}\n" for n in range(1100)) + "0,5;1\n1,5;2\n", (",", ""), 1.5),
        ("grade,n\n" + "12.50,1\n" * 1100 + '"1,234.50",2\n', (".", ","), 1234.5),
        ("sep=|\ngrade|n\n" + "12|1\n" * 1100 + "1.234,5|2\n", (",", "."), 1234.5),
    ],
)
def test_marks_are_those_of_all_rows(text, marks, last, tmp_path):
    path = written(tmp_path, text)
    dialect = Dialect.of(path)
    assert (dialect.decimal, dialect.thousands) == marks
    assert read(path)["grade"].iloc[-1] == last


def test_two_marks_of_decimals_are_refused_however_late(tmp_path):
    path = written(tmp_path, "a;b\n" + "1,5;2\n" * 1100 + "1,5;2.5\n")
    with pytest.raises(ValueError, match=r"numbers with one mark of decimals; .*Received: '1,5' and '2.5'"):
        open_table(path)
    # Unless it is a word for a gap, or in a column of texts.
    assert Dialect.of(path, ["2.5"]).decimal == Dialect.of(path, texts=["b"]).decimal == ","


ADDRESSES = ["192.168.100.101", "192.168.100.102", "10.0.0.1"]
MILLIONS = ["1.234.567", "845.000", "12.345.678"]
THREE = ["12.345", "1.250", "3.001"]
FORMS = {
    # Addresses and versions say nothing of numbers, whatever separates columns.
    "addresses": (",", ADDRESSES, THREE, (".", "")),
    "addresses with three digits everywhere": (",", ADDRESSES[:2], THREE, (".", "")),
    "addresses between semicolons": (";", ADDRESSES[:2], THREE, (".", "")),
    "addresses and decimal commas": (";", ADDRESSES, ["1,5", "2", "3"], (",", "")),
    "versions": (";", ["1.10", "1.0.2", "2.0"], ["1,5", "2", "3"], (",", "")),
    "a point too many": (",", ["1.5"] * 20 + ["1.2.5"], ['"1,5"'], None),
    "dates": (";", ["1.12.2020", "24.12.2020", ""], MILLIONS, (",", ".")),
    # Points in groups that are names as well, beside points that are decimals.
    "names beside numbers": (",", MILLIONS, THREE, (".", "")),
    "names beside decimals": (";", MILLIONS, ["12.5", "1.25", ""], (".", "")),
    "lists beside decimals": (";", ["100,200,300", "1,200,300", ""], ["1,5", "2", ""], (",", "")),
    # European and American thousands.
    "European": (";", MILLIONS, THREE, (",", ".")),
    "European beside decimal commas": (";", MILLIONS, ["1,5", "2", "3"], (",", ".")),
    "European between commas": (",", MILLIONS, ["1", "2", "3"], (",", ".")),
    "European with large numbers": (";", ["192.168.100.101", "1.234", ""], THREE, (",", ".")),
    "American": (";", ["1,234,567", "845,000", ""], ["1.5", "2", ""], (".", ",")),
    "American between commas": (",", ['"1,234,567"', '"845,000"', ""], ['"12,345"', "2", ""], (".", ",")),
}


@pytest.mark.parametrize("name", FORMS)
def test_marks_are_judged_by_columns(name, tmp_path):
    separator, names, numbers, marks = FORMS[name]
    rows = itertools.zip_longest(["a", *names], ["ms", *numbers], fillvalue="")
    path = written(tmp_path, "".join(f"{one}{separator}{other}\n" for one, other in rows))
    if marks is None:
        with pytest.raises(ValueError, match="numbers with one mark of decimals"):
            Dialect.of(path)
    else:
        dialect = Dialect.of(path)
        assert (dialect.decimal, dialect.thousands) == marks


def test_addresses_make_no_thousands_of_decimals(tmp_path):
    rows = "".join(f"192.168.100.{100 + n},{n}.345\n" for n in range(20))
    assert open_table(written(tmp_path, f"ip,ms\n{rows}"), ignore=["ip"]).facts["ms"].high == 19.345
    table = open_table(written(tmp_path, f"ip,ms\n{rows}"), kinds={"ip": "categorical"})
    assert (table.facts["ms"].high, table.levels("ip")[0]) == (19.345, "192.168.100.100")
    assert open_table(written(tmp_path, f"ip,ms\n{rows}")).is_text("ip")
    # A number that is none by the marks of its own column is asked about, as a text is.
    late = "".join(f"{n}.234.567\n" for n in range(1, 30))
    with pytest.raises(ValueError, match=r"`column 'x'`.*'1.5' in row 30 among numbers"):
        open_table(written(tmp_path, f"x\n{late}1.5\n"))


def test_a_word_for_a_gap_has_whatever_mark_it_has(tmp_path):
    path = written(tmp_path, "a;b\n1,5;2\n-999.0;3\n2,25;4\n")
    assert read(path, missing=["-999.0"])["a"].tolist() == pytest.approx([1.5, np.nan, 2.25], nan_ok=True)


def test_a_first_line_that_may_be_a_row_is_said_to_be_taken_for_names(tmp_path, recwarn):
    warn_of_doubts(open_table(written(tmp_path, "who,2019,2020\nanna,5,7\nbert,9,8\n")))
    warn_of_doubts(open_table(written(tmp_path, "who,x,2020\nanna,5,7\nbert,9,8000\n")))
    assert not recwarn.list
    with pytest.warns(UserWarning, match="the first line, with 5, 17, is taken for names of columns; .* add a line"):
        warn_of_doubts(open_table(written(tmp_path, "5,17,anna\n7,19,bert\n3,4,cecil\n")))


def doubts(path, **options):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        warn_of_doubts(open_table(path, **options))
    return [str(warning.message).partition(": ")[2] for warning in said]


def test_what_may_be_read_otherwise_is_said(tmp_path):
    cells = [
        (n + 5, n % 4 if n % 7 else -99, 60 + n % 9 if n % 6 else 999, ["Yes", "no", "yes"][n % 3]) for n in range(30)
    ]
    rows = "".join(f"{','.join(map(str, row))}\n" for row in cells)
    path = written(tmp_path, f"id,n,x,w\n{rows},,,\n , ,,\n")
    said = doubts(path)
    assert [text.partition(",")[0] for text in said] == [
        "the column 'n' has -99 in 5 rows",
        "the column 'x' has 999 in 5 rows",
        "the column 'w' has 'Yes' and 'yes'",
        "nothing is in the last 2 rows",
    ]
    path = written(tmp_path, f"id,n,x,w\n{rows}")
    assert (
        doubts(path)[0]
        == "the column 'id' counts the rows, and is learned from; leave it out if it is a name of theirs"
    )
    # Where somebody says what they are, that is already said.
    known = {"ignore": ["id"], "missing": ["-99", "999"], "kinds": {"w": "categorical"}}
    assert doubts(path, **known) == []
    # Controls: numbers like others, a number once, a column with a gap or of steps of two.
    quiet = "".join(f"{2 * n},{n - 99},{990 + n},{n if n else ''}\n" for n in range(30))
    assert doubts(written(tmp_path, f"id,n,x,w\n{quiet}-9,8,9,7\n")) == []


def test_numbers_for_what_is_not_known_are_seen_in_parquet_and_in_memory_too(tmp_path, recwarn):
    n = np.arange(30)
    frame = pd.DataFrame({"x": np.where(n % 7, n % 4, -99.0), "w": np.where(n % 6, 60 + n % 9, 999), "y": n - 99})
    frame.to_parquet(tmp_path / "t.parquet")
    begins = ["the column 'x' has -99 in 5 rows", "the column 'w' has 999 in 5 rows"]
    said = doubts(tmp_path / "t.parquet")
    assert [text.partition(",")[0] for text in said] == begins
    assert said[0].endswith("if it stands for what is not known, write nulls there")
    assert doubts(tmp_path / "t.parquet", kinds={"x": "ordinal", "w": "ordinal"}) == []
    warn_of_codes(frame.assign(z=frame["w"].astype("category")), {"w": "ordinal"})
    (one,) = recwarn.list
    assert str(one.message).startswith(begins[0])
    assert str(one.message).endswith("put NaN there")


def test_names_of_rows_are_carried_along_and_it_is_said(tmp_path):
    text = ",Unnamed: 0,x\na,0,1.5\nb,1,\na,2,2.5\n"
    table = open_table(written(tmp_path, text))
    assert (table.names, table.carried) == (["x"], ["", "Unnamed: 0"])
    expected = "table.csv: the (first column, which has no name,|column 'Unnamed: 0') is taken for the names of"
    with pytest.warns(UserWarning, match=expected) as said:
        warn_of_doubts(table)
    assert len(said) == 2
    ((cells, frame),) = table.chunks(3)
    table.write_part(tmp_path / "part.csv", cells, frame.fillna(2.0))
    assert (tmp_path / "part.csv").read_text() == "a,0,1.5\nb,1,2.0\na,2,2.5\n"
    # Unless it is said what they are, that is already said, or they have gaps as no names do.
    known = open_table(tmp_path / "table.csv", kinds={"Unnamed: 0": "real"})
    assert (known.names, known.carried) == (["Unnamed: 0", "x"], [""])
    known = open_table(tmp_path / "table.csv", ignore=["", "Unnamed: 0"])
    assert (known.names, known.carried) == (["x"], [])
    assert open_table(written(tmp_path, text.replace("b,1", "b,"))).names == ["Unnamed: 0", "x"]
    with pytest.raises(ValueError, match=r"Expected a name for each column with gaps\. Received: none for column 1"):
        open_table(written(tmp_path, text.replace("b,1", ",1")))
    # Control: a name like any other, in another place.
    assert open_table(written(tmp_path, "x,Unnamed: 0\n1,2\n")).carried == []
    with pytest.raises(ValueError, match=r"`ignore`\. Expected a column that is left\. Received: \['x', ''\]"):
        open_table(written(tmp_path, ",x\n1,2\n"), ignore=["x"])


def test_the_index_of_a_parquet_file_is_carried_along(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"x": [1.5, None]}, pd.Index(["p1", "p2"], name="id"))
    for name, index in (("id", frame), ("__index_level_0__", frame.rename_axis(None))):
        index.to_parquet(tmp_path / "in.parquet")
        table = open_table(tmp_path / "in.parquet")
        assert (table.names, table.carried) == (["x"], [name])
        assert open_table(tmp_path / "in.parquet", kinds={name: "categorical"}).names == ["x", name]
        ((cells, values),) = table.chunks(2)
        table.write_part(tmp_path / "part", cells, values.fillna(2.5))
        table.join([tmp_path / "part"], tmp_path / "out.parquet")
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet"), index.fillna(2.5))
    # Control: with gaps it is no names.
    for gap in (["p1", None], [1.0, np.nan]):
        frame.set_index(pd.Index(gap, name="id")).to_parquet(tmp_path / "in.parquet")
        table = open_table(tmp_path / "in.parquet")
        assert (table.names, table.carried) == (["x", "id"], [])
    frame.reset_index(drop=True).to_parquet(tmp_path / "in.parquet")
    assert open_table(tmp_path / "in.parquet").carried == []


def test_a_blank_line_is_the_empty_cell_of_an_only_column(tmp_path):
    path = written(tmp_path, "\nx\n1.5\n\n2.5\n\n")
    table = open_table(path)
    assert table.num_rows == 4
    assert read(path)["x"].isna().tolist() == [False, True, False, True]
    ((cells, frame),) = table.chunks(9)
    table.write_part(tmp_path / "part.csv", cells, frame.fillna(2.0))
    assert (tmp_path / "part.csv").read_text().split() == ["1.5", "2.0", "2.5", "2.0"]
    # Control: with another column it is no row.
    assert open_table(written(tmp_path, "\nx,n\n1.5,1\n\n2.5,2\n\n")).num_rows == 2


def test_further_words_for_what_is_missing_and_columns_that_are_left_alone(tmp_path):
    path = written(tmp_path, ",id,x\n0,p1,1.5\n1,p2,-999\n2,p3,unknown\n")
    frame = read(path, missing=["-999", "unknown"], ignore=["id"])
    # The first column has no name: pandas wrote it, the numbers of the rows.
    assert list(frame) == ["x"]
    assert frame["x"].isna().tolist() == [False, True, True]
    with pytest.raises(ValueError, match=r"`ignore`\. Expected names of .*Received: 'ID'"):
        open_table(path, ignore=["ID"])


def test_a_word_that_is_a_number_counts_by_value_in_columns_of_numbers(tmp_path):
    text = "id;x;n;grade\np1;-999,0;-999;-999\np2;2,5;-999,0;-999,0\np3;-999;7;3+\n"
    path = written(tmp_path, text)
    for word in ("-999", "-999,0", "-999.0"):
        frame = read(path, missing=[word, "3+"] if word != "-999" else [word], ignore=["id"])
        assert frame[["x", "n"]].isna().to_numpy().tolist() == [[True, True], [False, True], [True, False]]
    # In a column of text it is that text, and no other.
    frame = read(path, missing=["-999"], ignore=["id"])
    assert [None if pd.isna(cell) else cell for cell in frame["grade"]] == [None, "-999,0", "3+"]
    table = open_table(path, missing=["-999"], ignore=["id"])
    assert (table.facts["x"].low, table.facts["n"].low, table.facts["n"].distinct) == (2.5, 7.0, {"7": None})
    ((cells, frame),) = table.chunks(3)
    table.write_part(tmp_path / "part", cells, frame.fillna({"x": 0.5, "n": 4}).fillna("3+"))
    assert (tmp_path / "part").read_text() == "p1;0,5;4;3+\np2;2,5;4;-999,0\np3;0,5;7;3+\n"
    # A column of codes is one of text.
    assert read(written(tmp_path, "zip\n05\n5\n"), missing=["5"])["zip"].tolist()[0] == "05"
    with pytest.raises(
        ValueError, match=r"`missing`\. Expected texts .*, or by value in a column of numbers.*'6', which"
    ):
        open_table(written(tmp_path, "x;w\n5;6.0\n7;a\n"), missing=["6", "7.0"])


@pytest.mark.parametrize("text", ["-998", "UNKNOWN", "p1"])
def test_words_for_what_is_missing_that_no_cell_is_are_refused(text, tmp_path):
    # Of another spelling, or in no column that is looked at.
    path = written(tmp_path, "id,x,w\np1,-999.0,unknown\np2,2.5,a\n")
    with pytest.raises(ValueError, match=rf"`missing`\. Expected texts that are a cell of .*Received: '{text}', which"):
        open_table(path, missing=["unknown", text], ignore=["id"])
    assert read(path, missing=["unknown", "-999.0"], ignore=["id"]).isna().sum().tolist() == [1, 1]


@pytest.mark.parametrize(("name", "texts"), [("missing", "-999"), ("missing", [-999]), ("ignore", "n")])
def test_texts_are_several_and_texts(name, texts, tmp_path):
    path = written(tmp_path, "x,n\n1,2\n-999,3\n")
    with pytest.raises(ValueError, match=f"`{name}`"):
        open_table(path, **{name: texts})


def test_codes_of_digits_are_text(tmp_path):
    codes = ["01800", "12345", "01800", "00", ""]
    path = written(tmp_path, "zip,x,share\n" + "".join(f"{code},{i},0.{i}\n" for i, code in enumerate(codes)))
    table = open_table(path)
    ((cells, frame),) = table.chunks(10)
    assert [None if pd.isna(cell) else cell for cell in frame["zip"]] == [*codes[:4], None]
    # Neither 0 nor 0.5 begins with a zero as a code does.
    assert frame.dtypes.astype(str).tolist()[1:] == ["Int64", "float64"]
    column = columns_of(table, frame, {})["zip"]
    assert (column.kind, column.categories) == ("categorical", ("00", "01800", "12345"))
    table.write_part(tmp_path / "part.csv", cells, frame.assign(zip=frame["zip"].fillna("01800")))
    assert [line.split(",")[0] for line in (tmp_path / "part.csv").read_text().split()] == [*codes[:4], "01800"]
    # Unless it is said that they are numbers.
    known = open_table(path, kinds={"zip": "count"})
    assert next(known.chunks(10))[1]["zip"].dropna().tolist() == [1800, 12345, 1800, 0]
    assert open_table(path, kinds={"zip": "categorical"}).facts["zip"].coded


def test_codes_that_are_many_are_refused_as_other_names_are(tmp_path):
    table = open_table(written(tmp_path, "zip,x\n" + "".join(f"{i:05d},{i}\n" for i in range(9_970, 10_050))))
    expected = r"`column 'zip'`\. Expected .*leave free text and identifiers out.*such as '09970'"
    with pytest.raises(ValueError, match=expected):
        columns_of(table, sampled(table, 100, 0), {})


def test_text_among_numbers_is_a_level_where_there_are_few(tmp_path):
    path = written(tmp_path, "children\n0\n1\n2\n3+\n0\n")
    assert read(path)["children"].tolist() == ["0", "1", "2", "3+", "0"]
    many = "".join(f"{i}.5\n" for i in range(20))
    path = written(tmp_path, f"age\n{many}about 30\n{many}")
    with pytest.raises(ValueError, match=r"`column 'age'`.*'about 30' among `missing` .*'about 30' in row 21 among"):
        open_table(path)
    # Nor is 1,5 another way to write 15, where 1,500 is 1500; in India 1,00,000 is 100000.
    many = "".join(f'"{1 + i % 990},500"\n' for i in range(1199))
    with pytest.raises(ValueError, match=r"`column 'age'`.*'1,5' in row 1200 among"):
        open_table(written(tmp_path, f'age\n{many}"1,5"\n'))
    assert open_table(written(tmp_path, f'age\n{many}"10,00,000"\n')).facts["age"].high == 1_000_000


REFUSED = {
    "JSON": (b'{"a": 1,\n"b": 2}\n', r"CSV; save it as such\. Received: what begins as JSON does"),
    "HTML": (b"<html><body>\n<table>\n", r"what begins as HTML or XML does"),
    "columns of a fixed width": (b"a   b\n1.5 2\n2.5 4\n", r"one of these between .* 2 columns with blanks between"),
    "UTF-16 without its mark": ("a,b\n1,2\n".encode("utf-16-le"), r"save it as UTF-8\. Received: bytes of 0"),
    "UTF-8 by its mark alone": (
        "\ufeffa,b\nK\u00f6ln,2\n".encode("utf-8").replace(b"\xc3\xb6", b"\xf6"),
        r"text in UTF-8, as its first bytes say\. Received: bytes that are none",
    ),
    "UTF-16 that is cut off": (
        "a,b\n1,2\n".encode("utf-16")[:-1],
        r"text in UTF-16, as its first bytes say\. Received: bytes that are none",
    ),
    "units of two columns": (
        b"a,b,c\nkg,[m],u\n1,2,v\n2,2,u\n3,1,v\n",
        r"columns 'a' and 'b'; take out row 1 if it has units, .*'kg' and '\[m\]' there, and nothing but",
    ),
    "a total of two columns": (
        b"a,b\n1,2\n2,2\n3,1\nn=3,n.s.\n",
        r"take out row 4 if it is a total or a note\. Received: 'n=3' and",
    ),
    "nothing": (b"", r"a line with the names of the columns\. Received: an empty file"),
    "only names": (b"a,b\n", r"rows below the names of the columns"),
    "no names": (b"1.5,2\n3,4\n", r"names of columns in the first line; add that line\. Received: numbers, '1.5'"),
    "no names but a level": (
        b"51,46,b\n50,40,a\n2,30,b\n",
        r"names of columns in the first line; add that line\..*such as '51'",
    ),
    "no names but a number": (b"51.3,46,p1\n50.0,40,p2\n60.5,50,p3\n", r"names of columns .*such as '51.3'"),
    "a name twice": (b"a,b,a\n1,2,3\n", r"names that all differ\. Received: 'a' twice"),
    "a name is lacking": (b"a,,c\n1,2,3\n", r"a name for each column\. Received: none for column 2"),
    "a cell behind the names": (b"a,b,\n1,2,\n1,2,x\n", r"has cells; .*none for column 3, which has 'x' in line 3"),
    "a cell too many": (
        b"a,b\n1,2\n1,2,3\n4,5\n",
        r"2 columns in every line; a cell .* in quotes\. Received: 3 in line 3",
    ),
    "a cell too few": (b'a,b\n1,"2\n2"\n1\n', r"2 columns in every line; what is no row, .*\. Received: 1 in line 4"),
    "a note below": (b"a,b\n1,2\n1,3\nSource: WHO\n", r"as a title, a total or a note, is .* Received: 1 in line 4"),
    "a title": (
        b"Sales 2024\n\na;b\nx;2\ny;3\n",
        r"take out what is above them\. .*'Sales 2024' in line 1, and 2 columns from line 3 on",
    ),
    "a title of Excel": (
        b"sep=,\nSales,,\nall,,\na,b,c\n1,2,x\n3,,\n",
        r"'Sales' in line 2, and 3 columns from line 4 on",
    ),
    "names as R has them": (
        b'"a","b"\n"1",5,6\n"2",7,8\n',
        r"begin the line of names .*2 names, and 3 columns from line 2 on",
    ),
    "Excel": (b"PK\x03\x04rest", r"text; save it as CSV\. Received: an Excel or zip file"),
    "no text": (bytes(range(256)), r"text\. Received: bytes that are none"),
    "old Excel": (b"\xd0\xcf\x11\xe0rest", r"text; save it as CSV\. Received: an old Excel file"),
    "Parquet": (b"PAR1rest", r"Received: a Parquet file"),
    "two marks": (b"a;b\n1,5;2.5\n", r"numbers with one mark of decimals; .*`missing`\. Received: '1,5' and '2.5'"),
    "a quote that is not closed": (b'a,b\n1,"2\n3,4\n', r"a quote that is not closed in lines 2 to 3"),
    "a name in such a quote": (b'"a,b\n1,2\n', r"a quote that is not closed in lines 1 to 2"),
    "text behind a quote": (b'a;b\n1;x\n2;"y"z\n', r"written twice.*Received: text behind a closing quote in line 3"),
    "a blank behind a quote": (
        b'a,b\n1,"x" \n2,"y" \n',
        r"a blank behind a closing quote, which is to be .* in line 2",
    ),
    "a blank between": (b'a;b\n"x" ;1\n', r"a blank behind a closing quote, which is to be taken out, in line 2"),
    "a blank before a quote": (
        b'a,b\n1, "x, y"\n',
        r"2 columns in every line; a blank before a quote makes it a letter .* taken out\. Received: 3 in line 2",
    ),
    "an inch in quotes": (b'sep=,\na,b\n1,"5" pipe"\n', r"behind a closing quote in line 3"),
    "quotes with backslashes": (b'a,b\n1,"a \\"q\\" b"\n', r"behind a closing quote in line 2"),
    "two quotes that are not closed": (b'n,w\n1,"half\n2,ok\n3,"half\n', r"behind a closing quote in lines 2 to 4"),
    "lines between two quotes": (
        b'n,w,m\n1,"half,2\n3,ok,NA\n4,x",5\n',
        r"whole lines of the table, in lines 2 to 4; .*one cell of 'w', write",
    ),
}


@pytest.mark.parametrize("bad", REFUSED)
def test_what_cannot_be_read_is_refused_with_a_sentence(bad, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_bytes(REFUSED[bad][0])
    with pytest.raises(ValueError, match=rf"Invalid value received for `.*bad.csv`\. Expected .*{REFUSED[bad][1]}"):
        open_table(path)


NOTES = {
    "line breaks": '"one\ntwo\r\nthree"',
    "quotes and separators": '"she said ""5, 6""\nand left, at 7"',
    "as many separators, with words where numbers are": '"Dear John\nthanks, bye"',
    "an inch without quotes": '5" pipe',
    "longer than csv's own limit": "x" * 140_000,
    "a line break of another system": '"one\rtwo"',
}


@pytest.mark.parametrize("note", NOTES)
def test_well_formed_notes_keep_their_text(note, tmp_path):
    # Behind what decides on the separator, and before it.
    rows = [f"{i},{NOTES[note] if i in (3, 1100) else 'ok'}\n" for i in range(1200)]
    table = open_table(written(tmp_path, "".join(["n,w\n", *rows])), ignore=["w"])
    assert table.num_rows == 1200
    ((cells, frame),) = table.chunks(2000)
    table.write_part(tmp_path / "part.csv", cells, frame)
    table.join([tmp_path / "part.csv"], tmp_path / "out.csv")
    with open(tmp_path / "out.csv", newline="") as file:
        found = list(csv.reader(file))
    with open(table.path, newline="") as file:
        assert found == list(csv.reader(file))


@pytest.mark.parametrize(
    "text", ["year,2019,2020\na,3,4\nb,3000,4\n", ",0,1\na,3,4\nb,0,2\n", "id,400.5,500.5\na,0.3,0.4\nb,0.2,0.1\n"]
)
def test_names_may_be_numbers(text, tmp_path):
    assert open_table(written(tmp_path, text)).num_rows == 2


def test_files_that_are_none(tmp_path):
    with pytest.raises(ValueError, match=r"`path`\. Expected a file\. Received: .*none.csv, which is none"):
        open_table(tmp_path / "none.csv")
    for name, message in (("a.xlsx", r"; save it as CSV\."), ("a.json", r"ends in one of")):
        written(tmp_path, "a\n1\n", name)
        with pytest.raises(ValueError, match=message):
            open_table(tmp_path / name)
    written(tmp_path, "a\n1\n", "a.parquet")
    pytest.importorskip("pyarrow")
    with pytest.raises(ValueError, match=r"Expected a Parquet file"):
        open_table(tmp_path / "a.parquet")


def test_a_parquet_file_beside_nothing_to_read_it_with_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r"a\.parquet`\. Expected pyarrow beside a Parquet file: pip install"):
        open_table(tmp_path / "a.parquet")


def test_a_sample_of_the_rows_is_of_all_of_them(tmp_path):
    path = written(tmp_path, "x,w\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(50)))
    table = open_table(path)
    assert sampled(table, 100, seed=0)["x"].tolist() == list(range(50))
    some = sampled(table, 20, seed=0)["x"].tolist()
    assert len(set(some)) == 20
    assert sorted(some) == some
    assert some == sampled(table, 20, seed=0)["x"].tolist() != sampled(table, 20, seed=1)["x"].tolist()


def test_levels_and_ends_are_those_of_all_rows_and_not_of_the_sample(tmp_path):
    rows = [(i % 2, "ab"[i % 2], 1 + i % 3, np.exp(0.2 * i), i % 9) for i in range(30)]
    late = [(2, "c", 4, -1.0, -1)]
    text = "\n".join(",".join(map(str, row)) for row in [("bit", "word", "grade", "size", "count"), *rows, *late])
    table = open_table(written(tmp_path, text))
    first = next(table.chunks(30))[1]
    kinds = {name: column.kind for name, column in columns_of(table, first, {}).items()}
    levels = {name: column.categories for name, column in columns_of(table, first, {"grade": "ordinal"}).items()}
    assert kinds == {"bit": "ordinal", "word": "categorical", "grade": "ordinal", "size": "real", "count": "real"}
    assert levels == {"bit": (0, 1, 2), "word": ("a", "b", "c"), "grade": (1, 2, 3, 4), "size": None, "count": None}


@pytest.mark.parametrize(
    ("kind", "late", "message"),
    [
        ("count", "20000000", r"counts, whole numbers from 0 to 10,000,000; .*Received: 2e\+07"),
        ("count", "17.5", r"counts, .*Received: fractions in .*table.csv"),
        ("count", "-1", r"counts, .*Received: -1"),
        ("positive", "0", r"numbers above 0\. Received: 0"),
    ],
)
def test_a_kind_that_is_said_is_that_of_all_rows(kind, late, message, tmp_path):
    table = open_table(written(tmp_path, "\n".join(["n", *map(str, range(1, 40)), late])))
    sample = next(table.chunks(39))[1]
    with pytest.raises(ValueError, match=f"`column 'n'`. Expected {message}"):
        columns_of(table, sample, {"n": kind})
    # Where nobody said it, it is numbers.
    assert columns_of(table, sample, {})["n"].kind == ("count" if late == "0" else "real")


@pytest.mark.parametrize("cells", [(0.5, 2.5), (1, 2), ("a", "c")])
def test_two_levels_are_those_of_all_rows(cells, tmp_path):
    rows = [cells[0]] * 9 + [cells[1]]
    for late, message in ((cells[1], None), ("0.5" if cells[0] == 1 else "7", "two levels. Received: 3 in all rows: ")):
        table = open_table(written(tmp_path, "\n".join(map(str, ["q", *rows, late]))))
        sample = next(table.chunks(5))[1]
        if message is None:
            assert columns_of(table, sample, {"q": "binary"})["q"].categories == cells
        else:
            with pytest.raises(ValueError, match=f"`column 'q'`. Expected {message}['0-9].*, .*, [^(]*$"):
                columns_of(table, sample, {"q": "binary"})


def test_a_column_of_which_no_cell_was_drawn_is_not_said_to_be_empty(tmp_path):
    table = open_table(written(tmp_path, "x,n\n1,1\n2,\n3,\n4,\n"))
    with pytest.raises(
        ValueError, match=r"`column 'n'`.* raise `fit_rows`.*Received: none in 3 of 4 rows, and 1 in all"
    ):
        columns_of(table, next(table.chunks(4))[1][1:], {"n": "count"})
    # Control: nothing is known of it.
    table = open_table(written(tmp_path, "x,n\n1,\n2,\n"))
    with pytest.raises(ValueError, match=r"`column 'n'`.*all are missing; leave the column out"):
        columns_of(table, next(table.chunks(2))[1], {"n": "binary"})


def test_parquet_keeps_its_types(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    frame = pd.DataFrame(
        {
            "i": pd.array([1, None, 3], dtype="Int32"),
            "x": np.array([0.5, np.nan, 1.5], np.float32),
            "b": pd.array([True, None, False], dtype="boolean"),
            "w": ["a", None, "b"],
            # Of an order that is neither the alphabet's nor that of the rows.
            "c": pd.Categorical([None, "v", "u"], ["w", "v", "u"], ordered=True),
            "when": pd.to_datetime(["2020-01-01"] * 3),
        }
    )
    frame.to_parquet(tmp_path / "in.parquet")
    table = open_table(tmp_path / "in.parquet", ignore=["when"])
    assert table.names == ["i", "x", "b", "w", "c"]
    parts = []
    for number, (cells, values) in enumerate(table.chunks(2)):
        filled = values.assign(
            i=values["i"].fillna(7),
            x=values["x"].fillna(0.25),
            b=values["b"].fillna(True),
            w=values["w"].fillna("b"),
            c=values["c"].fillna("u"),
        )
        parts.append(tmp_path / f"{number}.parquet")
        table.write_part(parts[-1], cells, filled)
    table.join(parts, tmp_path / "out.parquet")
    found = pd.read_parquet(tmp_path / "out.parquet")
    expected = frame.assign(
        i=frame["i"].fillna(7), x=frame["x"].fillna(0.25), b=frame["b"].fillna(True), w=frame["w"].fillna("b")
    ).assign(c=frame["c"].fillna("u"))
    pd.testing.assert_frame_equal(found, expected)
    schemas = [pyarrow.parquet.read_schema(tmp_path / f"{name}.parquet") for name in ("in", "out")]
    assert schemas[0].equals(schemas[1])
    # Text as Polars has it.
    views = pyarrow.table({"w": pyarrow.array(["a", None, "b"], pyarrow.string_view())})
    pyarrow.parquet.write_table(views, tmp_path / "views.parquet")
    table = open_table(tmp_path / "views.parquet")
    ((cells, values),) = table.chunks(9)
    table.write_part(parts[0], cells, values.fillna("b"))
    table.join(parts[:1], tmp_path / "out.parquet")
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet").equals(
        pyarrow.table({"w": pyarrow.array(["a", "b", "b"], pyarrow.string_view())})
    )
    with pytest.raises(ValueError, match=r"`missing`\. Expected none for a Parquet file"):
        open_table(tmp_path / "in.parquet", missing=["?"])


def test_a_dictionary_of_parquet_is_in_an_order_where_it_says_so(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    words = pyarrow.DictionaryArray.from_arrays([0, 1, 2, None], ["medium", "low", "high"])
    ordered = pyarrow.DictionaryArray.from_arrays([0, 1, 2, None], ["low", "medium", "high"], ordered=True)
    pyarrow.parquet.write_table(pyarrow.table({"w": words, "o": ordered}), tmp_path / "in.parquet")
    table = open_table(tmp_path / "in.parquet")
    sample = sampled(table, 4, 0)
    assert columns_of(table, sample, {"o": "ordinal"})["o"].categories == ("low", "medium", "high")
    with pytest.raises(ValueError, match=r"`column 'w'`\. .*Received: text in no order: 'medium', 'low', 'high'"):
        columns_of(table, sample, {"w": "ordinal"})


@pytest.mark.parametrize("dtype", ["boolean", "bool[pyarrow]"])
def test_booleans_that_are_to_be_numbers_are_numbers_in_parquet_too(dtype, tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"flag": pd.array([True, None, False, True], dtype), "x": [0.5, 1.5, 2.5, 3.5]})
    frame.to_parquet(tmp_path / "in.parquet")
    table = open_table(tmp_path / "in.parquet", kinds={"flag": "real"})
    parts = []
    # With a gap, and without one.
    for cells, values in table.chunks(2):
        parts.append(tmp_path / f"{len(parts)}")
        coding = Coding.fit(values, Schema.infer(values, {"flag": "real", "x": "real"}))
        center = coding.centers[0]
        table.write_part(parts[-1], cells, coding.fill(values, np.full((2, 2), 0.375 - center)))
    table.join(parts, tmp_path / "out.parquet")
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert found["flag"].tolist() == [1.0, 0.375, 0.0, 1.0]
    assert found["flag"].dtype == np.float64
    # Control: as levels they stay what they are.
    assert open_table(tmp_path / "in.parquet", kinds={"flag": "binary"}).levels("flag") == [False, True]


@pytest.mark.parametrize("dtype", ["Int8", "UInt8", "int8[pyarrow]"])
def test_parquet_has_wider_types_for_numbers_that_its_own_do_not_hold(dtype, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"n": pd.array([1, None, 3, None], dtype=dtype), "k": np.array([1, 2, 3, 4], np.int8)})
    frame.to_parquet(tmp_path / "in.parquet")
    coding = Coding.fit(frame, Schema.infer(frame, {"n": "real"}))
    center, scale = coding.centers[0], coding.scales[0]
    table = open_table(tmp_path / "in.parquet")
    # In one of two chunks, so that the file has to have the wider type of both.
    for name, numbers in {"wide": [300, 7], "narrow": [100, 7]}.items():
        parts = []
        for number, (cells, values) in zip(numbers, table.chunks(2), strict=True):
            parts.append(tmp_path / f"{name}-{number}")
            encoded = np.full((2, 2), [(number - center) / scale, 0.0])
            table.write_part(parts[-1], cells, coding.fill(values, encoded))
        table.join(parts, tmp_path / f"{name}.parquet")
    wide, narrow = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("wide", "narrow"))
    assert (wide["n"].tolist(), narrow["n"].tolist()) == ([1, 300, 3, 7], [1, 100, 3, 7])
    assert str(wide["n"].dtype) == dtype.replace("8", "16")
    pd.testing.assert_series_equal(narrow.dtypes, frame.dtypes)
    schemas = [pyarrow.parquet.read_schema(tmp_path / f"{name}.parquet") for name in ("in", "narrow", "wide")]
    assert schemas[0].equals(schemas[1], check_metadata=True)
    assert schemas[2].field("n").type == (pyarrow.uint16() if dtype[0] == "U" else pyarrow.int16())


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_parquet_has_wider_floats_for_numbers_that_its_own_do_not_hold(dtype, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"n": np.array([1.0, np.nan, 3.0, np.nan], dtype), "k": range(4)})
    frame.to_parquet(tmp_path / "in.parquet")
    coding = Coding.fit(frame, Schema.infer(frame))
    table, large = open_table(tmp_path / "in.parquet"), float(np.finfo(dtype).max)
    for factor, wide in ((1.5, {"float16": "float32", "float32": "float64"}[dtype]), (1.0, dtype)):
        parts = []
        for number, (cells, values) in zip((7.0, factor * large), table.chunks(2), strict=True):
            parts.append(tmp_path / f"part-{len(parts)}")
            encoded = np.full((2, 2), [(number - coding.centers[0]) / coding.scales[0], 0.0])
            table.write_part(parts[-1], cells, coding.fill(values, encoded))
        table.join(parts, tmp_path / "out.parquet")
        found = pd.read_parquet(tmp_path / "out.parquet")["n"]
        assert found.dtype == wide
        np.testing.assert_allclose(found.astype(float), [1.0, 7.0, 3.0, factor * large], rtol=1e-3)
        own = pyarrow.from_numpy_dtype(np.dtype(wide))
        assert pyarrow.parquet.read_schema(tmp_path / "out.parquet").field("n").type == own


@pytest.mark.parametrize("dtype", ["category", "object"])
def test_floats_of_parquet_that_are_levels_stay_what_they_are(dtype, tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"size": [0.5, 1.5, np.nan, 0.5], "k": range(4)})
    frame.to_parquet(tmp_path / "in.parquet")
    column = Column("size", "categorical", (0.5, 1.5), dtype=dtype)
    table = open_table(tmp_path / "in.parquet", kinds={"size": column})
    (cells, values), filled = next(table.chunks(4)), pd.Series([0.5, 1.5, 1.5, 0.5], dtype=dtype)
    table.write_part(tmp_path / "part", cells, values.assign(size=filled))
    table.join([tmp_path / "part"], tmp_path / "out.parquet")
    assert pd.read_parquet(tmp_path / "out.parquet")["size"].tolist() == [0.5, 1.5, 1.5, 0.5]


def test_parquet_has_wider_decimals_for_numbers_that_its_own_do_not_hold(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    cells = [decimal.Decimal("1.25"), None, decimal.Decimal("9.99"), None]
    frame = pd.DataFrame({"price": pd.Series(cells, dtype=pd.ArrowDtype(pyarrow.decimal128(3, 2))), "x": range(4)})
    frame.to_parquet(tmp_path / "in.parquet")
    table = open_table(tmp_path / "in.parquet")
    for value, digits in ((2.346, 3), (-1234.5, 6), (1e40, 43)):
        parts = []
        for place, (cells, values) in enumerate(table.chunks(2)):
            parts.append(tmp_path / f"{place}")
            # The rounded one in the first part alone, so that the file has to have the type of both.
            table.write_part(parts[-1], cells, values.fillna(value if place else 0.5))
        table.join(parts, tmp_path / "out.parquet")
        found = pd.read_parquet(tmp_path / "out.parquet")
        assert found["price"].tolist() == [decimal.Decimal(f"{number:.2f}") for number in (1.25, 0.5, 9.99, value)]
        assert pyarrow.parquet.read_schema(tmp_path / "out.parquet").field("price").type.precision == digits


def test_a_number_above_zero_is_not_written_as_zero_where_none_is(tmp_path):
    table = open_table(written(tmp_path, "a;b\n0,5;2,5\n;\n2,0;-1,5\n"))
    ((cells, values),) = table.chunks(10)
    table.write_part(tmp_path / "part", cells, values.fillna(0.03))
    table.join([tmp_path / "part"], tmp_path / "out.csv")
    # In the second column numbers may be 0.
    assert (tmp_path / "out.csv").read_text().splitlines()[2] == "0,1;0,0"


@pytest.mark.parametrize(
    ("cells", "values", "found"),
    [
        # Whole numbers, and others that differ far behind their first digits.
        (["1.7e+09", "1700000123", "1700000250"], [1700000188], ["1700000188"]),
        (["1.7e9", "1700000123.5", "1700000250"], [1700000188.25, 1.7e9 + 7], ["1700000188.25", "1700000007"]),
        # Controls: of very different numbers six are enough, and no column has more digits than float64.
        (["1e-5", "0.0123456", "-1234.5"], [0.1234567891, 1234.56789], ["0.123457", "1234.57"]),
        (["1.5e20", "1.5e20"], [1.5e20, 1.2345678901234567e19], ["1.5e+20", "1.23456789012346e+19"]),
        (["1e300", "-1e300"], [1.23456789e299], ["1.23457e+299"]),
    ],
)
def test_an_exponent_in_one_cell_takes_no_digits_from_the_others(cells, values, found, tmp_path):
    table = open_table(written(tmp_path, "\n".join(["x,n", *(f"{cell},1" for cell in cells), *[",1"] * len(values)])))
    ((texts, frame),) = table.chunks(9)
    frame["x"] = [*frame["x"].dropna(), *values]
    table.write_part(tmp_path / "part", texts, frame)
    assert [line.split(",")[0] for line in (tmp_path / "part").read_text().split()] == [*cells, *found]


@pytest.mark.parametrize(
    ("cells", "levels"),
    [
        (["1e+06", "1000001", "1000002"], ["1000000", "1000001", "1000002"]),
        (["1e-3", "1.00000001", "0.1234567891234567"], ["0.001", "0.1234567891234567", "1.00000001"]),
        (["\u22121,5e-1", "2,000000001"], ["-0,15", "2,000000001"]),
    ],
)
def test_a_level_is_written_as_that_level_beside_an_exponent(cells, levels, tmp_path):
    text = "\n".join(["x;n", *(f"{cell};1" for cell in cells), *[";1"] * len(cells)])
    table = open_table(written(tmp_path, text), kinds={"x": "ordinal"})
    ((texts, frame),) = table.chunks(9)
    column = columns_of(table, frame, {"x": "ordinal"})["x"]
    places = np.resize(range(len(cells)), (len(frame), 1))
    filled = Coding.fit(frame[["x"]], Schema((column,))).fill(frame[["x"]], places)
    table.write_part(tmp_path / "part", texts, filled)
    assert [line.split(";")[0] for line in (tmp_path / "part").read_text().split()][len(cells) :] == levels


def test_a_decimal_above_zero_is_not_written_as_zero_where_none_is(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    kind = pd.ArrowDtype(pyarrow.decimal128(5, 1))
    columns = {name: [decimal.Decimal("0.5"), None, decimal.Decimal(last)] for name, last in (("a", "2"), ("b", "-2"))}
    pd.DataFrame({name: pd.Series(cells, dtype=kind) for name, cells in columns.items()}).to_parquet(
        tmp_path / "in.parquet"
    )
    table = open_table(tmp_path / "in.parquet")
    ((cells, values),) = table.chunks(10)
    table.write_part(tmp_path / "out.parquet", cells, values.fillna(0.03))
    assert pd.read_parquet(tmp_path / "out.parquet").iloc[1].astype(float).tolist() == [0.1, 0.0]


def test_work_goes_on_under_the_same_settings_alone(tmp_path):
    out, made = tmp_path / "out.csv", []

    def make():
        made.append(1)
        return {"value": len(made)}

    assert Work(out, {"seed": 0}).kept("model", make) == {"value": 1}
    work = Work(out, {"seed": 0})
    assert work.kept("model", make) == {"value": 1}
    with pytest.raises(OSError, match="full"):
        work.part("half", broken)
    assert not (work.folder / "half").exists()
    assert Work(out, {"seed": 1}).kept("model", make) == {"value": 2}
    work.done()
    assert list(tmp_path.iterdir()) == []


HOLDING = """
import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""
WORKING = """
import sys
from pathlib import Path
from keras_iwae.tables.work import Work
Work(Path(sys.argv[1]), {"seed": 0}).kept("model", lambda: print("held", flush=True) or sys.stdin.read())
"""


@contextlib.contextmanager
def another(program, argument):
    """A second process that does something to a path, until it is killed or the block is left."""
    pytest.importorskip("fcntl")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program, str(argument)], **pipes) as process:
        try:
            assert process.stdout.readline() == b"held\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(work, "_PATIENCE", 0.1)


def test_work_is_of_one_process(tmp_path, impatient):
    out, owner = tmp_path / "out.csv", tmp_path / ".out.csv.partial" / "process"
    owner.parent.mkdir()
    (owner.parent / "settings.json").write_text("others")
    before = {"process", "settings.json"}
    with another(HOLDING, owner.parent):
        # Whatever the number says: in two containers it is the same.
        for number, who in (("123", "process 123"), (str(os.getpid()), f"process {os.getpid()}"), ("", "another proc")):
            owner.write_text(number)
            # Nothing of what the other one has is touched, whatever its settings.
            for seed in (0, 1):
                refused = rf"`out`\. Expected a file that no other process is at work on\. .*out.csv, which {who}"
                with pytest.raises(ValueError, match=refused):
                    Work(out, {"seed": seed})
            assert {path.name for path in owner.parent.iterdir()} == before
    # After a kill, or a restart of the machine, nobody has it, though there is a process of that number.
    owner.write_text(str(os.getppid()))
    assert Work(out, {"seed": 0}).kept("model", lambda: 2) == 2
    assert owner.read_text() == str(os.getpid())
    # What this process did not finish it may begin again, and nobody else.
    with pytest.raises(BlockingIOError):
        hold(owner.parent)
    assert Work(out, {"seed": 0}).kept("model", lambda: 3) == 2
    Work(out, {"seed": 1}).part("one", broken_not)
    Work(out, {"seed": 1}).done()
    # Nor does what cannot be made leave anything.
    with pytest.raises(OSError, match="full"):
        Work(out, {"seed": 0}).kept("model", lambda: broken(tmp_path / "x"))
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    owner.parent.mkdir()
    os.close(hold(owner.parent))


def hold(folder):
    """Hold a folder, as another process would."""
    fcntl = pytest.importorskip("fcntl")
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def test_work_that_another_process_finished_meanwhile_is_begun_anew(tmp_path, monkeypatch):
    folder, held_folder, waited = tmp_path / ".out.csv.partial", work.held_folder, []

    @contextlib.contextmanager
    def slow(path, *arguments):
        with held_folder(path, *arguments):
            # It was let go by one that is done, twice, and has removed it; and once made by a third.
            waited.append(1)
            if len(waited) < 3:
                folder.rename(tmp_path / f"gone-{len(waited)}")
            if len(waited) == 2:
                folder.mkdir()
            yield

    monkeypatch.setattr(work, "held_folder", slow)
    begun = Work(tmp_path / "out.csv", {"seed": 0})
    assert begun.kept("model", lambda: 2) == 2
    assert len(waited) == 3
    with pytest.raises(BlockingIOError):
        hold(folder)
    for number in (1, 2):
        os.close(hold(tmp_path / f"gone-{number}"))
    begun.done()


@pytest.mark.long
def test_two_works_of_two_processes(tmp_path, impatient):
    with (
        another(WORKING, tmp_path / "out.csv") as other,
        pytest.raises(ValueError, match=f"out.csv, which process {other.pid} is writing"),
    ):
        Work(tmp_path / "out.csv", {"seed": 0})
    assert Work(tmp_path / "out.csv", {"seed": 0}).kept("model", lambda: 2) == 2
    Work(tmp_path / "out.csv", {"seed": 0}).done()


def broken_not(path):
    path.write_text("all of it")


def broken(path):
    path.write_text("half of it")
    raise OSError(28, "disk full")
