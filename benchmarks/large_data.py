#!/usr/bin/env python
"""Does memory stay flat where data are larger than it? Peak memory of conversion, training and evaluation at two sizes.

Images of 64x64 bytes are made where temporary files go, a tenth of --gigabytes first and then all of them, and each
size goes the whole road in processes of its own: convert.py, a pass of train.py, evaluate_nll.py on the test split.
Memory is the peak of what is resident of a process, the libraries with it, and not what the system keeps of files.
Then images a second of `keras_iwae.data.load` from shards, from memory, and of `fit` with K = 1, for images of 28x28.

examples:
  python benchmarks/large_data.py
  TMPDIR=/var/tmp python benchmarks/large_data.py --gigabytes 2.5
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _report import ROOT, Report, parser, run, settle, table

SIDE, HELD_OUT, BLOCK = 64, 0.02, 1000
WHOLE, SMALLEST = {"gigabytes": 10.0, "images": 200_000}, {"gigabytes": 0.05, "images": 5_000}
TRAINED = ["--num-samples", "1", "--hidden", "32", "--latent-dim", "8", "--batch-size", "500", "--epochs", "1"]
# In a process of its own: images a second of a pass, of each in turn, and the best of a few.
SPEED = """
import sys, tempfile, time
import numpy as np
import keras_iwae
from keras_iwae import IWAE, data

images = np.random.default_rng(0).integers(0, 256, (int(sys.argv[1]), 28, 28, 1), dtype=np.uint8)
images[images < 200] = 0
with tempfile.TemporaryDirectory() as folder:
    np.save(f"{folder}/x.npy", images)
    shards = data.convert(f"{folder}/x.npy", f"{folder}/shards", verbose=False)
    model = IWAE((28, 28, 1), num_samples=1)
    model.compile(keras_iwae.training.FusedAdam(1e-3), steps_per_execution=20)
    sides = {
        f"{where}, {binarization}": data.load(source, "train", 100, binarization)
        for where, source in (("memory", images), ("shards", shards)) for binarization in ("dynamic", "none")
    }
    def one(name, batches):
        begin = time.perf_counter()
        if name.startswith("fit"):
            model.fit(batches, epochs=1, verbose=0)
        else:
            for batch in batches:
                pass
        return 100 * len(batches) / (time.perf_counter() - begin)
    sides |= {f"fit, K = 1, {where}": sides[f"{where}, dynamic"] for where in ("memory", "shards")}
    for name, batches in sides.items():
        one(name, batches.take(20) if name.startswith("fit") else batches)
    for _ in range(int(sys.argv[2])):
        for name, batches in sides.items():
            print(f"{name}\\t{one(name, batches)}", flush=True)
"""


def make(path: Path, count: int) -> None:
    """Write images of bytes, four fifths of them dark, a block at a time."""
    import numpy as np

    rng = np.random.default_rng(0)
    with open(path, "wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, SIDE, SIDE)}
        np.lib.format.write_array_header_1_0(file, header)
        for begin in range(0, count, BLOCK):
            block = rng.integers(0, 256, (min(BLOCK, count - begin), SIDE, SIDE), dtype=np.uint8)
            block[block < 205] = 0
            file.write(block.tobytes())


def measured(*words: str) -> dict:
    """Seconds and peak memory of a script."""
    begin = time.perf_counter()
    command = [sys.executable, str(ROOT / "scripts" / words[0]), *words[1:]]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        # Waited for already.
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise ValueError(f"{words[0]} ended with {process.returncode}: {said.read().decode()[-500:]}")
    # Kilobytes, and bytes on macOS.
    peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"peak_megabytes": round(peak / 1e6), "seconds": round(time.perf_counter() - begin, 1)}


def road(folder: Path, gigabytes: float) -> list[dict]:
    """The rows of one size."""
    count = int(gigabytes * 1e9) // SIDE**2
    source, shards, trained = (str(folder / name) for name in ("x.npy", "shards", "run"))
    make(Path(source), count)
    held_out = ["--validation", str(HELD_OUT), "--test", str(HELD_OUT)]
    steps = {"convert": measured("convert.py", source, "--out", shards, *held_out)}
    os.unlink(source)
    steps["train"] = measured("train.py", "--dataset", shards, "--out", trained, *TRAINED)
    steps["evaluate"] = measured("evaluate_nll.py", "--model", trained, "--k", "5")
    shutil.rmtree(shards)
    shutil.rmtree(trained)
    rows = [{"gigabytes": gigabytes, "images": count, "step": name, **found} for name, found in steps.items()]
    heads = ["GB", "images", "step", "peak MB", "seconds"]
    table(heads, [[f"{row['gigabytes']:g}", *list(row.values())[1:]] for row in rows])
    print(flush=True)
    return rows


def speed(images: int, rounds: int) -> dict[str, dict]:
    """Images a second of each side."""
    command = [sys.executable, "-c", SPEED, str(images), str(rounds)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    found: dict[str, list[float]] = {}
    for line in said.splitlines():
        name, value = line.split("\t")
        found.setdefault(name, []).append(float(value))
    return {
        name: {"median": statistics.median(each), "low": min(each), "high": max(each)} for name, each in found.items()
    }


def main(args) -> None:
    settle(args, WHOLE, SMALLEST)
    report = Report("large_data", args)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # The images, and their shards, which are no larger.
        needed, free = 2e9 * args.gigabytes, shutil.disk_usage(folder).free
        if needed > free:
            raise ValueError(
                f"--gigabytes: expected at most {free / 2e9:.1f}, half of what {folder.parent} has room for; received "
                f"{args.gigabytes:g}"
            )
        rows = [row for size in (args.gigabytes / 10, args.gigabytes) for row in road(folder, size)]
    rates = speed(args.images, 2 if args.quick else 5)
    table(["side", "images a second"], [[name, f"{rate['median']:,.0f}"] for name, rate in rates.items()])
    report.write({"rows": rows, "images_per_second": rates})


if __name__ == "__main__":
    arguments = parser(__doc__, rounds=None)
    arguments.add_argument("--gigabytes", type=float, metavar="GB", help="of images, the larger of two sizes [10]")
    arguments.add_argument("--images", type=int, metavar="N", help="for images a second [200000]")
    run(main, arguments)
