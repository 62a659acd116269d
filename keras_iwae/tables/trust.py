"""How much the importance weights of each filled-in row say, in numbers and words; not whether the model is right."""

from dataclasses import dataclass

import numpy as np

from keras_iwae.evaluation import UNRELIABLE_K, Conditional

COMPLETE = "complete: nothing was missing"
FROM_PRIOR = "filled in from the prior: nothing of this row was observed, so it is a row as the table has them"
FROM_GAPS = "filled in from the gaps alone: nothing of this row was observed, so it is a row as those that go missing"
STEADY = "steady: the weights say what the model makes of this row; how good the model is they do not judge"
UNKNOWN = "not judged: with fewer than 21 importance samples there is no k-hat"
# Of the sampler: intervals on breast cancer, half MCAR, cover 91 % there and in all (docs/results/imputation.json).
UNSTEADY = (
    "unsteady: a few of the importance samples have nearly all of the weight (k-hat above 0.7), so that the numbers of "
    "this row vary from seed to seed; more samples may help, and this does not say that the model is wrong about it"
)


@dataclass(frozen=True)
class RowTrust:
    """For each of N rows, how surely its numbers are what the model says of it; not how well the model fits the row.

    Attributes:
        missing: how many cells were missing, `[N]`.
        effective_sample_size: of the importance weights, in samples, `[N]`; NaN where nothing was missing.
        pareto_k: shape of their tail, `[N]`; above 0.7 means and draws vary from seed to seed; NaN where nothing was
            missing.
        verdict: in words, `[N]`.
    """

    missing: np.ndarray
    effective_sample_size: np.ndarray
    pareto_k: np.ndarray
    verdict: np.ndarray

    @classmethod
    def of(cls, missing: np.ndarray, found: Conditional | None, gaps_say: bool = False) -> "RowTrust":
        """Of which cells were missing, bool `[N, D]`, what was found of such rows, and whether gaps say something."""
        gaps = missing.sum(axis=1)
        ess, tails = np.full(len(gaps), np.nan), np.full(len(gaps), np.nan)
        if found is not None:
            ess[gaps > 0], tails[gaps > 0] = found.effective_sample_size, found.pareto_k
        verdict = np.select(
            [gaps == 0, gaps == missing.shape[1], np.isnan(tails), tails > UNRELIABLE_K],
            [COMPLETE, FROM_GAPS if gaps_say else FROM_PRIOR, UNKNOWN, UNSTEADY],
            STEADY,
        )
        return cls(gaps, ess, tails, verdict)

    @property
    def unsteady(self) -> np.ndarray:
        """Rows whose numbers vary from seed to seed, bool `[N]`."""
        return self.pareto_k > UNRELIABLE_K

    def __str__(self) -> str:
        lines = [f"{np.sum(self.verdict == verdict)} rows: {verdict}" for verdict in dict.fromkeys(self.verdict)]
        return "\n".join(lines)
