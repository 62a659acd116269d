"""The resampled backward pass: K samples without a tape, in chunks, and the few of them that are differentiated.

The gradient is a weighted sum over K samples. Draw m of them by systematic resampling with probabilities pi_k, the
weights that sum to 1, and divide each drawn coefficient by m pi_k: the sum over the m has the same expectation, and is
nearly the same once m passes the effective sample size. Activations and the backward pass then grow with m and not with
K.
"""

from typing import NamedTuple

import tensorflow as tf

from keras_iwae.bounds.estimators import Coefficients, derivative
from keras_iwae.bounds.log_terms import LogTerms
from keras_iwae.bounds.objectives import Objective
from keras_iwae.foundation import uniform_of_rows

# Samples of each image that the forward pass without a tape decodes together.
_CHUNK = 50


class _Drawn(NamedTuple):
    """Which samples were drawn, `[m, B]`, and m pi_k of each, the number of times it was expected."""

    index: tf.Tensor
    expected: tf.Tensor

    def divide(self, coefficients: Coefficients) -> Coefficients:
        return coefficients.each(lambda values: _pick(values, self.index) / self.expected)


def _pick(values: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Entries `[m, B, ...]` of `values` `[K, B, ...]`, each column by its own `index` `[m, B]`."""
    columns = tf.broadcast_to(tf.range(tf.shape(index)[1]), tf.shape(index))
    return tf.gather_nd(values, tf.stack([index, columns], axis=-1))


def resample(objective: Objective, log_weights: tf.Tensor, parameter, draws: int, seed: tf.Tensor) -> _Drawn:
    """Systematic resampling of each column by the weights that the model and the posterior climb, half and half."""
    samples = log_weights.shape[0]
    weights = [
        derivative(terms(samples, parameter), log_weights) for terms in (objective.terms, objective.inference_terms)
    ]
    shares = 0.5 * (weights[0] + weights[1])
    # Of an objective of the user's own they may sum to another number than 1.
    probabilities = shares / tf.reduce_sum(shares, axis=0)
    cumulative = tf.cumsum(tf.transpose(probabilities), axis=1)
    shape = [tf.shape(cumulative)[0], 1]
    offset = uniform_of_rows(seed, shape, axis=0)
    # Float32 sums may end short of 1: scaled by the last, no position falls behind it.
    positions = (offset + tf.range(draws, dtype=tf.float32)) / draws * cumulative[:, -1:]
    # A position that rounding puts at the end belongs to the last sample that has a probability.
    last = tf.searchsorted(cumulative, cumulative[:, -1:], side="left")
    index = tf.transpose(tf.minimum(tf.searchsorted(cumulative, positions, side="right"), last))
    return _Drawn(index, draws * _pick(probabilities, index))


def streamed(q, log_terms, num_samples: int, seed: tf.Tensor, labelled: bool = False):
    """Log densities of K samples, chunk by chunk, and a function that gives the samples at an index `[m, B]` again.

    What it gives has the stratum of each behind it where `labelled`; see `keras_iwae.posteriors.Posterior`.
    """
    again = q.labelled if labelled else q.sample
    return (_at_once if num_samples <= _CHUNK else _in_chunks)(q, again, log_terms, num_samples, seed)


def _at_once(q, again, log_terms, num_samples: int, seed: tf.Tensor):
    z = q.sample([num_samples], seed=seed)
    same = z if again == q.sample else again([num_samples], seed=seed)
    return log_terms(z, q.log_prob(z)), lambda index: _pick(same, index)


def _in_chunks(q, again, log_terms, num_samples: int, seed: tf.Tensor):
    whole, rest = divmod(num_samples, _CHUNK)

    def chunk(draw, i: tf.Tensor | int, size: int) -> tf.Tensor:
        return draw([size], seed=tf.random.fold_in(seed, i))

    def chunk_terms(i: tf.Tensor | int, size: int) -> LogTerms:
        z = chunk(q.sample, i, size)
        return log_terms(z, q.log_prob(z))

    terms = tf.map_fn(
        lambda i: chunk_terms(i, _CHUNK),
        tf.range(whole),
        fn_output_signature=LogTerms(*[tf.float32] * 3),
        parallel_iterations=1,
    )
    terms = LogTerms(*(tf.reshape(part, [whole * _CHUNK, -1]) for part in terms))
    if rest:
        terms = LogTerms(*(tf.concat(parts, axis=0) for parts in zip(terms, chunk_terms(whole, rest), strict=True)))

    def drawn(index: tf.Tensor) -> tf.Tensor:
        def of_chunk(i: tf.Tensor | int, size: int) -> tf.Tensor:
            return _pick(chunk(again, i, size), tf.clip_by_value(index - i * _CHUNK, 0, size - 1))

        def with_chunk(i: tf.Tensor | int, size: int, chosen: tf.Tensor) -> tf.Tensor:
            # Chunks come in order: what lies in a later one is overwritten then.
            return tf.where((index >= i * _CHUNK)[..., tf.newaxis], of_chunk(i, size), chosen)

        first = of_chunk(0, _CHUNK)
        _, chosen = tf.while_loop(
            lambda i, _: i < whole,
            lambda i, chosen: (i + 1, with_chunk(i, _CHUNK, chosen)),
            (tf.constant(1), first),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, None, first.shape[-1]])),
            parallel_iterations=1,
        )
        return with_chunk(whole, rest, chosen) if rest else chosen

    return terms, drawn
