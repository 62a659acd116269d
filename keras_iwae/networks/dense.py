"""Dense encoder and decoder, the paper's by default."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_iwae.foundation import MARK, check_integer
from keras_iwae.networks.initializers import glorot


def _makes_two_of_two(activation: Callable) -> bool:
    """Whether it is of as many units as it is given; "glu" makes half as many."""

    def found() -> bool:
        return tuple(activation(tf.zeros((1, 2))).shape) == (1, 2)

    try:
        # In a graph: settings are read before devices and machines are set, and that before TensorFlow has begun.
        with tf.Graph().as_default():
            return found()
    except Exception:
        # One of a user's own may have a tensor of its own in it, or branch on values, or take what no layer gives it.
        try:
            return found()
        except Exception:
            return False


def check_activation(argument: str, activation: object) -> None:
    """Refuse what Keras takes for no activation of each unit or cannot save, and a layer, which all would share.

    Raises:
        ValueError: which names `argument`.
    """
    try:
        found = keras.activations.get(activation)
        keras.activations.serialize(found)
        known = not isinstance(activation, keras.Layer)
    except (ValueError, TypeError):
        known = False
    if known and not _makes_two_of_two(found):
        raise ValueError(
            f"{MARK}{argument}`. Expected one of a tensor alone, and of as many units as it is given. Received: "
            f"{activation!r}"
        )
    if not known:
        raise ValueError(
            f"{MARK}{argument}`. Expected a Keras activation, by name or callable: a function, and no layer. Received: "
            f"{activation!r}"
        )


def checked_units(hidden: Sequence[int]) -> list[int]:
    """Units of the layers of one network.

    Raises:
        ValueError: which names `hidden`.
    """
    if not isinstance(hidden, (tuple, list, np.ndarray)) or not len(hidden):
        raise ValueError(f"{MARK}hidden`. Expected at least one layer, as (200, 200). Received: {hidden!r}")
    return [check_integer("hidden", units) for units in hidden]


def dense_layers(hidden: Sequence[int], activation, seed: int, dtype) -> list[keras.Layer]:
    check_activation("activation", activation)
    units = checked_units(hidden)
    return [
        keras.layers.Dense(u, activation, kernel_initializer=glorot(seed, i), dtype=dtype) for i, u in enumerate(units)
    ]


def dense_encoder(
    hidden: Sequence[int] = (200, 200), activation="tanh", seed: int = 0, dtype=None, name: str = "encoder"
) -> keras.Sequential:
    """Encoder of dense layers, the paper's by default: images are flattened, then `hidden` layers follow.

    Args:
        hidden: units of each layer, from the image to the features.
        activation: a Keras activation, by name or callable, after every layer.
        seed: seed of the initial kernels.
        dtype: a Keras dtype or mixed-precision policy; `None` is the global one.
        name: name of the Keras model.

    Returns:
        a Keras model from `[B, *event_shape]` to `[B, hidden[-1]]`.

    Raises:
        ValueError: if `hidden` is empty or holds anything but positive integers, or there is no such activation.

    Example:
        >>> dense_encoder((200, 100))(np.zeros((5, 28, 28, 1))).shape
        TensorShape([5, 100])
    """
    layers = [keras.layers.Flatten(dtype=dtype), *dense_layers(hidden, activation, seed, dtype)]
    return keras.Sequential(layers, name=name)


def dense_decoder(
    hidden: Sequence[int] = (200, 200), activation="tanh", seed: int = 0, dtype=None, name: str = "decoder"
) -> keras.Sequential:
    """Decoder of dense layers, the paper's by default, to features on which a likelihood puts its own head.

    Args:
        hidden: units of each layer, from the latents to the features.
        activation: a Keras activation, by name or callable, after every layer.
        seed: seed of the initial kernels.
        dtype: a Keras dtype or mixed-precision policy; `None` is the global one.
        name: name of the Keras model.

    Returns:
        a Keras model from `[N, D]` to features `[N, hidden[-1]]`.

    Raises:
        ValueError: if `hidden` is empty or holds anything but positive integers, or there is no such activation.

    Example:
        >>> dense_decoder((100, 200))(np.zeros((5, 50))).shape
        TensorShape([5, 200])
    """
    return keras.Sequential(dense_layers(hidden, activation, seed, dtype), name=name)
