"""What happens to a number that is not finite: training stops, every tool refuses it, and JSON holds null."""

import functools
import json
import math
import shutil
from dataclasses import asdict

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_scripts import call, error_line

from keras_iwae import IWAE, experiments, export_saved_model
from keras_iwae.evaluation import (
    annealed_nll,
    bidirectional_gap,
    importance_weighted_nll,
    inference_gap,
    latents,
    pairwise_log_posterior,
    resampled_posterior,
    resampled_reconstruction,
    sumo_nll,
)
from keras_iwae.experiments import comparison, sweep
from keras_iwae.experiments.inputs import Inputs
from keras_iwae.experiments.paper_table import ROWS
from keras_iwae.experiments.row_states import status
from keras_iwae.foundation import json_text, read_arrays, write_arrays, write_json
from keras_iwae.plots import charts
from keras_iwae.training import RunCheckpoint, StopWhereNotFinite, runs

X = (np.random.default_rng(0).random((8, 6)) < 0.4).astype(np.float32)
QUIET = {"verbose": False}


def make(optimizer="adam", steps=1, **options):
    model = IWAE(6, **{"latent_dim": 2, "hidden": (8,), "num_samples": 3, "seed": 3, **options})
    model.compile(optimizer, run_eagerly=True, steps_per_execution=steps)
    return model


def broken(value=math.nan):
    model = make()
    model.generative.likelihood.head.bias.assign(np.full(6, value))
    return model


def strictly(text):
    """JSON as it is defined, without NaN and Infinity."""

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


class Poison(keras.callbacks.Callback):
    """Make a variable infinite before one step of one epoch, both from 0, or after it."""

    def __init__(self, epoch, step, variable, after=False):
        super().__init__()
        self.at, self.variable, self.after = (epoch, step), variable, after

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == self.at and not self.after:
            self.poison()

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at and self.after:
            self.poison()

    def poison(self):
        variable = self.variable(self.model)
        variable.assign(tf.fill(variable.shape, math.inf))


def trained_with(poison, folder, steps=1):
    model = make(steps=steps)
    callbacks = [poison, StopWhereNotFinite(), RunCheckpoint(folder, [])]
    with pytest.raises(ValueError, match="Training stopped in epoch") as error:
        model.fit(X, batch_size=2, epochs=3, verbose=0, callbacks=callbacks)
    assert "The likely cause is a learning rate that is too high" in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


def bias(model):
    return model.generative.likelihood.head.bias


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "where"), [(1, "epoch 2, step 3"), (3, "epoch 2, steps 1 to 3")])
def test_training_stops_at_the_step_and_keeps_the_last_whole_epoch(tmp_path, steps, where):
    step = 2 if steps == 1 else 0
    assert where in trained_with(Poison(1, step, bias), tmp_path, steps)
    runs.load_model(tmp_path).check_finite()
    (row,) = runs.read_history(tmp_path)
    assert row["epoch"] == 1.0
    assert all(map(math.isfinite, row.values()))


def test_nothing_is_kept_where_the_first_epoch_fails(tmp_path):
    assert "epoch 1, step 1" in trained_with(Poison(0, 0, bias), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_last_call_of_an_epoch_names_the_steps_that_there_were(tmp_path):
    """Four steps, three a call."""
    assert "epoch 1, step 4:" in trained_with(Poison(0, 3, bias), tmp_path, steps=3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bias", "velocity"])
def test_the_end_of_an_epoch_is_looked_at_before_it_is_kept(tmp_path, name):
    """The last step's bound is of before it; and a run whose optimizer is broken could not go on."""

    def variable(model):
        return next(v for v in (*model.weights[::-1], *model.optimizer.variables) if name in v.path)

    assert "epoch 2, at its end: " in trained_with(Poison(1, 3, variable, after=True), tmp_path)
    assert runs.read_history(tmp_path)[-1]["epoch"] == 1.0
    loaded = runs.load_model(tmp_path)
    assert all(np.isfinite(np.asarray(v)).all() for v in (*loaded.weights, *loaded.optimizer.variables))


@pytest.mark.slow
def test_a_plain_fit_ends_after_the_epoch_that_broke(tmp_path):
    model = make(keras.optimizers.SGD(0.1))
    saved = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True)
    with pytest.raises(ValueError, match="Training stopped in epoch 2, at its end: loss is not finite") as error:
        model.fit(X, batch_size=4, epochs=3, verbose=0, callbacks=[Poison(1, 1, bias), saved])
    assert "\n" not in str(error.value)
    # What saves comes after it.
    assert [path.name for path in tmp_path.iterdir()] == ["1.weights.h5"]


def test_a_last_step_that_breaks_the_weights_alone_is_seen():
    """The loss is of before it."""
    with pytest.raises(ValueError, match=r"epoch 1, at its end: .*head/bias is not finite"):
        make(keras.optimizers.SGD(0.1)).fit(X, batch_size=4, verbose=0, callbacks=Poison(0, 1, bias, after=True))


@pytest.mark.parametrize("after", [False, True])
def test_a_batch_alone_is_looked_at_too(after):
    """Before the step it makes the loss NaN; after it, by a rate that is too high, the weights alone."""
    model = make(keras.optimizers.SGD(math.inf if after else 0.1))
    model.run_eagerly = True
    kept = model.get_weights()
    if not after:
        bias(model).assign(np.full(bias(model).shape, math.nan))
    named = r"\S+" if after else "loss"
    with pytest.raises(ValueError, match=rf"^Training stopped in train_on_batch: {named} is not finite\. The likely"):
        model.train_on_batch(X)
    # Nothing of it is left when the weights are others.
    model.set_weights(kept)
    model.optimizer.learning_rate = 0.1
    assert np.isfinite(model.train_on_batch(X, return_dict=True)["loss"])


def test_keras_own_way_to_stop_is_left_to_it():
    callbacks = [Poison(0, 0, bias), keras.callbacks.TerminateOnNaN()]
    history = make(keras.optimizers.SGD(0.1)).fit(X, batch_size=4, epochs=3, verbose=0, callbacks=callbacks)
    assert len(history.history["loss"]) == 1


def test_a_callback_list_is_taken_too():
    model = make(keras.optimizers.SGD(0.1))
    callbacks = keras.callbacks.CallbackList([Poison(0, 0, bias)], model=model, epochs=1)
    with pytest.raises(ValueError, match="Training stopped in epoch 1"):
        model.fit(X, batch_size=4, verbose=0, callbacks=callbacks)


@pytest.mark.slow
def test_a_run_whose_learning_rate_is_too_high_ends_in_one_line(tmp_path):
    options = ["--dataset", "digits", "--hidden", 30, 30, "--latent-dim", 5, "--num-samples", 10, "--epochs", 20]
    said = call("train", *options, "--learning-rate", 0.8, cwd=tmp_path, status=2).stderr.strip()
    assert said.startswith("train.py: error: Training stopped in epoch ")
    assert "step" in said
    assert "\n" not in said
    (run,) = (tmp_path / "saved_models").iterdir()
    if (run / "model.keras").exists():
        runs.load_model(run).check_finite()
        assert all(math.isfinite(value) for row in runs.read_history(run) for value in row.values())
    for file in run.glob("*.json"):
        strictly(file.read_text())


def compiled(model):
    model.compile(run_eagerly=True)


FEW = {"num_chains": 2, "num_temperatures": 3, "num_leapfrog_steps": 1, **QUIET}
REFUSING = {
    "evaluate": lambda model, folder: (compiled(model), model.evaluate(X, verbose=0)),
    "predict": lambda model, folder: model.predict(X, verbose=0),
    "test_on_batch": lambda model, folder: (compiled(model), model.test_on_batch(X)),
    "predict_on_batch": lambda model, folder: (compiled(model), model.predict_on_batch(X)),
    "sample": lambda model, folder: model.sample(2),
    "importance_weighted_nll": lambda model, folder: importance_weighted_nll(model, X, 3, **QUIET),
    "annealed_nll": lambda model, folder: annealed_nll(model, X, **FEW),
    "sumo_nll": lambda model, folder: sumo_nll(model, X, 2, **QUIET),
    "bidirectional_gap": lambda model, folder: bidirectional_gap(model, 2, 3, **FEW),
    "latents": lambda model, folder: latents(model, X, 2),
    "pairwise_log_posterior": lambda model, folder: pairwise_log_posterior(model, X, np.zeros((8, 2), np.float32)),
    "inference_gap": lambda model, folder: inference_gap(model, X, 3, 2),
    "resampled_posterior": lambda model, folder: resampled_posterior(model, X, 2, 3),
    "resampled_reconstruction": lambda model, folder: resampled_reconstruction(model, X, 2, 3),
    "export_saved_model": lambda model, folder: export_saved_model(model, folder / "served"),
    "load_model": lambda model, folder: (runs.save_model(model, folder / "model.keras"), runs.load_model(folder)),
}


@pytest.mark.slow
@pytest.mark.parametrize("value", [math.nan, -math.inf])
@pytest.mark.parametrize("name", REFUSING)
def test_a_model_that_is_not_finite_is_refused(name, value, tmp_path):
    with pytest.raises(ValueError, match=r"`model`. Expected finite weights. Received: .*head/bias") as error:
        REFUSING[name](broken(value), tmp_path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "served").exists()


@pytest.fixture(scope="module")
def broken_run(tmp_path_factory):
    """A run folder as training left one before it stopped at such a number."""
    config = experiments.ExperimentConfig.of(dataset="digits", num_samples=3, hidden=((8,),), latent_dim=(2,), epochs=2)
    run = runs.create(tmp_path_factory.mktemp("broken") / "run", asdict(config))
    Inputs.now(config).keep(run)
    model = experiments.build(config)
    model.generative.likelihood.head.bias.assign(np.full(64, math.nan))
    runs.save_model(model, run / "model.keras")
    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("evaluate_nll", ["--k", 5, "--model"]),
        ("evaluate_nll", ["--k", 5, "--sumo", 2, "--model"]),
        ("evaluate_nll", ["--method", "ais", "--limit", 2, "--model"]),
        ("evaluate_nll", ["--method", "bdmc", "--limit", 2, "--model"]),
        ("export", ["--model"]),
        ("sample", ["--num", 4, "--model"]),
        ("diagnose", ["--model"]),
        ("train", ["--resume", "--out"]),
    ],
)
def test_every_script_refuses_such_a_run(broken_run, script, arguments):
    before = sorted(broken_run.rglob("*"))
    assert "Expected finite weights" in error_line(script, *arguments, broken_run, cwd=broken_run)
    assert sorted(broken_run.rglob("*")) == before


@pytest.mark.slow
def test_the_report_names_it_on_its_page(broken_run):
    call("report", broken_run, cwd=broken_run)
    assert "Expected finite weights. Received: NaN or infinity" in (broken_run / "report.html").read_text()


DAMAGES = {
    "an empty file": lambda whole: b"",
    "cut off": lambda whole: whole[: len(whole) // 2],
    "something else": lambda whole: b"no model",
}


@pytest.fixture(scope="module")
def damaged(broken_run, tmp_path_factory):
    """A run whose model is damaged in this way, the one of K = 3 in a sweep."""
    whole = (broken_run / "model.keras").read_bytes()

    def make(name):
        run = tmp_path_factory.mktemp("sweep") / "k3"
        shutil.copytree(broken_run, run)
        (run / "report.html").unlink(missing_ok=True)
        (run / "model.keras").write_bytes(DAMAGES[name](whole))
        return run

    return functools.cache(make)


def files_of(run):
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("evaluate_nll", ["--k", 5, "--model"]),
        ("export", ["--model"]),
        ("sample", ["--num", 4, "--model"]),
        ("diagnose", ["--model"]),
        ("train", ["--resume", "--epochs", 7, "--out"]),
        ("train", ["--dataset", "digits", "--hidden", 8, "--latent-dim", 2, "--out", "new", "--start"]),
    ],
)
def test_every_script_refuses_a_damaged_model_in_one_line(damaged, script, arguments, damage):
    run = damaged(damage)
    before = files_of(run)
    assert "model.keras, which cannot be read" in error_line(script, *arguments, run, cwd=run.parent)
    # The number of epochs in its configuration too.
    assert files_of(run) == before


def test_a_sweep_refuses_a_damaged_run_in_one_line(damaged):
    run = damaged("cut off")
    options = ["--dataset", "digits", "--hidden", 8, "--latent-dim", 2, "--epochs", 2, "--out", run.parent, "--k", 3]
    assert "model.keras, which cannot be read" in error_line("sweep_k", *options, cwd=run.parent)
    # One that is done by what its metrics say.
    write_json(run / "metrics.json", {"training": {"epoch": 2}})
    assert "rows of epochs in" in error_line("sweep_k", *options, cwd=run.parent)
    (run / "history.csv").write_text("epoch,seconds\n1.0\n")
    assert "rows of numbers under" in error_line("sweep_k", *options, cwd=run.parent)
    for name in ("metrics.json", "history.csv"):
        (run / name).unlink()


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_report_shows_what_there_is_of_a_damaged_run(damaged, damage):
    call("report", damaged(damage), cwd=damaged(damage).parent)
    page = damaged(damage) / "report.html"
    assert "model.keras, which cannot be read" in page.read_text()
    page.unlink()


def test_a_likelihood_that_was_not_finite_is_said_so_in_every_table(tmp_path):
    """It is null in metrics.json."""
    record = {"nll": math.nan, "num_examples": 4, "standard_error": math.nan, "num_samples": 5, "seed": 0}
    for name in ("one", "other"):
        write_json(tmp_path / name / "metrics.json", {"nll_test": {**record, "bounds": {"1": math.nan, "5": -3.0}}})
        write_arrays(tmp_path / name / "per-example-test.npz", {"log_likelihood": np.full(4, np.nan)})
    line = error_line("compare", "one", "other", cwd=tmp_path)
    assert "Expected a finite NLL as nll_test in one/metrics.json. Received: none; evaluate it" in line
    call("report", "one", cwd=tmp_path)
    assert "NoneType" not in (tmp_path / "one" / "report.html").read_text()
    row = {"k": 3, "validation_bound": -9.0, "nll": None, "nll_error": None, "reconstruction": -8.0}
    row |= {"squared_error": 0.1, "active_units": 1, "latent_dim": 2, "seconds_per_epoch": 0.1, "eval_k": 5}
    row["objective"] = "iwae"
    assert "| 3 | -9.00 | - | -8.00 |" in sweep.table([row])
    charts.save(tmp_path / "sweep.png", charts.sweep([row, {**row, "k": 5, "nll": 9.0}]))
    name, paper_row = next(iter(ROWS.items()))
    write_json(tmp_path / "results" / f"{name}.json", {"nll_test": {"nll": math.nan}, "passes": 0})
    assert status(paper_row, tmp_path).endswith(" -   not started")


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 half"])
def test_arrays_that_cannot_be_read_are_named(tmp_path, content):
    (tmp_path / "arrays.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"Expected arrays in .*arrays.npz. Received: a file that NumPy cannot read"):
        read_arrays(tmp_path / "arrays.npz")
    np.save(tmp_path / "array.npy", np.ones(3))
    with pytest.raises(ValueError, match=r"Expected arrays in .*array.npy"):
        read_arrays(tmp_path / "array.npy")


NOT_FINITE = {
    "nan": math.nan,
    "inside": {"infinity": [1.0, -math.inf, (math.inf,)]},
    "numpy": np.float32(np.nan),
    "an integer": np.int64(3),
    "a truth": np.bool_(True),
    "text": "NaN",
}
AS_JSON = {
    "nan": None,
    "inside": {"infinity": [1.0, None, [None]]},
    "numpy": None,
    "an integer": 3,
    "a truth": True,
    "text": "NaN",
}


def test_what_is_not_finite_is_null_in_files(tmp_path):
    write_json(tmp_path / "metrics.json", NOT_FINITE)
    assert strictly((tmp_path / "metrics.json").read_text()) == strictly(json_text(NOT_FINITE)) == AS_JSON
    runs.update_metrics(tmp_path, {"more": math.inf})
    assert strictly((tmp_path / "metrics.json").read_text()) == {**AS_JSON, "more": None}


def test_and_in_what_scripts_print(tmp_path, monkeypatch):
    record = {"model": "m", "dataset": "d", "split": "test", **NOT_FINITE}
    monkeypatch.setattr(experiments, "evaluate", lambda **options: ("", dict(record)))
    assert strictly(call("evaluate_nll", "--json", "--model", "m", cwd=tmp_path).stdout)["nan"] is None
    monkeypatch.setattr(comparison, "compare", lambda runs: dict(record))
    assert strictly(call("compare", "one", "other", "--json", cwd=tmp_path).stdout)["nan"] is None
