"""The NLL by the encoder's proposals, as it is published, and by fitted ones beside it: what each says and costs."""

import math
import os
from dataclasses import dataclass

from keras_iwae.evaluation import UNRELIABLE_K, NLLResult, Proposal, nats
from keras_iwae.experiments.log_likelihood import evaluate
from keras_iwae.foundation import check_choice, check_ending, check_file, check_integer, number_text
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
        """One sentence that says which of the two is nearer to log p(x), and how far it is to be trusted itself."""
        first, second = self.amortized, self.fitted
        finite = [result for result in (first, second) if math.isfinite(result.nll)]
        if len(finite) < 2:
            return f"Believe {finite[0].name}: the other is not finite." if finite else "Neither: they are not finite."
        gain, error = first.nll - second.nll, math.hypot(first.monte_carlo_error, second.monte_carlo_error)
        if abs(gain) <= _ERRORS * error:
            return f"Either: the two agree within {_ERRORS:g} errors of their difference, which is {error:.3f} nats."
        nearer = second if gain > 0.0 else first
        share = nearer.share_unreliable
        # Of a single sample there is no error, and of few no k-hat.
        by = f" (error of the difference {error:.3f})" if math.isfinite(error) else ""
        trust = f" {share:.1%} of its images have a Pareto k-hat above {UNRELIABLE_K}." if math.isfinite(share) else ""
        return (
            f"Believe {nearer.name}: both are upper bounds of the NLL on average, and it is {abs(gain):.2f} nats "
            f"lower{by}.{trust}"
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
            (f"k-hat above {UNRELIABLE_K}", *(number_text(tail["share_above_0.7"], ".1%") for tail in tails)),
            ("effective samples", *(f"median {number_text(ess['median'], '.1f')}" for ess in effective)),
            ("decoder evaluations", *(f"{result.decoder_evaluations:,} an image" for result in both)),
            ("time", *(f"{seconds:.1f} s" for seconds in self.seconds)),
        ]
        table = "\n".join(f"{name:<22}{first:<20}{second}" for name, first, second in rows)
        unknown = [result.name for result in both if math.isnan(result.share_unreliable)]
        note = [f"No k-hat of {' and '.join(unknown)}: it needs at least 21 samples of each image."] if unknown else []
        return "\n\n".join([str(self.amortized), table, *note, self.believe])


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
