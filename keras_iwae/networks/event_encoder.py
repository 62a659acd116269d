"""An encoder behind what turns events into its inputs: units that suit it, and zeros where nothing was observed."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
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
        encoding: "identity", "levels", "log1p" or "one_hot", or one of these for each entry of the last axis, the
            columns of a table; `encoding` of a likelihood says which.
        levels: C, for "levels" and "one_hot" alone; a sequence where `encoding` is one, `None` where there is none.
        missing: "nan" where NaN stands for an entry that was not observed; `None` where all are.
        mask_input: whether the encoder sees the mask too, 1 where an entry was observed, behind the last axis.
        **kwargs: passed to `keras.Layer`, but for `dtype`: it is float32, whatever is given.

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
        encoding: str | Sequence[str] = "identity",
        levels: Any = None,
        missing: str | None = None,
        mask_input: bool = False,
        **kwargs,
    ):
        # Float32 under mixed precision too: counts pass what a half float holds.
        super().__init__(**{**kwargs, "dtype": "float32"})
        check_layer(encoder, "encoder")
        if not isinstance(encoding, str):
            if not np.iterable(encoding):
                raise ValueError(f"{MARK}encoding`. Expected one of {ENCODINGS}, or several. Received: {encoding!r}")
            encoding = tuple(encoding)
            given = [None] * len(encoding) if levels is None else levels
            found = tuple(given) if np.iterable(given) else ()
            if len(found) != len(encoding):
                raise ValueError(
                    f"{MARK}levels`. Expected one for each of {len(encoding)} encodings. Received: {given!r}"
                )
            levels = found
        each = [(encoding, levels)] if isinstance(encoding, str) else list(zip(encoding, levels, strict=True))
        for one, _ in each:
            check_choice("encoding", one, ENCODINGS)
        check_choice("missing", missing, (None, "nan"))
        mask_input = check_boolean("mask_input", mask_input)
        if mask_input and missing is None:
            raise ValueError(f"{MARK}mask_input`. Expected False where nothing is missing. Received: True")
        counts = tuple(_checked_levels(*one) for one in each)
        levels = counts[0] if isinstance(encoding, str) else counts
        self.encoder, self.encoding, self.levels = encoder, encoding, levels
        self.missing, self.mask_input = missing, mask_input

    def get_config(self):
        own = {name: getattr(self, name) for name in ("encoding", "levels", "missing", "mask_input")}
        return {**super().get_config(), "encoder": keras.saving.serialize_keras_object(self.encoder), **own}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "encoder": keras.saving.deserialize_keras_object(config["encoder"])})

    def _kinds(self, last: int) -> list[tuple[str, Any]]:
        """Encoding and levels of each entry of the last axis."""
        if isinstance(self.encoding, str):
            return [(self.encoding, self.levels)] * last
        if len(self.encoding) != last:
            raise ValueError(
                f"{MARK}encoding`. Expected one for each of {last} entries of the last axis. Received: "
                f"{len(self.encoding)}"
            )
        return list(zip(self.encoding, self.levels, strict=True))

    def build(self, events_shape):
        *leading, last = events_shape
        kinds = self._kinds(last)
        # Entries under each encoding, and of what is seen, group by group, whose entry it is.
        self._groups = [(*kind, [i for i in range(last) if kinds[i] == kind]) for kind in dict.fromkeys(kinds)]
        owners = np.concatenate([np.repeat(entries, width(*kind)) for *kind, entries in self._groups])
        self._order, self._owners = np.argsort(owners, kind="stable"), np.sort(owners)
        seen = (*leading, len(owners) + last * self.mask_input)
        self._features = output_shape(self.encoder, seen, "encoder")[1:]
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
            # By what is missing, and not by what was observed: tf2onnx multiplies by the latter, and 0 NaN is NaN.
            events = tf.where(tf.math.is_nan(events), 0.0, events)
        if len(self._groups) == 1:
            seen = encoded(events, *self._groups[0][:2])
        else:
            parts = [encoded(tf.gather(events, entries, axis=-1), *kind) for *kind, entries in self._groups]
            seen = tf.gather(tf.concat(parts, axis=-1), self._order, axis=-1)
        if observed is None:
            return seen
        mask = tf.cast(observed, seen.dtype)
        seen *= mask if len(self._owners) == mask.shape[-1] else tf.gather(mask, self._owners, axis=-1)
        return tf.concat([seen, mask], axis=-1) if self.mask_input else seen


def _checked_levels(encoding: str, levels: Any) -> int | None:
    if encoding in _LEVELLED:
        return check_integer("levels", levels, at_least=2)
    if levels is not None:
        raise ValueError(f"{MARK}levels`. Expected None with the encoding {encoding!r}. Received: {levels!r}")
    return None


def width(encoding: str, levels: Any) -> int:
    """Numbers that an encoder sees of an entry."""
    return levels if encoding == "one_hot" else 1


def encoded(events: tf.Tensor, encoding: str, levels: Any) -> tf.Tensor:
    """Events `[..., D]` in units that suit an encoder, `[..., D]`, or `[..., D * C]` where they are one-hot."""
    if encoding == "levels":
        return events / (levels - 1.0)
    if encoding == "log1p":
        return tf.math.log1p(events)
    if encoding == "one_hot":
        hot = tf.one_hot(tf.cast(tf.round(events), tf.int32), levels, dtype=events.dtype)
        return tf.reshape(hot, tf.concat([tf.shape(events)[:-1], [events.shape[-1] * levels]], axis=0))
    return events
