#!/usr/bin/env python
"""Tune settings by trials with settings drawn of a space, of which those behind are stopped and the best is kept.

SPACE is a JSON file: for each setting that varies an object with one of {"choice": [...]}, {"uniform": [least, most]},
{"log_uniform": [least, most]} and {"integers": [least, most]}. What all trials have is said as to train.py.
Trials are compared by the validation bound, so that data, likelihood, objective and K do not vary. Ray Tune (ASHA)
stops those that are behind. --out gets a run folder and a log for each trial, the run of the best one, trained to its
end and evaluated on the test images, results.json, results.csv, results.md and tune.png. Stopped or killed and started
again it goes on.

examples:
  python scripts/tune.py space.json --dataset digits --trials 20 --epochs 30 --workers 2
  python scripts/tune.py space.json --dataset mnist --trials 50 --epochs 100 --address ray://head:10001
"""

import argparse
import sys

from _entry import command, parsed
from _help import parser_with_main_options
from train import add_settings, given_settings

# What --help explains.
MAIN = (
    "space",
    "dataset",
    "trials",
    "epochs",
    "out",
    "workers",
    "eval_k",
    "num_samples",
    "objective",
    "latent_dim",
    "seed",
)


def parse() -> argparse.Namespace:
    parser = parser_with_main_options(__doc__, MAIN)
    parser.add_argument("space", metavar="SPACE", help="file of the search space, .json")
    parser.add_argument(
        "--trials", type=int, default=20, metavar="N", help="how many; a later start may have more [20]"
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="trials trained at once [1; with --address one for each core]"
    )
    parser.add_argument("--address", metavar="RAY", help="ray://HOST:PORT of a Ray cluster [this machine]")
    parser.add_argument("--eval-k", type=int, default=5000, metavar="K", help="samples for the test NLL [5000]")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N test images [all]")
    parser.add_argument("--out", default="saved_models/tune", help="folder of the tuning [saved_models/tune]")
    parser.add_argument("--seed", type=int, help="of what is drawn, and of the training of all trials [0]")
    add_settings(parser, without=("seed",))
    return parsed(parser)


def main(args: argparse.Namespace) -> None:
    from keras_iwae.experiments import tuning
    from keras_iwae.experiments.search_space import read_space
    from keras_iwae.experiments.trial_table import trials_table

    found = tuning.tune(
        read_space(args.space),
        given_settings(args),
        args.out,
        args.trials,
        args.workers,
        args.address,
        args.eval_k,
        args.limit,
        verbose=sys.stderr.isatty(),
    )
    print(f"\n{trials_table(found['trials'])}\n\n{tuning.best_text(found['best'])}")
    print(f"wrote     {args.out}: best, trials, results.json, results.csv, results.md, tune.png")


if __name__ == "__main__":
    command(main, parse(), when_stopped="stopped; the same command goes on from the last whole epochs")
