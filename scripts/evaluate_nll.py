#!/usr/bin/env python
"""Negative log-likelihood of a trained model on test images, by importance sampling with K draws for each image.

Prints the NLL in nats per image with its errors, the bounds L_1, L_2, L_5, ... L_K from the same draws, the jackknife's
corrected value, effective sample size and Pareto k-hat of the weights, and whether K suffices; the run's metrics.json
keeps them, and per-example-SPLIT.npz those of each image. Test images are binarized once, from --seed. Memory does not
grow with K. An evaluation that was interrupted continues when it is started again.

examples:
  python scripts/evaluate_nll.py --k 5000
  python scripts/evaluate_nll.py --k 5000 --model saved_models/mnist-50 --limit 1000
  python scripts/evaluate_nll.py --k 500 --model saved_models/mnist-50 --dataset fashion_mnist --json
"""

import argparse
import json
import sys

from _entry import command


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--k", type=int, default=5000, help="importance samples for each image [5000]")
    parser.add_argument("--model", help="run folder or .keras file [the newest run in saved_models/]")
    parser.add_argument("--dataset", help="what to evaluate on [what the run was trained on]")
    parser.add_argument("--split", default="test", help="train, validation or test [test]")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N images [all]")
    parser.add_argument("--chunk-size", type=int, default=25, metavar="C", help="samples decoded together [25]")
    parser.add_argument("--seed", type=int, default=0, help="of the draws and of the binarization [0]")
    parser.add_argument("--proposal-scale", type=float, default=1.0, metavar="S", help="widen the posterior by S [1]")
    parser.add_argument("--defensive", type=float, default=0.0, metavar="A", help="share of draws from the prior [0]")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    parser.add_argument("--per-example", metavar="FILE.npz", help="write the log-likelihood of each image there")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    from keras_iwae import experiments

    result, record = experiments.evaluate(
        args.model,
        num_samples=args.k,
        dataset=args.dataset,
        split=args.split,
        limit=args.limit,
        chunk_size=args.chunk_size,
        seed=args.seed,
        proposal_scale=args.proposal_scale,
        defensive=args.defensive,
        per_example=args.per_example,
        verbose=sys.stdout.isatty() and not args.json,
    )
    if args.json:
        print(json.dumps(record, indent=2))
    else:
        print(f"{record['model']} on {record['dataset']}, {record['split']} split\n\n{result}")


if __name__ == "__main__":
    command(main, parse(), "stopped; the same command continues")
