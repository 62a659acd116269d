"""Averages over images, as they are written down."""

import math

import numpy as np


def mean_and_error(values: np.ndarray) -> dict[str, float | None]:
    r"""Mean over images and its standard error $s / \sqrt{N}$, ready for JSON.

    Args:
        values: `[N]`.

    Returns:
        `mean` and `standard_error`, in the units of `values`; the error is None for a single image.

    Example:
        >>> mean_and_error(np.array([1.0, 3.0]))
        {'mean': 2.0, 'standard_error': 1.0}
    """
    values = np.asarray(values, np.float64)
    error = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
    return {"mean": float(values.mean()), "standard_error": error}
