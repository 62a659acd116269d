#!/usr/bin/env python
"""Where does the time of a training step go, operation by operation?

TensorFlow's own profiler looks at steps of the paper's network, outside XLA, and says when each operation began and
ended. Printed are those that take longest, by their name in the graph, and the kinds of operations by what all of one
kind take together. Two operations at once count twice, so that shares are of the sum over operations, which stands
beside the time of a step that was taken without the profiler; what is left between the two is TensorFlow's own work
between operations, and cores that wait.

examples:
  python benchmarks/profile_step.py
  python benchmarks/profile_step.py --k 1 --batch-size 20 --rows 30
"""

import collections
import tempfile
import time
from pathlib import Path

from _report import Report, frameworks, parser, positive, run, settle, table
from _timing import spread, text

# With what names begin that have a colon and are no operations.
_NOT_ONE = "ExecutorState", "EagerLocalExecute", "KernelAndDevice"


def profiled(call, steps: int) -> list[tuple[str, str, float, float]]:
    """Of each operation of `call` its name, its kind, seconds a step and how often it ran in a step."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        try:
            for _ in range(steps):
                call()
        finally:
            tf.profiler.experimental.stop()
        (file,) = Path(folder).glob("**/*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(file.read_bytes())
    seconds: collections.Counter[tuple[str, str]] = collections.Counter()
    calls: collections.Counter[tuple[str, str]] = collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name, _, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
                kind = kind.removeprefix("_Mkl").removeprefix("_")
                # Functions of C++ have two colons.
                if name and not name.endswith(":") and kind.isalnum() and not name.startswith(_NOT_ONE):
                    seconds[name, kind] += event.duration_ps * 1e-12
                    calls[name, kind] += 1
    return [(*key, taken / steps, calls[key] / steps) for key, taken in seconds.most_common()]


def main(args) -> None:
    settle(args, {"k": [1, 50], "batch_size": [20, 100]}, {"k": [2], "batch_size": [10]})
    frameworks()
    import numpy as np
    import tensorflow as tf

    from keras_iwae import IWAE
    from keras_iwae.training import FusedAdam

    report, found = Report("profile_step", args), []
    steps = 2 if args.quick else 30
    for k in args.k:
        for size in args.batch_size:
            model = IWAE(784, num_samples=k, backward_samples=args.backward_samples)
            model.compile(FusedAdam(1e-3))
            model.make_train_function()
            x = tf.constant((np.random.default_rng(0).random((size, 784)) < 0.3).astype(np.float32))
            graph = tf.function(lambda rows, model=model: model.train_step((rows,)))

            def step(graph=graph, x=x):
                graph(x)

            taken = []
            for turn in range(args.rounds + 1):
                start = time.perf_counter()
                for _ in range(steps):
                    step()
                taken += [(time.perf_counter() - start) / steps] if turn else []
            operations = profiled(step, steps)
            found.append(_said(k, size, spread(taken), operations, args.rows))
    report.write({"rows": found})


def _said(k: int, size: int, step: dict, operations: list, rows: int) -> dict:
    whole = sum(seconds for _, _, seconds, _ in operations)
    kinds: collections.Counter[str] = collections.Counter()
    numbers: collections.Counter[str] = collections.Counter()
    for _, kind, seconds, calls in operations:
        kinds[kind] += seconds
        numbers[kind] += calls
    count = sum(numbers.values())
    print(f"\nK = {k}, B = {size}: {text(step, scale=1e3)} ms a step, {1e3 * whole:.2f} ms in {count:.0f} operations")
    heads = ["", "ms", "share", "a step"]
    shares = [(kind, seconds, numbers[kind]) for kind, seconds in kinds.most_common(rows)]
    for head, lines in (
        ("kind", shares),
        ("operation", [(f"{name} ({kind})", seconds, calls) for name, kind, seconds, calls in operations[:rows]]),
    ):
        cells = [
            [name, f"{1e3 * seconds:.3f}", f"{seconds / whole:.1%}", f"{calls:g}"] for name, seconds, calls in lines
        ]
        table([head, *heads[1:]], cells)
    return {
        "num_samples": k,
        "batch_size": size,
        "seconds": step,
        "seconds_in_operations": whole,
        "operations": count,
        "kinds": {kind: {"seconds": seconds, "calls": numbers[kind]} for kind, seconds in kinds.most_common()},
        "longest": [
            {"name": name, "kind": kind, "seconds": seconds, "calls": calls}
            for name, kind, seconds, calls in operations[:rows]
        ],
    }


if __name__ == "__main__":
    made = parser(__doc__, rounds=5)
    made.add_argument("--k", type=positive, nargs="+", help="samples [1 50]")
    made.add_argument("--batch-size", type=positive, nargs="+", metavar="B", help="images a step [20 100]")
    made.add_argument("--backward-samples", type=positive, metavar="m", help="of the resampled backward pass [all]")
    made.add_argument("--rows", type=positive, default=15, help="lines of each table [15]")
    run(main, made)
