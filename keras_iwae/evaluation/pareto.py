r"""Pareto k-hat: how heavy the tail of an image's importance weights is, from its largest weights alone."""

import math

import numpy as np

# Vehtari et al. (2024): above it the error of an importance-sampled mean is not to be trusted at any affordable K.
UNRELIABLE_K = 0.7
# Below five weights in the tail there is nothing to fit; arviz then answers infinity.
_LEAST_TAIL = 5
# Log weights of hundreds of nats are rounded to about this in float32.
_ROUNDING = 1e-4


def tail_length(num_samples: int) -> int:
    r"""Weights that make up the tail, $\lceil \min(K / 5, 3 \sqrt{K}) \rceil$."""
    return math.ceil(min(num_samples / 5.0, 3.0 * math.sqrt(num_samples)))


def pareto_k(largest: np.ndarray, num_samples: int) -> np.ndarray:
    r"""Shape k-hat of a generalized Pareto distribution fitted to the largest of K weights of each image.

    The weights have finite moments up to order 1 / k: below 0.5 the central limit theorem holds as usual, up to 0.7 the
    error shrinks fast enough in practice, and above it the estimate and its stated error are not to be trusted.

    Args:
        largest: the largest log weights of each image, the largest first, `[N, n]` with n above `tail_length(K)`.
        num_samples: K.

    Returns:
        float64 `[N]`: 0 where all weights are equal, NaN for K below 21, where the tail is too short for a fit.

    Example:
        >>> log_weights = np.random.default_rng(0).normal(size=(3, 5000))
        >>> pareto_k(np.sort(log_weights)[:, ::-1], 5000).round(1)
        array([0.1, 0.2, 0.3])

    References:
        Vehtari, Simpson, Gelman, Yao, Gabry (2024), Pareto smoothed importance sampling, section 3. The fit is arviz'.
    """
    length = tail_length(num_samples)
    if length < _LEAST_TAIL:
        return np.full(len(largest), np.nan)
    # Here, for it takes a second or two, and nothing but an evaluation needs it.
    from arviz import psislw

    result = np.empty(len(largest))
    for index, top in enumerate(np.asarray(largest[:, : length + 1], np.float64)):
        if top[0] - top[-1] < _ROUNDING:
            result[index] = 0.0
            continue
        # The fit reads the tail and the first weight below it; what lies further down only has to be there.
        weights = np.concatenate([top, np.full(num_samples - len(top), top[-1])])
        with np.errstate(all="ignore"):
            k = float(psislw(weights)[1])
        result[index] = math.inf if math.isnan(k) else k
    return result
