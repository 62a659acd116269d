"""Cells of one column as tensors: from the units of the table to the numbers of the model, and back."""

import keyword
import math
import re
from typing import NamedTuple

import numpy as np
import pandas as pd
import tensorflow as tf

from keras_iwae.foundation import MARK
from keras_iwae.tables import LARGEST_LOG, MOST_COUNTED, Coding, Column, dtype_of, least_above_zero

# Names of what is asked and answered beside the columns, and what TensorFlow calls its own functions' first argument.
_TAKEN = ("seed", "log_likelihood", "effective_sample_size", "pareto_k", "self")
# As in a support: squares, and sums of a few of those, are within float32.
_LARGEST = 1e15


class Cells(NamedTuple):
    """A column of a served table.

    Numbers are float64, NaN where one is missing; levels are strings, "" where one is missing, or where they are
    numbers or booleans the numbers themselves, False as 0 and True as 1.

    Attributes:
        name: what the column is called in requests and answers.
        column: what it is.
        center: what its numbers are standardized by.
        scale: their standard deviation.
        constant: whether it has one value only.
    """

    name: str
    column: Column
    center: float
    scale: float
    constant: bool

    @property
    def spec(self) -> tf.TensorSpec:
        """Of the cells of n rows."""
        return tf.TensorSpec([None], tf.string if self._texts else tf.float64, self.name)

    def encode(self, cells: tf.Tensor) -> tf.Tensor:
        """Numbers of the model, float32 `[n]`, NaN where a cell is missing.

        Raises:
            tf.errors.InvalidArgumentError: when it runs, if there are cells that the column cannot have.
        """
        missing = self._missing(cells)
        if self.column.categories is not None:
            hits = tf.equal(cells[:, tf.newaxis], self._levels[tf.newaxis])
            known = tf.logical_or(missing, tf.reduce_any(hits, axis=1))
            places = tf.cast(tf.argmax(tf.cast(hits, tf.int32), axis=1), tf.float32)
            names = ", ".join(map(repr, self.column.categories[:8]))
            expected = f"one of the {len(self.column.categories)} levels {names}"
            return tf.where(self._checked(missing, known, cells, expected), math.nan, places)
        positive = self.column.kind == "positive"
        ones = tf.where(missing, tf.ones_like(cells), cells)
        numbers = tf.math.log(tf.maximum(ones, np.finfo(np.float64).tiny)) if positive else ones
        encoded = tf.cast((numbers - self.center) / self.scale, tf.float32)
        known = tf.logical_and(tf.math.is_finite(ones), tf.abs(encoded) <= _LARGEST)
        expected = f"finite numbers within {_LARGEST:g} standard deviations of those that were learned from"
        if positive:
            # The logarithm of no number is as far away.
            known, expected = tf.logical_and(known, ones > 0.0), "finite numbers above 0"
        if self.column.kind == "count":
            known = known & (ones >= 0.0) & (ones <= MOST_COUNTED) & tf.equal(ones, tf.round(ones))
            expected = f"counts, whole numbers from 0 to {MOST_COUNTED:,}"
        return tf.where(self._checked(missing, missing | known, cells, expected), math.nan, encoded)

    def fill(self, cells: tf.Tensor, encoded: tf.Tensor) -> tf.Tensor:
        """The cells with those that are missing as these numbers say, `[n]`."""
        if self.column.categories is not None:
            places = tf.clip_by_value(tf.cast(tf.round(encoded), tf.int32), 0, len(self.column.categories) - 1)
            return tf.where(self._missing(cells), tf.gather(self._levels, places), cells)
        standard = tf.zeros_like(cells) if self.constant else tf.cast(encoded, tf.float64)
        values = standard * self.scale + self.center
        if self.column.kind == "positive":
            values = tf.maximum(tf.exp(tf.minimum(values, LARGEST_LOG)), least_above_zero(self.column.dtype))
        if self.column.kind == "count":
            values = tf.maximum(tf.round(values), 0.0)
        elif self.column.dtype is not None and pd.api.types.is_integer_dtype(dtype_of(self.column.dtype, None)):
            values = tf.round(values)
        return tf.where(self._missing(cells), values, cells)

    def log_jacobian(self, encoded: tf.Tensor) -> tf.Tensor:
        r"""$\log |de / dx|$ of numbers of the model, float64 `[n]`; 0 where a cell is missing."""
        numbers = tf.cast(encoded, tf.float64) * self.scale + self.center
        slopes = -math.log(self.scale) - (numbers if self.column.kind == "positive" else tf.zeros_like(numbers))
        return tf.where(tf.math.is_nan(encoded), tf.zeros_like(slopes), slopes)

    @property
    def _texts(self) -> bool:
        categories = self.column.categories
        return categories is not None and any(isinstance(category, str) for category in categories)

    @property
    def _levels(self) -> tf.Tensor:
        return tf.constant(list(self.column.categories or ()), tf.string if self._texts else tf.float64)

    def _missing(self, cells: tf.Tensor) -> tf.Tensor:
        return tf.equal(cells, "") if self._texts else tf.math.is_nan(cells)

    def _checked(self, missing: tf.Tensor, known: tf.Tensor, cells: tf.Tensor, expected: str) -> tf.Tensor:
        """`missing`, once all cells are known to be some that the column may have."""
        wrong = tf.boolean_mask(cells, tf.logical_not(known))[:1]
        # Levels may have braces in them, which a template would take for places of its own.
        received = tf.strings.format("{}", (wrong,))
        message = tf.strings.join([f"{MARK}column {self.name!r}`. Expected {expected}. Received: ", received])
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(known), [message])]):
            return tf.identity(missing)


def served_columns(coding: Coding) -> list[Cells]:
    """The columns of a table as they are served.

    A name is that of the column with `_` in the place of what is no letter of ASCII, digit or underscore; one that
    begins otherwise than with a letter, is that of another input or answer, or is a word of Python's own, which is no
    argument's name, has `column_` before it. Large letters and small ones are the same there, as they are to
    TensorFlow.

    Raises:
        ValueError: which names the column, if two would have one name, or levels are of several types or empty text.
    """
    names: dict[str, tuple] = {}
    found = []
    for place, column in enumerate(coding.schema):
        name = re.sub(r"[^0-9A-Za-z_]", "_", str(column.name))
        free = name[:1].isalpha() and name.lower() not in _TAKEN and not keyword.iskeyword(name)
        name = name if free else f"column_{name}"
        if name.lower() in names:
            other, own = names[name.lower()]
            raise ValueError(
                f"{MARK}column {column.name!r}`. Expected a name that differs from {other!r} in letters, large ones "
                f"taken for small, digits or underscores. Received: they would be served as {own!r} and {name!r}"
            )
        names[name.lower()] = column.name, name
        levels = column.categories or ()
        texts = [isinstance(level, str) for level in levels]
        if any(texts) and (not all(texts) or "" in levels):
            raise ValueError(
                f"{MARK}column {column.name!r}`. Expected levels that are all numbers or all text, none of it empty, "
                f"to be served. Received: {levels}"
            )
        far = [level for level in levels if not isinstance(level, str) and float(level) != level]
        if far:
            raise ValueError(
                f"{MARK}column {column.name!r}`. Expected levels that float64 holds, which is what is served; make "
                f"them text. Received: {far[0]}"
            )
        found.append(Cells(name, column, coding.centers[place], coding.scales[place], coding.constant[place]))
    return found
