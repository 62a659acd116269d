"""What is asked of a prior of a user's own, at some draws: shapes, and a density that is that of the draws."""

import numpy as np
import tensorflow as tf

from keras_iwae.foundation import MARK, is_own_class
from keras_iwae.priors.base import Prior

_DRAWS = 64
# Of nats, far above rounding.
_TOLERANCE = 1e-2


def check_contract(prior: Prior) -> None:
    """Refuse a class of a user's own whose methods do not say one p(z).

    Where it has a density of its own and the draws of a class of this package, that class' density at them is compared.

    Args:
        prior: a prior that is built.

    Raises:
        ValueError: which names `prior` and the method.
    """
    kind = type(prior)
    if not is_own_class(kind):
        return
    z = prior.sample(_DRAWS, tf.constant([0, 1]))
    if tuple(z.shape) != (_DRAWS, prior.latent_dim):
        raise ValueError(
            f"{MARK}prior`. Expected a class whose `sample(N, seed)` gives [N, {prior.latent_dim}]. Received: "
            f"{kind.__name__}, which gives {list(z.shape)} for N = {_DRAWS}"
        )
    log_prob = prior.log_prob(z[tf.newaxis])
    if tuple(log_prob.shape) != (1, _DRAWS) or not np.isfinite(log_prob).all():
        raise ValueError(
            f"{MARK}prior`. Expected a class whose `log_prob` of latents [K, B, D] is finite, [K, B], at its own draws."
            f" Received: {kind.__name__}, which gives {list(log_prob.shape)} for [1, {_DRAWS}, {prior.latent_dim}]"
        )
    ours = next(base for base in kind.__mro__ if not is_own_class(base) and issubclass(base, Prior))
    # Draws of the class that they are inherited from have that one's density.
    source = Prior if kind.sample is Prior.sample else ours if kind.sample is ours.sample else kind
    if not np.allclose(log_prob, source.log_prob(prior, z[tf.newaxis]), rtol=1e-3, atol=_TOLERANCE):
        raise ValueError(
            f"{MARK}prior`. Expected a class whose draws have its density: one with another `log_prob` has another "
            f"`sample`, too. Received: {kind.__name__}, with the draws of {source.__name__}"
        )
