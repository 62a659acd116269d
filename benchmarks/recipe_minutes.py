#!/usr/bin/env python
"""How many minutes does the fast recipe of a row take on this machine?

Not by training: some steps of `fit` with the samples of its first passes and with those of its last, and the pass over
the validation images that follows each pass, in turn for all rows, as many times as the recipe has them.

examples:
  python benchmarks/recipe_minutes.py
  python benchmarks/recipe_minutes.py --rows mnist-iwae-k50-l2-fast --steps 600
"""

from _report import Report, bars, frameworks, parser, positive, run, table
from _timing import alternate, spread, text

_NAMES = "vae-k1-l1", "iwae-k5-l1", "iwae-k50-l1", "vae-k50-l1", "iwae-k50-l2", "vae-k50-l2"
ROWS = tuple(f"mnist-{name}-fast" for name in _NAMES)


class Phase:
    """The passes of a row that have the same number of samples."""

    def __init__(self, config, samples: int, passes: int, steps: int):
        from keras_iwae import data
        from keras_iwae.experiments import build

        self.samples, self.passes, self.steps_per_pass = samples, passes, config.steps_per_pass
        self.steps = min(steps, self.steps_per_pass)
        self.model = build(config)
        dataset, size = config.data.dataset, config.data.batch_size
        self.train, self.validation = (data.load(dataset, split, size) for split in ("train", "validation"))
        self()

    def __call__(self) -> float:
        """Minutes of all its passes."""
        import time

        from _stopwatch import Stopwatch

        from keras_iwae.training import FewerSamplesFirst

        stopwatch = Stopwatch()
        # By a callback, for `fit` gives all of them back at its end.
        fewer = [FewerSamplesFirst(self.samples, 1)] if self.samples < self.model.num_samples else []
        self.model.fit(self.train, steps_per_epoch=self.steps, verbose=0, callbacks=[stopwatch, *fewer])
        begin = time.perf_counter()
        self.model.evaluate(self.validation, verbose=0)
        after = time.perf_counter() - begin
        return self.passes * (self.steps_per_pass * stopwatch.seconds_a_step() + after) / 60.0


def phases(config, steps: int) -> list[Phase]:
    early, climbed = config.early_epochs, config.objective
    parts = [(climbed.early_samples, early), (climbed.num_samples, config.run.epochs - early)]
    return [Phase(config, samples, passes, steps) for samples, passes in parts if samples and passes]


def main(args) -> None:
    report = Report("recipe_minutes", args)
    frameworks()
    from keras_iwae.experiments.paper_table import ROWS as KNOWN

    names, steps = (["digits-iwae-k50-l2-fast"], 60) if args.quick else (args.rows, args.steps)
    configs = {name: KNOWN[name].config for name in names}
    if args.quick:
        # In a pass over the digits are otherwise fewer steps than in one call.
        configs = {name: config.replaced(batch_size=20) for name, config in configs.items()}
    parts = {name: phases(config, steps) for name, config in configs.items()}
    times = alternate({name: lambda own=own: sum(phase() for phase in own) for name, own in parts.items()}, args.rounds)
    passes = {name: sum(phase.passes for phase in own) for name, own in parts.items()}
    rows = [{"row": name, "passes": passes[name], "minutes": spread(times[name])} for name in names]
    table(["row", "passes", "minutes"], [[row["row"], row["passes"], text(row["minutes"], 0)] for row in rows])
    report.write({"rows": rows}, lambda figure: draw(figure, rows), (8, 2.5))


def draw(figure, rows: list[dict]) -> None:
    axes = figure.subplots()
    bars(axes, [row["row"] for row in rows], [row["minutes"] for row in rows], ["tab:blue"] * len(rows))
    axes.set(xlabel="minutes of the whole recipe: median and range of rounds")


if __name__ == "__main__":
    arguments = parser(__doc__, rounds=5)
    arguments.add_argument("--rows", nargs="+", default=ROWS, metavar="ROW", help="names of fast rows [six on MNIST]")
    arguments.add_argument("--steps", type=positive, default=200, help="steps of each phase in a round [200]")
    run(main, arguments)
