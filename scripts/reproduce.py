#!/usr/bin/env python
"""Reproduce rows of the paper's table: train, evaluate at K=5000, count active units, keep the result.

A row of the paper's protocol is eight stages, 3,280 passes over the data; --stages and --budget-minutes stop earlier,
and the result says so. A row that ends in -fast has the same network and K on a small budget, one in
-long that recipe for some hours. Everything is checkpointed after each epoch: the same command goes on where it was
stopped or killed, and ends with the same weights.

--seeds trains each row once with each seed, every one in a run folder of its own; --list says how far the NLL spreads.
--workers N gives each row a process of its own, N at once on this machine's cores, --address on a Ray cluster: equal
numbers. One that dies is begun again, and an error in one leaves the others alone. Both need Ray: pip install
'keras-iwae[ray]'.

examples:
  python scripts/reproduce.py --list
  python scripts/reproduce.py --row digits-iwae-k50-l1-fast
  python scripts/reproduce.py --row mnist-iwae-k50-l1-fast
  python scripts/reproduce.py --row mnist-iwae-k50-l1 --stages 5
  python scripts/reproduce.py --row mnist-vae-k1-l1-then-iwae-k50-fast
  python scripts/reproduce.py --all --budget-minutes 30
  python scripts/reproduce.py --all --fast --workers 8
  python scripts/reproduce.py --row digits-vae-k1-l1-fast digits-iwae-k50-l1-fast --seeds 0 1 2 --workers 2
"""

import argparse

from _entry import command, parsed, said


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=said(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--row", nargs="+", metavar="NAME", help="one row or more; --list shows the names")
    what.add_argument("--all", action="store_true", help="every row of the paper's tables")
    what.add_argument("--list", action="store_true", help="every row: the published NLL, this one's, how far it is")
    parser.add_argument("--fast", action="store_true", help="with --all: the -fast rows in their place")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="S", help="training seeds of each row [0]")
    parser.add_argument(
        "--stages", type=int, metavar="N", help="of the paper's eight: 1, 4, 13, 40, 121, ... passes [8]"
    )
    parser.add_argument("--budget-minutes", type=float, metavar="M", help="training time of each row over all starts")
    parser.add_argument("--k", type=int, help="importance samples of the evaluation [5000]")
    parser.add_argument("--limit", type=int, metavar="N", help="evaluate the first N test images only [all]")
    parser.add_argument("--out", default="saved_models/reproduce", help="folder of runs [saved_models/reproduce]")
    parser.add_argument("--workers", type=int, metavar="N", help="rows at once [1, here; with --address: one a core]")
    parser.add_argument("--address", metavar="ray://HOST:PORT", help="of a Ray cluster that trains [none]")
    args = parsed(parser)
    if args.k is not None and args.k < 1:
        parser.error(f"--k: expected an integer of at least 1, received {args.k}")
    if args.fast and not args.all:
        parser.error("--fast is of --all; of one row it is another name, which ends in -fast")
    if args.list:
        for option in ("seeds", "stages", "budget_minutes", "k", "limit", "workers", "address"):
            if getattr(args, option) is not None:
                parser.error(f"--list shows what is there, and takes no --{option.replace('_', '-')}")
    return args


def main(args: argparse.Namespace) -> None:
    from keras_iwae.experiments import job_processes, row_states
    from keras_iwae.experiments.many_rows import reproduce_rows
    from keras_iwae.experiments.paper_table import ROWS
    from keras_iwae.experiments.reproduction import Asked

    if args.list:
        print("\n".join(row_states.table(args.out)))
        return
    names = args.row or [
        row.name for row in ROWS.values() if row.published and row.recipe == ("fast" if args.fast else "paper")
    ]
    minutes = None if args.budget_minutes is None else f"{args.budget_minutes:g}"
    given = {"--stages": args.stages, "--k": args.k, "--limit": args.limit, "--budget-minutes": minutes}
    words = [str(word) for pair in given.items() if pair[1] is not None for word in pair]
    asked = Asked(args.stages, args.budget_minutes, args.k, args.limit)
    with job_processes(args.workers, args.address) as jobs:
        reproduce_rows(names, args.seeds, args.out, asked, words, jobs)


if __name__ == "__main__":
    command(main, parse(), "stopped; the same command goes on from the last whole epoch", {"num_samples": "--k"})
