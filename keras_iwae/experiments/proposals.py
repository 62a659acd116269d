"""The NLL by the encoder's proposals, as it is published, and by fitted ones beside it: what each says and costs."""

import math
import os
from dataclasses import dataclass

from keras_iwae.evaluation import TOLERATED_SHARE, UNRELIABLE_K, NLLResult, Proposal, nats
from keras_iwae.experiments.log_likelihood import evaluate
from keras_iwae.foundation import check_choice, check_ending, check_file, check_integer, number_text, percent_text
from keras_iwae.training import runs

FITTED = ("refined", "adapted")
# Monte Carlo errors of their difference within which two results are the same.
_ERRORS = 2.0


@dataclass(frozen=True)
class BothProposals:
    """The same images twice.

    Attributes:
        amortized: by the posterior.
        fitted: by refined or adapted proposals.
        seconds: what each took, compiling included.
    """

    amortized: NLLResult
    fitted: NLLResult
    seconds: tuple[float, float]

    @property
    def believe(self) -> str:
        """In a sentence or two, which of them is nearer to log p(x), and how far it is to be trusted itself."""
        first, second = self.amortized, self.fitted
        finite = [result for result in (first, second) if math.isfinite(result.nll)]
        if len(finite) < 2:
            return f"Believe {finite[0].name}: the other is not finite." if finite else "Neither: they are not finite."
        lower, higher = sorted(finite, key=lambda result: result.nll)
        gain, error = higher.nll - lower.nll, math.hypot(first.monte_carlo_error, second.monte_carlo_error)
        trusted = [result for result in finite if result.share_unreliable <= TOLERATED_SHARE]
        if not trusted:
            seen = f"{_share(first)} and {_share(second)} of the images have a Pareto k-hat above {UNRELIABLE_K}"
            if math.isnan(first.share_unreliable) and math.isnan(second.share_unreliable):
                seen = "there are too few samples of each image for a k-hat"
            return (
                f"Neither error is to be trusted: {seen}. Both are upper bounds of the NLL on average, and "
                f"{lower.name} is the tighter by {gain:.2f} nats."
            )
        if len(trusted) == 1:
            better, worse = (first, second) if trusted[0] is first else (second, first)
            # Of a mode that no draw came near k-hat says nothing.
            doubt = worse is lower and gain > _ERRORS * error
            but = f" That is {gain:.2f} nats lower all the same: check it by annealed importance sampling."
            return (
                f"Believe {better.name}: {_share(better)} of its images have a Pareto k-hat above {UNRELIABLE_K}, and "
                f"{_share(worse)} of those of {worse.name}, whose error is not to be trusted.{but if doubt else ''}"
            )
        if gain <= _ERRORS * error:
            return f"Either: the two agree within {_ERRORS:g} errors of their difference, which is {error:.3f} nats."
        return (
            f"Believe {lower.name}: both are upper bounds of the NLL on average, and it is {gain:.2f} nats lower "
            f"(error of the difference {error:.3f}). {_share(lower)} of its images have a Pareto k-hat above "
            f"{UNRELIABLE_K}."
        )

    def __str__(self) -> str:
        both = self.amortized, self.fitted
        records = [result.to_dict() for result in both]
        tails, effective = ([record[name] for record in records] for name in ("pareto_k", "effective_sample_size"))
        rows = [
            ("", *(result.name for result in both)),
            ("NLL", *(nats(result.nll) for result in both)),
            ("Monte Carlo error", *(nats(result.monte_carlo_error, ".3f") for result in both)),
            ("Pareto k-hat, median", *(number_text(tail["median"]) for tail in tails)),
            (f"k-hat above {UNRELIABLE_K}", *(percent_text(tail["share_above_0.7"]) for tail in tails)),
            ("effective samples", *(f"median {number_text(ess['median'], '.1f')}" for ess in effective)),
            ("decoder evaluations", *(f"{result.decoder_evaluations:,} an image" for result in both)),
            ("time", *(f"{seconds:.1f} s" for seconds in self.seconds)),
        ]
        table = "\n".join(f"{name:<22}{first:<20}{second}" for name, first, second in rows)
        unknown = [result.name for result in both if math.isnan(result.share_unreliable)]
        note = [f"No k-hat of {' and '.join(unknown)}: it needs at least 21 samples of each image."] if unknown else []
        return "\n\n".join([str(self.amortized), table, *note, self.believe])


def _share(result: NLLResult) -> str:
    """Of its images, those with k-hat above 0.7."""
    share = result.share_unreliable
    return "an unknown share" if math.isnan(share) else percent_text(share)


def evaluate_both(
    model: str | os.PathLike | None = None,
    proposal: str = "adapted",
    fitted_samples: int = 500,
    seed: int = 0,
    verbose: bool = True,
    proposal_scale: float = 1.0,
    defensive: float = 0.0,
    per_example: str | os.PathLike | None = None,
    num_samples: int = 5000,
    **images,
) -> tuple[BothProposals, dict]:
    """Evaluate a run by the posterior and by fitted proposals, and keep both in the run's `metrics.json`.

    Args:
        model: run folder or `.keras` file; `None` is the newest run.
        proposal: "refined" or "adapted".
        fitted_samples: K of the fitted proposals.
        seed: of the draws and of the binarization.
        verbose: whether to show progress.
        proposal_scale: of the posterior.
        defensive: of the posterior.
        per_example: a further .npz file for the arrays of each image by the posterior.
        num_samples: K of the posterior.
        **images: which; see `keras_iwae.experiments.evaluate`.

    Returns:
        both results, and a record of the first for JSON, with that of the second and what to believe.

    Raises:
        ValueError: as `evaluate`, or if the latents are discrete.
    """
    check_choice("proposal", proposal, FITTED)
    # What is refused of the one is refused before the other is computed.
    check_integer("num_samples", num_samples)
    check_integer("fitted_samples", fitted_samples)
    Proposal(proposal_scale, defensive)
    if per_example is not None:
        check_file("per_example", check_ending("per_example", per_example, ".npz"))
    # Read once where it is the newest, which a run that is written meanwhile might be.
    common = {"model": runs.newest() if model is None else model, "seed": seed, "verbose": verbose, **images}
    fitted, second = evaluate(num_samples=fitted_samples, proposal=proposal, **common)
    amortized, first = evaluate(
        num_samples=num_samples, proposal_scale=proposal_scale, defensive=defensive, per_example=per_example, **common
    )
    both = BothProposals(amortized, fitted, (first["seconds"], second["seconds"]))
    return both, {**first, proposal: second, "believe": both.believe}
