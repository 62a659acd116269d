"""What a person says of columns: a kind by name, `Column` for one with its levels, or "ordinal(low<mid<high)"."""

import re
from collections.abc import Mapping
from typing import Any

from keras_iwae.foundation import MARK, check_choice
from keras_iwae.tables.schema import KINDS, LEVELLED, Column
from keras_iwae.tables.values import refusal

Kind = str | Column
_ORDER = re.compile(r"ordinal\((.*)\)", re.DOTALL)


def check_kind(argument: str, name: Any, said: Any) -> Kind:
    """What is said of a column, a `Column` where its levels are said.

    Args:
        argument: what the caller knows it by.
        name: of the column.
        said: one of `KINDS`, a `Column`, or the levels of an ordinal one in their order, with < between them.

    Raises:
        ValueError: if it is none of these, or a `Column` of another name.

    Example:
        >>> check_kind("kinds", "size", "ordinal(S<M<L)").categories
        ('S', 'M', 'L')
    """
    if isinstance(said, Column):
        if said.name != name:
            raise refusal(name, "a Column of the same name", repr(said.name))
        return said
    order = _ORDER.fullmatch(said) if isinstance(said, str) else None
    if order is None:
        check_choice(argument, said, KINDS)
        return said
    levels = tuple(level.strip() for level in order[1].split("<"))
    if len(levels) < 2 or "" in levels:
        expected = "levels with < between them, as 'ordinal(low<mid<high)'; where one has a < in it, a Column"
        raise ValueError(f"{MARK}{argument}`. Expected {expected}. Received: {said!r}")
    return Column(name, "ordinal", levels)


def check_kinds(kinds: Any) -> dict[str, Kind]:
    """What is said of the columns of a file, by name.

    Raises:
        ValueError: if it is no dictionary, or says of a column what none is.
    """
    if not isinstance(kinds, (Mapping, type(None))):
        raise ValueError(f"{MARK}kinds`. Expected a dictionary of kinds by name. Received: {kinds!r}")
    return {name: check_kind(f"kinds[{name!r}]", name, said) for name, said in (kinds or {}).items()}


def kind_name(said: Kind | None) -> str | None:
    """The kind alone, one of `KINDS`; `None` where nothing is said."""
    return said.kind if isinstance(said, Column) else said


def says_numbers(said: Kind | None) -> bool:
    """Whether the cells of a file are then numbers, whatever they look like."""
    if isinstance(said, Column) and said.categories is not None:
        return not any(isinstance(level, str) for level in said.categories)
    return kind_name(said) in ("real", "positive", "count")


def says_levels(said: Kind | None) -> bool:
    """Whether a column has levels then, of which all have to be known."""
    return kind_name(said) in LEVELLED


def says_texts(said: Kind | None) -> bool:
    """Whether the cells of a file are then levels to the letter, so that 1.10 is not 1.1."""
    if isinstance(said, Column) and said.categories is not None:
        return not says_numbers(said)
    return kind_name(said) in ("binary", "categorical")
