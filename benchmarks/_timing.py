"""Times on a machine whose speed drifts: sides in turn, ratios within a round, laws through the points.

What else the machine does hits every side of a round alike, so a ratio is taken within each round, and its median and
range over rounds are what to read. The order of the sides rotates, so that none is always first.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# Idle threads of another framework may spin for a while after its turn.
SETTLE_SECONDS = 0.25


def alternate(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run every side once a round, in an order that rotates.

    Args:
        sides: a name to a function that returns the seconds of one unit of its work.
        rounds: turns of each side.

    Returns:
        the seconds of each side, round by round: entries of the same index are of the same round.
    """
    names, times = list(sides), {name: [] for name in sides}
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            time.sleep(SETTLE_SECONDS)
            times[name].append(sides[name]())
    return times


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and range of `values`, as it goes into the JSON."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def text(found: Mapping[str, float], digits: int = 2, scale: float = 1.0) -> str:
    """What `spread` gave, for a table: median (low to high)."""
    low, median, high = (f"{scale * found[key]:.{digits}f}" for key in ("low", "median", "high"))
    return f"{median} ({low} to {high})"


def ratios(numerator: Sequence[float], denominator: Sequence[float]) -> dict[str, float]:
    """Spread of numerator / denominator, round by round: how many times faster the second is, of seconds."""
    return spread([a / b for a, b in zip(numerator, denominator, strict=True)])


def fastest(times: Mapping[str, Sequence[float]]) -> str | None:
    """The side with the smallest median, `None` of no sides."""
    return min(times, key=lambda name: statistics.median(times[name]), default=None)


@dataclass(frozen=True)
class Line:
    r"""The law $y = a + b x$, and the largest relative distance of a point from it."""

    intercept: float
    slope: float
    worst: float

    def __call__(self, x):
        return self.intercept + self.slope * np.asarray(x, float)

    def text(self, name: str, unit: str) -> str:
        sign = "-" if self.slope < 0.0 else "+"
        return f"{self.intercept:.3g} {sign} {abs(self.slope):.3g} {name} {unit} (within {self.worst:.0%})"


@dataclass(frozen=True)
class Power:
    r"""The law $y = c x^p$, and the largest relative distance of a point from it."""

    factor: float
    exponent: float
    worst: float

    def __call__(self, x):
        return self.factor * np.asarray(x, float) ** self.exponent

    def text(self, name: str, unit: str) -> str:
        return f"{self.factor:.3g} {name}^{self.exponent:.2f} {unit} (within {self.worst:.0%})"


def fit_line(x: Sequence[float], y: Sequence[float]) -> Line:
    """Least squares of the *relative* errors of a + b x, because x spans orders of magnitude.

    Raises:
        ValueError: if there are fewer than two points, or a y that is not positive.
    """
    x, y = _points(x, y)
    rows = np.stack([np.ones_like(x), x], axis=1) / y[:, np.newaxis]
    (intercept, slope), *_ = np.linalg.lstsq(rows, np.ones_like(y), rcond=None)
    return Line(float(intercept), float(slope), _worst(intercept + slope * x, y))


def fit_power(x: Sequence[float], y: Sequence[float]) -> Power:
    """Least squares of the logarithms of c x^p.

    Raises:
        ValueError: if there are fewer than two points, or one that is not positive.
    """
    x, y = _points(x, y)
    if (x <= 0.0).any():
        raise ValueError(f"Invalid value received for `x`. Expected positive numbers. Received: {x.tolist()}")
    exponent, log_factor = np.polyfit(np.log(x), np.log(y), 1)
    return Power(math.exp(log_factor), float(exponent), _worst(math.exp(log_factor) * x**exponent, y))


def _points(x: Sequence[float], y: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(x, float), np.asarray(y, float)
    if len(x) < 2 or len(x) != len(y) or (y <= 0.0).any():
        raise ValueError(
            "Invalid value received for `y`. Expected at least two positive numbers, one for each x. "
            f"Received: {y.tolist()} for x = {x.tolist()}"
        )
    return x, y


def _worst(law: np.ndarray, y: np.ndarray) -> float:
    return float(np.max(np.abs(law / y - 1.0)))
