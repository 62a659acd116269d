"""A model and its callbacks in one `fit` after another: what one of them left behind changes nothing of the next."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from matplotlib.image import imread

from keras_iwae import IWAE
from keras_iwae.experiments import fitting
from keras_iwae.training import ImageGrids, RunCheckpoint, runs


@pytest.mark.slow
def test_a_fit_after_one_that_went_on_from_a_backup_has_all_its_epochs(make_model, images, tmp_path):
    def backed_up(model, epochs, **options):
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup", **options)
        return model.fit(images, batch_size=4, epochs=epochs, shuffle=False, callbacks=[backup], verbose=0)

    whole = make_model()
    whole.fit(images, batch_size=4, epochs=3, shuffle=False, verbose=0)
    backed_up(make_model(), 2, delete_checkpoint=False)
    model = make_model()
    assert backed_up(model, 3).epoch == [2]
    for one, other in zip(model.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert model.fit(images, batch_size=4, epochs=2, verbose=0).epoch == [0, 1]
    assert model.fit(images, batch_size=4, epochs=4, initial_epoch=3, verbose=0).epoch == [3]


@pytest.mark.slow
def test_pictures_are_written_in_a_second_fit_too(make_model, images, tmp_path, monkeypatch):
    model, grids = make_model(), ImageGrids(tmp_path, images[:2])
    # The tests' own leaves them out.
    monkeypatch.undo()
    for _ in range(2):
        model.fit(images, batch_size=4, callbacks=[grids], verbose=0)
    found = [
        value.tag
        for file in sorted(tmp_path.glob("events*"))
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    ]
    assert sorted(found) == ["reconstructions", "reconstructions", "samples", "samples"]


def test_pictures_of_other_channels_show_their_mean(tmp_path):
    """All but the first of them were left out, without a word."""
    model = IWAE((4, 3, 2), latent_dim=2, hidden=(3,))
    first = np.zeros((2, 4, 3, 2), np.float32)
    first[..., 1] = 1.0
    np.testing.assert_array_equal(model.generative.likelihood.to_grey(first), np.full((2, 4, 3, 1), 0.5))
    for shape in ((2, 4, 3, 1), (2, 4, 3, 3), (2, 12)):
        assert model.generative.likelihood.to_grey(np.zeros(shape)).shape == shape
    fitting._draw_figures(tmp_path, model, first, [{"epoch": 1.0, "seconds": 1.0, "bound": -1.0}])
    assert imread(tmp_path / "figures" / "reconstructions.png").shape[:2] == (4 * 4, 4 * (4 * 4 - 1))


@pytest.mark.slow
def test_epochs_that_are_not_validated_have_no_number_in_the_history(make_model, images, tmp_path):
    for freq, validated in ((2, [False, True]), ([1], [True, False])):
        run = tmp_path / str(freq)
        runs.create(run, {})
        model = make_model()
        model.fit(
            images,
            batch_size=4,
            epochs=2,
            validation_data=images[:4],
            validation_freq=freq,
            callbacks=[RunCheckpoint(run, [])],
            verbose=0,
        )
        assert [bool(np.isfinite(row["val_loss"])) for row in runs.read_history(run)] == validated
        assert int(runs.load_model(run).optimizer.iterations) == int(model.optimizer.iterations)
