r"""Two models on the same images: the mean difference, image by image, and how sure it is.

Most of the spread of log p(x) is that of the images, easy and hard ones, and it is the same for both models. The
difference of each image has none of it, so its mean is known several times better than either NLL.
"""

import math
from dataclasses import dataclass

import numpy as np

from keras_iwae.foundation import MARK, check_number

LEVEL = 0.95


@dataclass(frozen=True)
class PairedDifference:
    """The mean difference of two models' NLL on the same N images, in nats; below 0 the model is better.

    Attributes:
        mean: NLL of the model less NLL of the reference.
        standard_error: of the mean over images; NaN for a single image.
        low: lower end of the confidence interval.
        high: upper end.
        num_images: N.
    """

    mean: float
    standard_error: float
    low: float
    high: float
    num_images: int

    @property
    def verdict(self) -> str:
        """ "better" or "worse" where the interval leaves out 0, else "cannot be told apart"."""
        if self.high < 0.0:
            return "better"
        return "worse" if self.low > 0.0 else "cannot be told apart"


def paired_difference(log_likelihood: np.ndarray, reference: np.ndarray, level: float = LEVEL) -> PairedDifference:
    r"""Compare two models by their log-likelihoods of the same images.

    The interval is Student's: $\bar d \pm t_{N-1} s_d / \sqrt{N}$ with $d_n$ the difference of image n. It says what
    other images of the same kind might change. It knows nothing of another training seed, nor of a bias of the
    estimates that differs between the two models; that of L_K is larger where the posterior is worse.

    Args:
        log_likelihood: of each image under the model, in nats, `[N]`.
        reference: of the same images in the same order under the model to compare with, `[N]`.
        level: how often intervals made in this way hold the truth, in (0, 1).

    Returns:
        `PairedDifference`; its sign is the NLL's.

    Raises:
        ValueError: if the two are not of the same images or not finite, or the level is not in (0, 1).

    Example:
        >>> paired_difference(np.array([-9.0, -7.9, -8.1]), np.array([-10.0, -9.0, -9.0])).verdict
        'better'

    References:
        Student (1908), The probable error of a mean.
    """
    from scipy import stats

    if not 0.0 < check_number("level", level) < 1.0:
        raise ValueError(f"{MARK}level`. Expected a number in (0, 1), as 0.95. Received: {level!r}")
    one, other = (np.asarray(values, np.float64) for values in (log_likelihood, reference))
    if one.shape != other.shape or one.ndim != 1 or not one.size:
        raise ValueError(
            "Invalid value received for `log_likelihood`. Expected one number for each image of `reference`. "
            f"Received: shapes {list(one.shape)} and {list(other.shape)}"
        )
    for name, values in (("log_likelihood", one), ("reference", other)):
        if not np.isfinite(values).all():
            raise ValueError(f"{MARK}{name}`. Expected finite numbers. Received: NaN or infinity")
    differences = other - one
    mean, count = float(differences.mean()), len(differences)
    if count == 1:
        return PairedDifference(mean, math.nan, -math.inf, math.inf, 1)
    error = float(differences.std(ddof=1) / math.sqrt(count))
    half = error * float(stats.t.ppf(0.5 + 0.5 * level, count - 1))
    return PairedDifference(mean, error, mean - half, mean + half, count)
