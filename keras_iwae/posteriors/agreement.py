"""One q(z|x): what the methods of a posterior of a user's own say of each row has to be what its distribution does.

Training draws from `distribution(x)` and asks that for densities; evaluations go by `sample_and_log_prob`, `log_prob`
and `mean`. They are held together by their numbers for a few rows, with the weights at the start and with others.
"""

import contextlib
from typing import Any

import numpy as np
import tensorflow as tf

from keras_iwae.foundation import is_own_class, moved_weights, same_law
from keras_iwae.posteriors.base import Posterior
from keras_iwae.posteriors.tried import tried, wrong

# Draws whose densities are compared, and those by which two laws are.
_DRAWS, _MANY = 2, 4000
# Rows of which gradients are.
_ROWS = 3
_ROUNDING = 1e-3


def check_agreement(posterior: Posterior, rows: np.ndarray, key: tf.Tensor) -> None:
    """Refuse a class whose methods say different things of q(z|x), or something else where other rows are beside x.

    Args:
        posterior: one that is built, and whose methods give tensors as they are to be.
        rows: events, float32 `[B, *event_shape]`.
        key: int32 `[2]`, a stateless seed.

    Raises:
        ValueError: which names the method that says something else.
    """
    fault = _fault(posterior, rows, key)
    if fault is None:
        # With other weights it may say nothing, or no numbers.
        with moved_weights(posterior), contextlib.suppress(Exception):
            fault = _fault(posterior, rows, key)
    if fault is not None:
        raise wrong(posterior, *fault)


def check_path(posterior: Posterior, event_shape: tuple[int, ...]) -> None:
    """Refuse a class of a user's own whose `reparameterize` has not the gradient of the draws.

    What is left out, as parameters of the noise below a bijector, would not be trained by the resampled backward pass.

    Args:
        posterior: one that is built, and `reparameterized`.
        event_shape: shape of one event.

    Raises:
        ValueError: which says what `reparameterize` is to give.
    """
    if not is_own_class(type(posterior)):
        return
    rng, key = np.random.default_rng(0), tf.constant([0, 1])
    x = tf.constant(rng.uniform(size=(_ROWS, *event_shape)).astype(np.float32))
    with tf.GradientTape(persistent=True) as tape:
        q = posterior.distribution(x)
        z = q.sample([_DRAWS], seed=key)
        drawn = q.labelled([_DRAWS], seed=key) if posterior.stratified else z
        again = posterior.reparameterize(q, tf.stop_gradient(drawn))
        along = tf.constant(rng.normal(size=z.shape).astype(np.float32))
        values = [tf.reduce_sum(along * each) for each in (z, again)]
    sources = [variable.value for variable in posterior.trainable_variables]
    each = [tape.gradient(value, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO) for value in values]
    wanted, found = (_flat(gradients) for gradients in each)
    if np.abs(wanted - found).max(initial=0.0) > _ROUNDING * (1.0 + np.abs(wanted).max(initial=0.0)):
        raise wrong(
            posterior,
            "a `reparameterize(distribution, z)` through all parameters of the draws, for `backward_samples`",
            "another, as where the noise that a bijector transforms has parameters",
        )


def _flat(gradients: list) -> np.ndarray:
    # Those of an embedding are slices.
    return np.concatenate([np.zeros(0), *(np.ravel(tf.convert_to_tensor(part)) for part in gradients)])


def _fault(posterior: Posterior, rows: np.ndarray, key: tf.Tensor) -> tuple[str, str] | None:
    """What was expected and what there is; `None` where nothing is wrong."""
    x = tf.constant(rows)
    q, again = (tried(posterior, "distribution", x, False) for _ in range(2))
    if posterior.stratified and not hasattr(q, "labelled"):
        return "a distribution with `labelled(sample_shape, seed)` of a posterior that is stratified", "one without"
    z = q.sample([_DRAWS], seed=key)
    if not _same(z, again.sample([_DRAWS], seed=key)):
        # Its encoder draws.
        return None
    if posterior.density != "none":
        beside = tf.constant(np.concatenate([rows[:1], rows[:0:-1] ** 2]))
        first, other = (tried(posterior, "log_prob", z, each)[:, 0] for each in (x, beside))
        if not _same(first, other):
            return "densities of each row by itself", "others where the rows beside it are others"
    method = _first_that_differs(posterior, q, x, z, key)
    if method is None:
        return None
    return (
        f"a `{method}` that says of q(z|x) what `distribution(x)` does, by which it is trained and evaluated",
        "another: override `distribution`, and that where it is to be faster",
    )


def _first_that_differs(posterior: Posterior, q: Any, x: tf.Tensor, z: tf.Tensor, key: tf.Tensor) -> str | None:
    def overrides(method: str) -> bool:
        return getattr(type(posterior), method) is not getattr(Posterior, method)

    if overrides("mean"):
        with contextlib.suppress(NotImplementedError, AttributeError):
            if not _same(q.mean(), tried(posterior, "mean", x)):
                return "mean"
    if overrides("reparameterize") and posterior.reparameterized:
        drawn = q.labelled([_DRAWS], seed=key) if posterior.stratified else z
        if not _same(z, tried(posterior, "reparameterize", q, drawn)):
            return "reparameterize"
    if posterior.density == "none":
        return None
    if overrides("sample_and_log_prob") and not _draws_alike(posterior, q, x, key):
        return "sample_and_log_prob"
    if overrides("log_prob") and not _same(q.log_prob(z), tried(posterior, "log_prob", z, x)):
        return "log_prob"
    return None


def _draws_alike(posterior: Posterior, q: Any, x: tf.Tensor, key: tf.Tensor) -> bool:
    """Whether draws have the distribution's density, and are its draws or others of its law."""

    def found(count: int) -> tuple[tf.Tensor, tf.Tensor]:
        return tried(posterior, "sample_and_log_prob", x, count, key)

    z, log_q = found(_DRAWS)
    if not _same(q.log_prob(z), log_q):
        return False
    # It may make its noise of the key in a way of its own.
    return _same(q.sample([_DRAWS], seed=key), z) or same_law(
        found(_MANY)[0].numpy(), q.sample([_MANY], seed=key + 1).numpy()
    )


def _same(expected: Any, found: Any) -> bool:
    """Whether they are the same wherever a number is expected."""
    expected, found = np.asarray(expected), np.asarray(found)
    if expected.shape != found.shape:
        return False
    return bool(np.all(np.isnan(expected) | np.isclose(expected, found, rtol=_ROUNDING, atol=_ROUNDING)))
