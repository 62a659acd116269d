import numpy as np
import pytest
import tensorflow as tf

from keras_iwae.foundation.checks import check_integer
from keras_iwae.foundation.support import Support

GREY = Support(0.0, 1.0)


def test_images_come_back_as_float32():
    for images in (np.zeros((2, 3)), np.ones((2, 3), bool), np.ones((2, 3), np.uint8)):
        assert GREY.check(images, "pictures").dtype == np.float32


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.array([["a"]]), "Expected values in .0, 1.. Received: dtype <U1"),
        (np.zeros((0, 3)), "at least one example"),
        (np.array([[np.nan]]), "Received: NaN"),
        (np.array([[np.inf]]), "Received: values in .inf, inf"),
        (np.array([[200]], np.uint8), "divide 8-bit images by 255"),
    ],
)
def test_other_things_are_refused_by_name(images, message):
    with pytest.raises(ValueError, match=f"Invalid value received for `pictures`.*{message}"):
        GREY.check(images, "pictures")


@pytest.mark.parametrize("value", [0, -3, 1.0, "1", None, True])
def test_counts(value):
    assert check_integer("k", np.int64(3)) == 3
    with pytest.raises(ValueError, match=r"`k`\. Expected an integer of at least 1\. Received: "):
        check_integer("k", value)


def test_whole_numbers_that_float32_has_moved_are_whole_again():
    levels = Support(0.0, 255.0, integers=True)
    for given, wanted in ((255.0002, 255.0), (-0.0004, 0.0), (6.9999995, 7.0)):
        assert levels.check(np.array([[given]], np.float32), "x") == wanted
        assert float(levels.checked(tf.constant([[given]]), "x")[0, 0]) == wanted
    with pytest.raises(ValueError, match=r"Received: fractions in \[0.5, 0.5\]"):
        levels.check(np.array([[0.5]]), "x")
