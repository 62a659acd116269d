#!/usr/bin/env python
"""Importance sampling beside annealed importance sampling, a row for each run, from what its folder holds.

Each run was evaluated by both: scripts/evaluate_nll.py --k 5000, and --method ais on the same first images or fewer.
The difference is of the images that both have, image by image.

  python benchmarks/checks_table.py saved_models/reproduce/mnist-iwae-k50-l1-fast --json docs/results/checks.json
"""

import argparse
import json
from pathlib import Path

import numpy as np


def row(run: Path) -> dict[str, str]:
    metrics = json.loads((run / "metrics.json").read_text())
    whole, annealed = metrics["nll_test"], metrics["ais_test"]
    sampled, checked = (
        np.load(run / f"per-example-{name}.npz")["log_likelihood"].astype(np.float64) for name in ("test", "ais-test")
    )
    n = len(checked)
    gaps = checked - sampled[:n]
    return {
        "run": f"`{run.name}`",
        f"IW-NLL, K = {whole['num_samples']}, {whole['num_examples']} images": f"{whole['nll']:.2f} ± "
        f"{whole['standard_error']:.2f}",
        "k-hat above 0.7": f"{whole['pareto_k']['share_above_0.7']:.0%}",
        f"IW-NLL, first {n} images": f"{-sampled[:n].mean():.2f} ± {sampled[:n].std(ddof=1) / n**0.5:.2f}",
        f"AIS, first {n} images": f"{annealed['nll']:.2f} ± {annealed['standard_error']:.2f}",
        "Monte Carlo error of AIS": f"{annealed['monte_carlo_error']:.3f}",
        "AIS less IW-NLL, image by image": f"{-gaps.mean():+.2f} ± {gaps.std(ddof=1) / n**0.5:.2f}",
        "acceptance": f"{annealed['acceptance_rate']:.2f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("runs", nargs="+", type=Path, help="run folders that were evaluated by both methods")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there in place of Markdown")
    args = parser.parse_args()
    rows = [row(run) for run in args.runs]
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
        return
    print("| " + " | ".join(rows[0]) + " |\n|" + "-|" * len(rows[0]))
    for cells in rows:
        print("| " + " | ".join(cells.values()) + " |")


if __name__ == "__main__":
    main()
