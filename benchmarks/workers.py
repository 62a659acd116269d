#!/usr/bin/env python
"""How many images a second and core does an evaluation of the likelihood take by one process, and by workers of Ray?

The NLL at K = 5000 of the paper's network, as it starts, on images of noise: by this process with the threads of all
cores, by one worker that has one core and a batch to itself, and by all workers at once, which share the cores. What
they are started and warmed up with is left out. All have to find the same numbers.

examples:
  python benchmarks/workers.py
  python benchmarks/workers.py --workers 8 --images 8000
"""

import tempfile
import time
from pathlib import Path

from _report import Report, frameworks, machine, parser, positive, run, settle, table
from _timing import alternate, spread, text

BATCH = 200
HERE, ALONE, TOGETHER = "one process, all cores", "one worker, one core", "all workers"


def main(args) -> None:
    settle(args, {"images": 2000, "k": 5000}, {"images": 2 * BATCH, "k": 5})
    frameworks()
    import numpy as np

    from keras_iwae import IWAE, importance_weighted_nll
    from keras_iwae.experiments import worker_processes

    if args.workers < 2:
        raise ValueError(f"--workers: expected at least 2, which is what this is about, got {args.workers}")
    report, cores = Report("workers", args), machine()["cores"]
    images = (np.random.default_rng(0).random((args.images, 784)) < 0.3).astype(np.float32)
    found = {}
    with tempfile.TemporaryDirectory() as folder, worker_processes(args.workers) as workers:
        model, path = IWAE(784), Path(folder) / "model.keras"
        model.save(path)
        settings = {"num_samples": args.k, "batch_size": BATCH, "verbose": False}

        def side(name: str, rows: np.ndarray, spread_over):
            def take() -> float:
                begin = time.perf_counter()
                result = importance_weighted_nll(model, rows, spread=spread_over, **settings)
                seconds = (time.perf_counter() - begin) / len(rows)
                found[name] = -result.bound_per_example[args.k]
                return seconds

            return take

        over = workers.of(path, model)
        sides = {
            HERE: side(HERE, images, None),
            ALONE: side(ALONE, images[:BATCH], over),
            TOGETHER: side(TOGETHER, images, over),
        }
        # All workers first: where one is there it may take the other's batches while that one starts.
        for name in reversed(sides):
            sides[name]()
        times = alternate(sides, args.rounds)
    threads = max(1, cores // args.workers)
    busy = {HERE: cores, ALONE: threads, TOGETHER: min(cores, args.workers * threads)}
    rows = [
        {
            "side": name,
            "cores": busy[name],
            "images": len(found[name]),
            "images_per_second": spread([1.0 / each for each in taken]),
            "images_per_second_and_core": spread([1.0 / each / busy[name] for each in taken]),
            "largest_difference": float(np.abs(found[name] - found[HERE][: len(found[name])]).max()),
        }
        for name, taken in times.items()
    ]
    heads = ["side", "cores", "images a second", "and core", "largest difference, nats"]
    cells = [
        [
            row["side"],
            row["cores"],
            text(row["images_per_second"], 1),
            text(row["images_per_second_and_core"], 1),
            f"{row['largest_difference']:.2g}",
        ]
        for row in rows
    ]
    table(heads, cells)
    report.write({"workers": args.workers, "num_samples": args.k, "rows": rows})


if __name__ == "__main__":
    arguments = parser(__doc__, rounds=3)
    arguments.add_argument("--workers", type=positive, default=2, metavar="N", help="processes of Ray at once [2]")
    arguments.add_argument("--images", type=positive, metavar="N", help=f"how many, in batches of {BATCH} [2000]")
    arguments.add_argument("--k", type=positive, metavar="K", help="samples of each image [5000]")
    run(main, arguments)
