"""The examples in docstrings: they run, and what they say comes out does."""

import doctest
import importlib
import json
import pkgutil

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import keras_iwae

ROOMS = [name for _, name, is_room in pkgutil.iter_modules(keras_iwae.__path__) if is_room]


def modules():
    return [found.name for found in pkgutil.walk_packages(keras_iwae.__path__, "keras_iwae.")]


def examples():
    """Every docstring with an example, by its name; a class that is in several modules once."""
    finder = doctest.DocTestFinder()
    found = [test for name in modules() for test in finder.find(importlib.import_module(name)) if test.examples]
    return {test.name: test for test in found}


# What takes processes of its own has a test of its own.
EXAMPLES = {name: test for name, test in examples().items() if not name.endswith(("worker_processes", "job_processes"))}


class _WhereThereIsSome(doctest.OutputChecker):
    """What an example does not show may be anything."""

    def check_output(self, want, got, optionflags):
        return not want or super().check_output(want, got, optionflags)


def _briefly(fit):
    """What `fit` does in one step, whatever is asked for."""

    def brief(model, x, epochs=1, **settings):
        return fit(model, x, **{"steps_per_epoch": 1, **settings, "verbose": 0})

    return brief


@pytest.fixture(scope="module")
def names():
    """What examples take for given: imports, a model, its images, and a table with a gap."""
    rng = np.random.default_rng(0)
    rooms = {name: importlib.import_module(f"keras_iwae.{name}") for name in ROOMS}
    exported = {name: getattr(room, name) for room in rooms.values() for name in room.__all__}
    model = keras_iwae.IWAE(4, latent_dim=2, hidden=(3,), num_samples=5)
    model.compile("adam")
    table = pd.DataFrame(
        {"age": rng.normal(40.0, 10.0, 60), "member": rng.random(60) < 0.5, "visits": rng.poisson(3.0, 60)}
    )
    table.loc[3, "age"] = np.nan
    return {
        **exported,
        **rooms,
        **dict(json=json, np=np, tf=tf, keras=keras, pd=pd, keras_iwae=keras_iwae),
        **dict(model=model, images=(rng.random((20, 4)) < 0.5).astype(np.float32), table=table),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_as_it_is_printed(name, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # What training does is for other tests.
    fit = keras_iwae.models.LatentModel.fit
    monkeypatch.setattr(keras_iwae.models.LatentModel, "fit", _briefly(fit))
    test, said = EXAMPLES[name], []
    # A module's own names come first.
    test.globs = {**names, **test.globs}
    runner = doctest.DocTestRunner(_WhereThereIsSome(), verbose=False, optionflags=doctest.ELLIPSIS)
    failed, tried = runner.run(test, out=said.append, clear_globs=False)
    assert tried
    assert not failed, "".join(said)
