"""Averages over examples that may have weights; one of weight 0 has no say, as if it were not there."""

import math

import numpy as np


def having_say(values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Those of `values` `[N, ...]` whose weight is above 0, and these weights, in float64; all where there are none."""
    values = np.asarray(values, np.float64)
    if weights is None:
        return values, None
    weights = np.asarray(weights, np.float64)
    return values[weights > 0.0], weights[weights > 0.0]


def mean(values: np.ndarray, weights: np.ndarray | None = None) -> float:
    r"""$\sum_i w_i v_i / \sum_i w_i$ in float64, the plain mean where there are no weights; NaN if none has a say."""
    values, weights = having_say(values, weights)
    return float(np.average(values, weights=weights)) if values.size else math.nan


def extremes(values: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, float]:
    """The least and the largest of what has a say; NaN if none has."""
    values, _ = having_say(values, weights)
    return (float(values.min()), float(values.max())) if values.size else (math.nan, math.nan)


def median(values: np.ndarray, weights: np.ndarray | None = None) -> float:
    """What has as much weight below as above it, in float64; between two values where both are such; NaN beside NaN,
    and if none has a say.

    An example of weight 2 is two of weight 1.
    """
    values, weights = having_say(values, weights)
    if not values.size:
        return math.nan
    if weights is None or np.isnan(values).any():
        return float(np.median(values))
    order = np.argsort(values)
    below = np.cumsum(weights[order]) / weights.sum()
    # Of decimal weights, rounding hides that half of them is reached.
    first = int(np.searchsorted(below, 0.5 - 1e-12))
    last = first + (math.isclose(below[first], 0.5, abs_tol=1e-12) and first + 1 < len(order))
    return float(values[order[[first, last]]].mean())
