#!/usr/bin/env python
"""How much sooner do ten runs end as jobs of two processes than one after the other?

`reproduce.py` from its start to its end, imports included, into an empty folder: ten -fast rows of the digits one after
the other, then with --workers 2. The NLL of each row has to come out the same. Beside it what the cores have to give:
products of matrices by one process with the threads of all cores, by one with a single thread, and by two with their
share of threads each, the same number of products in all.

examples:
  python benchmarks/jobs.py
  python benchmarks/jobs.py --workers 8 --rounds 3
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _peers import environment
from _report import ROOT, Report, machine, parser, positive, run, table
from _timing import alternate, ratios, spread, text

MODELS = "vae-k1", "vae-k5", "vae-k50", "iwae-k1", "iwae-k5", "iwae-k50"
ROWS = [f"digits-{model}-l1-fast" for model in MODELS]
ROWS += [f"digits-{model}-l2-fast" for model in ("vae-k1", "vae-k5", "iwae-k1", "iwae-k5")]
# One pass, and an evaluation by which nothing is judged.
SHORT = ["--budget-minutes", "1e-9", "--k", "20", "--limit", "20"]
PRODUCTS = """
import sys, time
import numpy as np
count = int(sys.argv[1])
x = np.random.default_rng(0).normal(size=(400, 400)).astype(np.float32)
x @ x
print("ready", flush=True)
sys.stdin.readline()
begin = time.perf_counter()
for _ in range(count):
    x @ x
print(time.perf_counter() - begin, flush=True)
"""
SERIAL, JOBS = "one after the other", "jobs"


def reproduced(names: list[str], root: Path, options: list[str]) -> tuple[float, dict[str, float]]:
    """Seconds of a whole `reproduce.py`, and the NLL of each row."""
    command = [sys.executable, str(ROOT / "scripts" / "reproduce.py"), "--row", *names, "--out", str(root), *options]
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise ChildProcessError(f"reproduce.py ended with {done.returncode}: {done.stderr.strip().splitlines()[-1]}")
    results = {name: json.loads((root / "results" / f"{name}.json").read_text()) for name in names}
    return seconds, {name: result["nll_test"]["nll"] for name, result in results.items()}


def products(processes: int, threads: int, count: int) -> float:
    """Seconds in which so many processes do `count` products in all."""
    limits = {f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "OPENBLAS", "MKL")}
    command = [sys.executable, "-c", PRODUCTS, str(count // processes)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(command, env={**os.environ, **limits}, **pipes) for _ in range(processes)]
    for process in started:
        process.stdout.readline()
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    return max(float(process.communicate()[0]) for process in started)


def main(args) -> None:
    report, cores = Report("jobs", args), machine()["cores"]
    names, short = (ROWS[:2], SHORT) if args.quick else (ROWS, [])
    found: dict[str, dict[str, float]] = {}

    def side(name: str, options: list[str]):
        def take() -> float:
            with tempfile.TemporaryDirectory() as root:
                seconds, found[name] = reproduced(names, Path(root), [*short, *options])
            return seconds

        return take

    sides = {SERIAL: side(SERIAL, []), JOBS: side(JOBS, ["--workers", str(args.workers)])}
    times = alternate(sides, args.rounds)
    count = args.workers * (40 if args.quick else 2000)
    of_cores = {
        "one process, all cores": lambda: products(1, cores, count),
        "one process, one thread": lambda: products(1, 1, count),
        f"{args.workers} processes": lambda: products(args.workers, max(1, cores // args.workers), count),
    }
    given = alternate(of_cores, 1 if args.quick else 5)
    together = given[f"{args.workers} processes"]
    rows = [{"row": name, "nll": nll, "nll_by_jobs": found[JOBS][name]} for name, nll in found[SERIAL].items()]
    results = {
        "workers": args.workers,
        "rows": rows,
        "largest_difference": max(abs(row["nll"] - row["nll_by_jobs"]) for row in rows),
        "seconds": {name: spread(taken) for name, taken in times.items()},
        "jobs_over_serial": ratios(times[JOBS], times[SERIAL]),
        "products": {name: spread(taken) for name, taken in given.items()},
        "products_over": {name: ratios(together, taken) for name, taken in given.items() if taken is not together},
    }
    cells = [[name, text(results["seconds"][name], 1)] for name in sides]
    cells += [[f"products by {name}", text(results["products"][name], 2)] for name in given]
    table([f"{len(names)} rows", "seconds"], cells)
    print(f"jobs over one after the other: {text(results['jobs_over_serial'])}")
    for name, ratio in results["products_over"].items():
        print(f"products by {args.workers} processes over {name}: {text(ratio)}")
    print(f"largest difference of an NLL: {results['largest_difference']:g}")
    report.write(results)


if __name__ == "__main__":
    arguments = parser(__doc__, rounds=1)
    arguments.add_argument("--workers", type=positive, default=2, metavar="N", help="rows at once [2]")
    run(main, arguments)
