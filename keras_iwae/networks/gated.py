"""Gated dense encoder and decoder, those of the VampPrior's experiments."""

from collections.abc import Sequence

import keras

from keras_iwae.foundation import FixedArguments, check_integer, check_seed
from keras_iwae.networks.dense import checked_units
from keras_iwae.networks.initializers import derived_seed, glorot


@keras.saving.register_keras_serializable("keras_iwae")
class GatedDense(FixedArguments, keras.Layer):
    r"""$h = (W x + b) \odot \sigma(V x + c)$: a dense layer each of whose units is let through by another.

    Args:
        units: U.
        seed: seed of the initial kernels.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `units` is no positive integer.

    Example:
        >>> GatedDense(300)(tf.zeros([5, 784])).shape
        TensorShape([5, 300])

    References:
        Dauphin, Fan, Auli, Grangier (2017), Language modeling with gated convolutional networks, equation 1.
        Tomczak, Welling (2018), VAE with a VampPrior, section 5, which has dense networks of them.
    """

    def __init__(self, units: int, seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.units, self.seed = check_integer("units", units), check_seed("seed", seed)

    def get_config(self):
        return {**super().get_config(), "units": self.units, "seed": self.seed}

    def build(self, input_shape):
        # One product for both. Each half is drawn by itself, as it would be alone.
        halves = glorot(self.seed, 0), glorot(self.seed, 1)

        def start(shape, dtype):
            parts = [half((shape[0], self.units), dtype) for half in halves]
            return keras.ops.concatenate(parts, axis=-1)

        self.kernel = self.add_weight(shape=(input_shape[-1], 2 * self.units), initializer=start, name="kernel")
        self.bias = self.add_weight(shape=(2 * self.units,), initializer="zeros", name="bias")
        self.built = True

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def call(self, inputs):
        """Activations `[..., U]` of inputs `[..., F]`."""
        values, gates = keras.ops.split(keras.ops.matmul(inputs, self.kernel) + self.bias, 2, axis=-1)
        return values * keras.ops.sigmoid(gates)


def gated_encoder(
    hidden: Sequence[int] = (300, 300), seed: int = 0, dtype=None, name: str = "encoder"
) -> keras.Sequential:
    """Encoder of gated dense layers: examples are flattened, then `hidden` layers follow.

    Args:
        hidden: units of each layer, from the example to the features.
        seed: seed of the initial kernels.
        dtype: a Keras dtype or mixed-precision policy; `None` is the global one.
        name: name of the Keras model.

    Returns:
        a Keras model from `[B, *event_shape]` to `[B, hidden[-1]]`.

    Raises:
        ValueError: if `hidden` is empty or holds anything but positive integers.

    Example:
        >>> gated_encoder((300, 100))(np.zeros((5, 28, 28, 1))).shape
        TensorShape([5, 100])

    References:
        Tomczak, Welling (2018), VAE with a VampPrior, section 5.
    """
    return keras.Sequential([keras.layers.Flatten(dtype=dtype), *_layers(hidden, seed, dtype)], name=name)


def gated_decoder(
    hidden: Sequence[int] = (300, 300), seed: int = 0, dtype=None, name: str = "decoder"
) -> keras.Sequential:
    """Decoder of gated dense layers, to features on which a likelihood puts its own head.

    Args:
        hidden: units of each layer, from the latents to the features.
        seed: seed of the initial kernels.
        dtype: a Keras dtype or mixed-precision policy; `None` is the global one.
        name: name of the Keras model.

    Returns:
        a Keras model from `[N, D]` to features `[N, hidden[-1]]`.

    Raises:
        ValueError: if `hidden` is empty or holds anything but positive integers.

    Example:
        >>> gated_decoder((100, 300))(np.zeros((5, 40))).shape
        TensorShape([5, 300])

    References:
        Tomczak, Welling (2018), VAE with a VampPrior, section 5.
    """
    return keras.Sequential(_layers(hidden, seed, dtype), name=name)


def _layers(hidden: Sequence[int], seed: int, dtype) -> list[keras.Layer]:
    units = enumerate(checked_units(hidden))
    return [GatedDense(each, derived_seed(seed, index), dtype=dtype) for index, each in units]
