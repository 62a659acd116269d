import numpy as np
import pytest
import tensorflow as tf

from keras_iwae.foundation.checks import check_integer
from keras_iwae.foundation.column_supports import ColumnSupports
from keras_iwae.foundation.support import Support
from keras_iwae.models.door import Door

GREY = Support(0.0, 1.0)


def test_images_come_back_as_float32():
    for images in (np.zeros((2, 3)), np.ones((2, 3), bool), np.ones((2, 3), np.uint8)):
        assert GREY.check(images, "pictures").dtype == np.float32


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((0, 3)), "at least one example"),
        (np.array([[np.nan]]), "Received: NaN"),
        (np.array([[np.inf]]), "Received: values in .inf, inf"),
        (np.array([[200]], np.uint8), "divide 8-bit images by 255"),
    ],
)
def test_other_things_are_refused_by_name(images, message):
    with pytest.raises(ValueError, match=f"Invalid value received for `pictures`.*{message}"):
        GREY.check(images, "pictures")


NO_NUMBERS = {
    "text": (np.array([["a"]]), "text, dtype <U1"),
    "bytes": (np.array([[b"1"]]), r"text, dtype \|S1"),
    "a tensor of text": (tf.constant([["1"]]), "text, dtype string"),
    "complex": (np.array([[1j]]), "complex numbers, dtype complex128"),
    "a tensor of complex numbers": (tf.constant([[1j]]), "complex numbers, dtype complex128"),
    "complex objects": (np.array([[1j]], object), r"dtype object, with a complex \(1j\)"),
    "text among objects": (np.array([[0.5, "0.5"]], object), r"dtype object, with a str \('0.5'\)"),
    "a whole number without end": ([[10**400]], "dtype object, with a int"),
    "dates": (np.zeros((1, 1), "datetime64[s]"), r"dates, dtype datetime64\[s\]"),
    "spans of time": (np.zeros((1, 1), "timedelta64[s]"), "spans of time, dtype timedelta64"),
    "records": (np.zeros(1, [("a", "f4")]), r"dtype \[\('a'"),
    "masked text": (np.ma.masked_array(["a"]), "text, dtype <U1"),
    "a handle": (tf.raw_ops.EmptyTensorList(element_shape=[1], max_num_elements=1, element_dtype=1), "dtype variant"),
}


@pytest.mark.parametrize("name", NO_NUMBERS)
def test_what_are_no_numbers_is_said_of_their_type_and_not_of_the_support(name):
    given, said = NO_NUMBERS[name]
    for support in (GREY, ColumnSupports((Support(),))):
        with pytest.raises(ValueError, match=rf"^Invalid .*`x`. Expected numbers: [a-z, ]+\. Received: {said}.*$"):
            support.check(given, "x")


def test_floats_of_any_width_are_numbers():
    for dtype in (tf.float16, tf.bfloat16, tf.dtypes.experimental.float8_e4m3fn):
        tensor = tf.cast(tf.constant([[0.5, 1.0]]), dtype)
        for given in (tensor, tensor.numpy()):
            np.testing.assert_array_equal(GREY.check(given, "x"), [[0.5, 1.0]])
    assert GREY.check(np.array([[0.5]], np.longdouble), "x") == 0.5
    with pytest.raises(ValueError, match=r"Received: values in .1.5, 1.5"):
        GREY.check(tf.constant([[1.5]], tf.bfloat16), "x")


def test_bools_say_nothing_of_more_than_two_levels():
    levels, bits, counts = (Support(0.0, high, integers=True) for high in (4.0, 1.0, np.inf))
    bools = np.array([[True, False]])
    for support in (GREY, bits, counts, ColumnSupports((bits, counts))):
        assert support.check(bools, "x").tolist() == [[1.0, 0.0]]
    with pytest.raises(ValueError, match=r"`x`. Expected integers in .0, 4., as numbers. Received: dtype bool"):
        levels.check(bools, "x")
    with pytest.raises(ValueError, match=r"`x: column 1`. .*Received: dtype bool"):
        ColumnSupports((bits, levels)).check(bools, "x")
    dataset = tf.data.Dataset.from_tensors(bools)
    with pytest.raises(ValueError, match=r"`x`. Expected integers in .0, 4., as numbers. Received: dtype bool"):
        Door((2,), levels).open(dataset)


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
