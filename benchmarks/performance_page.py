#!/usr/bin/env python
"""docs/performance.md from the files in docs/benchmarks/ and a page of prose; no number of its tables is typed in.

docs/benchmarks/text.md is the prose: in it $train_step stands for a table of train_step.json, and $about_train_step for
its rounds, date and command. A benchmark that was not run says so.

examples:
  python benchmarks/performance_page.py
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from _page import markdown, write_page
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


def startup(found: dict) -> str:
    marks = "frameworks", "imports", "first step"
    rows = [[r["side"], *(f"{r[mark]['median']:.2f}" if mark in r else "" for mark in marks)] for r in found["rows"]]
    return markdown(["side", *(f"past {mark}, s" for mark in marks)], rows)


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


def recipe_minutes(found: dict) -> str:
    rows = [[f"`{row['row']}`", row["passes"], text(row["minutes"], 0)] for row in found["rows"]]
    return markdown(["row", "passes", "minutes (range)"], rows)


def targets(read: Callable[[str], dict | None]) -> str:
    """What was aimed at, and what was reached: the best of this project's sides."""
    rows = []
    steps = (read("train_step") or {"rows": []})["rows"]

    def best(batch: int, samples: int, drawn: int | None, key: str) -> dict | None:
        own = [
            row[key]
            for row in steps
            if (row["batch_size"], row["num_samples"], row["backward_samples"]) == (batch, samples, drawn)
            and row["side"].startswith("keras_iwae")
        ]
        return max(own, key=lambda each: each["median"], default=None)

    def add(what: str, aim: str, reached: dict | None, at_least: float, percent: bool = False) -> None:
        if reached is not None:
            shown = f"{reached['median']:.0%}" if percent else text(reached)
            rows.append([what, aim, shown, "yes" if reached["median"] >= at_least else "no"])

    for batch in (100, 20):
        own = best(batch, 50, None, "speed_to_fastest_peer")
        add(f"exact step, K = 50, B = {batch}, to the fastest peer", "1.25", own, 1.25)
        own = best(batch, 50, None, "share_of_products")
        add("the same, share of the matrix products' rate", "75%", own, 0.75, percent=True)
        own = best(batch, 50, 8, "speed_to_fastest_peer")
        add(f"resampled m = 8, K = 50, B = {batch}, to the fastest peer's exact step", "2", own, 2.0)
    for samples in (1, 5):
        own = best(20, samples, None, "speed_to_fastest_peer")
        add(f"B = 20, K = {samples}, to the fastest peer", "1.5", own, 1.5)
    if judged := read("nll"):
        own = next(row for row in judged["rows"] if row["side"] == "keras_iwae")
        add("NLL at K = 5000, share of the matrix products' rate", "70%", own["share_of_products"], 0.7, percent=True)
        for other, speed in own["times_as_fast_as"].items():
            if other == "pythae":
                add("NLL at K = 5000, to pythae", "5", speed, 5.0)
        peaks = [(p["peak"] - p["base"]) / GIB for p in judged["memory"] if p["side"] == "keras_iwae"]
        rows.append(
            ["its memory over the imports', GiB", "1.5", f"{max(peaks):.2f}", "yes" if max(peaks) < 1.5 else "no"]
        )
    if started := read("startup"):
        added = started["keras_iwae_adds"]
        met = "yes" if added["median"] < 0.3 else "no"
        rows.append(["seconds that the import adds, at most", "0.3", text(added), met])
    return markdown(["what", "target", "reached (range)", "met"], rows) if rows else "*Not run yet.*"


TABLES = (train_step, nll, time_to_nll, input_pipeline, sampling, startup, growth, step_cost, recipe_minutes)


def about(found: dict) -> str:
    rounds = found["settings"]["rounds"]
    often = "One round" if rounds == 1 else f"{rounds} rounds"
    return f"{often}, {found['machine']['cores']} cores, {found['date']}:\n\n```\n{found['command']}\n```"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmarks", type=Path, default=ROOT / "docs" / "benchmarks", help="[docs/benchmarks]")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "performance.md", help="[docs/performance.md]")
    args = parser.parse_args()

    def read(name: str) -> dict | None:
        path = args.benchmarks / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else None

    words = {"targets": targets(read)}
    for made in TABLES:
        found = read(made.__name__)
        words[made.__name__] = made(found) if found else "*Not run yet.*"
        words[f"about_{made.__name__}"] = about(found) if found else f"`python benchmarks/{made.__name__}.py`"
    found = read("nll")
    words["memory"] = memory(found) if found else "*Not run yet.*"
    write_page(args.benchmarks / "text.md", words, args.out)


if __name__ == "__main__":
    main()
