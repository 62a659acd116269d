"""Unit by unit: does its posterior mean move with the image, and what does it cost in KL."""

import numpy as np

from keras_iwae.evaluation.diagnostics.numbers import numbers
from keras_iwae.evaluation.weighted import having_say
from keras_iwae.foundation import MARK, check_number

ACTIVE_UNIT_THRESHOLD = 0.01


def mean_variances(
    posterior_means: np.ndarray, noise: np.ndarray | float = 0.0, weights: np.ndarray | None = None
) -> np.ndarray:
    r"""Variance over images of each unit's posterior mean, $\mathrm{Var}_x(\mathrm{E}_{q(u|x)}[u])$.

    Args:
        posterior_means: posterior mean of each unit for each image, `[N, D]`, in units of the latent.
        noise: where the means are averages of draws, the variance of each average about its expectation, `[N, D]`.
            Left in, it would add its mean over images to the result and make silent units look alive.
        weights: of the images, `[N]`; `None` weighs all alike.

    Returns:
        float64 `[D]`, in squared units of the latent; 0 where the noise explains all of it.

    Raises:
        ValueError: if an array has another shape or holds what cannot be, or there is only one image.

    Example:
        >>> mean_variances(np.array([[-1.0, 0.0], [1.0, 0.0]]))
        array([1., 0.])

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, section 5.2.
    """
    posterior_means, shape = numbers("posterior_means", posterior_means, "N", "D"), np.shape(noise)
    if len(posterior_means) < 2:
        raise ValueError(f"{MARK}posterior_means`. Expected those of at least 2 images. Received: of 1")
    noise = numbers("noise", noise, *(posterior_means.shape if shape else ()), low=0.0)
    if weights is not None:
        weights = numbers("weights", weights, len(posterior_means), low=0.0)
        if not weights.any():
            raise ValueError(f"{MARK}weights`. Expected some above 0. Received: zeros only")
    return variances_of(posterior_means, noise, weights)


def variances_of(
    posterior_means: np.ndarray, noise: np.ndarray | float = 0.0, weights: np.ndarray | None = None
) -> np.ndarray:
    """As `mean_variances`, of whatever a model gave: what is no number stays none."""
    means, shares = having_say(posterior_means, weights)
    if not len(means):
        return np.full(means.shape[1], np.nan)
    within, _ = having_say(np.broadcast_to(noise, np.shape(posterior_means)), weights)
    between = np.average((means - np.average(means, axis=0, weights=shares)) ** 2, axis=0, weights=shares)
    return np.maximum(between - np.average(within, axis=0, weights=shares), 0.0)


def active_units(
    posterior_means: np.ndarray,
    threshold: float = ACTIVE_UNIT_THRESHOLD,
    noise: np.ndarray | float = 0.0,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    r"""Which latent units carry information: $\mathrm{Var}_x(\mathrm{E}_{q(u|x)}[u]) > 0.01$.

    Args:
        posterior_means: posterior mean of each image, `[N, D]`.
        threshold: the variance above which a unit is active.
        noise: see `mean_variances`.
        weights: of the images, `[N]`; `None` weighs all alike.

    Returns:
        bool `[D]`; its sum is the number of active units.

    Raises:
        ValueError: as `mean_variances`, or if the threshold is below 0.

    Example:
        >>> int(active_units(np.array([[-1.0, 0.0], [1.0, 0.0]])).sum())
        1

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, section 5.2.
    """
    return mean_variances(posterior_means, noise, weights) > numbers("threshold", threshold, low=0.0)


def gaussian_kl(means: np.ndarray, scales: np.ndarray) -> np.ndarray:
    r"""KL of each unit to the standard normal, $\frac{1}{2}(\mu^2 + \sigma^2 - 1) - \log \sigma$.

    Args:
        means: mu, `[..., D]`.
        scales: standard deviations sigma, not variances and not their logarithms, `[..., D]`.

    Returns:
        nats, float64 `[..., D]`; the sum over D is the KL of the diagonal Gaussian. It is infinite where sigma is 0.

    Raises:
        ValueError: if the two differ in shape, one is not finite, or a standard deviation is below 0.

    Example:
        >>> gaussian_kl(np.array([0.0, 2.0]), np.array([1.0, 1.0]))
        array([0., 2.])

    References:
        Kingma, Welling (2013), Auto-encoding variational Bayes, appendix B.
    """
    means = numbers("means", means)
    scales = numbers("scales", scales, *means.shape, low=0.0)
    with np.errstate(divide="ignore"):
        return 0.5 * (means**2 + scales**2 - 1.0) - np.log(scales)


def bernoulli_kl(probabilities: np.ndarray) -> np.ndarray:
    r"""KL of each binary unit to a fair coin, $\log 2 + p \log p + (1 - p) \log(1 - p)$.

    Args:
        probabilities: p = q(z_d = 1 | x), `[..., D]`.

    Returns:
        nats, float64 `[..., D]`, from 0 to log 2.

    Raises:
        ValueError: if one is not in [0, 1].
    """
    from scipy.special import xlogy

    p = numbers("probabilities", probabilities, low=0.0, high=1.0)
    return np.log(2.0) + xlogy(p, p) + xlogy(1.0 - p, 1.0 - p)


def sampled_kl(log_posterior: np.ndarray, log_prior: np.ndarray) -> np.ndarray:
    r"""KL of each unit from draws, $\frac{1}{S} \sum_s \log q(z_{sd} | \cdot) - \log p(z_{sd} | \cdot)$.

    For a unit whose prior depends on other latents: with several stochastic layers, log q(z_l|z_{l-1}) is given the
    draw below and log p(z_l|z_{l+1}) the draw above. The terms sum over units to an unbiased estimate of the KL of all
    latents. A single term is no divergence, since its two densities are given different latents, and may be below 0.

    Args:
        log_posterior: log q of each unit at S draws from the posterior, `[S, ..., D]`.
        log_prior: log p of the same units at the same draws, `[S, ..., D]`.

    Returns:
        nats, float64 `[..., D]`.

    Raises:
        ValueError: if the two differ in shape, have no axis of draws, or one is NaN.
    """
    log_posterior = numbers("log_posterior", log_posterior, finite=False)
    if not log_posterior.size or not log_posterior.ndim:
        raise ValueError(f"{MARK}log_posterior`. Expected shape [S, ..., D]. Received: {list(log_posterior.shape)}")
    return (log_posterior - numbers("log_prior", log_prior, *log_posterior.shape, finite=False)).mean(axis=0)


def units_that_carry(kl_per_unit: np.ndarray, share: float = 0.95) -> int:
    """How many units it takes, the largest first, to come to a share of the whole KL.

    A count of used units that no threshold on a variance decides: early in training many units lie just above it.

    Args:
        kl_per_unit: mean KL of each unit in nats, `[D]`.
        share: of the sum, above 0 and at most 1.

    Returns:
        a number of units, from 0 where the whole KL is not above 0.

    Raises:
        ValueError: if the share is not in (0, 1], or there is not one number a unit.

    Example:
        >>> units_that_carry(np.array([6.0, 0.1, 3.9, 0.0]))
        2
    """
    if not 0.0 < check_number("share", share) <= 1.0:
        raise ValueError(f"{MARK}share`. Expected a number above 0 and at most 1, as 0.95. Received: {share!r}")
    falling = np.sort(numbers("kl_per_unit", kl_per_unit, "D", finite=False))[::-1]
    whole = falling.sum()
    # What is in the way of an exact comparison is the rounding of the sums.
    return int(np.argmax(np.cumsum(falling) >= share * whole - 1e-12) + 1) if whole > 0.0 else 0
