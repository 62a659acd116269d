"""Learning rates: the paper's eight stages to the step, and the cosine with its rise."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_iwae import AVB, IWAE
from keras_iwae.training import Budget, FewerSamplesFirst
from keras_iwae.training.schedules import STAGES, PaperSchedule, passes_of, stage_of, warm_cosine

X = (np.random.default_rng(0).random((4, 6)) < 0.4).astype(np.float32)


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


@pytest.mark.slow
def test_every_step_has_its_stages_rate():
    steps = 7
    schedule = PaperSchedule(steps)
    expected = np.concatenate([[0.001 * 10 ** (-i / 7)] * (3**i * steps) for i in range(5)])
    rates = [float(schedule(step)) for step in range(len(expected))]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
    last = passes_of(STAGES) * steps
    np.testing.assert_allclose([float(schedule(last - 1)), float(schedule(last + 10**6))], 1e-4, rtol=1e-6)
    np.testing.assert_allclose(float(PaperSchedule(steps, 0.01)(0)), 0.01)


def test_stages_of_many_steps_begin_beyond_int32():
    steps = 2_000_000
    schedule = PaperSchedule(steps)
    for stage in range(1, STAGES):
        begins = tf.constant(passes_of(stage) * steps, tf.int64)
        rates = [float(schedule(begins - 1)), float(schedule(begins))]
        np.testing.assert_allclose(rates, [1e-3 * 10 ** (-i / 7) for i in (stage - 1, stage)], rtol=1e-6)


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


@pytest.mark.slow
def test_cosine_rises_falls_and_ends_at_zero():
    rates = np.array([float(warm_cosine(500, 0.02)(step)) for step in range(501)])
    assert rates.argmax() == 10
    np.testing.assert_allclose(rates[[0, 5, 10, 255, 500]], [0.0, 0.01, 0.02, 0.01, 0.0], atol=1e-8)
    assert np.all(np.diff(rates[10:]) < 0.0)


class Watch(keras.callbacks.Callback):
    """K of each epoch; who gives a number of epochs has the fit end in an error after them."""

    def __init__(self, ends_after=None):
        super().__init__()
        self.seen, self.ends_after = [], ends_after

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append((self.model.training_samples, round(logs["ess"], 4) == 1.0))
        if self.ends_after == epoch + 1:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_fewer_samples_are_for_one_fit():
    """A fit that ends before they do, or is stopped, gives back K: the next one trains with all of them."""
    model = IWAE(6, latent_dim=1, hidden=(3,), num_samples=3)
    model.compile("sgd", run_eagerly=True)
    ended, stopped, after = Watch(), Watch(ends_after=1), Watch()
    model.fit(X, epochs=3, verbose=0, callbacks=[FewerSamplesFirst(1, epochs=2), ended])
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, epochs=3, verbose=0, callbacks=[FewerSamplesFirst(1, epochs=9), stopped])
    model.fit(X, verbose=0, callbacks=[after])
    assert ended.seen == [(1, True), (1, True), (3, False)]
    assert (stopped.seen, after.seen) == ([(1, True)], [(3, False)])
    # What is neither saved nor copied with a model cannot be set on it.
    with pytest.raises(AttributeError, match="`training_samples`"):
        model.training_samples = 2


@pytest.mark.slow
def test_fewer_samples_that_would_be_none_are_refused():
    for name, wrong in (("num_samples", (0, -1, None, "3", 2.0)), ("epochs", (0, -1, None, "3", 2.0))):
        for value in wrong:
            with pytest.raises(ValueError, match=f"`{name}`. Expected an integer"):
                FewerSamplesFirst(**{"num_samples": 2, "epochs": 3, name: value})
    for model, said in (
        (IWAE(6, latent_dim=1, hidden=(3,), num_samples=3), "`num_samples`. Expected fewer than the model's 3"),
        (AVB(6, latent_dim=1, hidden=(3,)), "`callbacks`. Expected no FewerSamplesFirst for .*a AVB"),
    ):
        model.compile("sgd", run_eagerly=True)
        with pytest.raises(ValueError, match=said):
            model.fit(X, verbose=0, callbacks=[FewerSamplesFirst(3, epochs=2)])


def test_a_budget_of_no_time_is_refused():
    for minutes in (0, -1.0, np.nan, "3", None):
        with pytest.raises(ValueError, match=r"`minutes`\. Expected a number above 0"):
            Budget(None, minutes)


def test_a_cosine_of_no_steps_or_to_no_rate_is_refused():
    for total in (0, -1, 2.5, "3", None):
        with pytest.raises(ValueError, match=f"`total_steps`. Expected an integer .*Received: {total!r}"):
            warm_cosine(total, 0.1)
    for peak in (0.0, -1.0, np.nan, "a", None):
        with pytest.raises(ValueError, match=r"`peak`\. Expected a number above 0"):
            warm_cosine(10, peak)
    for passes in (-1, 2.5, None):
        with pytest.raises(ValueError, match=r"`passes`\. Expected an integer"):
            stage_of(passes)
