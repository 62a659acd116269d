#!/usr/bin/env python
"""Write one self-contained HTML page about a run into its folder, to read on a screen, to print or to send.

The page holds the test log-likelihood with its diagnosis, samples, reconstructions, what the latents do, the best and
the worst test images, training curves and settings. It loads nothing from anywhere. Parts that are missing are named,
with the command that makes them.

examples:
  python scripts/report.py
  python scripts/report.py saved_models/mnist-50
"""

import argparse

from _entry import command, parsed, said


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=said(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "run",
        nargs="?",
        metavar="RUN",
        help="run folder, model in the box or hf://USER/MODEL [the newest in saved_models/]",
    )
    return parsed(parser)


def main(args: argparse.Namespace) -> None:
    from keras_iwae.experiments import report
    from keras_iwae.training import library

    print(f"wrote     {report.write_report(library.run_of(args.run))}")


if __name__ == "__main__":
    command(main, parse())
