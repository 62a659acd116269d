r"""What was not observed, given what was: means under importance weights, draws, and how far to trust both.

With $z_k \sim q(z|x_{obs})$ and $w_k = p(x_{obs}|z_k) p(z_k) / q(z_k|x_{obs})$, whose mean is that of p(x_obs),
$E[x_d|x_{obs}] \approx \sum_k w_k E[x_d|z_k] / \sum_k w_k$. A draw of what is missing is one of p(x|z_k), with k chosen
with probability proportional to $w_k$: all entries of one draw come of one z, so that they belong together.

Examples are worked on together, each under random numbers of a key that its own entries decide, in batches that leave
no rest to other instructions: what is found for an example is the same whichever come with it.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_iwae.evaluation.digests import digests_of
from keras_iwae.evaluation.pareto import pareto_k, tail_length
from keras_iwae.evaluation.proposals import Proposal
from keras_iwae.evaluation.streamed_examples import LANES, examples_together, stream_examples
from keras_iwae.foundation import (
    MARK,
    Purpose,
    as_sample_size,
    check_callable,
    check_integer,
    float32_products,
    key_for,
    seed_of_keys,
    shape_text,
)
from keras_iwae.models import IWAE, check_model


class Conditional(NamedTuple):
    """What N examples are, given what was observed of each.

    Attributes:
        mean: E[x_d|x_obs] of every entry, `[N, *event_shape]`; of an observed one, what measuring it again would give.
        log_likelihood: log p(x_obs) in nats, `[N]`; 0 where nothing was observed.
        effective_sample_size: of the K weights, in samples, `[N]`.
        pareto_k: how heavy the tail of the weights is, `[N]`; see `keras_iwae.evaluation.pareto`.
        log_density: log p(y_d|x_obs) in nats of each of the values that were asked for, `[N, *event_shape]`; NaN where
            there was none, and `[N, 0]` where none were given.
        draws: draws of x given x_obs, `[m, N, *event_shape]`, observed entries as they are.
        probabilities: of each column of a table that has levels, by its number, theirs given x_obs, `[N, C]`.
    """

    mean: np.ndarray
    log_likelihood: np.ndarray
    effective_sample_size: np.ndarray
    pareto_k: np.ndarray
    log_density: np.ndarray
    draws: np.ndarray
    probabilities: dict[int, np.ndarray]


@float32_products()
def conditional(
    model: IWAE,
    x: Any,
    num_samples: int = 1000,
    num_draws: int = 0,
    values: np.ndarray | None = None,
    seed: int = 0,
    progress: Callable[[int], object] = lambda done: None,
    proposal: str = "amortized",
    first: int = 0,
) -> Conditional:
    r"""Means, densities and draws of the entries of each example, given those that were observed.

    Memory grows neither with K nor with N but for the result. Examples with the same entries have the same means, and
    draws of their own: the n-th such example has the n-th of them. With a `missingness` the weights are of p(x_obs, s),
    and means, densities and draws of missing entries are given that they are missing.

    Args:
        model: a model made with `missing="nan"`, or another, of which everything was observed.
        x: examples `[N, *event_shape]`, NaN where an entry was not observed.
        num_samples: K, samples of z for each example.
        num_draws: m, draws of each example.
        values: y, of which to give $\log p(y_d|x_{obs}) = \log \sum_k w_k p(y_d|z_k) / \sum_k w_k$, each by itself,
            `[N, *event_shape]`; NaN for none. Held-out entries give their log score.
        seed: the same seed gives the same result; an integer that int32 holds.
        progress: called with the number of examples that are further done.
        proposal: what the samples are drawn from: "amortized", the posterior, which from 200 samples on a quarter as
            many of its draws move and widen where it is Gaussian; "refined" or "adapted", fitted to each example's own
            p(z|x_obs) by slopes, for continuous latents; see `keras_iwae.evaluation.refined`.
        first: the place of the first example among all, where examples of other calls are drawn for too: equal ones
            there have other draws.

    Returns:
        `Conditional`.

    Raises:
        ValueError: if a count or the seed is out of range, the posterior has no density, `proposal` is none or fitted
            and the latents discrete, or the model does not take the examples or the values.

    Example:
        >>> x = np.array([[1.0, np.nan, 0.0, 1.0]])
        >>> found = conditional(IWAE(4, missing="nan"), x, num_samples=1000, num_draws=20)
        >>> filled = np.where(np.isnan(x), found.mean, x)

    References:
        Mattei, Frellsen (2019), MIWAE: deep generative modelling and imputation of incomplete data sets, section 3.
    """
    check_model(model)
    num_samples = check_integer("num_samples", num_samples)
    num_draws = check_integer("num_draws", num_draws, at_least=0)
    key_seed = seed_of_keys(seed)
    check_callable("progress", progress)
    drawn_from = Proposal(kind=proposal)
    drawn_from.check(model.posterior)
    model.check_finite()
    x = model.door.array(x, "x")
    if values is not None:
        values = _checked_values(model, values, len(x))
    traced = conditional_graph(model, num_samples, num_draws, values is not None, drawn_from)
    asked = np.nan_to_num(values) if values is not None else np.zeros([len(x), 0], np.float32)
    digests = _digests(x, check_integer("first", first, at_least=0, at_most=np.iinfo(np.int32).max - len(x)))
    parts = []
    # Fitting makes more of a difference in rounding than weighing does.
    together = LANES if drawn_from.fitted else examples_together(model, num_samples)
    for begin in range(0, len(x), together):
        count = min(together, len(x) - begin)
        # The last one again, until there is nothing left over of LANES.
        rows = np.minimum(np.arange(begin, begin - (-count // LANES) * LANES), len(x) - 1)
        found = traced(*map(tf.constant, (x[rows], asked[rows], digests[rows])), key_seed)
        parts.append(tf.nest.map_structure(lambda each, count=count: each.numpy()[:count], found))
        progress(count)
    averages, log_likelihood, ess, top, log_density, draws = tf.nest.map_structure(
        lambda *each: np.concatenate(each), *parts
    )
    return Conditional(
        averages.mean,
        log_likelihood,
        ess,
        pareto_k(top, num_samples),
        log_density if values is None else np.where(np.isnan(values), np.nan, log_density),
        np.moveaxis(draws, 1, 0),
        averages.probabilities,
    )


def conditional_graph(model: IWAE, num_samples: int, num_draws: int, has_values: bool, proposal: Proposal) -> Callable:
    """What `conditional` runs, as a graph of the model: of examples, values, int32 `[N, 3]` and a seed.

    The three integers of an example key its random numbers: its `digests_of`, and how many equal ones came before it,
    more by the place of the first of all.

    Returns:
        a function that gives averages, log-likelihoods, effective sample sizes, the largest log weights, log densities
        and draws `[N, m, *event_shape]`.
    """
    largest = min(num_samples, tail_length(num_samples) + 1)

    def of_examples(x: tf.Tensor, values: tf.Tensor, digests: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, ...]:
        base = key_for(Purpose.IMPUTATION, seed)

        def keys_of(digest: tf.Tensor) -> tf.Tensor:
            first, second, occurrence = tf.unstack(digest)
            own = tf.random.fold_in(tf.random.fold_in(base, first), second)
            latents_key, draws_key = tf.unstack(tf.random.split(own, 2))
            return tf.concat([latents_key[tf.newaxis], tf.random.split(tf.random.fold_in(draws_key, occurrence), 2)], 0)

        latents_keys, choice_keys, entries_keys = tf.unstack(tf.map_fn(keys_of, digests), num=3, axis=1)
        asked = values if has_values else None
        with model.generative.prior.worked_out():
            found = stream_examples(
                model, x, asked, num_samples, num_draws, largest, latents_keys, choice_keys, proposal
            )
        log_values = tf.reshape(found.log_sum, [-1, *[1] * (values.shape.rank - 1)])
        return (
            found.averages,
            found.log_sum - tf.math.log(float(num_samples)),
            as_sample_size(tf.exp(2.0 * found.log_sum - found.log_squares), num_samples),
            found.largest.largest,
            found.log_values - log_values,
            _draws(model, x, found.chosen, entries_keys),
        )

    specs = (
        tf.TensorSpec([None, *model.event_shape]),
        tf.TensorSpec([None, *(model.event_shape if has_values else [0])]),
        tf.TensorSpec([None, 3], tf.int32),
        tf.TensorSpec([], tf.int32),
    )
    return model.traced(("conditional", num_samples, num_draws, has_values, proposal), of_examples, specs)


def _draws(model: IWAE, x: tf.Tensor, latents: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
    """Draws of p(x|z), `[B, m, *event_shape]`, of latents `[B, m, D]`; observed entries are as they are."""
    if not latents.shape[1]:
        return tf.zeros(tf.concat([tf.shape(x)[:1], [0], tf.shape(x)[1:]], axis=0))

    likelihood, missingness = model.generative.likelihood, model.generative.missingness

    def of_example(example: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        features, key = example
        if missingness is not None:
            return missingness.sample(likelihood(features), key)
        return likelihood.sample(features, key)[1]

    features = model.generative.features(latents)
    drawn = tf.map_fn(of_example, (features, keys), fn_output_signature=tf.float32)
    observed = x[:, tf.newaxis]
    return tf.where(tf.math.is_nan(observed), drawn, observed)


def _checked_values(model: IWAE, values: np.ndarray, count: int) -> np.ndarray:
    values = model.generative.likelihood.check(np.asarray(values), "values", missing=True)
    if len(values) != count:
        expected = shape_text(count, *model.event_shape)
        raise ValueError(f"{MARK}values`. Expected shape {expected}. Received: {list(values.shape)}")
    return values


def _digests(x: np.ndarray, first: int) -> np.ndarray:
    """What keys the random numbers of each example: 64 bits of its entries, and `first` and how many such came before.

    Returns:
        int32 `[N, 3]`.
    """
    seen: Counter[bytes] = Counter()
    digests = np.empty([len(x), 3], np.int32)
    for digest, own in zip(digests, digests_of(tf.constant(x)).numpy(), strict=True):
        code = own.tobytes()
        digest[:2], digest[2] = own, first + seen[code]
        seen[code] += 1
    return digests
