#!/usr/bin/env python
"""Does the input pipeline keep up with the step? Images a second of `keras_iwae.data.load` alone, and of `fit`.

Sides take turns in one process: batches drawn and thrown away (dynamic binarization, and grey levels as they are, which
costs the shuffling alone), `fit` from the pipeline, and `fit` on one batch that is given again and again. The last
is what the step takes with nothing to wait for; the pipeline costs what `fit` loses to it.

examples:
  python benchmarks/input_pipeline.py
"""

from _network import Network
from _peers import Workers, images
from _report import Report, bars, parser, run, table
from _timing import alternate, ratios, spread, text

BATCHES, SAMPLES = (20, 100), (1, 5, 50)


def measure(workers: Workers, batch: int, samples: tuple[int, ...], args, files: dict, most: int) -> list[dict]:
    worker, sides = workers["keras_iwae"], {}
    for binarization in ("dynamic", "none"):
        name = f"pipeline, {binarization}"
        sides[name] = None
        settings = {"batch_size": batch, "binarization": binarization, **files}
        worker.ask("make", name=name, kind="pipeline", **settings)
    for count in samples:
        for data, name in (("load", f"fit, K = {count}"), ("repeated", f"fit without a pipeline, K = {count}")):
            sides[name] = count
            settings = {"batch_size": batch, "num_samples": count, "data": data, **files}
            worker.ask("make", name=name, kind="fit", **settings)
    for name in sides:
        worker.ask("prepare", name=name, seconds=0.02 if args.quick else args.seconds, most=most)
    times = alternate({name: workers.round_of("keras_iwae", name) for name in sides}, args.rounds)
    rows = []
    for name, count in sides.items():
        row = {
            "side": name,
            "batch_size": batch,
            "num_samples": count,
            "seconds_per_batch": times[name],
            "images_per_second": spread([batch / t for t in times[name]]),
        }
        if name == f"fit, K = {count}":
            alone = times[f"fit without a pipeline, K = {count}"]
            row["times_without_pipeline"] = ratios(times[name], alone)
            row["pipeline_to_step"] = ratios(alone, times["pipeline, dynamic"])
        rows.append(row)
    worker.ask("drop")
    return rows


def show(rows: list[dict]) -> None:
    cells = []
    for row in rows:
        rate = text(row["images_per_second"], 0)
        given = (row[key]["median"] if key in row else None for key in ("times_without_pipeline", "pipeline_to_step"))
        cells.append([row["batch_size"], row["side"], rate, *("" if v is None else f"{v:.2f}" for v in given)])
    heads = ["B", "side", "images a second", "time, to that without a pipeline", "pipeline's speed, to the step's"]
    table(heads, cells)


def draw(figure, rows: list[dict]) -> None:
    batches = sorted({row["batch_size"] for row in rows})
    for batch, axes in zip(batches, figure.subplots(1, len(batches), squeeze=False)[0], strict=True):
        panel = [row for row in rows if row["batch_size"] == batch]
        colors = ["tab:green" if row["num_samples"] is None else "tab:blue" for row in panel]
        bars(axes, [row["side"] for row in panel], [row["images_per_second"] for row in panel], colors)
        axes.set(title=f"B = {batch}", xlabel="images a second: median and range", xscale="log")


def main(args) -> None:
    report = Report("input_pipeline", args)
    batches, samples = (BATCHES[:1], SAMPLES[:1]) if args.quick else (BATCHES, SAMPLES)
    train, rows = images("train", args.quick), []
    with Workers(["keras_iwae"]) as workers:
        files = {"images": workers.save_images(train), "weights": workers.save_weights(Network().weights())}
        for batch in batches:
            rows += measure(workers, batch, samples, args, files, len(train) // batch)
    show(rows)
    report.write({"rows": rows}, lambda figure: draw(figure, rows), (13, 4.5))


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=float, default=2.0, help="length of a round of a side [2]")
    run(main, arguments)
