"""The table of annealing beside importance sampling: differences image by image, and rows of other runs stay."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import checks_table

NLLS = {"test": [3.0, 5.0, 100.0], "ais-test": [2.0, 3.0], "adapted-test": [2.5, 3.5, 90.0]}


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "a-run"
    folder.mkdir()
    for name, nlls in NLLS.items():
        np.savez(folder / f"per-example-{name}.npz", log_likelihood=-np.array(nlls, np.float32))
    sampled = {"nll": 36.0, "standard_error": 1.0, "num_samples": 5000, "num_examples": 3, "limit": None}
    metrics = {
        "nll_test": {**sampled, "pareto_k": {"share_above_0.7": 1.0}},
        "nll_adapted_test": {**sampled, "pareto_k": {"share_above_0.7": 0.25}},
        "ais_test": {
            "nll": 2.5,
            "standard_error": 0.5,
            "monte_carlo_error": 0.01,
            "acceptance_rate": 0.6,
            "num_temperatures": 1000,
            "initial": "prior",
        },
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def test_differences_are_of_the_images_that_both_have(run):
    row = checks_table.row(run)
    # Of 1 and 2 nats, and of a half twice.
    assert row["AIS less IW-NLL, image by image"] == "-1.50 ± 0.50"
    assert row["AIS less adapted"] == "-0.50 ± 0.00"
    assert row["IW-NLL, first 2 images"] == "4.00 ± 1.00"
    assert row["IW-NLL, K = 5000, all test images"] == "36.00 ± 1.00"
    assert (row["k-hat above 0.7"], row["k-hat above 0.7, adapted"]) == ("100%", "25%")


def test_rows_of_other_runs_temperatures_and_chains_from_elsewhere_stay(run, tmp_path, monkeypatch, capsys):
    file = tmp_path / "checks.json"
    kept = [("`a-run`", "posterior", "1,000", "0.80"), ("`a-run`", "prior", "4,000", "0.70")]
    before = [("`another`", "prior", "1,000", "0.50"), *kept, ("`a-run`", "prior", "1,000", "0.10")]
    names = "run", "chains from", "temperatures", "acceptance"
    file.write_text(json.dumps([dict(zip(names, row, strict=True)) for row in before]))
    monkeypatch.setattr(sys, "argv", ["checks_table.py", str(run), "--json", str(file)])
    checks_table.main()
    assert [tuple(row[name] for name in names) for row in json.loads(file.read_text())] == [
        kept[0],
        ("`a-run`", "prior", "1,000", "0.60"),
        kept[1],
        before[0],
    ]
    monkeypatch.setattr(sys, "argv", ["checks_table.py", str(run)])
    checks_table.main()
    assert "| `a-run` |" in capsys.readouterr().out
