"""Two files of one table: a number or a code is the same in both, or it is refused with a sentence."""

import pandas as pd
import pytest

from keras_iwae.tables.files import columns_of, open_table
from keras_iwae.tables.pairs import open_pair


def written(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


def values(table, column="x"):
    return [value for _, frame in table.chunks(2) for value in frame[column].dropna()]


# Of numbers that are 1.234 and 5.678, or 1234 and 5678.
FORMS = {
    "thousands or quoted decimals": 'x,n\n"1,234",1\n"5,678",2\n',
    "decimal commas or thousands": "x;n\n1,234;1\n5,678;2\n",
    "decimal points or European thousands": "x;n\n1.234;1\n5.678;2\n",
    "points between commas": "x,n\n1.234,1\n5.678,2\n",
    "American": 'x,n\n"1,234.0",1\n5678.0,2\n',
    "European": "x;n\n1.234,0;1\n5678,0;2\n",
    "German": "x;n\n1,234;1\n5,5;2\n",
    "no marks": "x,n\n1234,1\n5678,2\n",
    "decimal comma after a zero": 'x,n\n"0,234",1\n"5,678",2\n',
}
# Those that the first is read beside; beside all others it is refused.
READ = {
    "thousands or quoted decimals": {"American": 1234, "no marks": 1234, "points between commas": 1234},
    "decimal commas or thousands": {"European": 1.234, "German": 1.234, "decimal comma after a zero": 1.234},
    "decimal points or European thousands": {"American": 1.234, "points between commas": 1.234},
}


@pytest.mark.slow
@pytest.mark.parametrize("doubtful", READ)
@pytest.mark.parametrize("other", FORMS)
def test_marks_that_one_file_leaves_open_are_said_by_the_other(doubtful, other, tmp_path):
    paths = [written(tmp_path, f"{name}.csv", FORMS[form]) for name, form in (("one", doubtful), ("two", other))]
    for source, train in (paths, paths[::-1]):
        if other != doubtful and other not in READ[doubtful]:
            with pytest.raises(ValueError, match=r"`train`\. Expected files that say alike .*'1,234'|'1\.234'"):
                open_pair(source, train)
        else:
            table = dict(zip((source, train), open_pair(source, train), strict=True))[paths[0]]
            if other != doubtful:
                assert values(table)[0] == READ[doubtful][other]


@pytest.mark.slow
@pytest.mark.parametrize("one", ["American", "European", "German", "no marks", "points between commas"])
def test_files_that_say_what_their_marks_are_have_their_own(one, tmp_path):
    for other in ("American", "European", "German", "no marks"):
        names = {"one.csv": FORMS[one], "two.csv": FORMS[other]}
        found = open_pair(*(written(tmp_path, name, text) for name, text in names.items()))
        first = {"American": 1234, "European": 1234, "no marks": 1234}
        assert [values(table)[0] for table in found] == [first.get(one, 1.234), first.get(other, 1.234)]


@pytest.mark.parametrize("mark", [",", "."])
def test_thousands_that_would_be_read_as_decimals_are_refused(mark, tmp_path):
    several = [f"{n // 1000}{mark}{n % 1000:03d}" if n >= 1000 else str(n) for n in range(800, 1400, 13)]
    path = written(tmp_path, "one.csv", "\n".join(["x;n", *(f"{text};1" for text in several)]))
    with pytest.raises(
        ValueError, match=rf"`column 'x'`. Expected numbers that say .*'1\{mark}008' beside 995, and none"
    ):
        open_table(path)
    # Controls: another number says that they are decimals, a large one has none, or all have.
    for more, column in (("8{mark}5;1", "x"), ("1995;1", "x"), ("2;8{mark}5", "n")):
        written(tmp_path, "one.csv", "\n".join(["x;n", *(f"{text};1" for text in several), more.format(mark=mark)]))
        assert open_table(path).facts[column].numeric
    written(tmp_path, "one.csv", "\n".join(["x;n", *(f"{text};1" for text in several if mark in text)]))
    assert open_table(path).facts["x"].high < 2.0


def test_columns_that_are_not_looked_at_leave_nothing_open(tmp_path):
    texts = 'x,n\n"1,234",1\n"5,678",2\n', "x;n\n1,5;1\n2,5;2\n"
    paths = [written(tmp_path, f"{place}.csv", text) for place, text in enumerate(texts)]
    with pytest.raises(ValueError, match="`train`"):
        open_pair(*paths)
    assert open_pair(*paths, ignore=["x"])[0].names == ["n"]


def test_codes_in_one_of_two_files_are_codes_in_both(tmp_path):
    old, new = written(tmp_path, "old.csv", "x\n01800\n12345\n"), written(tmp_path, "new.csv", "x,n\n12345,1\n,2\n")
    with pytest.raises(ValueError, match=r"`train`\. Expected a file with the columns \['x', 'n'\]"):
        open_pair(new, old)
    assert values(open_pair(written(tmp_path, "new.csv", "x\n12345\n"), old)[0]) == ["12345"]


def test_a_column_is_what_it_is_in_the_file_that_is_learned_from(tmp_path):
    levels = written(tmp_path, "old.csv", "x\n1\n2\nx\n")
    codes = written(tmp_path, "new.csv", "x\n1\n2.0\n-9\n-9.0\n")
    assert values(open_pair(codes, levels, missing=["-9"])[0]) == ["1", "2.0", "-9.0"]
    # Of many texts, some in the place of a number in a column of numbers.
    many = "".join(f"{n}.5\n" for n in range(20))
    new = written(tmp_path, "new.csv", f"x\n{many}about 3\n")
    assert values(open_pair(new, levels)[0])[-1] == "about 3"
    old = written(tmp_path, "old.csv", f"x\n{many}")
    for text, row in (("about 3", 21), ("007", 1)):
        new = written(tmp_path, "new.csv", f"x\n{many}about 3\n" if row > 1 else "x\n007\n")
        expected = rf"`column 'x'`\. Expected numbers, as in .*old.csv, .*Received: '{text}' in row {row} of .*new.csv"
        with pytest.raises(ValueError, match=expected):
            open_pair(new, old)
    # Control: it is said that they are numbers.
    assert values(open_pair(new, old, kinds={"x": "real"})[0]) == [7]


@pytest.mark.parametrize("first", ["csv", "parquet"])
def test_true_and_false_are_booleans_beside_those_of_parquet(first, tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"x": pd.array([True, None, False, False], "boolean"), "n": range(4)})
    frame.to_parquet(tmp_path / "b.parquet")
    text = written(tmp_path, "text.csv", "x,n\nTRUE,1\n?,2\nfalse,3\nFalse,4\n")
    paths = [text, tmp_path / "b.parquet"]
    found = open_pair(*(paths if first == "csv" else paths[::-1]))
    for table in found:
        assert values(table) == [True, False, False]
        assert (table.levels("x"), table.is_text("x")) == ([False, True], False)
        sample = next(table.chunks(4))[1]
        for given in ({}, {"x": "binary"}):
            assert columns_of(table, sample, given)["x"].categories == (False, True)
    # Control: by itself it is text.
    assert values(open_table(text)) == ["TRUE", "false", "False"]
    other = written(tmp_path, "other.csv", "x,n\nTrue,1\nno,2\n")
    with pytest.raises(
        ValueError, match=r"`column 'x'`\. Expected True and False, as in .*b.parquet\. Received: 'no' in .*other.csv"
    ):
        open_pair(other, paths[1])


def test_a_column_of_parquet_is_of_the_type_that_is_learned_from(tmp_path):
    pytest.importorskip("pyarrow")
    text = written(tmp_path, "text.csv", "x\n1\nx\n")
    number = written(tmp_path, "number.csv", "x\n1\n0\n")
    for name, cells in (("n", [1, 0]), ("b", [True, False]), ("w", ["1", "x"]), ("c", pd.Categorical(["1", "x"]))):
        pd.DataFrame({"x": cells}).to_parquet(tmp_path / f"{name}.parquet")
    for name in ("n", "b"):
        assert values(open_pair(number, tmp_path / f"{name}.parquet")[0]) == [1, 0]
        with pytest.raises(
            ValueError, match=r"`column 'x'`\. Expected text, as in .*text.csv\. Received: numbers or bo"
        ):
            open_pair(tmp_path / f"{name}.parquet", text)
    for name in ("w", "c"):
        assert values(open_pair(number, tmp_path / f"{name}.parquet")[0]) == ["1", "0"]
        assert values(open_pair(tmp_path / f"{name}.parquet", text)[0]) == ["1", "x"]
        with pytest.raises(ValueError, match=r"`column 'x'`\. Expected numbers, as in .*Received: '1' in row 1 of"):
            open_pair(tmp_path / f"{name}.parquet", number)


def test_a_word_for_what_is_missing_is_in_one_of_the_files(tmp_path):
    old, new = written(tmp_path, "old.csv", "x\n1\n-999\n"), written(tmp_path, "new.csv", "x\n1\n2\n")
    assert values(open_pair(new, old, missing=["-999"])[1]) == [1]
    written(tmp_path, "new.csv", "x\n1\n-999.0\n")
    assert [values(table) for table in open_pair(new, old, missing=["-999"])] == [[1], [1]]
    written(tmp_path, "new.csv", "x\n1\n2\n")
    with pytest.raises(ValueError, match=r"`missing`\. Expected texts that are a cell of .*new.csv or .*old.csv"):
        open_pair(new, old, missing=["-99"])
