#!/usr/bin/env python
"""docs/performance.md from the files in docs/benchmarks/ and a page of prose; no number of its tables is typed in.

docs/benchmarks/text.md is the prose: in it $train_step stands for a table of train_step.json, and $about_train_step for
its rounds, date and command. A benchmark that was not run says so.

examples:
  python benchmarks/performance_page.py
"""

import argparse
import json
from pathlib import Path

from _files import ending_in
from _page import markdown, write_page
from _targets import targets
from _timing import text

ROOT = Path(__file__).resolve().parent.parent
GIB = 2**30


def train_step(found: dict) -> str:
    """Milliseconds, and in brackets the speed to the fastest peer's; a column for each batch size and K."""
    keys = list(dict.fromkeys((row["batch_size"], row["num_samples"]) for row in found["rows"]))
    by_side: dict[str, dict] = {}
    for row in found["rows"]:
        cell = f"{1e3 * row['step']['median']:.2f}"
        if "speed_to_fastest_peer" in row:
            cell += f" ({row['speed_to_fastest_peer']['median']:.2f})"
        by_side.setdefault(row["side"], {})[row["batch_size"], row["num_samples"]] = cell
    rows = [[side, *(cells.get(key, "") for key in keys)] for side, cells in by_side.items()]
    return markdown(["side", *(f"B = {batch}, K = {samples}" for batch, samples in keys)], rows)


def nll(found: dict) -> str:
    rows = [
        [
            row["side"],
            text(row["images_per_second"], 2),
            f"{row['share_of_products']['median']:.0%}",
            f"{row['nll'][-1]:.2f} ({row['images']})" if "nll" in row else "",
        ]
        for row in found["rows"]
    ]
    return markdown(["side", "images a second (range)", "of the products", "NLL (images)"], rows)


def memory(found: dict) -> str:
    samples = list(dict.fromkeys(point["num_samples"] for point in found["memory"]))
    by_side: dict[str, list[str]] = {}
    for point in found["memory"]:
        by_side.setdefault(point["side"], []).append(f"{(point['peak'] - point['base']) / GIB:.2f}")
    return markdown(["side", *(f"K = {k}" for k in samples)], [[side, *cells] for side, cells in by_side.items()])


def time_to_nll(found: dict) -> str:
    thresholds = list(found["reached"][0][next(iter(found["reached"][0]))])

    def cell(point: dict | None, curve: list[dict]) -> str:
        if point is None:
            return f"not within {curve[-1]['seconds'] / 60:.0f} min ({curve[-1]['passes']} passes)"
        return f"{point['seconds']:.0f} s ({point['passes']} passes)"

    rows = [
        [name, *(cell(one[name][threshold], curves[name]) for threshold in thresholds)]
        for one, curves in zip(found["reached"], found["curves"], strict=True)
        for name in one
    ]
    return markdown(["side", *(f"under {threshold}" for threshold in thresholds)], rows)


def input_pipeline(found: dict) -> str:
    rows = [
        [row["batch_size"], row["side"], text(row["images_per_second"], 0)]
        + [f"{row[key]['median']:.2f}" if key in row else "" for key in ("times_without_pipeline", "pipeline_to_step")]
        for row in found["rows"]
    ]
    return markdown(["B", "side", "images a second (range)", "time, to without", "pipeline to step"], rows)


def sampling(found: dict) -> str:
    batches = list(dict.fromkeys(row["batch_size"] for row in found["rows"]))
    by_side: dict[str, list[str]] = {}
    for row in found["rows"]:
        by_side.setdefault(row["side"], []).append(f"{row['images_per_second']['median']:,.0f}")
    return markdown(["images a second", *map(str, batches)], [[side, *cells] for side, cells in by_side.items()])


def runtimes(found: dict) -> str:
    rows = [
        [
            row["batch_size"],
            row["side"],
            text(row["batch_milliseconds"], 3),
            text(row["speed_to_tensorflow"], 1),
        ]
        for row in found["rows"]
    ]
    return markdown(["images", "side", "milliseconds (range)", "times as fast as TensorFlow (range)"], rows)


def startup(found: dict) -> str:
    marks = "frameworks", "imports", "first step"
    rows = [[r["side"], *(f"{r[mark]['median']:.2f}" if mark in r else "" for mark in marks)] for r in found["rows"]]
    first = (
        f"Imported first, as scripts do, keras_iwae and the three take {text(found['keras_iwae_first'])} of the time "
        "that they take one after the other."
    )
    return markdown(["side", *(f"past {mark}, s" for mark in marks)], rows) + f"\n\n{first}"


def growth(found: dict) -> str:
    rows = [
        [
            law["axis"] + (f", m = {law['drawn']}" if law["drawn"] else ""),
            *(law[what]["text"] if law[what] else "" for what in ("time", "memory")),
        ]
        for law in found["laws"]
    ]
    return markdown(["what grows", "ms a step", "GiB over the imports'"], rows)


def step_cost(found: dict) -> str:
    rows = [
        [row["side"], f"{1e3 * row['step']['median']:.1f}", text(row["times_the_first"])]
        for row in found["rows"]
        if row["group"] == "bounds"
    ]
    return markdown([f"a step of `fit` at batch {found['rows'][0]['batch_size']}", "ms", "to IWAE-50 (range)"], rows)


def profile_step(found: dict) -> str:
    rows = found["rows"]
    kinds = sorted({name for row in rows for name in row["kinds"]}, key=lambda name: -_share(rows[-1], name))
    shown = [name for name in kinds if max(_share(row, name) for row in rows) >= 0.04]
    cells = [[f"`{name}`", *(f"{_share(row, name):.0%}" for row in rows)] for name in shown]
    for head, key in (("all operations, ms", "seconds_in_operations"), ("operations that were seen", "operations")):
        scale = 1e3 if "seconds" in key else 1.0
        cells.append([head, *(f"{scale * row[key]:.3g}" for row in rows)])
    cells.append(["a step, ms (range)", *(text(row["seconds"], scale=1e3) for row in rows)])
    return markdown(["", *(f"K = {row['num_samples']}, B = {row['batch_size']}" for row in rows)], cells)


def _share(row: dict, kind: str) -> float:
    return row["kinds"].get(kind, {"seconds": 0.0})["seconds"] / row["seconds_in_operations"]


def recipe_minutes(found: dict) -> str:
    rows = [[f"`{row['row']}`", row["passes"], text(row["minutes"], 0)] for row in found["rows"]]
    return markdown(["row", "passes", "minutes (range)"], rows)


def workers(found: dict) -> str:
    rows = [
        [row["side"], row["cores"], *(text(row[f"images_per_second{kind}"], 1) for kind in ("", "_and_core"))]
        for row in found["rows"]
    ]
    return markdown(["side", "cores", "images a second (range)", "and core"], rows)


TABLES = (
    train_step,
    nll,
    workers,
    time_to_nll,
    input_pipeline,
    sampling,
    runtimes,
    startup,
    growth,
    step_cost,
    profile_step,
    recipe_minutes,
)


def about(found: dict) -> str:
    rounds = found["settings"]["rounds"]
    often = "One round" if rounds == 1 else f"{rounds} rounds"
    return f"{often}, {found['machine']['cores']} cores, {found['date']}:\n\n```\n{found['command']}\n```"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--benchmarks", type=Path, default=ROOT / "docs" / "benchmarks", help="[docs/benchmarks]")
    parser.add_argument(
        "--out", type=ending_in(".md"), default=ROOT / "docs" / "performance.md", help="[docs/performance.md]"
    )
    args = parser.parse_args()

    def read(name: str) -> dict | None:
        path = args.benchmarks / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else None

    bounds = json.loads((ROOT / "docs" / "results" / "bounds.json").read_text())
    words = {"targets": targets(read, bounds)}
    for made in TABLES:
        found = read(made.__name__)
        words[made.__name__] = made(found) if found else "*Not run yet.*"
        words[f"about_{made.__name__}"] = about(found) if found else f"`python benchmarks/{made.__name__}.py`"
    found = read("nll")
    words["memory"] = memory(found) if found else "*Not run yet.*"
    found = read("time_to_nll")
    words["judged_on"] = "of MNIST's {split} images at K = {k}".format(**found["settings"]) if found else "on MNIST"
    write_page(args.benchmarks / "text.md", words, args.out)


if __name__ == "__main__":
    main()
