"""What is reported about a model is computed to float32, where a GPU by default takes ten bits of each factor."""

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_iwae import IWAE, evaluation
from keras_iwae.foundation import float32_products

X = np.random.default_rng(0).integers(0, 2, (4, 6)).astype(np.float32)
QUIET = {"verbose": False}
REPORTED = {
    "importance_weighted_nll": lambda model: evaluation.importance_weighted_nll(model, X, 3, **QUIET),
    "adapted": lambda model: evaluation.importance_weighted_nll(model, X, 3, proposal="adapted", **QUIET),
    "annealed_nll": lambda model: evaluation.annealed_nll(model, X, 2, 2, 1, **QUIET),
    "bidirectional_gap": lambda model: evaluation.bidirectional_gap(model, 2, 2, 2, 1, **QUIET),
    "sumo_nll": lambda model: evaluation.sumo_nll(model, X, 2, **QUIET),
    "inference_gap": lambda model: evaluation.inference_gap(model, X, 4, 2, 2, num_reference_samples=4),
    "conditional": lambda model: evaluation.conditional(model, X, 3, 2),
    "latents": lambda model: evaluation.latents(model, X, 2),
    "predictive_check": lambda model: evaluation.predictive_check(model, X, 2),
    "resampled_posterior": lambda model: evaluation.resampled_posterior(model, X, 2, 3),
    "resampled_reconstruction": lambda model: evaluation.resampled_reconstruction(model, X, 2, 3),
    "pairwise_log_posterior": lambda model: evaluation.pairwise_log_posterior(model, X, np.zeros((4, 2), np.float32)),
    "simulation_based_calibration": lambda model: evaluation.simulation_based_calibration(model, 2, 2, 3),
}


def fewer_digits() -> bool:
    return tf.config.experimental.tensor_float_32_execution_enabled()


@pytest.fixture(autouse=True)
def as_tensorflow_has_it():
    assert fewer_digits()
    yield
    after = fewer_digits()
    tf.config.experimental.enable_tensor_float_32_execution(True)
    assert after


class Watched(keras.layers.Layer):
    """A network that notes how products are computed whenever it is called."""

    def __init__(self, units):
        super().__init__()
        self.dense, self.seen = keras.layers.Dense(units, "tanh"), []

    def build(self, shape):
        self.dense.build(shape)
        self.built = True

    def call(self, x):
        self.seen.append(fewer_digits())
        return self.dense(x)


@pytest.mark.long
@pytest.mark.parametrize("name", REPORTED)
def test_what_is_reported_is_computed_to_float32(name):
    encoder, decoder = Watched(4), Watched(5)
    model = IWAE(6, 2, num_samples=2, encoder=encoder, decoder=decoder, missing="nan")
    encoder.seen.clear()
    decoder.seen.clear()
    REPORTED[name](model)
    seen = encoder.seen + decoder.seen
    assert seen
    assert not any(seen)
    # A step is as TensorFlow has it.
    decoder.seen.clear()
    model.compile("sgd")
    model.fit(X, verbose=0)
    assert all(decoder.seen)


def test_blocks_of_several_threads_end_with_the_last_of_them():
    inside, leave, found = threading.Event(), threading.Event(), []

    def other():
        with float32_products():
            inside.set()
            leave.wait(60.0)
            found.append(fewer_digits())

    thread = threading.Thread(target=other, daemon=True)
    try:
        with float32_products():
            thread.start()
            inside.wait(60.0)
            with float32_products():
                assert not fewer_digits()
            assert not fewer_digits()
        assert not fewer_digits()
    finally:
        leave.set()
        thread.join()
    assert found == [False]
    assert fewer_digits()


def test_an_error_ends_a_block_and_what_was_chosen_before_is_kept():
    tf.config.experimental.enable_tensor_float_32_execution(False)
    with pytest.raises(ValueError, match="one"), float32_products():
        raise ValueError("one")
    assert not fewer_digits()
    tf.config.experimental.enable_tensor_float_32_execution(True)
    with pytest.raises(ValueError, match="one"), float32_products():
        raise ValueError("one")
