"""The files that a filled-in table consists of, and where they may not be written."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from keras_iwae.foundation import MARK, check_target
from keras_iwae.tables.csv_rows import strict_rows
from keras_iwae.tables.dialect import Dialect
from keras_iwae.tables.files import is_parquet
from keras_iwae.tables.parquet_files import names_in

# The columns of the file with a verdict on each row.
VERDICTS = ("row", "missing", "effective_sample_size", "pareto_k", "verdict")
_LOOKED_AT = 200
# Draws may go on behind one that somebody removed, up to here: what is larger may be a year.
_MOST_APART = 999


def draws_file(out: Path, number: int) -> Path:
    """The file with draws of that number, from 1 on, that goes with `out`."""
    return out.with_name(f"{out.stem}-{number:02d}{out.suffix}")


def rows_file(out: Path) -> Path:
    """The file with a verdict on each row that goes with `out`."""
    return out.with_name(f"{out.stem}-rows.csv")


def check_outputs(source: Path, out: Path, num_imputations: int) -> None:
    """Refuse to write over what is read or a folder, in another format, or beside draws of an earlier run that stay.

    Raises:
        ValueError: if it is so.
    """
    if is_parquet(out, "out") != is_parquet(source, "source"):
        raise ValueError(f"{MARK}out`. Expected a file of the format of {source.name}. Received: {out}")
    draws = [draws_file(out, number) for number in range(1, num_imputations + 1)]
    for path in (out, rows_file(out), *draws):
        check_target("out", path)
        if _same(path, source):
            written = f", to which {path.name} belongs" if path != out else ""
            raise ValueError(f"{MARK}out`. Expected another file than the one that is read. Received: {out}{written}")
    if stale := _stale(source, out, num_imputations):
        files = stale[0].name if len(stale) == 1 else f"{stale[0].name} to {stale[-1].name}"
        raise ValueError(
            f"{MARK}out`. Expected a name without draws of an earlier run that this one, with num_imputations="
            f"{num_imputations}, would leave there; remove them, or write to another file. Received: {out}, beside "
            f"which there are {files}"
        )


def _stale(source: Path, out: Path, num_imputations: int) -> list[Path]:
    """Draws of an earlier run with more of them: files of their names and columns, where one with its verdicts is."""
    rows = rows_file(out)
    if not rows.is_file():
        return []
    with open(rows, "rb") as file:
        # Whatever its encoding.
        header = file.read(_LOOKED_AT).replace(b"\0", b"")
    if not all(name.encode() in header for name in VERDICTS):
        return []
    found = []
    for number in itertools.count(num_imputations + 1):
        path = draws_file(out, number)
        if path.is_file() and not _same(path, source):
            found.append(path)
        elif number >= _MOST_APART:
            break
    if not found:
        return []
    ours = _names(out if out.is_file() else source)
    return [path for path in found if _names(path) == ours]


def _names(path: Path) -> Sequence | None:
    """The names of a file's columns, however it has them there: draws may have been saved by a spreadsheet since."""
    if is_parquet(path):
        return names_in(path)
    try:
        return [name.strip() for name in next(strict_rows(path, Dialect.of(path)))[1]]
    except ValueError:
        return None


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)
