"""The K experiment by its script: what it writes, what it skips, how it goes on, and what is then made of its runs."""

import csv
import json
import os
from dataclasses import asdict

import numpy as np
import pytest
from matplotlib.image import imread
from test_scripts import call, error_line

from keras_iwae import IWAE, experiments
from keras_iwae.experiments import sweep
from keras_iwae.plots import charts
from keras_iwae.training import runs

pytestmark = pytest.mark.usefixtures("no_pictures")

CONFIG = experiments.ExperimentConfig.of(
    dataset="digits", epochs=2, batch_size=100, hidden=((16,),), latent_dim=(3,), learning_rate=0.01
)
ARGUMENTS = {"eval_k": 20, "limit": 60, "verbose": False}
OPTIONS = ["--dataset", "digits", "--epochs", 2, "--batch-size", 100, "--hidden", 16, "--latent-dim", 3]
OPTIONS += ["--learning-rate", 0.01, "--eval-k", 20, "--limit", 60]


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    return folder, call("sweep_k", "--k", 4, 1, *OPTIONS, "--out", "sweep", cwd=folder)


@pytest.fixture(scope="module")
def swept(process):
    out = process[0] / "sweep"
    return out, json.loads((out / "results.json").read_text())


@pytest.mark.slow
def test_the_script_prints_its_table_and_what_is_left(process):
    folder, ended = process
    assert ended.stderr == ""
    assert "K = 1: NLL" in ended.stdout
    assert "min left" in ended.stdout
    assert (folder / "sweep" / "results.md").read_text().strip() in ended.stdout


@pytest.mark.slow
def test_a_row_says_what_its_run_says(swept):
    out, rows = swept
    assert [row["k"] for row in rows] == [1, 4]
    for row in rows:
        run = out / f"k{row['k']}"
        config, metrics = (runs.read_json(run / name) for name in ("config.json", "metrics.json"))
        assert config["objective"]["num_samples"] == row["k"]
        assert row["nll"] == metrics["nll_test"]["nll"]
        assert row["active_units"] == metrics["nll_test"]["active_units"]
        assert row["validation_bound"] == runs.read_history(run)[-1]["val_bound"]
        assert (row["eval_k"], row["num_examples"], row["epochs"]) == (20, 60, 2)
        # The likelihood of draws is below that of the best value of each pixel and above that of a fair coin.
        assert -64 * np.log(2.0) < row["reconstruction"] < 0.0
        assert 0.0 < row["squared_error"] < 0.25
    first, second = (
        experiments.ExperimentConfig.from_dict(runs.read_json(out / k / "config.json")) for k in ("k1", "k4")
    )
    assert first.replaced(num_samples=4) == second


@pytest.mark.slow
def test_table_and_pictures(swept):
    out, rows = swept
    with open(out / "results.csv", newline="") as file:
        assert [float(row["nll"]) for row in csv.DictReader(file)] == [row["nll"] for row in rows]
    table = (out / "results.md").read_text()
    assert f"{rows[1]['nll']:.2f} ± {rows[1]['nll_error']:.2f}" in table
    assert len(table.strip().splitlines()) == 4
    for name in ("sweep.png", "samples.png"):
        assert imread(out / name).std() > 0.05


@pytest.mark.slow
def test_a_second_start_does_nothing_anew_and_goes_on(swept, capfd):
    out, rows = swept
    trained = {k: os.stat(out / k / "model.keras").st_mtime_ns for k in ("k1", "k4")}
    # The evaluation of K = 4 was since then done by draws from elsewhere. K = 2 has not begun.
    history = runs.read_history(out / "k4")
    metrics = runs.read_json(out / "k4" / "metrics.json")
    elsewhere = {**metrics["nll_test"], "proposal_scale": 2.0, "nll": 0.0}
    runs.write_json(out / "k4" / "metrics.json", {**metrics, "nll_test": elsewhere})
    again = sweep.sweep(CONFIG, [1, 2, 4], out, **ARGUMENTS)
    assert [row["k"] for row in again] == [1, 2, 4]
    assert again[0] == rows[0]
    assert again[2] == rows[1]
    assert {k: os.stat(out / k / "model.keras").st_mtime_ns for k in ("k1", "k4")} == trained
    assert runs.read_history(out / "k4") == history
    assert runs.read_json(out / "k4" / "metrics.json")["nll_test"]["nll"] == metrics["nll_test"]["nll"]
    assert "min left" in capfd.readouterr().out


@pytest.mark.slow
def test_a_half_trained_run_is_trained_to_its_end(tmp_path):
    """What is there after a kill in the second epoch: the configuration, and the model after the first."""
    config = CONFIG.replaced(num_samples=3)
    experiments.train(config.replaced(epochs=1), tmp_path / "k3")
    (tmp_path / "k3" / "metrics.json").unlink()
    runs.write_json(tmp_path / "k3" / "config.json", asdict(config))
    (row,) = sweep.sweep(CONFIG, [3], tmp_path, **ARGUMENTS)
    assert row["epochs"] == 2
    assert int(runs.load_model(tmp_path / "k3").optimizer.iterations) == 2 * (1297 // 100)


@pytest.mark.slow
def test_other_settings_in_the_folder_are_refused_before_anything_is_trained(swept, tmp_path):
    out, _ = swept
    with pytest.raises(ValueError, match=r"`out`. Expected .* where seed is 0 and not 5"):
        sweep.sweep(CONFIG.replaced(seed=5), [9, 4], out, **ARGUMENTS)
    assert not (out / "k9").exists()
    refused = [
        ({"ks": [0]}, "k"),
        ({"eval_k": 0}, "eval_k"),
        ({"limit": 0}, "limit"),
        ({"config": CONFIG.replaced(posterior="adversarial", objective="elbo", num_samples=1)}, "posterior"),
        ({"config": CONFIG.replaced(objective="ae", num_samples=None)}, "objective"),
    ]
    for arguments, name in refused:
        with pytest.raises(ValueError, match=f"`{name}`"):
            sweep.sweep(**{"config": CONFIG, "ks": [1], "out": tmp_path, **ARGUMENTS, **arguments})
    assert not list(tmp_path.iterdir())


def test_what_no_k_can_be_is_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(ValueError, match=r"`estimator`\. Expected 'dreg' in its place"):
        sweep.sweep(CONFIG.replaced(estimator="stl"), [1, 5], tmp_path / "out", **ARGUMENTS)
    assert not (tmp_path / "out").exists()


def test_a_number_that_is_null_is_a_dash():
    row = dict.fromkeys(("validation_bound", "nll", "nll_error", "reconstruction", "squared_error"))
    row |= {"k": 5, "objective": "iwae", "eval_k": 20, "active_units": 0, "latent_dim": 3, "seconds_per_epoch": 0.3}
    assert sweep.table([row]).splitlines()[-1] == "| 5 | - | - | - | - | 0 of 3 | 0.3 |"


@pytest.mark.parametrize(("quantity", "said"), [("NLL", "-NLL"), ("cross-entropy of grey levels", "-cross-entropy")])
def test_the_picture_calls_the_number_what_it_is(tmp_path, monkeypatch, quantity, said):
    """A cross-entropy of grey levels was an NLL in it, beside a table that said what it was."""
    row = {"k": 5, "validation_bound": -9.0, "nll": 8.0, "nll_error": 0.1, "reconstruction": -7.0, "squared_error": 0.1}
    row |= {"eval_k": 20, "active_units": 1, "latent_dim": 3, "seconds_per_epoch": 0.3, "quantity": quantity}
    row["objective"] = "iwae"
    model, figures = IWAE((2, 2, 1), latent_dim=2, hidden=(3,)), {}
    monkeypatch.setattr(runs, "load_model", lambda _: model)
    monkeypatch.setattr(charts, "save", lambda path, figure: figures.update({path.name: figure}))
    sweep._write(tmp_path, [row])
    assert [text.get_text() for text in figures["sweep.png"].legends[0].get_texts()][1].endswith(f"= {said}")


@pytest.mark.parametrize(("objective", "said"), [("iwae", "L_K"), ("elbo", "of elbo"), ("jvi", "of jvi")])
def test_a_validation_bound_is_that_of_the_objective(objective, said):
    """Of whatever was climbed it was called L_K, which an ELBO is at no K."""
    row = {"k": 5, "objective": objective, "validation_bound": -9.0, "nll": 8.0, "nll_error": 0.1, "eval_k": 20}
    row |= {"reconstruction": -7.0, "squared_error": 0.1, "active_units": 1, "latent_dim": 3, "seconds_per_epoch": 0.3}
    assert sweep.table([row]).split(" | ")[1] == f"validation bound {said}"
    figure = charts.sweep([row])
    assert ("more is better" in figure.axes[0].get_ylabel()) == (objective != "jvi")
    label = figure.legends[0].get_texts()[0].get_text()
    assert label.replace("$", "") == f"validation bound {said}"


def test_time_left_is_a_line_in_k():
    ks = [1, 5, 10, 50]
    assert sweep._left(ks, 1, {}) == ""
    assert sweep._left(ks, 1, {1: 60.0}) == "; more than 3.0 min left"
    assert sweep._left(ks, 5, {1: 70.0, 5: 110.0}) == "; about 12.0 min left"
    assert sweep._left(ks, 50, {1: 70.0, 5: 110.0}) == ""


@pytest.mark.slow
def test_diagnose_then_report(process):
    folder, _ = process
    ended = call("diagnose", "--model", "sweep/k4", "--limit", 60, "--gap-images", 0, cwd=folder)
    assert ended.stderr == ""
    for text in (
        "k4 on digits, 60 test images",
        "of 3 units active",
        "mutual information",
        "scripts/report.py sweep/k4",
    ):
        assert text in ended.stdout
    record = json.loads((folder / "sweep" / "k4" / "diagnosis.json").read_text())
    assert record["inference_gap"] is None
    assert record["verdict"] in ended.stdout
    ended = call("report", "sweep/k4", cwd=folder)
    assert ended.stdout == "wrote     sweep/k4/report.html\n"
    assert ended.stderr == ""


@pytest.mark.slow
def test_compare_prints_a_table_and_refuses(process):
    folder, _ = process
    runs = [folder / "sweep" / name for name in ("k1", "k4")]
    for path, seed in zip(runs, (1, 2), strict=True):
        record = json.loads((path / "metrics.json").read_text())["nll_test"]
        noise = np.random.default_rng(seed).normal(size=60)
        np.savez(path / "per-example-test.npz", log_likelihood=noise - noise.mean() - record["nll"])
    expected = float(np.diff([json.loads((path / "metrics.json").read_text())["nll_test"]["nll"] for path in runs])[0])
    assert f"{expected:+.2f}" in call("compare", *runs, cwd=folder).stdout
    assert "nowhere, where there is none" in error_line("compare", runs[0], "nowhere", cwd=folder)
    usage = call("compare", runs[0], cwd=folder, status=2)
    assert "at least two runs" in usage.stderr.splitlines()[-1]
