#!/usr/bin/env python
"""Which recipe learns fastest? Short trainings of IWAE on MNIST, alike but for one thing, on validation images.

The rows are those that the -fast recipe of keras_iwae/experiments/paper_table.py was chosen among. Every trial has the
paper's network, batches of 100 unless it says otherwise, a rate that rises and then falls to 0 unless it is constant,
and seed 0; the NLL is minus L_1000 on the 400 validation images, the same draws of one binarization. What is trained
with another bound first has two thirds of the passes for that, and a rate that rises and falls in each part; that with
free bits is the ELBO of one draw, but for units that say less than so many nats (benchmarks/_free_bits.py). Runs are
kept in --out: a second start goes on.

  python benchmarks/recipe_trials.py --passes 6 --json docs/results/trials.json
  python benchmarks/recipe_trials.py --passes 6 --only "warm-up" --json docs/results/trials.json
  python benchmarks/recipe_trials.py --passes 3 --dataset digits
"""

import argparse
import json
from pathlib import Path

from _files import ending_in
from _report import positive, run

DREG = {"estimator": "dreg", "backward_samples": 8}
# Of the -fast recipe, but for its rate.
RISING = {**DREG, "learning_rate": 0.004, "early_samples": 10}
PIWAE = {**DREG, "learning_rate": 0.004, "objective": "piwae", "num_samples": 64, "num_groups": 8}
CONSTANT = {**DREG, "schedule": "constant", "learning_rate": 0.001, "early_samples": 10}
TRIALS: dict[str, dict] = {
    "reparameterized, rate 0.002": {"estimator": "reparameterized", "learning_rate": 0.002, "backward_samples": 8},
    "DReG, rate 0.002": {**DREG, "learning_rate": 0.002},
    "DReG, rate 0.004": {**DREG, "learning_rate": 0.004},
    "DReG, rate 0.008": {**DREG, "learning_rate": 0.008},
    "DReG, rate 0.003, batches of 50": {**DREG, "learning_rate": 0.003, "batch_size": 50},
    "DReG, rate 0.004, K = 10 throughout": {"estimator": "dreg", "learning_rate": 0.004, "num_samples": 10},
    "DReG, rate 0.004, K = 5 throughout": {"estimator": "dreg", "learning_rate": 0.004, "num_samples": 5},
    "DReG, rate 0.004, K = 10, then 50": RISING,
    "DReG, rate 0.004, K = 10, then 50, m = 4": {**RISING, "backward_samples": 4},
    "DReG, rate 0.004, K = 20, then 50, m = 16": {**RISING, "backward_samples": 16, "early_samples": 20},
    "DReG, rate 0.004, K = 10, then 50, batches of 200": {**RISING, "batch_size": 200},
    "DReG, rate 0.004, K = 10, then 50, averaged weights (EMA 0.999)": {**RISING, "ema": 0.999},
    "DReG, rate 0.004, K = 10, then 50, KL warm-up in the first pass": {**RISING, "warm_passes": 1},
    "DReG, rate 0.004, K = 10, then 50, KL warm-up in three passes": {**RISING, "warm_passes": 3},
    "DReG, constant rate 0.001, K = 10, then 50": CONSTANT,
    "DReG, constant rate 0.001, K = 10, then 50, averaged weights (EMA 0.999)": {**CONSTANT, "ema": 0.999},
    "PIWAE(8, 8), DReG, rate 0.004": PIWAE,
    "PIWAE(8, 8) first, then DReG with K = 50": {**DREG, "learning_rate": 0.004, "first": PIWAE},
    "CIWAE(0.5) first, then DReG with K = 50": {
        **DREG,
        "learning_rate": 0.004,
        "first": {"learning_rate": 0.004, "objective": "ciwae", "num_samples": 10, "estimator": "reparameterized"},
    },
    **{
        f"ELBO with {nats:g} free nats a unit first, then DReG with K = 50": {
            **DREG,
            "learning_rate": 0.004,
            "first": {"learning_rate": 0.004, "free_nats": nats},
        }
        for nats in (0.0, 0.05, 0.2, 0.5)
    },
}


def trained(
    folder: Path, dataset: str, passes: int, first: dict | None = None, warm_passes: int = 0, **settings
) -> float:
    """The NLL after so many passes in a run folder, of which what is `first` has two thirds in another.

    In the first `warm_passes` the KL part grows to its weight.
    """
    from keras_iwae import experiments
    from keras_iwae.experiments import inputs
    from keras_iwae.training import runs

    if first is not None:
        before, start = passes * 2 // 3, folder.with_name(f"{folder.name}-first")
        if "free_nats" in first:
            start = folder.with_name(f"{folder.name}-first.keras")
            with_free_bits(start, dataset, before, **first)
        else:
            trained(start, dataset, before, **first)
        passes, settings = passes - before, {**settings, "start": str(start)}
    given = {"num_samples": 50, "schedule": "cosine", **settings}
    config = experiments.ExperimentConfig.of(dataset=dataset, epochs=passes, **given)
    config = config.replaced(kl_warmup_steps=warm_passes * config.steps_per_pass)
    if (folder / "config.json").exists():
        inputs.check_wanted(folder, config)
        experiments.resume(folder, curve=True)
    else:
        experiments.train(config, folder, curve=True)
    (last,) = (row for row in runs.read_rows(folder / "nll.csv", "passes", "nll") if row["passes"] == passes)
    return last["nll"]


def with_free_bits(file: Path, dataset: str, passes: int, free_nats: float, learning_rate: float) -> None:
    """Write a model that was trained so, unless it is there."""
    from _free_bits import FreeBits

    from keras_iwae import data, experiments
    from keras_iwae.experiments import building
    from keras_iwae.training import runs

    if file.exists():
        return
    config = experiments.ExperimentConfig.of(
        dataset=dataset, epochs=passes, num_samples=1, schedule="cosine", learning_rate=learning_rate
    )
    model = building.build(config)
    free = FreeBits(model, free_nats)
    free.compile(model.optimizer)
    images = data.load(dataset, "train", config.data.batch_size, config.binarization, seed=config.run.seed)
    free.fit(images, epochs=passes, shuffle=False, verbose=2)
    runs.save_model(model, file)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--passes", type=positive, default=6, help="over the training images [6]")
    parser.add_argument("--dataset", default="mnist", help="[mnist]")
    parser.add_argument("--out", type=Path, default=Path("saved_models/trials"), help="[saved_models/trials]")
    parser.add_argument("--only", default="", metavar="TEXT", help="trials that have this in their name [all]")
    said = "write the rows there, beside those of other trials, data sets and passes"
    parser.add_argument("--json", type=ending_in(".json"), metavar="FILE", help=said)
    return parser


def key(row: dict[str, str]) -> tuple[int, str, int]:
    """By which a row is replaced, and rows are in order."""
    return list(TRIALS).index(row["recipe"]), row["data set"], int(row["passes"])


def main(args: argparse.Namespace) -> None:
    from keras_iwae.foundation.storage import write_json

    chosen = [name for name in TRIALS if args.only in name]
    if not chosen:
        raise ValueError(f"--only: expected a part of a trial's name, received {args.only!r}")
    rows = json.loads(args.json.read_text()) if args.json and args.json.exists() else []
    found = {key(row): row for row in rows if row["recipe"] in TRIALS}
    for name in chosen:
        folder = args.out / f"{args.dataset}-{args.passes}-{name.replace(', ', '-').replace(' ', '')}"
        nll = trained(folder, args.dataset, args.passes, **TRIALS[name])
        row = {"recipe": name, "data set": args.dataset, "passes": str(args.passes)}
        row["validation NLL, K = 1000"] = f"{nll:.2f}"
        print(row, flush=True)
        found[key(row)] = row
    if args.json:
        write_json(args.json, [found[one] for one in sorted(found)])


if __name__ == "__main__":
    run(main, arguments())
