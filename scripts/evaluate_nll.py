#!/usr/bin/env python
"""Negative log-likelihood of a trained model on test images, with its errors and a verdict.

--method iw, importance sampling with K draws for each image: the NLL in nats with its errors, the bounds L_1, L_2, L_5,
... L_K from the same draws, the jackknife's corrected value, effective sample size and Pareto k-hat of the weights, and
whether K suffices. Memory does not grow with K. With --proposal refined or adapted, beside it the same by proposals
that are fitted to each image: tighter, in less time, where the encoder is what K does not suffice for.
--method ais, annealed importance sampling: an independent check, much slower; use --limit.
--method bdmc: log p(x) between two bounds on --limit images drawn from the model, and how far below it L_K is.

Test images are binarized once, from --seed. The run's metrics.json keeps the result, and per-example-*.npz that of each
image. What was interrupted continues when the same command is started again. docs/likelihood.md says what to believe.

--workers N computes batches in N processes that share this machine's cores, --address on a Ray cluster: equal numbers.
Both need Ray: pip install 'keras-iwae[ray]'.

examples:
  python scripts/evaluate_nll.py --k 5000
  python scripts/evaluate_nll.py --k 5000 --model saved_models/mnist-50 --limit 1000
  python scripts/evaluate_nll.py --k 5000 --proposal adapted --proposal-k 500
  python scripts/evaluate_nll.py --k 500 --model saved_models/mnist-50 --dataset fashion_mnist --json
  python scripts/evaluate_nll.py --method ais --chains 16 --temperatures 1000 --limit 100
  python scripts/evaluate_nll.py --method bdmc --initial posterior --limit 50
  python scripts/evaluate_nll.py --method ais --workers 8
"""

import argparse
import sys

from _entry import command, parsed
from _help import parser_with_main_options

# The argument of the package's function that each option is, where only some methods have it.
IMPORTANCE = {"chunk_size": "chunk_size", "proposal_scale": "proposal_scale", "defensive": "defensive"}
FITTED = {"proposal": "proposal", "proposal_k": "fitted_samples"}
ANNEALING = {
    "chains": "num_chains",
    "temperatures": "num_temperatures",
    "leapfrog": "num_leapfrog_steps",
    "initial": "initial",
}
IMAGES = {"dataset": "dataset", "split": "split"}
METHODS = {
    "iw": {"k": "num_samples", "per_example": "per_example", "sumo": "sumo", **IMAGES, **IMPORTANCE, **FITTED},
    "ais": {**IMAGES, **ANNEALING},
    "bdmc": {"k": "num_samples", **ANNEALING},
}
# The package knows most of them by another name.
COUNTS = ("limit", "k", "chunk_size", "proposal_k", "sumo", "chains", "temperatures", "leapfrog")


# What --help explains.
MAIN = ("model", "method", "k", "proposal", "dataset", "limit", "workers", "json", "seed")


def parse() -> argparse.Namespace:
    parser = parser_with_main_options(__doc__, MAIN)
    parser.add_argument("--method", choices=METHODS, default="iw", help="iw, ais or bdmc [iw]")
    parser.add_argument(
        "--model", help="run folder, .keras file, model in the box or hf://USER/MODEL [the newest in saved_models/]"
    )
    parser.add_argument("--dataset", help="what to evaluate on [what the run was trained on]")
    parser.add_argument("--split", help="train, validation or test [test]")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N images [all; bdmc: 100]")
    parser.add_argument("--seed", type=int, default=0, help="of the draws and of the binarization [0]")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    parser.add_argument("--workers", type=int, metavar="N", help="processes [1; with --address: a core each]")
    parser.add_argument("--address", metavar="ray://HOST:PORT", help="of a Ray cluster that computes [none]")
    importance = parser.add_argument_group("importance sampling")
    importance.add_argument("--k", type=int, help="importance samples for each image [5000]")
    importance.add_argument("--chunk-size", type=int, metavar="C", help="samples decoded together [25]")
    importance.add_argument(
        "--proposal-scale", type=float, metavar="S", help="widen the posterior by S for drawing [1]"
    )
    importance.add_argument("--defensive", type=float, metavar="A", help="share of draws from the prior [0]")
    importance.add_argument(
        "--proposal",
        choices=("amortized", "refined", "adapted"),
        help="amortized: draws of the posterior; refined, adapted: also of proposals fitted to each image [amortized]",
    )
    importance.add_argument("--proposal-k", type=int, metavar="K", help="samples of a fitted proposal [500]")
    importance.add_argument("--sumo", type=int, metavar="R", help="also R unbiased estimates of each image")
    importance.add_argument(
        "--per-example", metavar="FILE.npz", help="write the log-likelihood of each image there too"
    )
    annealing = parser.add_argument_group("ais and bdmc")
    annealing.add_argument("--chains", type=int, metavar="C", help="chains for each image [16]")
    annealing.add_argument("--temperatures", type=int, metavar="T", help="steps of a chain [1000]")
    annealing.add_argument("--leapfrog", type=int, metavar="L", help="leapfrog steps of a step [10]")
    annealing.add_argument("--initial", help="where chains start, prior or posterior [prior]")
    args = parsed(parser)
    for option in sorted({name for options in METHODS.values() for name in options} - set(METHODS[args.method])):
        if getattr(args, option) is not None:
            parser.error(f"--method {args.method} has no --{option.replace('_', '-')}")
    for option in COUNTS:
        # Before an evaluation that takes minutes, and by the option's name.
        if (count := getattr(args, option)) is not None and count < 1:
            parser.error(f"--{option.replace('_', '-')}: expected an integer of at least 1, received {count}")
    if args.sumo is not None and (args.workers not in (None, 1) or args.address is not None):
        parser.error("--sumo is of one process: no --workers, no --address")
    if args.proposal in (None, "amortized") and args.proposal_k is not None:
        parser.error("--proposal-k is of --proposal refined or adapted; of the posterior it is --k")
    return args


def main(args: argparse.Namespace) -> None:
    from keras_iwae import experiments
    from keras_iwae.foundation import json_text

    with experiments.worker_processes(args.workers, args.address) as workers:
        title, result, record = evaluated(args, workers)
    note = f"\n\n{record['note']}" if "note" in record else ""
    print(json_text(record) if args.json else f"{title}\n\n{result}{note}")


def evaluated(args: argparse.Namespace, workers) -> tuple[str, object, dict]:
    """What it is of, the result, and its record for JSON."""
    from keras_iwae import experiments
    from keras_iwae.training import library

    given = {
        argument: getattr(args, option)
        for option, argument in METHODS[args.method].items()
        if getattr(args, option) is not None
    }
    common = {"model": library.run_of(args.model), "seed": args.seed, "verbose": sys.stderr.isatty()}
    spread = {**common, "workers": workers}
    if args.method == "bdmc":
        limit = {} if args.limit is None else {"num_examples": args.limit}
        result, record = experiments.evaluate_bidirectional(**spread, **limit, **given)
        title = f"{record['model']} on images of its own"
    else:
        num_estimates = given.pop("sumo", None)
        evaluate = experiments.evaluate_annealed if args.method == "ais" else experiments.evaluate
        if args.proposal in ("refined", "adapted"):
            evaluate = experiments.evaluate_both
        result, record = evaluate(**spread, limit=args.limit, **given)
        title = f"{record['model']} on {record['dataset']}, {record['split']} split"
        if num_estimates is not None:
            images = {name: given[name] for name in IMAGES if name in given}
            sumo, record["sumo"] = experiments.evaluate_sumo(
                **common, limit=args.limit, num_estimates=num_estimates, **images
            )
            result = f"{result}\n\n{sumo}"
    return title, result, record


if __name__ == "__main__":
    given = {option: argument for of in METHODS.values() for option, argument in of.items()}
    others = {argument: f"--{option.replace('_', '-')}" for option, argument in given.items() if option != argument}
    command(main, parse(), "stopped; the same command continues", {**others, "data": "--dataset"})
