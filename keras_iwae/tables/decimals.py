"""What marks decimals and thousands in a file, found in all of its cells and not in the first ones alone."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from keras_iwae.foundation import MARK

# As people type it: a hyphen, the minus of typography, or a dash.
MINUS = "\u2212\u2013"
_SIGN = rf"[+\-{MINUS}]?"
EXPONENT = rf"(?:[eE][+\-{MINUS}]?\d+)?"
# One group of three digits, which may be decimals too; no number of thousands begins with a zero.
GROUP = _SIGN + r"[1-9]\d{{0,2}}{mark}\d{{3}}"
# With the groups of two digits that India writes above the first thousand.
GROUPED = _SIGN + r"[1-9]\d{{0,2}}(?:{thousands}\d{{2,3}})*{thousands}\d{{3}}(?:{decimal}\d*)?" + EXPONENT
_START = rf"{_SIGN}[1-9]\d{{0,2}}"
# What a number with marks may look like; the first that a cell is counts.
_FORMS = {
    # Groups of three digits that can be nothing else.
    "points_and_comma": rf"{_START}(?:\.\d{{3}})+,\d+",
    "commas_and_point": rf"{_START}(?:,\d{{3}})+\.\d+",
    "points": rf"{_START}(?:\.\d{{3}}){{2,}}",
    "commas": rf"{_START}(?:,\d{{3}}){{2,}}",
    "point_group": GROUP.format(mark=r"\."),
    "comma_group": GROUP.format(mark=","),
    "point": rf"{_SIGN}\d*\.\d+{EXPONENT}",
    "comma": rf"{_SIGN}\d+,\d+{EXPONENT}",
}
# So many groups of three digits for each cell that is none make that one wrong: of decimals one in ten ends with a 0,
# which is left out.
_WRONG = 99
_FORM = re.compile("|".join(f"(?P<{name}>{form})" for name, form in _FORMS.items()))


class FoundMarks:
    """The first cell of each form that numbers with marks have, and how many there are, gathered row by row.

    Args:
        names: of the columns, in their order.
        missing: texts that stand for a cell that is not known, whatever mark they have.
        texts: names of columns that have no numbers.
    """

    def __init__(self, names: Sequence[str], missing: Collection[str], texts: Collection[str]):
        self._places = [place for place, name in enumerate(names) if name.strip() not in texts]
        self._missing = frozenset(missing)
        self._first: dict[str, str] = {}
        self._counts = dict.fromkeys(_FORMS, 0)

    def update(self, row: Sequence[str]) -> None:
        """Take in the next row."""
        for place in self._places:
            if place >= len(row):
                return
            cell = row[place]
            # Most cells have none, and are soon passed over.
            if ("." in cell or "," in cell) and (cell := cell.strip()) not in self._missing:
                form = _FORM.fullmatch(cell)
                if form is not None:
                    name = str(form.lastgroup)
                    self._first.setdefault(name, cell)
                    self._counts[name] += 1

    def settled(self, separator: str, path: Path) -> tuple[str, str]:
        """The mark of decimals, and of thousands, empty for none.

        Args:
            separator: between two columns.
            path: the file, for the error.

        Raises:
            ValueError: if decimals have two marks.
        """
        first = self._first.get
        if first("points_and_comma") or first("points"):
            return ",", "."
        if first("commas_and_point") or first("commas"):
            return ".", ","
        if separator == "," and self._counts["comma_group"] > _WRONG * self._counts["comma"]:
            return ".", ","
        comma, point = first("comma") or first("comma_group"), first("point") or first("point_group")
        if comma and point:
            raise ValueError(
                f"{MARK}{path}`. Expected numbers with one mark of decimals; what stands for a cell that is not known "
                f"is for `missing`. Received: {comma!r} and {point!r}"
            )
        return (",", "") if comma else (".", "")
