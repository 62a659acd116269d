"""sweep_k, diagnose, report and compare as a user runs them, one after the other on the same runs."""

import json

import numpy as np
import pytest
from test_scripts import call, error_line

pytestmark = pytest.mark.slow

SMALL = ["--dataset", "digits", "--batch-size", "100", "--hidden", "16", "--latent-dim", "2", "--epochs", "1"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tools")
    return folder, call("sweep_k", "--k", 3, 1, *SMALL, "--eval-k", 20, "--limit", 40, "--out", "sweep", cwd=folder)


def test_sweep_prints_its_table_and_what_is_left(swept):
    folder, process = swept
    assert process.stderr == ""
    assert "K = 1: NLL" in process.stdout
    assert "min left" in process.stdout
    assert (folder / "sweep" / "results.md").read_text().strip() in process.stdout
    assert [row["k"] for row in json.loads((folder / "sweep" / "results.json").read_text())] == [1, 3]


def test_diagnose_then_report(swept):
    folder, _ = swept
    process = call("diagnose", "--model", "sweep/k3", "--limit", 60, "--gap-images", 0, cwd=folder)
    assert process.stderr == ""
    for text in (
        "k3 on digits, 60 test images",
        "of 2 units active",
        "mutual information",
        "scripts/report.py sweep/k3",
    ):
        assert text in process.stdout
    record = json.loads((folder / "sweep" / "k3" / "diagnosis.json").read_text())
    assert record["inference_gap"] is None
    assert record["verdict"] in process.stdout
    process = call("report", "sweep/k3", cwd=folder)
    assert process.stdout == "wrote     sweep/k3/report.html\n"
    assert process.stderr == ""


def test_compare_prints_a_table_and_refuses(swept):
    folder, _ = swept
    runs = [folder / "sweep" / name for name in ("k1", "k3")]
    for path, seed in zip(runs, (1, 2), strict=True):
        record = json.loads((path / "metrics.json").read_text())["nll_test"]
        noise = np.random.default_rng(seed).normal(size=40)
        np.savez(path / "per-example-test.npz", log_likelihood=noise - noise.mean() - record["nll"])
    expected = float(np.diff([json.loads((path / "metrics.json").read_text())["nll_test"]["nll"] for path in runs])[0])
    assert f"{expected:+.2f}" in call("compare", *runs, cwd=folder).stdout
    assert "nowhere, where there is none" in error_line("compare", runs[0], "nowhere", cwd=folder)
    usage = call("compare", runs[0], cwd=folder, status=2)
    assert "at least two runs" in usage.stderr.splitlines()[-1]
