"""An encoder behind what turns events into its inputs: units that suit it, and zeros where nothing was observed."""

import math
from typing import Any

import keras
import tensorflow as tf

from keras_iwae.foundation import MARK, FixedArguments, check_boolean, check_choice, check_integer
from keras_iwae.networks.shapes import check_layer, output_shape

ENCODINGS = ("identity", "levels", "log1p", "one_hot")
_LEVELLED = ("levels", "one_hot")


@keras.saving.register_keras_serializable("keras_iwae")
class EventEncoder(FixedArguments, keras.Layer):
    r"""An encoder of $m \odot c(x)$, or of $[m \odot c(x), m]$, with m the mask of what was observed.

    c is the identity, x / (C - 1) for C levels, log(1 + x) for counts, or one-hot. What the encoder gives is flattened.

    Args:
        encoder: Keras layer or model to features, from `[B, *event_shape]`; the last axis is C times as long where the
            encoding is one-hot, and by one mask longer with `mask_input`.
        encoding: "identity", "levels", "log1p" or "one_hot"; `encoding` of a likelihood says which.
        levels: C, for "levels" and "one_hot" alone.
        missing: "nan" where NaN stands for an entry that was not observed; `None` where all are.
        mask_input: whether the encoder sees the mask too, 1 where an entry was observed, behind the last axis.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if an argument is none of these, or the encoder is no Keras layer.

    Example:
        >>> EventEncoder(dense_encoder(), missing="nan")(tf.constant([[1.0, math.nan]])).shape
        TensorShape([1, 200])

    References:
        Nazábal, Olmos, Ghahramani, Valera (2020), Handling incomplete heterogeneous data using VAEs, section 3, on
        zeros in the place of what is missing.
    """

    def __init__(
        self,
        encoder: keras.Layer,
        encoding: str = "identity",
        levels: Any = None,
        missing: str | None = None,
        mask_input: bool = False,
        **kwargs,
    ):
        # Float32 under mixed precision too: counts pass what a half float holds.
        super().__init__(**{**kwargs, "dtype": "float32"})
        check_layer(encoder, "encoder")
        check_choice("encoding", encoding, ENCODINGS)
        check_choice("missing", missing, (None, "nan"))
        mask_input = check_boolean("mask_input", mask_input)
        if mask_input and missing is None:
            raise ValueError(f"{MARK}mask_input`. Expected False where nothing is missing. Received: True")
        if encoding in _LEVELLED:
            levels = check_integer("levels", levels, at_least=2)
        elif levels is not None:
            raise ValueError(f"{MARK}levels`. Expected None with the encoding {encoding!r}. Received: {levels!r}")
        self.encoder, self.encoding, self.levels = encoder, encoding, levels
        self.missing, self.mask_input = missing, mask_input

    def get_config(self):
        own = {name: getattr(self, name) for name in ("encoding", "levels", "missing", "mask_input")}
        return {**super().get_config(), "encoder": keras.saving.serialize_keras_object(self.encoder), **own}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "encoder": keras.saving.deserialize_keras_object(config["encoder"])})

    def _seen_shape(self, events_shape) -> tuple:
        *leading, last = events_shape
        return (*leading, last * (self.levels if self.encoding == "one_hot" else 1) + last * self.mask_input)

    def build(self, events_shape):
        self._features = output_shape(self.encoder, self._seen_shape(events_shape), "encoder")[1:]
        self.built = True

    def compute_output_shape(self, events_shape):
        if not self.built:
            self.build(events_shape)
        return (events_shape[0], math.prod(self._features))

    def call(self, events, training=False):
        """Features `[B, F]` of events `[B, *event_shape]`."""
        features = self.encoder(self._seen(events), training=training)
        return features if len(self._features) == 1 else keras.ops.reshape(features, (-1, math.prod(self._features)))

    def _seen(self, events):
        observed = None
        if self.missing is not None:
            observed = tf.logical_not(tf.math.is_nan(events))
            events = tf.where(observed, events, 0.0)
        seen = self._encoded(events)
        if observed is None:
            return seen
        mask = tf.cast(observed, seen.dtype)
        seen *= tf.repeat(mask, self.levels, axis=-1) if self.encoding == "one_hot" else mask
        return tf.concat([seen, mask], axis=-1) if self.mask_input else seen

    def _encoded(self, events):
        if self.encoding == "levels":
            return events / (self.levels - 1.0)
        if self.encoding == "log1p":
            return tf.math.log1p(events)
        if self.encoding == "one_hot":
            hot = tf.one_hot(tf.cast(tf.round(events), tf.int32), self.levels, dtype=events.dtype)
            return tf.reshape(hot, tf.concat([tf.shape(events)[:-1], [events.shape[-1] * self.levels]], axis=0))
        return events
