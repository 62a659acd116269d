#!/usr/bin/env python
"""A row of Markdown for each run folder, from what its metrics.json and config.json say; nothing is typed in.

Where folders hold log-likelihoods of each image, which evaluate_nll.py writes, the last column is the difference of the
NLL to the first run's, image by image, with its standard error, or why there is none.

python benchmarks/results_table.py saved_models/mnist-iwae-k50 saved_models/mnist-iwae-dreg-k50
python benchmarks/results_table.py saved_models/table-* --json docs/results/bounds.json
"""

import argparse
import json
from pathlib import Path

from _files import ending_in
from _report import run as run_script


def difference(run: Path, first: Path) -> str:
    """Mean difference of the NLL to another run's that was evaluated alike, and its standard error."""
    from keras_iwae.experiments.comparison import compare

    try:
        found = compare([first, run])["runs"][1]["difference"]
    except ValueError as error:
        # Of other images, say: the rest of the table stands.
        return f"none: {' '.join(str(error).split())}".replace("|", r"\|")
    error = found["standard_error"]
    return f"{found['nll']:+.2f}" + ("" if error is None else f" ± {error:.2f}")


def has_images(run: Path) -> bool:
    return any((run / name).exists() for name in ("per-example-test.npz", "per-example.npz"))


def row(run: Path, first: Path | None) -> dict[str, str]:
    config, metrics = (json.loads((run / name).read_text()) for name in ("config.json", "metrics.json"))
    nll, training, climbed = metrics["nll_test"], metrics["training"], config["objective"]
    names = "num_groups", "beta", "alpha"
    parameters = [f"{name} {climbed[name]}" for name in names if climbed[name] is not None]
    drawn = climbed["backward_samples"]
    cells = {
        "objective": ", ".join([climbed["objective"], *parameters]),
        "estimator": climbed["estimator"] + (f", m = {drawn}" if drawn else ""),
        "K": str(climbed["num_samples"]),
        "passes": str(int(training["epoch"])),
        "NLL (nats)": f"{nll['nll']:.2f} ± {nll['standard_error']:.2f}",
        **{f"L_{k}": f"{nll['bounds'][k]:.2f}" for k in ("1", "5", "50")},
        "mean ESS": f"{nll['effective_sample_size']['mean']:.1f}",
        "active units": f"{nll['active_units']} of {nll['latent_dim']}",
        "test images": str(nll["num_examples"]),
        "seed": str(config["run"]["seed"]),
        "training": f"{training['seconds'] / 60:.1f} min",
    }
    if first is not None and has_images(run) and has_images(first):
        cells["to the first row"] = "" if run == first else difference(run, first)
    return cells


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("runs", nargs="+", type=Path, help="run folders that were evaluated with evaluate_nll.py")
    said = "write the rows there in place of Markdown"
    parser.add_argument("--json", type=ending_in(".json"), metavar="FILE", help=said)
    return parser


def main(args: argparse.Namespace) -> None:
    from keras_iwae.foundation.storage import write_json

    first = args.runs[0] if len(args.runs) > 1 else None
    rows = [row(run, first) for run in args.runs]
    if args.json:
        write_json(args.json, rows)
        return
    print("| " + " | ".join(rows[0]) + " |\n|" + "-|" * len(rows[0]))
    for cells in rows:
        print("| " + " | ".join(cells.values()) + " |")


if __name__ == "__main__":
    run_script(main, arguments())
