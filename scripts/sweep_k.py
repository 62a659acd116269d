#!/usr/bin/env python
"""Train the same model at several K, all else equal, and see what K buys and what it costs.

Each K gets a run folder in --out. After each of them --out has results.json, results.csv and results.md (validation
bound, test NLL, reconstruction, active units, seconds an epoch), sweep.png (bounds and time against K) and samples.png
(samples side by side). Stopped and started again it goes on: finished K's are skipped, a half-trained one is resumed.
What all runs have in common is said as to train.py.

--workers N gives each K a process of its own, N at once on this machine's cores, --address on a Ray cluster: equal
numbers, but for times. Both need Ray: pip install 'keras-iwae[ray]'.

examples:
  python scripts/sweep_k.py --k 1 5 10 25 50 --dataset mnist --epochs 10
  python scripts/sweep_k.py --k 1 5 25 --dataset digits --epochs 20 --eval-k 1000 --out saved_models/digits-sweep
  python scripts/sweep_k.py --k 1 5 10 25 50 --dataset mnist --epochs 10 --workers 5
"""

import argparse
import sys

from _entry import command, parsed
from _help import parser_with_main_options
from train import add_settings, given_settings

# What --help explains.
MAIN = (
    "k",
    "dataset",
    "epochs",
    "out",
    "eval_k",
    "limit",
    "workers",
    "objective",
    "latent_dim",
    "hidden",
    "batch_size",
    "learning_rate",
    "seed",
)


def parse() -> argparse.Namespace:
    parser = parser_with_main_options(__doc__, MAIN)
    parser.add_argument("--k", type=int, nargs="+", default=[1, 5, 10, 25, 50], help="the K's [1 5 10 25 50]")
    parser.add_argument("--eval-k", type=int, default=5000, metavar="K", help="samples for the test NLL [5000]")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N test images [all]")
    parser.add_argument("--out", default="saved_models/sweep", help="folder of the sweep [saved_models/sweep]")
    parser.add_argument("--workers", type=int, metavar="N", help="K's at once [1, here; with --address: one a core]")
    parser.add_argument("--address", metavar="ray://HOST:PORT", help="of a Ray cluster that trains [none]")
    # K is what varies.
    add_settings(parser, without=("num_samples",))
    return parsed(parser)


def main(args: argparse.Namespace) -> None:
    from keras_iwae import experiments
    from keras_iwae.experiments import sweep

    settings = given_settings(args)
    if settings.get("objective") != "ae":
        # That of none of the runs, but what is said of them has to go with it.
        settings["num_samples"] = max(50, *args.k)
    config = experiments.ExperimentConfig.of(**settings)
    with experiments.job_processes(args.workers, args.address) as jobs:
        rows = sweep.sweep(config, args.k, args.out, args.eval_k, args.limit, sys.stderr.isatty(), jobs)
    files = "results.json, results.csv, results.md, sweep.png, samples.png"
    print(f"\n{sweep.table(rows)}\n\nwrote     {args.out}: {files}")


if __name__ == "__main__":
    command(
        main,
        parse(),
        "stopped; the same command goes on from the last whole epoch",
        dict.fromkeys(("num_samples", "ks", "k"), "--k"),
    )
