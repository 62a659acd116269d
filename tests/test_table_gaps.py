"""Words for what is missing in CSV files: gaps wherever they are, among numbers alone, or no more than a question."""

import re

import pandas as pd
import pytest

from keras_iwae.tables import Column
from keras_iwae.tables.dialect import MISSING
from keras_iwae.tables.files import open_table
from keras_iwae.tables.pairs import open_pair
from keras_iwae.tables.words import DOUBTFUL, LONE

NUMBERS, TEXTS = ["1", "2.5", "3", "40"], ["red", "green", "blue", "red"]


def opened(folder, cells, name="table.csv", **options):
    path = folder / name
    path.write_text("\n".join(["c,x", *(f"{cell},{n}.5" for n, cell in enumerate(cells))]) + "\n")
    return open_table(path, **options)


def values(table, size=3):
    """The first column, `None` where it has a gap, whatever the chunks."""
    cells = [cell for _, frame in table.chunks(size) for cell in frame["c"]]
    return [None if pd.isna(cell) else cell for cell in cells]


@pytest.mark.slow
@pytest.mark.parametrize("word", [*MISSING, *LONE])
def test_words_among_numbers_are_gaps_whatever_is_said_of_the_column(word, tmp_path):
    assert values(opened(tmp_path, [*NUMBERS, word])) == [1.0, 2.5, 3.0, 40.0, None]
    assert values(opened(tmp_path, [word, *NUMBERS], kinds={"c": "real"})) == [None, 1.0, 2.5, 3.0, 40.0]
    table = opened(tmp_path, [*NUMBERS, word], kinds={"c": "categorical"})
    assert (values(table), table.levels("c")) == ([*NUMBERS, None], sorted(NUMBERS))
    # Codes of digits are text, and no company for a dash as other text is.
    assert values(opened(tmp_path, ["007", word, "01"])) == ["007", None, "01"]


@pytest.mark.parametrize("word", MISSING)
def test_what_is_a_gap_wherever_it_is(word, tmp_path):
    assert values(opened(tmp_path, [*TEXTS, word])) == [*TEXTS, None]
    # Unless it is one of the levels that are said.
    if word:
        given = {"c": Column("c", "categorical", ("red", "green", "blue", word))}
        assert values(opened(tmp_path, [*TEXTS, word], kinds=given)) == [*TEXTS, word]


@pytest.mark.slow
@pytest.mark.parametrize("word", LONE)
@pytest.mark.parametrize("texts", [TEXTS, ["TRUE", "FALSE"], ["1", "2", "3+"], ["0", "+"], ["?", "b"]])
def test_a_lone_dash_beside_text_is_asked_about(texts, word, tmp_path):
    expected = (
        rf"`column 'c'`\. Expected to be told what '\{word}' is beside text: among `missing` if it stands for what is "
        "not known, or, if it is a level, that you say that the column is 'categorical'"
    )
    with pytest.raises(ValueError, match=expected):
        opened(tmp_path, [*texts, word])
    known = [None if text == "?" else text for text in texts]
    assert values(opened(tmp_path, [*texts, word], missing=[word])) == [*known, None]
    table = opened(tmp_path, [*texts, word, ""], kinds={"c": "categorical"})
    assert (values(table), word in table.levels("c")) == ([*known, word, None], True)
    # Nobody asks of a column that is not looked at.
    assert opened(tmp_path, [*texts, word], ignore=["c"]).names == ["x"]


@pytest.mark.parametrize("signs", [["+", "-"], ["+", "-", "++"], ["x", "."], ["-", "+", "±"]])
def test_signs_among_signs_are_levels_and_are_written_as_such(signs, tmp_path):
    table = opened(tmp_path, [*signs, "", *signs], kinds={"c": "categorical"} if "x" in signs else None)
    assert (values(table), table.levels("c")) == ([*signs, None, *signs], sorted(signs))
    ((cells, frame),) = table.chunks(100)
    table.write_part(tmp_path / "part", cells, frame.fillna({"c": "-"}))
    assert [line.split(",")[0] for line in (tmp_path / "part").read_text().split()] == [*signs, "-", *signs]


def test_a_column_of_nothing_but_dashes_has_no_value(tmp_path):
    assert values(opened(tmp_path, ["-", ".", ""])) == [None] * 3


@pytest.mark.slow
@pytest.mark.parametrize("word", [*DOUBTFUL, "None", "1E999", "-inf", "Infinity"])
def test_a_word_that_may_be_a_level_is_one_among_texts_and_asked_about_among_numbers(word, tmp_path):
    texts = ["mild", word, "severe"]
    table = opened(tmp_path, texts)
    assert (values(table), table.levels("c")) == (texts, sorted(texts))
    for numbers in (["1", "2", "3"], [str(n) for n in range(30)]):
        row, cell = len(numbers) + 1, re.escape(repr(word))
        expected = rf"`column 'c'`\. Expected numbers, or {cell} among `missing` .*Received: {cell} in row {row} among"
        with pytest.raises(ValueError, match=expected):
            opened(tmp_path, [*numbers, word])
        assert values(opened(tmp_path, [*numbers, word], missing=[word]))[-1] is None
        assert values(opened(tmp_path, [*numbers, word], kinds={"c": "categorical"})) == [*numbers, word]
    # Control: another text among few numbers is a level, as it was.
    assert values(opened(tmp_path, ["1", "2", "3+"])) == ["1", "2", "3+"]


def test_namibia_is_a_country(tmp_path):
    countries = ["DE", "NA", "US", "FR"]
    many = [f"{a}{b}" for a in "ABCDEFGHIJ" for b in "ABCDEFGHIJ"]
    for cells, options in ((countries, {}), ([*many, "NA"], {"kinds": {"c": "categorical"}})):
        with pytest.raises(
            ValueError, match=r"`column 'c'`\. Expected to be told what 'NA' is beside such codes: among"
        ):
            opened(tmp_path, cells, **options)
    assert values(opened(tmp_path, countries, missing=["NA"])) == ["DE", None, "US", "FR"]
    given = {"c": Column("c", "categorical", tuple(countries))}
    assert values(opened(tmp_path, countries, kinds=given)) == countries
    # Controls: of two levels, and beside what is no code, nothing is asked.
    assert values(opened(tmp_path, ["SI", "NO", "NA"])) == ["SI", "NO", None]
    with pytest.raises(ValueError, match=r"`column 'c'`\. Expected to be told what 'NA' is"):
        opened(tmp_path, ["DE", "US", "NA"])
    assert values(opened(tmp_path, ["DE", "US", "France", "NA"])) == ["DE", "US", "France", None]


@pytest.mark.slow
def test_a_dash_in_one_of_two_files_is_what_it_is_beside_the_others(tmp_path):
    old = opened(tmp_path, ["1", "2.5", "4"], "old.csv").path
    new = opened(tmp_path, ["1", "-"], "new.csv").path
    assert values(open_pair(new, old)[0]) == [1, None]
    # Where the other is text, these digits are text, and the dash stands beside digits.
    words = opened(tmp_path, ["1", "2", "x"], "words.csv").path
    assert values(open_pair(new, words)[0]) == ["1", None]
    letters = opened(tmp_path, ["x", "-"], "letters.csv", missing=["-"]).path
    with pytest.raises(ValueError, match=r"`column 'c'`\. Expected to be told what '-' is beside text"):
        open_pair(letters, words)
    signs = opened(tmp_path, ["+", "-"], "signs.csv").path
    assert values(open_pair(signs, signs)[0]) == ["+", "-"]
    with pytest.raises(ValueError, match=r"`column 'c'`\. Expected numbers, as in .*old.csv, or '\+' among"):
        open_pair(signs, old)
