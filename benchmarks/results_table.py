#!/usr/bin/env python
"""A row of Markdown for each run folder, from what its metrics.json and config.json say; nothing is typed in.

python benchmarks/results_table.py saved_models/mnist-iwae-k50 saved_models/mnist-iwae-dreg-k50
"""

import argparse
import json
from pathlib import Path


def row(run: Path) -> str:
    config, metrics = (json.loads((run / name).read_text()) for name in ("config.json", "metrics.json"))
    nll, training = metrics["nll_test"], metrics["training"]
    parameters = [f"{name} {config[name]}" for name in ("num_groups", "beta", "alpha") if config.get(name) is not None]
    drawn = config.get("backward_samples")
    cells = [
        ", ".join([config["objective"], *parameters]),
        config["estimator"] + (f", m = {drawn}" if drawn else ""),
        config["num_samples"],
        int(training["epoch"]),
        f"{nll['nll']:.2f} ± {nll['standard_error']:.2f}",
        f"{nll['bounds']['1']:.2f}",
        f"{nll['bounds']['50']:.2f}",
        f"{nll['effective_sample_size']['mean']:.1f}",
        f"{nll['active_units']} of {nll['latent_dim']}",
        nll["num_examples"],
        config["seed"],
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders that were evaluated with evaluate_nll.py")
    heads = ["objective", "estimator", "K", "passes", "NLL (nats)", "L_1", "L_50", "mean ESS", "active units"]
    heads += ["test images", "seed"]
    runs = parser.parse_args().runs
    print("| " + " | ".join(heads) + " |\n|" + "-|" * len(heads))
    print("\n".join(map(row, runs)))


if __name__ == "__main__":
    main()
