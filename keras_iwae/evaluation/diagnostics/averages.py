"""Averages over images, as they are written down."""

import numpy as np

from keras_iwae.evaluation.errors import standard_error
from keras_iwae.evaluation.wording import finite_or_none
from keras_iwae.foundation import MARK


def mean_and_error(values: np.ndarray) -> dict[str, float | None]:
    r"""Mean over images and its standard error $s / \sqrt{N}$, ready for JSON.

    Args:
        values: `[N]`.

    Returns:
        `mean` and `standard_error`, in the units of `values`; None for what is not finite, as the error of a single
        image and the mean of none.

    Raises:
        ValueError: if there is not one number an image.

    Example:
        >>> mean_and_error(np.array([1.0, 3.0]))
        {'mean': 2.0, 'standard_error': 1.0}
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1:
        raise ValueError(f"{MARK}values`. Expected shape [N]. Received: {list(values.shape)}")
    mean = values.mean() if len(values) else None
    return {"mean": finite_or_none(mean), "standard_error": finite_or_none(standard_error(values))}
