r"""How sure a mean of log-likelihood estimates is: over images, and for the images at hand."""

import math

import numpy as np

from keras_iwae.evaluation.weighted import having_say, mean


def standard_error(values: np.ndarray, weights: np.ndarray | None = None) -> float:
    r"""Standard error of the mean over examples, $s / \sqrt{N}$; NaN for a single one.

    Of a weighted mean, $\sqrt{\frac{N}{N - 1} \sum_i w_i^2 (v_i - \bar v)^2} / \sum_i w_i$ over the N examples whose
    weight is above 0, which is that for equal weights.
    """
    values, weights = having_say(values, weights)
    count = len(values)
    if count < 2:
        return math.nan
    shares = np.full(count, 1.0 / count) if weights is None else weights / weights.sum()
    # Infinity less infinity is no number, and so is then the error.
    with np.errstate(invalid="ignore"):
        squares = (shares * (values - mean(values, weights))) ** 2
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
    NaN if no example has a say.
    """
    errors, weights = having_say(errors, weights)
    shares = np.full(len(errors), 1.0) if weights is None else weights
    return float(math.sqrt(np.square(shares * errors).sum()) / shares.sum()) if shares.size else math.nan


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
