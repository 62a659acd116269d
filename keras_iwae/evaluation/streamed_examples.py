"""One example's K importance samples in chunks, and averages under their weights: memory does not grow with K."""

import math
from typing import NamedTuple

import tensorflow as tf

from keras_iwae.evaluation.adapted import adapted
from keras_iwae.evaluation.streaming import LargestTerms
from keras_iwae.likelihoods import Likelihood, MixedLikelihood
from keras_iwae.models import IWAE

# Samples that are decoded together: enough for a matrix product to be worth its call.
_CHUNK = 500
# Samples from which on a quarter as many are drawn before, in each round, to fit the proposal to the example.
_WORTH_ADAPTING, _SPARED = 200, 4


class Statistics(NamedTuple):
    """Of p(x|z), or averaged over z.

    Attributes:
        mean: E[x], `[..., *event_shape]`.
        probabilities: of each column of a table that has levels, by its number, theirs, `[..., C]`.
    """

    mean: tf.Tensor
    probabilities: dict[int, tf.Tensor]

    @classmethod
    def of(cls, likelihood: Likelihood, features: tf.Tensor) -> "Statistics":
        """Of what a decoder gives, `[K, B, F]`."""
        table = isinstance(likelihood, MixedLikelihood)
        return cls(likelihood.mean(features), likelihood.probabilities(features) if table else {})

    @classmethod
    def zeros(cls, model: IWAE) -> "Statistics":
        """Zeros in the shapes of one example."""
        example = cls.of(model.generative.likelihood, model.generative.features(tf.zeros([1, 1, model.latent_dim])))
        return tf.nest.map_structure(lambda each: tf.zeros(each.shape[2:]), example)


class ExampleAverages(NamedTuple):
    """What is kept of the weighted samples of one example.

    Attributes:
        log_sum: log of the sum of the weights, a scalar.
        log_squares: log of the sum of their squares, a scalar.
        averages: what was averaged under the weights.
        log_values: log of the sum of $w_k p(y_d|z_k)$, `[*event_shape]`; empty where no values were given.
        largest: the largest log weights.
        scores: of the sample that each draw has chosen so far, `[m]`.
        chosen: its latents, `[m, D]`.
    """

    log_sum: tf.Tensor
    log_squares: tf.Tensor
    averages: Statistics
    log_values: tf.Tensor
    largest: LargestTerms
    scores: tf.Tensor
    chosen: tf.Tensor


def stream_example(
    model: IWAE,
    x: tf.Tensor,
    values: tf.Tensor | None,
    num_samples: int,
    num_draws: int,
    num_largest: int,
    latents_key: tf.Tensor,
    choice_key: tf.Tensor,
) -> ExampleAverages:
    r"""Draw K samples for one example in chunks and keep running averages under their weights.

    Of an example of which nothing was observed the samples are those of the prior, whose weights are all equal.

    Args:
        model: the model.
        x: the example, `[*event_shape]`, NaN where it was not observed.
        values: values y_d to have the density of, whatever the example has there, `[*event_shape]`.
        num_samples: K.
        num_draws: m, how many samples to choose, each with probability proportional to its weight.
        num_largest: how many of the largest log weights to keep, at most K.
        latents_key: int32 `[2]`, a stateless seed, of the samples.
        choice_key: int32 `[2]`, of which of them are chosen.

    Returns:
        `ExampleAverages`.

    References:
        Mattei, Frellsen (2019), MIWAE: deep generative modelling and imputation of incomplete data sets, section 3.
    """
    generative, likelihood, events = model.generative, model.generative.likelihood, x[tf.newaxis]
    mask = None if generative.missing is None else tf.logical_not(tf.math.is_nan(events))
    # 0 is in the support of every likelihood.
    filled = events if mask is None else tf.where(mask, events, 0.0)
    # Of few samples there are none to spare.
    spared = num_samples // _SPARED if num_samples >= _WORTH_ADAPTING else 0
    samples_key, adapting_key = tf.unstack(tf.random.split(latents_key, 2))
    proposal = adapted(model, events, spared, adapting_key)

    def draw(size: tf.Tensor, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        z = proposal.sample([size], seed=key)
        return z, generative.log_prior(z) - proposal.log_prob(z)

    def draw_from_prior(size: tf.Tensor, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return generative.prior.sample(size, key)[:, tf.newaxis], tf.zeros([size, 1])

    def weighted(size: tf.Tensor, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Samples, what the decoder gives for them, and their log weights."""
        # The prior has no auxiliary variables, which some posteriors' draws have beside z.
        if mask is None or model.posterior.density != "exact":
            z, log_ratio = draw(size, key)
        else:
            z, log_ratio = tf.cond(tf.reduce_any(mask), lambda: draw(size, key), lambda: draw_from_prior(size, key))
        features = generative.features(z)
        entries = likelihood.entry_log_prob(filled, likelihood(features))
        observed = entries if mask is None else tf.where(mask, entries, 0.0)
        log_weights = log_ratio + tf.reduce_sum(observed, axis=list(range(2, observed.shape.rank)))
        return z[:, 0, : model.latent_dim], features, log_weights[:, 0]

    def one_chunk(begin: tf.Tensor, kept: ExampleAverages) -> tuple[tf.Tensor, ExampleAverages]:
        number, size = begin // _CHUNK, tf.minimum(_CHUNK, num_samples - begin)
        z, features, log_weights = weighted(size, tf.random.fold_in(samples_key, number))
        log_sum = _added(kept.log_sum, tf.reduce_logsumexp(log_weights))
        shares = tf.exp(log_weights - log_sum)
        staying = tf.exp(kept.log_sum - log_sum)
        averages = tf.nest.map_structure(
            # One entry and an unknown number of samples lose their shape: 1 may be broadcast.
            lambda old, new: tf.ensure_shape(staying * old + tf.tensordot(shares, new[:, 0], 1), old.shape),
            kept.averages,
            Statistics.of(likelihood, features),
        )
        log_values = kept.log_values
        if values is not None:
            densities = likelihood.entry_log_prob(values[tf.newaxis], likelihood(features))[:, 0]
            weights = tf.reshape(log_weights, [-1, *[1] * (densities.shape.rank - 1)])
            log_values = _added(log_values, tf.reduce_logsumexp(weights + densities, axis=0))
        uniform = tf.random.stateless_uniform([size, num_draws], tf.random.fold_in(choice_key, number), minval=1e-20)
        # The largest of log weights plus Gumbel noise is each with its probability, and no sum over K is needed.
        scores = log_weights[:, tf.newaxis] - tf.math.log(-tf.math.log(uniform))
        best, challenger = tf.reduce_max(scores, axis=0), tf.gather(z, tf.argmax(scores, axis=0))
        better = best > kept.scores
        return begin + size, ExampleAverages(
            log_sum,
            _added(kept.log_squares, tf.reduce_logsumexp(2.0 * log_weights)),
            averages,
            log_values,
            kept.largest.update(log_weights[:, tf.newaxis]),
            tf.where(better, best, kept.scores),
            tf.where(better[:, tf.newaxis], challenger, kept.chosen),
        )

    start = ExampleAverages(
        tf.constant(-math.inf),
        tf.constant(-math.inf),
        Statistics.zeros(model),
        tf.fill([0] if values is None else values.shape, -math.inf),
        LargestTerms.zeros(num_largest, tf.constant(1)),
        tf.fill([num_draws], -math.inf),
        tf.zeros([num_draws, model.latent_dim]),
    )
    loop = tf.while_loop(
        lambda begin, _: begin < num_samples, one_chunk, (tf.constant(0), start), parallel_iterations=1
    )
    return loop[1]


def _added(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """log(exp(one) + exp(other)), minus infinity where both are."""
    return tf.reduce_logsumexp(tf.stack([one, other]), axis=0)
