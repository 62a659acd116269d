"""Results of several tables as one array, where the same place is the same quantity: by labels, if there are some."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from keras_iwae.foundation import MARK


@dataclass(frozen=True)
class Labelled:
    """Numbers of m tables.

    Attributes:
        argument: what the caller knows them by.
        values: float64 `[m, ...]`.
        axes: labels along each axis, `None` along one without; empty where there are none at all.
        moved: whether a table had its labels in another order than the first.
    """

    argument: str
    values: np.ndarray
    axes: tuple[pd.Index | None, ...] = ()
    moved: bool = False

    @classmethod
    def of(cls, argument: str, given: Any) -> "Labelled":
        """An array, a Series or DataFrame with a row for each table, or a sequence of what each table gave.

        Raises:
            ValueError: if these are no numbers, some are masked, or labels are not the same for every table.
        """
        for part in _parts(given):
            _check_numbers(argument, part)
        if _has_labels(given):
            return cls(argument, _array(argument, given), tuple(given.axes))
        if not isinstance(given, (list, tuple)) or not any(_has_labels(each) for each in given):
            return cls(argument, _array(argument, given))
        first, placed, moved = given[0], [], False
        for each in given:
            if type(each) is not type(first):
                expected = "labels of every table or of none"
                raise ValueError(f"{MARK}{argument}`. Expected {expected}. Received: {first!r:.80} and {each!r:.80}")
            places = [_places(argument, *pair) for pair in zip(first.axes, each.axes, strict=True)]
            moved |= any((place != np.arange(len(place))).any() for place in places)
            placed.append(_array(argument, each)[np.ix_(*places)])
        return cls(argument, _array(argument, placed), (None, *first.axes), moved)

    def placed_as(self, other: "Labelled") -> np.ndarray:
        """The values, float64 `[m, ...]`, in the order that those of `other` have.

        Raises:
            ValueError: if shapes or labels differ, or it cannot be known which value belongs to which.
        """
        if self.values.shape != other.values.shape:
            shapes = list(other.values.shape), list(self.values.shape)
            raise ValueError(f"{MARK}{self.argument}`. Expected shape {shapes[0]}. Received: {shapes[1]}")
        if not (self.axes and other.axes):
            if self.moved or other.moved:
                one, none = (self, other) if self.axes else (other, self)
                expected = f"labels, as the {one.argument} have them, of which each table has an order of its own"
                raise ValueError(f"{MARK}{none.argument}`. Expected {expected}. Received: none")
            return self.values
        values = self.values
        for axis, (own, wanted) in enumerate(zip(self.axes, other.axes, strict=True)):
            if own is not None and wanted is not None:
                values = values.take(_places(self.argument, wanted, own), axis=axis)
        return values

    def named(self, values: np.ndarray) -> Any:
        """Values `[...]` that were pooled over the tables, with the labels that each table had."""
        if len(self.axes) == 2 and self.axes[1] is not None:
            return pd.Series(values, self.axes[1])
        if len(self.axes) == 3:
            return pd.DataFrame(values, self.axes[1], self.axes[2])
        return values


def _has_labels(given: Any) -> bool:
    return isinstance(given, (pd.Series, pd.DataFrame))


def _parts(given: Any) -> Iterator[Any]:
    """What has a dtype of its own in nested sequences, of which NumPy would make one dtype."""
    if isinstance(given, (list, tuple)):
        for each in given:
            yield from _parts(each)
    elif isinstance(given, pd.DataFrame):
        for place in range(given.shape[1]):
            yield given.iloc[:, place]
    else:
        yield given


def _check_numbers(argument: str, part: Any) -> None:
    if isinstance(part, np.ma.MaskedArray) and np.ma.getmaskarray(part).any():
        expected = "numbers of every table, none of them masked; compute what is missing, or leave it out of all"
        raise ValueError(f"{MARK}{argument}`. Expected {expected}. Received: {part!r:.80}")
    found = np.asarray(part)
    words = found.dtype == object and any(isinstance(cell, (str, bytes, bool, np.bool_)) for cell in found.flat)
    if words or found.dtype.kind not in "iufO":
        raise ValueError(f"{MARK}{argument}`. Expected numbers. Received: {part!r:.80}")


def _array(argument: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        expected = "numbers of one shape for each table"
        raise ValueError(f"{MARK}{argument}`. Expected {expected}. Received: {values!r:.80}") from None


def _places(argument: str, wanted: pd.Index, own: pd.Index) -> np.ndarray:
    """Where each of the labels that are wanted is among others, which are the same in any order."""
    if wanted.equals(own):
        return np.arange(len(own))
    remedy = "reindex the result of each table, with a number for what is not there"
    expected = f"the same labels for every table, and for estimates and variances, each once; {remedy}"
    mark = f"{MARK}{argument}`. Expected {expected}. Received: "
    twice: Sequence = [*wanted[wanted.duplicated()], *own[own.duplicated()]]
    if twice:
        raise ValueError(f"{mark}{twice[0]!r} twice, and another order")
    lacking = [*wanted.difference(own, sort=False), *own.difference(wanted, sort=False)]
    if lacking:
        raise ValueError(f"{mark}one with {lacking[0]!r} and one without")
    return own.get_indexer(wanted)
