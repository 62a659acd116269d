"""What is asked of a prior of a user's own, at some draws: shapes, and a density that is that of the draws."""

import contextlib
from typing import Any

import numpy as np
import tensorflow as tf

from keras_iwae.foundation import MARK, is_own_class, moved_weights, same_law
from keras_iwae.priors.base import Prior, top_of

_DRAWS = 64
# Of nats, far above rounding.
_TOLERANCE = 1e-2
# Draws by which two laws are compared.
_MANY = 4000


def check_contract(prior: Prior) -> None:
    """Refuse a class of a user's own whose methods do not say one p(z).

    What it has of its own is compared with what it inherits, at draws; where both draws and density are its own, they
    are taken as they are.

    Args:
        prior: a prior that is built.

    Raises:
        ValueError: which names `prior` and the method.
    """
    if (top := top_of(prior)) is not prior:
        check_contract(top)
    kind = type(prior)
    # The base class itself says nothing yet.
    if not is_own_class(kind) and kind is not Prior:
        return
    if callable(vars(kind).get("distribution")):
        raise _wrong(prior, "whose `distribution` is a property, as p(z) has no argument", "a method")
    z = _tried(prior, "sample", _DRAWS, tf.constant([0, 1]))
    if tuple(z.shape) != (_DRAWS, prior.latent_dim):
        raise ValueError(
            f"{MARK}prior`. Expected a class whose `sample(N, seed)` gives [N, {prior.latent_dim}]. Received: "
            f"{kind.__name__}, which gives {list(z.shape)} for N = {_DRAWS}"
        )
    log_prob = _tried(prior, "log_prob", z[tf.newaxis])
    if tuple(log_prob.shape) != (1, _DRAWS) or not np.isfinite(log_prob).all():
        raise ValueError(
            f"{MARK}prior`. Expected a class whose `log_prob` of latents [K, B, D] is finite, [K, B], at its own draws."
            f" Received: {kind.__name__}, which gives {list(log_prob.shape)} for [1, {_DRAWS}, {prior.latent_dim}]"
        )
    fault = _fault(prior)
    if fault is None:
        # With other weights it may say nothing, or no numbers.
        with moved_weights(prior), contextlib.suppress(Exception):
            fault = _fault(prior)
    if fault is not None:
        raise ValueError(f"{MARK}prior`. Expected a class {fault[0]}. Received: {kind.__name__}{fault[1]}")


def _tried(prior: Prior, method: str, *arguments: Any) -> tf.Tensor:
    try:
        return getattr(prior, method)(*arguments)
    # Whatever is wrong in a class of the user's own, it is this argument.
    except NotImplementedError as error:
        expected = f"that has `distribution`, a property, or `sample` and `log_prob`: its `{method}` asks for it"
        raise _wrong(prior, expected, "none") from error
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise _wrong(prior, f"whose `{method}` can be called", reason) from error


def _wrong(prior: Prior, expected: str, received: str) -> ValueError:
    return ValueError(f"{MARK}prior`. Expected a class {expected}. Received: {type(prior).__name__}, with {received}")


def _fault(prior: Prior) -> tuple[str, str] | None:
    """What was expected and what there is beside the class; `None` where nothing is wrong."""
    kind = type(prior)
    z = prior.sample(_DRAWS, tf.constant([0, 1]))
    log_prob = prior.log_prob(z[tf.newaxis])
    if not _near(log_prob[:, : _DRAWS // 2], prior.log_prob(z[tf.newaxis, : _DRAWS // 2])):
        return (
            "whose `log_prob` is of each latent by itself",
            ", which gives others where the latents beside it are others",
        )
    ours = next(base for base in kind.__mro__ if not is_own_class(base) and issubclass(base, Prior))
    source = ours if kind.sample is ours.sample else kind
    expected = (
        prior.distribution.log_prob(z) if kind.distribution is not Prior.distribution else source.log_prob(prior, z)
    )
    if not _near(expected, log_prob[0]):
        return (
            "whose draws have its density: one with another `log_prob` or `distribution` has another `sample`, too, as "
            "that of `Prior` is of its `distribution`",
            "",
        )
    if kind.log_prob is ours.log_prob and kind.sample is not ours.sample:
        own, theirs = prior.sample(_MANY, tf.constant([0, 2])), ours.sample(prior, _MANY, tf.constant([0, 3]))
        if not same_law(own.numpy(), theirs.numpy()):
            return (
                "whose draws have its density: one with another `sample` has another `log_prob`, too",
                f", whose draws are no draws of {ours.__name__}",
            )
    return None


def _near(expected: tf.Tensor, found: tf.Tensor) -> bool:
    """Whether they are the same wherever a number is expected."""
    return bool(np.all(np.isnan(expected) | np.isclose(expected, found, rtol=1e-3, atol=_TOLERANCE)))
