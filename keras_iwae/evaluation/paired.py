r"""Two models on the same images: the mean difference, image by image, and how sure it is.

Most of the spread of log p(x) is that of the images, easy and hard ones, and it is the same for both models. The
difference of each image has none of it, so its mean is known several times better than either NLL.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_iwae.evaluation.annealed import AnnealedResult
from keras_iwae.evaluation.errors import standard_error
from keras_iwae.evaluation.result import NLLResult
from keras_iwae.evaluation.sumo import SumoResult
from keras_iwae.evaluation.weighted import having_say, mean
from keras_iwae.evaluation.wording import quantity
from keras_iwae.foundation import MARK, check_number

LEVEL = 0.95

Result = NLLResult | AnnealedResult | SumoResult
_RESULTS = (NLLResult, AnnealedResult, SumoResult)
# What decides how far an estimate is from log p(x), and what of.
_SETTINGS = (
    "num_samples",
    "proposal",
    "num_chains",
    "num_temperatures",
    "num_leapfrog_steps",
    "initial",
    "num_estimates",
    "discrete",
)


@dataclass(frozen=True)
class PairedDifference:
    """The mean difference of two models' NLL on the same N images, in nats; below 0 the model is better.

    Attributes:
        mean: NLL of the model less NLL of the reference.
        standard_error: of the mean over images; NaN for a single image.
        low: lower end of the confidence interval.
        high: upper end.
        num_images: N, of those with a weight above 0.
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


def paired_difference(
    log_likelihood: np.ndarray | Result, reference: np.ndarray | Result, level: float = LEVEL
) -> PairedDifference:
    r"""Compare two models by their log-likelihoods of the same images.

    The interval is Student's: $\bar d \pm t_{N-1} s_d / \sqrt{N}$ with $d_n$ the difference of image n. It says what
    other images of the same kind might change. It knows nothing of another training seed, nor of a bias of the
    estimates that differs between the two models; that of L_K is larger where the posterior is worse.

    Two results say themselves whether they can be compared; draws of another seed are no other setting. With weights of
    examples the mean is a weighted one, and N counts those with a weight above 0.

    Args:
        log_likelihood: of each image under the model, in nats, `[N]`; or what `importance_weighted_nll`, `annealed_nll`
            or `sumo_nll` gave.
        reference: of the same images in the same order under the model to compare with, of the same kind.
        level: how often intervals made in this way hold the truth, in (0, 1).

    Returns:
        `PairedDifference`; its sign is the NLL's.

    Raises:
        ValueError: if the two are not of the same images or not finite, the level is not in (0, 1), or two results are
            of one model, or of another K, proposal, path of annealing or number of estimates, of other weights of
            examples, of a probability and a density, or one of what was observed alone and one of gaps too, or one is
            given twice.

    Example:
        >>> paired_difference(np.array([-9.0, -7.9, -8.1]), np.array([-10.0, -9.0, -9.0])).verdict
        'better'
        >>> other = IWAE(model.event_shape, seed=1)
        >>> paired_difference(importance_weighted_nll(model, images), importance_weighted_nll(other, images))

    References:
        Student (1908), The probable error of a mean.
    """
    from scipy import stats

    if not 0.0 < check_number("level", level) < 1.0:
        raise ValueError(f"{MARK}level`. Expected a number in (0, 1), as 0.95. Received: {level!r}")
    if log_likelihood is reference:
        raise ValueError(f"{MARK}log_likelihood`. Expected another model's than `reference`. Received: the same object")
    weights = None
    if isinstance(log_likelihood, _RESULTS) and isinstance(reference, _RESULTS):
        _check_comparable(log_likelihood, reference)
        weights = log_likelihood.weights
    elif isinstance(log_likelihood, _RESULTS) or isinstance(reference, _RESULTS):
        kind = type(log_likelihood).__name__
        raise ValueError(f"{MARK}reference`. Expected two results or two arrays. Received: one of each, a {kind} first")
    one, other = _numbers("log_likelihood", log_likelihood), _numbers("reference", reference)
    if one.shape != other.shape or one.ndim != 1 or not one.size:
        raise ValueError(
            "Invalid value received for `log_likelihood`. Expected one number for each image of `reference`. "
            f"Received: shapes {list(one.shape)} and {list(other.shape)}"
        )
    (one, shares), (other, _) = having_say(one, weights), having_say(other, weights)
    if not one.size:
        raise ValueError(f"{MARK}log_likelihood`. Expected weights that are not all 0. Received: a shard of zeros only")
    for name, values in (("log_likelihood", one), ("reference", other)):
        if not np.isfinite(values).all():
            raise ValueError(f"{MARK}{name}`. Expected finite numbers. Received: NaN or infinity")
    found, count = mean(other - one, shares), len(one)
    if count == 1:
        return PairedDifference(found, math.nan, -math.inf, math.inf, 1)
    error = standard_error(other - one, shares)
    half = error * float(stats.t.ppf(0.5 + 0.5 * level, count - 1))
    return PairedDifference(found, error, found - half, found + half, count)


def _numbers(argument: str, values: Any) -> np.ndarray:
    found = values.log_likelihood_per_example if isinstance(values, _RESULTS) else values
    try:
        return np.asarray(found, np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"{MARK}{argument}`. Expected a number for each image, or what an evaluation gave. "
            f"Received: a {type(values).__name__}"
        ) from None


def _check_comparable(one: Result, other: Result) -> None:
    """Hold what must be the same of two results against each other, and what must not."""
    for name, expected in _settings(other).items():
        if (found := _settings(one).get(name)) != expected:
            raise ValueError(
                f"{MARK}log_likelihood`. Expected what `reference` has, {name} = {expected}. Received: {found}"
            )
    if not _equal(one.weights, other.weights):
        raise ValueError(f"{MARK}log_likelihood`. Expected the weights of examples of `reference`. Received: others")
    if one.judged is None or other.judged is None:
        return
    if not _equal(one.judged.examples, other.judged.examples):
        raise ValueError(
            f"{MARK}log_likelihood`. Expected the examples of `reference`, in the same order. Received: others"
        )
    if one.judged.model == other.judged.model:
        raise ValueError(f"{MARK}log_likelihood`. Expected another model than `reference`. Received: the same one")


def _settings(result: Result) -> dict[str, object]:
    """How the numbers came about; of whatever data and model, and under whatever seed."""
    own = {name: getattr(result, name) for name in _SETTINGS if hasattr(result, name)}
    return {"kind": type(result).__name__, "quantity": quantity(result.cross_entropy, result.missingness), **own}


def _equal(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is other or (one is not None and other is not None and np.array_equal(one, other))
