"""Arrays that a diagnostic is given: numbers of a shape and in a range, or an error that names the argument."""

from typing import Any

import numpy as np

from keras_iwae.foundation import MARK, shape_text


def numbers(
    argument: str, values: Any, *shape: int | str, low: float = -np.inf, high: float = np.inf, finite: bool = True
) -> np.ndarray:
    """`values` in float64.

    Args:
        argument: the name that the caller knows them by.
        values: an array, or what becomes one.
        shape: each axis, a number or a name for any length but 0; none where any shape will do.
        low: the smallest that is taken.
        high: the largest.
        finite: whether infinity is refused; NaN always is.

    Raises:
        ValueError: which names `argument`, what was expected and what came.
    """
    expected = "numbers" + (f" of shape {shape_text(*shape)}" if shape else "")
    try:
        found = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{MARK}{argument}`. Expected {expected}. Received: a {type(values).__name__}") from None
    fits = not shape or (
        found.ndim == len(shape)
        and all(size if isinstance(of, str) else size == of for size, of in zip(found.shape, shape, strict=True))
    )
    if not fits:
        raise ValueError(f"{MARK}{argument}`. Expected {expected}. Received: shape {list(found.shape)}")
    wrong = np.isnan(found) | (found < low) | (found > high) | (np.isinf(found) if finite else False)
    if wrong.any():
        kind = "finite numbers" if finite else "numbers"
        span = f" of at least {low:g}" if np.isinf(high) and np.isfinite(low) else ""
        span = f" in [{low:g}, {high:g}]" if np.isfinite(high) else span
        raise ValueError(f"{MARK}{argument}`. Expected {kind}{span}. Received: {found[wrong][0]:g}")
    return found
