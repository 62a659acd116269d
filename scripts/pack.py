#!/usr/bin/env python
"""Pack a trained run to hand on: weights without the optimizer, what is known of it, and a model card.

The folder works with every script, with `keras_iwae.load`, and on the Hugging Face Hub as it is.

examples:
  python scripts/pack.py --model saved_models/mnist-50 --out handed-on/mnist-50
  python scripts/pack.py --model saved_models/mnist-50 --out handed-on/mnist-50-half --half
"""

import argparse

from _entry import command, parsed, said


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=said(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--model", help="run folder, model in the box or hf://USER/MODEL [the newest in saved_models/]")
    parser.add_argument("--out", required=True, help="new folder; its name is the model's")
    parser.add_argument(
        "--half", action="store_true", help="round weights to float16 and compress them; what that changes is measured"
    )
    return parsed(parser)


def main(args: argparse.Namespace) -> None:
    from keras_iwae.experiments import pack
    from keras_iwae.training import library

    folder = pack(library.run_of(args.model), args.out, args.half)
    print(f"packed    {folder}, {(folder / 'model.keras').stat().st_size / 1e6:.2f} MB of weights")
    print(f"card      {folder / 'README.md'}")


if __name__ == "__main__":
    command(main, parse(), options={"run": "--model"})
