"""Whether the last row of a table is one of sums or means of the rows above it."""

import math

from keras_iwae.tables.facts import Facts

# In small letters, without a colon behind.
_WORDS = ("total", "totals", "sum", "mean", "average", "avg", "gesamt", "summe", "mittelwert", "somme", "moyenne")
# Rows of which a sum or mean is none of them by chance.
_FEWEST = 3
_TOLERANCE = 1e-9


def is_total(cell: str) -> bool:
    """Whether a cell is a word for a sum or a mean, as "Total" or "Grand total:" is."""
    return cell.strip().rstrip(":").lower().removeprefix("grand ").strip() in _WORDS


def total_of(value: float, facts: Facts) -> str | None:
    """What the last number of a column is of the numbers above it, as far as its digits say.

    Args:
        value: the last number.
        facts: of all numbers of the column, this one among them.

    Returns:
        "sum" or "mean"; `None` where it is neither, or could be either of any numbers, as of zeros alone.
    """
    others, rest = facts.count_numbers - 1, facts.total - value
    if others < _FEWEST or facts.low == facts.high or facts.decimals < 0:
        return None
    rounding = 0.51 * 10.0**-facts.decimals
    for what, found in (("sum", rest), ("mean", rest / others)):
        if math.isclose(value, found, rel_tol=_TOLERANCE, abs_tol=rounding):
            return what
    return None
