"""A file of a table with its gaps filled in, as another file: chunk by chunk, whole or not at all, and resumable."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from keras_iwae.foundation import check_boolean, check_integer, check_path, check_seed, replacing
from keras_iwae.tables.dialect import Dialect
from keras_iwae.tables.doubts import warn_of_doubts
from keras_iwae.tables.files import columns_of, dialect_of, opened_alone, sampled
from keras_iwae.tables.imputer import IWAEImputer
from keras_iwae.tables.kinds import Kind, check_kinds
from keras_iwae.tables.options import estimator_of
from keras_iwae.tables.outputs import VERDICTS, check_outputs, draws_file, rows_file
from keras_iwae.tables.schema import Column, kinds_text
from keras_iwae.tables.trust import RowTrust
from keras_iwae.tables.work import Work, digest


@dataclass(frozen=True)
class FilledFiles:
    """What `impute_file` wrote.

    Attributes:
        source: the file with gaps.
        filled: the file with its gaps filled in by conditional means and most probable levels.
        imputations: files with draws in place of these.
        rows: a CSV file with a verdict on each row in which something was missing.
        columns: what the columns were taken for, by name.
        history: bounds by steps of training, a dictionary each.
        num_rows: how many rows there are.
        settings: what decided the result.
    """

    source: Path
    filled: Path
    imputations: list[Path]
    rows: Path
    columns: dict[str, Column]
    history: list[dict[str, float]]
    num_rows: int
    settings: dict[str, Any]

    @property
    def kinds(self) -> str:
        """What the columns were taken for, in one line."""
        return kinds_text(self.columns.values())


def impute_file(
    source: str | os.PathLike,
    out: str | os.PathLike,
    *,
    num_imputations: int = 0,
    kinds: Mapping[str, Kind] | None = None,
    ignore: Collection[str] = (),
    missing: Collection[str] = (),
    fit_rows: int = 100_000,
    chunk_rows: int = 2_000,
    seed: int = 0,
    verbose: bool = False,
    **options: Any,
) -> FilledFiles:
    """Fill in the gaps of a CSV or Parquet file.

    The file is read in chunks, and never whole. A cell that was there keeps its text, to the last letter; of a CSV file
    quotes are written where a cell needs them, and names of columns without spaces around them. Started again with the
    same file and settings after it was stopped, it goes on with the chunk that it was at.

    Args:
        source: the file with gaps.
        out: the file to write, of the same format.
        num_imputations: m, how many files with draws are written beside it, `OUT-01.csv`, ...; 0 for none.
        kinds: what some columns are, by name: "real", "positive", "count", "binary", "categorical", "ordinal",
            "ordinal(low<mid<high)" or a `Column`. Levels that are said are those of a CSV file to the letter.
        ignore: names of columns that are carried along and not looked at.
        missing: texts that stand for a cell that is not known, beside the usual ones; numbers in columns of numbers.
        fit_rows: how many rows, drawn at random, the model learns from; all where there are no more.
        chunk_rows: rows that are filled in at a time; other draws with another number.
        seed: the same seed gives the same files, but for rounding in training; see docs/tables.md.
        verbose: whether to show progress.
        **options: passed to `IWAEImputer`, but for `columns` and `random_state`, which are `kinds` and `seed` here.

    Returns:
        `FilledFiles`.

    Raises:
        ValueError: which names the file, line, column or argument that is at fault.

    Example:
        >>> table.to_csv("survey.csv", index=False)
        >>> impute_file("survey.csv", "survey-filled.csv", num_imputations=20, ignore=["visits"])
    """
    source, out = check_path("source", source), check_path("out", out)
    num_imputations = check_integer("num_imputations", num_imputations, at_least=0)
    check_outputs(source, out, num_imputations)
    check_integer("fit_rows", fit_rows)
    check_integer("chunk_rows", chunk_rows)
    check_seed("seed", seed)
    check_boolean("verbose", verbose)
    kinds = check_kinds(kinds)
    unfitted = estimator_of(IWAEImputer, seed, verbose, options)
    table = opened_alone(source, missing, ignore, kinds, "source")
    warn_of_doubts(table)
    settings = {
        "num_imputations": num_imputations,
        "kinds": kinds,
        "ignore": sorted(ignore),
        "missing": sorted(missing),
        "fit_rows": fit_rows,
        "chunk_rows": chunk_rows,
        "seed": seed,
        **options,
    }
    work = Work(out, {"source": digest(source), **settings})

    def fit() -> IWAEImputer:
        sample = sampled(table, fit_rows, seed)
        return unfitted.set_params(columns=columns_of(table, sample, kinds)).fit(sample)

    imputer = work.kept("model.pickle", fit)
    numbers = range(num_imputations + 1)
    parts: list[list[Path]] = [[] for _ in numbers]
    verdicts: list[Path] = []
    begin = 0
    with tqdm(total=table.num_rows, disable=not verbose, unit=" rows", desc="filling in", leave=False) as bar:
        for chunk, (cells, frame) in enumerate(table.chunks(chunk_rows)):
            names = [f"{number:03d}-{chunk:07d}{out.suffix}" for number in numbers]
            rows = work.folder / f"rows-{chunk:07d}.npz"
            if not work.is_sealed(rows.name):
                found = imputer.impute(frame, num_imputations, begin)
                for name, filled in zip(names, [found.filled, *found.tables], strict=True):
                    work.part(name, table.write_part, cells, filled)
                work.part(rows.name, _write_verdicts, found.rows, begin)
                work.seal(rows.name, [*names, rows.name])
            for place, name in enumerate(names):
                parts[place].append(work.folder / name)
            verdicts.append(rows)
            begin += len(frame)
            bar.update(len(frame))
    imputations = [draws_file(out, number) for number in numbers[1:]]
    # By which draws are known for such: those that were written before a stop would be anyone's without it.
    _join_verdicts(verdicts, rows_file(out), dialect_of(table))
    for files, path in zip(parts, [out, *imputations], strict=True):
        table.join(files, path)
    work.done()
    columns = {str(column.name): column for column in imputer.coding_.schema}
    return FilledFiles(source, out, imputations, rows_file(out), columns, imputer.history_, table.num_rows, settings)


def _write_verdicts(path: Path, trust: RowTrust, begin: int) -> None:
    """Verdicts on the rows of a chunk, `begin` of the file before it."""
    gaps = np.flatnonzero(trust.missing)
    columns = {name: getattr(trust, name)[gaps] for name in VERDICTS[1:]}
    with open(path, "wb") as file:
        np.savez(file, row=begin + 1 + gaps, **{**columns, "verdict": columns["verdict"].astype(str)})


def _join_verdicts(parts: Collection[Path], path: Path, dialect: Dialect) -> None:
    """One CSV file of those of all chunks, a chunk at a time."""

    def rows() -> Iterator[Sequence[str]]:
        yield VERDICTS
        for part in parts:
            with np.load(part) as found:
                row, missing, *numbers = [found[name].tolist() for name in VERDICTS]
            verdicts = numbers.pop()
            short = [["" if np.isnan(value) else dialect.text(value, -1) for value in column] for column in numbers]
            yield from zip(map(str, row), map(str, missing), *short, verdicts, strict=True)

    with replacing(path) as temporary:
        dialect.write(temporary, rows(), start=True)
