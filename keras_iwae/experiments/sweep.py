"""The K experiment: the same model trained at several K, all else equal, and what K buys and costs."""

import csv
import functools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from keras_iwae.evaluation import latents, mean_and_error
from keras_iwae.experiments import inputs
from keras_iwae.experiments.building import build
from keras_iwae.experiments.config import ExperimentConfig, check_config
from keras_iwae.experiments.evaluation_target import check_held_together, quantity_name
from keras_iwae.experiments.jobs import RUNNING, WAITING, Job, Jobs, check_jobs
from keras_iwae.experiments.kept_evaluation import kept_evaluation
from keras_iwae.experiments.processes import share_accelerators
from keras_iwae.experiments.training import resume, train
from keras_iwae.foundation import (
    MARK,
    check_boolean,
    check_folder,
    check_integer,
    check_several,
    number_text,
    replacing,
    write_json,
)
from keras_iwae.plots import charts
from keras_iwae.training import refuse_several_machines, runs

# Test images whose reconstructions are measured.
_RECONSTRUCTED = 2000
_COLUMNS = 8


def sweep(
    config: ExperimentConfig,
    ks: Sequence[int],
    out: str | os.PathLike,
    eval_k: int = 5000,
    limit: int | None = None,
    verbose: bool = True,
    jobs: Jobs | None = None,
) -> list[dict]:
    """Train at each K, measure, and write a table, a figure and the samples side by side.

    `out` gets a run folder for each K (`k1`, `k5`, ...), and after each of them `results.json`, `results.csv`,
    `results.md`, `sweep.png` and `samples.png` of those that are finished. A second start skips what is finished,
    trains on what is half trained, and evaluates what is not evaluated.

    Args:
        config: what to train; its `num_samples` does not count.
        ks: the K's.
        out: folder of the sweep.
        eval_k: importance samples for each test image.
        limit: only the first so many test images; `None` is all.
        verbose: whether to show the progress of evaluations that are done here.
        jobs: processes to share the K's out over, what they print being in `logs` of `out`; `None` is this one, one K
            after the other. The numbers are the same, but for those of time.

    Returns:
        a row for each K, the smallest first, all in nats but where the name says otherwise: `k`, `objective`,
        `validation_bound` (of the objective, on the validation images: L_K if that is "iwae"), `nll`, `nll_error`,
        `reconstruction`, `squared_error` (a pixel), `active_units`, `latent_dim`, `seconds_per_epoch` (median),
        `epochs`, `eval_k` and `num_examples`.

    Raises:
        ValueError: if a number is out of range, if training has no log weights, or if a folder in `out` holds
            a run with other settings or of other examples. Of jobs, when all have ended, if one of them ended with
            an error.
    """
    check_config(config)
    for name, without in (("posterior", "adversarial"), ("objective", "ae")):
        if config.settings[name] == without:
            raise ValueError(
                f"Invalid value received for `{name}`. Expected one that gives log weights, of which L_K is made. "
                f"Received: {without!r}"
            )
    refuse_several_machines()
    out = check_folder("out", out)
    ks = sorted(check_integer("k", k) for k in check_several("ks", ks))
    if len({*ks}) < len(ks):
        raise ValueError(f"{MARK}ks`. Expected each K once. Received: {ks}")
    eval_k = check_integer("eval_k", eval_k)
    check_boolean("verbose", verbose)
    check_jobs(jobs)
    if limit is not None:
        check_integer("limit", limit)
    configs = {k: config.replaced(num_samples=k) for k in ks}
    for k, wanted in configs.items():
        _check_folder(out / f"k{k}", wanted)
    if jobs is not None:
        share_accelerators()
    # What cannot be trained or evaluated is refused before another K is trained.
    for wanted in configs.values():
        build(wanted)
    check_held_together(config, limit)
    failed: list[str] = []
    rows: dict[int, dict] = {}
    one = functools.partial(_one, configs, out, eval_k, limit)
    for row, left in _in_turn(one, ks, verbose) if jobs is None else _by_jobs(one, ks, out, jobs, failed):
        rows[row["k"]] = row
        _write(out, [rows[k] for k in sorted(rows)])
        nll, epoch = number_text(row["nll"]), f"{row['seconds_per_epoch']:.1f} s an epoch"
        print(f"K = {row['k']}: {quantity_name(row)} {nll} nats, {epoch}{left}", flush=True)
    if failed:
        raise ValueError(
            f"Expected {len(ks)} K without errors. Received: {len(failed)} with one, {', '.join(failed)}; "
            f"see {out / 'logs'}"
        )
    return [rows[k] for k in ks]


def _one(
    configs: dict[int, ExperimentConfig], out: Path, eval_k: int, limit: int | None, k: int, verbose: bool
) -> tuple[dict, bool]:
    """The row of a K, and whether all of it was found here and now."""
    fresh = _finish_training(out / f"k{k}", configs[k])
    row, measured = _measure(out / f"k{k}", k, configs[k].settings["objective"], eval_k, limit, verbose)
    return row, fresh and measured


def _in_turn(one: Callable[..., tuple[dict, bool]], ks: Sequence[int], verbose: bool) -> Iterator[tuple[dict, str]]:
    seconds: dict[int, float] = {}
    for k in ks:
        begin = time.perf_counter()
        row, fresh = one(k, verbose)
        if fresh:
            seconds[k] = time.perf_counter() - begin
        yield row, _left(ks, k, seconds)


def _by_jobs(
    one: Callable[..., tuple[dict, bool]], ks: Sequence[int], out: Path, jobs: Jobs, failed: list[str]
) -> Iterator[tuple[dict, str]]:
    # The largest takes longest: begun last it would run alone.
    made = [Job(f"K = {k}", functools.partial(one, k, False), out / "logs" / f"k{k}.txt") for k in reversed(ks)]
    print(f"{len(made)} K; what their processes print is in {out / 'logs'}", flush=True)
    for job, found, error in jobs.run(made):
        if error is not None:
            failed.append(job.name)
            print(f"{job.name}: error: {error}", flush=True)
        else:
            count = sum(state in (WAITING, RUNNING) for state in jobs.states.values())
            yield found[0], f"; {count} more" if count else ""


def _check_folder(run: Path, config: ExperimentConfig) -> None:
    inputs.check_wanted(run, config)
    # All rows of a table are of the same examples.
    inputs.check_data(run, inputs.SPLITS, "begin a new sweep in another folder")


def _finish_training(run: Path, config: ExperimentConfig) -> bool:
    """Bring a run to its last epoch; whether all of it was trained here and now."""
    if not (run / "config.json").exists():
        train(config, run)
        return True
    if runs.read_metrics(run).get("training", {}).get("epoch") != config.run.epochs:
        resume(run)
    return False


def _measure(run: Path, k: int, objective: str, eval_k: int, limit: int | None, verbose: bool) -> tuple[dict, bool]:
    """A row of the table, and whether the NLL had to be found for it."""
    history = runs.read_history(run)
    if not history:
        raise ValueError(f"Expected the rows of epochs in {run / 'history.csv'}. Received: none")
    record, images, fresh = kept_evaluation(run, eval_k, limit, verbose)
    found = latents(runs.load_model(run), images[:_RECONSTRUCTED])
    row = {
        "k": k,
        "objective": objective,
        "validation_bound": history[-1]["val_bound"],
        "nll": record["nll"],
        "quantity": record["quantity"],
        "nll_error": record["standard_error"],
        "reconstruction": mean_and_error(found.log_likelihood)["mean"],
        # Of images of which something was observed.
        "squared_error": mean_and_error(found.squared_error[np.isfinite(found.squared_error)])["mean"],
        "active_units": record["active_units"],
        "latent_dim": record["latent_dim"],
        # The first epoch builds the graph.
        "seconds_per_epoch": float(np.median([epoch["seconds"] for epoch in history])),
        "epochs": int(history[-1]["epoch"]),
        "eval_k": eval_k,
        "num_examples": record["num_examples"],
    }
    return row, fresh


def _left(ks: Sequence[int], last: int, seconds: dict[int, float]) -> str:
    """About how long the remaining K's will take: time is a line in K once two were seen."""
    remaining = [k for k in ks if k > last]
    if not remaining or not seconds:
        return ""
    if len(seconds) == 1:
        return f"; more than {len(remaining) * sum(seconds.values()) / 60:.1f} min left"
    slope, start = np.polyfit(list(seconds), list(seconds.values()), 1)
    estimate = sum(max(start + slope * k, min(seconds.values())) for k in remaining)
    return f"; about {estimate / 60:.1f} min left"


def _write(out: Path, rows: list[dict]) -> None:
    write_json(out / "results.json", rows)
    with replacing(out / "results.csv") as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with replacing(out / "results.md") as temporary:
        temporary.write_text(table(rows) + "\n", encoding="utf-8")
    charts.save(out / "sweep.png", charts.sweep(rows, quantity_name(rows[0])))
    count = _COLUMNS * _COLUMNS
    models = {row["k"]: runs.load_model(out / f"k{row['k']}") for row in rows}
    samples = {f"K = {k}": m.generative.likelihood.to_grey(m.sample(count).mean) for k, m in models.items()}
    charts.save(out / "samples.png", charts.sample_grids(samples, _COLUMNS))


def table(rows: Sequence[dict]) -> str:
    """The rows of a sweep as Markdown."""
    heads = [
        "K",
        f"validation bound {'L_K' if rows[0]['objective'] == 'iwae' else 'of ' + rows[0]['objective']}",
        f"test {quantity_name(rows[0])}, K = {rows[0]['eval_k']}",
        "E_q log p(x\\|z)",
        "squared error",
    ]
    heads += ["active units", "s an epoch"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "-|" * len(heads)]
    for row in rows:
        error = "" if row["nll_error"] is None else f" ± {row['nll_error']:.2f}"
        cells = [
            row["k"],
            number_text(row["validation_bound"]),
            f"{number_text(row['nll'])}{error}",
            number_text(row["reconstruction"]),
            number_text(row["squared_error"], ".4f"),
            "-" if row["active_units"] is None else f"{row['active_units']} of {row['latent_dim']}",
            f"{row['seconds_per_epoch']:.1f}",
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)
