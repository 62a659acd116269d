"""The start of a process: what nothing asked for is not imported, and is there for whoever asks."""

import gc
import importlib
import json
import subprocess
import sys

import pytest

import keras_iwae
from keras_iwae.foundation import frameworks

UNASKED = "sklearn", "scipy.stats", "matplotlib", "ray", "tensorflow_datasets"
PROGRAM = f"""
import gc, json, sys, weakref
class Own: pass
own = Own()
own.itself, seen = own, weakref.ref(own)
import keras_iwae
watched = gc.isenabled()
del own
gc.collect()
freed = seen() is None
found = [name for name in {UNASKED} if name in sys.modules]
ours = [finder for finder in map(repr, sys.meta_path) if "keras_iwae.foundation" in finder]
import keras
asked = keras.wrappers.SKLearnClassifier.__module__, keras.visualization.plot_image_gallery.__module__
drawn = [getattr(keras_iwae.plots, name).__name__ for name in ("charts", "trial_charts")]
then = [name for name in {UNASKED} if name in sys.modules]
print(json.dumps([found, watched, ours, freed, [*asked, *drawn], then]))
"""


@pytest.fixture(scope="module")
def started():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.long
def test_a_process_imports_nothing_that_it_did_not_ask_for(started):
    assert started[0] == []


@pytest.mark.slow
def test_what_was_put_off_is_there_when_it_is_touched(started):
    *_, (wrapper, gallery, *drawn), then = started
    assert wrapper == "keras.src.wrappers.sklearn_wrapper"
    assert gallery == "keras.src.visualization.plot_image_gallery"
    assert drawn == ["keras_iwae.plots.charts", "keras_iwae.plots.trial_charts"]
    assert {"sklearn", "matplotlib"} <= set(then)


@pytest.mark.slow
def test_nothing_is_left_of_how_it_was_imported(started):
    _, watched, finders, *_ = started
    assert watched
    assert finders == []


def test_what_the_caller_had_before_is_freed_when_it_is_garbage(started):
    assert started[3]


def test_a_name_that_plots_lacks_is_said():
    with pytest.raises(AttributeError, match="has no attribute 'pies'"):
        _ = keras_iwae.plots.pies


@pytest.mark.parametrize("watched", [True, False])
def test_garbage_is_watched_afterwards_as_it_was_before(watched):
    before = gc.isenabled()
    try:
        (gc.enable if watched else gc.disable)()
        with frameworks._without_watching():
            assert not gc.isenabled()
        assert gc.isenabled() is watched
        with pytest.raises(ImportError), frameworks._without_watching():
            raise ImportError("no TensorFlow")
        assert gc.isenabled() is watched
    finally:
        (gc.enable if before else gc.disable)()


def test_a_module_that_this_keras_lacks_is_missing_as_ever(monkeypatch):
    monkeypatch.setattr(frameworks, "LATER", {"keras.no_such_module"})
    monkeypatch.setattr(sys, "meta_path", [frameworks._WhenFirstTouched(), *sys.meta_path])
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        importlib.import_module("keras.no_such_module")
