"""What a file may mean otherwise than it is read, in a line each for whoever reads it."""

import itertools
import warnings
from collections.abc import Iterator

from keras_iwae.tables.codes import code_text
from keras_iwae.tables.csv_files import CsvTable
from keras_iwae.tables.files import TableFile
from keras_iwae.tables.parquet_files import ParquetTable


def warn_of_doubts(*tables: TableFile) -> None:
    """Say how files are read where nobody said that they should be, and could have meant something else.

    What is taken for names, of rows or columns, or may be such; numbers such as -999 that may stand for what is not
    known; levels that are one but for large letters; and rows of nothing at the end.
    """
    for table in tables:
        for doubt in itertools.chain(_names(table), _cells(table) if isinstance(table, CsvTable) else _codes(table)):
            warnings.warn(f"{table.path}: {doubt}", stacklevel=3)


def _names(table: TableFile) -> Iterator[str]:
    if isinstance(table, CsvTable) and table.numbers_as_names:
        yield (
            f"the first line, with {', '.join(table.numbers_as_names[:3])}, is taken for names of columns; if these "
            "are cells, add a line of names above them"
        )
    for name in table.carried:
        called = f"the column {name!r}" if name else "the first column, which has no name,"
        yield (
            f"{called} is taken for the names of the rows: it is carried along, and neither learned from nor filled in"
        )


def _codes(table: ParquetTable) -> Iterator[str]:
    for name in table.names:
        if (code := table.code(name)) is not None:
            yield f"{code_text(name, *code)}, write nulls there"


def _cells(table: CsvTable) -> Iterator[str]:
    for name in table.names:
        if (code := table.code(name)) is not None:
            yield f"{code_text(name, *code)}, say so: {code[0]:g} among `missing`, or --missing={code[0]:g} of a script"
        if table.counts_rows(name):
            yield f"the column {name!r} counts the rows, and is learned from; leave it out if it is a name of theirs"
        alike: dict[str, str] = {}
        for level in table.levels(name) or () if table.is_text(name) and not table.is_said(name) else ():
            other = alike.setdefault(level.casefold(), level)
            if other != level:
                yield (
                    f"the column {name!r} has {other!r} and {level!r}, which are two levels; write them alike if they "
                    "are one"
                )
                break
    if table.blank_rows:
        yield (
            f"nothing is in the last {table.blank_rows} rows, which are rows like others; take them out if they are "
            "none"
        )
