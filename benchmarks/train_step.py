#!/usr/bin/env python
"""Is a training step as fast as a plain PyTorch loop? Same network, K, batch and images, in one process, in turn.

The network is 784-200-200-50 and its mirror image, K = 50, batch 100, Adam. keras_iwae is timed inside `fit`, with its
metrics and its input pipeline; PyTorch runs a bare loop over a tensor in memory. Rounds alternate, so that what else
the machine does hits both; the ratio of each round's times is what to read.

  pip install torch      (not among this package's requirements)
  python benchmarks/train_step.py --rounds 5
"""

import argparse
import json
import math
import statistics
import time


def keras_iwae_round(images, num_samples, batch_size):
    import keras

    import keras_iwae

    model = keras_iwae.IWAE(784, num_samples=num_samples)
    model.compile(keras.optimizers.Adam(1e-3))
    data = keras_iwae.data.load(images, "train", batch_size)
    model.fit(data.take(3), verbose=0)

    def run():
        begin = time.perf_counter()
        model.fit(data, epochs=1, verbose=0)
        return (time.perf_counter() - begin) / len(data)

    return run


def pytorch_round(images, num_samples, batch_size):
    import torch
    from torch import nn

    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Linear(784, 200), nn.Tanh(), nn.Linear(200, 200), nn.Tanh())
    heads = nn.ModuleList([nn.Linear(200, 50), nn.Linear(200, 50)])
    decoder = nn.Sequential(nn.Linear(50, 200), nn.Tanh(), nn.Linear(200, 200), nn.Tanh(), nn.Linear(200, 784))
    parameters = [*trunk.parameters(), *heads.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, 1e-3)
    grey = torch.tensor(images)

    def step(x):
        features = trunk(x)
        loc, log_scale = heads[0](features), heads[1](features)
        noise = torch.randn(num_samples, *loc.shape)
        z = loc + log_scale.exp() * noise
        logits = decoder(z.reshape(-1, 50)).reshape(num_samples, len(x), 784)
        target = x.expand_as(logits)
        log_weights = -nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(-1)
        log_weights = log_weights + (-0.5 * z**2 + 0.5 * noise**2 + log_scale).sum(-1)
        loss = -(log_weights.logsumexp(0) - math.log(num_samples)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def run():
        begin = time.perf_counter()
        for rows in torch.randperm(len(grey)).split(batch_size):
            step(torch.bernoulli(grey[rows]))
        return (time.perf_counter() - begin) / (len(grey) // batch_size)

    step(torch.bernoulli(grey[:batch_size]))
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each [5]")
    parser.add_argument("--steps", type=int, default=60, help="steps a round [60]")
    parser.add_argument("--num-samples", type=int, default=50, help="K [50]")
    parser.add_argument("--batch-size", type=int, default=100, help="images a step [100]")
    args = parser.parse_args()
    import numpy as np

    # Speed does not depend on what the pixels show.
    images = np.random.default_rng(0).random((args.steps * args.batch_size, 784), np.float32)
    rounds = [make(images, args.num_samples, args.batch_size) for make in (keras_iwae_round, pytorch_round)]
    ours, theirs = zip(*([run() for run in rounds] for _ in range(args.rounds)), strict=True)
    ratios = sorted(b / a for a, b in zip(ours, theirs, strict=True))
    print(
        json.dumps(
            {
                "keras_iwae_ms": round(1e3 * statistics.median(ours), 1),
                "pytorch_ms": round(1e3 * statistics.median(theirs), 1),
                "ratio_median": round(statistics.median(ratios), 2),
                "ratio_min": round(ratios[0], 2),
                "ratio_max": round(ratios[-1], 2),
                **vars(args),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
