"""Averages of the weights against their recursion, and who sees which of the two in a fit."""

import keras
import numpy as np
import pytest

import keras_iwae
from keras_iwae.training import AveragesAfterEpochs, FusedAdam, exchange_averages

DECAY = 0.8


class Seen(keras.callbacks.Callback):
    """What the model holds after each step, at each validation and when an epoch ends."""

    def __init__(self):
        super().__init__()
        self.steps, self.validated, self.ended, self.begun = [], [], [], []

    def weights(self):
        return np.concatenate([np.ravel(weight) for weight in self.model.trainable_variables])

    def on_epoch_begin(self, epoch, logs=None):
        self.begun.append(self.weights())

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append(self.weights())

    def on_test_end(self, logs=None):
        self.validated.append(self.weights())

    def on_epoch_end(self, epoch, logs=None):
        self.ended.append(self.weights())


@pytest.mark.slow
@pytest.mark.parametrize("validated", [True, False])
def test_averages_are_what_an_epoch_ends_with_and_steps_go_on_without_them(make_model, images, validated):
    model, seen, averages = make_model(), Seen(), AveragesAfterEpochs()
    model.compile(FusedAdam(0.01, use_ema=True, ema_momentum=DECAY))
    model.fit(
        images,
        batch_size=4,
        epochs=2,
        validation_data=images[:4] if validated else None,
        callbacks=[averages, seen, averages.ends],
        verbose=0,
    )
    average, by_step = seen.steps[0], []
    for weights in seen.steps:
        average = DECAY * average + (1.0 - DECAY) * weights
        by_step.append(average)
    half = len(by_step) // 2
    for found in (seen.ended, seen.validated) if validated else (seen.ended,):
        np.testing.assert_allclose(found, [by_step[half - 1], by_step[-1]], rtol=1e-4, atol=1e-6)
        # The weights themselves are others.
        assert np.abs(found[0] - seen.steps[half - 1]).max() > 1e-3
    np.testing.assert_array_equal(seen.begun[1], seen.steps[half - 1])
    # After the fit it is the averages that are there, as Keras has it.
    np.testing.assert_allclose(seen.weights(), by_step[-1], rtol=1e-4, atol=1e-6)


class StoppedInValidation(keras.callbacks.Callback):
    def on_test_batch_end(self, batch, logs=None):
        raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("undone_by", ["the same callback", "another", "hand"])
def test_a_fit_that_was_stopped_while_it_was_judged_goes_on_from_the_weights(make_model, images, undone_by):
    model, averages = make_model(), AveragesAfterEpochs()
    model.compile(FusedAdam(0.01, use_ema=True, ema_momentum=DECAY))
    options = {"batch_size": 4, "validation_data": images[:4], "verbose": 0}
    seen = Seen()
    with pytest.raises(KeyboardInterrupt):
        model.fit(images, callbacks=[averages, seen, StoppedInValidation(), averages.ends], **options)
    assert np.abs(seen.weights() - seen.steps[-1]).max() > 1e-3
    again = Seen()
    if undone_by == "hand":
        exchange_averages(model)
    averages = AveragesAfterEpochs() if undone_by == "another" else averages
    model.fit(images, callbacks=[averages, again, averages.ends], **options)
    np.testing.assert_array_equal(again.begun[0], seen.steps[-1])
    np.testing.assert_array_equal(again.validated[0], again.ended[0])


@pytest.mark.long
def test_weights_that_are_loaded_after_a_stop_are_what_the_next_fit_begins_with(make_model, images, tmp_path):
    model, averages = make_model(), AveragesAfterEpochs()
    model.save_weights(tmp_path / "other.weights.h5")
    expected = [weight.numpy() for weight in model.trainable_variables]
    model.compile(FusedAdam(0.01, use_ema=True, ema_momentum=DECAY))
    options = {"batch_size": 4, "validation_data": images[:4], "verbose": 0}
    with pytest.raises(KeyboardInterrupt):
        model.fit(images, callbacks=[averages, StoppedInValidation(), averages.ends], **options)
    model.load_weights(tmp_path / "other.weights.h5")
    begun = []
    look = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: begun.append([weight.numpy() for weight in model.trainable_variables])
    )
    model.fit(images, callbacks=[averages, look, averages.ends], **options)
    for found, wanted in zip(begun[0], expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.slow
def test_averages_of_a_mixed_precision_s_optimizer_are_those_within_it(images):
    model = keras_iwae.IWAE(images.shape[1:], latent_dim=2, hidden=(4,), num_samples=2, dtype="mixed_float16")
    model.compile(FusedAdam(0.01, use_ema=True, ema_momentum=DECAY))
    averages, seen = AveragesAfterEpochs(), Seen()
    model.fit(images, batch_size=4, epochs=3, callbacks=[averages, seen, averages.ends], verbose=0)
    # The scale is found in the first steps, which change nothing.
    assert np.abs(seen.ended[-1] - seen.steps[-1]).max() > 1e-4
    np.testing.assert_array_equal(seen.begun[-1], seen.steps[2 * len(seen.steps) // 3 - 1])


def test_an_optimizer_without_averages_is_refused_before_the_first_step(make_model, images):
    model, averages = make_model(), AveragesAfterEpochs()
    model.compile(FusedAdam(0.01))
    with pytest.raises(
        ValueError, match=r"`optimizer`\. Expected one with use_ema=True.* Received: a FusedAdam without"
    ):
        model.fit(images, batch_size=4, callbacks=[averages, averages.ends], verbose=0)
    assert int(model.optimizer.iterations) == 0
    for none in (model, keras_iwae.IWAE(images.shape[1:], latent_dim=2)):
        with pytest.raises(ValueError, match="use_ema=True"):
            exchange_averages(none)


def test_averages_that_would_stay_in_the_model_are_refused_before_the_first_step(make_model, images):
    model, averages = make_model(), AveragesAfterEpochs()
    model.compile(FusedAdam(0.01, use_ema=True, ema_momentum=DECAY))
    with pytest.raises(ValueError, match=r"`optimizer`\. Expected one with averages\. .*before its first step"):
        exchange_averages(model)
    for callbacks in ([averages], [averages.ends, averages]):
        with pytest.raises(ValueError, match=r"`callbacks`\. Expected the `ends` of AveragesAfterEpochs behind it"):
            model.fit(images, batch_size=4, callbacks=callbacks, verbose=0)
    assert int(model.optimizer.iterations) == 0


class Looks(keras.callbacks.Callback):
    """At the weights of the last step, while the averages are in the model."""

    def on_epoch_end(self, epoch, logs=None):
        exchange_averages(self.model)
        exchange_averages(self.model)


@pytest.mark.slow
def test_who_looks_at_the_weights_while_the_averages_are_in_the_model_changes_nothing(make_model, images):
    model, averages, seen = make_model(), AveragesAfterEpochs(), Seen()
    model.compile(FusedAdam(0.01, use_ema=True, ema_momentum=DECAY))
    model.fit(images, batch_size=4, epochs=2, callbacks=[averages, seen, Looks(), averages.ends], verbose=0)
    np.testing.assert_array_equal(seen.begun[1], seen.steps[len(seen.steps) // 2 - 1])


@pytest.mark.slow
def test_exchanging_twice_is_nothing(make_model, images):
    model = make_model()
    model.compile(FusedAdam(0.01, use_ema=True, ema_momentum=DECAY))
    for _ in range(2):
        model.train_on_batch(images[:4])
    before = [np.copy(each) for each in (*model.trainable_variables, *model.optimizer.variables)]
    exchange_averages(model)
    assert np.abs(model.trainable_variables[0] - before[0]).max() > 1e-4
    exchange_averages(model)
    for one, other in zip((*model.trainable_variables, *model.optimizer.variables), before, strict=True):
        np.testing.assert_array_equal(one, other)
