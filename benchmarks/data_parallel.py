#!/usr/bin/env python
r"""What does it buy to share a batch out over several processes, and what of it does sending gradients take back?

Two processes of one thread each, on this machine, connected by its loopback. Of each setting four times are taken by
turns: a step of the whole batch in one process while the other waits (alone), a step of half the batch in both, with
nothing sent (share), a step that they take together (together), and the sum of a gradient over both with no step
(sending). A model of the cost is then held to what was seen,

    together = share + sending,     sending = latency + 2 (n - 1) / n bytes / bandwidth,

and from the two numbers of the second law, or those of another network, follows from what length of a step on it pays.

examples:
  python benchmarks/data_parallel.py
"""

import json
import os
import socket
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
from _report import Report, parser, run, table
from _timing import ratios, spread

PROCESSES = 2
# A step of a few milliseconds first, and then longer ones; the paper's network has 200 units a layer.
SETTINGS = [
    {"hidden": 200, "num_samples": 1, "batch_size": 100, "steps": 100},
    {"hidden": 200, "num_samples": 50, "batch_size": 100, "steps": 20},
    {"hidden": 200, "num_samples": 50, "batch_size": 1000, "steps": 3},
    {"hidden": 1000, "num_samples": 1, "batch_size": 100, "steps": 20},
    {"hidden": 1000, "num_samples": 50, "batch_size": 100, "steps": 3},
    {"hidden": 2000, "num_samples": 1, "batch_size": 100, "steps": 10},
]
QUICK = [{"hidden": 5, "num_samples": 2, "batch_size": 10, "steps": 2}]


def of_processes(settings: list[dict], rounds: int) -> list[dict]:
    """What the first of the processes found for each setting."""
    ports = []
    for _ in range(PROCESSES):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    started = []
    for index in range(PROCESSES):
        place = {
            "cluster": {"worker": [f"127.0.0.1:{port}" for port in ports]},
            "task": {"type": "worker", "index": index},
        }
        environment = {**os.environ, "TF_CONFIG": json.dumps(place), "TF_NUM_INTRAOP_THREADS": "1"}
        environment |= {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, str(Path(__file__).with_name("_several.py"))]
        command.append(json.dumps({"settings": settings, "rounds": rounds}))
        started.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    ended = [process.communicate() for process in started]
    for process, (_, said) in zip(started, ended, strict=True):
        if process.returncode:
            raise ChildProcessError(f"a process ended early: {said.strip().splitlines()[-1]}")
    return [json.loads(line) for line in ended[0][0].splitlines() if line.startswith("{")]


def main(args) -> None:
    report = Report("data_parallel", args)
    rows = of_processes(QUICK if args.quick else SETTINGS, args.rounds)
    for row in rows:
        times = row["seconds"]
        row["megabytes"] = 4e-6 * row["parameters"]
        row["faster"] = ratios(times["alone"], times["together"])
        row["faster_without_sending"] = ratios(times["alone"], times["share"])
        row["of_the_model"] = ratios(
            times["together"], [a + b for a, b in zip(times["share"], times["sending"], strict=True)]
        )
    sent = [row["megabytes"] * 2 * (PROCESSES - 1) / PROCESSES for row in rows]
    seconds = [statistics.median(row["seconds"]["sending"]) for row in rows]
    law = None
    if len({*sent}) > 1:
        slope, start = np.polyfit(sent, seconds, 1)
        law = {"latency_ms": 1e3 * start, "megabytes_per_second": 1.0 / slope}
    cells = []
    for row in rows:
        middle = {name: f"{1e3 * spread(taken)['median']:.1f}" for name, taken in row["seconds"].items()}
        cells.append(
            [
                f"{row['hidden']}, {row['num_samples']}, {row['batch_size']}",
                f"{row['megabytes']:.1f}",
                *(middle[name] for name in ("alone", "share", "sending", "together")),
                *(f"{row[name]['median']:.2f}" for name in ("faster_without_sending", "faster", "of_the_model")),
            ]
        )
    heads = ["units, K, batch", "MB sent", "alone, ms", "half, ms", "sending, ms", "together, ms"]
    table([*heads, "faster, nothing sent", "faster", "together / (half + sending)"], cells)
    if law is not None:
        print(f"sending: {law['latency_ms']:.1f} ms and {law['megabytes_per_second']:.0f} MB a second")
    report.write({"processes": PROCESSES, "rows": rows, "sending": law})


if __name__ == "__main__":
    run(main, parser(__doc__, rounds=5))
