#!/usr/bin/env python
"""How long from starting Python to the first training step, and what does `import keras_iwae` add?

Each side is a fresh process that says when it is past its imports and past its first step (B = 20, K = 5: the model
built, traced where that is needed, one step of Adam done). The clock is the parent's, from before the process exists.
The first round warms the file cache and is not counted. What keras_iwae adds is measured within one process, after
TensorFlow, Keras and TensorFlow Probability, which loads `distributions` when they are first touched.

examples:
  python benchmarks/startup.py
"""

import json
import subprocess
import sys
import time

from _peers import BENCHMARKS, NEEDS, environment, missing
from _report import Report, parser, run, table
from _timing import alternate, ratios, spread, text

HEAD = """
import json, sys, time
def say(name): print(json.dumps([name, time.monotonic()]), flush=True)
"""
FRAMEWORKS = """
import tensorflow, keras, tensorflow_probability as tfp
tfp.distributions.Normal
say("frameworks")
"""
# A name to the worker whose packages its process needs, and to what the process runs.
SIDES = {
    "TensorFlow, Keras, TFP": ("keras_iwae", FRAMEWORKS),
    "keras_iwae after them": ("keras_iwae", FRAMEWORKS + "import keras_iwae\nsay('imports')"),
    "keras_iwae first": ("keras_iwae", "import keras_iwae\nsay('imports')"),
    "keras_iwae, one step of fit": (
        "keras_iwae",
        """
import keras, keras_iwae, numpy as np
say("imports")
model = keras_iwae.IWAE(784, num_samples=5)
model.compile(keras.optimizers.Adam(1e-3))
model.fit(keras_iwae.data.load(np.zeros([20, 784], np.float32), "train", 20), verbose=0)
say("first step")
""",
    ),
    "PyTorch, one step": (
        "pytorch",
        """
import torch
say("imports")
from _network import Network as Sizes
from with_pytorch import Network
network = Network(Sizes().weights())
optimizer = torch.optim.Adam(network.parameters(), 1e-3)
network.loss(torch.zeros(20, 784), 5).backward()
optimizer.step()
say("first step")
""",
    ),
    "pythae, one step": (
        "pythae",
        """
import torch, pythae.models
say("imports")
from _network import Network as Sizes
from with_pythae import DatasetOutput, Network, model_of
model = model_of(Network(Sizes().weights()), 5)
optimizer = torch.optim.Adam(model.parameters(), 1e-3)
model(DatasetOutput(data=torch.zeros(20, 784))).loss.backward()
optimizer.step()
say("first step")
""",
    ),
}
LAST = "imports", "first step"


def start(code: str) -> dict[str, float]:
    """Seconds from before a fresh process exists to each of its marks."""
    script = f"{HEAD}sys.path.insert(0, {str(BENCHMARKS / 'peers')!r})\n{code}"
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment())
    if done.returncode:
        raise ChildProcessError(f"a process could not start: {done.stderr.strip().splitlines()[-1]}")
    lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
    return {name: at - begin for name, at in map(json.loads, lines)}


def main(args) -> None:
    report = Report("startup", args)
    left_out = {name: f"not installed: {', '.join(missing(name))}" for name in NEEDS if missing(name)}
    # Four processes are enough to see that they start.
    names = [name for name, (worker, _) in SIDES.items() if worker not in left_out][: 4 if args.quick else None]
    marks: dict[str, list[dict[str, float]]] = {name: [] for name in names}

    def turn(name: str):
        def take() -> float:
            marks[name].append(start(SIDES[name][1]))
            return max(marks[name][-1].values())

        return take

    turns = {name: turn(name) for name in names}
    if not args.quick:
        for warm_up in turns.values():
            warm_up()
        marks = {name: [] for name in names}
    times = alternate(turns, args.rounds)
    rows = []
    for name in names:
        row = {"side": name, "marks": marks[name], "total": spread(times[name])}
        row["to_keras_iwae"] = ratios(times[name], times["keras_iwae, one step of fit"])
        for mark in marks[name][0]:
            row[mark] = spread([taken[mark] for taken in marks[name]])
        rows.append(row)
    added = [taken["imports"] - taken["frameworks"] for taken in marks["keras_iwae after them"]]
    first = ratios(times["keras_iwae first"], times["keras_iwae after them"])
    cells = [
        [row["side"], *(f"{row[mark]['median']:.2f}" if mark in row else "" for mark in ("frameworks", *LAST))]
        for row in rows
    ]
    table(["side", "past the frameworks, s", "past imports, s", "past the first step, s"], cells)
    print(f"keras_iwae adds {text(spread(added))} s to importing TensorFlow, Keras and TFP")
    print(f"imported first, keras_iwae and the three take {text(first)} of the time that they take one after the other")
    results = {"left_out": left_out, "keras_iwae_adds": spread(added), "keras_iwae_first": first, "rows": rows}
    report.write(results, lambda figure: draw(figure, rows), (8, 3.5))


def draw(figure, rows: list[dict]) -> None:
    axes = figure.subplots()
    for place, row in enumerate(rows[::-1]):
        imports, last = row.get("imports", row.get("frameworks"))["median"], row["total"]["median"]
        axes.barh(place, imports, color="tab:blue", label="imports" if place == 0 else None)
        axes.barh(place, last - imports, left=imports, color="tab:orange", label="first step" if place == 0 else None)
    axes.set_yticks(range(len(rows)), [row["side"] for row in rows[::-1]])
    axes.set(xlabel="seconds from starting Python, median")
    axes.grid(alpha=0.3, axis="x")
    axes.legend()


if __name__ == "__main__":
    run(main, parser(__doc__, rounds=5))
