"""Tuning: trials with settings drawn of a space, of which the best is kept; Ray Tune stops those that are behind.

OUT/tuning.json         what was asked for: the space, and the settings of each trial
OUT/inputs.json         what it began with, as beside a run
OUT/trials/7, 7.log     the run of a trial, and what it printed
OUT/reports.csv         what the trials reported; failures.json: which failed, and why
OUT/best                the run of the best trial, trained to its end and evaluated; best-before-1: of an earlier start
OUT/results.json, results.csv, results.md, tune.png
"""

import contextlib
import itertools
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from keras_iwae.experiments.asked_trials import begin, check_built, configured
from keras_iwae.experiments.config import ExperimentConfig, difference, settings_of
from keras_iwae.experiments.evaluation_target import check_held_together, quantity_name
from keras_iwae.experiments.kept_evaluation import kept_evaluation
from keras_iwae.experiments.processes import Processes, check_count, processes
from keras_iwae.experiments.search_space import Domain, check_space, draw_trials
from keras_iwae.experiments.training import resume
from keras_iwae.experiments.trial_journal import Journal
from keras_iwae.experiments.trial_processes import run_path, run_trials
from keras_iwae.experiments.trial_table import ranked, settings_text, trial_row, trials_table, value_text, write_csv
from keras_iwae.foundation import (
    MARK,
    check_boolean,
    check_folder,
    check_integer,
    held_folder,
    number_text,
    replacing,
    write_json,
)
from keras_iwae.plots import charts, trial_charts
from keras_iwae.training import refuse_several_machines, runs


def tune(
    space: Mapping[str, Domain],
    settings: Mapping[str, Any],
    out: str | os.PathLike,
    trials: int = 20,
    workers: int | None = None,
    address: str | None = None,
    eval_k: int = 5000,
    limit: int | None = None,
    verbose: bool = True,
) -> dict[str, Any]:
    """Train trials, stop those that are behind, and train and evaluate the best.

    Started again it goes on: trials that have ended are left as they are, others go on from their last whole epoch.
    Which are stopped depends on who comes first; the numbers of a trial do not.

    Args:
        space: for each setting that varies what it may be, of `read_space` or `parse_space`.
        settings: fields of an `ExperimentConfig` that all trials have. `seed` decides the trials' settings too.
        out: the folder, new or of the same tuning.
        trials: how many; a later start may have more.
        workers: how many are trained at once; `None` is 1, or one for each core of the cluster.
        address: "ray://HOST:PORT" of a cluster whose machines have this package, the data and `out`.
        eval_k: importance samples for each test image.
        limit: only the first so many test images; `None` is all.
        verbose: whether to show the progress of the evaluation.

    Returns:
        `trials`, a row for each, the best first, as `trial_row` has them, and `best`: its `trial`, how it was
        `trained`, its `run`, `nll`, `quantity`, `num_samples`, `num_examples` and `nll_error`; as in `results.json`.

    Raises:
        ValueError: if an argument is out of range, no trial can be built, the space has what cannot be compared, `out`
            holds another tuning or was begun with other examples, another process is at work there, Ray Tune is not
            installed, or all trials failed.
        OSError: if Ray does not start, or a file cannot be written.
    """
    check_space(space, settings)
    drawn = draw_trials(space, trials, settings.get("seed", 0))
    refuse_several_machines()
    out = check_folder("out", out)
    workers = check_count(workers)
    eval_k = check_integer("eval_k", eval_k)
    check_boolean("verbose", verbose)
    if limit is not None:
        check_integer("limit", limit)
    configs, refused = configured(settings, drawn)
    # Before hours of training, and not after them.
    check_built(configs)
    check_held_together(next(iter(configs.values())), limit)
    count = 1 if address is None and workers is None else workers
    with contextlib.ExitStack() as held:
        with processes(Processes, count, address, "tune") as started:
            _check_tune()
            _hold(out, held)
            begin(out, space, drawn, configs)
            _train(out, drawn, configs, refused, started)
        journal = Journal(out)
        epochs = next(iter(configs.values())).run.epochs
        rows = ranked([trial_row(journal, number, one, epochs) for number, one in enumerate(drawn)])
        _write_table(out, rows)
        if rows[0]["state"] == "failed":
            raise ValueError(
                f"Expected a trial that does not fail. Received: {len(rows)} failures; see {out / 'results.md'}"
            )
        charts.save(out / "tune.png", _chart(journal, rows))
        number = rows[0]["trial"]
        trained = _finish(out, rows[0], configs[number])
        record, _, _ = kept_evaluation(out / "best", eval_k, limit, verbose)
        best = {
            "trial": number,
            "trained": trained,
            "run": str(out / "best"),
            **{name: record[name] for name in ("nll", "quantity", "num_samples", "num_examples")},
            "nll_error": record["standard_error"],
        }
        _write_table(out, rows, best)
        return {"trials": rows, "best": best}


def _hold(out: Path, held: contextlib.ExitStack) -> None:
    """Hold the folder of a tuning before anything in it is changed: another may be at work there."""
    new = [folder for folder in (out, *out.parents) if not folder.exists()]
    out.mkdir(parents=True, exist_ok=True)
    # What is refused leaves none.
    held.callback(_remove_empty, new)
    held.enter_context(held_folder(out, "out"))


def _remove_empty(folders: Sequence[Path]) -> None:
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def best_text(best: Mapping[str, Any]) -> str:
    """What came of the best trial, in one line."""
    error = "" if best["nll_error"] is None else f" ± {best['nll_error']:.2f}"
    test = f"test {quantity_name(best)} {number_text(best['nll'])}{error} nats, K = {best['num_samples']}"
    return f"best: trial {best['trial']}, {best['trained']}; {test}, {best['num_examples']} images"


def _has_ended(out: Path, journal: Journal, number: int, config: ExperimentConfig) -> bool:
    state = journal.state(number, config.run.epochs)
    return state in ("stopped", "failed") or (state == "trained" and _is_whole(run_path(out, number), config))


def _is_whole(run: Path, config: ExperimentConfig) -> bool:
    """Whether a run has the last epoch of its trial, and what is written after it; it may have been trained on."""
    return runs.read_metrics(run).get("training", {}).get("epoch", 0) >= config.run.epochs


def _train(
    out: Path,
    drawn: Sequence[Mapping[str, Any]],
    configs: Mapping[int, ExperimentConfig],
    refused: Mapping[int, str],
    started: Processes,
) -> None:
    """Train the trials that have not ended, and say of each when it has."""
    journal = Journal(out)
    journal.forgive()
    for number, why in refused.items():
        journal.fail(number, why)
    waiting = {number: one for number, one in configs.items() if not _has_ended(out, journal, number, one)}
    if journal.rows and len(waiting) < len(configs):
        print(f"{len(configs) - len(waiting)} of {len(drawn)} trials have ended already", flush=True)
    if not waiting:
        return
    # What Ray Tune keeps of an earlier start is of no use to another.
    shutil.rmtree(out / "ray", ignore_errors=True)
    said: set[int] = set()
    count = started.start()
    for _ in started.beside(run_trials, out.resolve(), waiting, count, Path.cwd()):
        journal = Journal(out)
        for number in waiting.keys() - said:
            row = trial_row(journal, number, drawn[number], waiting[number].run.epochs)
            if row["state"] != "begun":
                said.add(number)
                print(_line(row, waiting[number].run.epochs), flush=True)
    shutil.rmtree(out / "ray", ignore_errors=True)


def _check_tune() -> None:
    try:
        import ray.tune  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"{MARK}workers`. Expected Ray Tune for trials: pip install 'keras-iwae[tune]'. Received: Ray without it "
            f"({' '.join(str(error).split())})"
        ) from None


def _line(row: Mapping[str, Any], epochs: int) -> str:
    bound = "" if row["bound"] is None else f", {number_text(row['bound'])} nats"
    why = "" if row["why"] is None else f": {row['why']}"
    after = f"{row['state']} after {row['epochs']} of {epochs} epochs{bound}"
    return f"trial {row['trial']} {after} ({settings_text(row['settings'])}){why}"


def _finish(out: Path, row: Mapping[str, Any], config: ExperimentConfig) -> str:
    """Make `best` the run of a trial, trained to its end; how it came there."""
    best, epochs = out / "best", config.run.epochs
    # Somebody may have trained it on.
    own = {name: value for name, value in config.settings.items() if name != "epochs"}
    if difference(own, settings_of(best)) is not None:
        _put_best(run_path(out, row["trial"]), best)
    if not _is_whole(best, config):
        resume(best, epochs)
    done = max((int(each["epoch"]) for each in runs.read_history(best)), default=epochs)
    further = "" if done == epochs else f", and then on to {done}"
    if row["state"] == "trained":
        return f"trained for all {epochs} epochs as a trial{further}"
    stopped = f"{row['state']} after {row['epochs']} epochs as no trial came to the end"
    return f"{stopped}, and then trained for all {epochs} epochs{further}"


def _put_best(run: Path, best: Path) -> None:
    """Copy a run to `best`; what was there, and may have been worked on, is kept beside it."""
    beside = best.with_name(".best.tmp")
    # Of a copy that was killed.
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(run, beside)
    if best.exists():
        names = (f"best-before-{number}" for number in itertools.count(1))
        os.rename(best, next(path for path in map(best.with_name, names) if not path.exists()))
    os.replace(beside, best)


def _write_table(out: Path, rows: Sequence[Mapping[str, Any]], best: Mapping[str, Any] | None = None) -> None:
    """Write the files of a tuning's results; the best trial follows when it has been evaluated."""
    write_json(out / "results.json", {"trials": rows, "best": best})
    write_csv(out / "results.csv", rows)
    with replacing(out / "results.md") as temporary:
        text = trials_table(rows) + ("" if best is None else f"\n\n{best_text(best)}") + "\n"
        temporary.write_text(text, encoding="utf-8")


def _chart(journal: Journal, rows: Sequence[Mapping[str, Any]]) -> Figure:
    seen = [row for row in rows if row["epochs"]]
    names = list(rows[0]["settings"])
    return trial_charts.trials_chart(
        {row["trial"]: [each["val_bound"] for each in journal.of(row["trial"])] for row in seen},
        {name: {row["trial"]: _place(row["settings"][name]) for row in seen} for name in names},
        [row["trial"] for row in seen if row["state"] == "trained"],
        rows[0]["trial"],
    )


def _place(value: Any) -> float | str:
    """A setting's value on an axis."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else value_text(value)
