"""Which model and which examples a number is of: digests, equal where these are."""

import hashlib
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_iwae.models import IWAE


class Judged(NamedTuple):
    """What numbers are of.

    Attributes:
        model: `model_digest` of it.
        examples: `digests_of` the examples, int32 `[N, 2]`.
    """

    model: str
    examples: np.ndarray


def model_digest(model: IWAE) -> str:
    """256 bits of all weights of a model and of the layers that they are of, in hexadecimal."""
    found = hashlib.sha256()
    # Models of other activations or likelihoods begin with the same weights.
    for layer in model._flatten_layers() if isinstance(model, keras.Layer) else ():
        activation = getattr(layer, "activation", None)
        found.update(f"{type(layer).__name__} {getattr(activation, '__name__', activation)} ".encode())
    for weight in model.get_weights():
        found.update(f"{weight.dtype} {weight.shape}".encode())
        found.update(np.ascontiguousarray(weight).tobytes())
    return found.hexdigest()


def digests_of(x: tf.Tensor) -> tf.Tensor:
    """64 bits of the entries of each example `[N, *event_shape]`, int32 `[N, 2]`; a served graph finds the same."""
    # One zero, and one NaN: what is equal has equal bytes.
    one = tf.where(tf.math.is_nan(x), np.float32(np.nan), tf.where(tf.equal(x, 0.0), 0.0, x))
    width = 4 * int(np.prod(x.shape[1:]))
    return tf.bitcast(
        tf.reshape(tf.fingerprint(tf.reshape(tf.bitcast(one, tf.uint8), [-1, width])), [-1, 2, 4]), tf.int32
    )
