"""What the latents are doing: arrays in, arrays out."""

import numpy as np

ACTIVE_UNIT_THRESHOLD = 0.01


def active_units(posterior_means: np.ndarray, threshold: float = ACTIVE_UNIT_THRESHOLD) -> np.ndarray:
    r"""Which latent units carry information: $\mathrm{Var}_x(\mathrm{E}_{q(u|x)}[u]) > 0.01$.

    Args:
        posterior_means: posterior mean of each image, `[N, D]`.
        threshold: the variance above which a unit is active.

    Returns:
        bool `[D]`; its sum is the number of active units.

    Example:
        >>> int(active_units(np.array([[-1.0, 0.0], [1.0, 0.0]])).sum())
        1

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, section 5.2.
    """
    return np.var(np.asarray(posterior_means, np.float64), axis=0) > threshold
