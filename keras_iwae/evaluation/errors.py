r"""How sure a mean of log-likelihood estimates is: over images, and for the images at hand."""

import math

import numpy as np


def standard_error(values: np.ndarray) -> float:
    r"""Standard error of the mean over images, $s / \sqrt{N}$; NaN for a single image."""
    return float(values.std(ddof=1, dtype=np.float64) / math.sqrt(len(values))) if len(values) > 1 else math.nan


def log_mean_error(effective_sample_size: np.ndarray, num_samples: int) -> np.ndarray:
    r"""Standard error of the log of a mean of K weights, by the delta method, from their effective sample size.

    $\mathrm{se}^2 = \frac{\mathrm{Var}(w)}{K \bar w^2} = \frac{K}{K - 1} (\frac{1}{\mathrm{ESS}} - \frac{1}{K})$,
    with the unbiased variance.

    Args:
        effective_sample_size: of each image's weights, `[N]`.
        num_samples: K, the weights of an image.

    Returns:
        nats, float64 `[N]`; NaN for K = 1.

    References:
        Kong (1992), A note on importance sampling using standardized weights.
    """
    ess = np.asarray(effective_sample_size, np.float64)
    if num_samples < 2:
        return np.full(ess.shape, np.nan)
    return np.sqrt(np.maximum(1.0 / ess - 1.0 / num_samples, 0.0) * num_samples / (num_samples - 1.0))


def error_of_mean(errors: np.ndarray) -> float:
    r"""Standard error of a mean of independent estimates, $\sqrt{\sum_i \mathrm{se}_i^2} / N$, from that of each."""
    return float(math.sqrt(np.square(errors, dtype=np.float64).sum()) / len(errors))


def finite_or_none(value: float) -> float | None:
    """`value` for JSON, which knows neither NaN nor infinity."""
    return float(value) if math.isfinite(value) else None
