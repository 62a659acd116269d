"""Which model and which examples a number is of: digests, equal where these are."""

import hashlib
import json
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_iwae.foundation import computing_settings
from keras_iwae.likelihoods import Likelihood, SelfMasking
from keras_iwae.models import IWAE
from keras_iwae.posteriors import Posterior
from keras_iwae.priors import Prior


class Judged(NamedTuple):
    """What numbers are of.

    Attributes:
        model: `model_digest` of it.
        examples: `digests_of` the examples, int32 `[N, 2]`.
    """

    model: str
    examples: np.ndarray


def model_digest(model: IWAE) -> str:
    """256 bits of all weights of a model, of the layers that they are of and of numbers fixed there, in hexadecimal."""
    found = hashlib.sha256()
    # Models of other activations or likelihoods, or of another fixed scale, begin with the same weights.
    for layer in model._flatten_layers() if isinstance(model, keras.Layer) else ():
        activation = getattr(layer, "activation", None)
        found.update(f"{type(layer).__name__} {getattr(activation, '__name__', activation)} ".encode())
        # Of a network the layers in it say theirs.
        if isinstance(layer, (Likelihood, Posterior, Prior, SelfMasking)) or len(layer._flatten_layers()) == 1:
            found.update(_fixed_settings(layer).encode())
    for weight in model.get_weights():
        found.update(f"{weight.dtype} {weight.shape}".encode())
        found.update(np.ascontiguousarray(weight).tobytes())
    return found.hexdigest()


def _fixed_settings(part: keras.Layer) -> str:
    try:
        config = computing_settings(part.get_config())
        # Layers that it holds are the model's too, and their names, in a network's configuration, are of no weight.
        held = {name for name, value in config.items() if isinstance(value, dict) and "class_name" in value}
        return json.dumps({name: config[name] for name in config.keys() - held}, sort_keys=True, default=_plain)
    # A class of a user's own that cannot be saved, or a network in it.
    except Exception:
        return ""


def _plain(value: object) -> object:
    # Of an object that is none of JSON's, its words may be its place in memory.
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else type(value).__name__


def digests_of(x: tf.Tensor) -> tf.Tensor:
    """64 bits of the entries of each example `[N, *event_shape]`, int32 `[N, 2]`; a served graph finds the same."""
    # One zero, and one NaN: what is equal has equal bytes.
    one = tf.where(tf.math.is_nan(x), np.float32(np.nan), tf.where(tf.equal(x, 0.0), 0.0, x))
    width = 4 * int(np.prod(x.shape[1:]))
    return tf.bitcast(
        tf.reshape(tf.fingerprint(tf.reshape(tf.bitcast(one, tf.uint8), [-1, width])), [-1, 2, 4]), tf.int32
    )
