"""The table of annealing beside importance sampling: differences image by image, and rows of other runs stay."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import checks_table
import results_table
from test_comparing import make_run

from keras_iwae.training import runs

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
        "nll_adapted_test": {**sampled, "nll": 32.0, "pareto_k": {"share_above_0.7": 0.25}},
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


@pytest.mark.parametrize("name", ["dataset", "seed", "model_digest"])
@pytest.mark.parametrize("method", ["ais_test", "nll_adapted_test"])
def test_evaluations_of_other_images_or_weights_have_no_difference(run, name, method):
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["nll_test"][name], metrics[method][name] = "one", "another"
    (run / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(ValueError, match=f"of one {name}; received one and another"):
        checks_table.row(run)


def test_an_evaluation_from_before_digests_is_compared(run):
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["ais_test"]["model_digest"] = runs.digest(run)
    (run / "metrics.json").write_text(json.dumps(metrics))
    assert checks_table.row(run)["AIS less adapted"] == "-0.50 ± 0.00"


def test_evaluations_of_an_earlier_model_and_arrays_of_another_evaluation_are_refused(run):
    metrics = json.loads((run / "metrics.json").read_text())
    np.savez(run / "per-example-ais-test.npz", log_likelihood=np.array([-9.0, -9.0]))
    with pytest.raises(
        ValueError, match=r"per-example-ais-test\.npz the images of metrics\.json, with an NLL of 2\.50"
    ):
        checks_table.row(run)
    (run / "metrics.json").write_text(json.dumps({name: {**r, "model_digest": "a"} for name, r in metrics.items()}))
    (run / "model.keras").write_bytes(b"another")
    with pytest.raises(ValueError, match=r"of the model in .* as it is now"):
        checks_table.row(run)


def test_a_table_of_results_compares_what_was_evaluated_alike(tmp_path):
    values = -np.array([3.0, 5.0, 9.0])
    first = make_run(tmp_path / "first", values, digest="d")
    assert results_table.difference(make_run(tmp_path / "b", values - 1.0, digest="d"), first) == "+1.00 ± 0.00"
    assert results_table.has_images(first)
    for name, changes in {"seed": {"seed": 1}, "num_samples": {"num_samples": 5}}.items():
        said = results_table.difference(make_run(tmp_path / name, values, digest="d", **changes), first)
        assert said.startswith("none: ")
        assert f"evaluated alike. Received: {name}" in said
    one = [make_run(tmp_path / name, values[:1], digest="e") for name in ("one", "other")]
    assert results_table.difference(*one) == "+0.00"


def test_rows_of_other_runs_temperatures_and_chains_from_elsewhere_stay(run, tmp_path, capsys):
    file = tmp_path / "checks.json"
    kept = [("`a-run`", "posterior", "1,000", "0.80"), ("`a-run`", "prior", "4,000", "0.70")]
    before = [("`another`", "prior", "1,000", "0.50"), *kept, ("`a-run`", "prior", "1,000", "0.10")]
    names = "run", "chains from", "temperatures", "acceptance"
    file.write_text(json.dumps([dict(zip(names, row, strict=True)) for row in before]))
    checks_table.main(checks_table.arguments().parse_args([str(run), "--json", str(file)]))
    assert [tuple(row[name] for name in names) for row in json.loads(file.read_text())] == [
        kept[0],
        ("`a-run`", "prior", "1,000", "0.60"),
        kept[1],
        before[0],
    ]
    checks_table.main(checks_table.arguments().parse_args([str(run)]))
    assert "| `a-run` |" in capsys.readouterr().out
