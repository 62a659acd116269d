import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# The numbers that are expected are those of a CPU; `benchmarks/gpu.py` holds a GPU to them.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
# What is computed here is small, workers share the cores, and oneDNN's kernels take longer to set up than to run.
os.environ.update(TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1", TF_ENABLE_ONEDNN_OPTS="0")
# Compiling it takes longer than running it; writing fusions by MLIR takes half of that.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)
# Ray's processes give way to all others, as a laptop's owner would have it; here a test waits for them.
os.environ.setdefault("RAY_worker_niceness", "0")

import functools
import gc
import signal

import many_graphs
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

many_graphs.prepare()

EVENT_SHAPE = (4, 3, 1)
# Whose processes Ray starts: one after the other, by one worker.
BY_RAY = "test_jobs.py", "test_spread_diagnosis.py", "test_tuning.py", "test_workers.py"
# What takes minutes is not left for the end, when other workers have nothing to do.
FIRST = (
    *BY_RAY,
    "test_machines.py",
    "test_replicas.py",
    "test_reproducing.py",
    "test_likelihood_conformance.py",
    "test_conformance.py",
)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return "by Ray" if file.rpartition("/")[2] in BY_RAY else file

    config.option.loadscopereorder = False
    return Scheduling(config, log)


@functools.cache
def give_way():
    """Ray gives up on processes that are long in starting, as they are beside three that compute."""
    os.nice(5)


@pytest.fixture(scope="module", autouse=True)
def _beside_ray(request):
    if "PYTEST_XDIST_WORKER" in os.environ and request.path.name not in BY_RAY:
        give_way()


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


@pytest.fixture(scope="session")
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
