"""Which values an entry of an event may have: said once, checked on arrays, in input pipelines and in served graphs."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from keras_iwae.foundation.checks import MARK, shape_text

# Grey levels of 8 bits, which people forget to divide.
_A_HAIR_ABOVE = 1.001
_EIGHT_BITS = 255.0
# Of an integer: what float32 may have made of it on its way.
_ROUNDING = 1e-3
# Its square, and sums of a few of those, are within float32.
_LARGEST = 1e15
_FAR = f" up to {_LARGEST:g}, whose squares float32 holds; standardize them"
# What is said of NumPy's kinds that are no numbers.
_NO_NUMBERS = {"U": "text, ", "S": "text, ", "c": "complex numbers, ", "M": "dates, ", "m": "spans of time, "}
_NO_NAN = "; NaN is for a model whose argument `missing` says so"


@dataclass(frozen=True)
class Support:
    """The values that a likelihood gives a density or a probability.

    Attributes:
        low: the smallest.
        high: the largest.
        integers: whether only whole numbers.
        most: the largest size of a value without bounds: that whose square float32 holds, or less where the parameters
            of a likelihood do not reach it.

    Example:
        >>> str(Support(0.0, 1.0))
        'values in [0, 1]'
    """

    low: float = -math.inf
    high: float = math.inf
    integers: bool = False
    most: float = _LARGEST

    def __str__(self) -> str:
        kind = "integers" if self.integers else "values"
        if math.isinf(self.low) and math.isinf(self.high):
            return f"finite {kind}"
        if math.isinf(self.high):
            return f"{kind} of at least {self.low:g}{f' and up to {self.most:.0f}' if self.most < _LARGEST else ''}"
        return f"{kind} in [{self.low:g}, {self.high:g}]"

    @property
    def bounded(self) -> bool:
        """Whether there is a smallest and a largest value."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def of_means(self) -> "Support":
        """What the means of such values are in."""
        return replace(self, integers=False)

    @property
    def nearest_to_zero(self) -> float:
        """A value that an entry may have, for the place of one that is missing."""
        return min(max(0.0, self.low), self.high)

    def check(
        self, events: np.ndarray, argument: str, event_shape: tuple[int, ...] | None = None, missing: bool = False
    ) -> np.ndarray:
        """Return `events` as float32, or say what is wrong with them.

        Args:
            events: array `[N, *event_shape]` of numbers or bools.
            argument: the name that the caller knows the array by, for the error.
            event_shape: the shape of one event, `None` for any.
            missing: whether NaN stands for an entry that was not observed.

        Returns:
            float32 array of the same shape.

        Raises:
            ValueError: if the array is empty, not numeric, of another shape, or holds what is not in the support.
        """
        # Before it is turned into an array, which a tensor of handles cannot be.
        if isinstance(getattr(events, "dtype", None), tf.DType):
            check_dtype(events.dtype, argument)
        events = _with_masks(events, argument)
        if events.dtype == object:
            events = _as_numbers(events, argument)
        check_dtype(events.dtype, argument)
        self.check_bools(events.dtype, argument)
        if events.dtype.kind == "V":
            # Floats that NumPy does not count among its own.
            events = events.astype(np.float32)
        if event_shape is not None and events.shape[1:] != tuple(event_shape):
            expected = shape_text("N", *event_shape)
            raise ValueError(f"{MARK}{argument}`. Expected shape {expected}. Received: {list(events.shape)}")
        if events.size == 0:
            raise ValueError(f"{MARK}{argument}`. Expected at least one example. Received: shape {list(events.shape)}")
        observed = events
        if events.dtype.kind == "f" and np.isnan(events).any():
            if not missing:
                remedy = "; a model made with missing='nan' takes it as not observed" if event_shape else ""
                raise ValueError(f"{MARK}{argument}`. Expected {self}{remedy}. Received: NaN")
            observed = events[~np.isnan(events)]
        if observed.size and (wrong := self._complaint(observed)):
            raise ValueError(f"{MARK}{argument}`. {wrong}")
        return (_snapped(events) if self.integers else events).astype(np.float32, copy=False)

    def check_bools(self, dtype: np.dtype | tf.DType, argument: str) -> None:
        """Refuse bools where there are more levels than two, of which nobody knows whether True is the second or last.

        Raises:
            ValueError: if they are.
        """
        if dtype.name == "bool" and self.integers and self.bounded and self.high > 1.0:
            raise ValueError(f"{MARK}{argument}`. Expected {self}, as numbers. Received: dtype bool")

    def _complaint(self, values: np.ndarray) -> str:
        if self.integers:
            values = _snapped(values)
        # As what they become: a large float64 is no float32.
        with np.errstate(over="ignore"):
            ends = [(float(np.float32(end)), float(end)) for end in (values.min(), values.max())]
        # One that is finite, and no float32, is named as it came.
        low, high = (own if math.isinf(become) else become for become, own in ends)
        if not (self.low <= low and high <= self.high and math.isfinite(low) and math.isfinite(high)):
            return f"Expected {self}{self._hint(low, high)}. Received: values in [{low:.9g}, {high:.9g}]"
        if not self.bounded and max(abs(low), abs(high)) > self.most:
            if self.most < _LARGEST:
                remedy = "divide them, or model them as real numbers"
                return f"Expected {self}; {remedy}. Received: values in [{low:.9g}, {high:.9g}]"
            return f"Expected {self}{_FAR}. Received: values in [{low:g}, {high:g}]"
        if self.integers and (values != np.round(values)).any():
            return f"Expected {self}{self._hint(low, high)}. Received: fractions in [{low:g}, {high:g}]"
        return ""

    def _hint(self, low: float, high: float) -> str:
        if (self.low, self.high) == (0.0, 1.0) and 1.0 < high <= _EIGHT_BITS and low >= 0.0:
            return "; clip what is rounding" if high < _A_HAIR_ABOVE else "; divide 8-bit images by 255"
        if self.integers and self.bounded and low >= 0.0 and high <= 1.0:
            return f"; multiply grey levels in [0, 1] by {self.high:g} and round them"
        return ""

    def checked(self, events: tf.Tensor, argument: str, missing: bool = False) -> tf.Tensor:
        """`events` of any numeric type as float32, with a check of the values where the graph runs.

        XLA drops such checks: it is for input pipelines and served graphs.

        Args:
            events: tensor of numbers or bools.
            argument: the name that the caller knows it by, for the error.
            missing: whether NaN stands for an entry that was not observed.

        Raises:
            tf.errors.InvalidArgumentError: when it runs, with the text of the ValueError of `check`.
        """
        values = tf.cast(events, tf.float32)
        if self.integers:
            whole = tf.round(values)
            values = tf.where(tf.abs(values - whole) <= _ROUNDING, whole, values)
        # Whether a minimum keeps NaN is up to the device's kernel, so each value is compared.
        valid = tf.logical_and(values >= self.low, values <= self.high)
        valid = tf.logical_and(valid, tf.abs(values) <= self.most)
        if self.integers:
            valid = tf.logical_and(valid, tf.equal(values, tf.round(values)))
        if missing:
            valid = tf.logical_or(valid, tf.math.is_nan(values))
        # A float64 that is finite, and no float32, is named as it came.
        own = events if events.dtype == tf.float64 else values
        low, high = tf.reduce_min(own), tf.reduce_max(own)
        far = tf.reduce_any(tf.math.is_inf(values) & tf.math.is_finite(own))
        message = tf.strings.join(
            [
                f"{MARK}{argument}`. Expected {self}",
                tf.where(far, _FAR if not self.bounded else "", ""),
                tf.where(_within(low, high, 0.0, 1.0), self._hint(0.0, 1.0), ""),
                tf.where(_within(low, high, 0.0, _EIGHT_BITS) & (high > 1.0), self._hint(0.0, _EIGHT_BITS), ""),
                tf.where(tf.reduce_any(tf.math.is_nan(values)) & (not missing), _NO_NAN, ""),
                tf.strings.format(". Received: values in [{}, {}]", (low, high)),
            ]
        )
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(valid), [message])]):
            return tf.identity(values)


def _within(low: tf.Tensor, high: tf.Tensor, lowest: float, highest: float) -> tf.Tensor:
    return tf.logical_and(low >= lowest, high <= highest)


def check_dtype(dtype: np.dtype | tf.DType, argument: str) -> None:
    """Refuse values of a type that is none of numbers, whatever the support is.

    Raises:
        ValueError: which names the type.
    """
    if isinstance(dtype, tf.DType):
        numbers = dtype.is_floating or dtype.is_integer or dtype.is_bool
        kind, name = "U" if dtype == tf.string else "c" if dtype.is_complex else "", dtype.name
    else:
        numbers = dtype.kind in "fbiu" or (dtype.kind == "V" and "float" in dtype.name)
        kind, name = dtype.kind, str(dtype)
    if not numbers:
        raise ValueError(_expected_numbers(argument, f"{_NO_NUMBERS.get(kind, '')}dtype {name}"))


def _expected_numbers(argument: str, received: str) -> str:
    return f"{MARK}{argument}`. Expected numbers: floats, integers or bools. Received: {received}"


def _with_masks(events, argument: str) -> np.ndarray:
    try:
        return np.asarray(masked_as_nan(events, argument))
    except ValueError as error:
        if str(error).startswith(MARK):
            raise
        raise _ragged(argument) from None


def masked_as_nan(events: Any, argument: str) -> Any:
    """What NumPy's masks leave out as NaN, in float64; what has no mask, in whatever it is, as it is.

    Args:
        events: an array, a list of rows, or anything else.
        argument: the name that the caller knows it by, for the error.

    Raises:
        ValueError: if rows with masks differ in length, or a masked array is none of numbers.
    """
    if isinstance(events, (list, tuple)) and any(isinstance(row, np.ma.MaskedArray) for row in events):
        try:
            events = np.ma.stack(events)
        except ValueError:
            raise _ragged(argument) from None
    if not isinstance(events, np.ma.MaskedArray):
        return events
    check_dtype(events.dtype, argument)
    return np.ma.filled(events.astype(np.float64), np.nan)


def _ragged(argument: str) -> ValueError:
    return ValueError(f"{MARK}{argument}`. Expected rows of one length. Received: rows of different lengths")


def _snapped(values: np.ndarray) -> np.ndarray:
    """Values next to a whole number as that number: what float32 may have made of it on its way."""
    if values.dtype.kind != "f":
        return values
    whole = np.round(values)
    return np.where(np.abs(values - whole) <= _ROUNDING, whole, values)


def _as_numbers(events: np.ndarray, argument: str) -> np.ndarray:
    """An array of Python objects as numbers, `None` and pandas' NA as NaN.

    Raises:
        ValueError: which names the first object that is something else.
    """
    numbers = np.empty(events.size)
    for place, value in enumerate(events.ravel()):
        try:
            # A word may be a number too, but nobody said so.
            if isinstance(value, (str, bytes)):
                raise TypeError
            numbers[place] = math.nan if value is None or type(value).__name__ == "NAType" else float(value)
        except (TypeError, ValueError, OverflowError):
            received = f"dtype object, with a {type(value).__name__} ({value!r:.40})"
            raise ValueError(_expected_numbers(argument, received)) from None
    return numbers.reshape(events.shape)
