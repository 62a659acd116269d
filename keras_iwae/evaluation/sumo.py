r"""SUMO, an unbiased estimator of log p(x): the telescoping series of $L_k$, cut at random and reweighted."""

import math
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from keras_iwae.evaluation.batches import in_batches
from keras_iwae.evaluation.digests import Judged
from keras_iwae.evaluation.errors import error_of_mean, standard_error
from keras_iwae.evaluation.weighted import having_say, mean
from keras_iwae.evaluation.wording import finite_or_none, gaps_row, nats, nll_text, quantity
from keras_iwae.foundation import Purpose, check_integer, float32_products, key_for, number_text
from keras_iwae.models import IWAE, check_model
from keras_iwae.posteriors import check_density

# Where the truncation's tail becomes geometric, and by what factor it then falls.
_TURN, _FACTOR = 80, 0.9


def survival(k: np.ndarray) -> np.ndarray:
    r"""$P(\mathcal{K} \ge k)$: 1 / k up to k = 80, then $0.9^{k - 80} / 80$."""
    k = np.asarray(k, np.float64)
    return np.where(k < _TURN, 1.0 / k, _FACTOR ** (k - _TURN) / _TURN)


def draw_lengths(uniform: np.ndarray) -> np.ndarray:
    """Lengths with the distribution of `survival`, from numbers uniform in (0, 1]."""
    beyond = _TURN + np.floor(np.log(_TURN * np.minimum(uniform, 1.0 / _TURN)) / math.log(_FACTOR))
    return np.where(uniform > 1.0 / _TURN, np.floor(1.0 / uniform), beyond).astype(np.int64)


@dataclass(frozen=True)
class SumoResult:
    """Unbiased estimates of log p(x) and how much they vary.

    Attributes:
        log_likelihood_per_example: mean of the estimates of each image, in nats, `[N]`.
        variance_per_example: sample variance of one estimate, in squared nats, `[N]`; NaN for one estimate an image.
        num_estimates: R, estimates for each image.
        samples_per_estimate: mean number of importance samples that an estimate took.
        seed: seed of the draws.
        weights: of the examples in all means, `[N]`; `None` weighs all alike.
        cross_entropy: whether grey levels were judged by a Bernoulli likelihood, of which it is no density.
        judged: of which model and examples; `None` where nobody knows.
        discrete: whether the likelihood gives probabilities of whole numbers, and not a density.
        missingness: whether it is log p(x_obs, s), of which entries s were observed too.
    """

    log_likelihood_per_example: np.ndarray = field(repr=False)
    variance_per_example: np.ndarray = field(repr=False)
    num_estimates: int
    samples_per_estimate: float
    seed: int
    weights: np.ndarray | None = field(default=None, repr=False)
    cross_entropy: bool = False
    judged: Judged | None = field(default=None, repr=False)
    discrete: bool = True
    missingness: bool = False

    @property
    def nll(self) -> float:
        """Minus the mean estimate, in nats per image."""
        return -mean(self.log_likelihood_per_example, self.weights)

    @property
    def standard_error(self) -> float:
        """Standard error of `nll` over images, in nats. NaN for a single image."""
        return standard_error(self.log_likelihood_per_example, self.weights)

    @property
    def monte_carlo_error(self) -> float:
        """Standard error of `nll` over draws, in nats. NaN for one estimate an image."""
        return error_of_mean(np.sqrt(self.variance_per_example / self.num_estimates), self.weights)

    @property
    def variance(self) -> float:
        """Mean over images of the variance of one estimate, in squared nats. NaN for one estimate an image."""
        return mean(self.variance_per_example, self.weights)

    @property
    def num_examples(self) -> int:
        """N, the images whose weight is above 0."""
        return len(having_say(self.variance_per_example, self.weights)[0])

    def to_dict(self) -> dict:
        """Everything but the per-image arrays, ready for JSON; what is not finite is None."""
        return {
            "nll": finite_or_none(self.nll),
            "quantity": quantity(self.cross_entropy, self.missingness),
            "standard_error": finite_or_none(self.standard_error),
            "monte_carlo_error": finite_or_none(self.monte_carlo_error),
            "variance": finite_or_none(self.variance),
            "num_estimates": self.num_estimates,
            "samples_per_estimate": self.samples_per_estimate,
            "num_examples": self.num_examples,
            "seed": self.seed,
        }

    def __str__(self) -> str:
        of_one = f"of one estimate of {self.samples_per_estimate:.1f} samples"
        rows = [
            (
                "cross-entropy, SUMO" if self.cross_entropy else "NLL by SUMO",
                nll_text(self.nll, self.standard_error, self.num_examples),
            ),
            *gaps_row(self.missingness),
            ("Monte Carlo error", nats(self.monte_carlo_error, ".3f")),
            ("variance", f"{number_text(self.variance, '.1f')} {of_one}"),
        ]
        return "\n".join(f"{name:<20}{value}" for name, value in rows)


@float32_products()
def sumo_nll(
    model: IWAE,
    data: Any,
    num_estimates: int = 100,
    batch_size: int | None = None,
    seed: int = 0,
    resume: str | os.PathLike | None = None,
    verbose: bool = True,
) -> SumoResult:
    r"""Unbiased negative log-likelihood of each image.

    $$\mathrm{SUMO} = L_1 + \sum_{k=1}^{\mathcal{K}} \frac{L_{k+1} - L_k}{P(\mathcal{K} \ge k)}$$

    with $L_k$ the log-mean of the first k weights and a length $\mathcal{K}$ drawn with $P(\mathcal{K} \ge k) = 1/k$ up
    to 80, then falling by 0.9 each. The differences shrink like 1/k, so that with 1/k alone the variance and the
    expected number of samples would both diverge, as slowly as log k. The geometric tail makes the number finite, 6,
    and leaves what $L_k$ gains beyond k = 80 to events of probability below 1/80, with a variance that is not finite.
    Where that gain is not small, few of these events are seen, or none, and the stated error is far too small: see
    whether $L_{100}$ and $L_{5000}$ agree.

    Args:
        model: the model.
        data: batches of images in [0, 1], or an array `[N, *event_shape]`. Binarize a test set once, not at each call.
        num_estimates: R, estimates for each image, which are averaged.
        batch_size: images in a batch where `data` is an array; `None` is 200.
        seed: seed of the lengths and the draws.
        resume: file that keeps the results of each batch until all are there; see `importance_weighted_nll`.
        verbose: whether to show progress.

    Returns:
        `SumoResult`; printed, it is a table.

    Raises:
        ValueError: if a count is below 1, the posterior has no density, or the images are not in [0, 1], of another
            shape, or none.

    Example:
        >>> result = sumo_nll(model, images, num_estimates=100)
        >>> print(result.nll, result.monte_carlo_error)

    References:
        Luo, Beatson, Norouzi, Zhu, Duvenaud, Adams, Chen (2020), SUMO: unbiased estimation of log marginal probability
        for latent variable models.
    """
    check_model(model)
    num_estimates = check_integer("num_estimates", num_estimates)
    check_density(model.posterior)
    # A row for each sample: what an estimate takes is random, and mostly a handful.
    specs = tf.TensorSpec([None, *model.event_shape]), tf.TensorSpec([2], tf.int32)
    log_weights = model.traced("sumo", lambda rows, seed: model.log_weights(rows, 1, seed)[0], specs)

    def compute(x, seen, advance):
        batch_seed = tf.random.fold_in(key_for(Purpose.SUMO, seed), seen)
        rng = np.random.default_rng(batch_seed.numpy().astype(np.uint32))
        estimates, counts = [], []
        for repeat in range(num_estimates):
            lengths = draw_lengths(1.0 - rng.random(len(x)))
            weights = log_weights(tf.repeat(x, lengths + 1, axis=0), tf.random.fold_in(batch_seed, repeat)).numpy()
            estimates.append(_estimate(weights, lengths))
            counts.append(lengths + 1)
            advance(1.0 / num_estimates)
        spread = np.var(estimates, axis=0, ddof=1) if num_estimates > 1 else np.full(len(x), np.nan)
        return np.mean(estimates, axis=0), spread, np.mean(counts, axis=0)

    settings = {"method": "SUMO", "num_estimates": num_estimates, "seed": seed}
    found = in_batches(model, data, batch_size, compute, settings, resume, verbose)
    values, variance, counts = found.arrays
    return SumoResult(
        values,
        variance,
        num_estimates,
        samples_per_estimate=mean(counts, found.weights),
        seed=seed,
        weights=found.weights,
        cross_entropy=found.fractional and model.generative.likelihood.gives_cross_entropy,
        judged=found.judged,
        discrete=model.generative.likelihood.discrete,
        missingness=model.generative.missingness is not None,
    )


def _estimate(log_weights: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """One estimate an image, float64 `[B]`, from the log weights of all images in a row, `lengths` + 1 of each."""
    k = np.arange(1, lengths.max() + 2)
    there = k <= lengths[:, np.newaxis] + 1
    table = np.full(there.shape, -np.inf)
    table[there] = log_weights
    bounds = np.logaddexp.accumulate(table, axis=1) - np.log(k)
    differences = np.where(there[:, 1:], np.diff(bounds, axis=1), 0.0)
    return bounds[:, 0] + (differences / survival(k[:-1])).sum(axis=1)
