#!/usr/bin/env python
"""docs/scale.md from files in docs/benchmarks/ and a page of prose; no number of its tables is typed in.

docs/benchmarks/scale_text.md is the prose: in it $jobs stands for the table of jobs.json, and $about_jobs for its
command and date.

examples:
  python benchmarks/scale_page.py
"""

import argparse
import json
from pathlib import Path

from _files import ending_in
from _page import markdown, write_page
from _timing import text

ROOT = Path(__file__).resolve().parent.parent


def data_parallel(found: dict) -> dict[str, str]:
    rows = []
    for row in found["rows"]:
        medians = [sorted(row["seconds"][name]) for name in ("alone", "share", "sending", "together")]
        milliseconds = [f"{1e3 * taken[len(taken) // 2]:.3g}" for taken in medians]
        ratios = [f"{row[name]['median']:.2f}" for name in ("faster_without_sending", "faster")]
        sizes = f"{row['hidden']}, {row['num_samples']}, {row['batch_size']}"
        rows.append([sizes, f"{row['megabytes']:.1f}", *milliseconds, *ratios])
    heads = ["units a layer, K, batch", "MB a step", "one process, whole batch"]
    heads += ["both, half a batch each, nothing sent", "sending alone", "together", "faster, nothing sent", "faster"]
    return {
        "data_parallel": markdown(heads, rows),
        "latency": f"{found['sending']['latency_ms']:.1f}",
        "bandwidth": f"{found['sending']['megabytes_per_second']:.0f}",
    }


def jobs(found: dict) -> dict[str, str]:
    rows = [[f"{len(found['rows'])} rows, {name}", text(taken, 0)] for name, taken in found["seconds"].items()]
    rows += [[f"products of matrices, {name}", text(taken, 2)] for name, taken in found["products"].items()]
    return {
        "jobs": markdown(["", "seconds (range)"], rows),
        "jobs_over_serial": f"{found['jobs_over_serial']['median']:.2f}",
        "products_over_all": f"{found['products_over']['one process, all cores']['median']:.2f}",
        "jobs_difference": f"{found['largest_difference']:g}",
    }


def large_data(found: dict) -> dict[str, str]:
    sizes = {row["gigabytes"]: row["images"] for row in found["rows"]}
    names = {
        "convert": "`convert.py`",
        "train": "`train.py`, a pass",
        "evaluate": "`evaluate_nll.py`, K = 5, the test split",
    }
    peaks = {(row["step"], row["gigabytes"]): row for row in found["rows"]}
    cells = [[said, *(f"{peaks[step, size]['peak_megabytes']:,}" for size in sizes)] for step, said in names.items()]
    seconds = [[f"{peaks[step, size]['seconds']:.0f}" for size in sizes] for step in names]
    cells += [[f"seconds of {said}", *taken] for said, taken in zip(names.values(), seconds, strict=True)]
    rates = [[name, f"{rate['median']:,.0f}"] for name, rate in found["images_per_second"].items()]
    return {
        "large_data": markdown(["", *(f"{size:g} GB, {count:,} images" for size, count in sizes.items())], cells),
        "large_data_rates": markdown(["images of 28x28 in batches of 100", "a second"], rates),
    }


TABLES = data_parallel, jobs, large_data


def about(name: str, found: dict) -> str:
    cores = found["machine"]["cores"]
    return f"`{found['command']}`, {found['date']}, {cores} cores (`docs/benchmarks/{name}.json`)"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--benchmarks", type=Path, default=ROOT / "docs" / "benchmarks", help="[docs/benchmarks]")
    parser.add_argument("--out", type=ending_in(".md"), default=ROOT / "docs" / "scale.md", help="[docs/scale.md]")
    args = parser.parse_args()
    words = {}
    for made in TABLES:
        found = json.loads((args.benchmarks / f"{made.__name__}.json").read_text())
        words |= {**made(found), f"about_{made.__name__}": about(made.__name__, found)}
    write_page(args.benchmarks / "scale_text.md", words, args.out)


if __name__ == "__main__":
    main()
