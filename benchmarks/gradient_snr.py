#!/usr/bin/env python
"""Does a tighter bound give a worse gradient? Signal-to-noise ratio of each estimator's gradient against K.

For one batch of images and a model, untrained and trained for --epochs passes, every estimator's gradient is drawn
--draws times. The squared ratio of a parameter is mean^2 / variance over draws, less 1 / draws, which is what a mean of
zero would show; the figure has the root of its average over the parameters of the encoder and of the decoder. Theory
(Rainforth et al. 2018, Tucker et al. 2018) speaks of large K: there the encoder's falls as 1/sqrt(K) for plain IWAE,
the dotted line, and does not for DReG; the decoder's rises as sqrt(K).

  python benchmarks/gradient_snr.py --out docs/images/gradient-snr.png
"""

import argparse
import json
import sys
from pathlib import Path

from _files import ending_in

SERIES = {
    "IWAE, reparameterized": ("iwae", "reparameterized", None),
    "IWAE, DReG": ("iwae", "dreg", None),
    "IWAE, resampled m = 1": ("iwae", "reparameterized", 1),
    "IWAE, DReG, resampled m = 1": ("iwae", "dreg", 1),
    "ELBO, reparameterized": ("elbo", "reparameterized", None),
    "ELBO, STL": ("elbo", "stl", None),
    "IWAE, VIMCO": ("iwae", "vimco", None),
}


def ratios(model, images, num_samples, objective, estimator, drawn, draws):
    """Root mean square over parameters of mean / standard deviation, for the encoder and for the decoder."""
    import numpy as np
    import tensorflow as tf

    from keras_iwae.bounds import estimators, objectives
    from keras_iwae.bounds.gradients import bound_gradients

    if estimator == "vimco" and num_samples == 1:
        return None

    @tf.function
    def gradients(seed):
        found = bound_gradients(
            model.posterior,
            model.generative,
            images,
            num_samples,
            seed,
            objectives.get(objective),
            estimators.get(estimator),
            drawn,
        )
        return [tf.concat([tf.reshape(g, [-1]) for g in part], 0) for part in (found.posterior, found.generative)]

    sums = [[0.0, 0.0], [0.0, 0.0]]
    for draw in range(draws):
        for total, part in zip(sums, gradients(tf.constant([17, draw])), strict=True):
            values = part.numpy().astype(np.float64)
            total[0], total[1] = total[0] + values, total[1] + values**2
    found = []
    for total, squares in sums:
        mean = total / draws
        variance = np.maximum(squares / draws - mean**2, 0.0) * draws / (draws - 1)
        # Weights of pixels that are never set get no gradient from any draw.
        live = variance > 1e-20
        squared = np.mean(mean[live] ** 2 / variance[live]) - 1.0 / draws
        found.append(float(np.sqrt(max(squared, 0.0))))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--dataset", default="digits", help="data set [digits]")
    parser.add_argument("--epochs", type=int, default=30, help="passes of training [30]")
    parser.add_argument("--draws", type=int, default=2000, help="gradients of each estimator [2000]")
    parser.add_argument(
        "--k", type=int, nargs="+", default=[1, 4, 16, 64, 256], help="numbers of samples [1 4 16 64 256]"
    )
    parser.add_argument(
        "--out",
        type=ending_in(".png"),
        default=Path("gradient-snr.png"),
        help="figure; the numbers go beside it as JSON",
    )
    args = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    import keras
    from matplotlib.figure import Figure

    from keras_iwae import IWAE, data
    from keras_iwae.foundation.storage import replacing, write_json

    train = data.load(args.dataset, "train", batch_size=50)
    images = next(iter(data.load(args.dataset, "validation", batch_size=10)))
    mean = data.mean_image(args.dataset)
    model = IWAE(mean.shape, latent_dim=10, hidden=(50, 50), num_samples=16)
    model.initialize_output_bias(mean)
    model.compile(keras.optimizers.Adam(1e-3))
    results = {}
    for state in ("untrained", "trained"):
        if state == "trained":
            model.fit(train, epochs=args.epochs, verbose=0)
        for name, settings in SERIES.items():
            found = {k: ratios(model, images, k, *settings, args.draws) for k in args.k}
            results.setdefault(state, {})[name] = {k: value for k, value in found.items() if value}
            print(state, name, json.dumps(results[state][name]), flush=True)
    figure = Figure(figsize=(11, 8), layout="constrained")
    for row, (state, series) in zip(figure.subplots(2, 2), results.items(), strict=True):
        for part, axes in enumerate(row):
            for name, values in series.items():
                axes.loglog(list(values), [value[part] for value in values.values()], "o-", label=name, markersize=4)
            if part == 0:
                start = series["IWAE, reparameterized"][args.k[0]][0]
                axes.loglog(args.k, [start * (args.k[0] / k) ** 0.5 for k in args.k], "k:", label="1 / sqrt(K)")
            axes.set(title=f"{('encoder', 'decoder')[part]}, {state}", xlabel="K", ylabel="signal-to-noise ratio")
            axes.grid(alpha=0.3, which="both")
    figure.axes[0].legend(fontsize=8)
    with replacing(args.out) as temporary:
        figure.savefig(temporary, dpi=90)
    write_json(args.out.with_suffix(".json"), {"settings": vars(args) | {"out": str(args.out)}, "ratios": results})


if __name__ == "__main__":
    main()
