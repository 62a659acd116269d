r"""Positive parameters from any number: bounded from below, 1 at 0, and a straight line far out.

$s(a) = s_0 + \mathrm{softplus}(a + \log(e^{1 - s_0} - 1))$. An exponential would let a decoder that follows its data
closely raise the density without limit, and overflow on the way. Where a scale is widened it is $c s(a)$ with a number
c that training leaves at 1: a decoder that was learned from few rows is too sure of itself, which its own training data
cannot tell it.
"""

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_iwae.foundation import MARK, check_boolean, check_positive_float32

# In the units of the parameter, where none is given.
_LEAST = 0.01


def check_bound(argument: str, value: float, below: float = 1.0) -> float:
    """A lower bound as a float, if it is above 0 and below what the parameter starts from."""
    bound = _above(0.0, argument, value)
    if bound is None or bound >= below:
        raise ValueError(
            f"{MARK}{argument}`. Expected a number above 0, as float32 has it, and below {below:g}, where training "
            f"starts. Received: {value!r}"
        )
    return bound


def _above(least: float, argument: str, value: object) -> float | None:
    """`value` as a float if it is a number that is above `least` in float32 too, else `None`."""
    try:
        found = check_positive_float32(argument, value)
    except ValueError:
        return None
    return found if np.float32(found) > least else None


def positive(raw: tf.Tensor, least: float, start: float = 1.0) -> tf.Tensor:
    r"""$s_0 + \mathrm{softplus}(a + c)$, with c such that it is `start` at a = 0.

    Args:
        raw: a, any shape.
        least: s_0, the smallest value.
        start: the value at a = 0, above `least`.
    """
    return least + tf.nn.softplus(raw + math.log(math.expm1(start - least)))


def not_widened() -> ValueError:
    """The error for a likelihood whose scales cannot be made wider."""
    return ValueError(f"{MARK}widened`. Expected True in a likelihood whose scales are made wider. Received: False")


class Scale:
    """A positive parameter of each entry: a number, learned for each entry of an event, or given by the decoder.

    Args:
        argument: the name that the user knows it by.
        how: a number above `above`, "dimension" (a weight for each entry of an event) or "example" (by the decoder).
        least: smallest value of a learned one; `None` is 0.01.
        start: where learning starts.
        widened: whether a learned one has a factor, a weight that is 1 until `widen` and that training leaves alone.
        above: what a number is above.

    Raises:
        ValueError: if `how` is something else, or `least` is not between 0 and `start`, or given beside a number, or
            if a number is to be widened.
    """

    def __init__(
        self,
        argument: str,
        how: float | str,
        least: float | None,
        start: float = 1.0,
        widened: bool = False,
        above: float = 0.0,
    ):
        fixed = None if isinstance(how, str) else _above(above, argument, how)
        if fixed is not None:
            how = fixed
            if least is not None:
                raise ValueError(
                    f"{MARK}min_{argument}`. Expected none beside {argument}={how!r}, which is not learned. "
                    f"Received: {least!r}"
                )
            if widened:
                raise ValueError(
                    f"{MARK}widened`. Expected False beside {argument}={how!r}, which is not learned. Received: True"
                )
        elif not isinstance(how, str) or how not in ("dimension", "example"):
            raise ValueError(
                f"{MARK}{argument}`. Expected 'dimension', 'example' or a number above {above:g}, as float32 has it. "
                f"Received: {how!r}"
            )
        least = check_bound(f"min_{argument}", _LEAST if least is None else least, start)
        self.how, self.least, self.start, self.argument = how, least, start, argument
        self.widened, self.weight = check_boolean("widened", widened), None
        self.factor: Any = None

    @property
    def by_decoder(self) -> bool:
        """Whether the decoder gives a number for it."""
        return self.how == "example"

    def build(self, layer: keras.Layer, event_shape: tuple[int, ...]) -> None:
        """Make the weights in `layer`, where there are any."""
        if self.how == "dimension" and self.weight is None:
            name = f"raw_{self.argument}"
            self.weight = layer.add_weight(
                shape=event_shape, initializer="zeros", name=name, dtype="float32", autocast=False
            )
        if self.widened and self.factor is None:
            name = f"{self.argument}_factor"
            self.factor = layer.add_weight(
                shape=(), initializer="ones", name=name, dtype="float32", autocast=False, trainable=False
            )

    def widen(self, factor: float) -> None:
        """Set what the learned value is multiplied by, a number above 0.

        Raises:
            ValueError: if it is none, or the value is not `widened` or not built yet.
        """
        if not self.widened:
            raise not_widened()
        found = check_positive_float32("factor", factor)
        if self.factor is None:
            raise ValueError(
                f"{MARK}widen`. Expected a likelihood that is of a model, which makes its weights. Received: one that "
                "is of none yet"
            )
        self.factor.assign(found)

    def value(self, raw: tf.Tensor | None) -> tf.Tensor:
        """Its value, where `raw` is what the decoder gives for it, if it does."""
        if not isinstance(self.how, str):
            return tf.constant(self.how, tf.float32)
        learned = positive(raw if self.by_decoder else tf.convert_to_tensor(self.weight), self.least, self.start)
        return tf.convert_to_tensor(self.factor) * learned if self.widened else learned
