"""What all cells of a column of a file have in common, gathered a chunk at a time."""

import math

import numpy as np
import pandas as pd

# Different cells that are kept of a column of which nothing is said, and of one that is said to have levels.
MOST, MOST_SAID = 60, 10_000


class Facts:
    """What is known of a column.

    Args:
        as_text: whether it is read as text, whatever its cells are.
        most: how many different cells are kept.

    Attributes:
        as_text: the same.
        most: the same.
        count: cells that were observed.
        count_numbers: those that are numbers.
        low: the smallest number.
        high: the largest number.
        total: the sum of all numbers.
        whole: whether all numbers are whole.
        coded: whether some number begins with a zero as postal codes do, so that it is none.
        decimals: most digits behind the mark; -1 where a number has an exponent.
        distinct: the different cells, `None` where there are many.
        text: the first cell that is no number, or a code.
        row: where it is, counted from 1.
    """

    def __init__(self, as_text: bool = False, most: int = MOST):
        self.as_text, self.most = as_text, most
        self.count = self.count_numbers = self.decimals = self.row = 0
        self.low, self.high, self.total, self.whole, self.coded = math.inf, -math.inf, 0.0, True, False
        self.distinct: dict | None = {}
        self.text: str | None = None

    @property
    def numeric(self) -> bool:
        """Whether it is read as numbers: every observed cell is one, and no code of digits."""
        return self.count == self.count_numbers and not self.coded and not self.as_text

    def update(
        self,
        cells: pd.Series,
        numbers: pd.Series,
        first_row: int,
        decimals: int = 0,
        codes: pd.Series | None = None,
    ) -> None:
        """Take in the next rows.

        Args:
            cells: the observed ones, by their place in the chunk.
            numbers: the same as float64, NaN where one is no number.
            first_row: rows before this chunk.
            decimals: most digits behind the mark of these numbers, -1 where one has an exponent.
            codes: which of the cells begin with a zero as no number does, bool; `None` for none of them.
        """
        self.decimals = -1 if min(self.decimals, decimals) < 0 else max(self.decimals, decimals)
        known = numbers.dropna()
        self.count, self.count_numbers = self.count + len(cells), self.count_numbers + len(known)
        wrong = numbers.isna()
        if codes is not None:
            wrong |= codes
            self.coded |= bool(codes.any())
        if self.text is None and wrong.any():
            place = numbers.index[wrong][0]
            self.text, self.row = str(cells[place]), first_row + int(place) + 1
        if len(known):
            self.low, self.high = min(self.low, float(known.min())), max(self.high, float(known.max()))
            self.total += float(known.sum())
            self.whole = self.whole and bool((known == np.floor(known)).all())
        if self.distinct is not None:
            self.distinct |= dict.fromkeys(cells.unique())
            if len(self.distinct) > self.most:
                self.distinct = None
