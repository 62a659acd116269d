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
_OCTET = r"(?:[01]?\d?\d|2[0-4]\d|25[0-5])"
_START = rf"{_SIGN}[1-9]\d{{0,2}}"
# What a number with marks may look like; the first that a cell is counts.
_FORMS = {
    # Groups of three digits that can be nothing else, but for names of machines and of versions.
    "points_and_comma": rf"{_START}(?:\.\d{{3}})+,\d+",
    "commas_and_point": rf"{_START}(?:,\d{{3}})+\.\d+",
    "address": rf"(?:{_OCTET}\.){{3}}{_OCTET}",
    "points": rf"{_START}(?:\.\d{{3}}){{2,}}",
    "commas": rf"{_START}(?:,\d{{3}}){{2,}}",
    "point_group": GROUP.format(mark=r"\."),
    "comma_group": GROUP.format(mark=","),
    "dotted": r"\d+(?:\.\d+){2,}",
    "point": rf"{_SIGN}\d*\.\d+{EXPONENT}",
    "comma": rf"{_SIGN}\d+,\d+{EXPONENT}",
}
# So many groups of three digits for each cell that is none make that one wrong: of decimals one in ten ends with a 0,
# which is left out.
_WRONG = 99
# A share of numbers in which somebody may have typed a point too many.
_TYPED = 0.1
_FORM = re.compile("|".join(f"(?P<{name}>{form})" for name, form in _FORMS.items()))


class _Forms(dict[str, str]):
    """The first cell of a column of each form, by its name, and how many there are."""

    def __init__(self):
        super().__init__()
        self.counts = dict.fromkeys(_FORMS, 0)

    def update_with(self, form: str, cell: str) -> None:
        """Take in the next cell."""
        self.setdefault(form, cell)
        self.counts[form] += 1

    def first(self, *forms: str) -> str | None:
        """A cell of one of these forms."""
        return next((self[form] for form in forms if form in self), None)

    @property
    def thousands(self) -> str | None:
        """A cell whose points separate thousands, for sure; 192.168.100.101 is one only beside others."""
        alone = self.first("points", "point_group", "points_and_comma") is None
        return None if alone else self.first("points", "address")

    @property
    def are_names(self) -> bool:
        """Whether it is no column of numbers, but of addresses, versions or dates."""
        numbers = sum(self.counts[form] for form in ("points", "point_group", "points_and_comma"))
        dotted = self.counts["dotted"] > max(numbers, _TYPED * self.counts["point"])
        return dotted or (self.counts["address"] > 0 and not numbers)


class FoundMarks:
    """The forms that numbers with marks have in each column, gathered row by row.

    Args:
        names: of the columns, in their order.
        missing: texts that stand for a cell that is not known, whatever mark they have.
        texts: names of columns that have no numbers.
    """

    def __init__(self, names: Sequence[str], missing: Collection[str], texts: Collection[str]):
        self._columns = {place: _Forms() for place, name in enumerate(names) if name.strip() not in texts}
        self._missing = frozenset(missing)

    def update(self, row: Sequence[str]) -> None:
        """Take in the next row."""
        for place, forms in self._columns.items():
            if place >= len(row):
                return
            cell = row[place]
            # Most cells have none, and are soon passed over.
            if ("." in cell or "," in cell) and (cell := cell.strip()) not in self._missing:
                form = _FORM.fullmatch(cell)
                if form is not None:
                    forms.update_with(str(form.lastgroup), cell)

    def settled(self, separator: str, path: Path) -> tuple[str, str]:
        """The mark of decimals, and of thousands, empty for none.

        Args:
            separator: between two columns.
            path: the file, for the error.

        Raises:
            ValueError: if decimals have two marks.
        """
        columns = [forms for forms in self._columns.values() if not forms.are_names]

        def first(*forms: str, of: Sequence[_Forms] = columns) -> str | None:
            return next((cell for column in of if (cell := column.first(*forms))), None)

        if first("points_and_comma"):
            return ",", "."
        if first("commas_and_point"):
            return ".", ","
        # What other columns have by the same mark says whether it is one of thousands there too.
        with_points = [column for column in columns if column.thousands]
        beside_points = [column for column in columns if not column.thousands]
        beside_commas = [column for column in columns if "commas" not in column]
        # Between columns that commas separate a point is one of decimals, where it may be.
        decimals = ("point", "point_group") if separator == "," and not first("comma", of=beside_commas) else ("point",)
        if with_points and not first(*decimals, of=beside_points):
            return ",", "."
        if first("commas") and not first("comma", of=beside_commas):
            return ".", ","
        groups, others = (sum(column.counts[form] for column in columns) for form in ("comma_group", "comma"))
        if separator == "," and groups > _WRONG * others:
            return ".", ","
        comma, point = first("comma", "comma_group"), first("point", "point_group")
        if comma and point:
            raise ValueError(
                f"{MARK}{path}`. Expected numbers with one mark of decimals; what stands for a cell that is not known "
                f"is for `missing`. Received: {comma!r} and {point!r}"
            )
        return (",", "") if comma else (".", "")
