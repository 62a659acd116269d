"""What the package accepts as images and as counts: checked once, here, so that every door gives the same error."""

import contextlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

_MARK = "Invalid value received for `"


def check_integer(argument: str, value: object, at_least: int = 1) -> int:
    """`value` as an int if it is an integer of at least `at_least`; else a ValueError that names `argument`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < at_least:
        raise ValueError(f"{_MARK}{argument}`. Expected an integer of at least {at_least}. Received: {value!r}")
    return int(value)


def check_images(
    images: np.ndarray, argument: str = "images", event_shape: tuple[int, ...] | None = None
) -> np.ndarray:
    """Return `images` as float32 grey levels in [0, 1], or say what is wrong with them.

    Args:
        images: array `[N, *event_shape]`; float in [0, 1] or bool. Integers are refused unless they are all 0 or 1,
            because 0..255 read as probabilities would train without a word of complaint.
        argument: the name that the caller knows the array by, for the error.
        event_shape: the shape of one image, `None` for any.

    Returns:
        float32 array of the same shape.

    Raises:
        ValueError: if the array is empty, not numeric, of another shape, holds NaN, or leaves [0, 1].
    """
    images = np.asarray(images)
    if images.dtype.kind not in "fbiu":
        raise ValueError(f"{_MARK}{argument}`. Expected numbers in [0, 1]. Received: dtype {images.dtype}")
    if event_shape is not None and images.shape[1:] != tuple(event_shape):
        expected = ", ".join(map(str, ("N", *event_shape)))
        raise ValueError(f"{_MARK}{argument}`. Expected shape [{expected}]. Received: {list(images.shape)}")
    if images.size == 0:
        raise ValueError(f"{_MARK}{argument}`. Expected at least one image. Received: shape {list(images.shape)}")
    if np.isnan(images).any():
        raise ValueError(f"{_MARK}{argument}`. Expected numbers in [0, 1]. Received: NaN")
    low, high = float(images.min()), float(images.max())
    if low < 0.0 or high > 1.0:
        hint = "; divide 8-bit images by 255" if 1.0 < high <= 255.0 and low >= 0.0 else ""
        raise ValueError(
            f"{_MARK}{argument}`. Expected values in [0, 1]{hint}. Received: values in [{low:g}, {high:g}]"
        )
    return images.astype(np.float32, copy=False)


def check_image_spec(spec: tf.Tensor | tf.TensorSpec, event_shape: tuple[int, ...], argument: str = "x") -> None:
    """Check what is known of a batch of images before it is there: a float or bool type and the shape of one image."""
    if not (spec.dtype.is_floating or spec.dtype.is_bool):
        hint = "Expected float images in [0, 1]; divide 8-bit images by 255"
        raise ValueError(f"{_MARK}{argument}`. {hint}. Received: dtype {spec.dtype.name}")
    if not spec.shape.is_compatible_with((None, *event_shape)):
        expected = ", ".join(map(str, ("B", *event_shape)))
        raise ValueError(f"{_MARK}{argument}`. Expected shape [{expected}]. Received: {spec.shape}")


def checked_dataset(dataset: tf.data.Dataset, event_shape: tuple[int, ...], argument: str = "x") -> tf.data.Dataset:
    """Return `dataset` with every batch checked; the check runs in the input pipeline, where XLA cannot drop it.

    The elements are images, or tuples that begin with images.
    """
    check_image_spec(_images_of(dataset.element_spec), event_shape, argument)

    def check(*element):
        images = _images_of(element)
        low, high = tf.reduce_min(images), tf.reduce_max(images)
        expected = f"{_MARK}{argument}`. Expected values in [0, 1]; divide 8-bit images by 255."
        message = tf.strings.format(expected + " Received: values in [{}, {}]", (low, high))
        # NaN compares false, so this one comparison refuses NaN too.
        with tf.control_dependencies([tf.debugging.Assert(tf.logical_and(low >= 0.0, high <= 1.0), [message])]):
            return tf.nest.map_structure(tf.identity, element if len(element) > 1 else element[0])

    return dataset if _images_of(dataset.element_spec).dtype.is_bool else dataset.map(check)


def _images_of(element):
    return element[0] if isinstance(element, (tuple, list)) else element


@contextlib.contextmanager
def value_errors() -> Iterator[None]:
    """Turn the runtime error of `checked_dataset` into the ValueError that it stands for."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        start = error.message.find(_MARK)
        if start < 0:
            raise
        end = error.message.find("]]", start)
        raise ValueError(error.message[start : end + 1]) from None
