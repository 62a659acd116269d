#!/usr/bin/env python
"""How do a step's time and memory grow with K, the batch, the latent units, the pixels and the number of images?

One of them moves at a time, from B = 100, K = 50, 50 latent units, 784 pixels and 59,600 images. Each point is a fresh
process that trains inside `fit`, so that its peak memory is its own; rounds go through all points, so that what else
the machine does hits them alike. K goes to 5,000: with the exact backward pass until the memory that the smaller K
foretell exceeds `--memory`, with the resampled one (m = 8 and 32) throughout. The laws a + b x are least squares of
relative errors. Memory is the peak over what the process had in use after its imports.

examples:
  python benchmarks/growth.py
  python benchmarks/growth.py --axis K --rounds 5
"""

import os

import numpy as np
from _peers import Worker
from _report import Report, parser, run, table
from _timing import fit_line, spread, text

DRAWN, GIB = (8, 32), 2**30
BASE = {"K": 50, "batch": 100, "latent units": 50, "pixels": 784, "images": 59_600}
AXES = {
    "K": (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000),
    "batch": (10, 20, 50, 100, 200, 500, 1000),
    "latent units": (2, 10, 50, 200, 500),
    "pixels": (64, 196, 784, 3136),
    "images": (1000, 10_000, 100_000, 500_000),
}
QUICK = {"K": (1, 8), "batch": (10, 20)}


def points(axis: str, values: tuple[int, ...]) -> list[dict]:
    """The points of one axis, small ones first; along K those of the resampled backward pass too."""
    made = [{"axis": axis, "drawn": None, **BASE, axis: value} for value in values]
    if axis == "K":
        made += [{**point, "drawn": drawn} for drawn in DRAWN for point in made if point["K"] >= drawn]
    return made


def available_memory() -> float:
    """GiB that a process can take, infinite where the system does not say."""
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 2**20
    except OSError:
        return float("inf")


def foretold(point: dict, done: list[dict]) -> float:
    """GiB that the points before this one, of the same axis and backward pass, foretell for it."""
    x, y = point["axis"], "peak_over_imports"
    known = [(p[x], p[y]) for p in done if (p["axis"], p["drawn"]) == (x, point["drawn"]) and p[y]]
    if len(known) < 2:
        return 0.0
    # The two largest: small ones are all framework.
    return float(fit_line(*zip(*sorted(known)[-2:], strict=True))(point[x])) / GIB


def measure(point: dict, images: np.ndarray, seconds: float) -> dict:
    """Seconds a step and memory of a fresh process."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="keras_iwae-") as folder, Worker("keras_iwae") as worker:
        path = os.path.join(folder, "images.npy")
        repeats = -(-point["images"] // len(images)), -(-point["pixels"] // images.shape[1])
        np.save(path, np.tile(images, repeats)[: point["images"], : point["pixels"]])
        settings = {"batch_size": point["batch"], "num_samples": point["K"], "latent_dim": point["latent units"]}
        worker.ask("make", name="fit", kind="fit", images=path, backward_samples=point["drawn"], **settings)
        worker.ask("prepare", name="fit", seconds=seconds, most=point["images"] // point["batch"])
        step = worker.ask("round", name="fit")["seconds"]
        memory = worker.ask("memory")
    return {"seconds": step, "peak_over_imports": memory["peak"] - memory["base"]}


def take(axes: dict, args) -> list[dict]:
    """All points, with the seconds of each round and the largest peak."""
    images = np.random.default_rng(0).integers(0, 256, (1000, 784), np.uint8)
    limit = min(args.memory, 0.8 * available_memory())
    found = [
        {**point, "seconds": [], "peak_over_imports": 0, "left_out": None}
        for axis, values in axes.items()
        for point in points(axis, values)
    ]
    for turn in range(args.rounds):
        for point in found:
            if point["left_out"] is None and foretold(point, found) > limit:
                point["left_out"] = f"{foretold(point, found):.1f} GiB foretold, {limit:.1f} allowed"
            if point["left_out"] is not None:
                continue
            try:
                taken = measure(point, images, 0.02 if args.quick else args.seconds)
            except ChildProcessError as error:
                point["left_out"] = str(error)
                continue
            point["seconds"].append(taken["seconds"])
            point["peak_over_imports"] = max(point["peak_over_imports"], taken["peak_over_imports"])
        print(f"round {turn + 1} of {args.rounds} done", flush=True)
    return found


def laws(found: list[dict]) -> list[dict]:
    """For each axis and backward pass, the lines of time and of memory; `None` where fewer than two points ran."""
    made = []
    for axis, drawn in dict.fromkeys((p["axis"], p["drawn"]) for p in found):
        line = [p for p in found if (p["axis"], p["drawn"]) == (axis, drawn) and p["seconds"]]
        x = [p[axis] for p in line]
        row = {"axis": axis, "drawn": drawn, "time": None, "memory": None}
        if len(line) > 1:
            milliseconds = [1e3 * spread(p["seconds"])["median"] for p in line]
            for name, y, unit in (
                ("time", milliseconds, "ms"),
                ("memory", [p["peak_over_imports"] / GIB for p in line], "GiB"),
            ):
                law = fit_line(x, y)
                text = law.text({"latent units": "D"}.get(axis, axis), unit)
                row[name] = {"intercept": law.intercept, "slope": law.slope, "worst": law.worst, "text": text}
        made.append(row)
    return made


def show(found: list[dict], lines: list[dict]) -> None:
    cells = [
        [
            f"{point['axis']} = {point[point['axis']]}" + (f", m = {point['drawn']}" if point["drawn"] else ""),
            text(spread(point["seconds"]), 2, 1e3) if point["seconds"] else point["left_out"],
            f"{point['peak_over_imports'] / GIB:.2f}" if point["seconds"] else "",
        ]
        for point in found
    ]
    table(["point", "ms a step", "peak over the imports', GiB"], cells)
    for line in lines:
        drawn = f", m = {line['drawn']}" if line["drawn"] else ""
        for what in ("time", "memory"):
            print(f"{line['axis']}{drawn}, {what}: {line[what]['text'] if line[what] else 'too few points'}")


def _backward(drawn: int | None) -> str:
    return "exact" if drawn is None else f"m = {drawn}"


def draw(figure, found: list[dict], lines: list[dict]) -> None:
    axes = list(dict.fromkeys(point["axis"] for point in found))
    grid = figure.subplots(len(axes), 2, squeeze=False)
    for panels, axis in zip(grid, axes, strict=True):
        for panel, (what, scale) in zip(panels, (("time", 1e3), ("memory", 1 / GIB)), strict=True):
            for line in [line for line in lines if line["axis"] == axis and line[what]]:
                ran = [p for p in found if (p["axis"], p["drawn"]) == (axis, line["drawn"]) and p["seconds"]]
                x = np.array([p[axis] for p in ran])
                y = [spread(p["seconds"])["median"] if what == "time" else p["peak_over_imports"] for p in ran]
                dense = np.geomspace(x[0], x[-1], 100)
                law = line[what]["intercept"] + line[what]["slope"] * dense
                label = f"{_backward(line['drawn'])}: {line[what]['text']}"
                (curve,) = panel.plot(dense, law, "-", linewidth=1)
                panel.plot(x, scale * np.array(y), "o", color=curve.get_color(), markersize=4, label=label)
            unit = "ms a step" if what == "time" else "GiB over the imports'"
            panel.set(xscale="log", yscale="log", xlabel=axis, ylabel=unit)
            # What hardly grows has to look like it.
            low, high = panel.get_ylim()
            panel.set_ylim(min(low, high / 5), max(high, 2 * low))
            panel.grid(alpha=0.3, which="both")
            panel.legend(fontsize=8, loc="upper left")


def main(args) -> None:
    report = Report("growth", args)
    axes = {axis: values for axis, values in (QUICK if args.quick else AXES).items() if args.axis in (None, axis)}
    found = take(axes, args)
    lines = laws(found)
    show(found, lines)
    results = {"base": BASE, "points": found, "laws": lines}
    report.write(results, lambda figure: draw(figure, found, lines), (11, 3.3 * len(axes)))


if __name__ == "__main__":
    arguments = parser(__doc__, rounds=3)
    arguments.add_argument("--axis", choices=AXES, help="only this one")
    arguments.add_argument("--seconds", type=float, default=2.0, help="length of a round of a point [2]")
    arguments.add_argument("--memory", type=float, default=12.0, help="GiB that a process may need [12]")
    run(main, arguments)
