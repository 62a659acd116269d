"""How far the filled-in cells of each row are to be trusted, in numbers and in words."""

from dataclasses import dataclass

import numpy as np

from keras_iwae.evaluation import UNRELIABLE_K, Conditional

COMPLETE = "complete: nothing was missing"
FROM_PRIOR = "filled in from the prior: nothing of this row was observed, so it is a row as the table has them"
TRUSTED = "to be trusted as far as the model is"
UNKNOWN = "not judged: with fewer than 21 importance samples there is no k-hat"
DOUBTFUL = (
    "not to be trusted: a few of the importance samples have nearly all of the weight (k-hat above 0.7), as for a row "
    "that is unlike those that were learned from"
)


@dataclass(frozen=True)
class RowTrust:
    """For each of N rows, how well its missing cells are known to follow the model.

    Attributes:
        missing: how many cells were missing, `[N]`.
        effective_sample_size: of the importance weights, in samples, `[N]`; NaN where nothing was missing.
        pareto_k: shape of their tail, `[N]`; above 0.7 means and draws are not to be trusted; NaN where nothing was
            missing.
        verdict: in words, `[N]`.
    """

    missing: np.ndarray
    effective_sample_size: np.ndarray
    pareto_k: np.ndarray
    verdict: np.ndarray

    @classmethod
    def of(cls, missing: np.ndarray, found: Conditional | None) -> "RowTrust":
        """Of which cells were missing, bool `[N, D]`, and what was found of the rows where any was."""
        gaps = missing.sum(axis=1)
        ess, tails = np.full(len(gaps), np.nan), np.full(len(gaps), np.nan)
        if found is not None:
            ess[gaps > 0], tails[gaps > 0] = found.effective_sample_size, found.pareto_k
        verdict = np.select(
            [gaps == 0, gaps == missing.shape[1], np.isnan(tails), tails > UNRELIABLE_K],
            [COMPLETE, FROM_PRIOR, UNKNOWN, DOUBTFUL],
            TRUSTED,
        )
        return cls(gaps, ess, tails, verdict)

    @property
    def doubtful(self) -> np.ndarray:
        """Rows that are not to be trusted, bool `[N]`."""
        return self.pareto_k > UNRELIABLE_K

    def __str__(self) -> str:
        lines = [f"{np.sum(self.verdict == verdict)} rows: {verdict}" for verdict in dict.fromkeys(self.verdict)]
        return "\n".join(lines)
