"""A CSV file as a table: read in chunks, written in its own dialect, every cell that was there with its own text."""

import itertools
import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from keras_iwae.foundation import MARK, replacing
from keras_iwae.tables.csv_rows import strict_rows
from keras_iwae.tables.dialect import Dialect
from keras_iwae.tables.dtypes import LARGEST_WHOLE
from keras_iwae.tables.facts import Facts
from keras_iwae.tables.marks import Marks
from keras_iwae.tables.values import refusal
from keras_iwae.tables.words import Words

_SCANNED = 10_000
# So many different cells, some of them numbers, may be levels, such as 0, 1, 2, 3+.
_MOST_LEVELS = 10
# What no number is written like, but a postal code or another name of digits.
_CODE = r"0\d+"
_BOOLEANS = {"false": False, "true": True}
# What pandas calls the index of a table that it wrote without a name and read again, once or more often.
_INDEX = re.compile(r"(Unnamed: 0(\.\d+)?)?")


class CsvTable:
    """A CSV file.

    Args:
        path: the file; its encoding, separator and decimal mark are found out.
        missing: texts that stand for a cell that is not known, beside the usual ones; see `Words`.
        ignore: names of columns that are carried along and not looked at.
        kinds: what some columns are, by name: those of numbers are numbers even where some begin with a zero, as 007
            does; others are then text.

    Attributes:
        names: of the columns that are looked at.
        carried: of first columns that are taken for the names of the rows, and so not looked at: without gaps and
            without a name, or with pandas' "Unnamed: 0" of which no kind is said.
        facts: of each of these, what all of its cells have in common.
        num_rows: how many rows there are.
        marks: of decimals and thousands, in the numbers.
        numbers_as_names: whole numbers in the first line, where they may be cells of a file without names: they are
            among the numbers below.

    Raises:
        ValueError: which names the file with the line, or the column, that cannot be read.
    """

    def __init__(
        self,
        path: Path,
        missing: Collection[str] = (),
        ignore: Collection[str] = (),
        kinds: Mapping[str, str] | None = None,
    ):
        kinds = kinds or {}
        numbers = {name for name, kind in kinds.items() if kind in ("real", "positive", "count")}
        self.path, self.dialect = path, Dialect.of(path, missing)
        self._words = Words(missing, self.dialect)
        self._header = self._checked_header(ignore)
        self.names = [name for name in self._header if name not in ignore]
        self._of_text = {name: Facts() for name in self.names}
        self._of_numbers = {name: Facts() for name in self.names} if self._words.any_numbers else self._of_text
        self._removed: dict[str, set[float]] = {name: set() for name in self.names}
        self._booleans: set[str] = set()
        self.num_rows = 0
        self.marks = Marks(self.dialect)
        for texts in self._texts(_SCANNED):
            for name in self.names:
                self._look_at(name, texts[name].str.strip(), name in numbers)
            self.num_rows += len(texts)
        numeric = {name: facts.numeric for name, facts in self._of_text.items()}
        self.facts = {name: (self._of_numbers if numeric[name] else self._of_text)[name] for name in self.names}
        if not self.num_rows:
            raise ValueError(f"{MARK}{path}`. Expected rows below the names of the columns. Received: none")
        self.numbers_as_names = self._checked_first_line()
        first = itertools.takewhile(_INDEX.fullmatch, self.names)
        self.carried = [name for name in first if name not in kinds and self.facts[name].count == self.num_rows]
        self.names = [name for name in self.names if name not in self.carried]
        if "" in self.names:
            raise ValueError(f"{MARK}{path}`. Expected a name for each column with gaps. Received: none for column 1")

    @property
    def unseen(self) -> set[str]:
        """Those of `missing` that no cell is."""
        found = [self._removed[name] for name in self.names if self.facts[name].numeric]
        return self._words.unseen(set().union(*found))

    def check(self, name: str) -> None:
        """Refuse a column of numbers of which one is a text, or of which the marks say two things.

        Raises:
            ValueError: which names the column.
        """
        _check_numbers(name, self.facts[name])
        self.marks.check(name)

    def is_text(self, name: str) -> bool:
        """Whether a column is read as text."""
        return not self.facts[name].numeric and name not in self._booleans

    def read_as_text(self, name: str) -> None:
        """Read a column as text, though all of its cells are numbers: where another file has text there."""
        self.facts[name] = self._of_text[name]
        self.facts[name].coded = True

    def read_as_booleans(self, name: str) -> str | None:
        """Read a column of text as booleans, where another file has booleans.

        Returns:
            a cell that is neither True nor False, so that it stays text; `None` where there is none.
        """
        facts = self.facts[name]
        if facts.distinct is None:
            return facts.text
        wrong = next((text for text in facts.distinct if text.lower() not in _BOOLEANS), None)
        if wrong is None:
            self._booleans.add(name)
        return wrong

    def levels(self, name: str) -> list | None:
        """The different values of a column, in order; `None` where there are many."""
        facts = self.facts[name]
        if name in self._booleans:
            return sorted({_BOOLEANS[text.lower()] for text in facts.distinct or ()})
        if facts.distinct is None:
            return None
        if not facts.numeric:
            return sorted(facts.distinct)
        numbers = np.unique(self.dialect.numbers(pd.Series(list(facts.distinct), dtype=object)))
        return [int(n) if facts.whole else float(n) for n in numbers]

    def chunks(self, size: int) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
        """All cells as text, and those that are looked at as values, `size` rows at a time."""
        for texts in self._texts(size):
            yield texts, self._values(texts)

    def write_part(self, path: Path, texts: pd.DataFrame, filled: pd.DataFrame) -> None:
        """Write rows with their gaps filled in, without the names of the columns.

        Args:
            path: the file.
            texts: all cells as text.
            filled: those that are looked at, as values; taken where there is nothing in the text.
        """
        texts = texts.copy()
        for name in filled.columns:
            gap = self._gaps(name, texts[name].str.strip())
            texts.loc[gap, name] = [self._text(name, value) for value in filled.loc[gap, name]]
        self.dialect.write(path, texts.itertuples(index=False, name=None))

    def join(self, parts: Sequence[Path], path: Path) -> None:
        """Put parts together under the names of the columns, whole or not at all."""
        with replacing(path) as temporary:
            self.dialect.write(temporary, [self._header], start=True)
            with open(temporary, "ab") as file:
                for part in parts:
                    with open(part, "rb") as written:
                        shutil.copyfileobj(written, file)

    def _checked_header(self, ignore: Collection[str]) -> list[str]:
        header = [name.strip() for name in next(strict_rows(self.path, self.dialect))[1]]
        if unnamed := [place for place, name in enumerate(header) if not name and place > 0]:
            raise ValueError(
                f"{MARK}{self.path}`. Expected a name for each column. Received: none for column {unnamed[0] + 1}"
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
        numeric = [name for name in self.names if self.facts[name].numeric and self.facts[name].count]
        values = self.dialect.numbers(pd.Series(numeric, dtype=object))
        if values.isna().any() or not numeric:
            return []
        ends = [(self.facts[name].low, self.facts[name].high) for name in numeric]
        among = all(low <= value <= high for value, (low, high) in zip(values, ends, strict=True))
        decimals = bool((values != np.floor(values)).any())
        repeated = any(name in (self.facts[name].distinct or {}) for name in self.names if name not in numeric)
        if repeated or (among and decimals):
            expected = "names of columns in the first line; add that line"
            raise ValueError(f"{MARK}{self.path}`. Expected {expected}. Received: numbers, such as {numeric[0]!r}")
        return numeric if among else []

    def _texts(self, size: int) -> Iterator[pd.DataFrame]:
        rows: list[list[str]] = []
        lines = strict_rows(self.path, self.dialect)
        next(lines)
        for line, row in lines:
            if len(row) != len(self._header):
                raise ValueError(
                    f"{MARK}{self.path}`. Expected {len(self._header)} columns in every line. Received: {len(row)} in "
                    f"line {line}"
                )
            rows.append(row)
            if len(rows) == size:
                yield self._frame(rows)
                rows = []
        if rows:
            yield self._frame(rows)

    def _frame(self, rows: list[list[str]]) -> pd.DataFrame:
        return pd.DataFrame(rows, columns=self._header, dtype=object)

    def _look_at(self, name: str, texts: pd.Series, is_number: bool) -> None:
        """Gather what is known of a column, as one of text and as one of numbers, from its next stripped cells."""
        cells = texts[~self._words.are(texts)]
        found = self.dialect.numbers(cells)
        gone = self._words.equal(found)
        self._removed[name].update(found[gone])
        codes = cells.str.fullmatch(_CODE).astype(bool) & (not is_number)
        kept = cells[~gone]
        self.marks.update(name, kept[found[~gone].notna()], found[~gone].dropna())
        for facts, known in ((self._of_text, cells), (self._of_numbers, kept))[: 1 + self._words.any_numbers]:
            numbers = found[known.index]
            decimals = self.dialect.decimals(known[numbers.notna()])
            facts[name].update(known, numbers, self.num_rows, decimals, codes[known.index])

    def _gaps(self, name: str, texts: pd.Series) -> pd.Series:
        """Which stripped cells of a column are missing."""
        found = self._words.are(texts)
        if self._words.any_numbers and self.facts[name].numeric:
            found |= self._words.equal(self.dialect.numbers(texts))
        return found

    def _observed(self, name: str, texts: pd.Series) -> pd.Series:
        texts = texts.str.strip()
        return texts[~self._gaps(name, texts)]

    def _values(self, texts: pd.DataFrame) -> pd.DataFrame:
        columns = {}
        for name in self.names:
            facts, cells = self.facts[name], self._observed(name, texts[name])
            if name in self._booleans:
                columns[name] = cells.str.lower().map(_BOOLEANS).reindex(texts.index).astype("boolean")
                continue
            if not facts.numeric:
                columns[name] = cells.reindex(texts.index).where(lambda values: values.notna(), None)
                continue
            numbers = self.dialect.numbers(cells).reindex(texts.index)
            # Numbers of more digits than float64 keeps are not whole numbers that anyone counts.
            whole = facts.whole and max(abs(facts.low), abs(facts.high)) < LARGEST_WHOLE
            columns[name] = numbers.astype("Int64") if whole else numbers
        return pd.DataFrame(columns, index=texts.index)

    def _text(self, name: str, value: object) -> str:
        if not self.facts[name].numeric:
            return str(value)
        return self.dialect.text(float(value), self.facts[name].decimals)  # type: ignore[arg-type]


def _check_numbers(name: str, facts: Facts) -> None:
    """Refuse a text among numbers, where it is not one of a few levels."""
    many = facts.distinct is None or len(facts.distinct) > _MOST_LEVELS
    if not (facts.numeric or facts.coded) and many and facts.count_numbers > 0.5 * facts.count:
        raise refusal(
            name,
            f"numbers, or {facts.text!r} among `missing` if it stands for a cell that is not known",
            f"{facts.text!r} in row {facts.row} among numbers",
        )
