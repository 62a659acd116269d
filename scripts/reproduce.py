#!/usr/bin/env python
"""Reproduce rows of the paper's table: train, evaluate at K=5000, count active units, keep the result.

A row of the paper's protocol is eight stages, 3,280 passes over the data; --stages and --budget-minutes stop earlier,
and the result says so. A row that ends in -fast has the same network and K on a small budget. Everything is
checkpointed after each epoch: the same command goes on where it was stopped or killed, and ends with the same weights.

examples:
  python scripts/reproduce.py --list
  python scripts/reproduce.py --row digits-iwae-k50-l1-fast
  python scripts/reproduce.py --row mnist-iwae-k50-l1-fast
  python scripts/reproduce.py --row mnist-iwae-k50-l1 --stages 5
  python scripts/reproduce.py --row mnist-vae-k1-l1-then-iwae-k50-fast
  python scripts/reproduce.py --all --budget-minutes 30
"""

import argparse

from _entry import command, parsed, said


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=said(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--row", metavar="NAME", help="one row; --list shows the names")
    what.add_argument("--all", action="store_true", help="every row of the paper's tables, one after the other")
    what.add_argument("--list", action="store_true", help="every row: the published NLL, this one's, how far it is")
    parser.add_argument("--fast", action="store_true", help="with --all: the -fast rows in their place")
    parser.add_argument(
        "--stages", type=int, metavar="N", help="of the paper's eight: 1, 4, 13, 40, 121, ... passes [8]"
    )
    parser.add_argument("--budget-minutes", type=float, metavar="M", help="training time of each row over all starts")
    parser.add_argument("--k", type=int, help="importance samples of the evaluation [5000]")
    parser.add_argument("--limit", type=int, metavar="N", help="evaluate the first N test images only [all]")
    parser.add_argument("--out", default="saved_models/reproduce", help="folder of runs [saved_models/reproduce]")
    args = parsed(parser)
    if args.k is not None and args.k < 1:
        parser.error(f"--k: expected an integer of at least 1, received {args.k}")
    if args.fast and not args.all:
        parser.error("--fast is of --all; of one row it is another name, which ends in -fast")
    if args.list:
        for option in ("stages", "budget_minutes", "k", "limit"):
            if getattr(args, option) is not None:
                parser.error(f"--list shows what is there, and takes no --{option.replace('_', '-')}")
    return args


def main(args: argparse.Namespace) -> None:
    from keras_iwae.experiments import reproduction
    from keras_iwae.experiments.paper_table import ROWS
    from keras_iwae.foundation import command_line

    if args.list:
        print(f"{'row':<48}{'published':>10}{'NLL':>10}   state")
        print("\n".join(reproduction.status(row, args.out) for row in ROWS.values()))
        return
    names = [args.row] if args.row else [row.name for row in ROWS.values() if row.published and row.fast == args.fast]
    minutes = None if args.budget_minutes is None else f"{args.budget_minutes:g}"
    given = {"--stages": args.stages, "--k": args.k, "--limit": args.limit, "--budget-minutes": minutes}
    words = [str(word) for pair in given.items() if pair[1] is not None for word in pair]
    for i, name in enumerate(names):
        print(f"{name} ({i + 1} of {len(names)})", flush=True)
        line = command_line("reproduce", "--row", name, *words)
        reproduction.reproduce(name, args.out, args.stages, args.budget_minutes, args.k, args.limit, line)
        print(reproduction.status(ROWS[name], args.out))


if __name__ == "__main__":
    command(main, parse(), when_stopped="stopped; the same command goes on from the last whole epoch")
