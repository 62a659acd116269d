#!/usr/bin/env python
"""Draw images from a trained model's prior as a PNG grid; with two latent units, also a map of their plane.

examples:
  python scripts/sample.py
  python scripts/sample.py --model saved_models/mnist-50 --num 64 --columns 8 --seed 3 --out samples.png
"""

import argparse

from _entry import command, parsed, said


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=said(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--model", help="run folder, .keras file, model in the box or hf://USER/MODEL [the newest in saved_models/]"
    )
    parser.add_argument("--num", type=int, default=100, help="images [100]")
    parser.add_argument("--columns", type=int, default=10, help="images in a row [10]")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same images [0]")
    parser.add_argument("--drawn", action="store_true", help="draw pixels, not their means")
    parser.add_argument("--out", help="PNG file [figures/samples-seedN.png in the run folder, or -drawn.png]")
    return parsed(parser)


def main(args: argparse.Namespace) -> None:
    from keras_iwae import experiments
    from keras_iwae.training import library

    model = library.run_of(args.model)
    for path in experiments.draw_samples(model, args.num, args.columns, args.seed, args.drawn, args.out):
        print(f"wrote     {path}")


if __name__ == "__main__":
    command(main, parse(), options={"num_samples": "--num"})
