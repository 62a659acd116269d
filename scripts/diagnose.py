#!/usr/bin/env python
"""Say what the latents of a trained model do on test images, and what its encoder leaves of the best Gaussian.

Prints active units and KL of each stochastic layer, the mutual information of image and latents, how far the
aggregate posterior is from the prior, the reconstruction error, whether inference is calibrated and the model's own
data are like the images, the inference gap with its two parts, and whether the posterior has collapsed; the run's
diagnosis.json keeps all of it, unit by unit. docs/diagnostics.md says what each number means and when to distrust it.
The gap is found a hundred images at a time, and a second start goes on.

examples:
  python scripts/diagnose.py
  python scripts/diagnose.py --model saved_models/mnist-50 --limit 2000
  python scripts/diagnose.py --model saved_models/mnist-50 --gap-images 0
"""

import argparse
import sys

from _entry import command, parsed, said


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=said(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--model", help="run folder or model in the box [the newest run in saved_models/]")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N test images [all]")
    parser.add_argument("--gap-images", type=int, metavar="N", help="images for a Gaussian's inference gap [100]")
    parser.add_argument("--seed", type=int, default=0, help="of the draws and of the binarization [0]")
    return parsed(parser)


def main(args: argparse.Namespace) -> None:
    from keras_iwae.experiments import diagnosis
    from keras_iwae.foundation import command_line
    from keras_iwae.training import library, runs

    model = library.run_of(args.model)
    record = diagnosis.diagnose(model, args.limit, args.gap_images, args.seed, verbose=sys.stderr.isatty())
    run = runs.folder(model)
    print(
        f"{record['model']} on {record['dataset']}, {record['num_images']} test images\n\n{diagnosis.table(record)}\n"
    )
    print(f"numbers   {run / 'diagnosis.json'}\npictures  {run / 'figures'}")
    print(f"next      {command_line('report', str(run))}")


if __name__ == "__main__":
    command(main, parse(), when_stopped="stopped; the same command goes on with the inference gap")
