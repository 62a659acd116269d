#!/usr/bin/env python
"""docs/imputation.md from docs/results/imputation.json, anomaly.json and a page of prose; no number is typed in.

docs/results/imputation_text.md is the prose: a word such as $errors in it stands for a table.

examples:
  python benchmarks/imputation_page.py
"""

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from _files import ending_in
from _page import markdown, write_page
from anomaly import SIDES as DETECTORS
from imputation import DATA, ITERATIVE, IWAE, MASKING, PATTERNS, SHARES, asked

ROOT = Path(__file__).resolve().parent.parent
SEEDS = 5
ORDER = "mean", "KNNImputer", ITERATIVE, "forests", IWAE, MASKING, "hyperimpute"
KHAT = "doubtful_rows", 3
PEERS = tuple(side for side in ORDER if side not in (IWAE, MASKING))
Groups = dict[tuple, dict[str, list[dict[str, Any]]]]


def grouped(rows: list[dict[str, Any]]) -> Groups:
    """Rows by table and side, in the order of the benchmark, of the seeds that every side of a table was run on."""
    found: Groups = {place: defaultdict(list) for place in places()}
    for row in rows:
        found[row["data"], row["pattern"], row["share"]][row["side"]].append(row)
    return {place: of_common_seeds(sides) for place, sides in found.items() if sides}


def of_common_seeds(sides: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    common = set.intersection(*({row["seed"] for row in rows} for rows in sides.values()))
    return {side: [row for row in rows if row["seed"] in common] for side, rows in sides.items()}


def places() -> list[tuple[str, str, float]]:
    return [(data, pattern, share) for data in DATA for pattern in PATTERNS for share in SHARES]


def values(rows: list[dict[str, Any]], key: str) -> np.ndarray:
    return np.array([row[key] for row in rows if key in row])


def text(found: np.ndarray, digits: int = 3) -> str:
    """Mean over seeds, with its standard error where there are several."""
    if not len(found):
        return ""
    error = f" ± {found.std(ddof=1) / np.sqrt(len(found)):.{digits}f}" if len(found) > 1 else ""
    return f"{found.mean():.{digits}f}{error}"


def within(sides: dict[str, list[dict[str, Any]]], ours: str, key: str = "rmse", sign: float = 1.0) -> bool:
    """Whether `ours` is the best of it and of the peers, or within one standard error; of one seed there is none."""
    means = {side: sign * values(rows, key).mean() for side, rows in sides.items() if len(values(rows, key))}
    found = values(sides[ours], key)
    error = found.std(ddof=1) / np.sqrt(len(found)) if len(found) > 1 else 0.0
    return means[ours] <= min(mean for side, mean in means.items() if side in (ours, *PEERS)) + error


def errors(groups: Groups, present: list[str]) -> str:
    rows = []
    for place, sides in groups.items():
        means = {side: values(of_side, "rmse").mean() for side, of_side in sides.items()}
        best, cells = min(means, key=lambda side: means[side]), []
        for side in present:
            cell = text(values(sides.get(side, []), "rmse"))
            cells.append(f"**{cell}**" if side == best else cell)
        rows.append([*place, max(map(len, sides.values())), *cells])
    return markdown(["data", "pattern", "share", "seeds", *present], rows)


def spreads(groups: Groups) -> str:
    rows = []
    for place, sides in groups.items():
        cells = []
        for key, digits in (("log_density", 2), ("coverage", 3)):
            cells += [text(values(sides.get(side, []), key), digits) for side in (ITERATIVE, IWAE)]
        cells += [text(values(sides.get(IWAE, []), key), digits) for key, digits in (("scale_factor", 2), KHAT)]
        rows.append([*place, *cells])
    heads = [f"{score}, {side}" for score in ("log score", "coverage") for side in (ITERATIVE, IWAE)]
    return markdown(["data", "pattern", "share", *heads, "factor of the scales", "rows with k-hat above 0.7"], rows)


def masked(groups: Groups) -> str:
    """What a model of the gaps changes where large values are missing because they are large."""
    rows = []
    for (data, _, share), sides in groups.items():
        if MASKING in sides:
            ours = [sides.get(side, []) for side in (IWAE, MASKING)]
            keys = ("rmse", 3), ("log_density", 2), ("coverage", 3)
            rows.append([data, share, *(text(values(each, key), digits) for key, digits in keys for each in ours)])
    heads = [f"{score}, {side}" for score in ("error", "log score", "coverage") for side in ("default", "self-masking")]
    return markdown(["data", "share", *heads], rows)


def seconds(groups: Groups, present: list[str]) -> str:
    by_data: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (data, _, _), sides in groups.items():
        for side, rows in sides.items():
            by_data[data][side] += [row["seconds"] for row in rows]
    rows = []
    for data, sides_of in by_data.items():
        rows.append([data, *(f"{np.median(sides_of[side]):.1f}" if side in sides_of else "" for side in present)])
    return markdown(["data", *present], rows)


def detectors(rows: list[dict[str, Any]]) -> str:
    found: dict[tuple, dict[str, dict[int, list[float]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    count = Counter((row["data"], row["kind"], row["seed"]) for row in rows)
    for row in rows:
        # One side's easy class is not to stand beside another's hard one.
        if count[row["data"], row["kind"], row["seed"]] < len(DETECTORS):
            continue
        # Splits of one kind are averaged first: kinds, and not splits, are what a mean is over.
        found[(row["data"],)][row["side"]][row["kind"]].append(row["auroc"])
        if row["data"] == "digits":
            found[row["data"], row["kind"]][row["side"]][row["kind"]].append(row["auroc"])
    cells = []
    for place, sides in found.items():
        means = {side: np.mean([np.mean(each) for each in kinds.values()]) for side, kinds in sides.items()}
        best = max(means, key=lambda side: means[side])
        name = place[0] if len(place) == 1 else f"{place[0]}, class {place[1]}"
        runs = max(sum(map(len, kinds.values())) for kinds in sides.values())
        shown = [f"{means[side]:.3f}" if side in means else "" for side in DETECTORS]
        marked = [f"**{each}**" if side == best else each for side, each in zip(DETECTORS, shown, strict=True)]
        cells.append([name, runs, *marked])
    return markdown(["data", "runs", *DETECTORS], cells)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--out", type=ending_in(".md"), default=ROOT / "docs" / "imputation.md", help="the page")
    args = parser.parse_args()
    results = ROOT / "docs" / "results"
    found = json.loads((results / "imputation.json").read_text())
    groups = grouped(found["rows"])
    present = [side for side in ORDER if any(side in sides for sides in groups.values())]
    ours = {place: sides for place, sides in groups.items() if IWAE in sides}
    scored = [sides for sides in groups.values() if IWAE in sides and ITERATIVE in sides]
    better = sum(within(sides, IWAE, "log_density", -1.0) for sides in scored)
    masking = [sides for sides in groups.values() if MASKING in sides]
    covered = [values(sides[IWAE], "coverage").mean() for (_, pattern, _), sides in ours.items() if pattern == "MCAR"]
    words = {
        "done": str(len(found["rows"])),
        "planned": str(SEEDS * sum(asked(side, place[1]) for side in present for place in places())),
        "run": str(len(ours)),
        "forests": str(sum("forests" in sides for sides in ours.values())),
        "tables": str(len(places())),
        "best": str(sum(within(sides, IWAE) for sides in ours.values())),
        "masking": str(len(masking)),
        "unmasked": str(sum(within(sides, MASKING) for sides in masking)),
        "covering": str(sum(0.85 <= share <= 0.95 for share in covered)),
        "covered": str(len(covered)),
        "scored": str(len(scored)),
        "better": str(better),
        "date": found["date"],
        "errors": errors(groups, present),
        "spreads": spreads(groups),
        "masked": masked(groups),
        "seconds": seconds(groups, present),
        "detectors": detectors(json.loads((results / "anomaly.json").read_text())["rows"]),
    }
    write_page(results / "imputation_text.md", words, args.out)


if __name__ == "__main__":
    main()
