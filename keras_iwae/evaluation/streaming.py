"""K log weights of each image drawn in chunks, and what is kept of them: memory does not grow with K."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from keras_iwae.bounds import LogTerms
from keras_iwae.evaluation.proposals import DRAWN_TOGETHER, Proposal
from keras_iwae.foundation import Places, StreamingLogMeanExp, as_sample_size
from keras_iwae.models import IWAE

DEFAULT_CHUNK_SIZE = 25
# Weights of an image that are summarized together; a chunk is too few to be worth a sort.
_BLOCK = 250
# Sums of powers of the weights that are not kept. Where n are kept the others are below S / n, and the first term of
# log(1 - w / S) that is left out is below n^-5.
_POWERS = 4


class StreamedWeights(NamedTuple):
    """What is left of K log weights of each of B images.

    Attributes:
        log_likelihood: L_K in nats, `[B]`.
        effective_sample_size: `[B]`, in samples.
        bounds: the bounds L_k of the group sizes asked for, in nats, `[len(group_sizes), B]`.
        largest: the largest log weights, the largest first, `[B, num_largest]`.
        rest: log of the sum of j-th powers of all other weights, j = 1 ... 4, `[4, B]`.
    """

    log_likelihood: tf.Tensor
    effective_sample_size: tf.Tensor
    bounds: tf.Tensor
    largest: tf.Tensor
    rest: tf.Tensor


class LargestTerms(NamedTuple):
    """The largest terms of each column, and log-sums of the powers of the exponentials of the others.

    Attributes:
        largest: `[B, n]`, falling; minus infinity until n terms were there.
        rest: `[4, B]`.
    """

    largest: tf.Tensor
    rest: tf.Tensor

    @classmethod
    def zeros(cls, size: int, batch: tf.Tensor) -> "LargestTerms":
        """State before any term, for the `size` largest of each of `batch` columns."""
        return cls(tf.fill([batch, size], -math.inf), tf.fill([_POWERS, batch], -math.inf))

    def update(self, terms: tf.Tensor) -> "LargestTerms":
        """State after the next terms, float32 `[C, B]`."""
        size = self.largest.shape[1]
        together = tf.sort(tf.concat([self.largest, tf.transpose(terms)], axis=1), direction="DESCENDING")
        powers = tf.reshape(tf.range(1.0, _POWERS + 1.0), [_POWERS, 1, 1])
        passed_over = tf.reduce_logsumexp(powers * together[:, size:], axis=-1)
        # The slice's static shape is lost where that of the terms is not known.
        largest = tf.ensure_shape(together[:, :size], self.largest.shape)
        return LargestTerms(largest, tf.reduce_logsumexp(tf.stack([self.rest, passed_over]), axis=0))


def stream_log_weights(
    model: IWAE,
    x: tf.Tensor,
    num_samples: tf.Tensor,
    seed: tf.Tensor,
    group_sizes: Sequence[int | tf.Tensor] = (),
    chunk_size: int = DEFAULT_CHUNK_SIZE,
    num_largest: int = 0,
    proposal: Proposal | None = None,
    rows: Places | None = None,
) -> StreamedWeights:
    r"""Draw K samples for each image in chunks and keep only running sums of their weights, and the largest.

    The bound of group size k is the mean of $L_k$ over the K // k groups of k successive samples, all of it from the
    same K draws; for k = K it is $L_K$. The encoder runs once. Samples are drawn 25 at a time, whatever the chunk size,
    under seeds derived from `seed` and their place, so that chunks change nothing but the order of float32 additions.

    Args:
        model: the model.
        x: images in [0, 1], `[B, *event_shape]`.
        num_samples: K, int32 scalar.
        seed: int32 `[2]`, a stateless seed; `[B, 2]`, one for each image, where the proposal is fitted.
        group_sizes: the k's, none larger than K.
        chunk_size: samples of each image that are decoded together.
        num_largest: how many of each image's largest log weights to keep, at most K.
        proposal: what is drawn from; `None` is the model's posterior.
        rows: where the images are among all, so that each has draws of its own; `None` are draws of this batch.

    Returns:
        `StreamedWeights`.
    """
    log_likelihood_of = model.generative.log_likelihood_of(x)
    batch = tf.shape(x)[0]

    def samples(begin: tf.Tensor, end: tf.Tensor) -> list[tf.Tensor]:
        first = begin // DRAWN_TOGETHER
        if chunk_size == DRAWN_TOGETHER:
            return [one[: end - begin] for one in draw(first)]
        blocks = tf.range(first, (end - 1) // DRAWN_TOGETHER + 1)
        drawn = tf.map_fn(draw, blocks, fn_output_signature=(tf.float32, tf.float32))
        skipped = first * DRAWN_TOGETHER
        rows = [tf.reshape(one, tf.concat([[-1], tf.shape(one)[2:]], axis=0)) for one in drawn]
        return [one[begin - skipped : end - skipped] for one in rows]

    def one_chunk(begin, recent, streams):
        end = tf.minimum(begin + chunk_size, num_samples)
        z, log_proposal = samples(begin, end)
        terms = LogTerms(log_likelihood_of(z), model.generative.log_prior(z), log_proposal)
        recent = tf.concat([recent, terms.weights], axis=0)

        def summarized() -> tuple:
            means, squares, *largest = streams
            updated = means.update(recent), squares.update(2.0 * recent), *(kept.update(recent) for kept in largest)
            return recent[:0], updated

        is_block = tf.logical_or(tf.shape(recent)[0] >= _BLOCK, end == num_samples)
        return end, *tf.cond(is_block, summarized, lambda: (recent, streams))

    means = StreamingLogMeanExp.zeros([*group_sizes, num_samples], batch)
    squares = StreamingLogMeanExp.zeros([num_samples], batch)
    # None or one, for a loop carries tensors only.
    largest = [LargestTerms.zeros(num_largest, batch)] if num_largest else []
    start = tf.constant(0), tf.zeros([0, batch]), (means, squares, *largest)
    shapes = tf.nest.map_structure(lambda t: t.shape, start)
    with model.generative.prior.worked_out():
        draw = (proposal or Proposal()).source(model, x, seed, rows)
        _, _, (means, squares, *largest) = tf.while_loop(
            lambda begin, *_: begin < num_samples,
            one_chunk,
            start,
            shape_invariants=(shapes[0], tf.TensorShape([None, None]), shapes[2]),
            # The small operations of one chunk beside the products of the next.
            parallel_iterations=2,
        )
    bounds = means.result()
    log_likelihood, log_squares = bounds[-1], squares.result()[0]
    kept = largest[0] if largest else LargestTerms.zeros(0, batch)
    return StreamedWeights(
        log_likelihood,
        as_sample_size(tf.cast(num_samples, tf.float32) * tf.exp(2.0 * log_likelihood - log_squares), num_samples),
        bounds[:-1],
        kept.largest,
        kept.rest,
    )
