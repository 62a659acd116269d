"""One p(x|z): what the methods of a likelihood of a user's own say of it in several ways has to be the same.

Training and every log-likelihood ask `log_prob`; means, draws and what is served go by `entries`; cells of tables by
`entry_log_prob`. A class that changes one of them and not the others would be trained as one model and shown as
another. They are held together by their numbers at a few values, features and weights: what differs elsewhere alone is
not seen.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from keras_iwae.foundation import MARK, is_own_class, moved_weights, same_law
from keras_iwae.likelihoods import probes
from keras_iwae.likelihoods.base import Likelihood
from keras_iwae.likelihoods.bernoulli_head import FEWEST_SAMPLES

# As many draws as let a head be fused, where there is one.
_DRAWS = FEWEST_SAMPLES
_ROUNDING = 1e-3
# Numbers that are drawn in all to compare two laws, and draws of each entry.
_DRAWN, _FEWEST, _MOST = 1_000_000, 2_000, 20_000

_Said = Callable[[], Any]


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
    x = probes.values(likelihood)
    given = np.random.default_rng(0).normal(size=(_DRAWS, len(x), *features_shape))
    features = tf.constant(given, tf.float32)
    for weights in (contextlib.nullcontext(), moved_weights(likelihood)):
        with weights:
            # What the class has of its own comes first, and is what is named.
            statements = sorted(_statements(likelihood, features, x), key=lambda one: not _is_own(likelihood, one[0]))
            for method, said, expected in statements:
                first, other = _found(said), _found(expected)
                if first is None or other is None or _agree(first, other):
                    continue
                # One that draws says something else each time.
                if _agree(first, _found(said)):
                    raise _differs(likelihood, method)
    if not _rows_apart(likelihood, features, x):
        raise ValueError(
            f"{MARK}likelihood`. Expected a class whose `log_prob` is of each event by itself, and the same at every "
            f"call. Received: {type(likelihood).__name__}, whose own follows what is beside it, or draws"
        )
    if _is_own(likelihood, "sample") and not _same_law(likelihood, features[0, 0]):
        raise _differs(likelihood, "sample")


def _rows_apart(likelihood: Likelihood, features: tf.Tensor, x: tf.Tensor) -> bool:
    """Whether log p(x|z) of an event is the same whatever the events, and the draws, beside it."""
    every = _found(lambda: likelihood.log_prob(x, features, None))
    first = _found(lambda: likelihood.log_prob(x[:1], features[:1, :1], None))
    # What it cannot do is said elsewhere.
    return every is None or first is None or _agree(first, every[:1, :1])


def _is_own(likelihood: Likelihood, method: str) -> bool:
    """Whether a method is of the user's own class, or was set on the object."""
    maker = next(kind for kind in type(likelihood).__mro__ if method in vars(kind))
    return method in vars(likelihood) or is_own_class(maker)


def _differs(likelihood: Likelihood, method: str) -> ValueError:
    return ValueError(
        f"{MARK}likelihood`. Expected a class whose `{method}` says of p(x|z) what its `entries(parameters)` do, by "
        f"which it is trained, evaluated, drawn from and shown alike: override `entries`, and `{method}` where it is "
        f"to be faster. Received: {type(likelihood).__name__}, where it does not"
    )


def _statements(likelihood: Likelihood, features: tf.Tensor, x: tf.Tensor) -> Iterator[tuple[str, _Said, _Said]]:
    """Names of methods with what they say and what they have to say."""
    parameters, key = likelihood(features), tf.constant([0, 1])
    entries, axes = likelihood.entries(parameters), list(range(-len(likelihood.event_shape), 0))
    mask = tf.constant(np.resize([True, False, True], x.shape))
    log_prob = functools.cache(lambda: entries.log_prob(x))

    def summed(observed: tf.Tensor | None = None) -> tf.Tensor:
        found = log_prob()
        return tf.reduce_sum(found if observed is None else tf.where(observed, found, 0.0), axis=axes)

    # What others go by comes first.
    yield "entry_log_prob", lambda: likelihood.entry_log_prob(x, parameters), log_prob
    yield "log_prob", lambda: likelihood.log_prob(x, features, None), summed
    yield "log_prob", lambda: likelihood.log_prob(x, features, mask), lambda: summed(mask)
    yield "log_prob_of", lambda: likelihood.log_prob_of(x)(features), summed
    yield "log_prob_of", lambda: likelihood.log_prob_of(x, mask)(features), lambda: summed(mask)
    if not likelihood.weighted:
        yield "training_log_prob", lambda: likelihood.training_log_prob(x, features, None), summed
    yield "distribution", lambda: likelihood.distribution(features).log_prob(x), summed
    if isinstance(likelihood.levels, int):
        levels = tf.reshape(tf.range(likelihood.levels, dtype=tf.float32), [-1, *[1] * (2 + len(axes))])
        # Of one event: there may be many levels.
        yield (
            "level_probabilities",
            lambda: likelihood.level_probabilities(parameters[:1, :1]),
            lambda: np.moveaxis(tf.exp(likelihood.entries(parameters[:1, :1]).log_prob(levels)).numpy(), 0, -1),
        )
    mean, stddev = _finite(entries.mean), _finite(entries.stddev)
    yield "moments_of", lambda: likelihood.moments_of(parameters)[0], mean
    yield "moments_of", lambda: likelihood.moments_of(parameters)[1], stddev
    yield "mean_of", lambda: likelihood.mean_of(parameters), mean
    yield "mean_of", lambda: likelihood.mean_of(parameters), _finite(lambda: likelihood.moments_of(parameters)[0])
    mean = _finite(lambda: likelihood.mean_of(parameters))
    yield "mean", lambda: likelihood.mean(features), mean
    yield "sample", lambda: likelihood.sample(features[:1], key)[0], lambda: mean()[:1]
    name = likelihood.served_names[1]
    yield "served", lambda: likelihood.served(features).get(name), _finite(lambda: likelihood.mean(features))


def _finite(said: _Said) -> _Said:
    """The same with NaN for what is infinite, too: of an expected value that there is not, anything may be said."""

    def found() -> np.ndarray:
        given = np.asarray(said())
        return np.where(np.isfinite(given), given, np.nan)

    return found


def _same_law(likelihood: Likelihood, features: tf.Tensor) -> bool:
    """Whether draws of `sample` and of `entries` are of one law, as far as averages of each entry tell."""
    count = int(np.clip(_DRAWN // max(int(np.prod(likelihood.event_shape)), 1), _FEWEST, _MOST))
    rows = tf.broadcast_to(features, [count, *features.shape])
    parameters = likelihood(features[tf.newaxis])
    drawn = _found(lambda: likelihood.sample(rows, tf.constant([0, 1]))[1])
    wanted = _found(lambda: likelihood._over_events(likelihood.entries(parameters)).sample(count, tf.constant([0, 2])))
    if drawn is None or wanted is None:
        return True
    wanted = np.reshape(wanted, (count, *likelihood.event_shape))
    # Each entry by itself: of a picture there are too many pairs.
    return drawn.shape == wanted.shape and same_law(drawn[..., np.newaxis], wanted[..., np.newaxis])


def _found(said: _Said) -> np.ndarray | None:
    """What a method gives; `None` where it has nothing to give."""
    try:
        found = said()
    # A distribution of the user's own may have no mean, and one that nobody asks for is missed by nobody.
    except Exception:
        return None
    return None if found is None else np.asarray(found)


def _agree(first: np.ndarray, other: np.ndarray | None) -> bool:
    """Whether they are the same wherever there is something to agree with."""
    if other is None or first.shape != other.shape:
        return False
    return bool(np.all(np.isnan(other) | np.isclose(first, other, rtol=_ROUNDING, atol=_ROUNDING)))
