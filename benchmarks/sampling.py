#!/usr/bin/env python
"""How many images a second does the exported decoder give, and what is lost or won against the Keras model?

For each batch size, in turn in one process: the SavedModel's `decode` (latents in, probabilities out), its `sample_n`
(draws latents and pixels too), the Keras model called eagerly on the same latents, and that in a `tf.function`. The
roofline is the decoder's three matrix products alone at the same shapes.

examples:
  python benchmarks/sampling.py
"""

import tempfile
import time

from _network import Network, product_flops
from _report import Report, frameworks, parser, run, table
from _timing import alternate, ratios, spread, text

BATCHES = 1, 10, 100, 1000, 10000
PRODUCTS = "matrix products"


def sides(served, model, latents):
    """The name of each side to a function that decodes one batch and waits for it."""
    import tensorflow as tf

    size = latents.shape[0]
    kernels = model.generative.decoder.trainable_variables[::2]
    decode, sample_n = served.signatures["decode"], served.signatures["sample_n"]

    @tf.function
    def compiled(z):
        return tf.sigmoid(model.generative(z))

    @tf.function
    def products(z):
        for kernel in kernels:
            z = tf.matmul(z, kernel)
        return z

    return {
        "SavedModel, decode": lambda: decode(latents=latents)["probabilities"].numpy(),
        "SavedModel, sample_n": lambda: sample_n(num_samples=tf.constant(size), seed=tf.constant(1))["images"].numpy(),
        "Keras model": lambda: tf.sigmoid(model.generative(latents)).numpy(),
        "Keras model, tf.function": lambda: compiled(latents).numpy(),
        PRODUCTS: lambda: products(latents).numpy(),
    }


def timed(call, seconds: float):
    """A round: seconds a batch, of as many batches as take about `seconds`."""
    call()
    begin = time.perf_counter()
    call()
    count = max(1, round(seconds / (time.perf_counter() - begin)))

    def one_round() -> float:
        begin = time.perf_counter()
        for _ in range(count):
            call()
        return (time.perf_counter() - begin) / count

    return one_round


def measure(served, model, batch: int, args) -> list[dict]:
    import tensorflow as tf

    latents = tf.random.stateless_normal([batch, model.latent_dim], [0, batch])
    seconds = 0.01 if args.quick else args.seconds
    turns = {name: timed(call, seconds) for name, call in sides(served, model, latents).items()}
    times, flops = alternate(turns, args.rounds), product_flops(Network().decoder, batch)
    return [
        {
            "side": name,
            "batch_size": batch,
            "seconds_per_batch": taken,
            "batch_milliseconds": spread([1e3 * t for t in taken]),
            "images_per_second": spread([batch / t for t in taken]),
            "gflops_per_second": spread([flops / t / 1e9 for t in taken]),
            "speed_to_keras_model": ratios(times["Keras model"], taken),
            "share_of_products": ratios(times[PRODUCTS], taken),
        }
        for name, taken in times.items()
    ]


def show(rows: list[dict]) -> None:
    cells = [
        [
            row["batch_size"],
            row["side"],
            text(row["images_per_second"], 0),
            f"{row['batch_milliseconds']['median']:.3g}",
            f"{row['speed_to_keras_model']['median']:.2f}",
            f"{row['share_of_products']['median']:.0%}",
        ]
        for row in rows
    ]
    table(["batch", "side", "images a second", "ms a batch", "speed to the Keras model", "of the products"], cells)


def draw(figure, rows: list[dict]) -> None:
    axes = figure.subplots()
    for name in dict.fromkeys(row["side"] for row in rows):
        line = [row for row in rows if row["side"] == name]
        style = {"color": "0.6", "linestyle": "--"} if name == PRODUCTS else {}
        batches = [row["batch_size"] for row in line]
        axes.plot(batches, [row["images_per_second"]["median"] for row in line], marker="o", label=name, **style)
        low, high = ([row["images_per_second"][end] for row in line] for end in ("low", "high"))
        axes.fill_between(batches, low, high, alpha=0.15)
    axes.set(xscale="log", yscale="log", xlabel="images in a batch", ylabel="images a second")
    axes.grid(alpha=0.3, which="both")
    axes.legend()


def main(args) -> None:
    report = Report("sampling", args)
    frameworks()
    import keras_iwae

    model, rows = keras_iwae.IWAE(784), []
    with tempfile.TemporaryDirectory() as folder:
        keras_iwae.export_saved_model(model, folder)
        served = keras_iwae.load_saved_model(folder)
        for batch in BATCHES[:2] if args.quick else BATCHES:
            rows += measure(served, model, batch, args)
    show(rows)
    report.write({"rows": rows}, lambda figure: draw(figure, rows))


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=float, default=0.5, help="length of a round of a side [0.5]")
    run(main, arguments)
