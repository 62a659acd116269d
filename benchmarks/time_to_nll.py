#!/usr/bin/env python
"""How many seconds of training until the NLL on MNIST falls under 95, 92 and 90 nats?

Three sides, IWAE with K = 50 and batches of 100 in the same network: keras_iwae with the fast recipe
(`keras_iwae.experiments.paper_table`) in so many --passes, a compiled loop of PyTorch at the rates of that recipe,
which rise and fall over as many, and the same loop with Adam at 0.001 throughout. They train one pass each in turn;
after each pass the NLL of their weights is taken by one and the same model, off the clock. The clock runs from the
first step, what is traced or compiled in it included. A side stops when it is under the last threshold, its budget is
spent, or its rate is 0, so the three may have seen unlike numbers of passes. The time of a threshold is that of the
first pass after which the NLL is under it, on the 10,000 test images at K = 500, which is a little above the one at
K = 5000. A round trains all sides from the start, each with a seed of its own.

examples:
  python benchmarks/time_to_nll.py
  python benchmarks/time_to_nll.py --passes 20 --minutes 8 --split validation --k 1000
"""

from _network import Network, assign, with_output_bias
from _peers import Workers
from _report import Report, frameworks, parser, positive, run, table

SAMPLES, BATCH, THRESHOLDS = 50, 100, (95.0, 92.0, 90.0)
# The worker, the kind of its side, and whether its rates are those of the recipe.
SIDES = {
    "keras_iwae, fast recipe": ("keras_iwae", "recipe", True),
    "PyTorch, the recipe's rates": ("pytorch", "at_rates", True),
    "PyTorch, Adam at 0.001": ("pytorch", "compiled", False),
}


class Judge:
    """The NLL of anybody's 14 weight arrays, by `importance_weighted_nll` on the same binary images."""

    def __init__(self, dataset: str, split: str, num_samples: int):
        import keras_iwae

        self.images, self.num_samples = keras_iwae.data.load(dataset, split, 200), num_samples
        self.model = keras_iwae.IWAE(self.images.element_spec.shape[1:])
        self.evaluate = keras_iwae.importance_weighted_nll

    def __call__(self, weights) -> float:
        assign(self.model, weights)
        return self.evaluate(self.model, self.images, self.num_samples, bounds=(), verbose=False).nll


def reached(curve: list[dict], threshold: float) -> dict | None:
    """The first point of a curve under a threshold, `None` where there is none."""
    return next((point for point in curve if point["nll"] < threshold), None)


def train(workers: Workers, sides: dict, judge: Judge, last: float, minutes: float, passes: int) -> dict[str, list]:
    """Curves of (passes, seconds, nll), one pass of each side in turn; those with the recipe's rates have `passes`."""
    curves: dict[str, list] = {name: [] for name in sides}
    active = set(sides)
    while active:
        for name in [name for name in sides if name in active]:
            worker, curve = workers[sides[name][0]], curves[name]
            answer = worker.ask("round", name=name)
            before = curve[-1]["seconds"] if curve else 0.0
            seconds = before + answer["seconds"] * answer["count"]
            nll = judge(worker.weights(name, workers.folder))
            curve.append({"passes": len(curve) + 1, "seconds": seconds, "nll": nll})
            print(f"{name}: pass {len(curve)}, {seconds:.0f} s of training, NLL {nll:.2f}", flush=True)
            ended = sides[name][2] and len(curve) == passes
            if ended or nll < last or seconds >= 60.0 * minutes:
                active.remove(name)
    return curves


def one_round(args, seed: int, left_out: dict) -> dict[str, list]:
    """Curves of one training of each side, with weights and draws of its own seed."""
    frameworks()
    from keras_iwae.data.catalog import images as of_split
    from keras_iwae.experiments.paper_table import ROWS

    dataset = "digits" if args.quick else "mnist"
    levels = of_split(dataset, "train")
    levels = levels.reshape(len(levels), -1)
    weights = with_output_bias(Network(levels.shape[1]).weights(seed), levels)
    with Workers(dict.fromkeys(worker for worker, *_ in SIDES.values())) as workers:
        left_out |= workers.left_out
        common = {"images": workers.save_images(levels), "weights": workers.save_weights(weights), "seed": seed}
        common |= {"batch_size": BATCH, "num_samples": SAMPLES}
        row = f"{dataset}-iwae-k50-l1-fast"
        rates = {"row": row, "passes": args.passes, "peak": ROWS[row].config.optimizer.learning_rate}
        sides = {name: side for name, side in SIDES.items() if side[0] in workers}
        for name, (worker, kind, of_recipe) in sides.items():
            workers[worker].ask("make", name=name, kind=kind, **common, **(rates if of_recipe else {}))
            workers[worker].ask("exactly", name=name, count=len(levels) // BATCH)
        judge = Judge(dataset, args.split, args.k)
        return train(workers, sides, judge, min(args.thresholds), args.minutes, args.passes)


def draw(figure, rounds: list[dict], thresholds) -> None:
    axes = figure.subplots()
    for number, curves in enumerate(rounds):
        for place, (name, curve) in enumerate(curves.items()):
            label = {"label": name} if number == 0 else {}
            axes.plot(
                [p["seconds"] for p in curve], [p["nll"] for p in curve], "o-", markersize=3, color=f"C{place}", **label
            )
    for threshold in thresholds:
        axes.axhline(threshold, color="0.6", linewidth=0.8, linestyle="--")
    axes.set(xlabel="seconds of training", ylabel="NLL (nats)", xscale="log")
    lowest = min(point["nll"] for curves in rounds for curve in curves.values() for point in curve)
    axes.set_ylim(lowest - 1.0, max(lowest + 25.0, max(thresholds) + 10.0))
    axes.grid(alpha=0.3)
    axes.legend()


def show(found: list[dict], thresholds) -> None:
    cells = []
    for name in found[0]:
        row = [name]
        for threshold in thresholds:
            points = [one[name][f"{threshold:g}"] for one in found]
            row.append(", ".join(f"{p['seconds']:.0f} s ({p['passes']})" if p else "not reached" for p in points))
        cells.append(row)
    table(["side", *(f"under {threshold:g} (passes)" for threshold in thresholds)], cells)


def main(args) -> None:
    report = Report("time_to_nll", args)
    if args.quick:
        args.passes, args.k, args.rounds, args.minutes = 2, 10, 1, 0.1
    left_out: dict[str, str] = {}
    rounds = [one_round(args, seed, left_out) for seed in range(args.rounds)]
    found = [
        {name: {f"{t:g}": reached(curve, t) for t in args.thresholds} for name, curve in curves.items()}
        for curves in rounds
    ]
    show(found, args.thresholds)
    results = {"left_out": left_out, "reached": found, "curves": rounds}
    report.write(results, lambda figure: draw(figure, rounds, args.thresholds))


if __name__ == "__main__":
    arguments = parser(__doc__, rounds=1)
    arguments.add_argument("--minutes", type=float, default=30.0, help="budget of training time of each side [30]")
    arguments.add_argument("--passes", type=positive, default=40, help="of the recipe, and of its rates [40]")
    arguments.add_argument("--split", choices=("validation", "test"), default="test", help="[test]")
    arguments.add_argument("--k", type=positive, default=500, help="samples of the NLL [500]")
    arguments.add_argument("--thresholds", type=float, nargs="+", default=THRESHOLDS, help="in nats [95 92 90]")
    run(main, arguments)
