"""impute.py and score.py as a person uses them: files in, files out, whole or not at all, or a sentence."""

import csv
import dataclasses
import tracemalloc
import warnings
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from test_report import Page
from test_scripts import call, error_line

from keras_iwae import IWAEDensity, IWAEImputer, tables
from keras_iwae.experiments.report import imputation
from keras_iwae.tables import Coding, Imputations, RowTrust, Schema, filling, impute_file, score_file, scoring
from keras_iwae.tables.csv_files import CsvTable
from keras_iwae.tables.files import open_table

ROWS = 120
FAST = ["--max-steps", 100, "--num-samples", 40]
GAPS = ("", "NA", "?")
COLUMNS = ["id", "height", "visits", "colour", "grade", "region"]


def table(gaps=True):
    """A table as a spreadsheet writes it, semicolons and decimal commas, with a fifth of its cells missing."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=ROWS)
    columns = [
        [f"p{i}" for i in range(ROWS)],
        [f"{value:.1f}".replace(".", ",") for value in 170.0 + 9.0 * z],
        rng.poisson(np.exp(1.0 + 0.4 * z)).astype(str).tolist(),
        np.where(z + 0.3 * rng.normal(size=ROWS) > 0.0, "blue", "red;green").tolist(),
        np.clip(np.round(3.0 + z), 1, 5).astype(int).astype(str).tolist(),
        # A second column of levels: TensorFlow's kernels for those, by default, have ended the process.
        np.array(["east", "north", "west"])[np.arange(ROWS) % 3].tolist(),
    ]
    rows = [list(row) for row in zip(*columns, strict=True)]
    for row in rows:
        for place in range(1, 6):
            if gaps and rng.random() < 0.2:
                row[place] = GAPS[rng.integers(3)]
    # Nothing of it was observed.
    if gaps:
        rows[7][1:] = [""] * 5
    return rows


# What Excel says of a separator.
SAID = "sep=;\r\n"


def write(path, rows, header=COLUMNS, said=""):
    with open(path, "w", newline="") as file:
        file.write(said)
        csv.writer(file, delimiter=";").writerows([header, *rows])
    return path


def read(path, delimiter=";"):
    with open(path, newline="") as file:
        rows = list(csv.reader(file, delimiter=delimiter))
    return rows[rows[0] == ["sep=", ""] :]


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A folder where impute.py has run."""
    folder = tmp_path_factory.mktemp("tables")
    write(folder / "survey.csv", table(), said=SAID)
    arguments = [
        "survey.csv",
        "--out",
        "filled.csv",
        "--imputations",
        2,
        "--report",
        "page.html",
        "--ignore",
        "id",
        *FAST,
    ]
    return folder, call("impute", *arguments, cwd=folder)


@pytest.mark.slow
def test_gaps_are_filled_in_and_nothing_else_is_touched(filled):
    folder, process = filled
    assert process.stderr == ""
    assert [line.split()[0] for line in process.stdout.splitlines()] == ["filled", "verdicts", "draws", "page", "kinds"]
    names = {"survey.csv", "filled.csv", "filled-01.csv", "filled-02.csv", "filled-rows.csv", "page.html"}
    assert {path.name for path in folder.iterdir()} == names
    before, levels = read(folder / "survey.csv"), {"blue", "red;green"}
    tables = [read(folder / name) for name in ("filled.csv", "filled-01.csv", "filled-02.csv")]
    for name in names - {"page.html"}:
        assert (folder / name).read_bytes().startswith(SAID.encode()), name
    for after in tables:
        assert len(after) == len(before) == ROWS + 1
        for old, new in zip(before, after, strict=True):
            assert [cell for cell, was in zip(new, old, strict=True) if was not in GAPS] == [
                c for c in old if c not in GAPS
            ]
            assert not set(new) & set(GAPS)
        for _, height, visits, colour, grade, region in after[1:]:
            # As the column has them: one decimal behind a comma, whole numbers, a level.
            assert len(height.partition(",")[2]) == 1
            assert int(visits) >= 0
            assert colour in levels
            assert grade in set("12345")
            assert region in ("east", "north", "west")
    gaps = [cell in GAPS for row in before for cell in row]
    draws = [[cell for row in after for cell in row] for after in tables[1:]]
    assert np.mean([one != other for one, other, gap in zip(*draws, gaps, strict=True) if gap]) > 0.3


@pytest.mark.slow
def test_every_row_with_gaps_has_a_verdict(filled):
    folder, _ = filled
    header, *rows = read(folder / "filled-rows.csv")
    assert header == ["row", "missing", "effective_sample_size", "pareto_k", "verdict"]
    counts = [sum(cell in GAPS for cell in row) for row in read(folder / "survey.csv")[1:]]
    assert [(int(row), int(missing)) for row, missing, *_ in rows] == [(i + 1, n) for i, n in enumerate(counts) if n]
    (empty,) = (row for row in rows if row[0] == "8")
    assert "filled in from the prior: nothing of this row was observed" in empty[-1]


@pytest.mark.slow
def test_the_page_says_what_was_missing_and_loads_nothing(filled):
    folder, _ = filled
    page = Page((folder / "page.html").read_text())
    assert not page.open
    assert {link for link in page.links if not link.startswith("#")} == set()
    assert {link[1:] for link in page.links} <= page.ids
    assert len(page.images) == 3
    assert all(image["alt"] and image["src"].startswith("data:image/svg+xml") for image in page.images)
    missing = sum(cell in GAPS for row in read(folder / "survey.csv") for cell in row)
    for text in (
        f"{ROWS} rows of 5 columns",
        f"{missing} cells",
        "visits count, ",
        "colour binary, ",
        "grade ordinal, ",
        "region categorical, ",
        "run the same analysis on each of the 2 files from filled-01.csv on",
        "nothing of this row was observed",
        "nothing but what is known of its row",
    ):
        assert text in page.text, text
    assert "held out" not in page.text


@pytest.mark.slow
def test_the_page_of_a_learned_mechanism_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(filling, "IWAEImputer", Quick)
    files = impute_file(write(tmp_path / "in.csv", table()), tmp_path / "out.csv", ignore=["id"])
    for mechanism, said in ((None, "nothing but what is known of its row"), ("self_masking", "by its own value")):
        settings = {**files.settings, "missingness": mechanism}
        page = imputation.write_imputation_report(dataclasses.replace(files, settings=settings), tmp_path / "page.html")
        text = page.read_text()
        assert said in text
        assert ("nothing but what is known of its row" in text) == (mechanism is None)


class Quick(IWAEImputer):
    """An imputer that knows the middle of each column, and counts what it is asked."""

    asked: ClassVar[list] = []
    begun: ClassVar[list] = []
    stops_at = 0

    def fit(self, frame):
        Quick.asked.append("fit")
        self.history_ = [{"step": 1.0, "bound": 0.0}]
        self.coding_ = Coding.fit(frame, Schema(tuple(self.columns.values())))
        return self

    def impute(self, frame, num_imputations, first):
        Quick.asked.append(len(frame))
        Quick.begun.append(first)
        if len(Quick.asked) == Quick.stops_at:
            raise KeyboardInterrupt
        filled = self.coding_.fill(frame, np.ones(frame.shape))
        return Imputations([filled] * num_imputations, RowTrust.of(frame.isna().to_numpy(), None), filled)


@pytest.mark.slow
def test_what_was_stopped_goes_on_and_gives_the_same_files(tmp_path, monkeypatch):
    monkeypatch.setattr(filling, "IWAEImputer", Quick)
    source, out, whole = write(tmp_path / "in.csv", table()), tmp_path / "a" / "out.csv", tmp_path / "b" / "out.csv"
    Quick.asked, Quick.stops_at = [], 3
    with pytest.raises(KeyboardInterrupt):
        impute_file(source, out, chunk_rows=50, ignore=["id"])
    assert [path.name for path in out.parent.iterdir()] == [".out.csv.partial"]
    # Neither the model nor the first chunk is made again.
    Quick.asked, Quick.begun, Quick.stops_at = [], [], 0
    impute_file(source, out, chunk_rows=50, ignore=["id"])
    assert Quick.asked == [50, 20]
    # By their places in the file, equal rows of several chunks have draws of their own.
    assert Quick.begun == [50, 100]
    assert {path.name for path in out.parent.iterdir()} == {"out.csv", "out-rows.csv"}
    impute_file(source, whole, chunk_rows=120, ignore=["id"])
    assert out.read_bytes() == whole.read_bytes()
    # What is no longer what it was is made again: a part that was cut off, one that is gone, the model.
    for name, spoil, again in (
        ("000-0000000.csv", lambda path: path.write_bytes(path.read_bytes()[:-40]), [50, 50, 20]),
        ("000-0000000.csv", Path.unlink, [50, 50, 20]),
        ("model.pickle", lambda path: path.write_bytes(b""), ["fit", 50, 20]),
    ):
        Quick.asked, Quick.stops_at = [], 3
        with pytest.raises(KeyboardInterrupt):
            impute_file(source, out, chunk_rows=50, ignore=["id"])
        spoil(out.with_name(".out.csv.partial") / name)
        Quick.asked, Quick.stops_at = [], 0
        impute_file(source, out, chunk_rows=50, ignore=["id"])
        assert Quick.asked == again
        assert out.read_bytes() == whole.read_bytes()
    # Control: under other settings, or of another file, nothing is taken over.
    Quick.asked, Quick.stops_at = [], 3
    with pytest.raises(KeyboardInterrupt):
        impute_file(source, out, chunk_rows=50, ignore=["id"])
    Quick.asked, Quick.stops_at = [], 0
    write(source, table()[::-1])
    impute_file(source, out, chunk_rows=50, ignore=["id"])
    assert Quick.asked == ["fit", 50, 50, 20]
    assert out.read_bytes() != whole.read_bytes()


def test_the_page_looks_at_the_columns_that_were_filled_in(tmp_path, monkeypatch):
    monkeypatch.setattr(filling, "IWAEImputer", Quick)
    Quick.stops_at = 0
    source = tmp_path / "in.csv"
    source.write_text("Unnamed: 0,n,flag\n0,-9,yes\n,2,no\n2,3,\n")
    files = impute_file(source, tmp_path / "out.csv", missing=["-9"], num_imputations=1)
    before, after = imputation._opened(files)
    assert before.names == after.names == ["Unnamed: 0", "n", "flag"]
    assert [facts.count for facts in after.facts.values()] == [3, 3, 3]


def test_draws_of_an_earlier_run_do_not_stay_beside_fewer(tmp_path, monkeypatch):
    monkeypatch.setattr(filling, "IWAEImputer", Quick)
    Quick.stops_at = 0
    source, out = write(tmp_path / "out-03.csv", table()), tmp_path / "out.csv"
    # One of the user's own, of a like name.
    for number in (5, 6):
        (tmp_path / f"out-{number:02d}.csv").write_text("a,b\n1,2\n")
    impute_file(source, out, ignore=["id"], num_imputations=2)
    impute_file(source, out, ignore=["id"], num_imputations=2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for fewer, files in ((1, "out-02.csv"), (0, "out-01.csv to out-02.csv")):
        with pytest.raises(ValueError, match=f"`out`. Expected a name without draws of an earlier run .*{files}"):
            impute_file(source, out, ignore=["id"], num_imputations=fewer)
    # Nor is what is read overwritten by the draws, or by the verdicts.
    with pytest.raises(ValueError, match=r"`out`\. Expected another file .*out.csv, to which out-03.csv belongs"):
        impute_file(source, out, ignore=["id"], num_imputations=3)
    with pytest.raises(ValueError, match=r"to which out-rows.csv belongs"):
        impute_file(tmp_path / "out-rows.csv", out)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    for name in ("out-01.csv", "out-02.csv"):
        (tmp_path / name).unlink()
    impute_file(source, out, ignore=["id"])


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_draws_of_an_earlier_run_are_known_behind_one_that_is_gone(ending, tmp_path, monkeypatch):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    monkeypatch.setattr(filling, "IWAEImputer", Quick)
    Quick.stops_at = 0
    frame, out = pd.DataFrame({"x": [1.5, None, 3.0], "n": [0.5, 2.5, 4.5]}), tmp_path / f"out.{ending}"

    def write_frame(given, name):
        path = tmp_path / f"{name}.{ending}"
        getattr(given, f"to_{ending}")(path, index=False)
        return path

    source = write_frame(frame, "in")
    impute_file(source, out, num_imputations=4)
    (tmp_path / f"out-02.{ending}").unlink()
    # The user's own, one of another year and one of other columns.
    write_frame(frame, "out-2020")
    write_frame(frame[["n"]], "out-07")
    (tmp_path / f"out-08.{ending}").write_text("")
    with pytest.raises(ValueError, match=rf"beside which there are out-03.{ending} to out-04.{ending}$"):
        impute_file(source, out, num_imputations=1)
    for number in (3, 4):
        (tmp_path / f"out-{number:02d}.{ending}").unlink()
    impute_file(source, out, num_imputations=1)


def test_draws_are_known_however_the_source_has_its_names(tmp_path, monkeypatch):
    """They are written without quotes that need not be."""
    monkeypatch.setattr(filling, "IWAEImputer", Quick)
    Quick.stops_at = 0
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text('"x","n"\n1.5,0.5\n,2.5\n3.0,4.5\n')
    impute_file(source, out, num_imputations=2)
    out.unlink()
    with pytest.raises(ValueError, match=r"beside which there are out-02.csv$"):
        impute_file(source, out, num_imputations=1)


def test_draws_of_a_run_that_was_stopped_are_known(tmp_path, monkeypatch):
    monkeypatch.setattr(filling, "IWAEImputer", Quick)
    Quick.stops_at = 0
    source, out = write(tmp_path / "in.csv", table()), tmp_path / "out.csv"

    def stopped(*arguments):
        raise KeyboardInterrupt

    def stopped_at_the_last(table, parts, path):
        if path.name == "out-03.csv":
            raise KeyboardInterrupt
        join(table, parts, path)

    join = CsvTable.join
    for place, name, stop in ((filling, "_join_verdicts", stopped), (CsvTable, "join", stopped_at_the_last)):
        with monkeypatch.context() as patches:
            patches.setattr(place, name, stop)
            with pytest.raises(KeyboardInterrupt):
                impute_file(source, out, ignore=["id"], num_imputations=3)
        draws = {path.name for path in tmp_path.glob("out-0*.csv")}
        if stop is stopped:
            # There are none that nobody knows.
            assert not draws
    assert draws == {"out-01.csv", "out-02.csv"}
    with pytest.raises(ValueError, match=r"beside which there are out-02.csv$"):
        impute_file(source, out, ignore=["id"], num_imputations=1)


@pytest.mark.long
def test_odd_rows_and_cells_have_low_scores(tmp_path):
    rows = table(gaps=False)
    # Tall, and yet with the colour of the small ones.
    rows[3][1:] = ["186,0", "6", "red;green", "5", "east"]
    rows[0][1:] = [""] * 5
    write(tmp_path / "new.csv", rows[:25])
    write(tmp_path / "old.csv", table(gaps=False))
    arguments = ["new.csv", "--train", "old.csv", "--cells", "--ignore", "id", "--max-steps", 300, "--num-samples", 30]
    process = call("score", *arguments, cwd=tmp_path)
    first, kinds = process.stdout.splitlines()
    assert first.split() == ["scores", "new-scores.csv"]
    assert kinds.startswith("kinds     real: height")
    header, *scored = read(tmp_path / "new-scores.csv")
    assert header == ["row", "missing", "log_likelihood", "oddest", *COLUMNS[1:]]
    assert len(scored) == 25
    totals = np.array([float(row[2].replace(",", ".")) for row in scored])
    assert 2 in np.argsort(totals[1:])[:3]
    assert scored[3][3] == "colour"
    # Control: by its density alone it would be the height, and in metres it would not.
    cells = np.array([float(cell.replace(",", ".")) for cell in scored[3][4:]])
    assert COLUMNS[1 + cells.argmin()] == "height"
    # Of nothing the probability is 1, whatever the importance samples.
    assert scored[0][:4] == ["1", "5", scored[0][2], ""]
    assert abs(totals[0]) < 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.csv", "--out", "out.csv"], "Expected a file. Received: none.csv, which is none"),
        (["survey.csv", "--out", "survey.csv"], "`out`. Expected another file than the one that is read"),
        (["survey.csv", "--out", "out.parquet"], "`out`. Expected a file of the format of survey.csv"),
        (
            ["survey.csv", "--out", "out.csv"],
            "`column 'id'`. Expected numbers, or text of at most 50 levels that repeat",
        ),
        (["survey.csv", "--out", "out.csv", "--ignore", "ID"], "`ignore`. Expected names of ['id', "),
        (["survey.csv", "--out", "out.csv", "--ignore", *COLUMNS], "`ignore`. Expected a column that is left"),
        (
            ["survey.csv", "--out", "out.csv", "--ignore", "id", "--kind", "colour=real"],
            "`column 'colour'`. Expected numbers. Received: text",
        ),
        (
            ["survey.csv", "--out", "out.csv", "--imputations", "-1"],
            "`num_imputations`. Expected an integer of at least 0",
        ),
        (
            ["survey.csv", "--out", "out.csv", "--ignore", "id", "--missingness", "self_masking"],
            "`column 'visits'`. Expected no gaps in a count beside missingness='self_masking'",
        ),
        (
            ["empty.csv", "--out", "out.csv"],
            "`column 'b'`. Expected at least one value. Received: none: all are missing",
        ),
        (["dates.csv", "--out", "out.csv"], "`column 'day'`. Expected numbers or levels; dates as a number"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments, message, tmp_path):
    write(tmp_path / "survey.csv", table())
    write(tmp_path / "empty.csv", [["1", ""], ["2", "?"]], ["a", "b"])
    write(tmp_path / "dates.csv", [["31.12.2020"], ["01.01.2021"]], ["day"])
    files = {path.name for path in tmp_path.iterdir()}
    assert message in error_line("impute", *arguments, cwd=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == files


@pytest.mark.long
def test_rows_are_scored_by_the_proposal_that_is_said(tmp_path):
    write(tmp_path / "survey.csv", table())
    for proposal in ("amortized", "adapted"):
        call(
            "score",
            "survey.csv",
            "--out",
            f"{proposal}.csv",
            "--ignore",
            "id",
            "--proposal",
            proposal,
            *FAST,
            cwd=tmp_path,
        )
    one, other = (read(tmp_path / f"{proposal}.csv")[1:] for proposal in ("amortized", "adapted"))
    assert [row[:2] for row in one] == [row[:2] for row in other]
    assert [row[2] for row in one] != [row[2] for row in other]


def test_cells_are_not_scored_where_gaps_say_something(tmp_path):
    with pytest.raises(ValueError, match=r"`cells`\. Expected False beside missingness='self_masking'"):
        score_file(tmp_path / "none.csv", tmp_path / "out.csv", cells=True, missingness="self_masking")


class Seen(IWAEDensity):
    """A density that knows of each cell its place, and of nothing what is likely."""

    asked: ClassVar[list] = []

    def fit(self, frame):
        return self

    def score_samples(self, frame):
        Seen.asked.append(len(frame))
        return np.zeros(len(frame))

    def score_cells(self, frame):
        return frame.astype(float) * 0.0 - np.arange(frame.shape[1]) * (np.arange(len(frame))[:, np.newaxis] == 0)


@pytest.mark.slow
def test_scores_of_cells_have_names_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "IWAEDensity", Seen)
    names = ["row", "x", "oddest", "column_row", "missing", "log_likelihood"]
    write(tmp_path / "in.csv", [range(n % 3, n % 3 + 6) for n in range(21)], names)
    score_file(tmp_path / "in.csv", tmp_path / "out.csv", cells=True)
    header, first, *_ = read(tmp_path / "out.csv")
    # Of two parts, the first of which is spoiled, that one is scored again.
    Seen.asked, kept = [], scoring._join

    def spoiling(parts, *rest):
        parts[0].write_bytes(b"")
        raise KeyboardInterrupt

    monkeypatch.setattr(scoring, "_join", spoiling)
    with pytest.raises(KeyboardInterrupt):
        score_file(tmp_path / "in.csv", tmp_path / "out.csv", cells=True, chunk_rows=20)
    monkeypatch.setattr(scoring, "_join", kept)
    score_file(tmp_path / "in.csv", tmp_path / "out.csv", cells=True, chunk_rows=20)
    assert Seen.asked == [20, 1, 20]
    free = ["column_column_row", "x", "column_oddest", "column_row", "column_missing", "column_log_likelihood"]
    assert header == ["row", "missing", "log_likelihood", "oddest", *free]
    # By the name that it has in this file, which is read again.
    assert first[3] == "column_log_likelihood"
    assert open_table(tmp_path / "out.csv", ignore=["oddest"]).names == [*header[:3], *free]


class Unusual(Seen):
    """A density of which the cells of the second column have the lowest scores, and larger numbers lower ones."""

    def score_cells(self, frame):
        return frame.astype(float) * [0.0, -1.0, 0.0][: frame.shape[1]]


def test_what_is_usual_is_said_by_the_rows_that_are_learned_from(tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "IWAEDensity", Unusual)
    names = ["x", "low", "few"]
    old = write(tmp_path / "old.csv", [(n % 2, 5, n if n < 3 else "") for n in range(40)], names)
    new = write(tmp_path / "new.csv", [(1, 9, 2), (1, 4, 2), ("", "", 1)], names)
    with pytest.warns(UserWarning, match="old.csv: too few cells say what is usual in 'few', fewer than 20"):
        score_file(new, tmp_path / "out.csv", train=old, cells=True, chunk_rows=1)
    # Lowest of all is `low` in either row, but in the second less so than is usual; of `few` nothing is.
    assert [row[3] for row in read(tmp_path / "out.csv")[1:]] == ["low", "x", ""]
    # A cell is no odder than itself: of a few rows alone nothing is usual.
    with pytest.warns(UserWarning, match="new.csv: too few cells say what is usual in 'x', 'low', 'few'"):
        score_file(new, tmp_path / "out.csv", cells=True)
    assert {row[3] for row in read(tmp_path / "out.csv")[1:]} == {""}
    warnings.simplefilter("error")
    score_file(old, tmp_path / "out.csv", cells=True, ignore=["few"])


@pytest.mark.slow
@pytest.mark.parametrize("joining", [(filling, "_join_verdicts"), (scoring, "_join")])
def test_what_is_written_of_all_rows_is_never_in_memory_together(joining, tmp_path, monkeypatch):
    room, name = joining
    monkeypatch.setattr(filling, "IWAEImputer", Quick)
    monkeypatch.setattr(scoring, "IWAEDensity", Seen)
    Quick.stops_at, peaks, join = 0, [], getattr(room, name)

    def watched(*arguments):
        tracemalloc.start()
        join(*arguments)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    monkeypatch.setattr(room, name, watched)
    write(tmp_path / "in.csv", [(n % 7, n % 11, "") for n in range(6000)] + [(1, 2, 3)], ["a", "b", "c"])
    if room is filling:
        impute_file(tmp_path / "in.csv", tmp_path / "out.csv", chunk_rows=200)
    else:
        score_file(tmp_path / "in.csv", tmp_path / "out.csv", chunk_rows=200, cells=True)
    assert len(read(tmp_path / ("out-rows.csv" if room is filling else "out.csv"))) > 6000
    # Of 31 chunks not more than a few; the rows of all of them are nearly 3 million bytes.
    assert peaks[0] < 1_500_000


@pytest.mark.parametrize("script", ["impute", "score"])
def test_kinds_that_are_none_are_refused_before_anything_is_imported(script, tmp_path):
    process = call(script, "a.csv", "--out", "b.csv", "--kind", "age=number", cwd=tmp_path, status=2)
    assert "expected NAME=KIND with a kind of real, positive, count" in process.stderr


@pytest.mark.parametrize("script", ["impute", "score"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--kind", "a=real", "a=positive"], "argument --kind: expected one kind for a, not real and positive"),
        (["--kind", "a=real", "--kind", "b=count", "a=real"], "argument --kind: expected one kind for a, not real and"),
        (["--seed", "-1"], "argument --seed: expected an integer from 0 to 2147483647, not '-1'"),
        (["--seed", "1.5"], "argument --seed: expected an integer from 0 to 2147483647, not '1.5'"),
        (["--seed", "2147483648"], "argument --seed: expected an integer from 0"),
        (["--seed=--"], "argument --seed: expected "),
        (["--kind=--"], "argument --kind: expected NAME=KIND"),
    ],
)
def test_options_that_contradict_themselves_are_refused(script, options, message, tmp_path):
    process = call(script, "a.csv", "--out", "b.csv", *options, cwd=tmp_path, status=2)
    assert message in process.stderr


def test_an_option_that_is_given_again_adds_to_it(monkeypatch, tmp_path):
    given = {}

    def seen(*files, **options):
        given.update(options)
        raise ValueError("seen")

    monkeypatch.setattr(tables, "impute_file", seen)
    options = [f"--{name}" for name in ("ignore", "missing", "kind")]
    values = [["id", "name"], ["x", "y"], ["a=real", "b=c=ordinal(S=1<M<L)"]]
    twice = [text for name, pair in zip(options, values, strict=True) for value in pair for text in (name, value)]
    assert error_line("impute", "a.csv", "--out", "b.csv", *twice, cwd=tmp_path).endswith("error: seen")
    assert (given["ignore"], given["missing"]) == (["id", "name"], ["x", "y"])
    assert (given["kinds"], given["seed"]) == ({"a": "real", "b=c": "ordinal(S=1<M<L)"}, 0)


def test_a_text_that_begins_with_a_hyphen_is_given_behind_an_equals_sign(monkeypatch, tmp_path):
    given = {}

    def seen(*files, **options):
        given.update(options)
        raise ValueError("seen")

    monkeypatch.setattr(tables, "impute_file", seen)
    options = ["--missing=--", "--missing=-999,0", "--missing", "-", "-1", "--ignore=--"]
    assert error_line("impute", "a.csv", "--out", "b.csv", *options, cwd=tmp_path).endswith("error: seen")
    assert (given["missing"], given["ignore"]) == (["--", "-999,0", "-", "-1"], ["--"])


def test_a_warning_is_a_line_of_its_own(monkeypatch, tmp_path):
    def seen(*files, **options):
        warnings.warn("the first column is taken for names", stacklevel=2)
        raise ValueError("seen")

    monkeypatch.setattr(tables, "score_file", seen)
    process = call("score", "a.csv", cwd=tmp_path, status=2)
    assert process.stderr == "score.py: warning: the first column is taken for names\nscore.py: error: seen\n"


@pytest.mark.parametrize("filled_or_scored", [impute_file, score_file])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"x": "real"}}, r"`columns`\. Expected `kinds` in its place"),
        ({"random_state": 3}, r"`random_state`\. Expected `seed` in its place\. Received: 3"),
        ({"steps": 3}, r"`steps`\. Expected one of the arguments \[.*'max_steps'.*Received: steps=3"),
        ({"latent_dim": None}, r"`latent_dim`\. Expected an integer"),
        ({"missingness": "mnar"}, r"`missingness`\. Expected one of"),
        ({"kinds": "real"}, r"`kinds`\. Expected a dictionary of kinds by name\. Received: 'real'"),
        ({"kinds": ["x"]}, r"`kinds`\. Expected a dictionary"),
        ({"kinds": {"x": "number"}}, r"`kinds\['x'\]`\. Expected one of \('real', "),
        ({"kinds": {"x": tables.Column("n", "real")}}, r"`column 'x'`\. Expected a Column of the same name"),
        (
            {"kinds": {"x": "ordinal(a<)"}},
            r"`kinds\['x'\]`\. Expected levels with < between them, as 'ordinal\(low<mid",
        ),
        ({"kinds": {"z": "real"}}, r"`kinds`\. Expected names of \['x', 'n'\]\. Received: 'z'"),
        ({"kinds": {"n": "real"}, "ignore": ["n"]}, r"`kinds`\. Expected names of \['x'\]\. Received: 'n'"),
        ({"ignore": 3}, r"`ignore`\. Expected several texts"),
        ({"ignore": ["x", "n"]}, r"`ignore`\. Expected a column that is left"),
        ({"missing": None}, r"`missing`\. Expected several texts"),
        ({"source": 3}, r"`source`\. Expected a path\. Received: 3"),
        ({"out": None}, r"`out`\. Expected a path\. Received: None"),
    ],
)
def test_what_a_file_is_read_by_is_refused_by_name(filled_or_scored, options, message, tmp_path):
    source = tmp_path / "in.csv"
    source.write_text("x,n\n1.5,1\n2.5,\n")
    given = {"source": source, "out": tmp_path / "out.csv", **options}
    with pytest.raises(ValueError, match=f"^Invalid value received for {message}"):
        filled_or_scored(**given)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


@pytest.mark.parametrize("filled_or_scored", [impute_file, score_file])
def test_a_file_that_is_none_is_refused_by_the_name_that_it_was_given_by(filled_or_scored, tmp_path):
    source, ending = write(tmp_path / "in.csv", table()), tmp_path / "in.xlsx"
    ending.write_bytes(b"")
    for name, expected in (("none.csv", "a file"), ("in.xlsx", "a name that ends in one of .*save it as CSV")):
        with pytest.raises(ValueError, match=rf"`source`\. Expected {expected}"):
            filled_or_scored(tmp_path / name, tmp_path / "out.csv")
        with pytest.raises(ValueError, match=rf"`train`\. Expected {expected}"):
            score_file(source, tmp_path / "out.csv", train=tmp_path / name)


@pytest.mark.parametrize("filled_or_scored", [impute_file, score_file])
def test_nothing_is_written_in_the_place_of_a_folder_or_below_a_file(filled_or_scored, tmp_path):
    (tmp_path / "out.csv").mkdir()
    (tmp_path / "file").touch()
    for out, why in (("out.csv", "which is a folder"), ("file/a/out.csv", r".*file is no folder")):
        with pytest.raises(ValueError, match=rf"`out`\. Expected the path of a file\. Received: .*{out}, .*{why}"):
            filled_or_scored(tmp_path / "none.csv", tmp_path / out)
    (tmp_path / "x-01.csv").mkdir()
    with pytest.raises(ValueError, match=r"Received: .*x-01.csv, which is a folder"):
        impute_file(tmp_path / "none.csv", tmp_path / "x.csv", num_imputations=1)
    (tmp_path / "page.html").mkdir()
    with pytest.raises(ValueError, match=r"`report`\. Expected the path of a file\. Received: .*page.html, which is"):
        imputation.check_page(tmp_path / "page.html")


@pytest.mark.parametrize("filled_or_scored", [impute_file, score_file])
def test_a_seed_that_is_none_is_refused(filled_or_scored, tmp_path):
    with pytest.raises(ValueError, match=r"`seed`\. Expected an integer from 0 to 2147483647\. Received: -1"):
        filled_or_scored(tmp_path / "none.csv", tmp_path / "out.csv", seed=-1)
