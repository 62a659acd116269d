r"""How much the latents say about the image, and how far all posteriors together are from the prior.

The mean KL has two parts (Hoffman and Johnson 2016), with $q(z) = \mathrm{E}_x[q(z|x)]$ the aggregate posterior:

    mean_x KL(q(z|x) || p(z)) = I_q(x; z) + KL(q(z) || p(z))
"""

import math
from typing import NamedTuple

import numpy as np

from keras_iwae.evaluation.diagnostics.numbers import numbers


class MutualInformation(NamedTuple):
    """Two numbers that enclose I(x; z) in expectation, and what they leave for KL(q(z) || p(z)); all in nats.

    Attributes:
        lower: Hoffman and Johnson's estimate; never above log N.
        upper: the same with each image left out of its own aggregate, or the mean KL where that is smaller.
        lower_error: standard error of `lower` over images, by which its bias is not measured.
        upper_error: standard error of `upper` over images.
        mean_kl: mean over images of log q(z|x) - log p(z) at the same draws.
        num_images: N.
    """

    lower: float
    upper: float
    lower_error: float
    upper_error: float
    mean_kl: float
    num_images: int

    @property
    def ceiling(self) -> float:
        """log N: what `lower` cannot exceed, whatever the latents know."""
        return math.log(self.num_images)

    @property
    def saturated(self) -> bool:
        """Whether `lower` has come within half a nat of its ceiling, and so says how many images there were."""
        return self.lower > self.ceiling - 0.5

    @property
    def marginal_kl_lower(self) -> float:
        """Mean KL less `upper`."""
        return self.mean_kl - self.upper

    @property
    def marginal_kl_upper(self) -> float:
        """Mean KL less `lower`: Hoffman and Johnson's estimate of KL(q(z) || p(z))."""
        return self.mean_kl - self.lower


def mutual_information(log_posterior: np.ndarray, log_prior: np.ndarray) -> MutualInformation:
    r"""Mutual information of image and latents under q, between two estimates.

    With one draw z_i ~ q(z|x_i) for each of N images,

        lower = mean_i log q(z_i|x_i) - log 1/N sum_j q(z_i|x_j)
        upper = mean_i log q(z_i|x_i) - log 1/(N-1) sum_{j != i} q(z_i|x_j),   or mean_i log q(z_i|x_i) - log p(z_i)

    The lower one is the mutual information of latents and the *index* among these N images: it is at most log N, so
    that 20 nats show only from e^20 images on. The upper one leaves the image itself out, and so by Jensen's inequality
    is too high in expectation; the mean KL is another upper bound, since KL(q(z) || p(z)) is not negative. Where lower
    and upper agree, N was enough.

    Args:
        log_posterior: log q(z_i|x_j) in nats, row i, column j, `[N, N]`; minus infinity where i is not j may be.
        log_prior: log p(z_i) in nats, `[N]`.

    Returns:
        `MutualInformation`.

    Raises:
        ValueError: if the matrix is not square, N is below 2, there is not a log p(z) for each row, or one of the
            numbers is none.

    Example:
        >>> mutual_information(np.zeros((3, 3)), np.zeros(3)).upper
        0.0

    References:
        Hoffman, Johnson (2016), ELBO surgery: yet another way to carve up the variational evidence lower bound.
        Poole, Ozair, van den Oord, Alemi, Tucker (2019), On variational bounds of mutual information, section 2.
    """
    log_posterior = numbers("log_posterior", log_posterior, finite=False)
    if log_posterior.ndim != 2 or len(set(log_posterior.shape)) > 1 or len(log_posterior) < 2:
        raise ValueError(
            "Invalid value received for `log_posterior`. Expected shape [N, N] with N of at least 2. "
            f"Received: {list(log_posterior.shape)}"
        )
    count = len(log_posterior)
    log_prior = numbers("log_prior", log_prior, count)
    own = numbers("log_posterior", np.diag(log_posterior))
    numbers("log_posterior", log_posterior, high=np.finfo(np.float64).max, finite=False)
    others = np.where(np.eye(count, dtype=bool), -np.inf, log_posterior)
    lower = own - (np.logaddexp.reduce(log_posterior, axis=1) - math.log(count))
    upper = own - (np.logaddexp.reduce(others, axis=1) - math.log(count - 1))
    kl = own - log_prior
    upper = min(upper, kl, key=np.mean)
    lower_error, upper_error = (float(values.std(ddof=1) / math.sqrt(count)) for values in (lower, upper))
    return MutualInformation(
        float(lower.mean()), float(upper.mean()), lower_error, upper_error, float(kl.mean()), count
    )
