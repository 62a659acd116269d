#!/usr/bin/env python
"""Which recipe learns fastest? Short trainings of IWAE on MNIST, alike but for one thing, on validation images.

The rows are those that the -fast recipe of keras_iwae/experiments/paper_table.py was chosen among. Every trial has the
paper's network, batches of 100 unless it says otherwise, a rate that rises and then falls to 0, and seed 0; the NLL is
minus L_1000 on the 400 validation images, the same draws of one binarization. Runs are kept in --out: a second start
goes on.

  python benchmarks/recipe_trials.py --passes 6 --json docs/results/trials.json
"""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
DREG = {"estimator": "dreg", "backward_samples": 8}
TRIALS = {
    "reparameterized, rate 0.002": {"estimator": "reparameterized", "learning_rate": 0.002, "backward_samples": 8},
    "DReG, rate 0.002": {**DREG, "learning_rate": 0.002},
    "DReG, rate 0.004": {**DREG, "learning_rate": 0.004},
    "DReG, rate 0.008": {**DREG, "learning_rate": 0.008},
    "DReG, rate 0.003, batches of 50": {**DREG, "learning_rate": 0.003, "batch_size": 50},
    "DReG, rate 0.004, K = 10 throughout": {"estimator": "dreg", "learning_rate": 0.004, "num_samples": 10},
    "DReG, rate 0.004, K = 5 throughout": {"estimator": "dreg", "learning_rate": 0.004, "num_samples": 5},
    "DReG, rate 0.004, K = 10, then 50": {**DREG, "learning_rate": 0.004, "early_samples": 10},
    "PIWAE(8, 8), DReG, rate 0.004": {
        **DREG,
        "learning_rate": 0.004,
        "objective": "piwae",
        "num_samples": 64,
        "num_groups": 8,
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--passes", type=int, default=6, help="over the training images [6]")
    parser.add_argument("--dataset", default="mnist", help="[mnist]")
    parser.add_argument("--out", type=Path, default=Path("saved_models/trials"), help="[saved_models/trials]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there, too")
    args = parser.parse_args()
    from keras_iwae import experiments
    from keras_iwae.experiments import inputs
    from keras_iwae.training import runs

    rows = []
    for name, settings in TRIALS.items():
        run = args.out / name.replace(", ", "-").replace(" ", "")
        config = experiments.ExperimentConfig.of(
            dataset=args.dataset, epochs=args.passes, schedule="cosine", **{"num_samples": 50, **settings}
        )
        if (run / "config.json").exists():
            inputs.check_wanted(run, config)
            experiments.resume(run, curve=True)
        else:
            experiments.train(config, run, curve=True)
        (last,) = (row for row in runs.read_rows(run / "nll.csv", "passes", "nll") if row["passes"] == args.passes)
        rows.append({"recipe": name, "passes": str(args.passes), "validation NLL, K = 1000": f"{last['nll']:.2f}"})
        print(rows[-1], flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
