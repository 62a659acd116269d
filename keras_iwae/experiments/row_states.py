"""How far the rows of the paper's table are, by their files: each alone, and the spread over training seeds."""

import os
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from keras_iwae.experiments.paper_table import ROWS, Row, find_row
from keras_iwae.foundation import check_folder, number_text
from keras_iwae.training import STAGES, runs, stage_of

ROOT = runs.ROOT / "reproduce"
HEAD = f"{'row':<48}{'published':>10}{'NLL':>10}   state"


def result_of(name: str, root: str | os.PathLike = ROOT) -> dict:
    """What the result file of a row says, empty where it has not been evaluated."""
    return runs.read_json(Path(root) / "results" / f"{name}.json")


def passes_done(name: str, root: str | os.PathLike = ROOT) -> int:
    """Passes over the data that the run of a row has behind it."""
    rows = runs.read_history(Path(root) / name)
    return int(rows[-1]["epoch"]) if rows else 0


def starts_whole(row: Row, of_start: Mapping | None) -> bool:
    """Whether the row that another starts from, if any, was trained to its end by the result that is known of it."""
    if row.starts_from is None:
        return True
    return of_start is not None and of_start["passes"] == find_row(row.starts_from).config.run.epochs


def status(row: Row, root: str | os.PathLike = ROOT) -> str:
    """One line: what the row's result says, or how far its training is."""
    result, done = result_of(row.name, root), passes_done(row.name, root)
    nll = number_text(result["nll_test"]["nll"]) if "nll_test" in result else ""
    planned = row.config.run.epochs
    state = "complete" if result.get("complete") else f"{done} of {planned} passes" if done else "not started"
    if row.config.optimizer.schedule == "paper" and 0 < done < planned:
        state += f", stage {stage_of(done)} of {STAGES}"
    if result and not starts_whole(row, start := result.get("from")):
        passes = "an unknown number" if start is None else start["passes"]
        state += f"; {row.starts_from} had {passes} of its {find_row(str(row.starts_from)).config.run.epochs} passes"
    if result and result["passes"] != done:
        state += f"; the NLL is after {result['passes']}"
    elif not runs.is_current(Path(root) / row.name, result):
        state += "; the NLL is of another training"
    return _line(row.name, row, nll, state)


def over_seeds(rows: Sequence[Row], root: str | os.PathLike = ROOT) -> list[str]:
    """Lines with mean and spread of the NLL of a row over its training seeds.

    Args:
        rows: the row with several seeds.
        root: the folder of runs and results.

    Returns:
        a line for each way in which at least two of them were judged, by passes, K and images, the models being those
        of now.
    """
    found: dict[tuple, list[float]] = {}
    for row in rows:
        result = result_of(row.name, root)
        if "nll_test" in result and runs.is_current(Path(root) / row.name, result):
            how = result["passes"], result["num_samples"], result["limit"]
            found.setdefault(how, []).append(result["nll_test"]["nll"])
    return [_spread(rows[0], how, nlls) for how, nlls in found.items() if len(nlls) > 1 and None not in nlls]


def _spread(row: Row, how: tuple, nlls: Sequence[float]) -> str:
    passes, samples, limit = how
    images = "" if limit is None else f" on {limit} images"
    state = f"standard deviation {statistics.stdev(nlls):.2f}, {min(nlls):.2f} to {max(nlls):.2f}"
    told = f"{state}; after {passes} passes, K = {samples}{images}"
    return _line(f"  mean of {len(nlls)} seeds", row, number_text(statistics.fmean(nlls)), told)


def table(root: str | os.PathLike = ROOT) -> Iterator[str]:
    """The lines of all rows, below each those of its other training seeds that were begun, and the spread.

    Raises:
        ValueError: if `root` cannot be a folder.
    """
    check_folder("out", root)
    yield HEAD
    names = {path.stem for path in (Path(root) / "results").glob("*.json")}
    names |= {path.parent.name for path in Path(root).glob("*/config.json")}
    for row in ROWS.values():
        seeds = sorted(int(match[1]) for name in names if (match := re.fullmatch(rf"{row.name}-seed(\d+)", name)))
        rows = [row, *(row.seeded(seed) for seed in seeds)]
        yield from (status(each, root) for each in rows)
        yield from over_seeds(rows, root)


def _line(name: str, row: Row, nll: str, state: str) -> str:
    published = f"{row.published.nll:.2f}" if row.published else ""
    return f"{name:<48}{published:>10}{nll:>10}   {state}"
