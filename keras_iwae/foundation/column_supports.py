"""Which values each column of a table may have: one `Support` a column, checked as one."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_iwae.foundation.support import Support


@dataclass(frozen=True)
class ColumnSupports:
    """The values of a table of D columns; it is asked what a `Support` is asked.

    Attributes:
        columns: the support of each column.

    Example:
        >>> str(ColumnSupports((Support(), Support(0.0, 1.0, integers=True))))
        'finite values in column 0, integers in [0, 1] in column 1'
    """

    columns: tuple[Support, ...]

    def __str__(self) -> str:
        return ", ".join(f"{support} in {_named(columns)}" for support, columns in self._groups())

    @property
    def low(self) -> float:
        """The smallest value of any column."""
        return min(support.low for support in self.columns)

    @property
    def high(self) -> float:
        """The largest value of any column."""
        return max(support.high for support in self.columns)

    @property
    def integers(self) -> bool:
        """Whether all columns have only whole numbers."""
        return all(support.integers for support in self.columns)

    @property
    def bounded(self) -> bool:
        """Whether every column has a smallest and a largest value."""
        return all(support.bounded for support in self.columns)

    @property
    def of_means(self) -> "ColumnSupports":
        """What the means of such values are in."""
        return ColumnSupports(tuple(support.of_means for support in self.columns))

    @property
    def nearest_to_zero(self) -> list[float]:
        """A value that each column may have, for the place of one that is missing."""
        return [support.nearest_to_zero for support in self.columns]

    def check(
        self, events: np.ndarray, argument: str, event_shape: tuple[int, ...] | None = None, missing: bool = False
    ) -> np.ndarray:
        """As `Support.check`, of events `[N, D]`; the error names the column, counted from 0."""
        if isinstance(dtype := getattr(events, "dtype", None), np.dtype):
            self.check_bools(dtype, argument)
        checked = Support().check(events, argument, event_shape or (len(self.columns),), missing)
        for support, columns in self._groups():
            part = checked[:, columns]
            try:
                part = support.check(part, argument, None, missing)
            except ValueError:
                for column in columns:
                    support.check(checked[:, [column]], f"{argument}: column {column}", None, missing)
            if support.integers:
                # It may be the caller's own array.
                checked = checked.copy()
                checked[:, columns] = part
        return checked

    def check_bools(self, dtype: np.dtype | tf.DType, argument: str) -> None:
        """As `Support.check_bools`, of all columns."""
        for support, columns in self._groups():
            support.check_bools(dtype, f"{argument}: {_named(columns)}")

    def checked(self, events: tf.Tensor, argument: str, missing: bool = False) -> tf.Tensor:
        """As `Support.checked`, of events `[..., D]`; the error names the columns of the same support."""
        groups = list(self._groups())
        if len(groups) == 1:
            return groups[0][0].checked(events, argument, missing)
        order = np.concatenate([columns for _, columns in groups])
        parts = [
            support.checked(tf.gather(events, columns, axis=-1), f"{argument}: {_named(columns)}", missing)
            for support, columns in groups
        ]
        return tf.gather(tf.concat(parts, axis=-1), np.argsort(order), axis=-1)

    def _groups(self) -> Iterator[tuple[Support, list[int]]]:
        """Each support with the columns that have it, in the order of their first."""
        for support in dict.fromkeys(self.columns):
            yield support, [index for index, other in enumerate(self.columns) if other == support]


def _named(columns: list[int]) -> str:
    return f"column{'s' if len(columns) > 1 else ''} {', '.join(map(str, columns))}"
