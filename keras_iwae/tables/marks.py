"""Whether what marks decimals in a file may mark thousands, or the other way round, as in 1,234."""

import re

import pandas as pd

from keras_iwae.foundation import MARK
from keras_iwae.tables.decimals import GROUP
from keras_iwae.tables.dialect import Dialect

# Where numbers without a mark end, if thousands have one.
_LEAST, _THOUSAND = 100.0, 1000.0


class Marks:
    """The marks in the numbers of a file, gathered a column of a chunk at a time.

    Args:
        dialect: what they are read by.

    Attributes:
        seen: whether some number has one.
        doubt: a number that another reading of its mark makes a thousand times as large or small, where no other
            number of the file says which it is; `None` elsewhere.
    """

    def __init__(self, dialect: Dialect):
        self.seen = False
        self.doubt: str | None = None
        self._thousands = bool(dialect.thousands)
        self._marks = f"[{re.escape(dialect.decimal + dialect.thousands)}]"
        mark = dialect.thousands or dialect.decimal
        # A point between columns that commas separate is one of decimals.
        self._group = None if (mark, dialect.separator) == (".", ",") else GROUP.format(mark=re.escape(mark))
        self._doubts: dict[str, str] = {}
        self._largest: dict[str, float] = {}

    def update(self, name: str, texts: pd.Series, numbers: pd.Series) -> None:
        """Take in the next numbers of a column, as text and as float64."""
        if self.seen and self.doubt is None:
            return
        has_mark = texts.str.contains(self._marks).astype(bool)
        marked = texts[has_mark]
        doubtful = marked[:0] if self._group is None else marked[marked.str.fullmatch(self._group)]
        self.seen |= len(marked) > 0
        if len(marked) > len(doubtful):
            self.doubt = None
            return
        if len(doubtful):
            self.doubt = self.doubt or str(doubtful.iloc[0])
            self._doubts.setdefault(name, str(doubtful.iloc[0]))
        if not has_mark.all():
            self._largest[name] = max(self._largest.get(name, 0.0), float(numbers[~has_mark].abs().max()))

    def check(self, name: str) -> None:
        """Refuse a column of which some numbers are read as small ones, where they are the thousands of the others.

        Raises:
            ValueError: which names the column.
        """
        cell, largest = self._doubts.get(name), self._largest.get(name, 0.0)
        if self.doubt is not None and not self._thousands and cell and _LEAST <= largest < _THOUSAND:
            raise ValueError(
                f"{MARK}column {name!r}`. Expected numbers that say whether they have a mark of decimals or of "
                f"thousands, which is best left out. Received: {cell!r} beside {largest:g}, and none above without one"
            )
