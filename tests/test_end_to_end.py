"""From real images to a served model, and the README's example as it is printed."""

import os
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_iwae

README = Path(__file__).resolve().parent.parent / "README.md"


@pytest.mark.slow
def test_readme_example_runs_as_printed(tmp_path, monkeypatch):
    example, *others = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len(example.strip().splitlines()) <= 14
    fit = keras_iwae.IWAE.fit
    # As printed but for the number of epochs.
    monkeypatch.setattr(keras_iwae.IWAE, "fit", lambda self, x, epochs: fit(self, x, epochs=2, verbose=0))
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(example, str(README), "exec"), names)
    assert (tmp_path / "saved_models" / "digits" / "serving" / "1" / "saved_model.pb").exists()
    assert 15.0 < names["result"].nll < 40.0
    assert len(others) == 1
    exec(compile(others[0], str(README), "exec"), names)
    assert names["model"].event_shape == (28, 28, 1)


def test_public_names():
    assert len(keras_iwae.__all__) <= 22
    for name in keras_iwae.__all__:
        assert getattr(keras_iwae, name).__doc__


@pytest.mark.slow
@pytest.mark.skipif("TFDS_DATA_DIR" not in os.environ, reason="TFDS_DATA_DIR does not say where MNIST is")
def test_mnist_trains_evaluates_and_exports(tmp_path):
    train = keras_iwae.data.load("mnist", "train", batch_size=100)
    validation = keras_iwae.data.load("mnist", "validation")
    test = keras_iwae.data.load("mnist", "test").take(2)
    assert len(train) == 596
    model = keras_iwae.IWAE((28, 28, 1), num_samples=5)
    model.initialize_output_bias(keras_iwae.data.mean_image("mnist"))
    model.compile(keras.optimizers.Adam(1e-3))
    before = -model.evaluate(validation, verbose=0, return_dict=True)["bound"]
    # Pixels at their means alone give about 207 nats: what is better than that, the latents did.
    assert 200.0 < before < 240.0
    model.fit(train, epochs=1, steps_per_epoch=200, validation_data=validation, verbose=0)
    result = keras_iwae.importance_weighted_nll(model, test, num_samples=200, verbose=False)
    assert result.nll < 150.0
    assert list(result.bounds) == [1, 2, 5, 10, 20, 50, 100, 200]
    assert list(result.bounds.values()) == sorted(result.bounds.values())
    folder = keras_iwae.export_saved_model(model, tmp_path / "serving")
    served = tf.saved_model.load(str(folder)).signatures["serving_default"](seed=tf.constant([1, 2, 3]))
    expected = model.sample(1, seed=1).mean[0]
    np.testing.assert_allclose(served["probabilities"][0], expected, rtol=1e-4, atol=1e-6)
