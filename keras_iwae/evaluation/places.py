"""What the draws of an image depend on: the key of an evaluation and the image's place among all, whatever its batch.

So a split into batches, shards or processes changes no draw. A class of a user's own draws in its own way, for the
batch that it is given; its draws are of the place where the batch begins.
"""

import numpy as np
import tensorflow as tf

from keras_iwae.foundation import is_own_class
from keras_iwae.models import IWAE

# Numbers that a processor's instruction takes at once. What is left over of them is worked on by others, which round
# otherwise: of a multiple of it nothing is, so that an example gets the very numbers that it gets among others.
LANES = 16


def up_to_lanes(count: int) -> np.ndarray:
    """Which rows of a batch to compute, so that all lanes are full: each, and the last of them again."""
    return np.minimum(np.arange(-(-count // LANES) * LANES), count - 1)


def drawn_by_batch(model: IWAE, of_posterior: bool, of_prior: bool) -> bool:
    """Whether a class of a user's own draws: the posterior, or the prior."""
    prior = model.generative.prior
    drawn = [model.posterior] * of_posterior + [prior, getattr(prior, "top", prior)] * of_prior
    return any(is_own_class(type(each)) for each in drawn)


def key_of_batch(key: tf.Tensor, first: int | tf.Tensor, by_batch: bool) -> tf.Tensor:
    """What a batch is drawn under, int32 `[2]`: an evaluation's key, of the batch's place where draws are by batch.

    Args:
        key: int32 `[2]`, of the evaluation.
        first: place of the batch's first image among all.
        by_batch: whether the draws are none of each image's own.
    """
    return tf.random.fold_in(key, first) if by_batch else key
