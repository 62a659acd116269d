"""What shape a network gives, found by a symbolic call, which also builds it: any layer or model of a user's own."""

import re
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_iwae.foundation import MARK, shape_text

# Rows that a network is tried on.
_BATCH = 3
# Of the largest feature.
_ROUNDING = 1e-3
# Keras writes parts of its errors in bold.
_BOLD = re.compile(r"\x1b\[\d*m")


def check_layer(network: object, argument: str) -> None:
    """Refuse what is no Keras layer or model, and would be called but neither trained nor saved.

    Raises:
        ValueError: which names `argument` and what it is.
    """
    if not isinstance(network, keras.Layer):
        kind = type(network)
        raise ValueError(
            f"{MARK}{argument}`. Expected a Keras 3 layer or model (keras.Layer). Received: a "
            f"{kind.__module__}.{kind.__qualname__}"
        )


def output_shape(network: keras.Layer, input_shape: tuple, argument: str) -> tuple:
    """Shape of what `network` gives for inputs `[None, ...]`; it is built if it was not.

    Args:
        network: a Keras layer or model, subclassed ones too.
        input_shape: shape of its input, the batch first.
        argument: the name that the caller knows it by, for the error.

    Returns:
        the shape, `None` first.

    Raises:
        ValueError: if it is no Keras layer, cannot be called with such an input, or does not give one tensor of
            floats, a row for each of the batch and by that row alone, of a shape that is known but for that, with at
            least one entry.
    """
    check_layer(network, argument)
    inputs = keras.KerasTensor((None, *input_shape[1:]), dtype=keras.config.floatx())
    outputs = _called(network, inputs, argument)
    if not isinstance(outputs, keras.KerasTensor):
        found = f"{len(outputs)} outputs" if isinstance(outputs, (list, tuple, dict)) else type(outputs).__name__
        raise ValueError(f"{MARK}{argument}`. Expected a network with one output. Received: {network.name}, {found}")
    if None in outputs.shape[1:]:
        raise ValueError(
            f"{MARK}{argument}`. Expected an output whose shape is known but for the batch. Received: {network.name}, "
            f"which gives {shape_text(*outputs.shape)}"
        )
    if 0 in outputs.shape[1:]:
        raise ValueError(
            f"{MARK}{argument}`. Expected at least one feature. Received: {network.name}, which gives "
            f"{shape_text('B', *outputs.shape[1:])}"
        )
    # What a layer says of its type and of rows that it mixes is not always so.
    rows = np.random.default_rng(0).uniform(size=(_BATCH, *input_shape[1:])).astype(keras.config.floatx())
    tried = _called(network, tf.constant(rows), argument)
    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(tried.dtype)):
        raise ValueError(
            f"{MARK}{argument}`. Expected a network that gives floats, as gradients need. Received: {network.name}, "
            f"which gives {keras.backend.standardize_dtype(tried.dtype)}"
        )
    if outputs.shape[:1] != (None,) or tuple(tried.shape[:1]) != (_BATCH,):
        raise ValueError(
            f"{MARK}{argument}`. Expected features [B, F], a row for each of {shape_text('B', *input_shape[1:])}. "
            f"Received: {network.name}, which does not keep the batch apart on the first axis"
        )
    _check_rows_apart(network, rows, tried, argument)
    return tuple(outputs.shape)


def _check_rows_apart(network: keras.Layer, rows: np.ndarray, tried: Any, argument: str) -> None:
    """Refuse a network whose features of a row follow the rows beside it, by which no log p(x) is that of x."""
    beside = np.concatenate([rows[:1], rows[:0:-1] ** 2])
    first, other = (
        keras.ops.convert_to_numpy(each)[0] for each in (tried, _called(network, tf.constant(beside), argument))
    )
    if not np.isfinite(first).all():
        raise ValueError(
            f"{MARK}{argument}`. Expected finite features of numbers in [0, 1]. Received: {network.name}, which gives "
            "NaN or infinity"
        )
    again = keras.ops.convert_to_numpy(_called(network, tf.constant(rows), argument))[0]
    if not _agree(first, again):
        raise ValueError(
            f"{MARK}{argument}`. Expected the same features of the same rows at every call outside training: a density "
            f"is of one network. Received: {network.name}, which draws, or moves its state; draw where `training` is "
            "true"
        )
    if not _agree(first, other):
        raise ValueError(
            f"{MARK}{argument}`. Expected features of each row by itself. Received: {network.name}, which mixes the "
            "rows of a batch; a normalization over the batch is `keras.layers.BatchNormalization`"
        )


def _agree(first: np.ndarray, other: np.ndarray) -> bool:
    """Whether features are the same, but for the rounding of half floats."""
    # NumPy before 2 does not compare bfloat16 with its own floats.
    first, other = first.astype(np.float64), other.astype(np.float64)
    scale = float(np.abs(np.nan_to_num(first)).max())
    return bool(np.allclose(first, other, rtol=0.0, atol=_ROUNDING * scale, equal_nan=True))


def _called(network: keras.Layer, inputs: Any, argument: str) -> Any:
    """What `network` gives for inputs that it has to take."""
    try:
        return network(inputs)
    except (ValueError, TypeError, NotImplementedError, RuntimeError, tf.errors.OpError) as error:
        if str(error).startswith(MARK):
            # Of a network in this one, which knows better what is wrong.
            raise
        reason = " ".join(_BOLD.sub("", str(error)).split())
        raise ValueError(
            f"{MARK}{argument}`. Expected a network that takes {shape_text('B', *inputs.shape[1:])}. Received: "
            f"{network.name}, which raises {type(error).__name__}: {reason}"
        ) from error


def features_shape(encoder: keras.Layer, input_shape: tuple) -> tuple:
    """Shape `[None, F]` of the features that `encoder` gives for inputs `[None, ...]`; it is built if it was not.

    Raises:
        ValueError: as for `output_shape`, or if the features are no vectors.
    """
    shape = output_shape(encoder, input_shape, "encoder")
    if len(shape) != 2:
        raise ValueError(
            f"{MARK}encoder`. Expected features [B, F]; an EventEncoder(encoder) flattens others. Received: "
            f"{encoder.name}, which gives {shape_text('B', *shape[1:])}"
        )
    return shape
