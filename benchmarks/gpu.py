#!/usr/bin/env python
"""On a GPU: is the XLA step right, how fast is it, and what would the paper's protocol take?

Right: the same weights, images and noise go through the exact step's gradients on the CPU, on the GPU, and on the GPU
in XLA; bounds and gradients must agree to float32, with TensorFloat-32 products off. (The same seed draws other numbers
under XLA than outside it, so the noise is given.) What TensorFloat-32 changes is reported beside it.

Fast: the NLL at K = 5000 and fitted proposals in float32, then `fit` with XLA and without and the resampled backward
pass, in turn, against the rate of one large matrix product and of the step's own matrix products, with the settings
that a user has, TensorFloat-32 included; and beside them JAX's and PyTorch's compiled NLL and step, where these see the
GPU. A stage of the paper is 3^i passes, i = 0..7, over 59,600 images in batches of 20. Last a row of the table is
trained and judged. What there is so far is written down after each part.

Without a GPU it says so and exits with status 2; `--device CPU:0` measures the CPU, where XLA is not what `fit` uses.

examples:
  python benchmarks/gpu.py
  python benchmarks/gpu.py --row mnist-iwae-k50-l1-fast
  python benchmarks/gpu.py --device CPU:0 --quick
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
from _gpu_sides import FEW, PRODUCTS, STEPS, drawn_of, drop_peers_elsewhere, is_ours, nlls, steps, table_row
from _network import Network
from _peers import Workers, images
from _report import Report, frameworks, parser, run, table
from _same_step import verify
from _timing import spread, text
from nll import trained

# Batch, K and sides. What matters most comes first, for each side of ours in XLA takes long to compile.
CELLS = ((100, 50, tuple(STEPS)), (20, 50, FEW), (100, 1, FEW), (20, 1, FEW), (100, 500, FEW))
TRAIN_IMAGES, STAGES, PAPER_BATCH = 59_600, 8, 20
# Steps before the NLL: first weights have degenerate ones.
TRAINED = 600


def large_product(device: str, size: int, seconds: float) -> float:
    """GFLOP/s of a product of two square matrices on the device."""
    import tensorflow as tf

    with tf.device(device):
        one, other = (tf.random.stateless_normal([size, size], [0, i]) for i in (1, 2))
        several = 20 if size > 1000 else 2

        @tf.function
        def products():
            total = one
            for _ in range(several):
                # Scaled, so that a chain of them stays finite.
                total = tf.matmul(total, other) / size**0.5
            return total[0, 0]

        products().numpy()
        rates, begin = [], time.perf_counter()
        while not rates or time.perf_counter() - begin < seconds:
            start = time.perf_counter()
            products().numpy()
            rates.append(several * 2 * size**3 / (time.perf_counter() - start) / 1e9)
    return spread(rates)["median"]


def protocol(rows: list[dict]) -> list[dict]:
    """Hours of each stage of the paper, from the fastest `fit` at its batch size, for each K."""
    made = []
    for samples in dict.fromkeys(row["num_samples"] for row in rows):
        # Its gradients are those of all samples.
        ours = [
            r
            for r in rows
            if (r["batch_size"], r["num_samples"]) == (PAPER_BATCH, samples)
            and is_ours(r["side"])
            and drawn_of(r["side"]) is None
        ]
        if ours:
            best = max(ours, key=lambda row: row["steps_per_second"]["median"])
            a_pass = TRAIN_IMAGES // PAPER_BATCH / best["steps_per_second"]["median"]
            hours = [3**stage * a_pass / 3600 for stage in range(STAGES)]
            made.append({"num_samples": samples, "side": best["side"], "stage_hours": hours, "total_hours": sum(hours)})
    return made


def speed(row: dict) -> str:
    return text(row["speed_to_fastest_peer"]) if "speed_to_fastest_peer" in row else ""


def share(row: dict, name: str) -> str:
    return f"{row[name]['median']:.1%}" if name in row else ""


def show_checks(checks: list[dict]) -> None:
    heads = ["estimator", "K", "XLA", "TensorFloat-32", "bound, relative error", "gradient, relative error"]
    heads.append("within float32")
    keys = "estimator", "num_samples", "xla", "tensor_float_32", "bound_error", "gradient_error", "within_float32"
    table(heads, [[f"{c[k]:.1e}" if isinstance(c[k], float) else c[k] for k in keys] for c in checks])


def show(rows: list[dict]) -> None:
    print(f"\nB = {rows[0]['batch_size']}, K = {rows[0]['num_samples']}", flush=True)
    cells = [
        [
            row["side"],
            f"{row['first_seconds']:.0f}",
            text(row["steps_per_second"], 0),
            speed(row),
            f"{row['gflops_per_second']['median']:.0f}",
            share(row, "share_of_large_product"),
            share(row, "share_of_products"),
            f"{row['bound_after']:.1f}" if "bound_after" in row else "",
        ]
        for row in rows
    ]
    heads = ["side", "s to the first", "steps a second", "times the fastest peer", "GFLOP/s", "of a large product"]
    table([*heads, "of the products", "L_50 after"], cells)


def show_protocol(stages: list[dict]) -> None:
    for line in stages:
        last, total = line["stage_hours"][-1], line["total_hours"]
        print(
            f"K = {line['num_samples']}, {line['side']}: the paper's last stage {last:.1f} h, all eight {total:.1f} h"
        )


def show_nlls(rows: list[dict]) -> None:
    cells = [
        [
            row["side"],
            row["num_samples"],
            text(row["images_per_second"], 0),
            speed(row),
            share(row, "share_of_large_product"),
            share(row, "share_of_products"),
            f"{row['nll']:.2f} ({row['images']})" if "nll" in row else "",
        ]
        for row in rows
    ]
    heads = ["side", "K", "images a second", "times the fastest peer", "of a large product", "of the products"]
    table([*heads, "NLL (images)"], cells)


def draw(figure, rows: list[dict]) -> None:
    batches = list(dict.fromkeys(row["batch_size"] for row in rows))
    for batch, axes in zip(batches, figure.subplots(1, len(batches), squeeze=False)[0], strict=True):
        for name in dict.fromkeys(row["side"] for row in rows):
            line = [row for row in rows if (row["side"], row["batch_size"]) == (name, batch)]
            style = {"color": "0.6", "linestyle": "--"} if name == PRODUCTS else {}
            samples = [row["num_samples"] for row in line]
            axes.plot(samples, [row["steps_per_second"]["median"] for row in line], marker="o", label=name, **style)
        axes.set(title=f"B = {batch}", xlabel="K", ylabel="steps a second", xscale="log", yscale="log")
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize=8)


def main(args) -> None:
    report, kind = Report("gpu", args), args.device.split(":")[0]
    if kind == "CPU":
        # The worker's too.
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    frameworks()
    import tensorflow as tf

    if not tf.config.list_physical_devices(kind):
        raise ValueError(
            f"TensorFlow sees no {kind} here, so there is nothing to measure; with one: pip install -e '.[gpu]'"
        )
    for device in tf.config.list_physical_devices("GPU"):
        # This process and the worker share it.
        tf.config.experimental.set_memory_growth(device, True)
    train = images("train", args.quick)
    cells = [(20, 50, tuple(STEPS))] if args.quick else CELLS
    details = tf.config.experimental.get_device_details(tf.config.list_physical_devices(kind)[0])
    results = {"device": {"name": details.get("device_name", kind), "tensorflow_sees": args.device}, "complete": False}
    checks = results["verification"] = verify(args.device, (train[:20] > 127).astype(np.float32))
    show_checks(checks)
    report.keep(results)
    limits = results["large_product_gflops_per_second"] = {}
    for tensor_float in (False, True):
        tf.config.experimental.enable_tensor_float_32_execution(tensor_float)
        name = "TensorFloat-32" if tensor_float else "float32"
        limits[name] = large_product(args.device, 128 if args.quick else args.size, 0.0 if args.quick else 2.0)
        print(f"one large product, {name}: {limits[name]:.0f} GFLOP/s", flush=True)
    report.keep(results)
    # On a CPU `train_step.py` and `nll.py` have the peers.
    with Workers(["keras_iwae", *(["pytorch", "jax"] if kind == "GPU" else [])]) as workers:
        files = {"images": workers.save_images(train), "weights": workers.save_weights(Network().weights())}
        drop_peers_elsewhere(workers, *cells[0][:2], files)
        results |= {"left_out": workers.left_out, "rows": []}
        of_test = {
            "weights": trained(workers, TRAINED, args.quick),
            "images": str(workers.folder / "test.npy"),
        }
        np.save(of_test["images"], images("test", args.quick))
        results["nll"] = nlls(workers, of_test, args.quick, args.rounds, limits["float32"])
        show_nlls(results["nll"])
        report.keep(results)
        seconds = 0.02 if args.quick else args.seconds
        judged, limit = (train[:100] > 127).astype(float), limits["TensorFloat-32"]
        # Files of the same names were of the NLL.
        files = {"images": workers.save_images(train), "weights": workers.save_weights(Network().weights())}
        shared = {"files": files, "rows": len(train), "judged": judged, "limit": limit}
        for batch, count, sides in cells:
            rows = steps(workers, batch, count, sides, seconds, args.rounds, shared)
            show(rows)
            results["rows"] += rows
            results["paper_protocol"] = protocol(results["rows"])
            report.keep(results)
        show_protocol(results["paper_protocol"])
    with tempfile.TemporaryDirectory(prefix="keras_iwae-") as folder:
        row = table_row(args.row, Path(folder), args.quick)
    print(f"{row['row']}: {row['seconds_training']:.0f} s of training, {row['seconds_evaluation']:.0f} s of evaluation")
    results |= {"table_row": row, "complete": True}
    report.write(results, lambda figure: draw(figure, results["rows"]), (13, 5))
    if not all(check["within_float32"] for check in checks if not check["tensor_float_32"]):
        raise ValueError("the step on the device is not that on the CPU to float32; see the table")


if __name__ == "__main__":
    arguments = parser(__doc__, rounds=3)
    arguments.add_argument("--device", default="GPU:0", help="as TensorFlow names it [GPU:0]")
    arguments.add_argument("--seconds", type=float, default=0.5, help="length of a round of a side [0.5]")
    arguments.add_argument(
        "--row", default="digits-iwae-k50-l1-fast", metavar="NAME", help="of the table [digits-iwae-k50-l1-fast]"
    )
    arguments.add_argument("--size", type=int, default=8192, help="rows and columns of the large product [8192]")
    run(main, arguments)
