#!/usr/bin/env python
"""What does a bound or an estimator cost a step? One network, one batch, the sides in turn, in one process.

Times of `fit` with its metrics and input pipeline, and their ratio, round by round, to IWAE-50 with the reparameterized
estimator.

examples:
  python benchmarks/step_cost.py
"""

from _network import Network
from _peers import Workers, images
from _report import Report, bars, parser, run, table
from _timing import alternate, ratios, spread, text

BATCH = 100
FIRST = "IWAE-50"
SIDES = {
    FIRST: {},
    "IWAE-50, DReG": {"estimator": "dreg"},
    "IWAE-50, resampled m = 8": {"backward_samples": 8},
    "IWAE-50, DReG, resampled m = 8": {"estimator": "dreg", "backward_samples": 8},
    "CIWAE-50": {"objective": "ciwae"},
    "MIWAE(8, 8)": {"objective": "miwae", "num_samples": 64},
    "PIWAE(8, 8)": {"objective": "piwae", "num_samples": 64},
}


def draw(figure, rows: list[dict]) -> None:
    axes = figure.subplots()
    bars(axes, [row["side"] for row in rows], [row["times_the_first"] for row in rows], ["tab:blue"] * len(rows))
    axes.set(xlabel=f"time of a step, to {FIRST}'s: median and range of rounds")


def main(args) -> None:
    report = Report("step_cost", args)
    train, sides = images("train", args.quick), dict(list(SIDES.items())[:2]) if args.quick else SIDES
    batch, seconds = (10, 0.02) if args.quick else (BATCH, args.seconds)
    with Workers(["keras_iwae"]) as workers:
        worker = workers["keras_iwae"]
        files = {"images": workers.save_images(train), "weights": workers.save_weights(Network().weights())}
        for name, settings in sides.items():
            worker.ask("make", name=name, kind="fit", batch_size=batch, **files, **{"num_samples": 50, **settings})
            worker.ask("prepare", name=name, seconds=seconds, most=len(train) // batch)
        times = alternate({name: workers.round_of("keras_iwae", name) for name in sides}, args.rounds)
    rows = [
        {
            "side": name,
            "batch_size": batch,
            "seconds": taken,
            "step": spread(taken),
            "times_the_first": ratios(taken, times[FIRST]),
        }
        for name, taken in times.items()
    ]
    heads = [f"a step of `fit` at batch {batch}", "ms", f"ratio to {FIRST}"]
    table(heads, [[row["side"], text(row["step"], 1, 1e3), text(row["times_the_first"])] for row in rows])
    report.write({"rows": rows}, lambda figure: draw(figure, rows), (8, 3.5))


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=float, default=3.0, help="length of a round of a side [3]")
    run(main, arguments)
