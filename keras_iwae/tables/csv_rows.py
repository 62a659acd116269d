"""Rows of a CSV file, read strictly: a quote that would change a cell or swallow lines is refused, by its lines."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from keras_iwae.foundation import MARK
from keras_iwae.tables.dialect import MISSING, Dialect, strict_reader
from keras_iwae.tables.words import LONE

_BREAK = re.compile(r"\r\n|\r|\n")
_NUMBER = re.compile(r"[+-]?[.,]?\d[\d.,]*([eE][+-]?\d+)?")
# What csv says of a quote, in other words.
_QUOTES = {"unexpected end of data": "a quote that is not closed", "expected after": "text behind a closing quote"}


def strict_rows(path: Path, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """Rows with the lines that they end in; a blank line is none, unless it is the empty cell of an only column.

    Args:
        path: the file.
        dialect: how it is written.

    Raises:
        ValueError: which says in which lines a quote is wrong, or a cell in quotes reads like lines of the table.
    """
    width, line = 0, dialect.skipped
    with open(path, encoding=dialect.encoding, newline="") as file:
        for _ in range(dialect.skipped):
            next(file)
        reader = strict_reader(file, dialect.separator)
        try:
            for row in reader:
                first, line = line + 1, reader.line_num + dialect.skipped
                if line > first and _reads_like_lines(row, dialect.separator):
                    raise ValueError(
                        f"{MARK}{path}`. Expected CSV. Received: a cell in quotes that reads like whole lines of the "
                        f"table, in lines {first} to {line}; close its quote where it ends, or take its line breaks out"
                    )
                if row or width == 1:
                    yield line, row or [""]
                    width = width or len(row)
        except (csv.Error, UnicodeDecodeError) as error:
            first, last = line + 1, reader.line_num + dialect.skipped
            where = f"line {last}" if last <= first else f"lines {first} to {last}"
            said = next((words for start, words in _QUOTES.items() if start in str(error)), str(error))
            twice = ', where a quote within quotes is written twice, as "5"" pipe"' if said != str(error) else ""
            raise ValueError(f"{MARK}{path}`. Expected CSV{twice}. Received: {said} in {where}") from None


def _reads_like_lines(row: list[str], separator: str) -> bool:
    """Whether a cell with line breaks may be lines of the table, between quotes of two cells that were opened only.

    Each would have as many cells as the row, in every column numbers alone or none, and a space before all or none.
    """
    for place, cell in enumerate(row):
        lines = [line.split(separator) for line in _BREAK.split(cell)]
        if len(lines) == 1 or len(row) == 1:
            continue
        lines[0], lines[-1] = row[:place] + lines[0], lines[-1] + row[place + 1 :]
        if all(len(line) == len(row) for line in lines) and all(map(_alike, zip(*lines, strict=True))):
            return True
    return False


def _alike(cells: tuple[str, ...]) -> bool:
    known = [cell for cell in cells if cell.strip() not in (*MISSING, *LONE)]
    return len({(bool(_NUMBER.fullmatch(cell.strip())), cell[:1].isspace()) for cell in known}) <= 1
