"""Convolutional encoder and decoder for images `[H, W, C]`."""

from collections.abc import Sequence

import keras
import numpy as np

from keras_iwae.foundation import MARK, FixedArguments, check_integer
from keras_iwae.networks.dense import check_activation, dense_layers
from keras_iwae.networks.initializers import glorot


def conv_encoder(
    filters: Sequence[int] = (32, 64), units: int = 200, activation="elu", seed: int = 0, dtype=None
) -> keras.Sequential:
    """Encoder of 3x3 convolutions, each of which halves height and width, and one dense layer.

    Args:
        filters: channels of each convolution.
        units: units of the dense layer.
        activation: a Keras activation, by name or callable, after every layer.
        seed: seed of the initial kernels.
        dtype: a Keras dtype or mixed-precision policy; `None` is the global one.

    Returns:
        a Keras model from `[B, H, W, C]` to `[B, units]`.

    Raises:
        ValueError: if `filters` or `units` are no positive integers, or there is no such activation.
    """
    filters, units = _filters(filters), check_integer("units", units)
    check_activation("activation", activation)
    convolutions = [
        keras.layers.Conv2D(f, 3, 2, "same", activation=activation, kernel_initializer=glorot(seed, i), dtype=dtype)
        for i, f in enumerate(filters)
    ]
    dense = keras.layers.Dense(units, activation, kernel_initializer=glorot(seed, len(convolutions)), dtype=dtype)
    return keras.Sequential([*convolutions, keras.layers.Flatten(dtype=dtype), dense], name="encoder")


def conv_decoder(
    event_shape: Sequence[int],
    filters: Sequence[int] = (64, 32),
    units: int = 200,
    activation="elu",
    seed: int = 0,
    dtype=None,
    parameters: int = 1,
) -> keras.Sequential:
    """Decoder of two dense layers and transposed 3x3 convolutions, each of which doubles height and width.

    Args:
        event_shape: `(H, W, C)`; sizes that are no multiple of the doublings are cropped from the next that is.
        filters: channels that each transposed convolution takes in; the last puts out C P.
        units: units of the first dense layer.
        activation: a Keras activation, by name or callable, after every layer but the last.
        seed: seed of the initial kernels.
        dtype: a Keras dtype or mixed-precision policy; `None` is the global one.
        parameters: P, numbers for each entry, `parameters` of the likelihood.

    Returns:
        a Keras model from `[N, D]` to the parameters of a likelihood, `[N, H, W, C]`, or `[N, H, W, C, P]` for P > 1.

    Raises:
        ValueError: if `event_shape` is not `(H, W, C)`, another number is no positive integer, or there is no such
            activation.
    """
    sizes = tuple(event_shape) if np.iterable(event_shape) else ()
    if len(sizes) != 3:
        raise ValueError(f"Invalid value received for `event_shape`. Expected (H, W, C). Received: {event_shape}")
    height, width, channels = (check_integer("event_shape", size) for size in sizes)
    filters, units = _filters(filters), check_integer("units", units)
    parameters = check_integer("parameters", parameters)
    scale = 2 ** len(filters)
    rows, columns = -(-height // scale), -(-width // scale)
    crop = ((0, rows * scale - height), (0, columns * scale - width))
    layers = [
        *dense_layers((units, rows * columns * filters[0]), activation, seed, dtype),
        keras.layers.Reshape((rows, columns, filters[0]), dtype=dtype),
    ]
    for i, outputs in enumerate((*filters[1:], channels * parameters)):
        last = i == len(filters) - 1
        layers.append(
            keras.layers.Conv2DTranspose(
                outputs,
                3,
                2,
                "same",
                activation=None if last else activation,
                use_bias=not last,
                kernel_initializer=glorot(seed, 2 + i),
                dtype=dtype,
            )
        )
    layers += [keras.layers.Cropping2D(crop, dtype=dtype), PixelBias(dtype=dtype)]
    if parameters > 1:
        layers.append(keras.layers.Reshape((height, width, channels, parameters), dtype=dtype))
    return keras.Sequential(layers, name="decoder")


def _filters(filters: Sequence[int]) -> tuple[int, ...]:
    if not isinstance(filters, (list, tuple, np.ndarray)) or not len(filters):
        raise ValueError(f"{MARK}filters`. Expected at least one convolution, as (32, 64). Received: {filters!r}")
    return tuple(check_integer("filters", channels) for channels in filters)


@keras.saving.register_keras_serializable("keras_iwae")
class PixelBias(FixedArguments, keras.Layer):
    """Adds a learned value to each number of an output, so that a decoder has an output bias to be initialised."""

    parts = ("bias",)

    def build(self, input_shape):
        self.bias = self.add_weight(shape=input_shape[1:], initializer="zeros", name="bias")

    def call(self, logits):
        return logits + self.bias
