r"""Whether what was inferred from simulated data is where, and as wide as, it should be: ranks among posterior draws.

For $z^* \sim p(z)$, $x \sim p(x|z^*)$ and $z_1, ..., z_L$ from the posterior given x, the rank of any quantity of z*
among those of the draws is uniform on 0, ..., L.
"""

from dataclasses import dataclass

import numpy as np

from keras_iwae.foundation import MARK, check_integer

# Of the verdicts on all quantities together: how often a posterior that is right is said to be off.
_LEVEL = 0.01
# By chance a bin of the chi-square test has to have so many.
_FEWEST = 5


@dataclass(frozen=True)
class RankCalibration:
    """Ranks of N simulations, for each of Q quantities.

    Attributes:
        ranks: how many of the draws are below the value that made the data, integers `[N, Q]`.
        num_draws: L, draws of each simulation; ranks go from 0 to L.

    Raises:
        ValueError: if the ranks are no integers from 0 to L, or there are none.

    References:
        Talts, Betancourt, Simpson, Vehtari, Gelman (2018), Validating Bayesian inference algorithms with
        simulation-based calibration, theorem 1.
    """

    ranks: np.ndarray
    num_draws: int

    def __post_init__(self):
        check_integer("num_draws", self.num_draws)
        ranks = np.asarray(self.ranks)
        if ranks.ndim != 2 or not ranks.size or ranks.dtype.kind not in "iu":
            raise ValueError(f"{MARK}ranks`. Expected integers [N, Q]. Received: {ranks.dtype} {list(ranks.shape)}")
        if ranks.min() < 0 or ranks.max() > self.num_draws:
            raise ValueError(f"{MARK}ranks`. Expected 0 to {self.num_draws}. Received: {ranks.min()} to {ranks.max()}")

    @property
    def p_values(self) -> np.ndarray:
        """Of a chi-square test that the ranks are uniform, `[Q]`; ranks are put together until a bin has enough."""
        # Long in importing, and nothing else that every process imports needs it.
        from scipy import stats

        bins = max(2, min(self.num_draws + 1, len(self.ranks) // _FEWEST))
        # Shares differ where L + 1 does not divide into so many.
        of_rank = np.arange(self.num_draws + 1) * bins // (self.num_draws + 1)
        expected = np.bincount(of_rank, minlength=bins) * len(self.ranks) / (self.num_draws + 1)
        counted = np.stack([np.bincount(of_rank[column], minlength=bins) for column in np.asarray(self.ranks).T])
        return stats.chisquare(counted, expected, axis=1).pvalue

    @property
    def shifts(self) -> np.ndarray:
        """How far posteriors lie to one side, in standard errors, `[Q]`: above 0, their draws are too low."""
        sizes = self.num_draws + 1
        return self._in_errors(self._centered(), float(np.sqrt((1.0 - 1.0 / sizes**2) / 3.0)))

    @property
    def excesses(self) -> np.ndarray:
        """How often values lie at the ends, in standard errors, `[Q]`: above 0, posteriors are too narrow."""
        grid = 2.0 * (np.arange(self.num_draws + 1) + 0.5) / (self.num_draws + 1) - 1.0
        return self._in_errors(self._centered() ** 2 - np.mean(grid**2), float(np.std(grid**2)))

    def _centered(self) -> np.ndarray:
        """Ranks between -1 and 1."""
        return 2.0 * (np.asarray(self.ranks) + 0.5) / (self.num_draws + 1) - 1.0

    def _in_errors(self, values: np.ndarray, deviation: float) -> np.ndarray:
        # With a single draw both ranks are as far from the middle.
        return values.mean(axis=0) * np.sqrt(len(values)) / deviation if deviation else np.zeros(values.shape[1])

    @property
    def off(self) -> np.ndarray:
        """Which quantities are not calibrated, booleans `[Q]`: one of a hundred posteriors that are right has any.

        Each by the smallest of three p-values, that of the chi-square test and those of shift and excess; Bonferroni.
        """
        from scipy import stats

        tails = [2.0 * stats.norm.sf(np.abs(found)) for found in (self.shifts, self.excesses)]
        return np.min([self.p_values, *tails], axis=0) < _LEVEL / (3 * np.asarray(self.ranks).shape[1])
