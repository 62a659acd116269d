#!/usr/bin/env python
"""A row of Markdown for each run folder, from what its metrics.json and config.json say; nothing is typed in.

Where every folder of several holds the per-example.npz of the same images (evaluate_nll.py --per-example), the last
column is the difference of the NLL to the first run's, image by image, with its standard error.

python benchmarks/results_table.py saved_models/mnist-iwae-k50 saved_models/mnist-iwae-dreg-k50
python benchmarks/results_table.py saved_models/table-* --json docs/results/bounds.json
"""

import argparse
import json
from pathlib import Path

import numpy as np


def difference(run: Path, first: Path) -> str:
    """Mean difference of the NLL to another run's on the same images, and its standard error."""
    found = [np.load(folder / "per-example.npz") for folder in (run, first)]
    if len({str(arrays["images_sha256"]) for arrays in found}) > 1:
        raise ValueError(f"expected two runs evaluated on the same images; received {run} and {first}")
    one, other = (arrays["log_likelihood"] for arrays in found)
    gaps = other - one
    return f"{gaps.mean():+.2f} ± {gaps.std(ddof=1) / len(gaps) ** 0.5:.2f}"


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
    if first is not None and all((folder / "per-example.npz").exists() for folder in (run, first)):
        cells["to the first row"] = "" if run == first else difference(run, first)
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("runs", nargs="+", type=Path, help="run folders that were evaluated with evaluate_nll.py")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there in place of Markdown")
    args = parser.parse_args()
    first = args.runs[0] if len(args.runs) > 1 else None
    rows = [row(run, first) for run in args.runs]
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
        return
    print("| " + " | ".join(rows[0]) + " |\n|" + "-|" * len(rows[0]))
    for cells in rows:
        print("| " + " | ".join(cells.values()) + " |")


if __name__ == "__main__":
    main()
