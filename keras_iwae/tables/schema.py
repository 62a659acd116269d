"""What each column of a table is: its kind, its levels, its unit."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import pandas as pd

from keras_iwae.foundation import MARK, check_choice
from keras_iwae.tables.dtypes import dtype_of, holds_numbers, not_held
from keras_iwae.tables.values import refusal

KINDS = ("real", "positive", "count", "binary", "categorical", "ordinal")
LEVELLED = ("binary", "categorical", "ordinal")
# Names of columns of a kind, on one line.
_SHOWN = 8
_UNORDERED = (str, set, frozenset)


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: its name, a string or an integer.
        kind: "real"; "positive", a number above 0 whose logarithm is modelled; "count", a whole number from 0 on;
            "binary", one of two levels; "categorical"; or "ordinal", levels in an order.
        categories: the levels, in their order: strings, numbers or booleans; `None` where there are none.
        unit: what it is measured in, for people; the page about a file that was filled in shows it.
        dtype: pandas' dtype, as text, that filled-in values come back in; `None` is that of the table.

    Raises:
        ValueError: if there is no such kind, levels are missing, given twice, or given where there are none, or the
            dtype does not have them, or no numbers where there are none.

    Example:
        >>> Column("smoker", "binary", ("no", "yes")).categories
        ('no', 'yes')
    """

    name: str | int
    kind: str
    categories: tuple | None = None
    unit: str | None = None
    dtype: str | None = None

    def __post_init__(self):
        if not isinstance(self.name, (str, int)):
            raise ValueError(f"{MARK}name`. Expected a string or an integer. Received: {self.name!r}")
        check_choice(f"column {self.name!r}: kind", self.kind, KINDS)
        if (self.categories is None) is self.has_levels:
            expected = "levels" if self.has_levels else "None"
            raise refusal(self.name, f"categories={expected} of the kind {self.kind!r}", repr(self.categories))
        if self.categories is not None:
            # The letters of a text would be levels too, and a set has another order each time.
            if isinstance(self.categories, _UNORDERED) or not isinstance(self.categories, Iterable):
                raise refusal(self.name, "levels in their order, as ('no', 'yes')", f"categories={self.categories!r}")
            object.__setattr__(self, "categories", tuple(getattr(c, "item", lambda c=c: c)() for c in self.categories))
            self._check_categories(self.categories)
        if not isinstance(self.unit, (str, type(None))):
            raise refusal(self.name, "unit=a text, or None", repr(self.unit))
        if self.dtype is not None:
            self._check_dtype(self.dtype)

    def _check_dtype(self, dtype: str) -> None:
        try:
            found = dtype_of(dtype, self.categories)
        except ValueError:
            expected = "dtype=a dtype of pandas that its text alone says, and that its levels have; `astype` makes a "
            raise refusal(self.name, f"{expected}column one", repr(dtype)) from None
        if self.categories is None:
            if not holds_numbers(found):
                raise refusal(self.name, f"dtype=one of numbers, of the kind {self.kind!r}", repr(dtype))
        elif unheld := not_held(dtype, self.categories):
            raise refusal(self.name, "dtype=one that its levels have, as they are", f"{dtype!r} for {unheld[0]!r}")

    def _check_categories(self, categories: tuple) -> None:
        wrong = [c for c in categories if not isinstance(c, (str, int, float)) or c in (math.inf, -math.inf) or c != c]
        if wrong:
            expected = "levels that are strings, finite numbers or booleans"
            raise refusal(self.name, expected, f"{wrong[0]!r}; name them in text")
        if len(set(categories)) < len(categories):
            raise refusal(self.name, "levels that all differ", repr(categories))
        if not categories or (self.kind == "binary" and len(categories) != 2):
            raise refusal(self.name, "two levels" if categories else "at least one level", repr(categories))

    @property
    def has_levels(self) -> bool:
        """Whether its values are levels, and not numbers."""
        return self.kind in LEVELLED


def kinds_text(columns: Iterable[Column]) -> str:
    """What columns are, for a person, in one line."""
    parts = []
    for kind in KINDS:
        ours = [column for column in columns if column.kind == kind]
        levels = [f" ({_counted(len(column.categories))})" if column.categories else "" for column in ours]
        names = [f"{column.name}{of}" for column, of in zip(ours, levels, strict=True)]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        parts += [f"{kind}: {', '.join(names[:_SHOWN])}{more}"] if names else []
    return "; ".join(parts)


def _counted(levels: int) -> str:
    return "1 level" if levels == 1 else f"{levels} levels"


_FIELDS = {field.name for field in fields(Column)}


@dataclass(frozen=True)
class Schema:
    """The columns of a table, in their order.

    Attributes:
        columns: a `Column` for each.

    Raises:
        ValueError: if there is none, one is none, or two have the same name.

    Example:
        >>> frame = pd.DataFrame({"stage": ["I", "III", "II", "I"], "age": [40.5, 61.0, 55.5, 48.0]})
        >>> schema = Schema.infer(frame, {"stage": Column("stage", "ordinal", ("I", "II", "III"))})
        >>> Schema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema
        True
    """

    columns: tuple[Column, ...]

    def __post_init__(self):
        if isinstance(self.columns, _UNORDERED):
            raise ValueError(f"{MARK}columns`. Expected columns in their order. Received: {self.columns!r:.200}")
        columns = tuple(self.columns) if isinstance(self.columns, Iterable) else (self.columns,)
        if wrong := [column for column in columns if not isinstance(column, Column)]:
            raise ValueError(f"{MARK}columns`. Expected a Column for each. Received: {wrong[0]!r}")
        object.__setattr__(self, "columns", columns)
        if not self.columns:
            raise ValueError(f"{MARK}columns`. Expected at least one. Received: none")
        check_names(self.names)

    def __len__(self) -> int:
        return len(self.columns)

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    @property
    def names(self) -> list:
        """Names of the columns."""
        return [column.name for column in self.columns]

    @classmethod
    def infer(cls, frame: pd.DataFrame, columns: Mapping[Any, str | Column] | None = None) -> "Schema":
        """The schema of a table, by its dtypes and values.

        Booleans and columns of two levels are binary; text and pandas' categories are categorical, or ordinal where
        they are in an order; whole numbers are counts where they vary like counts, ordinal where there are few of them,
        and else real; other numbers are real, or positive where it is their logarithms that are not skewed. A constant
        column of numbers is real.

        Args:
            frame: the table, with whatever pandas takes for missing.
            columns: for some columns by name what they are: a kind, "ordinal(low<mid<high)", or a `Column`.

        Returns:
            the schema, with the dtypes of the table.

        Raises:
            ValueError: which names the column, if names repeat, or a column is all missing, of mixed types, of dates or
                free text, holds infinity, or is not what `columns` says.
        """
        # Here, for they make columns.
        from keras_iwae.tables.inference import infer_column
        from keras_iwae.tables.kinds import check_kind

        check_frame(frame)
        if not isinstance(columns, (Mapping, type(None))):
            raise ValueError(f"{MARK}columns`. Expected a dictionary of kinds by name. Received: {columns!r:.200}")
        given = dict(columns or {})
        unknown = [name for name in given if name not in frame.columns]
        if unknown:
            raise ValueError(f"{MARK}columns`. Expected names of {list(frame.columns)}. Received: {unknown[0]!r}")
        given = {name: check_kind(f"column {name!r}", name, said) for name, said in given.items()}
        return cls(tuple(infer_column(frame[name], name, given.get(name)) for name in frame.columns))

    def check(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The columns of a table in the order of the schema.

        Raises:
            ValueError: if it is no table, or has not these columns and no others.
        """
        check_frame(frame)
        lacking = [name for name in self.names if name not in frame.columns]
        more = [name for name in frame.columns if name not in self.names]
        if lacking or more:
            received = f"none called {lacking[0]!r}" if lacking else f"{more[0]!r} too"
            raise ValueError(f"{MARK}frame`. Expected the columns {self.names}. Received: {received}")
        return frame[self.names]

    def to_dict(self) -> dict:
        """As a dictionary that JSON can hold."""
        return {"columns": [asdict(column) for column in self.columns]}

    @classmethod
    def from_dict(cls, value: Mapping) -> "Schema":
        """The schema of which `to_dict` made this dictionary."""
        found = value["columns"] if isinstance(value, Mapping) and value.keys() == {"columns"} else None
        if not isinstance(found, (list, tuple)) or not all(
            isinstance(column, Mapping) and column.keys() == _FIELDS for column in found
        ):
            raise ValueError(f"{MARK}value`. Expected what `to_dict` makes of a schema. Received: {value!r:.200}")
        return cls(tuple(Column(**column) for column in found))


def check_frame(frame: Any) -> None:
    """Refuse what is no table with rows and columns of different names.

    Raises:
        ValueError: if it is none.
    """
    if not isinstance(frame, pd.DataFrame):
        raise ValueError(f"{MARK}frame`. Expected a pandas DataFrame. Received: a {type(frame).__name__}")
    if 0 in frame.shape:
        raise ValueError(f"{MARK}frame`. Expected rows and columns. Received: shape {list(frame.shape)}")
    check_names(frame.columns)


def check_names(names: Sequence) -> None:
    """Refuse names that repeat.

    Raises:
        ValueError: which says which.
    """
    seen: set = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{MARK}columns`. Expected names that all differ. Received: {name!r} twice")
        seen.add(name)
