r"""How sure a mean of log-likelihood estimates is: over images, and for the images at hand."""

import math

import numpy as np


def mean(values: np.ndarray, weights: np.ndarray | None = None) -> float:
    r"""$\sum_i w_i v_i / \sum_i w_i$ in float64, the plain mean where there are no weights."""
    return float(np.average(np.asarray(values, np.float64), weights=weights))


def standard_error(values: np.ndarray, weights: np.ndarray | None = None) -> float:
    r"""Standard error of the mean over examples, $s / \sqrt{N}$; NaN for a single one.

    Of a weighted mean, $\sqrt{\frac{N}{N - 1} \sum_i w_i^2 (v_i - \bar v)^2} / \sum_i w_i$, which is that for equal
    weights.
    """
    count = len(values)
    if count < 2:
        return math.nan
    shares = np.full(count, 1.0 / count) if weights is None else np.asarray(weights, np.float64) / np.sum(weights)
    # Infinity less infinity is no number, and so is then the error.
    with np.errstate(invalid="ignore"):
        squares = (shares * (np.asarray(values, np.float64) - mean(values, weights))) ** 2
    return float(math.sqrt(squares.sum() * count / (count - 1.0)))


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


def error_of_mean(errors: np.ndarray, weights: np.ndarray | None = None) -> float:
    r"""Standard error of a mean of independent estimates from that of each.

    $\sqrt{\sum_i w_i^2 \mathrm{se}_i^2} / \sum_i w_i$, with $w_i = 1$ where there are no weights.
    """
    shares = np.full(len(errors), 1.0) if weights is None else np.asarray(weights, np.float64)
    return float(math.sqrt(np.square(shares * errors, dtype=np.float64).sum()) / shares.sum())


def bits_per_dimension(nll: float, entries: np.ndarray, weights: np.ndarray | None, discrete: bool) -> float | None:
    """NLL in bits for each observed entry; `None` for a density, whose number depends on the units of the data,
    and where nothing was observed.

    Args:
        nll: mean over examples, in nats.
        entries: observed entries of each example, `[N]`.
        weights: of the examples, or `None`.
        discrete: whether the likelihood gives probabilities of whole numbers.
    """
    observed = mean(entries, weights)
    return nll / (observed * math.log(2.0)) if discrete and observed > 0.0 else None


def quantity(cross_entropy: bool) -> str:
    """What a result is of, for JSON: of grey levels under a Bernoulli likelihood there is no likelihood."""
    return "cross-entropy of grey levels" if cross_entropy else "negative log-likelihood"


def bits_row(bits: float | None) -> list[tuple[str, str]]:
    """The row of a table that says so many bits per dimension, none where there is no such number."""
    return [] if bits is None else [("bits per dimension", f"{bits:.4f}")]


def finite_or_none(value: float | None) -> float | None:
    """`value` for JSON, which knows neither NaN nor infinity."""
    return float(value) if value is not None and math.isfinite(value) else None
