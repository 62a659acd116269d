"""Where random numbers come from: one key for each purpose that shares a user's seed.

A key is an int32 `[2]`, a stateless seed. It is either split into others or drawn from, once, and never both: what is
drawn under one key twice is the same numbers, and two purposes that share them are correlated. Training has the keys
[seed, -step] with steps from 1 on; those of the purposes here have a second number from 0 on.
"""

import enum

import tensorflow as tf

from keras_iwae.foundation.checks import check_integer


class Purpose(enum.IntEnum):
    """What random numbers are for."""

    IMPORTANCE = 0
    ANNEALING = 1
    SIMULATED = 2
    BIDIRECTIONAL = 3
    SUMO = 4
    SAMPLES = 5
    EVALUATE = 6
    RESAMPLING = 7
    LATENTS = 8
    INFERENCE_GAP = 9
    PRIOR_MOMENTS = 10
    PRUNING = 11
    SERVED = 12
    IMPUTATION = 13
    REFINED = 14
    CALIBRATION = 15
    PREDICTIVE = 16
    LATENT_PLANE = 17


def key_for(purpose: Purpose, seed: int | tf.Tensor) -> tf.Tensor:
    """The key of a purpose under a seed, int32 `[2]`.

    Args:
        purpose: what is drawn.
        seed: the user's, an integer that int32 holds, or a scalar tensor.

    Raises:
        ValueError: if it is neither.

    Example:
        >>> key_for(Purpose.SAMPLES, 7).numpy()
        array([7, 5], dtype=int32)
    """
    return tf.stack([seed_of_keys(seed), int(purpose)])


def seed_of_keys(seed: int | tf.Tensor) -> tf.Tensor:
    """A user's seed as the int32 of its keys.

    Raises:
        ValueError: if it is neither an integer that int32 holds nor a tensor.
    """
    whole = seed if tf.is_tensor(seed) else check_integer("seed", seed, at_least=-(2**31), at_most=2**31 - 1)
    return tf.cast(whole, tf.int32)
