"""The paper's rows: each says what the paper says, trains, is killed, goes on to the same weights, and is judged."""

import functools
import io
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np
import pytest

from keras_iwae import experiments
from keras_iwae.experiments import building, reproduction
from keras_iwae.experiments.paper_table import ROWS, Published
from keras_iwae.experiments.reproduction import Asked, reproduce
from keras_iwae.experiments.row_states import status
from keras_iwae.training import runs
from keras_iwae.training.callbacks import RunCheckpoint

pytestmark = pytest.mark.usefixtures("no_pictures")

SCRIPT = str(Path(__file__).resolve().parent.parent / "scripts" / "reproduce.py")


def states(run):
    """Every number that a checkpoint holds, by its path: weights, those of the optimizer and the random stream."""
    found = {}
    with zipfile.ZipFile(Path(run) / "model.keras") as archive:
        stored = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(stored) as file:
        file.visititems(lambda name, item: found.update({name: item[()]} if isinstance(item, h5py.Dataset) else {}))
    return found


def assert_same_states(run, other):
    found, expected = states(run), states(other)
    assert found.keys() == expected.keys()
    assert any("optimizer" in name for name in found)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_table_has_every_row_of_the_paper():
    for dataset in ("mnist", "binarized_mnist", "omniglot_28x28"):
        for layers in (1, 2):
            for model in ("vae", "iwae"):
                for k in (1, 5, 50):
                    for suffix in ("", "-fast"):
                        config = ROWS[f"{dataset}-{model}-k{k}-l{layers}{suffix}"].config
                        assert (config.data.dataset, config.objective.num_samples) == (dataset, k)
                        assert config.objective.objective == {"vae": "elbo", "iwae": "iwae"}[model]
                        assert len(config.model.latent_dim) == layers
    assert all(row.name == name for name, row in ROWS.items())


def test_protocol_is_the_papers():
    protocol = {
        **dict(dataset="mnist", binarization="dynamic", batch_size=20, likelihood="bernoulli", posterior="gaussian"),
        **dict(network="dense", latent_dim=(100, 50), hidden=((200, 200), (100, 100)), activation="tanh"),
        **dict(objective="iwae", num_samples=50, estimator="reparameterized"),
        **dict(learning_rate=1e-3, schedule="paper", beta_1=0.9, epsilon=5e-6, epochs=3280),
    }
    assert ROWS["mnist-iwae-k50-l2"].config == experiments.ExperimentConfig.of(**protocol)
    transfer = ROWS["mnist-vae-k1-l1-then-iwae-k50"]
    protocol |= dict(latent_dim=(50,), hidden=((200, 200),), schedule="constant", learning_rate=1e-4, epochs=2187)
    assert transfer.config == experiments.ExperimentConfig.of(**protocol)
    assert transfer.starts_from == "mnist-vae-k1-l1"


def test_no_row_leaves_its_estimator_to_a_rule():
    """What "auto" stands for may change; what a published number was found with may not."""
    assert {row.config.objective.estimator for row in ROWS.values()} == {"reparameterized", "dreg", "stl"}
    assert all(
        row.recipe in ("fast", "long") or row.config.objective.estimator == "reparameterized" for row in ROWS.values()
    )


def test_a_long_row_is_the_fast_one_for_more_passes():
    rows = [row for row in ROWS.values() if row.recipe == "long"]
    assert len(rows) == 4
    for row in rows:
        fast = ROWS[row.name.replace("-long", "-fast")]
        assert (fast.recipe, fast.published) == ("fast", row.published)
        layers, passes = len(fast.config.model.latent_dim), 5 * fast.config.run.epochs
        two = {"learning_rate": 0.001} if layers == 2 else {}
        assert row.config == fast.config.replaced(epochs=passes // layers, **two)
        assert row.seeded(2).recipe == "long"


def test_published_numbers_are_where_they_belong():
    assert ROWS["mnist-iwae-k50-l1"].published == Published(84.78, (25,))
    assert ROWS["mnist-iwae-k50-l1-fast"].published == Published(84.78, (25,))
    assert ROWS["omniglot_28x28-iwae-k50-l2"].published == Published(103.38, (44, 7))
    assert ROWS["digits-iwae-k50-l1"].published is None
    for name, row in ROWS.items():
        if row.published and row.published.active_units and row.starts_from is None:
            assert len(row.published.active_units) == len(row.config.model.latent_dim), name


def program(row):
    """What a row trains, but for sizes; the IWAE of one sample is the VAE of one."""
    objective, samples = row.config.objective.objective, row.config.objective.num_samples
    same = dict(dataset="digits", epochs=4, batch_size=50)
    if objective != "ae":
        same |= dict(objective="elbo" if samples == 1 else objective, num_samples=50, early_samples=None)
    return row.config.replaced(**same), bool(row.starts_from)


def distinct_rows():
    """One row for each program, that of the most samples, which may begin with fewer."""
    found = {}
    for row in sorted(ROWS.values(), key=lambda row: -row.config.objective.num_samples):
        found.setdefault(program(row), row.name)
    return sorted(found.values())


def smaller(row, dataset, epochs):
    """The row's configuration on few images, its networks a twentieth as wide."""
    hidden = tuple(tuple(width // 20 for width in layer) for layer in row.config.model.hidden)
    components = None if row.config.model.prior is None else 5
    return row.config.replaced(
        dataset=dataset, epochs=epochs, batch_size=50, hidden=hidden, prior_components=components
    )


@pytest.fixture(scope="module")
def subset(tmp_path_factory):
    """Sixty images of a data set of its own, with a test split."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "subset.npz"
    images = (rng.random((180, 6, 5, 1)) * 255).astype(np.uint8)
    np.savez(path, x_train=images[:120], x_validation=images[:20], x_test=images[120:])
    return str(path)


@pytest.fixture(scope="module")
def starts(subset, tmp_path_factory):
    """The run of one pass that a transfer row starts from."""

    @functools.cache
    def start(name):
        config = smaller(ROWS[name.removesuffix("-fast")], subset, epochs=1)
        return str(experiments.train(config, tmp_path_factory.mktemp("starts") / name))

    return lambda name: start(name.removesuffix("-fast"))


@pytest.mark.slow
@pytest.mark.usefixtures("step_by_step")
@pytest.mark.parametrize("name", distinct_rows())
def test_every_row_runs_two_stages_and_resumes_to_the_same_weights(name, subset, starts, tmp_path, monkeypatch):
    """What lies on disk in the middle of a pass is what SIGKILL leaves there: of the second, or by turns the third.

    A step a call, without graphs and without pictures; `test_runs.py` kills a run with all of them.
    """
    monkeypatch.setattr(building, "_STEPS_A_CALL", 1)
    row, whole_passes = ROWS[name], 2 - distinct_rows().index(name) % 2
    config = smaller(row, subset, epochs=4)
    if row.starts_from:
        config = config.replaced(start=starts(row.starts_from))
    killed = tmp_path / "killed"

    def copy_in_the_middle(checkpoint, batch, logs=None):
        if len(checkpoint.history) == whole_passes and not killed.exists():
            shutil.copytree(tmp_path / "whole", killed)

    with monkeypatch.context() as patch:
        patch.setattr(RunCheckpoint, "on_train_batch_end", copy_in_the_middle)
        whole = experiments.train(config, tmp_path / "whole")
    assert len(runs.read_history(killed)) == whole_passes
    assert_same_states(experiments.resume(killed), whole)
    assert len(runs.read_history(killed)) == 4


@pytest.mark.slow
def test_kill_nine_and_the_same_command_again(tmp_path, monkeypatch, as_here):
    """The script itself, killed in its second stage, against the same row in one go."""
    name = "digits-iwae-k5-l1"
    arguments = ["--row", name, "--stages", "2", "--k", "20", "--limit", "10"]
    command = [sys.executable, SCRIPT, *arguments, "--out", str(tmp_path / "killed")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=as_here)
    history = tmp_path / "killed" / name / "history.csv"
    while not history.exists() or len(history.read_text().splitlines()) < 3:
        assert process.poll() is None
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(runs.read_history(tmp_path / "killed" / name)) < 4
    assert not (tmp_path / "killed" / "results").exists()
    monkeypatch.setattr(reproduction, "_judge", lambda *_: {})
    again = reproduce(name, tmp_path / "killed", stages=2, num_samples=20, limit=10)
    whole = experiments.train(ROWS[name].config.replaced(epochs=4), tmp_path / "whole", curve=True)
    assert_same_states(tmp_path / "killed" / name, whole)
    assert again["curve"] == runs.read_rows(whole / "nll.csv")


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    root = tmp_path_factory.mktemp("reproduce")
    name = "digits-vae-k1-l1-then-iwae-k50-fast"
    return root, name, reproduce(name, root, budget_minutes=1e-9, num_samples=20, limit=15, command="said")


@pytest.mark.slow
def test_truncated_run_says_so(short):
    root, name, record = short
    assert record == runs.read_json(root / "results" / f"{name}.json")
    assert (record["passes"], record["passes_planned"], record["complete"]) == (1, 133, False)
    assert record["nll_test"]["num_examples"] == record["nll_train"]["num_examples"] == 15
    adapted = record["nll_adapted"]
    assert (adapted["proposal"], adapted["num_samples"], adapted["num_examples"]) == ("adapted", 500, 15)
    assert record["pruned"]["num_examples"] == 15
    assert record["from"]["row"] == "digits-vae-k1-l1-fast"
    assert record["from"]["passes"] == 1
    assert [row["passes"] for row in record["curve"]] == [1.0]
    assert record["active_units"] == [sum(v > 0.01 for v in layer) for layer in record["mean_variances"]]
    assert record["command"] == "said"
    assert "1 of 133 passes" in status(ROWS[name], root)
    assert "complete" not in status(ROWS[name], root)


@pytest.mark.slow
def test_transfer_starts_from_the_other_rows_weights(short):
    root, name, _ = short
    config = experiments.ExperimentConfig.from_dict(runs.read_json(root / name / "config.json"))
    fresh = experiments.build(config.replaced(learning_rate=1e-4))
    source = runs.load_model(root / "digits-vae-k1-l1-fast")
    for ours, theirs in zip(fresh.trainable_variables, source.trainable_variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    with pytest.raises(ValueError, match="`start`"):
        experiments.build(config.replaced(latent_dim=(7,)))


@pytest.mark.slow
def test_second_start_of_what_is_done_only_reads(short):
    root, name, record = short
    before = (root / name / "model.keras").stat().st_mtime_ns
    assert reproduce(name, root, budget_minutes=1e-9, num_samples=20, limit=15) == record
    assert (root / name / "model.keras").stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_result_of_before_there_were_adapted_proposals_is_given_theirs(short):
    root, name, record = short
    runs.write_json(root / "results" / f"{name}.json", {k: v for k, v in record.items() if k != "nll_adapted"})
    found = reproduce(name, root, budget_minutes=1e-9, num_samples=20, limit=15)
    assert found == runs.read_json(root / "results" / f"{name}.json")
    assert found["nll_adapted"]["nll"] == pytest.approx(record["nll_adapted"]["nll"], rel=1e-6)
    assert {k: v for k, v in found.items() if k != "nll_adapted"} == {
        k: v for k, v in record.items() if k != "nll_adapted"
    }


def test_stages_hold_for_a_row_that_was_begun_with_more(tmp_path, monkeypatch):
    """And leave one as it is that has more behind it."""
    row, run, asked = ROWS["digits-iwae-k5-l1"], tmp_path / "digits-iwae-k5-l1", []
    runs.write_json(run / "config.json", asdict(row.config))
    monkeypatch.setattr(reproduction, "resume", lambda run, epochs, *_, **__: asked.append(epochs))
    for done in (1, 3, 7):
        runs.write_history(run, [{"epoch": epoch + 1, "seconds": 1.0} for epoch in range(done)])
        reproduction._train(row, 4, run, None, None)
    assert asked == [4, 4, 7]


def test_a_row_is_complete_if_its_start_is(tmp_path, monkeypatch):
    row = ROWS["digits-vae-k1-l1-then-iwae-k50-fast"]
    run, result = tmp_path / row.name, tmp_path / "results" / f"{row.name}.json"
    of_start = result.with_name(f"{row.starts_from}.json")
    planned = ROWS[row.starts_from].config.run.epochs
    runs.write_history(run, [{"epoch": epoch + 1, "seconds": 1.0} for epoch in range(row.config.run.epochs)])
    runs.write_json(run / "inputs.json", {"start": "of then"})
    monkeypatch.setattr(reproduction, "_train", lambda *_: run)
    monkeypatch.setattr(reproduction, "_judge", lambda *_: {})
    cut = f"{row.config.run.epochs} of {row.config.run.epochs} passes; {row.starts_from} had"
    for digest, passes, said in (
        ("of then", 1, f"{cut} 1 of its {planned} passes"),
        ("of now", planned, f"{cut} an unknown number of its {planned} passes"),
        ("of then", planned, "complete"),
    ):
        result.unlink(missing_ok=True)
        runs.write_json(of_start, {"model_digest": digest, "passes": passes})
        assert reproduction.reproduce_row(row, tmp_path, Asked(), "")["complete"] == (said == "complete")
        assert status(row, tmp_path).endswith(f"   {said}")


def test_bad_requests_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`row`"):
        reproduce("mnist-iwae-k51-l1", tmp_path)
    with pytest.raises(ValueError, match="`stages`"):
        reproduce("digits-iwae-k5-l1", tmp_path, stages=9)
    with pytest.raises(ValueError, match="schedule has no stages"):
        reproduce("digits-iwae-k5-l1-fast", tmp_path, stages=2)
    with pytest.raises(ValueError, match=r"`num_samples`\. Expected none for 'lecture-ae', which has no NLL"):
        reproduce("lecture-ae", tmp_path, num_samples=50)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_cosine_ends_where_it_was_to_end(tmp_path, subset):
    config = experiments.ExperimentConfig.of(dataset=subset, schedule="cosine", epochs=1, num_samples=2, hidden=((4,),))
    run = experiments.train(config, tmp_path / "run")
    with pytest.raises(ValueError, match=r"`epochs`.*cosine"):
        experiments.resume(run, epochs=2)


@pytest.mark.slow
def test_fewer_samples_first_then_all(tmp_path, subset):
    settings = dict(dataset=subset, num_samples=6, epochs=3, batch_size=50, hidden=((4,),), latent_dim=(2,))
    config = experiments.ExperimentConfig.of(**settings)
    grown = experiments.train(config.replaced(early_samples=2), tmp_path / "grown")
    plain = experiments.train(config, tmp_path / "plain")
    few, many = runs.read_history(grown), runs.read_history(plain)
    assert [row["ess"] <= 2.0 for row in few] == [True, True, False]
    assert all(row["val_ess"] > 2.0 for row in few + many)
    assert few[0]["bound"] != many[0]["bound"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_samples", 0), ("limit", -3), ("stages", 0), *(("budget_minutes", value) for value in (0.0, -1.0, math.nan))],
)
def test_what_makes_no_sense_is_refused_before_anything_is_trained(name, value, tmp_path):
    with pytest.raises(ValueError, match=f"`{name}`. Expected"):
        reproduce("digits-iwae-k5-l1", tmp_path, **{name: value})
    assert not list(tmp_path.iterdir())
