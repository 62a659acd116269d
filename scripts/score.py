#!/usr/bin/env python
"""Score each row of a table, a CSV or Parquet file, by its log-likelihood: the lowest rows are the odd ones.

A model of the rows is learned from the table itself, or from another one with --train, and log p(x) of each row, in
nats, is written to OUT; of a row with gaps it is that of what was observed. With --cells each cell has a score, given
the other cells of its row, so that a person sees which cell is odd; one of a column called row, missing,
log_likelihood or oddest is under column_row, and so on. The oddest cell is furthest below what is usual in its column
of the table that is learned from; fewer than 20 cells do not say what is. What each column was taken for is printed at
the end. What was stopped goes on when the same command is started again.

examples:
  python scripts/score.py transactions.csv --out scores.csv
  python scripts/score.py new.csv --train old.csv --out scores.csv --cells
  python scripts/score.py table.parquet --out scores.csv --ignore id
"""

import argparse

from _entry import command, parsed
from _help import parser_with_main_options
from _reading import add_reading, given_reading

# What --help explains.
MAIN = ("data", "out", "train", "cells", "kind", "ignore", "missing", "seed")


def parse() -> argparse.Namespace:
    parser = parser_with_main_options(__doc__, MAIN)
    parser.add_argument("data", metavar="DATA", help="the file with the rows to score")
    parser.add_argument(
        "--out", metavar="SCORES.csv", help="the file to write [NAME-scores.csv beside DATA, NAME.csv or NAME]"
    )
    parser.add_argument("--train", metavar="FILE", help="what to learn from, with the same columns [DATA]")
    parser.add_argument("--cells", action="store_true", help="also a score for each cell, which takes much longer")
    parser.add_argument(
        "--proposal",
        choices=("amortized", "refined", "adapted"),
        help="what a row's samples are drawn from: the encoder's, or what is fitted to each row [amortized]",
    )
    add_reading(parser)
    return parsed(parser)


def main(args: argparse.Namespace) -> None:
    from pathlib import Path

    from keras_iwae import tables

    data = Path(args.data)
    out = args.out or data.with_name(f"{data.name.removesuffix('.csv')}-scores.csv")
    options = {} if args.proposal is None else {"proposal": args.proposal}
    written = tables.score_file(data, out, train=args.train, cells=args.cells, **given_reading(args), **options)
    print(f"scores    {written.scores}\nkinds     {written.kinds}")


if __name__ == "__main__":
    command(main, parse(), when_stopped="stopped; the same command continues", options={"source": "DATA"})
