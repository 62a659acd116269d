"""Encoder and decoder networks: plain Keras models from tensors to tensors, never to distributions.

An *encoder* maps images `[B, *image_shape]` to features `[B, F]`; the posterior puts its own heads on them.
A *Gaussian network* puts two heads on features, and gives a mean and a standard deviation.
A *decoder* maps latents `[N, D]` to logits `[N, *image_shape]`; where its last trainable weight is a bias with one
value per pixel, `IWAE.initialize_output_bias` can set it.
Any Keras layer or model with one of these signatures can take the place of the ones here.
"""

import math
from collections.abc import Sequence

import keras
import numpy as np

from keras_iwae.inputs import check_integer


def derived_seed(seed: int, index: int) -> int:
    """The `index`-th of the seeds that come of one seed."""
    return int(np.random.SeedSequence((seed, index)).generate_state(1)[0]) % 2**31


def glorot(seed: int, index: int, gain: float = 1.0) -> keras.initializers.Initializer:
    """Glorot's uniform initializer for the `index`-th kernel of a network: one seed, yet no two kernels start alike.

    `gain` multiplies the values: what corrects something else starts small with 0.1, and not at 0, where the layers
    before it would get no gradient.
    """
    return keras.initializers.VarianceScaling(gain**2, "fan_avg", "uniform", seed=derived_seed(seed, index))


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


@keras.saving.register_keras_serializable("keras_iwae")
class GaussianNetwork(keras.Layer):
    r"""Parameters of a diagonal Gaussian: $\mu = W_\mu h(x) + b_\mu$, $\sigma = \exp(W_\sigma h(x) + b_\sigma)$.

    Args:
        encoder: Keras layer or model from inputs `[B, ...]` to features `[B, F]`.
        latent_dim: D, the number of the Gaussian's dimensions.
        seed: seed of the heads' initial kernels.
        **kwargs: passed to `keras.Layer`.

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, appendix: sigma is exp(linear).
    """

    def __init__(self, encoder: keras.Layer, latent_dim: int, seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.encoder, self.latent_dim, self.seed = encoder, latent_dim, seed
        # Float32 under mixed precision too: the exponential of a half float would overflow early.
        self.loc_head = keras.layers.Dense(latent_dim, kernel_initializer=glorot(seed, 0), dtype="float32", name="loc")
        self.log_scale_head = keras.layers.Dense(
            latent_dim, kernel_initializer=glorot(seed, 1), dtype="float32", name="log_scale"
        )

    def get_config(self):
        encoder = keras.saving.serialize_keras_object(self.encoder)
        return {**super().get_config(), "encoder": encoder, "latent_dim": self.latent_dim, "seed": self.seed}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "encoder": keras.saving.deserialize_keras_object(config["encoder"])})

    def build(self, input_shape):
        if not self.encoder.built:
            self.encoder.build(input_shape)
        features = self.encoder.compute_output_shape(input_shape)
        for head in (self.loc_head, self.log_scale_head):
            if not head.built:
                head.build(features)
        self.built = True

    def call(self, inputs, training=False):
        """Return the mean and the standard deviation, float32 `[B, D]` each, of inputs `[B, ...]`."""
        features = self.encoder(inputs, training=training)
        return self.loc_head(features), keras.ops.exp(self.log_scale_head(features))

    def given(self, z, training=False):
        """Mean and standard deviation, float32 `[..., D]` each, given vectors `[..., F]` with any leading axes."""
        # One matrix product over all K * B rows, not K of them over B.
        parameters = self(keras.ops.reshape(z, (-1, z.shape[-1])), training=training)
        shape = (*keras.ops.shape(z)[:-1], self.latent_dim)
        loc, scale = (keras.ops.reshape(parameter, shape) for parameter in parameters)
        return loc, scale


def dense_gaussians(
    latent_dims: Sequence[int], hidden: Sequence[Sequence[int]], activation="tanh", seed: int = 0, dtype=None
) -> list[GaussianNetwork]:
    """One dense Gaussian network for each of `latent_dims`, with the units of the same place in `hidden` before it.

    Args:
        latent_dims: dimensions of each Gaussian.
        hidden: units of each network's dense layers, from its input to its heads.
        activation: a Keras activation, by name or callable, after every dense layer.
        seed: seed of all initial kernels, no two of which are alike.
        dtype: a Keras dtype or mixed-precision policy of the dense layers; `None` is the global one.

    Returns:
        the networks, in the order of `latent_dims`.

    Raises:
        ValueError: if `hidden` is not as long as `latent_dims`, or holds anything but positive integers.
    """
    if len(hidden) != len(latent_dims):
        raise ValueError(
            "Invalid value received for `hidden`. Expected a tuple of units for each pair of neighbouring latent "
            f"layers, {len(latent_dims)} in all. Received: {hidden}"
        )
    return [
        GaussianNetwork(
            # Indices 0 and 1 are those of the heads of a Gaussian network with this same seed.
            dense_encoder(units, activation, derived_seed(seed, 2 * i + 2), dtype, "trunk"),
            check_integer("latent_dims", latent_dim),
            derived_seed(seed, 2 * i + 3),
            dtype=dtype,
        )
        for i, (latent_dim, units) in enumerate(zip(latent_dims, hidden, strict=True))
    ]
