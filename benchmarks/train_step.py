#!/usr/bin/env python
"""Is a training step inside `fit` as fast as the fastest that other frameworks do, and how near to the machine's limit?

Every side trains the network 784-200-200-50 and its mirror image with Adam on dynamically binarized MNIST, each with
its own input pipeline, from the same weights: keras_iwae inside `fit`, with metrics and progress logger; a bare PyTorch
loop, eager and compiled; pythae's model in that loop; Pyro; a JAX step. keras_iwae is there as one starts with it, and
with what is meant for small steps, its fused Adam and several steps a call. A framework has a process of its own, and
the sides take turns. The roofline is the time of the step's matrix products alone (`tf.matmul` at the same shapes, in
the same rounds); a share is that time over a side's, both of the same floating point operations
(`_network.step_flops`).
After the last round a bound of each side's weights is taken by one and the same NumPy function, so that a side that
trains something else shows.

examples:
  pip install -r benchmarks/requirements.txt
  python benchmarks/train_step.py
  python benchmarks/train_step.py --quick
"""

from dataclasses import dataclass, field

from _network import Network, mean_bound, step_flops
from _peers import Workers, images
from _report import Report, bars, parser, run, table
from _timing import alternate, fastest, ratios, spread, text

BATCHES, SAMPLES, DRAWN = (20, 100), (1, 5, 50), 8
SEVERAL = 20
_WEIGHTS = Network().weights()


@dataclass(frozen=True)
class Side:
    """A row of the table: who does the step, and with which settings."""

    name: str
    worker: str
    kind: str
    settings: dict = field(default_factory=dict)
    only_samples: tuple[int, ...] = SAMPLES
    multiple: int = 1


_SEVERAL = {"steps_per_execution": SEVERAL}
_FUSED = {"fused": True, "compile": _SEVERAL}
_XLA = {"fused": True, "compile": _SEVERAL | {"jit_compile": True}}
_MANY = {"backward_samples": DRAWN}
SIDES = (
    Side("keras_iwae, fit", "keras_iwae", "fit"),
    Side(f"keras_iwae, FusedAdam, {SEVERAL} steps a call", "keras_iwae", "fit", _FUSED, multiple=SEVERAL),
    Side("keras_iwae, the same in XLA", "keras_iwae", "fit", _XLA, multiple=SEVERAL),
    Side(f"keras_iwae, the same, m = {DRAWN}", "keras_iwae", "fit", _FUSED | _MANY, (50,), SEVERAL),
    Side("PyTorch, eager", "pytorch", "eager"),
    Side("PyTorch, compiled", "pytorch", "compiled"),
    Side("pythae", "pythae", "train"),
    Side("Pyro", "pyro", "train"),
    Side("JAX", "jax", "train"),
    Side("matrix products", "keras_iwae", "products"),
    Side(f"matrix products, m = {DRAWN}", "keras_iwae", "products", _MANY, (50,)),
)


def is_product(name: str) -> bool:
    return name.startswith("matrix products")


def is_ours(name: str) -> bool:
    return name.startswith("keras_iwae")


def color(name: str) -> str:
    return "tab:blue" if is_ours(name) else "0.8" if is_product(name) else "tab:orange"


def measure(workers: Workers, batch: int, samples: int, rounds: int, seconds: float, shared: dict) -> list[dict]:
    """Rows of one batch size and K: seconds a step of every side, round by round, and what follows from them."""
    sides = {side.name: side for side in SIDES if samples in side.only_samples and side.worker in workers}
    most = shared["rows"] // batch
    for side in sides.values():
        worker, common = workers[side.worker], {"batch_size": batch, "num_samples": samples, **shared["files"]}
        worker.ask("make", name=side.name, kind=side.kind, **common, **side.settings)
        multiple = min(side.multiple, most)
        worker.ask("prepare", name=side.name, seconds=seconds, most=most, multiple=multiple)
    times = alternate({name: workers.round_of(side.worker, name) for name, side in sides.items()}, rounds)
    peers = {name: taken for name, taken in times.items() if not is_ours(name) and not is_product(name)}
    best, rows = fastest(peers), []
    for name, taken in times.items():
        side = sides[name]
        drawn = side.settings.get("backward_samples")
        flops = step_flops(Network(), batch, samples, drawn)
        products = times["matrix products" if drawn is None else f"matrix products, m = {drawn}"]
        row = {
            "side": name,
            "batch_size": batch,
            "num_samples": samples,
            "backward_samples": drawn,
            "flops": flops,
            "seconds": taken,
            "step": spread(taken),
            "gflops_per_second": spread([flops / t / 1e9 for t in taken]),
            "share_of_products": ratios(products, taken),
        }
        if best is not None and not is_product(name):
            row |= {"fastest_peer": best, "speed_to_fastest_peer": ratios(times[best], taken)}
        if not is_product(name):
            weights = workers[side.worker].weights(name, workers.folder)
            row["bound_after"] = mean_bound(weights, shared["judged"], 50)
        rows.append(row)
    for name in {side.worker for side in sides.values()}:
        workers[name].ask("drop")
    return rows


def show(rows: list[dict]) -> None:
    print(f"\nB = {rows[0]['batch_size']}, K = {rows[0]['num_samples']}")
    cells = []
    for row in rows:
        speed = row.get("speed_to_fastest_peer")
        cells.append(
            [
                row["side"],
                text(row["step"], 2, 1e3),
                text(speed) if speed else "",
                f"{row['gflops_per_second']['median']:.0f}",
                f"{row['share_of_products']['median']:.0%}",
                f"{row['bound_after']:.1f}" if "bound_after" in row else "",
            ]
        )
    peer = rows[0].get("fastest_peer", "none")
    table(["side", "ms a step", f"times the fastest peer ({peer})", "GFLOP/s", "of the products", "L_50 after"], cells)


def draw(figure, rows: list[dict]) -> None:
    batches, samples = (sorted({row[key] for row in rows}) for key in ("batch_size", "num_samples"))
    grid = figure.subplots(len(batches), len(samples), squeeze=False)
    for batch, line in zip(batches, grid, strict=True):
        for count, axes in zip(samples, line, strict=True):
            panel = [r for r in rows if (r["batch_size"], r["num_samples"]) == (batch, count)]
            bars(axes, [r["side"] for r in panel], [r["step"] for r in panel], [color(r["side"]) for r in panel], 1e3)
            axes.set(title=f"B = {batch}, K = {count}", xlabel="ms a step: median and range")


def main(args) -> None:
    report = Report("train_step", args)
    batches, samples = (BATCHES[:1], SAMPLES[-1:]) if args.quick else (BATCHES, SAMPLES)
    train = images("train", args.quick)
    judged = (images("validation", args.quick)[:100] > 127).astype(float)
    rows = []
    with Workers(dict.fromkeys(side.worker for side in SIDES)) as workers:
        files = {"images": workers.save_images(train), "weights": workers.save_weights(_WEIGHTS)}
        shared = {"files": files, "rows": len(train), "judged": judged}
        for batch in batches:
            for count in samples:
                rows += measure(workers, batch, count, args.rounds, 0.02 if args.quick else args.seconds, shared)
                show([row for row in rows if (row["batch_size"], row["num_samples"]) == (batch, count)])
    start = mean_bound(_WEIGHTS, judged, 50)
    results = {"bound_before": start, "left_out": workers.left_out, "rows": rows}
    report.write(results, lambda figure: draw(figure, rows), (16, 4.2 * len(batches)))


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=float, default=3.0, help="length of a round of a side [3]")
    run(main, arguments)
