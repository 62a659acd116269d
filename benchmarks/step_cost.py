#!/usr/bin/env python
"""What does a bound or an estimator cost a step? One network, one batch, the sides in turn, in one process.

Times of `fit` with its metrics and input pipeline, in milliseconds a step, and the ratio to IWAE-50 with the
reparameterized estimator, round by round.

  python benchmarks/step_cost.py --rounds 5
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

SIDES = {
    "IWAE-50": {},
    "IWAE-50, DReG": {"estimator": "dreg"},
    "IWAE-50, resampled m = 8": {"backward_samples": 8},
    "IWAE-50, DReG, resampled m = 8": {"estimator": "dreg", "backward_samples": 8},
    "CIWAE-50": {"objective": "ciwae"},
    "MIWAE(8, 8)": {"objective": "miwae", "num_samples": 64},
    "PIWAE(8, 8)": {"objective": "piwae", "num_samples": 64},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each [5]")
    parser.add_argument("--steps", type=int, default=40, help="steps a round [40]")
    parser.add_argument("--batch-size", type=int, default=100, help="images a step [100]")
    args = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    import keras
    import numpy as np

    import keras_iwae

    images = np.random.default_rng(0).random((args.steps * args.batch_size, 784), np.float32)
    data = keras_iwae.data.load(images, "train", args.batch_size)
    models = {}
    for name, settings in SIDES.items():
        models[name] = keras_iwae.IWAE(784, **{"num_samples": 50, **settings})
        models[name].compile(keras.optimizers.Adam(1e-3))
        models[name].fit(data.take(3), verbose=0)
    times = {name: [] for name in SIDES}
    for _ in range(args.rounds):
        for name, model in models.items():
            begin = time.perf_counter()
            model.fit(data, verbose=0)
            times[name].append((time.perf_counter() - begin) / args.steps)
    first = next(iter(SIDES))
    for name, taken in times.items():
        ratios = sorted(a / b for a, b in zip(taken, times[first], strict=True))
        record = {"ms": round(1e3 * statistics.median(taken), 1), "ratio": round(statistics.median(ratios), 2)}
        print(name, json.dumps({**record, "ratio_min": round(ratios[0], 2), "ratio_max": round(ratios[-1], 2)}))


if __name__ == "__main__":
    main()
