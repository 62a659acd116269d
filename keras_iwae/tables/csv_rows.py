"""Rows of a CSV file, read strictly: a quote that would change a cell or swallow lines is refused, by its lines."""

import csv
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from keras_iwae.foundation import MARK
from keras_iwae.tables.dialect import MISSING, Dialect
from keras_iwae.tables.separators import strict_reader
from keras_iwae.tables.words import LONE

_BREAK = re.compile(r"\r\n|\r|\n")
_NUMBER = re.compile(r"[+-]?[.,]?\d[\d.,]*([eE][+-]?\d+)?")
# What csv says of a quote, in other words.
_EXPECTED = "expected after"
_QUOTES = {"unexpected end of data": "a quote that is not closed", _EXPECTED: "text behind a closing quote"}


def strict_rows(path: Path, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """Rows with the lines that they end in; a blank line is none, unless it is the empty cell of an only column.

    Args:
        path: the file.
        dialect: how it is written.

    Raises:
        ValueError: which says in which lines a quote is wrong, or a cell in quotes reads like lines of the table.
    """
    width, line = 0, dialect.skipped
    names: list[str] = []
    with open(path, encoding=dialect.encoding, newline="") as file:
        for _ in range(dialect.skipped):
            next(file)
        reader = strict_reader(file, dialect.separator)
        try:
            for row in reader:
                first, line = line + 1, reader.line_num + dialect.skipped
                place = _like_lines(row, dialect.separator) if line > first else None
                if place is not None:
                    name = repr(names[place]) if place < len(names) else "a column"
                    raise ValueError(
                        f"{MARK}{path}`. Expected CSV. Received: a cell in quotes that reads like whole lines of the "
                        f"table, in lines {first} to {line}; close its quote where it ends, or, if all of it is one "
                        f"cell of {name}, write that without line breaks, as text.replace('\\n', ' ') makes it"
                    )
                if row or width == 1:
                    yield line, row or [""]
                    width, names = width or len(row), names or row
        except (csv.Error, UnicodeDecodeError) as error:
            first, last = line + 1, reader.line_num + dialect.skipped
            where = f"line {last}" if last <= first else f"lines {first} to {last}"
            said = next((words for start, words in _QUOTES.items() if start in str(error)), str(error))
            blank = re.compile(rf'"[ \t]+({re.escape(dialect.separator)}|[\r\n]|$)')
            if _EXPECTED in str(error) and blank.search(_line_of(path, dialect, last)):
                said = "a blank behind a closing quote, which is to be taken out,"
            twice = ', where a quote within quotes is written twice, as "5"" pipe"' if said != str(error) else ""
            raise ValueError(f"{MARK}{path}`. Expected CSV{twice}. Received: {said} in {where}") from None


def _line_of(path: Path, dialect: Dialect, number: int) -> str:
    with open(path, encoding=dialect.encoding, newline="") as file:
        return next(itertools.islice(file, number - 1, None), "")


def _like_lines(row: list[str], separator: str) -> int | None:
    """The place of a cell with line breaks that may be lines of the table, between quotes that were opened only.

    Each would have as many cells as the row, in every column numbers alone or none, and a space before all or none.
    """
    for place, cell in enumerate(row):
        lines = [line.split(separator) for line in _BREAK.split(cell)]
        if len(lines) == 1 or len(row) == 1:
            continue
        lines[0], lines[-1] = row[:place] + lines[0], lines[-1] + row[place + 1 :]
        if all(len(line) == len(row) for line in lines) and all(map(_alike, zip(*lines, strict=True))):
            return place
    return None


def _alike(cells: tuple[str, ...]) -> bool:
    known = [cell for cell in cells if cell.strip() not in (*MISSING, *LONE)]
    return len({(bool(_NUMBER.fullmatch(cell.strip())), cell[:1].isspace()) for cell in known}) <= 1
