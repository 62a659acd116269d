"""What the draws of an image depend on: the key of an evaluation and the image's place among all, whatever its batch.

So a split into batches, shards or processes changes no draw. A class of a user's own draws in its own way, for the
batch that it is given; its draws are of the place where the batch begins.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from keras_iwae.evaluation.spreading import Arrays, Compute
from keras_iwae.foundation import is_own_class
from keras_iwae.models import IWAE
from keras_iwae.priors import top_of

# Numbers that a processor's instruction takes at once. What is left over of them is worked on by others, which round
# otherwise: of a multiple of it nothing is, so that an example gets the very numbers that it gets among others.
LANES = 16


def up_to_lanes(count: int) -> np.ndarray:
    """Which rows of a batch to compute, so that all lanes are full: each, and the last of them again."""
    return np.minimum(np.arange(-(-count // LANES) * LANES), count - 1)


def in_lanes(
    of_images: Callable[[tf.Tensor, np.ndarray, Callable[[float], object]], Arrays], at_once: int = 1
) -> Compute:
    """Compute a batch `LANES` images at a time and never another number, whose products might round otherwise.

    For chains, along which a difference in rounding grows to any size, and for fits.

    Args:
        of_images: from `LANES` images, their places among all and what is called with each share of the work that is
            done, to arrays of as many rows.
        at_once: how many times `LANES` images are worked on side by side, each by a thread: of use for a fit, whose
            many small operations leave cores idle, and of none for chains.
    """

    def compute(x, seen, advance):
        rows, lock = up_to_lanes(len(x)), threading.Lock()
        parts = np.split(rows, len(rows) // LANES)

        def done(share: float) -> None:
            with lock:
                advance(share / len(parts))

        def of_part(part: np.ndarray) -> Arrays:
            return of_images(tf.gather(x, part), seen + part, done)

        # The first makes the graph that all of them run.
        first, rest = of_part(parts[0]), parts[1:]
        found = [first, *(map(of_part, rest) if at_once == 1 else _side_by_side(of_part, rest, at_once))]
        return tuple(np.concatenate(arrays)[: len(x)] for arrays in zip(*found, strict=True))

    return compute


def _side_by_side(of_part: Callable[[np.ndarray], Arrays], parts: list[np.ndarray], at_once: int) -> list[Arrays]:
    with ThreadPoolExecutor(at_once) as pool:
        try:
            return list(pool.map(of_part, parts))
        except BaseException:
            # At Ctrl-C what has not begun is not waited for.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def drawn_by_batch(model: IWAE, of_posterior: bool, of_prior: bool) -> bool:
    """Whether a class of a user's own draws: the posterior, or the prior."""
    prior = model.generative.prior
    drawn = [model.posterior] * of_posterior + [prior, top_of(prior)] * of_prior
    return any(is_own_class(type(each)) for each in drawn)


def key_of_batch(key: tf.Tensor, first: int | tf.Tensor, by_batch: bool) -> tf.Tensor:
    """What a batch is drawn under, int32 `[2]`: an evaluation's key, of the batch's place where draws are by batch.

    Args:
        key: int32 `[2]`, of the evaluation.
        first: place of the batch's first image among all.
        by_batch: whether the draws are none of each image's own.
    """
    return tf.random.fold_in(key, first) if by_batch else key
