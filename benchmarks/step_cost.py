#!/usr/bin/env python
"""What does a bound, an estimator or a posterior cost a step? One network, one batch, the sides in turn, one process.

Times of `fit` with its metrics and input pipeline, and their ratio, round by round, to the first of their group:
IWAE-50 with the reparameterized estimator, and the ELBO with five draws from a diagonal Gaussian.

examples:
  python benchmarks/step_cost.py
"""

from _network import Network
from _peers import Workers, images
from _report import Report, bars, parser, run, table
from _timing import alternate, ratios, spread, text

BATCH = 100
BOUNDS = {
    "IWAE-50": {},
    "IWAE-50, DReG": {"estimator": "dreg"},
    "IWAE-50, resampled m = 8": {"backward_samples": 8},
    "IWAE-50, DReG, resampled m = 8": {"estimator": "dreg", "backward_samples": 8},
    "CIWAE-50": {"objective": "ciwae"},
    "MIWAE(8, 8)": {"objective": "miwae", "num_samples": 64},
    "PIWAE(8, 8)": {"objective": "piwae", "num_samples": 64},
}
FAMILIES = (
    *("gaussian", "full_covariance", "planar", "radial", "iaf", "maf", "autoregressive", "auxiliary"),
    *("semi_amortized", "adversarial"),
)
POSTERIORS = {
    f"{family}, {bound}": {"posterior": family, "objective": objective, "num_samples": 5}
    for family in FAMILIES
    for bound, objective in (("ELBO", "elbo"), ("IWAE-5", "iwae"))
    if (family, objective) != ("adversarial", "iwae")
}
GROUPS = {"bounds": BOUNDS, "posteriors": POSTERIORS}


def measured(workers: Workers, group: str, files: dict, longest: int, args) -> list[dict]:
    """The rows of a group, compared with its first; a round has `longest` images at most."""
    sides, worker = GROUPS[group], workers["keras_iwae"]
    batch, seconds = (10, 0.02) if args.quick else (BATCH, args.seconds)
    if args.quick:
        # The last of the posteriors is another class of model.
        sides = {name: sides[name] for name in (next(iter(sides)), list(sides)[-1])}
    for name, settings in sides.items():
        worker.ask("make", name=name, kind="fit", batch_size=batch, **files, **{"num_samples": 50, **settings})
        worker.ask("prepare", name=name, seconds=seconds, most=longest // batch)
    times = alternate({name: workers.round_of("keras_iwae", name) for name in sides}, args.rounds)
    first = next(iter(sides))
    return [
        {
            "group": group,
            "side": name,
            "batch_size": batch,
            "seconds": taken,
            "step": spread(taken),
            "times_the_first": ratios(taken, times[first]),
        }
        for name, taken in times.items()
    ]


def draw(figure, rows: list[dict]) -> None:
    panels = figure.subplots(len(GROUPS), 1, height_ratios=[len(sides) for sides in GROUPS.values()])
    for axes, group in zip(panels, GROUPS, strict=True):
        own = [row for row in rows if row["group"] == group]
        bars(axes, [row["side"] for row in own], [row["times_the_first"] for row in own], ["tab:blue"] * len(own))
        axes.set(xlabel=f"time of a step, to that of {own[0]['side']}: median and range of rounds")


def main(args) -> None:
    report = Report("step_cost", args)
    train = images("train", args.quick)
    rows: list[dict] = []
    with Workers(["keras_iwae"]) as workers:
        files = {"images": workers.save_images(train), "weights": workers.save_weights(Network().weights())}
        rows += measured(workers, "bounds", files, len(train), args)
        # The families have weights that the others lack: each starts from its own.
        rows += measured(workers, "posteriors", {"images": files["images"]}, len(train), args)
    for group, sides in GROUPS.items():
        heads = [f"a step of `fit` at batch {rows[0]['batch_size']}", "ms", f"ratio to {next(iter(sides))}"]
        own = [row for row in rows if row["group"] == group]
        table(heads, [[row["side"], text(row["step"], 1, 1e3), text(row["times_the_first"])] for row in own])
    report.write({"rows": rows}, lambda figure: draw(figure, rows), (8, 8))


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=float, default=3.0, help="length of a round of a side [3]")
    run(main, arguments)
