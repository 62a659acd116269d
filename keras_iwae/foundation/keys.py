"""Where random numbers come from: one key for each purpose that shares a user's seed.

A key is an int32 `[2]`, a stateless seed. It is either split into others or drawn from, once, and never both: what is
drawn under one key twice is the same numbers, and two purposes that share them are correlated. Training keys are
[seed, step] with steps from 1 on; those of the purposes here have a second number below 0.
"""

import enum

import tensorflow as tf


class Purpose(enum.IntEnum):
    """What random numbers are for."""

    SAMPLES = 1
    EVALUATE = 2
    IMPORTANCE = 3
    ANNEALING = 4
    SIMULATED = 5
    BIDIRECTIONAL = 6
    SUMO = 7
    RESAMPLING = 8
    LATENTS = 9
    INFERENCE_GAP = 10
    PRIOR_MOMENTS = 11
    PRUNING = 12
    SERVED = 13


def key_for(purpose: Purpose, seed: int | tf.Tensor) -> tf.Tensor:
    """The key of a purpose under a seed, int32 `[2]`.

    Args:
        purpose: what is drawn.
        seed: the user's, an integer or an int32 scalar.

    Example:
        >>> key_for(Purpose.SAMPLES, 7).numpy()
        array([ 7, -1], dtype=int32)
    """
    return tf.stack([tf.cast(seed, tf.int32), -int(purpose)])
