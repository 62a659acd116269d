#!/usr/bin/env python
"""The whole road on handwritten digits that come with scikit-learn: train, evaluate, draw, export. No download.

examples:
  python scripts/demo.py
  python scripts/demo.py --epochs 10
"""

import argparse
import sys
from pathlib import Path

from _entry import command, parsed, said


def main(args: argparse.Namespace) -> None:
    from keras_iwae import experiments, serving
    from keras_iwae.training import runs

    config = experiments.ExperimentConfig.of(
        dataset="digits", num_samples=50, epochs=args.epochs, batch_size=20, latent_dim=(20,), hidden=((100, 100),)
    )
    print("Training an IWAE with K = 50 on 1,297 handwritten digits of 8x8 pixels")
    run = experiments.train(config)
    print("\nEvaluating 300 test digits with K = 5000")
    result, _ = experiments.evaluate(run, verbose=sys.stderr.isatty())
    samples, *_ = experiments.draw_samples(run)
    served = serving.export_saved_model(runs.load_model(run), run / "serving")
    # A clone has both; where the package is installed there is neither.
    activate = " (. .venv/bin/activate)" if Path(".venv/bin/activate").is_file() else ""
    serve = "docs/serving.md says how to serve it"
    if Path("docker-compose.yml").is_file():
        serve = f"MODEL={run.name} docker compose up                serve it: docs/serving.md"
    print(
        said(f"""
{result}

model            {run / "model.keras"}
samples          {samples}
reconstructions  {run / "figures" / "reconstructions.png"}
curves           {run / "figures" / "curves.png"}
numbers          {run / "metrics.json"}
SavedModel       {served}

Next, in this environment{activate}:
  python scripts/train.py --dataset mnist --num-samples 50 --epochs 10    MNIST, ten passes
  python scripts/train.py --dataset digits --objective elbo               a VAE to compare with
  tensorboard --logdir {run / "tensorboard"}
  {serve}""")
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=said(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--epochs", type=int, default=100, help="passes over the training images [100]")
    return parsed(parser)


if __name__ == "__main__":
    command(main, parse())
