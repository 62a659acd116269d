"""Files of tables, by the ends of their names; and what their columns are, of all rows and not of a sample alone."""

import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from keras_iwae.foundation import MARK, check_path
from keras_iwae.tables.csv_files import CsvTable
from keras_iwae.tables.dialect import Dialect
from keras_iwae.tables.dtypes import LARGEST_WHOLE
from keras_iwae.tables.inference import COUNTS, MOST_COUNTED, check_values
from keras_iwae.tables.kinds import Kind, check_kinds
from keras_iwae.tables.parquet_files import ParquetTable
from keras_iwae.tables.schema import LEVELLED, Column, Schema
from keras_iwae.tables.values import refusal, shown

CSV, PARQUET = (".csv", ".tsv", ".txt"), (".parquet", ".pq")
TableFile = CsvTable | ParquetTable
# Rows that are read at once where nothing else is done with them.
_READ = 10_000
_MOST_GRADES = 10


def open_table(
    path: str | os.PathLike,
    missing: Collection[str] = (),
    ignore: Collection[str] = (),
    kinds: Mapping[str, Kind] | None = None,
) -> TableFile:
    """A file of a table, by the end of its name; it is read through once.

    Args:
        path: a CSV file with the names of its columns in the first line, or a Parquet file.
        missing: texts in a CSV file that stand for a cell that is not known, beside nothing, NA, NaN, ? and others;
            in a column of numbers they count by value, so that -999 is -999.0 too.
        ignore: names of columns that are carried along and not looked at.
        kinds: what some columns are, by name; see `check_kind`. Those of numbers are numbers even where a CSV file has
            007, and levels that are said are texts there to the letter; pandas' index is a column like others.

    Raises:
        ValueError: which names the file, the line or the column that cannot be read.
    """
    return opened_alone(path, missing, ignore, kinds, "path")


def opened_alone(
    path: str | os.PathLike,
    missing: Collection[str],
    ignore: Collection[str],
    kinds: Mapping[str, Kind] | None,
    argument: str,
) -> TableFile:
    """As `open_table`, of a file that the caller knows as `argument`."""
    table = opened(path, missing, ignore, kinds, argument)
    check_seen(missing, table)
    if isinstance(table, CsvTable):
        for name in table.names:
            table.check(name)
    return table


def open_filled(path: Path, ignore: Collection[str], columns: Mapping[str, Column]) -> TableFile:
    """A file that was filled in here: what its lines and cells may be was asked of the one with gaps, and not again.

    Args:
        path: the file.
        ignore: as for `open_table`.
        columns: what the columns are, by name.
    """
    return ParquetTable(path, ignore, columns) if is_parquet(path) else CsvTable(path, (), ignore, columns)


def opened(
    path: str | os.PathLike,
    missing: Collection[str],
    ignore: Collection[str],
    kinds: Mapping[str, Kind] | None,
    argument: str,
) -> TableFile:
    """As `open_table`, of a file in which not every text for what is missing need be, nor each column be looked at."""
    for name, texts in (("missing", missing), ("ignore", ignore)):
        # The letters of a text would be texts too.
        several = isinstance(texts, Collection) and not isinstance(texts, str)
        if not several or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{MARK}{name}`. Expected several texts, as ['-999']. Received: {texts!r}")
    kinds = check_kinds(kinds)
    path = check_path(argument, path)
    if not path.is_file():
        raise ValueError(f"{MARK}{argument}`. Expected a file. Received: {path}, which is none")
    parquet = is_parquet(path, argument)
    if missing and parquet:
        raise ValueError(f"{MARK}missing`. Expected none for a Parquet file, which has nulls. Received: {missing}")
    table = ParquetTable(path, ignore, kinds) if parquet else CsvTable(path, missing, ignore, kinds)
    if isinstance(table, CsvTable):
        table.check_lines()
    unknown = [name for name in kinds if name not in table.names]
    if unknown:
        raise ValueError(f"{MARK}kinds`. Expected names of {table.names}. Received: {unknown[0]!r}")
    if not table.names:
        raise ValueError(f"{MARK}ignore`. Expected a column that is left. Received: {[*ignore, *table.carried]}")
    return table


def check_seen(missing: Collection[str], *tables: TableFile) -> None:
    """Refuse texts for what is missing that no cell of these tables is, as Unknown where there is unknown.

    Raises:
        ValueError: which names the first of them.
    """
    unseen = [text for text in missing if all(text in t.unseen for t in tables if isinstance(t, CsvTable))]
    if unseen:
        paths = " or ".join(str(path) for path in dict.fromkeys(table.path for table in tables))
        letter = "to the letter, or by value in a column of numbers"
        expected = f"texts that are a cell of {paths}, {letter}, of those that are looked at"
        raise ValueError(f"{MARK}missing`. Expected {expected}. Received: {unseen[0]!r}, which no cell is")


def is_parquet(path: Path, argument: str = "path") -> bool:
    """Whether a file is of the one kind, and not of the other; `argument` is what the caller knows it by.

    Raises:
        ValueError: if it is of neither.
    """
    suffix = path.suffix.lower()
    if suffix not in CSV + PARQUET:
        remedy = "; save it as CSV" if suffix in (".xls", ".xlsx", ".ods") else ""
        raise ValueError(
            f"{MARK}{argument}`. Expected a name that ends in one of {CSV + PARQUET}{remedy}. Received: {path}"
        )
    return suffix in PARQUET


def dialect_of(table: TableFile) -> Dialect:
    """How CSV files that go with a table are written: as it is, if it is one, for the same program to open."""
    return table.dialect if isinstance(table, CsvTable) else Dialect("utf-8", ",")


def sampled(table: TableFile, count: int, seed: int) -> pd.DataFrame:
    """`count` rows of a table, or all where there are no more, each as likely as any other, in their order."""
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(table.num_rows, min(count, table.num_rows), replace=False))
    parts, begin = [], 0
    for _, frame in table.chunks(_READ):
        ours = chosen[(chosen >= begin) & (chosen < begin + len(frame))] - begin
        parts.append(frame.iloc[ours])
        begin += len(frame)
    return pd.concat(parts, ignore_index=True)


def columns_of(table: TableFile, sample: pd.DataFrame, given: Mapping[str, Kind]) -> dict[str, Column]:
    """What the columns are: of a kind by a sample, and with the levels of all rows.

    Args:
        table: the file.
        sample: some of its rows.
        given: what is said of some columns, by name.

    Raises:
        ValueError: which names the column, if one is none that can be learned from.
    """
    for name in table.names:
        if sample[name].isna().all() and table.facts[name].count:
            expected = "a value among the rows that are learned from; raise `fit_rows`, or leave the column out"
            received = f"none in {len(sample)} of {table.num_rows} rows, and {table.facts[name].count} in all"
            raise refusal(name, expected, received)
    given = check_kinds(given)
    found = Schema.infer(sample, {name: _given(name, kind, table) for name, kind in given.items()})
    return {name: _of_all(column, table, name in given) for name, column in zip(table.names, found, strict=True)}


def check_cells(columns: Mapping[str, Column], table: TableFile) -> None:
    """Refuse cells that columns cannot have, before a model of these is learned, and not in a chunk after it.

    Raises:
        ValueError: which names the column.
    """
    for name, column in columns.items():
        facts = table.facts[name]
        if column.categories is not None:
            _check_levels(column, table)
        elif facts.low <= facts.high:
            check_values(pd.Series([facts.low, facts.high]), column)
            if column.kind == "count" and not facts.whole:
                raise refusal(name, COUNTS, f"fractions in {table.path}")


def _check_levels(column: Column, table: TableFile) -> None:
    name, levels = str(column.name), table.levels(str(column.name))
    if levels is None:
        expected = f"one of the levels {shown(column.categories or ())}"
        raise refusal(name, expected, f"more than {table.facts[name].most:,} different cells in {table.path}")
    _check_exact(name, table)
    check_values(pd.Series(levels, dtype=object), column)


def _given(name: str, kind: Kind, table: TableFile) -> Kind:
    """A kind that is given, with the levels of all rows where it has any."""
    facts, levels = table.facts[name], table.levels(name)
    if isinstance(kind, Column):
        if kind.categories is not None:
            _check_levels(kind, table)
        return kind
    if kind in LEVELLED:
        _check_exact(name, table)
    if kind == "binary" and facts.count and (levels is None or len(levels) != 2):
        received = "many in all rows" if levels is None else f"{len(levels)} in all rows: {shown(levels)}"
        raise refusal(name, "two levels", received)
    if kind in LEVELLED and levels is None:
        raise refusal(name, f"at most {facts.most:,} levels; leave free text and identifiers out", "more of them")
    ordered = kind == "ordinal" and table.is_text(name)
    return kind if kind not in LEVELLED or not levels or ordered else Column(name, kind, tuple(levels))


def _check_exact(name: str, table: TableFile) -> None:
    """Refuse numbers of a CSV file as levels, where float64 may have made others of them."""
    if _are_too_large(name, table):
        facts = table.facts[name]
        remedy = "as texts, to the letter, such are levels of the kind 'categorical', or of 'ordinal(low<mid<high)'"
        received = f"numbers up to {max(facts.low, facts.high, key=abs):g} in {table.path}"
        raise refusal(name, f"levels that float64 tells apart; {remedy}", received)


def _are_too_large(name: str, table: TableFile) -> bool:
    """Whether whole numbers of a CSV file are so large that those beside them are the same float64."""
    facts = table.facts[name]
    largest = max(-facts.low, facts.high)
    return isinstance(table, CsvTable) and facts.numeric and largest >= LARGEST_WHOLE


def _of_all(column: Column, table: TableFile, given: bool) -> Column:
    name = str(column.name)
    facts = table.facts[name]
    if column.categories is None:
        fits = column.kind == "real" or (
            facts.low > 0.0
            if column.kind == "positive"
            else facts.low >= 0.0 and facts.whole and facts.high <= MOST_COUNTED
        )
        if given and not fits:
            check_cells({name: column}, table)
        return column if fits else replace(column, kind="real")
    levels = table.levels(name)
    known = levels is not None and set(levels) <= set(column.categories)
    if known or "category" in (column.dtype or ""):
        return column
    if facts.numeric and (levels is None or len(levels) > _MOST_GRADES or _are_too_large(name, table)):
        return replace(column, kind="real", categories=None)
    if levels is None:
        expected = f"text of at most {facts.most} levels; leave free text and identifiers out, or say that it is "
        raise refusal(name, f"{expected}'categorical'", f"more in all {table.num_rows:,} rows")
    return replace(column, kind="ordinal" if facts.numeric else "categorical", categories=tuple(levels))
