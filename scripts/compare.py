#!/usr/bin/env python
"""Compare trained models image by image: the difference of the NLL to the first run's, with a 95 % confidence interval.

The images are the same, so what they share cancels and a tenth of a nat can be told from noise, which the standard
errors of the two NLLs would hide. The runs have to be evaluated on the same images with the same K and seed. What
another training seed would change is not in the interval.

examples:
  python scripts/compare.py saved_models/mnist-iwae saved_models/mnist-dreg
  python scripts/compare.py saved_models/table-* --json
"""

import argparse

from _entry import command, parsed, said


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=said(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folders, the one to compare with first")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    args = parsed(parser)
    if len(args.runs) < 2:
        parser.error("name at least two runs")
    return args


def main(args: argparse.Namespace) -> None:
    from keras_iwae.experiments import comparison
    from keras_iwae.foundation import json_text
    from keras_iwae.training import library

    found = comparison.compare([library.run_of(run) for run in args.runs])
    print(json_text(found) if args.json else comparison.table(found))


if __name__ == "__main__":
    command(main, parse(), options={"folders": "RUN"})
