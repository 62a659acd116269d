"""diagnose, sweep_k, compare and report as a user runs them, one after the other on the same runs."""

import json

import numpy as np
import pytest
from test_scripts import error_line, run

pytestmark = pytest.mark.slow

SMALL = ["--dataset", "digits", "--batch-size", "100", "--hidden", "16", "--latent-dim", "2", "--epochs", "1"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tools")
    process = run("sweep_k", "--k", 3, 1, *SMALL, "--eval-k", 20, "--limit", 40, "--out", "sweep", cwd=folder)
    return folder, process


def test_sweep_prints_its_table_and_what_is_left(swept):
    folder, process = swept
    assert process.stderr == ""
    assert "K = 1: NLL" in process.stdout
    assert "min left" in process.stdout
    table = (folder / "sweep" / "results.md").read_text().strip()
    assert table in process.stdout
    rows = json.loads((folder / "sweep" / "results.json").read_text())
    assert [row["k"] for row in rows] == [1, 3]
    again = run("sweep_k", "--k", 1, 3, *SMALL, "--eval-k", 20, "--limit", 40, "--out", "sweep", cwd=folder)
    assert "Epoch" not in again.stdout
    assert table in again.stdout
    line = error_line("sweep_k", "--k", 1, *SMALL, "--seed", 4, "--out", "sweep", cwd=folder)
    assert "where seed is 0 and not 4" in line


def test_diagnose_then_report(swept):
    folder, _ = swept
    process = run("diagnose", "--model", "sweep/k3", "--limit", 60, "--gap-images", 0, cwd=folder)
    assert process.stderr == ""
    for text in (
        "k3 on digits, 60 test images",
        "of 2 units active",
        "mutual information",
        "next      python scripts/re",
    ):
        assert text in process.stdout
    record = json.loads((folder / "sweep" / "k3" / "diagnosis.json").read_text())
    assert record["inference_gap"] is None
    assert record["verdict"] in process.stdout
    process = run("report", "sweep/k3", cwd=folder)
    assert process.stdout == "wrote     sweep/k3/report.html\n"
    assert process.stderr == ""
    assert "nowhere, which is none" in error_line("report", "nowhere", cwd=folder)
    assert "`gap_images`" in error_line("diagnose", "--model", "sweep/k3", "--gap-images", -1, cwd=folder)


def test_compare_prints_a_table_or_json_and_refuses(swept):
    folder, _ = swept
    runs = [folder / "sweep" / name for name in ("k1", "k3")]
    for path in runs:
        arguments = ["--k", 20, "--limit", 40, "--model", path, "--per-example", path / "per-example-test.npz"]
        run("evaluate_nll", *arguments, cwd=folder)
    first, second = (np.load(path / "per-example-test.npz")["log_likelihood"] for path in runs)
    expected = float((first - second).mean(dtype=np.float64))
    printed = run("compare", *runs, cwd=folder).stdout
    assert f"{expected:+.2f}" in printed
    found = json.loads(run("compare", *runs, "--json", cwd=folder).stdout)
    assert found["runs"][1]["difference"]["nll"] == pytest.approx(expected, abs=1e-4)
    metrics = json.loads((runs[1] / "metrics.json").read_text())
    metrics["nll_test"]["seed"] = 1
    (runs[1] / "metrics.json").write_text(json.dumps(metrics))
    assert "evaluated alike. Received: seed 0 in" in error_line("compare", *runs, cwd=folder)
    usage = run("compare", runs[0], cwd=folder, status=2)
    assert "at least two runs" in usage.stderr.splitlines()[-1]
