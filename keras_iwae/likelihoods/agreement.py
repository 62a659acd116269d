"""One p(x|z): what the methods of a likelihood of a user's own say of it in several ways has to be the same.

Training and every log-likelihood ask `log_prob`; means, draws and what is served go by `entries`; cells of tables by
`entry_log_prob`. A class that changes one of them and not the others would be trained as one model and shown as
another.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from keras_iwae.foundation import MARK, Support
from keras_iwae.likelihoods.base import Likelihood
from keras_iwae.likelihoods.bernoulli_head import FEWEST_SAMPLES

# As many draws as let a head be fused, where there is one.
_EVENTS, _DRAWS = 3, FEWEST_SAMPLES
_ROUNDING = 1e-3


def check_agreement(likelihood: Likelihood, features_shape: tuple) -> None:
    """Refuse a class whose methods say different things of p(x|z), where it has `entries` to go by.

    Args:
        likelihood: one that knows the shape of its events, and is built.
        features_shape: shape of the features of one event.

    Raises:
        ValueError: it names the method that says something else.
    """
    if type(likelihood).entries is Likelihood.entries:
        return
    given = np.random.default_rng(0).normal(size=(_DRAWS, _EVENTS, *features_shape))
    features, x = tf.constant(given, tf.float32), _values(likelihood)
    for method, said, expected in _statements(likelihood, features, x):
        first, other = _found(said), _found(expected)
        # One that draws says something else each time.
        if first is None or other is None or not _agree(first, _found(said)):
            continue
        if not _agree(first, other):
            raise ValueError(
                f"{MARK}likelihood`. Expected a class whose `{method}` says of p(x|z) what its `entries(parameters)` "
                "do, by which it is trained, evaluated, drawn from and shown alike: override `entries`, and "
                f"`{method}` where it is to be faster. Received: {type(likelihood).__name__}, where it does not"
            )


def _values(likelihood: Likelihood) -> tf.Tensor:
    """Values of the support for each entry, several where there are."""
    support: Any = likelihood.support
    assert isinstance(support, Support)
    low, high = support.nearest_to_zero, support.high if support.bounded else support.nearest_to_zero + 1.0
    some = [low, high] if support.integers else [low, high, 0.5 * (low + high)]
    return tf.constant(np.resize(some, (_EVENTS, *likelihood.event_shape)), tf.float32)


def _statements(
    likelihood: Likelihood, features: tf.Tensor, x: tf.Tensor
) -> Iterator[tuple[str, Callable[[], Any], Callable[[], Any]]]:
    """Names of methods with what they say and what they have to say."""
    parameters, key = likelihood(features), tf.constant([0, 1])
    entries, axes = likelihood.entries(parameters), list(range(-len(likelihood.event_shape), 0))
    mask = tf.constant(np.resize([True, False, True], x.shape))

    def summed(observed: tf.Tensor | None = None) -> tf.Tensor:
        found = entries.log_prob(x)
        return tf.reduce_sum(found if observed is None else tf.where(observed, found, 0.0), axis=axes)

    # What others go by comes first, and is what is named.
    yield "entry_log_prob", lambda: likelihood.entry_log_prob(x, parameters), lambda: entries.log_prob(x)
    yield "log_prob", lambda: likelihood.log_prob(x, features, None), summed
    yield "log_prob", lambda: likelihood.log_prob(x, features, mask), lambda: summed(mask)
    if not likelihood.weighted:
        yield "training_log_prob", lambda: likelihood.training_log_prob(x, features, None), summed
    yield "distribution", lambda: likelihood.distribution(features).log_prob(x), summed
    if isinstance(likelihood.levels, int):
        levels = tf.reshape(tf.range(likelihood.levels, dtype=tf.float32), [-1, *[1] * (2 + len(axes))])
        yield (
            "level_probabilities",
            lambda: likelihood.level_probabilities(parameters),
            lambda: np.moveaxis(tf.exp(entries.log_prob(levels)).numpy(), 0, -1),
        )
    yield "moments_of", lambda: likelihood.moments_of(parameters)[0], entries.mean
    yield "moments_of", lambda: likelihood.moments_of(parameters)[1], entries.stddev
    yield "mean_of", lambda: likelihood.mean_of(parameters), entries.mean
    yield "mean_of", lambda: likelihood.mean_of(parameters), lambda: likelihood.moments_of(parameters)[0]
    yield "mean", lambda: likelihood.mean(features), lambda: likelihood.mean_of(parameters)
    yield "sample", lambda: likelihood.sample(features, key)[0], lambda: likelihood.mean_of(parameters)
    yield "sample", lambda: likelihood.sample(features, key)[1], lambda: _draw(likelihood, parameters, key)
    name = likelihood.served_names[1]
    yield "served", lambda: likelihood.served(features).get(name), lambda: likelihood.mean(features)


def _draw(likelihood: Likelihood, parameters: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    return likelihood._over_events(likelihood.entries(parameters)).sample(seed=key)


def _found(said: Callable[[], Any]) -> np.ndarray | None:
    """What a method gives; `None` where it has nothing to give."""
    try:
        found = said()
    # A distribution of the user's own may have no mean, and one that nobody asks for is missed by nobody.
    except Exception:
        return None
    return None if found is None else np.asarray(found)


def _agree(first: np.ndarray, other: np.ndarray | None) -> bool:
    if other is None or first.shape != other.shape:
        return False
    return np.allclose(first, other, rtol=_ROUNDING, atol=_ROUNDING, equal_nan=True)
