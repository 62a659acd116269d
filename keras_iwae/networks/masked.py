"""A masked network (MADE) with a context: output i depends on inputs before i and on the context, by masked kernels."""

import itertools
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_iwae.foundation import (
    FixedArguments,
    check_boolean,
    check_integer,
    check_positive_float32,
    check_seed,
)
from keras_iwae.networks.dense import check_activation, checked_units
from keras_iwae.networks.initializers import derived_seed, glorot

# Far from what it has been trained on the network grows without limit, and exponentials of exponentials would overflow.
_LARGEST = 5.0

ShiftAndLogScale = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


@keras.saving.register_keras_serializable("keras_iwae")
class MADE(FixedArguments, keras.Layer):
    r"""$(\mu_i, \log \sigma_i)$ as functions of $z_{<i}$ and features h, all i in one pass.

    $h_1 = a(z M_1 \odot W_1 + b_1(h))$, and so on: the context enters through the biases, which are linear in it. They
    belong to the image and are computed once, however many z follow. A hyperbolic tangent keeps log sigma within ±5.

    Each hidden unit has a degree; masks let it see inputs and units of its degree and below, and let outputs see units
    of a degree below their own. The first output sees the context alone. Where a layer has fewer than D - 1 units their
    degrees are spread up to D - 1: the last output sees all inputs before it, and some others not the nearest ones.

    Args:
        latent_dim: D, the number of inputs.
        hidden: units of each hidden layer.
        activation: a Keras activation, by name or callable, after each hidden layer.
        backwards: whether the units are run through from the last to the first: output i depends on $z_{>i}$.
        gain: multiplies what the weights of the outputs start with.
        seed: seed of the initial kernels.
        **kwargs: passed to `keras.Layer`, but for `dtype`: it is float32, whatever is given.

    Raises:
        ValueError: if `latent_dim` or a number of units is no positive integer, `hidden` is empty, or another argument
            is none of these.

    Example:
        >>> made = MADE(latent_dim=50)
        >>> network = made.given(made(tf.zeros([3, 200])))
        >>> shift, log_scale = network(tf.zeros([7, 3, 50]))

    References:
        Germain, Gregor, Murray, Larochelle (2015), MADE: masked autoencoder for distribution estimation, section 3.
    """

    parts = ("masks", "sizes", "kernels", "biases")

    def __init__(
        self,
        latent_dim: int,
        hidden: Sequence[int] = (100,),
        activation="relu",
        backwards: bool = False,
        gain: float = 1.0,
        seed: int = 0,
        **kwargs,
    ):
        # Float32 under mixed precision too: what it gives makes log densities.
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.latent_dim = check_integer("latent_dim", latent_dim)
        self.hidden = tuple(checked_units(hidden))
        check_activation("activation", activation)
        self.activation, self.backwards = keras.activations.get(activation), check_boolean("backwards", backwards)
        self.gain, self.seed = check_positive_float32("gain", gain), check_seed("seed", seed)
        self.masks = _masks(self.latent_dim, self.hidden, self.backwards)

    def get_config(self):
        return {
            **super().get_config(),
            "latent_dim": self.latent_dim,
            "hidden": self.hidden,
            "activation": keras.activations.serialize(self.activation),
            "backwards": self.backwards,
            "gain": self.gain,
            "seed": self.seed,
        }

    def build(self, features_shape):
        self.sizes = [*self.hidden, self.latent_dim, self.latent_dim]
        gains = [*[1.0] * len(self.hidden), self.gain, self.gain]
        # Masked kernels first; the seeds after theirs are those of the biases'.
        self.kernels = tuple(
            self.add_weight(shape=mask.shape, initializer=glorot(self.seed, i, gain), name=f"kernel_{i}")
            for i, (mask, gain) in enumerate(zip(self.masks, gains, strict=True))
        )
        # Tuples, of which TensorFlow's checkpoints hold the layers; of Keras' lists they do not, and say nothing.
        self.biases = tuple(
            keras.layers.Dense(
                size, kernel_initializer=glorot(derived_seed(self.seed, 0), i, gain), dtype="float32", name=f"bias_{i}"
            )
            for i, (size, gain) in enumerate(zip(self.sizes, gains, strict=True))
        )
        for bias in self.biases:
            bias.build(features_shape)
        self.built = True

    def call(self, features):
        """Return the biases of all layers, float32 `[B, sum(hidden) + 2 D]`, of features `[B, F]`."""
        return keras.ops.concatenate([bias(features) for bias in self.biases], axis=-1)

    def given(self, biases: tf.Tensor) -> ShiftAndLogScale:
        """The masked network of images whose biases are given.

        Args:
            biases: what calling the layer on their features gave, `[B, sum(hidden) + 2 D]`.

        Returns:
            a function from z `[..., B, D]` to mu and log sigma, `[..., B, D]` each.
        """
        weights = self.masked(biases)
        return lambda z: self.run(z, *weights)

    def masked(self, biases: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """The biases and the masked kernels: all that `run` takes beside z.

        In a loop over the units these products would be made anew for each.
        """
        return biases, *(kernel * mask for kernel, mask in zip(self.kernels, self.masks, strict=True))

    def run(self, z: tf.Tensor, biases: tf.Tensor, *kernels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """mu and log sigma, `[..., B, D]` each, of z `[..., B, D]`, as a function of nothing but what it is given."""
        *hidden, shift_bias, log_scale_bias = tf.split(biases, self.sizes, axis=-1)
        # tensordot makes one matrix product over all K * B rows, not K of them over B.
        for kernel, bias in zip(kernels, hidden, strict=False):
            z = self.activation(tf.tensordot(z, kernel, 1) + bias)
        shift = tf.tensordot(z, kernels[-2], 1) + shift_bias
        log_scale = tf.tensordot(z, kernels[-1], 1) + log_scale_bias
        return shift, _LARGEST * tf.tanh(log_scale / _LARGEST)


def _spread(units: int, most: int) -> np.ndarray:
    """Degrees of hidden units, from 1 to the most that an output is above."""
    if units < most:
        # One after the other they would end before the last inputs, which nothing would then hang on.
        return 1 + np.round(np.linspace(most - 1, 0, units)).astype(int)
    return np.arange(units) % max(most, 1) + 1


def _masks(latent_dim: int, hidden: Sequence[int], backwards: bool) -> list[np.ndarray]:
    """Masks of the kernels, 1 where an input may be seen: one for each hidden layer, and two for the outputs."""
    order = np.arange(1, latent_dim + 1)
    degrees = [order[::-1] if backwards else order]
    degrees += [_spread(units, latent_dim - 1) for units in hidden]
    masks = [below[:, None] <= above for below, above in itertools.pairwise(degrees)]
    masks += 2 * [degrees[-1][:, None] < degrees[0]]
    return [mask.astype(np.float32) for mask in masks]
