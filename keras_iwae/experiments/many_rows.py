"""Several rows of the paper's table, each with several training seeds: one after the other, or as jobs.

ROOT/<row>-seed<S>/                the run with another training seed than the row's own, which is 0
ROOT/results/<row>-seed<S>.json    its result
ROOT/logs/<row>.txt                what the process of a row printed, where it was a job
"""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_iwae.experiments.jobs import DONE, FAILED, RUNNING, Job, Jobs, check_jobs
from keras_iwae.experiments.paper_table import ROWS, Row, find_row
from keras_iwae.experiments.reproduction import Asked, reproduce_row, start_of
from keras_iwae.experiments.row_states import HEAD, ROOT, over_seeds, status
from keras_iwae.foundation import MARK, check_folder, check_several, command_line
from keras_iwae.training import refuse_several_machines


def reproduce_rows(
    names: Sequence[str],
    seeds: Sequence[int] | None = None,
    out: str | os.PathLike = ROOT,
    asked: Asked | None = None,
    words: Sequence[str] = (),
    jobs: Jobs | None = None,
) -> None:
    """Reproduce rows, and print a line for each that ends.

    Those that start from another row come after it, and bring it along where it is not named.

    Args:
        names: of the rows.
        seeds: training seeds of each of them; `None` is each row's own.
        out: the folder of runs and results.
        asked: how far they are trained, and how they are judged.
        words: arguments of the command line beside the row, to be kept with the results.
        jobs: processes to share the rows out over; `None` is this one, one row after the other.

    Raises:
        ValueError: if there is no such row, one is named twice, or something is not for it; before anything is
            trained. Of jobs, when all have ended, if one of them ended with an error.
    """
    check_jobs(jobs)
    refuse_several_machines()
    asked, root = asked or Asked(), check_folder("out", out)
    seeds = None if seeds is None else check_several("seeds", seeds)
    families = [_family(find_row(name), seeds) for name in check_several("names", names)]
    named = [row for family in families for row in family]
    twice = [row.name for i, row in enumerate(named) if row in named[:i]]
    if twice:
        raise ValueError(f"{MARK}row`. Expected each row, with each seed, once. Received: {twice[0]} twice")
    rows: dict[str, Row] = {}
    for row in named:
        for each in (start_of(row, root), row):
            if each is not None:
                asked.check(each)
                rows.setdefault(each.name, each)
    tasks = {
        name: functools.partial(reproduce_row, row, root, asked, command_line("reproduce", "--row", name, *words))
        for name, row in rows.items()
    }
    failed = _in_turn(rows, tasks, root) if jobs is None else _by_jobs(rows, tasks, root, jobs)
    for family in families:
        for line in over_seeds(family, root):
            print(line)
    if failed:
        raise ValueError(
            f"Expected {len(rows)} rows without errors. Received: {len(failed)} with one, {', '.join(failed)}; "
            f"see {root / 'logs'}"
        )


def _family(row: Row, seeds: Sequence[int] | None) -> list[Row]:
    if seeds is None:
        return [row]
    if row.name not in ROWS:
        raise ValueError(f"{MARK}row`. Expected a name without a seed beside `seeds`. Received: {row.name!r}")
    return [row.seeded(seed) for seed in seeds]


def _in_turn(rows: dict[str, Row], tasks: Mapping[str, Callable[[], Any]], root: Path) -> list[str]:
    for i, (name, task) in enumerate(tasks.items()):
        print(f"{name} ({i + 1} of {len(tasks)})", flush=True)
        task()
        print(status(rows[name], root), flush=True)
    return []


def _by_jobs(rows: dict[str, Row], tasks: Mapping[str, Callable[[], Any]], root: Path, jobs: Jobs) -> list[str]:
    """Names of those that ended with an error, once all have ended."""
    # Those with the most samples first, for they take longest, and begun last one would run alone.
    order = sorted(rows.values(), key=lambda row: (row.starts_from in rows, -row.config.settings["num_samples"]))
    made = [
        Job(
            row.name,
            tasks[row.name],
            root / "logs" / f"{row.name}.txt",
            (row.starts_from,) if row.starts_from in rows else (),
        )
        for row in order
    ]
    (root / "logs").mkdir(parents=True, exist_ok=True)
    print(f"{len(made)} rows; what their processes print is in {root / 'logs'}", flush=True)
    try:
        for job, _, error in jobs.run(made):
            print(status(rows[job.name], root) if error is None else f"{job.name:<48}error: {error}", flush=True)
    finally:
        # After Ctrl-C too: what was done by then.
        if jobs.states:
            print(f"\n{HEAD}")
            for name, row in rows.items():
                state = "stopped" if jobs.states[name] == RUNNING else jobs.states[name]
                # Of one with an error the files may not be readable.
                if state == FAILED:
                    print(f"{name:<71}{state}")
                else:
                    print(status(row, root) + ("" if state == DONE else f"; {state}"))
    return [name for name, state in jobs.states.items() if state == FAILED]
