"""Several steps of `fit` as one program of XLA: weights, and what is reported, are those of steps one by one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_iwae import AVB, IWAE
from keras_iwae.models.joined_steps import joined_steps
from keras_iwae.training import FusedAdam

ROWS = (np.random.default_rng(0).random((46, 6)) < 0.4).astype(np.float32)
WEIGHTS = np.random.default_rng(1).random(46).astype(np.float32)


def made(together, kind=IWAE):
    model = kind(6, 2, [4], num_samples=3, seed=1)
    model.compile(FusedAdam(0.01), jit_compile=True, steps_per_execution=together)
    return model


def fitted(together, kind=IWAE, epochs=2, **kwargs):
    """A model after a `fit` in XLA with so many steps a call, and its history."""
    model = made(together, kind)
    return model, model.fit(ROWS, epochs=epochs, batch_size=4, shuffle=False, verbose=0, **kwargs).history


def with_unknown_end():
    return tf.data.Dataset.from_tensor_slices(ROWS).batch(4).filter(lambda x: True)


def assert_same(found, expected):
    for one, other in zip(found[0].get_weights(), expected[0].get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert found[1].keys() == expected[1].keys()
    for name, values in found[1].items():
        np.testing.assert_allclose(values, expected[1][name], rtol=1e-4, atol=1e-4, err_msg=name)


def is_joined(model):
    model.make_train_function()
    return model.train_function.__module__ == joined_steps.__module__


# 46 rows in batches of 4 are 11 and one of 2: the second call of 7 has four of 4 and that one.
@pytest.mark.slow
# Keras', with any steps_per_execution above 1.
@pytest.mark.long
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_the_same_as_steps_one_by_one():
    found, expected = fitted(7), fitted(1)
    assert is_joined(found[0])
    assert not is_joined(expected[0])
    assert_same(found, expected)
    endless = made(7)
    history = endless.fit(with_unknown_end(), epochs=2, verbose=0).history
    assert_same((endless, history), expected)
    # The comparison would see one step too few, or a last batch that is left out.
    assert np.abs(found[0].get_weights()[0] - fitted(7, epochs=1)[0].get_weights()[0]).max() > 1e-3


@pytest.mark.long
def test_the_same_with_weights_and_in_adversarial_training():
    assert_same(*(fitted(together, sample_weight=WEIGHTS) for together in (7, 1)))
    assert_same(*(fitted(together, kind=AVB, epochs=1) for together in (12, 1)))


@pytest.mark.long
def test_a_run_that_was_saved_goes_on_bit_for_bit(tmp_path):
    straight, _ = fitted(5)
    half, _ = fitted(5, epochs=1)
    half.save(tmp_path / "half.keras")
    again = keras.models.load_model(tmp_path / "half.keras")
    assert is_joined(again)
    again.fit(ROWS, epochs=2, initial_epoch=1, batch_size=4, shuffle=False, verbose=0)
    for one, other in zip(again.get_weights(), straight.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def counting(count):
    """Joined steps that write the batches' first entries as a number's digits, how many there were, and traces."""
    digits, number = tf.Variable(0.0), tf.Variable(0)
    traced = []

    def step(batch):
        traced.append(batch[0].shape)
        digits.assign(10.0 * digits + batch[0][0])
        number.assign_add(1)
        return {"digits": digits}

    return joined_steps(step, lambda names: dict.fromkeys(names, digits.read_value()), count), number, traced


def test_batches_are_taken_in_order_and_no_more_than_asked_for():
    steps, number, traced = counting(3)
    batches = iter([*(tf.fill([2], value) for value in (1.0, 2.0, 3.0, 4.0)), tf.fill([1], 5.0)])
    assert float(steps(batches)["digits"]) == 123.0
    assert int(number) == 3
    assert traced == [(2,)]
    # As many as are left, of one shape and another; then there are none.
    assert float(steps(batches)["digits"]) == 12345.0
    assert int(number) == 5
    with pytest.raises(StopIteration):
        steps(batches)
    assert int(number) == 5


def test_a_shape_is_traced_once_whatever_its_number():
    steps, number, traced = counting(4)
    for lengths in ([2, 2, 2, 2], [2, 2, 2], [2], [2, 2, 1, 2]):
        steps(iter([(tf.ones([length]),) for length in lengths]))
    assert int(number) == 12
    assert len(traced) == 2


def test_weights_come_with_their_batch_and_what_is_none_stays_none():
    seen = []

    def step(batch):
        seen.append([part is None for part in batch])
        return {"sum": tf.reduce_sum(batch[0]) + tf.reduce_sum(batch[2])}

    nothing = tf.experimental.Optional.empty(tf.TensorSpec([]))
    joined_steps(step, lambda names: {name: tf.constant(0.0) for name in names}, 2)(
        iter([(tf.ones([3]), nothing, tf.ones([3]))] * 2)
    )
    assert seen == [[False, True, False]]


@pytest.mark.slow
def test_one_batch_counts_as_one_step():
    model = made(8)
    assert model.train_on_batch(ROWS[:4]) == pytest.approx(made(1).train_on_batch(ROWS[:4]), rel=1e-5)
    assert is_joined(model)
    assert int(model.optimizer.iterations) == 1


class OwnStep(IWAE):
    def train_step(self, data):
        return {**super().train_step(data), "one": tf.constant(1.0)}


def test_steps_that_keras_has_to_run_are_left_to_it():
    assert is_joined(made(5))
    assert not is_joined(made(5, OwnStep))
    assert not is_joined(made(1))
    unrolled = IWAE(6, 2, [4])
    unrolled.unrolled_steps_per_execution = 5
    unrolled.compile(jit_compile=True, steps_per_execution=5)
    assert not is_joined(unrolled)


@pytest.mark.slow
def test_a_step_of_a_users_own_logs_what_it_says():
    model = made(3, OwnStep)
    assert model.fit(ROWS, batch_size=4, verbose=0).history["one"] == [1.0]


class Vectors(IWAE):
    def train_step(self, data):
        return {**super().train_step(data), "each": tf.range(3.0)}


@pytest.mark.slow
def test_a_step_of_a_users_own_may_report_more_than_numbers():
    model = Vectors(6, 2, [4])
    model.compile("adam")
    reported = model.train_on_batch(ROWS[:4], return_dict=True)
    np.testing.assert_array_equal(reported.pop("each"), [0.0, 1.0, 2.0])
    assert all(type(value) is float for value in reported.values())
