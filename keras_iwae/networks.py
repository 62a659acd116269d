"""Encoder and decoder networks: plain Keras models from tensors to tensors, never to distributions.

An *encoder* maps images `[B, *image_shape]` to features `[B, F]`; the posterior puts its own heads on them.
A *decoder* maps latents `[N, D]` to logits `[N, *image_shape]`; where its last trainable weight is a bias with one
value per pixel, `IWAE.initialize_output_bias` can set it.
Any Keras layer or model with one of these signatures can take the place of the ones here.
"""

import math
from collections.abc import Sequence

import keras
import numpy as np

from keras_iwae.inputs import check_integer


def glorot(seed: int, index: int) -> keras.initializers.Initializer:
    """Glorot's uniform initializer for the `index`-th kernel of a network: one seed, yet no two kernels start alike."""
    derived = int(np.random.SeedSequence((seed, index)).generate_state(1)[0])
    return keras.initializers.GlorotUniform(seed=derived % 2**31)


def _dense_layers(hidden: Sequence[int], activation, seed: int, dtype) -> list[keras.Layer]:
    units = [check_integer("hidden", u) for u in hidden]
    if not units:
        raise ValueError("Invalid value received for `hidden`. Expected at least one layer. Received: ()")
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
        a Keras model from `[B, *image_shape]` to `[B, hidden[-1]]`.

    Raises:
        ValueError: if `hidden` is empty or holds anything but positive integers.

    Example:
        >>> dense_encoder((200, 100))(np.zeros((5, 28, 28, 1))).shape
        TensorShape([5, 100])
    """
    layers = [keras.layers.Flatten(dtype=dtype), *_dense_layers(hidden, activation, seed, dtype)]
    return keras.Sequential(layers, name=name)


def dense_decoder(
    image_shape: Sequence[int],
    hidden: Sequence[int] = (200, 200),
    activation="tanh",
    seed: int = 0,
    dtype=None,
    name: str = "decoder",
) -> keras.Sequential:
    """Decoder of dense layers, the paper's by default: `hidden` layers, then one logit a pixel.

    Args:
        image_shape: shape of one image, `(D,)` or `(H, W, C)`.
        hidden: units of each layer, from the latents to the image.
        activation: a Keras activation, by name or callable, after every hidden layer.
        seed: seed of the initial kernels.
        dtype: a Keras dtype or mixed-precision policy; `None` is the global one.
        name: name of the Keras model.

    Returns:
        a Keras model from `[N, D]` to logits `[N, *image_shape]`.

    Raises:
        ValueError: if `hidden` is empty or holds anything but positive integers.
    """
    layers = _dense_layers(hidden, activation, seed, dtype)
    logits = keras.layers.Dense(math.prod(image_shape), kernel_initializer=glorot(seed, len(layers)), dtype=dtype)
    return keras.Sequential([*layers, logits, keras.layers.Reshape(image_shape, dtype=dtype)], name=name)


def conv_encoder(
    filters: Sequence[int] = (32, 64), units: int = 200, activation="relu", seed: int = 0, dtype=None
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
    """
    convolutions = [
        keras.layers.Conv2D(f, 3, 2, "same", activation=activation, kernel_initializer=glorot(seed, i), dtype=dtype)
        for i, f in enumerate(filters)
    ]
    dense = keras.layers.Dense(units, activation, kernel_initializer=glorot(seed, len(convolutions)), dtype=dtype)
    return keras.Sequential([*convolutions, keras.layers.Flatten(dtype=dtype), dense], name="encoder")


def conv_decoder(
    image_shape: Sequence[int],
    filters: Sequence[int] = (64, 32),
    units: int = 200,
    activation="relu",
    seed: int = 0,
    dtype=None,
) -> keras.Sequential:
    """Decoder of two dense layers and transposed 3x3 convolutions, each of which doubles height and width.

    Args:
        image_shape: `(H, W, C)`; sizes that are no multiple of the doublings are cropped from the next that is.
        filters: channels that each transposed convolution takes in; the last puts out C.
        units: units of the first dense layer.
        activation: a Keras activation, by name or callable, after every layer but the last.
        seed: seed of the initial kernels.
        dtype: a Keras dtype or mixed-precision policy; `None` is the global one.

    Returns:
        a Keras model from `[N, D]` to logits `[N, H, W, C]`.

    Raises:
        ValueError: if `image_shape` is not `(H, W, C)`.
    """
    if len(image_shape) != 3:
        raise ValueError(f"Invalid value received for `image_shape`. Expected (H, W, C). Received: {image_shape}")
    height, width, channels = image_shape
    scale = 2 ** len(filters)
    rows, columns = -(-height // scale), -(-width // scale)
    crop = ((0, rows * scale - height), (0, columns * scale - width))
    layers = [
        *_dense_layers((units, rows * columns * filters[0]), activation, seed, dtype),
        keras.layers.Reshape((rows, columns, filters[0]), dtype=dtype),
    ]
    for i, outputs in enumerate((*filters[1:], channels)):
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
    return keras.Sequential(layers, name="decoder")


@keras.saving.register_keras_serializable("keras_iwae")
class PixelBias(keras.Layer):
    """Adds one learned value to each pixel: the last layer of a decoder whose output bias is to be initialised."""

    def build(self, input_shape):
        self.bias = self.add_weight(shape=input_shape[1:], initializer="zeros", name="bias")

    def call(self, logits):
        return logits + self.bias
