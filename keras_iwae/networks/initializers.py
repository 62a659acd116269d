"""Initial kernels: one seed, yet no two kernels start alike."""

import keras
import numpy as np

from keras_iwae.foundation import check_integer


def derived_seed(seed: int, index: int) -> int:
    """The `index`-th of the seeds that come of one seed."""
    seed = check_integer("seed", seed, at_least=0)
    return int(np.random.SeedSequence((seed, index)).generate_state(1)[0]) % 2**31


def following_seed(seed: int, index: int) -> int:
    """The `index`-th integer after `seed`, from 0 on again behind the last that int32 holds."""
    return (check_integer("seed", seed, at_least=0) + index) % 2**31


def glorot(seed: int, index: int, gain: float = 1.0) -> keras.initializers.Initializer:
    """Glorot's uniform initializer for the `index`-th kernel of a network: one seed, yet no two kernels start alike.

    `gain` multiplies the values: what corrects something else starts small with 0.1, and not at 0, where the layers
    before it would get no gradient.
    """
    return keras.initializers.VarianceScaling(gain**2, "fan_avg", "uniform", seed=derived_seed(seed, index))
