"""What a model asks of a posterior of a user's own, looked at when the model is made and not when a step fails."""

import contextlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import MARK, is_own_class, shape_text
from keras_iwae.posteriors.base import Posterior

_DENSITIES = "exact", "joint", "none"
# Rows and draws that it is tried on.
_ROWS, _DRAWS = 3, 2
_ROUNDING = 1e-3


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
        raise _wrong(posterior, f"`density`, one of {_DENSITIES}", f"{posterior.density!r}")
    rows = np.random.default_rng(0).uniform(size=(_ROWS, *event_shape)).astype(np.float32)
    beside = np.concatenate([rows[:1], rows[:0:-1] ** 2])
    width = posterior.latent_dim + posterior.auxiliary_dim
    q, key = _tried(posterior, "distribution", tf.constant(rows), False), tf.constant([0, 1])
    for name in ("sample", *([] if posterior.density == "none" else ["log_prob"])):
        if not hasattr(q, name):
            raise _wrong(posterior, "`distribution(x, training)`, a TFP distribution", f"a {type(q).__name__}")
    # What is none of TFP's need not say its shapes: its draws and densities have them.
    if isinstance(q, tfp.distributions.Distribution):
        found = tuple(q.batch_shape), tuple(q.event_shape)
        if found != ((_ROWS,), (width,)):
            given = f"batch shape {shape_text(*found[0])} and event shape {shape_text(*found[1])} for B = {_ROWS}"
            raise _wrong(posterior, f"`distribution` of batch shape [B] and event shape [{width}]", given)
    if posterior.density == "none":
        _check_agreement(posterior, tf.constant(rows), key)
        return
    z, log_q = _tried(posterior, "sample_and_log_prob", tf.constant(rows), _DRAWS, key)
    _check_tensor(posterior, "draws of `sample_and_log_prob`", z, ("K", "B", width))
    _check_tensor(posterior, "log densities of `sample_and_log_prob`", log_q, ("K", "B"))
    first, again, other = (_tried(posterior, "log_prob", z, tf.constant(x)) for x in (rows, rows, beside))
    _check_tensor(posterior, "`log_prob(z, x)`", first, ("K", "B"))
    # One whose encoder draws gives others for the same rows too.
    if _agree(first, again) and not _agree(first, other):
        raise _wrong(posterior, "densities of each row by itself", "others where the rows beside it are others")
    _check_agreement(posterior, tf.constant(rows), key)


def _check_agreement(posterior: Posterior, rows: tf.Tensor, key: tf.Tensor) -> None:
    """Refuse a class whose methods say different things of q(z|x): training and evaluations ask different ones."""

    def overrides(method: str) -> bool:
        return getattr(type(posterior), method) is not getattr(Posterior, method)

    q, again = (_tried(posterior, "distribution", rows, False) for _ in range(2))
    z = q.sample([_DRAWS], seed=key)
    if not _same(z, again.sample([_DRAWS], seed=key)):
        # Its encoder draws.
        return
    said: list[tuple[str, Any, Any]] = []
    if overrides("mean"):
        with contextlib.suppress(NotImplementedError, AttributeError):
            said.append(("mean", q.mean(), _tried(posterior, "mean", rows)))
    if overrides("reparameterize") and posterior.reparameterized:
        drawn = q.labelled([_DRAWS], seed=key) if posterior.stratified else z
        said.append(("reparameterize", z, _tried(posterior, "reparameterize", q, drawn)))
    if posterior.density != "none" and overrides("sample_and_log_prob"):
        drawn, log_q = _tried(posterior, "sample_and_log_prob", rows, _DRAWS, key)
        said += [("sample_and_log_prob", z, drawn), ("sample_and_log_prob", q.log_prob(z), log_q)]
    if posterior.density != "none" and overrides("log_prob"):
        said.append(("log_prob", again.log_prob(z), _tried(posterior, "log_prob", z, rows)))
    for method, expected, found in said:
        if not _same(expected, found):
            raise _wrong(
                posterior,
                f"a `{method}` that says of q(z|x) what `distribution(x)` does, by which it is trained and evaluated",
                "another: override `distribution`, and that where it is to be faster",
            )


def _same(first: Any, other: Any) -> bool:
    return np.shape(first) == np.shape(other) and np.allclose(first, other, rtol=_ROUNDING, atol=_ROUNDING)


def _tried(posterior: Posterior, method: str, *arguments: Any) -> Any:
    try:
        return getattr(posterior, method)(*arguments)
    # Whatever is wrong in a class of the user's own, it is this argument.
    except Exception as error:
        if str(error).startswith(MARK):
            raise
        if isinstance(error, NotImplementedError) and not str(error):
            raise _wrong(posterior, f"`{method}`", "none") from error
        reason = " ".join(str(error).split())
        raise _wrong(posterior, f"`{method}` that can be called", f"{type(error).__name__}: {reason}") from error


def _check_tensor(posterior: Posterior, what: str, found: Any, shape: tuple) -> None:
    sizes = {"K": _DRAWS, "B": _ROWS}
    wanted = tuple(sizes.get(size, size) for size in shape)
    if tuple(found.shape) != wanted or keras.backend.standardize_dtype(found.dtype) != "float32":
        given = f"{keras.backend.standardize_dtype(found.dtype)} {shape_text(*found.shape)}"
        raise _wrong(posterior, f"{what}, float32 {shape_text(*shape)}", f"{given} for K = {_DRAWS}, B = {_ROWS}")
    if np.isnan(found).any():
        raise _wrong(posterior, f"{what} that are numbers", "NaN")


def _agree(first: Any, other: Any) -> bool:
    """Whether the first row has the same densities."""
    return bool(np.allclose(first[:, 0], other[:, 0], rtol=_ROUNDING, atol=_ROUNDING))


def _wrong(posterior: Posterior, expected: str, received: str) -> ValueError:
    return ValueError(
        f"{MARK}posterior`. Expected a class with {expected}. Received: {type(posterior).__name__}, with {received}"
    )
