#!/usr/bin/env python
"""Importance sampling beside annealed importance sampling, a row for each run, from what its folder holds.

Each run was evaluated by both: scripts/evaluate_nll.py --k 5000, and --method ais on the same first images or fewer;
if --proposal adapted was asked for too, it is held to the same images. A difference is of the images that both have,
image by image. Rows of other runs, other temperatures or chains from elsewhere that --json has already stay there.

  python benchmarks/checks_table.py saved_models/reproduce/mnist-iwae-k50-l1-fast --json docs/results/checks.json
"""

import argparse
import json
from pathlib import Path

import numpy as np
from _files import ending_in
from _page import of_records
from _report import run as run_script


def row(run: Path) -> dict[str, str]:
    metrics = json.loads((run / "metrics.json").read_text())
    check_alike(run, [metrics[name] for name in ("nll_test", "ais_test", "nll_adapted_test") if name in metrics])
    whole, annealed = metrics["nll_test"], metrics["ais_test"]
    sampled, checked = log_likelihoods(run, "test", whole), log_likelihoods(run, "ais-test", annealed)
    n = len(checked)
    of = "all test images" if whole["limit"] is None else f"{whole['num_examples']} images"
    found = {
        "run": f"`{run.name}`",
        f"IW-NLL, K = {whole['num_samples']}, {of}": f"{whole['nll']:.2f} ± {whole['standard_error']:.2f}",
        "k-hat above 0.7": f"{whole['pareto_k']['share_above_0.7']:.0%}",
        f"IW-NLL, first {n} images": f"{-sampled[:n].mean():.2f} ± {sampled[:n].std(ddof=1) / n**0.5:.2f}",
        "chains from": annealed["initial"],
        "temperatures": f"{annealed['num_temperatures']:,}",
        f"AIS, first {n} images": f"{annealed['nll']:.2f} ± {annealed['standard_error']:.2f}",
        "Monte Carlo error of AIS": f"{annealed['monte_carlo_error']:.3f}",
        "AIS less IW-NLL, image by image": less(checked, sampled[:n]),
        "acceptance": f"{annealed['acceptance_rate']:.2f}",
    }
    if "effective_chains" in annealed:
        found["effective chains"] = f"{annealed['effective_chains']:.1f} of {annealed['num_chains']}"
    if "nll_adapted_test" in metrics:
        adapted = metrics["nll_adapted_test"]
        found["AIS less adapted"] = less(checked, log_likelihoods(run, "adapted-test", adapted)[:n])
        found["k-hat above 0.7, adapted"] = f"{adapted['pareto_k']['share_above_0.7']:.0%}"
    return found


def _key(found: dict[str, str]) -> tuple[str, str, int]:
    """By which a row is replaced, and rows are in order."""
    return found["run"], found["chains from"], int(found["temperatures"].replace(",", ""))


def check_alike(run: Path, records: list[dict]) -> None:
    """Refuse evaluations of which a difference image by image says nothing: of other images, or of another model."""
    from keras_iwae.training import runs

    for name in ("dataset", "seed", "model_digest"):
        # Records from before there were digests have none.
        found = list(dict.fromkeys(str(record[name]) for record in records if record.get(name) is not None))
        if len(found) > 1:
            raise ValueError(f"expected evaluations in {run} of one {name}; received {' and '.join(found)}")
    if not all(runs.is_current(run, record) for record in records):
        raise ValueError(f"expected evaluations of the model in {run} as it is now; received those of an earlier one")


def log_likelihoods(run: Path, name: str, record: dict) -> np.ndarray:
    """Of each image, of the evaluation that has this record."""
    found = np.load(run / f"per-example-{name}.npz")["log_likelihood"].astype(np.float64)
    if not np.isclose(-found.mean(), record["nll"], 1e-4):
        raise ValueError(
            f"expected in {run}/per-example-{name}.npz the images of metrics.json, with an NLL of {record['nll']:.2f}; "
            f"received others, with {-found.mean():.2f}"
        )
    return found


def less(one: np.ndarray, other: np.ndarray) -> str:
    """How many nats the NLL of the first is above that of the other, with its error over images."""
    return f"{(other - one).mean():+.2f} ± {(other - one).std(ddof=1) / len(one) ** 0.5:.2f}"


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("runs", nargs="+", type=Path, help="run folders that were evaluated by both methods")
    said = "write the rows there in place of Markdown"
    parser.add_argument("--json", type=ending_in(".json"), metavar="FILE", help=said)
    return parser


def main(args: argparse.Namespace) -> None:
    from keras_iwae.foundation.storage import write_json

    rows = [row(run) for run in args.runs]
    if args.json:
        named = {_key(found) for found in rows}
        before = json.loads(args.json.read_text()) if args.json.exists() else []
        rows = sorted([*(found for found in before if _key(found) not in named), *rows], key=_key)
        write_json(args.json, rows)
        return
    print(of_records(rows))


if __name__ == "__main__":
    run_script(main, arguments())
