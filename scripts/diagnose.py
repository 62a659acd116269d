#!/usr/bin/env python
"""Say what the latents of a trained model do on test images, and what its encoder leaves of the best Gaussian.

Prints active units and KL of each stochastic layer, the mutual information of image and latents, how far the
aggregate posterior is from the prior, the reconstruction error, whether inference is calibrated and the model's own
data are like the images, the inference gap with its two parts, and whether the posterior has collapsed; the run's
diagnosis.json keeps all of it, unit by unit. docs/diagnostics.md says what each number means and when to distrust it.
The gap is found a hundred images at a time, and a second start goes on.

--workers N encodes images and finds their gaps in N processes that share this machine's cores, --address on a Ray
cluster: equal numbers. A gap's hundred images are one process's: N pays with --gap-images of N hundreds and more.
Both need Ray: pip install 'keras-iwae[ray]'.

examples:
  python scripts/diagnose.py
  python scripts/diagnose.py --model saved_models/mnist-50 --limit 2000
  python scripts/diagnose.py --model saved_models/mnist-50 --gap-images 0
  python scripts/diagnose.py --model saved_models/mnist-50 --gap-images 1000 --workers 8
"""

import argparse
import sys

from _entry import command, parsed, said


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=said(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--model", help="run folder, model in the box or hf://USER/MODEL [the newest in saved_models/]")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N test images [all]")
    parser.add_argument("--gap-images", type=int, metavar="N", help="images for a Gaussian's inference gap [100]")
    parser.add_argument("--seed", type=int, default=0, help="of the draws and of the binarization [0]")
    parser.add_argument("--workers", type=int, metavar="N", help="processes [1; with --address: a core each]")
    parser.add_argument("--address", metavar="ray://HOST:PORT", help="of a Ray cluster that computes [none]")
    return parsed(parser)


def main(args: argparse.Namespace) -> None:
    from keras_iwae.experiments import diagnosis, worker_processes
    from keras_iwae.foundation import command_line
    from keras_iwae.training import library, runs

    with worker_processes(args.workers, args.address) as workers:
        model = library.run_of(args.model)
        record = diagnosis.diagnose(
            model, args.limit, args.gap_images, args.seed, verbose=sys.stderr.isatty(), workers=workers
        )
    run = runs.folder(model)
    print(
        f"{record['model']} on {record['dataset']}, {record['num_images']} test images\n\n{diagnosis.table(record)}\n"
    )
    print(f"numbers   {run / 'diagnosis.json'}\npictures  {run / 'figures'}")
    print(f"next      {command_line('report', str(run))}")


if __name__ == "__main__":
    command(main, parse(), when_stopped="stopped; the same command goes on with the inference gap")
