"""What separates the columns of a CSV file, and whether its first line has their names."""

import contextlib
import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from keras_iwae.foundation import MARK

SEPARATORS = (";", "\t", ",", "|")
# Where csv begins no quote, so that a separator in it counts.
BLANK_QUOTE = re.compile(r'\s+"')
# Characters of a cell; csv's own limit of 131,072 is below what documents have.
_LONGEST = 1 << 27
# The share of rows that are as long as the first, where others are left to be refused by their lines.
_ALIKE = 0.9
# Lines that may be above the names of the columns.
_HEADING = 20
_DIGIT = re.compile(r"\s*[+\-\u2212\u2013]?[.,]?\d")
# A number of an only column, whose comma separates nothing.
_DECIMAL = re.compile(r"\s*([+\-\u2212\u2013]?\d+,\d+([eE][+-]?\d+)?|[^,;]*)\s*")

# What is no table of lines: documents of other kinds, by how they begin.
_OTHERS = {"JSON": re.compile(r"\s*[\[{]\s*[\[{\"]"), "HTML or XML": re.compile(r"\s*<[!?a-zA-Z]")}

_Rows = Sequence[tuple[int, list[str]]]


def strict_reader(lines: Iterable[str], separator: str) -> Any:
    """csv's reader, which raises `csv.Error` where a quote is not as RFC 4180 has it."""
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST))
    return csv.reader(lines, delimiter=separator, strict=True)


def width(row: Sequence[str]) -> int:
    """How many cells a row has, up to the last that is not blank: what is behind may be separators alone."""
    return max((place for place, cell in enumerate(row, 1) if cell.strip()), default=0)


def found_separator(lines: Sequence[str], said: str | None, path: Path, line: int = 0) -> str:
    """What gives every line as many columns as the first has names, and the most of them; a comma for one column.

    Args:
        lines: the first ones of the file.
        said: what the file says that it is; `None` where it does not.
        path: the file.
        line: how many lines of the file are before them.

    Raises:
        ValueError: if it is no CSV, blanks separate columns, or the other lines have more columns than the first, whose
            cells are then no names of theirs.
    """
    for what, start in _OTHERS.items():
        if start.match(lines[0]):
            raise ValueError(f"{MARK}{path}`. Expected CSV; save it as such. Received: what begins as {what} does")
    rows = {separator: list(_numbered(lines, separator)) for separator in ((said,) if said else SEPARATORS)}
    best, most = said or ",", 1
    for separator, found in rows.items():
        names = width(found[0][1]) if found else 0
        if names > most and _are_alike(found, names):
            best, most = separator, names
    if most > 1:
        return best
    if not said and any("," in line for line in lines) and all(map(_DECIMAL.fullmatch, lines)):
        return ";"
    blanks = {len(line.split()) for line in lines if line.strip()}
    numbers = [sum(map(bool, map(_DIGIT.match, line.split()))) for line in lines[1:] if line.strip()]
    if not said and len(blanks) == 1 and len(numbers) > 1 and min(numbers) > 1:
        raise ValueError(
            f"{MARK}{path}`. Expected columns that one of {SEPARATORS} separates; write one of these between them. "
            f"Received: {blanks.pop()} columns with blanks between"
        )
    for separator, found in rows.items():
        _check_heading([(n + line, row) for n, row in found], separator == best, path)
    return best


def well_formed(lines: Iterable[str], separator: str) -> Iterator[list[str]]:
    """The rows before the first that is malformed, or cut off, without blank ones."""
    return (row for _, row in _numbered(lines, separator))


def _numbered(lines: Iterable[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """As `well_formed`, with the lines that they end in."""
    reader = strict_reader(lines, separator)
    with contextlib.suppress(csv.Error):
        for row in reader:
            if row:
                yield reader.line_num, row


def _are_alike(rows: _Rows, names: int) -> bool:
    return sum(width(row) <= names <= len(row) for _, row in rows) > _ALIKE * len(rows)


def _check_heading(rows: _Rows, likely: bool, path: Path) -> None:
    """Refuse a heading above the names of the columns, and names that are one fewer than the columns, as R has them.

    Where nothing says what separates columns, `likely` it is this, an only column may have other separators in its
    cells, but hardly such in all of them with numbers on both sides.
    """
    for place in range(1, min(_HEADING + 1, len(rows) - 1)):
        line, names = rows[place]
        columns, above = width(names), [width(row) for _, row in rows[:place]]
        if columns < 2 or max(above) >= columns or not _are_alike(rows[place:], columns):
            continue
        if any(map(BLANK_QUOTE.match, names)):
            continue
        if not likely and not all(any(map(_DIGIT.match, row)) for _, row in rows[place + 1 :]):
            continue
        first, lines = rows[0], f"{columns} columns from line {line} on"
        if place == 1 and 1 < above[0] == columns - 1:
            raise ValueError(
                f"{MARK}{path}`. Expected a name for each column; where the first has the names of the rows, as R "
                f"writes it, begin the line of names with a separator. Received: {above[0]} names, and {lines}"
            )
        if not all(map(_DIGIT.match, names)):
            raise ValueError(
                f"{MARK}{path}`. Expected the names of the columns in the first line; take out what is above them. "
                f"Received: {first[1][0].strip()!r} in line {first[0]}, and {lines}"
            )
