#!/usr/bin/env python
"""Do the convolutional networks learn with their defaults? Nats past independent pixels after a hundred steps, by seed.

Independent pixels with the mean of the training images are where a decoder starts whose output bias is set, and where
one stays whose units are dead. `dense` is the model's own network, with the same recipe: IWAE-5, 20 latent units,
batches of 100, Adam at 0.001. The table of docs/likelihoods.md is made of the JSON.

examples:
  python benchmarks/networks_learn.py
  python benchmarks/networks_learn.py --quick
"""

import argparse
import tempfile
from pathlib import Path

from _report import ROOT, Report, parser, run, table

SEEDS, STEPS = (0, 1, 2), 100
DATASETS, KINDS = ("digits", "mnist", "omniglot"), ("conv", "dense")


def gain(dataset: str, seed: int, steps: int, kind: str = "conv", **options) -> float:
    """Nats by which the bound of validation images passes independent pixels; `options` are the networks'."""
    import keras
    import numpy as np

    from keras_iwae import IWAE, conv_decoder, conv_encoder, data

    mean = data.mean_image(dataset)
    networks = {}
    if kind == "conv":
        networks["encoder"] = conv_encoder(seed=seed, **options)
        networks["decoder"] = conv_decoder(mean.shape, seed=seed + 1, **options)
    model = IWAE(mean.shape, latent_dim=20, num_samples=5, seed=seed, **networks)
    model.initialize_output_bias(mean)
    model.compile(keras.optimizers.Adam(1e-3))
    model.fit(data.load(dataset, "train", 100, seed=seed).repeat().take(steps), verbose=0)
    images = next(iter(data.load(dataset, "validation", 200))).numpy()
    m = np.clip(mean, 0.001, 0.999)
    independent = (images * np.log(m) + (1.0 - images) * np.log(1.0 - m)).reshape(len(images), -1).sum(axis=1).mean()
    return float(model.evaluate(images, verbose=0, return_dict=True)["bound"] - independent)


def main(args: argparse.Namespace) -> None:
    steps = 3 if args.quick else STEPS
    if args.out is None:
        folder = Path(tempfile.gettempdir()) / "keras_iwae-benchmarks" if args.quick else ROOT / "docs" / "results"
        args.out = folder / "networks.json"
    report = Report("networks_learn", args)
    rows = [
        {"dataset": dataset, "network": kind, "gains": [round(gain(dataset, seed, steps, kind), 2) for seed in SEEDS]}
        for dataset in (DATASETS[:1] if args.quick else DATASETS)
        for kind in KINDS
    ]
    report.write({"steps": steps, "seeds": SEEDS, "rows": rows})
    heads = ["data", "network", *(f"seed {seed}" for seed in SEEDS)]
    table(heads, [[row["dataset"], row["network"], *row["gains"]] for row in rows])


if __name__ == "__main__":
    run(main, parser(__doc__, rounds=None))
