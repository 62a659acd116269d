"""Learning rates: the paper's eight stages to the step, and the cosine with its rise."""

import json
import types

import keras
import numpy as np
import pytest

from keras_iwae.training import FewerSamplesFirst
from keras_iwae.training.schedules import STAGES, PaperSchedule, passes_of, stage_of, warm_cosine


def test_passes_add_up_as_in_the_paper():
    assert [passes_of(stages) for stages in range(1, 9)] == [1, 4, 13, 40, 121, 364, 1093, 3280]
    assert [stage_of(passes) for passes in (1, 2, 4, 5, 13, 14, 1093, 1094, 3280, 9999)] == [
        1,
        2,
        2,
        3,
        3,
        4,
        7,
        8,
        8,
        8,
    ]
    for stages in (0, 9, 2.0):
        with pytest.raises(ValueError, match="`stages`"):
            passes_of(stages)


def test_every_step_has_its_stages_rate():
    steps = 7
    schedule = PaperSchedule(steps)
    expected = np.concatenate([[0.001 * 10 ** (-i / 7)] * (3**i * steps) for i in range(5)])
    rates = [float(schedule(step)) for step in range(len(expected))]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
    last = passes_of(STAGES) * steps
    np.testing.assert_allclose([float(schedule(last - 1)), float(schedule(last + 10**6))], 1e-4, rtol=1e-6)
    np.testing.assert_allclose(float(PaperSchedule(steps, 0.01)(0)), 0.01)


def test_schedule_goes_through_adam_and_json():
    adam = keras.optimizers.Adam(PaperSchedule(3))
    config = json.loads(json.dumps(keras.optimizers.serialize(adam)))
    again = keras.optimizers.deserialize(config)
    variable = keras.Variable([1.0])
    again.build([variable])
    for _ in range(3):
        np.testing.assert_allclose(float(again.learning_rate), 1e-3, rtol=1e-6)
        again.apply([np.ones(1, np.float32)])
    np.testing.assert_allclose(float(again.learning_rate), 1e-3 * 10 ** (-1 / 7), rtol=1e-6)
    with pytest.raises(ValueError, match="`steps_per_pass`"):
        PaperSchedule(0)


def test_cosine_rises_falls_and_ends_at_zero():
    rates = np.array([float(warm_cosine(500, 0.02)(step)) for step in range(501)])
    assert rates.argmax() == 10
    np.testing.assert_allclose(rates[[0, 5, 10, 255, 500]], [0.0, 0.01, 0.02, 0.01, 0.0], atol=1e-8)
    assert np.all(np.diff(rates[10:]) < 0.0)


def test_fewer_samples_are_for_one_fit():
    """A fit that ends before they do gives back what was set: the next one, without the callback, trains with it."""
    model = types.SimpleNamespace(num_samples=50, training_samples=30)
    callback = FewerSamplesFirst(2, epochs=9)
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    assert model.training_samples == 2
    callback.on_train_end()
    assert model.training_samples == 30
