import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# What is computed here is small, workers share the cores, and oneDNN's kernels take longer to set up than to run.
os.environ.update(TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1", TF_ENABLE_ONEDNN_OPTS="0")
# Compiling it takes longer than running it.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")

import functools
import gc
import signal
import sys
import typing

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.autograph.experimental import do_not_convert

from keras_iwae import IWAE
from keras_iwae.experiments import fitting
from keras_iwae.models.graphs import KeepsGraphs
from keras_iwae.training import FusedAdam, ImageGrids

# Read by now; what a test starts runs as a user's own would.
tf.config.list_logical_devices()
SETTINGS = "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "TF_ENABLE_ONEDNN_OPTS"
WORKERS_OWN = {name: os.environ.pop(name) for name in SETTINGS}

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A job in the background ignores Ctrl-C, and so would all processes that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

if sys.version_info < (3, 12):
    # Each `isinstance` with a protocol, of which graphs are full, looks through its bases; from 3.12 on that is kept.
    typing._get_protocol_attrs = functools.cache(typing._get_protocol_attrs)

# Graphs are many small objects: looking through all of them time and again takes a seventh of the time.
gc.set_threshold(100_000, 20, 60)

EVENT_SHAPE = (4, 3, 1)


@pytest.fixture(scope="module", autouse=True)
def unwatched():
    """What was imported, or is kept by TensorFlow's caches, stays: nobody need look whether it is garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def no_pictures():
    """Runs without them, which take as long as training a small model does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "_draw_figures", lambda *_: None)
        patch.setattr(ImageGrids, "on_epoch_end", lambda *_, **__: None)
        yield


@pytest.fixture
def step_by_step():
    """No graphs at all: what takes a few steps is traced for longer than it runs."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def as_here():
    """The environment of a process that is to give the same numbers as this one, to the last bit."""
    return {**os.environ, **WORKERS_OWN}


@pytest.fixture
def make_model():
    """Build a small compiled model; keyword arguments override its own."""

    def make(compile_with=None, **overrides):
        settings = {"event_shape": EVENT_SHAPE, "latent_dim": 2, "hidden": (8, 6), "num_samples": 5, "seed": 3}
        if overrides.get("objective") == "ae":
            # It draws none.
            del settings["num_samples"]
        model = IWAE(**{**settings, **overrides})
        model.compile(FusedAdam(1e-2), **(compile_with or {}))
        return model

    return make


@pytest.fixture
def eagerly(monkeypatch):
    """Without graphs, which cost more to trace for a model than such models take to be fitted and asked."""
    monkeypatch.setattr(KeepsGraphs, "traced", lambda self, key, function, specs: do_not_convert(function))
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def images():
    """Seven binary images: K, B and D all differ in these tests."""
    return (np.random.default_rng(0).random((7, *EVENT_SHAPE)) < 0.4).astype(np.float32)


@pytest.fixture
def real_data():
    if "TFDS_DATA_DIR" not in os.environ:
        pytest.skip("TFDS_DATA_DIR is not set: real MNIST and Omniglot are read from there, never downloaded by a test")
