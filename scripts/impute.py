#!/usr/bin/env python
"""Fill in the missing cells of a table, a CSV or Parquet file, and say how far to trust each row.

A model of the rows is learned from what there is of them, and each gap is filled in with its conditional mean, or its
most probable level. --imputations also writes files with draws in place of these, whose spread says what is not known:
do your analysis on each and pool the results. A cell that was there keeps its text. Separators, decimal commas and
the usual words for a missing cell (nothing, NA, NaN, ?, NULL, ..., among numbers a lone - or .) are found out. A quote
that is not closed, or has text behind it, is refused by its line.

What each column was taken for is printed at the end. Beside OUT there will be OUT-rows.csv, a verdict on each row that
had gaps. Where an earlier run left more files with draws than this one would write, it is refused until they are
removed. Files may be larger than memory. What was stopped goes on when the same command is started again.

examples:
  python scripts/impute.py survey.csv --out filled.csv
  python scripts/impute.py survey.csv --out filled.csv --imputations 20 --report filled.html
  python scripts/impute.py survey.csv --out filled.csv --ignore id name --kind grade=ordinal --missing -999 unknown
  python scripts/impute.py shirts.csv --out filled.csv --kind "size=ordinal(S<M<L)" code=categorical --missing -
  python scripts/impute.py incomes.csv --out filled.csv --missingness self_masking
  python scripts/impute.py table.parquet --out filled.parquet
"""

import argparse

from _entry import command, parsed
from _help import parser_with_main_options
from _reading import add_reading, given_reading

# What --help explains.
MAIN = ("data", "out", "imputations", "report", "kind", "ignore", "missing", "missingness", "seed")


def parse() -> argparse.Namespace:
    parser = parser_with_main_options(__doc__, MAIN)
    parser.add_argument("data", metavar="DATA", help="the file with gaps")
    parser.add_argument("--out", required=True, help="the file to write, of the same format")
    parser.add_argument(
        "--imputations", type=int, default=0, metavar="M", help="files with draws, OUT-01 and so on [0]"
    )
    parser.add_argument("--report", metavar="PAGE.html", help="also write a page about what was put in")
    add_reading(parser)
    return parsed(parser)


def main(args: argparse.Namespace) -> None:
    from keras_iwae import tables
    from keras_iwae.experiments.report.imputation import check_page, write_imputation_report

    page = check_page(args.report) if args.report else None
    files = tables.impute_file(args.data, args.out, num_imputations=args.imputations, **given_reading(args))
    lines = {"filled": files.filled, "verdicts": files.rows}
    if files.imputations:
        lines["draws"] = f"{files.imputations[0]} to {files.imputations[-1]}"
    if page:
        lines["page"] = write_imputation_report(files, page)
    lines["kinds"] = files.kinds
    print("\n".join(f"{name:9} {value}" for name, value in lines.items()))


if __name__ == "__main__":
    command(main, parse(), when_stopped="stopped; the same command continues", options={"source": "DATA"})
