"""log p(x) of each row of a file, written as a CSV file: chunk by chunk, whole or not at all, and resumable."""

import os
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from keras_iwae.foundation import MARK, check_boolean, check_integer, check_path, check_seed, check_target, replacing
from keras_iwae.tables.density import IWAEDensity
from keras_iwae.tables.dialect import Dialect
from keras_iwae.tables.doubts import warn_of_doubts
from keras_iwae.tables.files import (
    CSV,
    TableFile,
    check_cells,
    columns_of,
    dialect_of,
    opened_alone,
    sampled,
)
from keras_iwae.tables.kinds import Kind, check_kinds
from keras_iwae.tables.options import estimator_of
from keras_iwae.tables.pairs import open_pair
from keras_iwae.tables.schema import Column, kinds_text
from keras_iwae.tables.work import Work, digest

# The columns of the file that is written, but for one for each column; the last only with these.
_COLUMNS = ("row", "missing", "log_likelihood", "oddest")
# Rows of another file that says what is usual, and the fewest cells of a column that say it.
_USUAL_ROWS, _FEWEST = 1_000, 20


@dataclass(frozen=True)
class ScoredFile:
    """What `score_file` wrote.

    Attributes:
        source: the file with the rows.
        scores: the CSV file with a score for each.
        columns: what the columns were taken for, by name.
    """

    source: Path
    scores: Path
    columns: dict[str, Column]

    @property
    def kinds(self) -> str:
        """What the columns were taken for, in one line."""
        return kinds_text(self.columns.values())


def score_file(
    source: str | os.PathLike,
    out: str | os.PathLike,
    *,
    train: str | os.PathLike | None = None,
    cells: bool = False,
    kinds: Mapping[str, Kind] | None = None,
    ignore: Collection[str] = (),
    missing: Collection[str] = (),
    fit_rows: int = 100_000,
    chunk_rows: int = 2_000,
    seed: int = 0,
    verbose: bool = False,
    **options: Any,
) -> ScoredFile:
    """Score the rows of a CSV or Parquet file by their log-likelihood: the lowest are the odd ones.

    Of a row with gaps it is that of what was observed, which is another quantity for another pattern of gaps. Started
    again with the same file and settings after it was stopped, it goes on with the chunk that it was at.

    Args:
        source: the file.
        out: the CSV file to write, a row for each row, with what was missing and log p(x) in nats.
        train: the file that the model learns from, with the same columns; `None` is `source`.
        cells: whether to write log p(x_j | the other cells) of each cell too, and the column of the oddest, which is
            furthest below the median of its column: a density depends on the unit, and its differences do not. The
            median is of what the model learns from, of 1,000 rows of `train` at most, or, of a column with fewer than
            20 cells there, of the rows of `source`; one with fewer in both has none, and is never the oddest. As much
            work for each cell as for a row. A column that is called row, missing, log_likelihood or oddest is
            column_row there, and so on.
        kinds: what some columns are, by name: "real", "positive", "count", "binary", "categorical", "ordinal",
            "ordinal(low<mid<high)" or a `Column`. Levels that are said are those of a CSV file to the letter.
        ignore: names of columns that are not looked at.
        missing: texts that stand for a cell that is not known, beside the usual ones; numbers in columns of numbers.
        fit_rows: how many rows, drawn at random, the model learns from; all where there are no more.
        chunk_rows: rows that are scored at a time.
        seed: the same seed gives the same scores, but for rounding in training; see docs/tables.md.
        verbose: whether to show progress.
        **options: passed to `IWAEDensity`, but for `columns` and `random_state`, which are `kinds` and `seed` here.

    Returns:
        `ScoredFile`.

    Raises:
        ValueError: which names the file, line, column or argument that is at fault.

    Example:
        >>> table.to_csv("transactions.csv", index=False)
        >>> score_file("transactions.csv", "scores.csv", cells=True)
    """
    source, out = check_path("source", source), check_path("out", out)
    known = check_path("train", train) if train is not None else source
    if out.suffix.lower() not in CSV:
        raise ValueError(f"{MARK}out`. Expected a CSV file, whose name ends in one of {CSV}. Received: {out}")
    check_target("out", out)
    for path in (source, known):
        if out.exists() and path.exists() and out.samefile(path):
            raise ValueError(f"{MARK}out`. Expected another file than those that are read. Received: {out}")
    if check_boolean("cells", cells) and options.get("missingness") is not None:
        # Said here, and not after the model was learned.
        expected = f"False beside missingness={options['missingness']!r}: a cell left out would count as one that went"
        raise ValueError(f"{MARK}cells`. Expected {expected} missing. Received: True")
    check_integer("fit_rows", fit_rows)
    check_integer("chunk_rows", chunk_rows)
    check_seed("seed", seed)
    check_boolean("verbose", verbose)
    kinds = check_kinds(kinds)
    unfitted = estimator_of(IWAEDensity, seed, verbose, options)
    if train is None:
        table = learned = opened_alone(source, missing, ignore, kinds, "source")
    else:
        table, learned = open_pair(source, known, missing, ignore, kinds)
    warn_of_doubts(*dict.fromkeys((table, learned)))
    settings = [cells, kinds, sorted(ignore), sorted(missing), fit_rows, chunk_rows, seed, options]
    work = Work(out, {"source": digest(source), "train": digest(known), "settings": settings})

    def fit() -> IWAEDensity:
        sample = sampled(learned, fit_rows, seed)
        columns = columns_of(learned, sample, kinds)
        if table is not learned:
            check_cells(columns, table)
        return unfitted.set_params(columns=columns).fit(sample)

    density, parts = work.kept("model.pickle", fit), []
    usual = None
    if cells and table is not learned:

        def medians() -> np.ndarray:
            scores = density.score_cells(sampled(learned, _USUAL_ROWS, seed)).to_numpy()
            return np.array([_median(column) for column in scores.T])

        usual = work.kept("usual.pickle", medians)
    with tqdm(total=table.num_rows, disable=not verbose, unit=" rows", desc="scoring", leave=False) as bar:
        for chunk, (_, frame) in enumerate(table.chunks(chunk_rows)):
            path = work.folder / f"{chunk:07d}.npz"
            if not work.is_sealed(path.name):
                gaps = frame.isna().to_numpy()
                found = {"missing": gaps.sum(axis=1), "log_likelihood": density.score_samples(frame)}
                if cells:
                    # A column by itself, for the medians need one after the other.
                    found |= dict(zip(_places(table), density.score_cells(frame).to_numpy().T, strict=True))
                work.part(path.name, _write, found)
                work.seal(path.name, [path.name])
            parts.append(path)
            bar.update(len(frame))
    if cells:
        if usual is None or np.isnan(usual).any():
            own = _medians(parts, table)
            usual = own if usual is None else np.where(np.isnan(usual), own, usual)
        if few := [name for name, median in zip(table.names, usual, strict=True) if np.isnan(median)]:
            warnings.warn(
                f"{known}: too few cells say what is usual in {', '.join(map(repr, few))}, fewer than {_FEWEST} of "
                "those that were looked at; no cell there is called the oddest",
                stacklevel=2,
            )
    _join(parts, out, table, dialect_of(table), usual)
    work.done()
    return ScoredFile(source, out, dict(density.columns))


def _write(path: Path, found: Mapping[str, np.ndarray]) -> None:
    with open(path, "wb") as file:
        np.savez(file, **found)  # type: ignore[arg-type]


def _places(table: TableFile) -> list[str]:
    return [f"cells-{place}" for place in range(len(table.names))]


def _medians(parts: list[Path], table: TableFile) -> np.ndarray:
    """Medians of the scores of the cells of each column, a column at a time."""
    medians = []
    for place in _places(table):
        scores = []
        for part in parts:
            with np.load(part) as found:
                scores.append(found[place])
        medians.append(_median(np.concatenate(scores)))
    return np.array(medians)


def _median(scores: np.ndarray) -> float:
    """Of those that are not NaN; NaN where they are few, of which one may be its own median."""
    known = scores[~np.isnan(scores)]
    return float(np.median(known)) if len(known) >= _FEWEST else np.nan


def _free_names(names: list[str]) -> list[str]:
    """Names for the scores of the cells of each column, which are none that the file has already."""
    found: list[str] = []
    for name in names:
        free = name
        while free in _COLUMNS or (free != name and free in names):
            free = f"column_{free}"
        found.append(free)
    return found


def _join(parts: list[Path], out: Path, table: TableFile, dialect: Dialect, usual: np.ndarray | None) -> None:
    """One CSV file of the scores of all chunks, a chunk at a time; of cells too where it is said what is usual."""
    places, names = _places(table) if usual is not None else [], _free_names(table.names)

    def rows() -> Iterator[Sequence[str]]:
        yield [*_COLUMNS, *names] if usual is not None else _COLUMNS[:-1]
        begin = 1
        for part in parts:
            with np.load(part) as found:
                missing, totals = found["missing"], found["log_likelihood"]
                each = np.array([found[place] for place in places]).T
            for index in range(len(totals)):
                row = [str(begin + index), str(missing[index]), dialect.text(totals[index], 4)]
                if usual is not None:
                    own = each[index]
                    above = own - usual
                    oddest = "" if np.isnan(above).all() else names[int(np.nanargmin(above))]
                    row += [oddest, *("" if np.isnan(value) else dialect.text(value, 4) for value in own)]
                yield row
            begin += len(totals)

    with replacing(out) as temporary:
        dialect.write(temporary, rows(), start=True)
