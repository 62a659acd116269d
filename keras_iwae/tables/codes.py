"""Numbers that stand for what is not known in many a file, and are of no other: -999 among weights, 9999 among ages."""

import math
import warnings
from collections.abc import Container

import pandas as pd

from keras_iwae.tables.values import check_type, missing_of, numbers

_CODES = (-9.0, -99.0, -999.0, -9999.0, -99999.0, 999.0, 9999.0, 99999.0)
# Cells that have one, and others to tell by.
_FEWEST, _FEWEST_OTHERS = 2, 5


class Codes:
    """How often such numbers are in a column, and between what ends the others are, gathered a chunk at a time."""

    def __init__(self):
        self._counts: dict[float, int] = {}
        self._others, self._low, self._high = 0, math.inf, -math.inf

    def update(self, numbers: pd.Series) -> None:
        """Take in the next numbers, none of them missing."""
        found = numbers.isin(_CODES)
        for value, count in numbers[found].value_counts().items():
            self._counts[value] = self._counts.get(value, 0) + count
        others = numbers[~found]
        if len(others):
            self._others += len(others)
            self._low, self._high = min(self._low, float(others.min())), max(self._high, float(others.max()))

    @property
    def likely(self) -> tuple[float, int] | None:
        """One that is far from all others, and in how many cells; `None` where there is none.

        Below 0 among numbers that are not, or further from them than these are from each other.
        """
        if self._others < _FEWEST_OTHERS:
            return None
        spread = self._high - self._low
        for value, count in self._counts.items():
            alone = value < 0.0 <= self._low or not self._low - spread <= value <= self._high + spread
            if count >= _FEWEST and alone:
                return value, count
        return None


def warn_of_codes(frame: pd.DataFrame, said: Container) -> None:
    """Say which columns of a table have such a number.

    Args:
        frame: the table.
        said: names of columns of which somebody said what they are.
    """
    for name in frame.columns:
        cells = frame[name][~missing_of(frame[name])]
        if name in said or isinstance(cells.dtype, pd.CategoricalDtype) or check_type(cells, name) != "number":
            continue
        codes = Codes()
        codes.update(pd.Series(numbers(cells, name)))
        if codes.likely is not None:
            warnings.warn(f"{code_text(name, *codes.likely)}, put NaN there", stacklevel=3)


def code_text(name: object, value: float, count: int) -> str:
    """What is said of such a number, up to what to do."""
    return (
        f"the column {name!r} has {value:g} in {count} rows, far from its other numbers; if it stands for what is not "
        "known"
    )
