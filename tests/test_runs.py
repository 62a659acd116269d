"""Runs on disk: what is written is whole, what is read is checked, and a run that was killed goes on bit for bit."""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from matplotlib.image import imread

from keras_iwae import IWAE, data, experiments
from keras_iwae.experiments.evaluation_target import evaluation_images
from keras_iwae.experiments.sections import BINARIZATIONS
from keras_iwae.foundation.storage import replacing, this_host, write_json
from keras_iwae.training import callbacks, exchange_averages, runs

CONFIG = experiments.ExperimentConfig.of(
    dataset="digits", num_samples=3, epochs=3, batch_size=50, hidden=((16,),), latent_dim=(3,), seed=7
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return experiments.train(CONFIG, tmp_path_factory.mktemp("runs") / "whole")


def states(run):
    model = runs.load_model(run)
    return [v.numpy() for v in [*model.variables, *model.optimizer.variables]]


def assert_same_run(run, other):
    for value, expected in zip(states(run), states(other), strict=True):
        np.testing.assert_array_equal(value, expected)
    for row, like in zip(runs.read_history(run), runs.read_history(other), strict=True):
        assert {k: v for k, v in row.items() if k != "seconds"} == {k: v for k, v in like.items() if k != "seconds"}


@pytest.mark.slow
def test_a_run_holds_what_it_says(finished):
    files = {str(path.relative_to(finished)) for path in finished.rglob("*") if path.is_file()}
    figures = {f"figures/{name}.png" for name in ("curves", "samples", "reconstructions")}
    assert {"config.json", "metrics.json", "model.keras", "history.csv", *figures} <= files
    assert not [name for name in files if Path(name).name.startswith(".")]
    assert any("tensorboard/images" in name for name in files)
    assert experiments.ExperimentConfig.from_dict(runs.read_json(finished / "config.json")) == CONFIG
    rows = runs.read_history(finished)
    assert [row["epoch"] for row in rows] == [1.0, 2.0, 3.0]
    metrics = runs.read_json(finished / "metrics.json")["training"]
    assert metrics["bound"] == rows[-1]["bound"]
    assert metrics["steps"] == 3 * (1297 // 50)


@pytest.mark.slow
def test_stopping_and_resuming_changes_nothing(finished, tmp_path):
    short = experiments.train(CONFIG.replaced(epochs=1), tmp_path / "run")
    # Of an evaluation that was stopped, of weights that are no more.
    (short / "partial-nll-test.npz").touch()
    assert_same_run(experiments.resume(short, epochs=3), finished)
    assert not list(short.glob("partial-*"))
    epochs = [line.split(",")[0] for line in (short / "history.csv").read_text().splitlines()]
    assert epochs == ["epoch", "1", "2", "3"]
    assert runs.read_json(short / "config.json")["run"]["epochs"] == 3


@pytest.mark.long
def test_a_run_with_averages_is_judged_by_them_and_goes_on_without_them(tmp_path):
    """Stopped or not, bit for bit; the file has what was validated, and behind it what the steps go on from."""
    config = CONFIG.replaced(epochs=2, ema=0.9)
    whole = experiments.train(config, tmp_path / "whole")
    stopped = experiments.train(config.replaced(epochs=1), tmp_path / "stopped")
    assert_same_run(experiments.resume(stopped, epochs=2), whole)
    validation = data.load("digits", "validation", 50, seed=0)
    model, last = runs.load_model(whole), runs.read_history(whole)[-1]
    judged = model.evaluate(validation, verbose=0, return_dict=True)["bound"]
    assert judged == pytest.approx(last["val_bound"], abs=1e-3)
    exchange_averages(model)
    assert model.evaluate(validation, verbose=0, return_dict=True)["bound"] != pytest.approx(judged, abs=1e-3)


@pytest.mark.slow
def test_kill_and_resume_changes_nothing(finished, tmp_path, as_here):
    """kill -9 in the middle of an epoch, and once more before the first epoch is over."""
    run, script = tmp_path / "run", str(Path(__file__).resolve().parent.parent / "scripts" / "train.py")
    # Far more epochs than will be run: resuming cuts them back.
    settings = {"dataset": "digits", "epochs": 100_000, "num-samples": 3, "batch-size": 50, "hidden": 16}
    settings |= {"latent-dim": 3, "seed": 7}
    arguments = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    for leg, wait_for in (([*arguments], "config.json"), (["--resume", "--epochs", "100000"], "model.keras")):
        command = [sys.executable, script, "--out", str(run), *leg]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=as_here)
        while not (run / wait_for).exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = len(runs.read_history(run))
    if done >= 3:
        pytest.fail("the second leg was killed too late to test anything")
    assert_same_run(experiments.resume(run, epochs=3), finished)


@pytest.mark.slow
def test_history_that_is_ahead_of_the_model_is_cut_back(finished, tmp_path):
    run = experiments.train(CONFIG.replaced(epochs=2), tmp_path / "run")
    rows = runs.read_history(run)
    runs.write_history(run, [*rows, {**rows[-1], "epoch": 3.0, "bound": 99.0}])
    assert_same_run(experiments.resume(run, epochs=3), finished)


WHOLE = "epoch,seconds,loss\n1,0.5,9.25\n2,0.5,8.25\n3,0.5,7.25\n"
# What is in history.csv beside a model of two epochs, and what is said of it.
DAMAGED_HISTORIES = {
    "empty": ("", "an empty file"),
    "no line": ("\n", "the columns"),
    "no row": ("epoch,seconds,loss\n", "model's 2 epochs .*no row; mend the file, or remove it"),
    "cut off in a row": (WHOLE[:-7], "a last line without an end"),
    "cut off in a number": (WHOLE[:-3], "a last line without an end"),
    "a stray line": (WHOLE + "done\n", "line 5 with 1 cells under 3 names"),
    "a longer row": (WHOLE + "4,1,1,1\n", "line 5 with 4 cells"),
    "an empty line": (WHOLE.replace("2,0.5", "\n2,0.5"), "line 3 with 0 cells"),
    "words": (WHOLE.replace("8.25", "eight"), "could not convert string to float: 'eight'"),
    "other columns": (WHOLE.replace("seconds", "time"), "under epoch, seconds and others .*the columns"),
    "a column twice": (WHOLE.replace("loss", "epoch"), "the columns"),
    "too few": ("epoch,seconds\n1,0.5\n", "model's 2 epochs .*epoch 1 as the last"),
    "a row between": (WHOLE.replace("2,0.5,8.25\n", ""), "a row for each epoch .*epochs 1, 3"),
    "a row twice": (WHOLE + "3,0.5,7.25\n", "a row for each epoch .*epochs 1, 2, 3, 3"),
    "bytes": (b"\xff\xfe\x00", "can't decode"),
}


@pytest.mark.parametrize("name", DAMAGED_HISTORIES)
def test_a_damaged_history_is_refused_by_its_path(name, tmp_path):
    content, said = DAMAGED_HISTORIES[name]
    (tmp_path / "history.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=r"^Expected .* in \S*history\.csv\. Received: ") as error:
        runs.read_history(tmp_path, 2)
    assert re.search(said, str(error.value))
    assert "\n" not in str(error.value)


def test_a_history_begins_where_one_was_removed(tmp_path):
    assert runs.read_history(tmp_path, 2) == []
    (tmp_path / "history.csv").write_text(WHOLE.replace("1,0.5,9.25\n", ""))
    assert [row["epoch"] for row in runs.read_history(tmp_path, 2)] == [2.0]


@pytest.mark.slow
def test_columns_of_another_history_are_refused_and_one_that_is_gone_is_not_missed(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "history.csv").write_text(WHOLE)
    with pytest.raises(
        ValueError, match=r"Expected the columns bound, .* in \S*history.csv. Received: others, as of b"
    ):
        experiments.resume(run)
    (run / "history.csv").unlink()
    assert runs.read_history(experiments.resume(run)) == []


@pytest.mark.slow
def test_resuming_a_finished_run_leaves_it(finished):
    before = states(finished)
    (finished / "partial-nll-test.npz").touch()
    experiments.resume(finished)
    (finished / "partial-nll-test.npz").unlink()
    for value, expected in zip(states(finished), before, strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.slow
def test_out_that_holds_something_is_refused(finished, tmp_path):
    with pytest.raises(ValueError, match=r"`out`.*whole, which holds a run; continue it with --resume"):
        experiments.train(CONFIG, finished)
    (tmp_path / "thesis.txt").write_text("chapter 1")
    with pytest.raises(ValueError, match="holds other files"):
        experiments.train(CONFIG, tmp_path)
    with pytest.raises(ValueError, match="Expected a run to resume"):
        experiments.resume(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "chapter 1"


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"network": "transformer"},
        {"likelihood": "cauchy"},
        {"levels": 4},
        {"missing": "zero"},
        {"mask_input": True},
        {"learning_rate": 0.0},
        {"schedule": "sawtooth"},
        {"beta_1": 1.0},
        {"epsilon": 0.0},
        {"early_samples": 4},
        {"early_samples": 0},
        {"dataset": "mnits"},
        {"objective": "x"},
        {"batch_size": 0},
        {"batch_size": 5000},
        {"seed": -1},
        {"binarization": "dither"},
    ],
)
def test_a_configuration_that_cannot_run_leaves_no_folder(tmp_path, change):
    ((name, _value),) = change.items()
    with pytest.raises(ValueError, match=f"`{name}`"):
        experiments.train(CONFIG.replaced(**change), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.long
@pytest.mark.parametrize(
    "options",
    [
        {"likelihood": "discretized_logistic"},
        {"likelihood": "categorical", "levels": 5, "network": "conv", "hidden": None, "activation": None},
        {"likelihood": "poisson", "objective": "elbo"},
        {"likelihood": "gaussian"},
    ],
)
def test_what_is_no_bernoulli_is_trained_judged_and_drawn(options, tmp_path):
    run = experiments.train(CONFIG.replaced(**options, epochs=1, binarization=None, latent_dim=(2,)), tmp_path / "run")
    result, record = experiments.evaluate(run, 20, limit=30, verbose=False)
    assert np.isfinite(result.nll)
    assert record["num_examples"] == 30
    drawn = experiments.draw_samples(run, 12, columns=6)
    for picture in (*drawn, run / "figures" / "reconstructions.png"):
        # Grey levels from black to white, and not all cut off at white.
        assert 0.02 < imread(picture)[..., 0].mean() < 0.7
        assert imread(picture)[..., 0].std() > 0.05
    batches = data.load("digits", "test", 30, BINARIZATIONS[options["likelihood"]], levels=options.get("levels"))
    np.testing.assert_array_equal(evaluation_images(run, 30, seed=0), next(iter(batches)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("binarization", "largest"), [("levels", 9), ("none", 255), ("dynamic", 255), ("threshold", 200)]
)
def test_bytes_are_judged_as_the_file_means_them(binarization, largest, tmp_path):
    """Rows that happen to hold 0 and 1 were taken for black and white."""
    rng = np.random.default_rng(0)
    train = rng.integers(0, largest + 1, (60, 6)).astype(np.uint8)
    test = rng.integers(0, 2, (400, 6)).astype(np.uint8)
    test[300:] = rng.integers(0, largest + 1, (100, 6))
    for rows in (300, 400):
        file = tmp_path / f"{rows}.npz"
        np.savez(file, x_train=train, x_test=test[:rows])
        write_json(tmp_path / "config.json", {"data": {"dataset": str(file), "binarization": binarization}})
        whole = np.concatenate(list(data.load(file, "test", 200, binarization, seed=3).as_numpy_iterator()))
        for limit in (None, 5, 300):
            np.testing.assert_array_equal(evaluation_images(tmp_path, limit, seed=3), whole[:limit])


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["ae", "elbo"])
def test_an_autoencoder_is_said_to_be_no_model_of_p(objective, tmp_path):
    model = IWAE((8, 8, 1), latent_dim=2, hidden=(4,), objective=objective)
    model.save(tmp_path / "model.keras")
    _, record = experiments.evaluate(tmp_path / "model.keras", 5, limit=5, dataset="digits", verbose=False)
    assert ("autoencoder was not trained as a model" in record.get("note", "")) == (objective == "ae")


def test_newest_run(tmp_path):
    with pytest.raises(ValueError, match=r"train one: python scripts/train\.py"):
        runs.newest(tmp_path)
    for age, name in enumerate(["b", "a", "c"]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.keras").touch()
        os.utime(tmp_path / name / "model.keras", (1000 - age, 1000 - age))
    assert runs.newest(tmp_path).name == "b"


@pytest.mark.slow
def test_files_that_are_no_model(finished, tmp_path):
    truncated, other, text = tmp_path / "truncated.keras", tmp_path / "other.keras", tmp_path / "text.keras"
    truncated.write_bytes((finished / "model.keras").read_bytes()[:5000])
    text.write_text("not a model")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(other)
    for path, reason in [
        (truncated, "cannot be read"),
        (text, "cannot be read"),
        (other, "holds a Sequential"),
        (tmp_path / "nothing", "there is none"),
        (tmp_path, "a folder without a model.keras"),
    ]:
        with pytest.raises(ValueError, match=f"`model`. Expected a run folder.*{reason}"):
            runs.load_model(path)
    (tmp_path / "config.json").write_text('{"epochs": 3')
    with pytest.raises(ValueError, match=r"Expected a JSON object in .*config.json"):
        experiments.resume(tmp_path)
    for stored, named in (('{"epoch": 3}', "epoch"), ('{"run": {"epoch": 3}}', "run.epoch")):
        (tmp_path / "config.json").write_text(stored)
        with pytest.raises(ValueError, match=f"fields of a run's config.json. Received: {named}$"):
            experiments.resume(tmp_path)


def test_replacing_is_all_or_nothing(tmp_path):
    path = tmp_path / "deep" / "value.json"
    write_json(path, {"a": 1})

    def fail_half_way():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_half_way()
    assert runs.read_json(path) == {"a": 1}
    assert [entry.name for entry in path.parent.iterdir()] == ["value.json"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.slow
def test_a_full_disk_leaves_the_previous_checkpoint(finished, tmp_path):
    """A limit on the size of files stands for the disk: writing past it fails as writing to a full one does."""
    before = (finished / "model.keras").read_bytes()
    model = runs.load_model(finished)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match=r"model\.keras"):
            runs.save_model(model, finished / "model.keras")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (finished / "model.keras").read_bytes() == before
    assert not list(finished.glob(".model*"))


def test_what_a_start_left_that_was_killed_is_no_hindrance(tmp_path):
    """A temporary file of a process that is no more, and what is written before `config.json` makes it a run."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    run, first = tmp_path / "run", {"inputs.json": {"start": "there"}}
    run.mkdir()
    (run / f".config-{this_host()}-{ended.pid}-0.tmp.json").write_text("{")
    (run / f".inputs-{this_host()}-{ended.pid}-0.tmp.json").write_text("{")
    (run / "inputs.json").write_text('{"start": "elsewhere"}')
    runs.create(run, {"epochs": 1}, first)
    assert sorted(path.name for path in run.iterdir()) == ["config.json", "inputs.json"]
    assert runs.read_json(run / "inputs.json") == first["inputs.json"]
    for name, text in {f".config-{this_host()}-{os.getpid()}-0.tmp.json": "{", "inputs.json": '{"mine": 1}'}.items():
        other = tmp_path / f"of {name}"
        other.mkdir()
        (other / name).write_text(text)
        with pytest.raises(ValueError, match="holds other files"):
            runs.create(other, {"epochs": 1}, first)
        assert (other / name).read_text() == text


def test_no_time_to_train_is_refused_before_there_is_a_run(tmp_path):
    config = experiments.ExperimentConfig.of(dataset="digits", latent_dim=(2,), hidden=((4,),), epochs=1)
    for minutes in (0, -1.0):
        with pytest.raises(ValueError, match=r"`budget_minutes`\. Expected"):
            experiments.train(config, tmp_path / "run", minutes)
        with pytest.raises(ValueError, match=r"`budget_minutes`\. Expected"):
            experiments.resume(tmp_path / "run", budget_minutes=minutes)
    assert not list(tmp_path.iterdir())


def test_a_word_is_no_answer_and_a_float_no_number_of_epochs(tmp_path):
    for call in (experiments.resume, lambda run, **given: experiments.train(CONFIG, run, **given)):
        with pytest.raises(ValueError, match=r"`curve`\. Expected True or False. Received: 'no'"):
            call(tmp_path / "run", curve="no")
    with pytest.raises(ValueError, match=r"`epochs`\. Expected an integer .* Received: 1\.0"):
        experiments.resume(tmp_path / "run", epochs=1.0)
    with pytest.raises(ValueError, match=r"`drawn`\. Expected True or False. Received: 'no'"):
        experiments.draw_samples(tmp_path / "run", drawn="no")


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_the_time_of_an_epoch_is_without_the_curve(tmp_path, monkeypatch):
    now, written = [0.0], []
    monkeypatch.setattr(callbacks, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def curve(self, epoch, logs=None):
        now[0] += 1000.0
        # The checkpoint of the epoch is written after it.
        written.append((self.path, runs.read_history(tmp_path / "run")))

    def batch(self, batch, logs=None):
        now[0] += 1.0

    monkeypatch.setattr(callbacks.NLLCurve, "on_epoch_end", curve)
    monkeypatch.setattr(callbacks.StopWhereNotFinite, "on_train_batch_end", batch)
    run = experiments.train(CONFIG.replaced(epochs=1), tmp_path / "run", curve=True)
    assert written == [(str(run / "nll.csv"), [])]
    (row,) = runs.read_history(run)
    assert 1.0 <= row["seconds"] <= 1297 // 50
