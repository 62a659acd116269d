r"""The jackknife-corrected bound: the first-order bias of $L_K$ taken off, from weights that were not all kept."""

import numpy as np


def jackknife_correction(num_samples: int, largest: np.ndarray, rest: np.ndarray) -> np.ndarray:
    r"""What is added to $L_K$: $\mathrm{JVI} - L_K = (K - 1) (L_K - \frac{1}{K} \sum_k L_{K-1}^{(-k)})$.

    $L_{K-1}^{(-k)}$ is the bound without sample k. With S the sum of the weights and $u_k = w_k / S$ the sum over k is
    that of $\log(1 - u_k)$, which gives

    $$(K - 1) \log(1 - 1/K) - \frac{K - 1}{K} \sum_k \log(1 - u_k).$$

    The largest weights enter as they are. The others have $u_k < 1/n$ where n were kept, and enter through the sums of
    $u_k^j / j$ for j up to 4. For the largest of all, $1 - u$ is the sum of the others over S: a difference would lose
    its digits where one weight dominates. The bias left is of order $K^{-2}$ where the weights have enough moments.

    Args:
        num_samples: K.
        largest: the largest log weights of each image, the largest first, `[B, n]`.
        rest: log of the sum of j-th powers of all other weights, j = 1 ... 4, `[4, B]`.

    Returns:
        nats, float64 `[B]`; NaN for K = 1.

    Example:
        >>> jackknife_correction(2, np.log([[3.0, 1.0]]), np.full([4, 1], -np.inf))  # log 2 - (log 3 + log 1) / 2
        array([0.14384104])

    References:
        Nowozin (2018), Debiasing evidence approximations: on importance-weighted autoencoders and jackknife variational
        inference, section 4.1 (JVI of order 1).
    """
    if num_samples < 2:
        return np.full(len(largest), np.nan)
    kept, others = np.asarray(largest, np.float64), np.asarray(rest, np.float64)
    powers = np.arange(1, len(others) + 1)[:, np.newaxis]
    # All relative to the largest: beside log weights of 1e16 nats the logarithm of how many there are would be lost.
    others = others - powers * kept[:, 0]
    kept = kept - kept[:, :1]
    log_others = np.logaddexp(np.logaddexp.reduce(kept[:, 1:], axis=1), others[0])
    log_total = np.logaddexp(kept[:, 0], log_others)
    left_out = log_others - log_total + np.log1p(-np.exp(kept[:, 1:] - log_total[:, np.newaxis])).sum(axis=1)
    # Powers of shares sum to 1 at most, but not those of such log weights, which float32 rounds by more than it has.
    left_out -= (np.exp(np.minimum(others - powers * log_total, 0.0)) / powers).sum(axis=0)
    return (num_samples - 1) * np.log1p(-1.0 / num_samples) - (num_samples - 1) / num_samples * left_out
