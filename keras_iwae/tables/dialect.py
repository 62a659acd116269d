"""How a CSV file is written: its encoding, what separates its columns, what marks decimals; found, not asked for."""

import codecs
import csv
import itertools
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

import numpy as np
import pandas as pd

from keras_iwae.foundation import MARK
from keras_iwae.tables.decimals import GROUPED, MINUS, FoundMarks
from keras_iwae.tables.separators import found_separator, well_formed

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
# Excel's own way to say what the separator is.
_SAID = re.compile(r'"?sep=([^"\r\n])"?\s*', re.IGNORECASE)
_TYPED = re.compile(rf"(^|[eE])[{MINUS}](?=[\d.,])")
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
        first_line: that of Excel's which says what the separator is, as `sep=;`; empty where there is none.
    """

    encoding: str
    separator: str
    decimal: str = "."
    thousands: str = ""
    newline: str = "\n"
    first_line: str = ""

    @classmethod
    def of(cls, path: Path, missing: Collection[str] = (), texts: Collection[str] = ()) -> "Dialect":
        """The dialect of a file, by its bytes, its first lines, and the marks in all of its numbers.

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
        said = _SAID.fullmatch(lines[0]) if lines else None
        lines = lines[1:] if said else lines
        if not any(line.strip() for line in lines):
            raise ValueError(f"{MARK}{path}`. Expected a line with the names of the columns. Received: an empty file")
        separator = found_separator(lines, said and said[1], path, line=1 if said else 0)
        with open(path, encoding=encoding, newline="") as file:
            # Of all rows: a column may have its first decimals at the end.
            rows = well_formed(itertools.islice(file, 1 if said else 0, None), separator)
            marks = FoundMarks(next(rows, []), missing, texts)
            for row in rows:
                marks.update(row)
        decimal, thousands = marks.settled(separator, path)
        newline = "\r\n" if lines[0].endswith("\r\n") else "\n"
        return cls(encoding, separator, decimal, thousands, newline, said[0].rstrip("\r\n") if said else "")

    @property
    def skipped(self) -> int:
        """Lines before the names of the columns."""
        return 1 if self.first_line else 0

    def write(self, path: Path, rows: Iterable[Sequence], start: bool = False) -> None:
        """Write rows of text.

        Args:
            path: the file.
            rows: the cells of each.
            start: whether they are the start of a file, where the mark of an encoding is, and its own first line.
        """
        encoding = _UNMARKED.get(self.encoding, self.encoding)
        with open(path, "w", encoding=encoding, newline="") as file:
            if start and encoding != self.encoding:
                file.write("\ufeff")
            if start and self.first_line:
                file.write(self.first_line + self.newline)
            # Which puts a cell in quotes for the letters of its own end of a line, and for no other line break.
            lines = SimpleNamespace(write=lambda line: file.write(line[:-2] + self.newline))
            csv.writer(lines, delimiter=self.separator, lineterminator="\r\n").writerows(rows)

    def numbers(self, texts: pd.Series) -> pd.Series:
        """Texts as float64, NaN where one is no number, nor a finite one."""
        if self.thousands:
            # Where 1,500 is 1500, 1,5 is no number, and not 15.
            grouped = re.compile(GROUPED.format(thousands=re.escape(self.thousands), decimal=re.escape(self.decimal)))
            wrong = texts.str.contains(self.thousands, regex=False) & ~texts.str.fullmatch(grouped)
            texts = texts.mask(wrong).str.replace(self.thousands, "", regex=False)
        if self.decimal != ".":
            # A point is then no part of a number.
            texts = texts.str.replace(".", "x", regex=False).str.replace(self.decimal, ".", regex=False)
        typed = texts.str.contains(f"[{MINUS}]").astype(bool)
        if typed.any():
            texts = texts.mask(typed, texts[typed].str.replace(_TYPED, r"\1-", regex=True))
        found = pd.to_numeric(texts, errors="coerce").astype(float)
        return found.where(np.isfinite(found))

    def decimals(self, texts: pd.Series) -> int:
        """Most digits behind the mark of some numbers, -1 where one has an exponent."""
        if texts.str.contains("e", case=False, regex=False).any():
            return -1
        return int(texts.str.partition(self.decimal)[2].str.len().max()) if len(texts) else 0

    def text(self, number: float, decimals: int, positive: bool = False, digits: int = 6) -> str:
        """A number as this file would have it.

        Args:
            number: finite.
            decimals: digits behind the mark; below 0 for as many as it takes.
            positive: whether one above 0 is not rounded to 0, but to the next above it.
            digits: where `decimals` is below 0, how many there are in all.
        """
        if positive and number > 0.0 and decimals >= 0:
            number = max(number, 10.0**-decimals)
        text = f"{number:.{decimals}f}" if decimals >= 0 else f"{number:.{digits}g}"
        return text.replace(".", self.decimal)


def _encoding(path: Path) -> str:
    with open(path, "rb") as file:
        start = file.read(4)
        for bytes_, what in _NO_TEXT.items():
            if start.startswith(bytes_):
                raise ValueError(f"{MARK}{path}`. Expected text; save it as CSV. Received: {what}")
        for mark, encoding in _MARKS:
            if start.startswith(mark):
                try:
                    _decoded(file, encoding)
                except UnicodeDecodeError:
                    expected = f"text in {encoding.removesuffix('-sig').upper()}, as its first bytes say"
                    raise ValueError(f"{MARK}{path}`. Expected {expected}. Received: bytes that are none") from None
                return encoding
        try:
            zeros = _decoded(file, "utf-8")
        except UnicodeDecodeError:
            file.seek(0)
            while block := file.read(_BLOCK):
                if len(block.translate(None, _NO_LETTERS)) < len(block):
                    raise ValueError(f"{MARK}{path}`. Expected text. Received: bytes that are none") from None
            # What Excel writes in Western Europe and America where it is not asked for UTF-8.
            return "cp1252"
    if zeros:
        received = "bytes of 0, as UTF-16 without its mark has them"
        raise ValueError(f"{MARK}{path}`. Expected text; save it as UTF-8. Received: {received}")
    return "utf-8"


def _decoded(file: BinaryIO, encoding: str) -> bool:
    """Whether the bytes of a file, which are text in an encoding, have a 0 among them."""
    decoder, zeros = codecs.getincrementaldecoder(encoding)(), False
    file.seek(0)
    while block := file.read(_BLOCK):
        decoder.decode(block)
        zeros |= b"\0" in block
    decoder.decode(b"", final=True)
    return zeros
