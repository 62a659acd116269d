"""A column of a CSV file: which of its cells are gaps, and whether the others are numbers, texts or booleans."""

import copy
import math
from collections.abc import Iterable

import numpy as np
import pandas as pd

from keras_iwae.tables.codes import Codes
from keras_iwae.tables.dialect import Dialect
from keras_iwae.tables.dress import in_place_of
from keras_iwae.tables.dtypes import LARGEST_WHOLE
from keras_iwae.tables.facts import MOST, MOST_SAID, Facts
from keras_iwae.tables.kinds import Kind, says_levels, says_numbers, says_texts
from keras_iwae.tables.marks import Marks
from keras_iwae.tables.schema import Column
from keras_iwae.tables.values import refusal
from keras_iwae.tables.words import DOUBTFUL, LONE, Words

# So many different cells, some of them numbers, may be levels, such as 0, 1, 2, 3+.
_MOST_LEVELS = 10
# What no number is written like, but a postal code or another name of digits.
_CODE = r"0\d+"
# Rows of which a number counts them.
_FEWEST_COUNTED = 20
# Numbers beside a text that has no place among them.
_FEWEST_NUMBERS = 3
# Codes of countries, of which NA is one, where there are so many.
_COUNTRY, _FEWEST_COUNTRIES = r"[A-Z]{2}", 2
# Digits that float64 keeps of every number; and how many it takes for one to be no other.
_SURE_DIGITS, _ALL_DIGITS = 15, (15, 16, 17)
_BOOLEANS = {"false": False, "true": True}


class CsvColumn:
    """What is known of a column, gathered a chunk at a time.

    A lone dash or point is a gap where all other cells are numbers, and a level where it is said that there are
    levels, or where the other cells are signs too; elsewhere nobody can know.

    Args:
        name: its name.
        said: what is said of it; `None` for nothing. Levels that are said are texts to the letter, but numbers by value
            where a `Column` has numbers.
        words: for what is missing.
        dialect: of the file.
    """

    def __init__(self, name: str, said: Kind | None, words: Words, dialect: Dialect):
        self.name, self._words, self._dialect = name, words, dialect
        self._is_number, self._is_label = says_numbers(said), says_texts(said)
        categories = said.categories if isinstance(said, Column) else None
        # A word that is one of its levels stands for nothing else.
        self._own = {level for level in categories or () if isinstance(level, str)}
        self._wants_booleans = bool(categories) and all(isinstance(level, bool) for level in categories or ())
        facts = Facts(self._is_label, MOST_SAID if says_levels(said) else MOST)
        # Of all cells; without lone marks; and without words that are numbers: one object until they differ.
        self._facts = [facts, facts, facts]
        self._removed: set[float] = set()
        self._codes = Codes()
        self._counts_rows, self._start = not self._is_label, math.nan
        self._lone: dict[str, None] = {}
        self._has_na, self._are_countries, self._is_boolean = False, True, False

    def update(self, texts: pd.Series, first_row: int, marks: Marks) -> None:
        """Take in the next stripped cells, `first_row` of the file before them."""
        word = self._are_words(texts)
        cells = texts[~word]
        self._has_na |= bool((texts[word] == "NA").any())
        self._are_countries &= self._are_countries and bool(cells.str.fullmatch(_COUNTRY).all())
        found = self._dialect.numbers(cells)
        lone, gone = self._are_lone(cells), self._words.equal(found)
        self._lone |= dict.fromkeys(cells[lone])
        self._removed.update(found[gone])
        codes = cells.str.fullmatch(_CODE).astype(bool) & (not self._is_number)
        if not self._is_label:
            numbers = found[~gone].dropna()
            marks.update(self.name, cells[numbers.index], numbers)
            self._codes.update(numbers)
            self._counts_rows &= len(numbers) == len(texts) and self._are_places(numbers, first_row)
        for place, without in ((1, lone), (2, gone)):
            if without.any():
                self._split(place)
        kept = lone & False, lone, lone | gone
        done: list[Facts] = []
        for facts, without in zip(self._facts, kept, strict=True):
            if any(facts is other for other in done):
                continue
            done.append(facts)
            known = cells[~without]
            numbers = found[known.index]
            decimals = self._dialect.decimals(known[numbers.notna()])
            facts.update(known, numbers, first_row, decimals, codes[known.index])

    @property
    def is_numeric(self) -> bool:
        """Whether it is read as numbers."""
        return self._facts[2].numeric and not self._facts[0].coded

    @property
    def is_text(self) -> bool:
        """Whether it is read as text."""
        return not self.is_numeric and not self._is_boolean

    @property
    def facts(self) -> Facts:
        """What all of its cells have in common, read as what it is."""
        return self._facts[2 if self.is_numeric else 1 if self._lone_are_gaps else 0]

    @property
    def removed(self) -> set[float]:
        """Numbers that are words for what is missing, where they are."""
        return self._removed if self.is_numeric else set()

    @property
    def code(self) -> tuple[float, int] | None:
        """A number that may stand for what is not known, as `Codes.likely`, where it is read as numbers."""
        return self._codes.likely if self.is_numeric else None

    @property
    def counts_rows(self) -> bool:
        """Whether each of its cells, some at least, is by one larger than the one above."""
        return self._counts_rows and self.is_numeric and self.facts.count >= _FEWEST_COUNTED

    def only_text_in(self, row: int) -> str | None:
        """The text of a row, counted from 1, where all other cells of the column are numbers and nobody said more."""
        facts = self._facts[1]
        known = self._is_label or self._is_number or facts.row != row or str(facts.text).lower() in DOUBTFUL
        return None if known or not _FEWEST_NUMBERS <= facts.count_numbers == facts.count - 1 else facts.text

    def settle(self) -> None:
        """Once all cells are known: True and False are booleans where it is said that they are the levels."""
        if self._wants_booleans and self.is_text:
            self.read_as_booleans()

    def check(self, last_row: int) -> None:
        """Refuse cells of which nobody can know whether they are numbers, levels or gaps.

        Args:
            last_row: the last row that has anything in it, counted from 1.

        Raises:
            ValueError: which names the column.
        """
        facts, level = self.facts, "or, if it is a level, that you say that the column is 'categorical'"
        others = [text for text in self._facts[1].distinct or () if any(map(str.isalnum, text))]
        if self._lone and not (self._is_label or self._lone_are_gaps) and others:
            mark = next(iter(self._lone))
            expected = f"to be told what {mark!r} is beside text: among `missing` if it stands for what is not known, "
            raise refusal(self.name, f"{expected}{level}", f"{mark!r} and {others[0]!r}")
        # Of two codes, as SI and NO, one is "no" in many a survey.
        fewest = _FEWEST_COUNTRIES + ("NO" in (facts.distinct or ()))
        countries = facts.distinct is None or len(facts.distinct) >= fewest
        if self._has_na and self._are_countries and countries and "NA" not in self._words.further:
            expected = "to be told what 'NA' is beside such codes: among `missing` if it stands for what is not known; "
            remedy = "if it is a level, a Column with all of them, or another name for it"
            raise refusal(self.name, f"{expected}{remedy}", f"'NA' and {next(iter(facts.distinct or ['others']))!r}")
        if not self.is_text or facts.coded or facts.as_text or not facts.count_numbers:
            return
        text = str(facts.text)
        expected = in_place_of(text)
        if text == self.name:
            expected = "numbers; take out the line that has the names of the columns again"
        elif text.lower() not in DOUBTFUL and not _is_infinite(text) and not any(map(str.isdigit, text)):
            where = {1: "it has units, or what is above it if it has the names", last_row: "it is a total or a note"}
            expected += f", or that row taken out if {where[facts.row]}" if facts.row in where else ""
        received = f"{facts.text!r} in row {facts.row} among numbers"
        if facts.distinct is None or len(facts.distinct) > _MOST_LEVELS:
            if facts.count_numbers > 0.5 * facts.count:
                raise refusal(self.name, expected, received)
            return
        texts = pd.Series(list(facts.distinct), dtype=object)
        texts = texts[self._dialect.numbers(texts).isna()]
        if all(text.lower() in DOUBTFUL or _is_infinite(text) for text in texts):
            raise refusal(self.name, f"{expected}, {level}", received)

    def read_as_text(self) -> None:
        """Read it as text, though all of its cells are numbers: where another file has text there."""
        for facts in self._facts:
            facts.as_text = True

    def read_by_value(self) -> None:
        """Read numbers as such, though they are said to be levels: where another file has numbers there."""
        for facts in self._facts:
            facts.as_text = False

    def read_as_booleans(self) -> str | None:
        """Read text as booleans, where another file has booleans.

        Returns:
            a cell that is neither True nor False, so that it stays text; `None` where there is none.
        """
        facts = self.facts
        if facts.distinct is None:
            return facts.text
        wrong = next((text for text in facts.distinct if text.lower() not in _BOOLEANS), None)
        self._is_boolean = wrong is None
        return wrong

    def levels(self) -> list | None:
        """The different values, in order; `None` where there are many."""
        facts = self.facts
        if facts.distinct is None:
            return None
        if self._is_boolean:
            return sorted({_BOOLEANS[text.lower()] for text in facts.distinct})
        if self.is_text:
            return sorted(facts.distinct)
        numbers = np.unique(self._dialect.numbers(pd.Series(list(facts.distinct), dtype=object)))
        return [int(n) if facts.whole else float(n) for n in numbers]

    def gaps(self, texts: pd.Series) -> pd.Series:
        """Which stripped cells are missing."""
        found = self._are_words(texts)
        if self._lone_are_gaps:
            found |= self._are_lone(texts)
        if self._removed and self.is_numeric:
            found |= self._words.equal(self._dialect.numbers(texts))
        return found

    def values(self, texts: pd.Series) -> pd.Series:
        """Cells as values, in one dtype whichever they are."""
        facts, stripped = self.facts, texts.str.strip()
        cells = stripped[~self.gaps(stripped)]
        if self._is_boolean:
            return cells.str.lower().map(_BOOLEANS).reindex(texts.index).astype("boolean")
        if self.is_text:
            return cells.reindex(texts.index).where(lambda values: values.notna(), None)
        numbers = self._dialect.numbers(cells).reindex(texts.index)
        # Numbers of more digits than float64 keeps are not whole numbers that anyone counts.
        whole = facts.whole and max(abs(facts.low), abs(facts.high)) < LARGEST_WHOLE
        return numbers.astype("Int64") if whole else numbers

    def texts(self, values: Iterable) -> list[str]:
        """Values as cells of this file."""
        if not self.is_numeric:
            return list(map(str, values))
        facts = self.facts
        if facts.decimals >= 0:
            return [self._dialect.text(float(value), facts.decimals, facts.low > 0.0) for value in values]
        levels = set(self.levels() or ())
        return [self._in_all_digits(float(value), value in levels) for value in values]

    @property
    def _lone_are_gaps(self) -> bool:
        return self._facts[1].count == self._facts[1].count_numbers

    def _in_all_digits(self, number: float, exact: bool) -> str:
        """A number of a column in which one has an exponent: nothing says where the others have their last digit.

        Digits go on until those are there by which its numbers differ, and six more; `exact` until it is none but this.
        """
        if number.is_integer() and abs(number) < LARGEST_WHOLE:
            return self._dialect.text(number, 0)
        low, high = self.facts.low, self.facts.high
        alike = max(abs(low), abs(high)) / (high - low) if high > low else math.inf
        digits = min(6.0 + math.log10(max(alike, 1.0)), _SURE_DIGITS)
        if exact:
            digits = next(count for count in _ALL_DIGITS if float(f"{number:.{count}g}") == number)
        return self._dialect.text(number, -1, digits=math.ceil(digits))

    def _are_words(self, texts: pd.Series) -> pd.Series:
        found = self._words.are(texts)
        return found & ~texts.isin(self._own) if self._own else found

    def _are_lone(self, texts: pd.Series) -> pd.Series:
        return texts.isin(LONE) & ~texts.isin(self._own)

    def _are_places(self, numbers: pd.Series, first_row: int) -> bool:
        if math.isnan(self._start) and len(numbers):
            self._start = float(numbers.iloc[0]) - first_row
        return bool((numbers == self._start + first_row + np.arange(len(numbers))).all())

    def _split(self, place: int) -> None:
        """Facts of their own for cells without some of the others, from now on."""
        before = self._facts[place]
        if before is self._facts[place - 1]:
            own = copy.deepcopy(before)
            self._facts = [own if n >= place and facts is before else facts for n, facts in enumerate(self._facts)]


def _is_infinite(text: str) -> bool:
    try:
        return math.isinf(float(text))
    except ValueError:
        return False
