#!/usr/bin/env python
"""How many test images a second get their NLL at K = 5000, and how does memory grow with K?

The same weights, after a short training, in keras_iwae's `importance_weighted_nll`, pythae's `get_nll` and a batched
loop (encoder once, 25 samples of 200 images at a time) of PyTorch, eager and compiled, and of JAX; the sides take
turns, and what they find is in the table, so that a side that computes something else shows. The roofline is the time
of the same floating point operations as plain matrix products over chunks of the same shape, in the same rounds. Peak
memory is that of a fresh process for each K, over what it had in use after its imports.

examples:
  python benchmarks/nll.py
  python benchmarks/nll.py --images 10000 --rounds 3
"""

from _network import Network, nll_flops, with_output_bias
from _peers import Worker, Workers, images
from _report import Report, bars, parser, positive, run, table
from _timing import alternate, ratios, spread, text

CHUNK, BATCH = 25, 200
MEMORY_SAMPLES = 50, 500, 5000, 50000
# Of each side the process, and what it does there.
SIDES = {
    "keras_iwae": ("keras_iwae", "nll"),
    "PyTorch, batched": ("pytorch", "nll"),
    "PyTorch, compiled": ("pytorch", "compiled_nll"),
    "JAX": ("jax", "nll"),
    "pythae": ("pythae", "nll"),
}
PRODUCTS = "matrix products"
GIB = 2**30


def trained(workers: Workers, steps: int, quick: bool) -> str:
    """Weights after a few hundred steps: with those of the first the weights of K samples are degenerate."""
    train = images("train", quick)
    weights = workers.save_weights(with_output_bias(Network().weights(), train))
    settings = {"images": workers.save_images(train), "weights": weights, "batch_size": 100, "num_samples": 5}
    worker = workers["keras_iwae"]
    # Weights are all that it is for: no program of XLA is compiled, on a GPU neither.
    worker.ask("make", name="training", kind="fit", compile={"jit_compile": False}, **settings)
    worker.ask("exactly", name="training", count=min(steps, len(train) // 100))
    worker.ask("round", name="training")
    return workers.save_weights(worker.weights("training", workers.folder))


def measure(workers: Workers, args, files: dict) -> list[dict]:
    samples, slow = args.k, max(2, args.images // 50)
    # pythae takes as long for every image: fewer of them say as much.
    counts = {name: slow if name == "pythae" else args.images for name, (who, _) in SIDES.items() if who in workers}
    for name, count in counts.items():
        worker, kind = SIDES[name]
        workers[worker].ask("make", name=name, kind=kind, num_samples=samples, **files)
        workers[worker].ask("exactly", name=name, count=count)
    chunk = min(CHUNK, samples)
    rows = min(BATCH, args.images)
    settings = {"batch_size": rows, "num_samples": chunk, "forward_only": True}
    workers["keras_iwae"].ask("make", name=PRODUCTS, kind="products", **files, **settings)
    workers["keras_iwae"].ask("exactly", name=PRODUCTS, count=max(1, samples * args.images // (chunk * rows)))

    found: dict[str, list[float]] = {name: [] for name in counts}

    def turn(name: str):
        def take() -> float:
            answer = workers[SIDES[name][0]].ask("round", name=name)
            found[name].append(answer["result"])
            return answer["seconds"]

        return take

    def products() -> float:
        # Seconds a chunk of `rows` images, to seconds for all samples of one image.
        return workers["keras_iwae"].ask("round", name=PRODUCTS)["seconds"] * samples / (chunk * rows)

    turns = {name: turn(name) for name in counts} | {PRODUCTS: products}
    for warm_up in turns.values():
        warm_up()
    found.update({name: [] for name in counts})
    times, flops, results = alternate(turns, args.rounds), nll_flops(Network(), samples), []
    for name, taken in times.items():
        row = {
            "side": name,
            "num_samples": samples,
            "images": counts.get(name),
            "flops_per_image": flops,
            "seconds_per_image": taken,
            "images_per_second": spread([1.0 / t for t in taken]),
            "gflops_per_second": spread([flops / t / 1e9 for t in taken]),
            "share_of_products": ratios(times[PRODUCTS], taken),
            "times_as_fast_as": {
                other: ratios(times[other], taken) for other in counts if name != PRODUCTS and other != name
            },
        }
        if name in found:
            row["nll"] = found[name]
        results.append(row)
    return results


def memory(name: str, files: dict, samples: int) -> dict:
    """Peak memory of a fresh process that takes the NLL of one batch with K samples; one image for pythae."""
    (who, kind), count = SIDES[name], 2 if name == "pythae" else BATCH
    with Worker(who) as worker:
        worker.ask("make", name="nll", kind=kind, num_samples=samples, **files)
        worker.ask("exactly", name="nll", count=count)
        worker.ask("round", name="nll")
        return {"side": name, "num_samples": samples, "images": count, **worker.ask("memory")}


def show(rows: list[dict], used: list[dict]) -> None:
    cells = []
    for row in rows:
        faster = ", ".join(f"{v['median']:.2f} x {k}" for k, v in row["times_as_fast_as"].items())
        rate = text(row["images_per_second"], 1)
        nll = f"{row['nll'][-1]:.2f} ({row['images']})" if "nll" in row else ""
        share = f"{row['share_of_products']['median']:.0%}"
        cells.append([row["side"], rate, f"{row['gflops_per_second']['median']:.0f}", share, nll, faster])
    table(["side", "images a second", "GFLOP/s", "of the products", "NLL (images)", "speed"], cells)
    heads = ["side", "K", "after imports, GiB", "peak over it, GiB"]
    mib = [
        [u["side"], u["num_samples"], f"{u['base'] / GIB:.2f}", f"{(u['peak'] - u['base']) / GIB:.2f}"] for u in used
    ]
    table(heads, mib)


def draw(figure, rows: list[dict], used: list[dict]) -> None:
    left, right = figure.subplots(1, 2)
    colors = ["0.8" if row["side"] == PRODUCTS else "tab:blue" for row in rows]
    bars(left, [row["side"] for row in rows], [row["images_per_second"] for row in rows], colors)
    left.set(xlabel="images a second: median and range", title=f"NLL, K = {rows[0]['num_samples']}")
    for name in dict.fromkeys(u["side"] for u in used):
        points = [(u["num_samples"], (u["peak"] - u["base"]) / GIB) for u in used if u["side"] == name]
        right.plot(*zip(*points, strict=True), "o-", label=name)
    right.set(xscale="log", xlabel="K", ylabel="GiB", title="peak memory over the imports'")
    right.set_ylim(bottom=0.0)
    right.grid(alpha=0.3)
    right.legend()


def main(args) -> None:
    report = Report("nll", args)
    if args.quick:
        args.images, args.k, args.train_steps = 20, 60, 2
    with Workers(dict.fromkeys(who for who, _ in SIDES.values())) as workers:
        weights = trained(workers, args.train_steps, args.quick)
        files = {"images": workers.save_images(images("test", args.quick)), "weights": weights}
        rows = measure(workers, args, files)
        # One at a time, and nothing else at work.
        left_out = workers.left_out
        sizes = (10, 30) if args.quick else MEMORY_SAMPLES
        used = [memory(name, files, k) for name, (who, _) in SIDES.items() if who in workers for k in sizes]
    show(rows, used)
    results = {"left_out": left_out, "rows": rows, "memory": used}
    report.write(results, lambda figure: draw(figure, rows, used), (12, 4.5))


if __name__ == "__main__":
    arguments = parser(__doc__, rounds=5)
    arguments.add_argument("--images", type=positive, default=1000, help="test images; a fiftieth for pythae [1000]")
    arguments.add_argument("--k", type=positive, default=5000, help="samples [5000]")
    arguments.add_argument("--train-steps", type=positive, default=500, help="steps of training before [500]")
    run(main, arguments)
