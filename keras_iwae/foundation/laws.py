r"""Whether two sets of draws are of one law, as far as averages of them tell.

Averages of tanh u, of its absolute value and of its products over pairs of entries, $u = (x - \text{median}) /
\text{spread}$: they exist for every law, and tell a place, a width and what goes together. Two that are equal differ by
more than six standard errors once in many million.
"""

import numpy as np

_STANDARD_ERRORS = 6.0


def same_law(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether draws may be of one law.

    Args:
        one: draws, `[N, ..., D]`; D entries that may depend on each other, those along further axes by themselves.
        other: as many of what is wanted, of the same shape.
    """
    low, middle, high = np.quantile(other, [0.25, 0.5, 0.75], axis=0)
    spread = np.maximum(high - low, 1e-3 * np.abs(middle) + 1e-6)
    first, second = (np.tanh((each - middle) / spread).astype(np.float64) for each in (one, other))
    return all(_near(of(first), of(second), len(one)) for of in (_values, _sizes, _products))


_Means = tuple[np.ndarray, np.ndarray]


def _near(first: _Means, second: _Means, count: int) -> bool:
    """Whether means, given with the means of squares, are the same but for their standard errors."""
    variances = sum(np.maximum(squares - means**2, 0.0) for means, squares in (first, second))
    return bool(np.all(np.abs(first[0] - second[0]) <= _STANDARD_ERRORS * (np.sqrt(variances / count) + 1.0 / count)))


def _values(u: np.ndarray) -> _Means:
    return u.mean(axis=0), (u**2).mean(axis=0)


def _sizes(u: np.ndarray) -> _Means:
    return _values(np.abs(u))


def _products(u: np.ndarray) -> _Means:
    """Of each pair of entries; not one by one, for there are D^2 of them a draw."""
    u = np.moveaxis(u, 0, -2)
    means, squares = (np.swapaxes(each, -1, -2) @ each / u.shape[-2] for each in (u, u**2))
    return means, squares
