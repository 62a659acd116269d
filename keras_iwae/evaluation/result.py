"""What an importance-sampled evaluation found, image by image and as a whole, and whether K was enough."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from keras_iwae.evaluation.diagnostics.units import ACTIVE_UNIT_THRESHOLD, variances_of
from keras_iwae.evaluation.digests import Judged
from keras_iwae.evaluation.errors import (
    bits_per_dimension,
    error_of_mean,
    log_mean_error,
    standard_error,
)
from keras_iwae.evaluation.pareto import UNRELIABLE_K
from keras_iwae.evaluation.proposals import Proposal
from keras_iwae.evaluation.verdict import verdict_of
from keras_iwae.evaluation.weighted import extremes, having_say, mean, median
from keras_iwae.evaluation.wording import bits_row, finite_or_none, gaps_row, nats, nll_text, quantity
from keras_iwae.foundation import MARK, number_text, percent_text
from keras_iwae.models import check_weights

_CROSS_ENTROPY = (
    "Grey levels under a Bernoulli likelihood: this is their cross-entropy and no likelihood. Binarize them, or train "
    "with the continuous Bernoulli or the discretized logistic likelihood."
)


@dataclass(frozen=True)
class NLLResult:
    """Importance-sampled log-likelihoods of a data set, image by image, and what is said of them as a whole.

    Attributes:
        num_samples: K.
        seed: seed of the draws.
        bound_per_example: for each k, the bound L_k of each image in nats, `[N]`; the largest k is K.
        ess_per_example: effective sample size of each image's K weights, `[N]`.
        pareto_k_per_example: Pareto k-hat of each image's weights, `[N]`; NaN where K is too small for one.
        jackknife_per_example: jackknife-corrected L_K of each image in nats, `[N]`; NaN for K = 1.
        means_per_example: posterior mean of each image, `[N, D]`; of a layer above the first the mean of q given the
            mean of the layer below, which is not that over its draws.
        latent_dim: latent units in all.
        proposal: what was drawn from.
        entries_per_example: how many entries of each example were observed, `[N]`.
        discrete: whether the likelihood gives probabilities of whole numbers, and not a density.
        weights: of the examples in all means, `[N]`; `None` weighs all alike.
        cross_entropy: whether grey levels were judged by a Bernoulli likelihood, of which it is no density.
        first: the place of the first image among all, where these are a shard of them.
        judged: of which model and examples; `None` where nobody knows.
        batch_size: of how many images the batches were, which decides their draws; `None` where it does not, or there
            was a single one.
        discrete_latents: whether the latents are discrete.
        missingness: whether it is log p(x_obs, s), of which entries s were observed too.
    """

    num_samples: int
    seed: int
    bound_per_example: dict[int, np.ndarray] = field(repr=False)
    ess_per_example: np.ndarray = field(repr=False)
    pareto_k_per_example: np.ndarray = field(repr=False)
    jackknife_per_example: np.ndarray = field(repr=False)
    means_per_example: np.ndarray = field(repr=False)
    latent_dim: int
    proposal: Proposal
    entries_per_example: np.ndarray = field(repr=False)
    discrete: bool = True
    weights: np.ndarray | None = field(default=None, repr=False)
    cross_entropy: bool = False
    first: int = 0
    judged: Judged | None = field(default=None, repr=False)
    batch_size: int | None = None
    discrete_latents: bool = False
    missingness: bool = False

    @staticmethod
    def join(results: Iterable["NLLResult"]) -> "NLLResult":
        """One result of the images of several, which were evaluated shard by shard with `first=` their places.

        With batches of the same size, it is the very result of the whole.

        Args:
            results: in any order; their images have to be next to each other.

        Raises:
            ValueError: if there are none, one is something else, their settings or models differ, there are images
                between them or in two of them, or all weights are 0.

        Example:
            >>> shards = [importance_weighted_nll(model, images[i : i + 10], batch_size=10, first=i) for i in (0, 10)]
            >>> NLLResult.join(shards).nll
        """
        parts = sorted(_results(results), key=lambda result: result.first)
        whole, end = parts[0], parts[0].first
        for part in parts:
            for name, expected in whole._settings().items():
                if (found := part._settings()[name]) != expected:
                    raise ValueError(f"{MARK}results`. Expected one {name} of all. Received: {expected} and {found}")
            if part.first != end:
                raise ValueError(f"{MARK}results`. Expected one with first={end}. Received: first={part.first}")
            end += len(part.ess_per_example)
        sizes = {part.batch_size for part in parts if part.batch_size is not None}
        if len(sizes) > 1:
            raise ValueError(
                f"{MARK}results`. Expected one batch_size of all, which decides their draws. Received: "
                f"{' and '.join(map(str, sorted(sizes)))}"
            )
        names = [each.name for each in fields(whole) if isinstance(getattr(whole, each.name), np.ndarray)]
        arrays: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        if whole.weights is not None:
            check_weights(arrays["weights"], end - whole.first, "results: weights")
        examples = [part.judged.examples for part in parts if part.judged is not None]
        return replace(
            whole,
            bound_per_example={
                k: np.concatenate([part.bound_per_example[k] for part in parts]) for k in whole.bound_per_example
            },
            cross_entropy=any(part.cross_entropy for part in parts),
            judged=None if whole.judged is None else whole.judged._replace(examples=np.concatenate(examples)),
            batch_size=sizes.pop() if sizes else None,
            **arrays,
        )

    def _settings(self) -> dict[str, object]:
        """What results of one evaluation have in common."""
        names = "num_samples", "seed", "proposal", "latent_dim", "discrete", "discrete_latents", "missingness"
        own = {name: getattr(self, name) for name in names}
        # The whole of it would be too long for an error.
        model = None if self.judged is None else self.judged.model[:16]
        return {**own, "bounds": list(self.bound_per_example), "weighted": self.weights is not None, "model": model}

    @property
    def log_likelihood_per_example(self) -> np.ndarray:
        """L_K of each image in nats, `[N]`: a lower bound of log p(x) in expectation."""
        return self.bound_per_example[self.num_samples]

    @property
    def active_units(self) -> int | None:
        """Latent units whose posterior mean, as `means_per_example` has it, varies over the images; `None` of one."""
        if self.num_examples < 2:
            return None
        return int((variances_of(self.means_per_example, weights=self.weights) > ACTIVE_UNIT_THRESHOLD).sum())

    @property
    def num_examples(self) -> int:
        """N, the images whose weight is above 0."""
        return len(self._of(self.ess_per_example))

    @property
    def nll(self) -> float:
        """Minus the mean L_K, in nats per image."""
        return -mean(self.log_likelihood_per_example, self.weights)

    @property
    def standard_error(self) -> float:
        """Standard error of `nll` over images, in nats: for other images of the same kind. NaN for a single image."""
        return standard_error(self.log_likelihood_per_example, self.weights)

    @property
    def monte_carlo_error(self) -> float:
        """Standard error of `nll` over draws, in nats: for other draws and the same images. NaN for K = 1."""
        return error_of_mean(log_mean_error(self.ess_per_example, self.num_samples), self.weights)

    @property
    def jackknife_nll(self) -> float:
        """NLL with the first-order bias of L_K taken off, in nats per image. NaN for K = 1."""
        return -mean(self.jackknife_per_example, self.weights)

    @property
    def rounding(self) -> float:
        """What float32 rounds the log weight of the most extreme example by, in nats."""
        return extremes(np.abs(self.log_likelihood_per_example), self.weights)[1] * float(np.finfo(np.float32).eps)

    @property
    def share_unreliable(self) -> float:
        """Share of images with Pareto k-hat above 0.7, by their weights. NaN where K is too small for k-hat."""
        k = self.pareto_k_per_example
        return math.nan if np.isnan(self._of(k)).any() else mean(k > UNRELIABLE_K, self.weights)

    @property
    def bits_per_dimension(self) -> float | None:
        """NLL in bits for each observed entry; `None` for a density, and where gaps have a say too."""
        discrete = self.discrete and not (self.cross_entropy or self.missingness)
        return bits_per_dimension(self.nll, self.entries_per_example, self.weights, discrete)

    @property
    def name(self) -> str:
        """What the NLL is minus the mean of, as "L_5000, amortized"."""
        return f"L_{self.num_samples}, {self.proposal.kind}"

    @property
    def decoder_evaluations(self) -> int:
        """Decoder evaluations that an image took, as were known before; a slope counts as two."""
        return self.proposal.evaluations(self.num_samples, self.latent_dim)

    @property
    def bounds(self) -> dict[int, float]:
        """Mean L_k in nats for each k."""
        return {k: mean(values, self.weights) for k, values in self.bound_per_example.items()}

    @property
    def verdict(self) -> str:
        """One sentence that says whether K suffices, and what to do if not."""
        if not self.num_examples:
            return "All weights are 0: these images have a say in no mean."
        nll, jackknife_nll = self.nll, self.jackknife_nll
        judged_by = self.rounding, self.share_unreliable, self.discrete_latents
        return verdict_of(self.num_samples, self.proposal.kind, nll, jackknife_nll, *judged_by)

    def _of(self, per_example: np.ndarray) -> np.ndarray:
        """What of it has a say."""
        return having_say(per_example, self.weights)[0]

    def to_dict(self) -> dict:
        """Everything but the per-image arrays, ready for JSON; what is not finite is None."""
        ess, k = self.ess_per_example, self.pareto_k_per_example
        return {
            "nll": finite_or_none(self.nll),
            "quantity": quantity(self.cross_entropy, self.missingness),
            "standard_error": finite_or_none(self.standard_error),
            "monte_carlo_error": finite_or_none(self.monte_carlo_error),
            "jackknife_nll": finite_or_none(self.jackknife_nll),
            "bits_per_dimension": finite_or_none(self.bits_per_dimension),
            "bounds": {str(k): finite_or_none(value) for k, value in self.bounds.items()},
            "effective_sample_size": {
                "mean": finite_or_none(mean(ess, self.weights)),
                "median": finite_or_none(median(ess, self.weights)),
                "min": finite_or_none(extremes(ess, self.weights)[0]),
            },
            "pareto_k": {
                "median": finite_or_none(median(k, self.weights)),
                "max": finite_or_none(extremes(k, self.weights)[1]),
                "share_above_0.7": finite_or_none(self.share_unreliable),
            },
            "verdict": self.verdict,
            "active_units": self.active_units,
            "latent_dim": self.latent_dim,
            "num_examples": self.num_examples,
            "num_samples": self.num_samples,
            "proposal": self.proposal.kind,
            "decoder_evaluations": self.decoder_evaluations,
            "proposal_scale": self.proposal.scale,
            "defensive": self.proposal.defensive,
            "seed": self.seed,
        }

    def __str__(self) -> str:
        ess, k = self.ess_per_example, self.pareto_k_per_example
        effective = (mean(ess, self.weights), median(ess, self.weights), extremes(ess, self.weights)[0])
        middle, share = number_text(median(k, self.weights)), percent_text(self.share_unreliable)
        rows = [
            (
                "cross-entropy" if self.cross_entropy else "NLL",
                nll_text(self.nll, self.standard_error, self.num_examples),
            ),
            *gaps_row(self.missingness),
            ("Monte Carlo error", nats(self.monte_carlo_error, ".3f")),
            ("jackknife NLL", nats(self.jackknife_nll)),
            *bits_row(self.bits_per_dimension),
            *((f"L_{size}", nats(value)) for size, value in self.bounds.items()),
            (
                "effective samples",
                "mean {}, median {}, min {} of {}".format(
                    *(number_text(v, ".1f") for v in effective), self.num_samples
                ),
            ),
            ("Pareto k-hat", "-" if share == "-" else f"median {middle}, above {UNRELIABLE_K} for {share}"),
            ("active units", "-" if self.active_units is None else f"{self.active_units} of {self.latent_dim}"),
        ]
        if self.proposal.fitted:
            rows.append(("proposal", self.proposal.kind))
            rows.append(("decoder evaluations", f"{self.decoder_evaluations:,} an image"))
        elif self.proposal != Proposal():
            rows.append(("proposal", f"scale {self.proposal.scale:g}, defensive {self.proposal.defensive:g}"))
        note = [_CROSS_ENTROPY] if self.cross_entropy else []
        return "\n".join([*(f"{name:<20}{value}" for name, value in rows), "", self.verdict, *note])


def _results(given: Any) -> list[NLLResult]:
    found = list(given) if isinstance(given, Iterable) and not isinstance(given, (str, bytes)) else [given]
    wrong = [type(each).__name__ for each in found if not isinstance(each, NLLResult)]
    if not found or wrong or not isinstance(given, Iterable):
        received = "none" if not found else f"a {[*wrong, type(given).__name__][0]}"
        raise ValueError(f"{MARK}results`. Expected NLLResults, at least one, in a list. Received: {received}")
    return found
