"""The K experiment on digits: what it writes, what it skips, and how it goes on."""

import csv
import json
import os
from dataclasses import asdict

import numpy as np
import pytest
from matplotlib.image import imread

from keras_iwae import experiments
from keras_iwae.experiments import sweep
from keras_iwae.training import runs

CONFIG = experiments.ExperimentConfig.of(
    dataset="digits", epochs=2, batch_size=100, hidden=((16,),), latent_dim=(3,), learning_rate=0.01
)
ARGUMENTS = {"eval_k": 20, "limit": 60, "verbose": False}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    out = tmp_path_factory.mktemp("sweep")
    return out, sweep.sweep(CONFIG, [4, 1, 4], out, **ARGUMENTS)


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
    assert json.loads((out / "results.json").read_text()) == rows
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
    # Half of K = 4 is missing: its last epoch and its evaluation. K = 2 has not begun.
    history = runs.read_history(out / "k4")
    metrics = runs.read_json(out / "k4" / "metrics.json")
    runs.write_json(out / "k4" / "metrics.json", {})
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


def test_time_left_is_a_line_in_k():
    ks = [1, 5, 10, 50]
    assert sweep._left(ks, 1, {}) == ""
    assert sweep._left(ks, 1, {1: 60.0}) == "; more than 3.0 min left"
    assert sweep._left(ks, 5, {1: 70.0, 5: 110.0}) == "; about 12.0 min left"
    assert sweep._left(ks, 50, {1: 70.0, 5: 110.0}) == ""
