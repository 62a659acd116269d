"""Texts that stand for a cell that is not known: to the letter, and in columns of numbers by their value.

What is a gap whatever stands beside it is in `MISSING`: nobody who has it means a level. `LONE` is a gap among numbers,
and a result of a test among signs. `DOUBTFUL` is a level among texts, as none beside mild and severe, and among numbers
no more than a question.
"""

from collections.abc import Collection

import pandas as pd

from keras_iwae.tables.dialect import MISSING, Dialect

LONE = (".", "-")
# In small letters; those with a mark are of Excel.
DOUBTFUL = (
    *(
        "none",
        "nil",
        "unknown",
        "unk",
        "missing",
        "n.a.",
        "n.a",
        "not available",
        "nat",
        "--",
        "---",
        "\u2013",
        "\u2014",
        "..",
    ),
    *("...", "#div/0!", "#name?", "#null!", "#num!", "#ref!", "#value!"),
)


class Words:
    """The usual ones and further ones: -999 is -999.0 and -999,0 too in a column of numbers, and -999 in one of text.

    Args:
        further: those beside nothing, NA, NaN, ? and others.
        dialect: of the file, by which texts are numbers; one that is none by it may be one with a decimal point.

    Attributes:
        further: the further ones.
    """

    def __init__(self, further: Collection[str], dialect: Dialect):
        self.further = frozenset(further)
        self._further = pd.Series(list(further), dtype=object)
        self._texts = {*MISSING, *further}
        known = dialect.numbers(self._further)
        self._values = known.fillna(pd.to_numeric(self._further, errors="coerce").astype(float))
        self._seen: set[str] = set()

    def are(self, texts: pd.Series) -> pd.Series:
        """Which of some stripped texts are one of them to the letter, bool; for `unseen` these are seen."""
        found = texts.isin(self._texts)
        self._seen.update(texts[found])
        return found

    def equal(self, numbers: pd.Series) -> pd.Series:
        """Which of some numbers, NaN among them, have the value of one of them, bool."""
        return numbers.isin(self._values.dropna())

    def unseen(self, numbers: Collection[float]) -> set[str]:
        """Those further ones that were seen neither to the letter nor as one of these numbers."""
        seen = self._further.isin(self._seen) | self._values.isin(numbers)
        return set(self._further[~seen])
