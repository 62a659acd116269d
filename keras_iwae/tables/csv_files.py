"""A CSV file as a table: read in chunks, written in its own dialect, every cell that was there with its own text."""

import itertools
import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from keras_iwae.foundation import MARK, replacing
from keras_iwae.tables.csv_columns import CsvColumn
from keras_iwae.tables.csv_rows import strict_rows
from keras_iwae.tables.dialect import Dialect
from keras_iwae.tables.facts import Facts
from keras_iwae.tables.kinds import Kind, says_texts
from keras_iwae.tables.marks import Marks
from keras_iwae.tables.separators import BLANK_QUOTE, width
from keras_iwae.tables.totals import is_total, total_of
from keras_iwae.tables.words import Words

_SCANNED = 10_000
# What pandas calls the index of a table that it wrote without a name and read again, once or more often.
_INDEX = re.compile(r"(Unnamed: 0(\.\d+)?)?")
# What is behind the last column that has a name: blanks and separators. No column of a file is called by a number.
_REST = 0


class CsvTable:
    """A CSV file.

    Args:
        path: the file; its encoding, separator and decimal mark are found out.
        missing: texts that stand for a cell that is not known, beside the usual ones; see `Words`.
        ignore: names of columns that are carried along and not looked at.
        kinds: what some columns are, by name: those of numbers are numbers even where some begin with a zero, as 007
            does; others are then text, and so are those that are said to have levels, to the letter.

    Attributes:
        names: of the columns that are looked at.
        carried: of first columns that are taken for the names of the rows, and so not looked at: without gaps and
            without a name, or with pandas' "Unnamed: 0" of which no kind is said.
        num_rows: how many rows there are.
        marks: of decimals and thousands, in the numbers.
        blank_rows: how many rows at the end have nothing in them.
        numbers_as_names: once lines are checked, whole numbers in the first one, where they may be cells of a file
            without names: they are among the numbers below.

    Raises:
        ValueError: which names the file with the line, or the column, that cannot be read.
    """

    def __init__(
        self,
        path: Path,
        missing: Collection[str] = (),
        ignore: Collection[str] = (),
        kinds: Mapping[str, Kind] | None = None,
    ):
        kinds = kinds or {}
        texts = {name for name, said in kinds.items() if says_texts(said)}
        self._said = set(kinds)
        self.path, self.dialect = path, Dialect.of(path, missing, texts.union(ignore))
        self._words = Words(missing, self.dialect)
        names = next(strict_rows(self.path, self.dialect))[1]
        self._rest = names[max(width(names), 1) :]
        self._header = self._checked_header([name.strip() for name in names[: max(width(names), 1)]], ignore)
        self.names = [name for name in self._header if name not in ignore]
        self._columns = {name: CsvColumn(name, kinds.get(name), self._words, self.dialect) for name in self.names}
        self.num_rows = 0
        self.marks = Marks(self.dialect)
        self.numbers_as_names: list[str] = []
        self._last = pd.Series("", self._header, dtype=object)
        for cells in self._texts(_SCANNED):
            for name, column in self._columns.items():
                column.update(cells[name].str.strip(), self.num_rows, self.marks)
            self.num_rows += len(cells)
            if self.blank_rows < len(cells):
                self._last = cells.iloc[-1 - self.blank_rows]
        for column in self._columns.values():
            column.settle()
        if not self.num_rows:
            raise ValueError(f"{MARK}{path}`. Expected rows below the names of the columns. Received: none")
        first = itertools.takewhile(_INDEX.fullmatch, self.names)
        self.carried = [name for name in first if name not in kinds and self.facts[name].count == self.num_rows]
        self.names = [name for name in self.names if name not in self.carried]
        if "" in self.names:
            raise ValueError(f"{MARK}{path}`. Expected a name for each column with gaps. Received: none for column 1")

    @property
    def facts(self) -> dict[str, Facts]:
        """What all cells of each column have in common."""
        return {name: column.facts for name, column in self._columns.items()}

    @property
    def unseen(self) -> set[str]:
        """Those of `missing` that no cell is."""
        return self._words.unseen(set().union(*(self._columns[name].removed for name in self.names)))

    @property
    def _last_row(self) -> int:
        """The last row that has anything in it, counted from 1."""
        return self.num_rows - self.blank_rows

    def check_lines(self) -> None:
        """Refuse a first or last line that is no row, or cells in the place of names.

        Raises:
            ValueError: which names the file.
        """
        self._check_last_line()
        self._check_texts()
        self.numbers_as_names = self._checked_first_line()

    def check(self, name: str) -> None:
        """Refuse a column of numbers of which one is a text, or of which the marks or the gaps say two things.

        Raises:
            ValueError: which names the column.
        """
        self._columns[name].check(self._last_row)
        if not self.is_text(name):
            self.marks.check(name)

    def is_text(self, name: str) -> bool:
        """Whether a column is read as text."""
        return self._columns[name].is_text

    def is_said(self, name: str) -> bool:
        """Whether somebody said what a column is."""
        return name in self._said

    def read_as_text(self, name: str) -> None:
        """As `CsvColumn.read_as_text`."""
        self._columns[name].read_as_text()

    def read_by_value(self, name: str) -> None:
        """As `CsvColumn.read_by_value`."""
        self._columns[name].read_by_value()

    def read_as_booleans(self, name: str) -> str | None:
        """As `CsvColumn.read_as_booleans`."""
        return self._columns[name].read_as_booleans()

    def code(self, name: str) -> tuple[float, int] | None:
        """As `CsvColumn.code`."""
        return self._columns[name].code

    def counts_rows(self, name: str) -> bool:
        """As `CsvColumn.counts_rows`."""
        return self._columns[name].counts_rows

    def levels(self, name: str) -> list | None:
        """The different values of a column, in order; `None` where there are many."""
        return self._columns[name].levels()

    def chunks(self, size: int) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
        """All cells as text, and those that are looked at as values, `size` rows at a time."""
        for texts in self._texts(size):
            columns = {name: self._columns[name].values(texts[name]) for name in self.names}
            yield texts, pd.DataFrame(columns, index=texts.index)

    def write_part(self, path: Path, texts: pd.DataFrame, filled: pd.DataFrame) -> None:
        """Write rows with their gaps filled in, without the names of the columns.

        Args:
            path: the file.
            texts: all cells as text.
            filled: those that are looked at, as values; taken where there is nothing in the text.
        """
        texts = texts.copy()
        for name in filled.columns:
            column = self._columns[name]
            gap = column.gaps(texts[name].str.strip())
            texts.loc[gap, name] = column.texts(filled.loc[gap, name])
        self.dialect.write(path, ((*row[:-1], *row[-1]) for row in texts.itertuples(index=False, name=None)))

    def join(self, parts: Sequence[Path], path: Path) -> None:
        """Put parts together under the names of the columns, whole or not at all."""
        with replacing(path) as temporary:
            self.dialect.write(temporary, [[*self._header, *self._rest]], start=True)
            with open(temporary, "ab") as file:
                for part in parts:
                    with open(part, "rb") as written:
                        shutil.copyfileobj(written, file)

    def _checked_header(self, header: list[str], ignore: Collection[str]) -> list[str]:
        if unnamed := [place for place, name in enumerate(header) if not name and place > 0]:
            raise ValueError(
                f"{MARK}{self.path}`. Expected a name for each column. Received: none for column {unnamed[0] + 1}; "
                "write one there"
            )
        for name in header:
            if header.count(name) > 1:
                raise ValueError(f"{MARK}{self.path}`. Expected names that all differ. Received: {name!r} twice")
        if self.dialect.numbers(pd.Series(header, dtype=object)).notna().all():
            raise ValueError(
                f"{MARK}{self.path}`. Expected names of columns in the first line; add that line. Received: numbers, "
                f"{header[0]!r}"
            )
        for name in ignore:
            if name not in header:
                raise ValueError(f"{MARK}ignore`. Expected names of {header}. Received: {name!r}")
        return header

    def _checked_first_line(self) -> list[str]:
        """Refuse cells in the place of names: 51.3,46,b, but not year,2019,2020, nor wavelengths over other numbers.

        Returns:
            numbers of which nobody can say.
        """
        facts = self.facts
        numeric = [name for name in facts if facts[name].numeric and facts[name].count]
        values = self.dialect.numbers(pd.Series(numeric, dtype=object))
        if values.isna().any() or not numeric:
            return []
        ends = [(facts[name].low, facts[name].high) for name in numeric]
        among = all(low <= value <= high for value, (low, high) in zip(values, ends, strict=True))
        decimals = bool((values != np.floor(values)).any())
        repeated = any(name in (facts[name].distinct or {}) for name in facts if name not in numeric)
        if repeated or (among and decimals):
            expected = "names of columns in the first line; add that line"
            raise ValueError(f"{MARK}{self.path}`. Expected {expected}. Received: numbers, such as {numeric[0]!r}")
        return numeric if among else []

    def _check_last_line(self) -> None:
        """Refuse sums or means of the other rows, which a model would learn from as if they were one of them."""
        cells, facts = self._last[self._header].str.strip(), self.facts
        words = [(name, cell) for name, cell in cells.items() if is_total(cell) and name not in self._said]
        values = self.dialect.numbers(cells[list(facts)]).dropna() if words else {}
        found = {name: what for name, value in values.items() if (what := total_of(value, facts[name])) is not None}
        name, what = next(iter(found.items()), (None, None))
        for column, word in words if found else ():
            if not self._repeats(column, word):
                behind = " that has cells" if self.blank_rows else ""
                level = f", or say that column {column!r} is 'categorical', if it is a level" if column in facts else ""
                raise ValueError(
                    f"{MARK}{self.path}`. Expected rows of one thing each; take out the last line{behind}{level}. "
                    f"Received: {word!r} there, where column {name!r} has the {what} of the rows above, {cells[name]!r}"
                )

    def _repeats(self, name: str, cell: str) -> bool:
        """Whether several rows have a cell: of all rows, for a count of what is blank at the end is kept of these."""
        return sum(int((cells[name].str.strip() == cell).sum()) for cells in self._texts(_SCANNED)) > 1

    def _check_texts(self) -> None:
        """Refuse a row of which several cells are texts, where all others of their columns are numbers."""
        for row, what in (
            (1, "it has units, or what is above it if it has the names"),
            (self._last_row, "it is a total or a note"),
        ):
            texts = {name: column.only_text_in(row) for name, column in self._columns.items()}
            texts = {name: text for name, text in texts.items() if text is not None}
            if len(texts) > 1:
                (one, first), (other, second), *_ = texts.items()
                raise ValueError(
                    f"{MARK}{self.path}`. Expected numbers in the columns {one!r} and {other!r}; take out row {row} "
                    f"if {what}. Received: {first!r} and {second!r} there, and nothing but numbers elsewhere"
                )

    def _texts(self, size: int) -> Iterator[pd.DataFrame]:
        rows: list[list] = []
        self.blank_rows = 0
        lines = strict_rows(self.path, self.dialect)
        next(lines)
        for line, row in lines:
            names = len(self._header)
            if not width(row) <= names <= len(row):
                raise self._wrong_length(line, row)
            # Of an only column a blank line is a gap as others are.
            self.blank_rows = self.blank_rows + 1 if names > 1 and not width(row) else 0
            rows.append([*row[:names], row[names:]])
            if len(rows) == size:
                yield self._frame(rows)
                rows = []
        if rows:
            yield self._frame(rows)

    def _wrong_length(self, line: int, row: Sequence[str]) -> ValueError:
        names = len(self._header)
        if names < width(row) <= names + len(self._rest):
            place = next(place for place, cell in enumerate(row) if place >= names and cell.strip())
            expected = "a name for each column that has cells; write one there"
            received = f"none for column {place + 1}, which has {row[place].strip()!r} in line {line}"
        else:
            remedy = (
                "a blank before a quote makes it a letter like others, and is to be taken out"
                if any(map(BLANK_QUOTE.match, row))
                else "a cell with a separator in it is to be in quotes"
                if len(row) > names
                else "what is no row, as a title, a total or a note, is to be taken out"
            )
            expected = f"{names} columns in every line; {remedy}"
            received = f"{len(row)} in line {line}"
        return ValueError(f"{MARK}{self.path}`. Expected {expected}. Received: {received}")

    def _frame(self, rows: list[list]) -> pd.DataFrame:
        return pd.DataFrame(rows, columns=[*self._header, _REST], dtype=object)
