"""Several devices of one machine, between which the batches of a model are shared out."""

import contextlib
from typing import Any

import tensorflow as tf

from keras_iwae.foundation import MARK, check_integer

# Logical ones show what is right and are no faster: more of them would take minutes to begin, and show no more.
_MOST_CPUS = 64


def over_devices(devices: int = 1) -> contextlib.AbstractContextManager[Any]:
    """What a model is made or loaded in, that `fit`, `evaluate` and `predict` are to share out over several devices.

    GPUs where there are any, else as many logical CPUs: those do not train faster, and show that it would be right.
    Each device has a part of every batch and the noise of its rows; gradients and metrics are summed, so that the
    weights are those of one device, but for the rounding of sums in another order; `compile` warns of layers that are
    not.

    Args:
        devices: how many; 1 is as without.

    Returns:
        a context manager, the scope of a `tf.distribute.MirroredStrategy` where there are several.

    Raises:
        ValueError: if there are fewer GPUs than asked for but some, TensorFlow has begun with fewer CPUs, or these are
            more than 64.

    Example:
        >>> with over_devices(1):
        ...     model = IWAE((8, 8, 1))

    References:
        TensorFlow's guide to distributed training, section on MirroredStrategy.
    """
    if check_integer("devices", devices) == 1:
        return contextlib.nullcontext()
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        if devices > len(gpus):
            expected = f"at most the {len(gpus)} GPUs of this machine"
            raise ValueError(f"{MARK}devices`. Expected {expected}. Received: {devices}")
        return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(devices)]).scope()
    if devices > _MOST_CPUS:
        raise ValueError(f"{MARK}devices`. Expected at most {_MOST_CPUS} logical CPUs. Received: {devices}")
    try:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * devices
        )
    except RuntimeError:
        # It has begun; there may be as many already.
        if len(tf.config.list_logical_devices("CPU")) < devices:
            raise ValueError(
                f"{MARK}devices`. Expected 1, or to be asked for before anything else of TensorFlow. Received: "
                f"{devices}, after it began with {len(tf.config.list_logical_devices('CPU'))}"
            ) from None
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(devices)]).scope()
