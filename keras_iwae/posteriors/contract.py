"""What a model asks of a posterior of a user's own, looked at when the model is made and not when a step fails."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import is_own_class, shape_text
from keras_iwae.posteriors.agreement import check_agreement
from keras_iwae.posteriors.base import Posterior
from keras_iwae.posteriors.tried import tried, wrong

_DENSITIES = "exact", "joint", "none"
# Rows and draws that it is tried on.
_ROWS, _DRAWS = 3, 2


def check_contract(posterior: Posterior, event_shape: tuple[int, ...]) -> None:
    """Refuse a class of a user's own whose draws or densities are not those of each row of a batch.

    Args:
        posterior: one that is built.
        event_shape: shape of one event.

    Raises:
        ValueError: it names the method and what that gives.
    """
    if not is_own_class(type(posterior)):
        return
    if posterior.density not in _DENSITIES:
        raise wrong(posterior, f"`density`, one of {_DENSITIES}", f"{posterior.density!r}")
    rows = np.random.default_rng(0).uniform(size=(_ROWS, *event_shape)).astype(np.float32)
    width = posterior.latent_dim + posterior.auxiliary_dim
    q, key = tried(posterior, "distribution", tf.constant(rows), False), tf.constant([0, 1])
    for name in ("sample", *([] if posterior.density == "none" else ["log_prob"])):
        if not hasattr(q, name):
            raise wrong(posterior, "`distribution(x, training)`, a TFP distribution", f"a {type(q).__name__}")
    # What is none of TFP's need not say its shapes: its draws and densities have them.
    if isinstance(q, tfp.distributions.Distribution):
        found = tuple(q.batch_shape), tuple(q.event_shape)
        if found != ((_ROWS,), (width,)):
            given = f"batch shape {shape_text(*found[0])} and event shape {shape_text(*found[1])} for B = {_ROWS}"
            raise wrong(posterior, f"`distribution` of batch shape [B] and event shape [{width}]", given)
    if posterior.density != "none":
        z, log_q = tried(posterior, "sample_and_log_prob", tf.constant(rows), _DRAWS, key)
        _check_tensor(posterior, "draws of `sample_and_log_prob`", z, ("K", "B", width))
        _check_tensor(posterior, "log densities of `sample_and_log_prob`", log_q, ("K", "B"))
        _check_tensor(posterior, "`log_prob(z, x)`", tried(posterior, "log_prob", z, tf.constant(rows)), ("K", "B"))
    else:
        # What stands in for its density is a ratio to that of the Gaussian with these moments.
        for name in ("mean", "stddev"):
            _check_tensor(posterior, f"`distribution(x).{name}()`", tried(posterior, name, of=q), ("B", width))
    check_agreement(posterior, rows, key)


def _check_tensor(posterior: Posterior, what: str, found: Any, shape: tuple) -> None:
    sizes = {"K": _DRAWS, "B": _ROWS}
    wanted = tuple(sizes.get(size, size) for size in shape)
    if tuple(found.shape) != wanted or keras.backend.standardize_dtype(found.dtype) != "float32":
        given = f"{keras.backend.standardize_dtype(found.dtype)} {shape_text(*found.shape)}"
        raise wrong(posterior, f"{what}, float32 {shape_text(*shape)}", f"{given} for K = {_DRAWS}, B = {_ROWS}")
    if np.isnan(found).any():
        raise wrong(posterior, f"{what} that are numbers", "NaN")
