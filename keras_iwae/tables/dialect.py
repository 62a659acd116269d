"""How a CSV file is written: its encoding, what separates its columns, what marks decimals; found, not asked for."""

import codecs
import contextlib
import csv
import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from keras_iwae.foundation import MARK

SEPARATORS = (";", "\t", ",", "|")
# What stands for a cell that is not known, beside nothing at all.
MISSING = ("", "NA", "N/A", "n/a", "na", "#N/A", "#NA", "#NV", "NaN", "nan", "NULL", "null", "<NA>", "?")
_LOOKED_AT = 1000
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UNMARKED = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le"}
# Of other programs: a spreadsheet's own files, and those of a compressed archive.
_NO_TEXT = {b"PK\x03\x04": "an Excel or zip file", b"\xd0\xcf\x11\xe0": "an old Excel file", b"PAR1": "a Parquet file"}
_BLOCK = 1 << 20
# Characters of a cell; csv's own limit of 131,072 is below what documents have.
_LONGEST = 1 << 27
_POINT = re.compile(r"[+-]?\d*\.\d+(e[+-]?\d+)?", re.IGNORECASE)
_COMMA = re.compile(r"[+-]?\d+,\d+(e[+-]?\d+)?", re.IGNORECASE)
# Groups of three digits that can be nothing else.
_POINTS_IN_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}((\.\d{3})+,\d+|(\.\d{3}){2,})")
_COMMAS_IN_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}((,\d{3})+\.\d+|(,\d{3}){2,})")
# One of them, which may be decimals too; no number of thousands begins with a zero.
GROUP = r"[+-]?[1-9]\d{{0,2}}{mark}\d{{3}}"
# With the groups of two digits that India writes above the first thousand.
_GROUPED = r"[+-]?[1-9]\d{{0,2}}(?:{thousands}\d{{2,3}})*{thousands}\d{{3}}(?:{decimal}\d*)?(?:[eE][+-]?\d+)?"
# What Western text of a byte a letter has none of.
_NO_LETTERS = bytes([0x00, 0x81, 0x8D, 0x8F, 0x90, 0x9D])


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written.

    Attributes:
        encoding: as Python calls it.
        separator: between two columns.
        decimal: the mark of decimals.
        thousands: what groups of three digits are separated by, empty for nothing.
        newline: what ends a line.
        skipped: lines before the names of the columns.
    """

    encoding: str
    separator: str
    decimal: str = "."
    thousands: str = ""
    newline: str = "\n"
    skipped: int = 0

    @classmethod
    def of(cls, path: Path, missing: Collection[str] = (), texts: Collection[str] = ()) -> "Dialect":
        """The dialect of a file, by its bytes and its first lines.

        Args:
            path: the file.
            missing: texts that stand for a cell that is not known, whatever mark they have.
            texts: names of columns that have no numbers.

        Raises:
            ValueError: if it is no text, or its decimals have two marks.
        """
        encoding = _encoding(path)
        with open(path, encoding=encoding, newline="") as file:
            lines = list(itertools.islice(file, _LOOKED_AT + 1))
        # Excel's own way to say it.
        said = re.fullmatch(r"sep=(.)\s*", lines[0]) if lines else None
        lines = lines[1:] if said else lines
        if not any(line.strip() for line in lines):
            raise ValueError(f"{MARK}{path}`. Expected a line with the names of the columns. Received: an empty file")
        separator = said.group(1) if said else _separator(lines)
        rows = _well_formed(lines, separator)
        places = [place for place, name in enumerate(rows[0] if rows else ()) if name.strip() not in texts]
        cells = [row[place].strip() for row in rows[1:] for place in places if place < len(row)]
        decimal, thousands = _marks([cell for cell in cells if cell not in missing], separator, path)
        newline = "\r\n" if lines[0].endswith("\r\n") else "\n"
        return cls(encoding, separator, decimal, thousands, newline, 1 if said else 0)

    def write(self, path: Path, rows: Iterable[Sequence], start: bool = False) -> None:
        """Write rows of text.

        Args:
            path: the file.
            rows: the cells of each.
            start: whether they are the start of a file, where the mark of an encoding is.
        """
        encoding = _UNMARKED.get(self.encoding, self.encoding)
        with open(path, "w", encoding=encoding, newline="") as file:
            if start and encoding != self.encoding:
                file.write("\ufeff")
            # Which puts a cell in quotes for the letters of its own end of a line, and for no other line break.
            lines = SimpleNamespace(write=lambda line: file.write(line[:-2] + self.newline))
            csv.writer(lines, delimiter=self.separator, lineterminator="\r\n").writerows(rows)

    def numbers(self, texts: pd.Series) -> pd.Series:
        """Texts as float64, NaN where one is no number, nor a finite one."""
        if self.thousands:
            # Where 1,500 is 1500, 1,5 is no number, and not 15.
            grouped = re.compile(_GROUPED.format(thousands=re.escape(self.thousands), decimal=re.escape(self.decimal)))
            wrong = texts.str.contains(self.thousands, regex=False) & ~texts.str.fullmatch(grouped)
            texts = texts.mask(wrong).str.replace(self.thousands, "", regex=False)
        if self.decimal != ".":
            # A point is then no part of a number.
            texts = texts.str.replace(".", "x", regex=False).str.replace(self.decimal, ".", regex=False)
        found = pd.to_numeric(texts, errors="coerce").astype(float)
        return found.where(np.isfinite(found))

    def decimals(self, texts: pd.Series) -> int:
        """Most digits behind the mark of some numbers, -1 where one has an exponent."""
        if texts.str.contains("e", case=False, regex=False).any():
            return -1
        return int(texts.str.partition(self.decimal)[2].str.len().max()) if len(texts) else 0

    def text(self, number: float, decimals: int) -> str:
        """A number as this file would have it.

        Args:
            number: finite.
            decimals: digits behind the mark; below 0 for as many as it takes.
        """
        text = f"{number:.{decimals}f}" if decimals >= 0 else f"{number:.6g}"
        return text.replace(".", self.decimal)


def _encoding(path: Path) -> str:
    with open(path, "rb") as file:
        start = file.read(4)
        for bytes_, what in _NO_TEXT.items():
            if start.startswith(bytes_):
                raise ValueError(f"{MARK}{path}`. Expected text; save it as CSV. Received: {what}")
        for mark, encoding in _MARKS:
            if start.startswith(mark):
                return encoding
        decoder = codecs.getincrementaldecoder("utf-8")()
        file.seek(0)
        try:
            while block := file.read(_BLOCK):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            file.seek(0)
            while block := file.read(_BLOCK):
                if len(block.translate(None, _NO_LETTERS)) < len(block):
                    raise ValueError(f"{MARK}{path}`. Expected text. Received: bytes that are none") from None
            # What Excel writes in Western Europe and America where it is not asked for UTF-8.
            return "cp1252"
    return "utf-8"


def strict_reader(lines: Iterable[str], separator: str) -> Any:
    """csv's reader, which raises `csv.Error` where a quote is not as RFC 4180 has it."""
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST))
    return csv.reader(lines, delimiter=separator, strict=True)


def _well_formed(lines: list[str], separator: str) -> list[list[str]]:
    """The rows before the first that is malformed, or cut off."""

    def rows() -> Iterator[list[str]]:
        with contextlib.suppress(csv.Error):
            yield from strict_reader(lines, separator)

    return list(rows())


def _separator(lines: list[str]) -> str:
    """What gives every line as many columns as the first, and the most of them; a comma where there is one column."""
    best, most = ",", 1
    for separator in SEPARATORS:
        counts = [len(row) for row in _well_formed(lines, separator) if row]
        if counts and counts[0] > most and sum(count == counts[0] for count in counts) > 0.9 * len(counts):
            best, most = separator, counts[0]
    return best


def _marks(cells: list[str], separator: str, path: Path) -> tuple[str, str]:
    """The mark of decimals, and of thousands."""

    def first(pattern: re.Pattern) -> str | None:
        return next((cell for cell in cells if pattern.fullmatch(cell)), None)

    if first(_POINTS_IN_THOUSANDS):
        return ",", "."
    if first(_COMMAS_IN_THOUSANDS):
        return ".", ","
    comma, point = first(_COMMA), first(_POINT)
    group = re.compile(GROUP.format(mark=","))
    if comma and separator == "," and all(group.fullmatch(cell) for cell in cells if _COMMA.fullmatch(cell)):
        return ".", ","
    if comma and point:
        raise ValueError(
            f"{MARK}{path}`. Expected numbers with one mark of decimals; what stands for a cell that is not known is "
            f"for `missing`. Received: {comma!r} and {point!r}"
        )
    return (",", "") if comma else (".", "")
