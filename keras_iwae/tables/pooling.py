r"""Rubin's rules: one estimate with an honest error from the same analysis of each of m filled-in tables.

With estimates $Q_i$ and squared standard errors $U_i$: $\bar Q$ is their mean, and its variance
$T = \bar U + (1 + 1 / m) B$, with $B$ the variance of the $Q_i$, which is what was lost with the missing cells.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_iwae.foundation import MARK, check_number, check_positive
from keras_iwae.tables.labels import Labelled


@dataclass(frozen=True)
class Pooled:
    r"""What the analyses of m filled-in tables say together; of one quantity, or of an array of them.

    Of results with labels, Series or DataFrames, all of these have them.

    Attributes:
        estimate: $\bar Q$.
        standard_error: $\sqrt T$.
        within: $\bar U$, the variance that a table without holes would have left.
        between: B, the variance of the estimates over the tables.
        degrees_of_freedom: of the Student-t distribution that intervals are of.
        fraction_missing: share of the information that was lost with the missing cells.
    """

    estimate: np.ndarray
    standard_error: np.ndarray
    within: np.ndarray
    between: np.ndarray
    degrees_of_freedom: np.ndarray
    fraction_missing: np.ndarray

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper end of the interval that covers the quantity with probability `level`.

        Without any degrees of freedom, where the tables differ and their own variances are 0 beside finite degrees of
        the complete one, it is all numbers.

        Raises:
            ValueError: if `level` is none between 0 and 1.
        """
        if not 0.0 < check_number("level", level) < 1.0:
            raise ValueError(f"{MARK}level`. Expected a number between 0 and 1. Received: {level!r}")
        # scipy.stats takes half a second to import, and nothing but an interval needs it.
        from scipy import stats

        degrees, error = np.asarray(self.degrees_of_freedom), np.asarray(self.standard_error)
        quantile = np.where(degrees > 0.0, stats.t.ppf(0.5 + 0.5 * level, degrees), np.inf)
        half = np.multiply(quantile, error, out=np.zeros_like(error), where=error > 0.0)
        return self.estimate - half, self.estimate + half


def pool(estimates: Any, variances: Any, complete_degrees_of_freedom: float = math.inf) -> Pooled:
    r"""Pool the estimates of m filled-in tables by Rubin's rules.

    With $r = (1 + 1 / m) B / \bar U$ and $\lambda = (1 + 1 / m) B / T$ the degrees of freedom are
    $1 / (1 / \nu_m + 1 / \nu_{obs})$, with $\nu_m = (m - 1) / \lambda^2$ and
    $\nu_{obs} = \frac{\nu + 1}{\nu + 3} \nu (1 - \lambda)$, and the share of information that was lost is
    $(r + 2 / (\nu' + 3)) / (r + 1)$ with these degrees $\nu'$.

    Args:
        estimates: $Q_i$, `[m, ...]`; of Series and DataFrames the same labels belong together, in any order.
        variances: $U_i$, their squared standard errors, `[m, ...]`.
        complete_degrees_of_freedom: nu, those that the analysis of a table without holes has, such as rows less
            coefficients; infinity for one that uses a normal distribution.

    Returns:
        `Pooled`, with arrays `[...]`.

    Raises:
        ValueError: if there are fewer than two tables, shapes or labels differ, something is masked or no number, or a
            number or its square is not finite, or a variance below 0.

    Example:
        >>> pooled = pool([1.0, 2.0, 3.0], [0.5, 0.5, 0.5])
        >>> print(pooled.estimate, pooled.standard_error, pooled.interval(0.9))

    References:
        Rubin (1987), Multiple imputation for nonresponse in surveys, section 3.3.
        Barnard, Rubin (1999), Small-sample degrees of freedom with multiple imputation, equations 1 to 3.
    """
    labelled = Labelled.of("estimates", estimates)
    found = labelled.values
    if found.ndim < 1 or len(found) < 2:
        raise ValueError(f"{MARK}estimates`. Expected those of at least two tables. Received: shape {found.shape}")
    squares = Labelled.of("variances", variances).placed_as(labelled)
    if not np.isfinite(found).all():
        raise ValueError(f"{MARK}estimates`. Expected finite numbers. Received: NaN or infinity")
    if not (np.isfinite(squares).all() and (squares >= 0.0).all()):
        raise ValueError(f"{MARK}variances`. Expected finite numbers of at least 0. Received: others")
    nu = complete_degrees_of_freedom
    if not (isinstance(nu, (float, np.floating)) and nu == math.inf):
        check_positive("complete_degrees_of_freedom", nu)
    count = len(found)
    with np.errstate(over="ignore", invalid="ignore"):
        within, between = squares.mean(axis=0), found.var(axis=0, ddof=1)
        lost = (1.0 + 1.0 / count) * between
        total = within + lost
    if not np.isfinite(total).all():
        name, wide = ("estimates", found) if np.isfinite(within).all() else ("variances", squares)
        expected = "numbers whose sums and squares float64 holds; divide both by one of their size, and by its square"
        raise ValueError(f"{MARK}{name}`. Expected {expected}. Received: up to {np.abs(wide).max():g}")
    # Nothing varies and nothing is uncertain: nothing was lost.
    share = np.divide(lost, total, out=np.zeros_like(total), where=total > 0.0)
    with np.errstate(divide="ignore"):
        inverse = share**2 / (count - 1.0)
        if math.isfinite(nu):
            inverse = inverse + 1.0 / ((nu + 1.0) / (nu + 3.0) * nu * (1.0 - share))
        degrees = 1.0 / inverse
    # (r + 2 / (nu + 3)) / (r + 1), of which r may be infinite.
    fraction = share + (1.0 - share) * 2.0 / (degrees + 3.0)
    pooled = found.mean(axis=0), np.sqrt(total), within, between, degrees, fraction
    return Pooled(*map(labelled.named, pooled))
