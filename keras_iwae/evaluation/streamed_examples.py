"""K importance samples of each example in chunks, and averages under their weights: memory does not grow with K."""

import math
from typing import NamedTuple

import tensorflow as tf

from keras_iwae.evaluation.adapted import Proposals, adapted, folded
from keras_iwae.evaluation.places import LANES
from keras_iwae.evaluation.proposals import Proposal
from keras_iwae.evaluation.refined import fitted
from keras_iwae.evaluation.streaming import LargestTerms
from keras_iwae.likelihoods import MixedLikelihood
from keras_iwae.models import IWAE, GenerativeModel

# Samples of an example that are decoded together: enough for a matrix product to be worth its call.
_CHUNK = 500
# Entries of all samples of all examples that are decoded together: so many keep two cores busy and fit into a cache.
_ENTRIES = 2**18
# Samples from which on a quarter as many are drawn before, in each round, to fit the proposal to the example.
_WORTH_ADAPTING, _SPARED = 200, 4


def examples_together(model: IWAE, num_samples: int) -> int:
    """How many examples are worth a pass of their own, a multiple of `LANES`."""
    return LANES * max(1, _ENTRIES // (LANES * min(_CHUNK, num_samples) * math.prod(model.event_shape)))


class Statistics(NamedTuple):
    """Of p(x|z), or averaged over z.

    Attributes:
        mean: E[x], `[..., *event_shape]`.
        probabilities: of each column of a table that has levels, by its number, theirs, `[..., C]`.
    """

    mean: tf.Tensor
    probabilities: dict[int, tf.Tensor]

    @classmethod
    def of(cls, generative: GenerativeModel, features: tf.Tensor, mask: tf.Tensor | None = None) -> "Statistics":
        """Of what a decoder gives, `[K, B, F]`; of an entry that the mask has as missing, given that it is."""
        likelihood = generative.likelihood
        table = isinstance(likelihood, MixedLikelihood)
        plain = cls(likelihood.mean(features), likelihood.probabilities(features) if table else {})
        if generative.missingness is None or mask is None:
            return plain
        mean, probabilities = generative.missingness.moments(likelihood(features))
        return cls(
            tf.where(mask, plain.mean, mean),
            {d: tf.where(mask[:, d, tf.newaxis], each, probabilities[d]) for d, each in plain.probabilities.items()},
        )

    @classmethod
    def zeros(cls, model: IWAE, batch: tf.Tensor) -> "Statistics":
        """Zeros in the shapes of `batch` examples."""
        example = cls.of(model.generative, model.generative.features(tf.zeros([1, 1, model.latent_dim])))
        return tf.nest.map_structure(lambda each: tf.zeros(tf.concat([[batch], each.shape[2:]], axis=0)), example)


class ExampleAverages(NamedTuple):
    """What is kept of the weighted samples of B examples.

    Attributes:
        log_sum: log of the sum of the weights, `[B]`.
        log_squares: log of the sum of their squares, `[B]`.
        averages: what was averaged under the weights, `[B, ...]`.
        log_values: log of the sum of $w_k p(y_d|z_k)$, `[B, *event_shape]`; `[B, 0]` where no values were given.
        largest: the largest log weights.
        chosen: the latents of the sample that each draw has chosen so far, `[B, m, D]`.
    """

    log_sum: tf.Tensor
    log_squares: tf.Tensor
    averages: Statistics
    log_values: tf.Tensor
    largest: LargestTerms
    chosen: tf.Tensor


def stream_examples(
    model: IWAE,
    x: tf.Tensor,
    values: tf.Tensor | None,
    num_samples: int,
    num_draws: int,
    num_largest: int,
    latents_keys: tf.Tensor,
    choice_keys: tf.Tensor,
    proposal: Proposal,
) -> ExampleAverages:
    r"""Draw K samples for each example in chunks and keep running averages under their weights.

    Of an example of which nothing was observed the samples are those of the prior, whose weights are all equal, unless
    that nothing was observed says something.

    Args:
        model: the model.
        x: examples, `[B, *event_shape]`, NaN where an entry was not observed.
        values: values y_d to have the density of, whatever the example has there, `[B, *event_shape]`.
        num_samples: K.
        num_draws: m, how many samples to choose, each with probability proportional to its weight.
        num_largest: how many of the largest log weights to keep, at most K.
        latents_keys: int32 `[B, 2]`, a stateless seed for each example, of its samples.
        choice_keys: int32 `[B, 2]`, of which of them are chosen.
        proposal: what they are drawn from.

    Returns:
        `ExampleAverages`.

    References:
        Mattei, Frellsen (2019), MIWAE: deep generative modelling and imputation of incomplete data sets, section 3.
    """
    generative, likelihood, batch = model.generative, model.generative.likelihood, tf.shape(x)[0]
    mask = None if generative.missing is None else tf.logical_not(tf.math.is_nan(x))
    entries_axes = list(range(1, x.shape.rank))
    filled = x if mask is None else tf.where(mask, x, likelihood.support.nearest_to_zero)
    proposals = _fitted(model, x, num_samples, folded(latents_keys, 0), proposal)
    samples_keys = folded(latents_keys, 1)

    def draw(size: tf.Tensor, keys: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        z, log_proposal = proposals.draw(size, keys)
        return z, generative.log_prior(z) - log_proposal

    def with_prior(size: tf.Tensor, keys: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        z, log_ratio = draw(size, keys)
        prior = tf.map_fn(lambda key: generative.prior.sample(size, key), keys, fn_output_signature=tf.float32)
        # Auxiliary variables, which some posteriors' draws have behind z, are seen by nothing from here on.
        prior = tf.pad(prior, [[0, 0], [0, 0], [0, 0 if proposal.fitted else model.posterior.auxiliary_dim]])
        observed = tf.reduce_any(mask, axis=entries_axes)
        ours = tf.where(observed[:, tf.newaxis], z, tf.transpose(prior, [1, 0, 2]))
        return ours, tf.where(observed, log_ratio, 0.0)

    def weighted(size: tf.Tensor, keys: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Samples, what the decoder gives for them, and their log weights."""
        if mask is None:
            z, log_ratio = draw(size, keys)
        else:
            every = tf.reduce_all(tf.reduce_any(mask, axis=entries_axes))
            z, log_ratio = tf.cond(every, lambda: draw(size, keys), lambda: with_prior(size, keys))
        features = generative.features(z)
        entries = likelihood.entry_log_prob(filled, likelihood(features))
        observed = entries if mask is None else tf.where(mask, entries, 0.0)
        if generative.missingness is not None:
            observed += generative.missingness.log_prob(filled, mask, likelihood(features))
        return (
            z[..., : model.latent_dim],
            features,
            log_ratio + tf.reduce_sum(observed, axis=[1 + a for a in entries_axes]),
        )

    def one_chunk(begin: tf.Tensor, kept: ExampleAverages) -> tuple[tf.Tensor, ExampleAverages]:
        number, size = begin // _CHUNK, tf.minimum(_CHUNK, num_samples - begin)
        z, features, log_weights = weighted(size, folded(samples_keys, number))
        log_chunk = tf.reduce_logsumexp(log_weights, axis=0)
        log_sum = _added(kept.log_sum, log_chunk)
        shares, staying = tf.exp(log_weights - log_sum), tf.exp(kept.log_sum - log_sum)

        def average(old: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
            # Sums and no matrix product: of several columns of levels oneDNN's damages the heap in TensorFlow 2.21.
            together = _like(staying, old) * old + tf.reduce_sum(_like(shares, new) * new, axis=0)
            # One entry and an unknown number of samples lose their shape: 1 may be broadcast.
            return tf.ensure_shape(together, old.shape)

        log_values = kept.log_values
        if values is not None:
            densities = likelihood.entry_log_prob(values, likelihood(features))
            if generative.missingness is not None:
                densities += tf.where(mask, 0.0, generative.missingness.log_ratio(values, likelihood(features)))
            log_values = _added(log_values, tf.reduce_logsumexp(_like(log_weights, densities) + densities, axis=0))
        chosen = kept.chosen
        if num_draws:
            uniform = tf.map_fn(
                lambda key: tf.random.stateless_uniform([2, num_draws], key),
                folded(choice_keys, number),
                fn_output_signature=tf.float32,
            )
            # A draw moves on to this chunk with the share that it has of all so far, and there to one by its weight:
            # at the end it is each of K with its probability.
            moves = uniform[:, 0] < tf.exp(log_chunk - log_sum)[:, tf.newaxis]
            sums = tf.cumsum(tf.transpose(tf.exp(log_weights - log_chunk)), axis=1)
            place = tf.searchsorted(sums, uniform[:, 1] * sums[:, -1:], side="right")
            challenger = tf.gather(tf.transpose(z, [1, 0, 2]), tf.minimum(place, size - 1), batch_dims=1)
            chosen = tf.ensure_shape(tf.where(moves[..., tf.newaxis], challenger, chosen), chosen.shape)
        return begin + size, ExampleAverages(
            log_sum,
            _added(kept.log_squares, tf.reduce_logsumexp(2.0 * log_weights, axis=0)),
            tf.nest.map_structure(average, kept.averages, Statistics.of(generative, features, mask)),
            log_values,
            kept.largest.update(log_weights),
            chosen,
        )

    nothing = tf.fill([batch], -math.inf)
    start = ExampleAverages(
        nothing,
        nothing,
        Statistics.zeros(model, batch),
        tf.zeros([batch, 0]) if values is None else tf.fill(tf.shape(values), -math.inf),
        LargestTerms.zeros(num_largest, batch),
        tf.zeros([batch, num_draws, model.latent_dim]),
    )
    loop = tf.while_loop(
        lambda begin, _: begin < num_samples, one_chunk, (tf.constant(0), start), parallel_iterations=1
    )
    return loop[1]


def _fitted(model: IWAE, x: tf.Tensor, num_samples: int, keys: tf.Tensor, proposal: Proposal) -> Proposals:
    if proposal.fitted:
        return fitted(model, x, keys, proposal.kind == "adapted")
    # Of few samples there are none to spare.
    spared = num_samples // _SPARED if num_samples >= _WORTH_ADAPTING else 0
    return adapted(model, x, spared, keys)


def _like(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """A tensor with axes of size 1 behind its own, as many as the other has."""
    return tf.reshape(one, tf.concat([tf.shape(one), [1] * (other.shape.rank - one.shape.rank)], axis=0))


def _added(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """log(exp(one) + exp(other)), minus infinity where both are."""
    return tf.reduce_logsumexp(tf.stack([one, other]), axis=0)
