"""The page about a table that was filled in, of tables as people have them."""

import numpy as np
import pytest
from test_report import Page
from test_table_scripts import Quick

from keras_iwae.experiments.report import imputation
from keras_iwae.tables import Column, filling, impute_file, trust


@pytest.fixture
def filled(tmp_path, monkeypatch):
    """Fill in columns by name, with `None` for a gap."""
    monkeypatch.setattr(filling, "IWAEImputer", Quick)

    def fill(columns, **options):
        rows = zip(*columns.values(), strict=True)
        lines = [",".join(columns), *(",".join("" if cell is None else str(cell) for cell in row) for row in rows)]
        (tmp_path / "in.csv").write_text("\n".join(lines) + "\n")
        return impute_file(tmp_path / "in.csv", tmp_path / "out.csv", **options)

    return fill


def page_of(files):
    text = imputation.write_imputation_report(files, files.filled.with_suffix(".html")).read_text()
    return Page(text)


def numbers(count, gaps):
    """Fractions, the first so many of which are missing."""
    values = np.random.default_rng(count).normal(size=count).round(3)
    return [None] * gaps + values[gaps:].tolist()


def levels(count, *names):
    return [names[place % len(names)] for place in range(count)]


def test_dollars_in_names_and_levels_end_nothing(filled):
    bands = levels(60, "$10k-$20k", "$20k-$30k", None)
    page = page_of(filled({"cost_$_2019_$": numbers(60, 5), "$a$": bands, "x": numbers(60, 0)}))
    assert len(page.images) == 3
    assert "cost_$_2019_$" in page.images[1]["alt"]


def test_a_file_that_was_filled_in_may_end_as_one_of_means_does(filled):
    # A column of names that is not looked at, and a gap in which the sum of the rows above was put.
    files = filled({"who": ["a", "b", "c", "sum"], "x": [0, 0, 1, None]}, ignore=["who"], kinds={"x": "real"})
    assert "sum,1\n" in files.filled.read_text()
    assert len(page_of(files).images) == 3


def test_no_row_is_called_steady_that_was_not_judged(filled):
    # Of few importance samples there is no k-hat, and of a row of which nothing was observed none is asked.
    text = page_of(filled({"x": numbers(30, 5), "y": numbers(30, 0)})).text
    assert "was not judged: it takes more than 20 importance samples" in text
    assert "none has numbers" not in text
    assert "unsteady" not in text


STEADY, UNSTEADY, PRIOR, UNKNOWN = trust.STEADY, trust.UNSTEADY, trust.FROM_PRIOR, trust.UNKNOWN


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ({}, "Nothing was missing"),
        ({STEADY: 9}, "Of 9 rows with gaps, none"),
        ({STEADY: 9, PRIOR: 2}, "Of 9 rows with gaps that were judged, none"),
        ({STEADY: 3, UNSTEADY: 1, PRIOR: 2}, "1 of 4 rows with gaps that were judged (25.0 %)"),
        ({PRIOR: 2}, "was not judged: nothing was observed"),
        ({UNKNOWN: 9, PRIOR: 2}, "was not judged: it takes more than 20"),
    ],
)
def test_the_sentence_is_of_the_rows_that_were_judged(verdicts, said):
    assert said in imputation._judged(verdicts)


def test_a_picture_that_cannot_be_drawn_leaves_the_page(filled, monkeypatch):
    def broken(*_):
        raise ValueError("no such font")

    files = filled({"x": numbers(60, 5), "y": numbers(60, 0)})
    for name in ("missing_patterns", "distributions"):
        monkeypatch.setattr(imputation.charts, name, broken)
    page = page_of(files)
    assert page.text.count("no such font") == 2
    assert len(page.images) == 1


@pytest.mark.slow
def test_few_gaps_of_many_rows_are_drawn(filled, monkeypatch):
    """They were drawn as rarely as what was observed, and the page said that nothing was put in."""
    monkeypatch.setattr(imputation, "_VALUES", 40)
    files = filled({"few": numbers(4000, 3), "half": numbers(4000, 2000), "none": numbers(4000, 0)})
    gaps = imputation._Gaps(*imputation._opened(files))
    assert {name: len(values) for name, values in gaps.imputed.items()} == {
        "few": 3,
        "half": pytest.approx(40, abs=20),
        "none": 0,
    }
    assert all(20 <= len(values) <= 60 for values in gaps.observed.values())
    assert "Nothing was put in." not in page_of(files).text


def test_what_is_nearly_all_or_nothing_is_said_to_be(filled):
    text = page_of(filled({"nearly": numbers(3000, 2998), "few": numbers(3000, 1), "x": numbers(3000, 0)})).text
    for said in ("nearly real, > 99.9 % missing", "few real, < 0.1 % missing", "x real, 0.0 % missing"):
        assert said in text, said


@pytest.mark.slow
def test_units_are_shown_beside_names(filled, monkeypatch):
    shown, drawn = [], imputation.charts.distributions
    monkeypatch.setattr(imputation.charts, "distributions", lambda *parts: shown.extend(parts) or drawn(*parts))
    columns = {"bmi": numbers(60, 5), "age": numbers(60, 3)}
    page = page_of(filled(columns, kinds={"bmi": Column("bmi", "real", unit="kg/m²")}))
    assert "bmi, kg/m²" in page.text
    assert [list(part) for part in shown] == [["bmi, kg/m²", "age"]] * 2


def test_kinds_of_columns_that_are_called_as_settings_are(filled):
    """`limit` was shown as "only the first images", and of a lone `mean` its kind alone."""
    columns = {"limit": numbers(60, 5), "mean": [abs(x or 1.0) for x in numbers(60, 0)], "size": levels(60, *"SML")}
    kinds = {"limit": "real", "mean": "positive", "size": "ordinal(S<M<L)"}
    assert "kinds limit=real, mean=positive, size=ordinal(S<M<L)" in page_of(filled(columns, kinds=kinds)).text
    assert imputation._kind(Column("x", "real")) == imputation._kind("real") == "real"
    assert "kinds" not in page_of(filled(columns)).text.partition("Settings")[2]
