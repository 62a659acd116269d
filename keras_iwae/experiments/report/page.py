"""From a run folder to a page: what is there is shown, what is not there is named with the command that makes it."""

import itertools
import os
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from keras_iwae.evaluation import nats
from keras_iwae.experiments import diagnosis
from keras_iwae.experiments.advice import diagnosis_command, evaluation_command, has_log_weights
from keras_iwae.experiments.config import settings_of
from keras_iwae.experiments.report import numbers
from keras_iwae.experiments.report.blocks import Missing, attempt, chart
from keras_iwae.experiments.report.pictures import Pictures
from keras_iwae.experiments.report.templates import rendered
from keras_iwae.foundation import MARK, check_path, replacing
from keras_iwae.plots import charts
from keras_iwae.training import runs

_NOT_DIAGNOSED = "There is nothing to diagnose where a posterior has no exact density, or nothing is drawn from it."
_FILES = ("config.json", "model.keras", "history.csv", "metrics.json")
_SHOWN = "config.json", "metrics.json", "diagnosis.json", "history.csv", "nll.csv", "per-example*.npz", "figures/*.png"


def write_report(run: str | os.PathLike) -> Path:
    """Write `report.html` into a run folder: one page with everything in it, which needs no network.

    Args:
        run: the run folder, or the `.keras` file in it. What is missing or damaged there is named on the page.

    Returns:
        the page.

    Raises:
        ValueError: if `run` is no path, if there is nothing of a run in the folder, or what the page shows is a link
            out of it.
    """
    folder = runs.folder(check_path("run", run))
    if not Path(run).exists() or not any((folder / name).is_file() for name in _FILES):
        raise ValueError(f"Invalid value received for `run`. Expected a run folder. Received: {run}, which is none")
    _check_its_own(folder)
    page = rendered("page.html", _contents(folder))
    path = folder / "report.html"
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _check_its_own(folder: Path) -> None:
    """Refuse links out of the run, by which anything could get into a page that is handed on."""
    root = folder.resolve()
    for file in itertools.chain.from_iterable(map(folder.glob, _SHOWN)):
        if root not in file.resolve().parents:
            raise ValueError(
                f"{MARK}run`. Expected files of its own, for the page has in it what they hold. Received: {file}, "
                "a link to what is outside of it"
            )


def _contents(folder: Path) -> dict:
    """Every name that the template uses."""
    config = attempt(partial(settings_of, folder))
    metrics = attempt(partial(runs.read_metrics, folder))
    latents = attempt(partial(runs.read_json, folder / "diagnosis.json"))
    pictures, settings = Pictures(folder), _known(config)
    evaluate, diagnose = evaluation_command(folder, settings), diagnosis_command(folder, settings)
    known = {name: one for name, one in _known(metrics).items() if _is_of_now(folder, one)}
    if not _is_of_now(folder, latents):
        latents = Missing("The run was trained further after it was diagnosed.", diagnose)
    evaluated, sentence = "nll_test" in _known(metrics), attempt(lambda: numbers.sentence(_known(config)))
    if not has_log_weights(settings):
        unevaluated = "has a posterior without log weights, and no L_k; what annealing said is below, where it ran"
    else:
        unevaluated = "was trained further after it was evaluated" if evaluated else "has not been evaluated"
        if "nll_test_before_rounding" in known:
            unevaluated += " with its rounded weights; what was found before is below"
    return {
        "name": folder.resolve().name,
        "written": time.strftime("%Y-%m-%d %H:%M"),
        "sentence": "" if isinstance(sentence, Missing) else sentence,
        "headline": attempt(lambda: numbers.headline(known, _known(latents))),
        "config": _or(config, Missing("The run has no config.json."), numbers.settings_rows),
        "curves": attempt(lambda: _curves(folder, settings)),
        "nll": _or(
            metrics if isinstance(metrics, Missing) else known.get("nll_test"),
            Missing(f"The run {unevaluated}.", evaluate),
            _nll,
        ),
        "others": [
            (numbers.readable(name), record.get("verdict"), attempt(partial(_rows, record)))
            for name, record in known.items()
            if isinstance(record, Mapping) and name not in ("training", "nll_test")
        ],
        "latents": _or(
            latents,
            Missing("The run has not been diagnosed." if diagnose else _NOT_DIAGNOSED, diagnose),
            _latents,
        ),
        "samples": pictures.samples(),
        "reconstructions": pictures.reconstructions(),
        "map": pictures.latent_map(),
        "extremes": attempt(pictures.extremes),
    }


def _is_of_now(folder: Path, record: object) -> bool:
    return not isinstance(record, Mapping) or runs.is_current(folder, record)


def _known(part: dict | Missing) -> dict:
    return {} if isinstance(part, Missing) else part


def _or(found, otherwise: Missing, show):
    """`show(found)` where there is something; the note that it is, or `otherwise`, where there is nothing."""
    if isinstance(found, Missing):
        return found
    return attempt(lambda: show(found)) if found else otherwise


def _curves(folder: Path, settings: Mapping) -> dict:
    history = runs.read_history(folder)
    if not history:
        raise ValueError("The run has no history.csv.")
    columns = {name: [row[name] for row in history] for name in history[0]}
    judged = next((name for name in ("bound", "elbo") if name in columns), "loss")
    ends = [name for name in (judged, f"val_{judged}") if name in columns]
    last = ", ".join(f"{numbers.readable(name)} {nats(columns[name][-1], '.1f')}" for name in ends)
    names = ("kl", "discrimination", "loss")
    less = [f"the {numbers.readable(name)}" for name in names if name in charts.drawn_metrics(columns)]
    but = f" but for {' and '.join(filter(None, (', '.join(less[:-1]), less[-1])))}" if less else ""
    more = f", and more is better{but}" if numbers.more_is_better(settings) else ""
    return {
        "picture": chart(
            charts.training_curves(columns), f"Training metrics up to epoch {history[-1]['epoch']:g}; at the end {last}"
        ),
        "caption": f"Means over an epoch. Nats are per image{more}.",
    }


def _nll(record: Mapping) -> dict:
    bounds = {int(k): value for k, value in record.get("bounds", {}).items() if value is not None}
    words = ", ".join(f"L_{k} {value:.1f}" for k, value in bounds.items())
    return {
        "verdict": record.get("verdict"),
        "rows": numbers.rows(record, leave_out=("model", *numbers.DIGESTS, "split", "bounds", "verdict")),
        "bounds": chart(charts.bounds(bounds), f"Bound against the number of samples, in nats: {words}")
        if len(bounds) > 1
        else None,
    }


def _rows(record: Mapping) -> list[tuple[str, str]]:
    return numbers.rows(record, leave_out=("model", *numbers.DIGESTS, "bounds", "verdict"))


def _latents(record: Mapping) -> dict:
    layers = record["layers"]
    variances = [np.array(layer["mean_variance"]) for layer in layers]
    counts = ", ".join(f"{layer['active']} of {layer['units']}" for layer in layers)
    kls, means, stds = diagnosis.moments(layers)
    together = "all posteriors together, which should look like the prior."
    return {
        "verdict": record["verdict"],
        "rows": diagnosis.rows(record),
        "active": chart(
            charts.active_units(variances, record["active_unit_threshold"]),
            f"Histogram of the variance of posterior means; active: {counts} units",
        ),
        "units": chart(
            charts.units(kls, means, stds),
            "Aggregate posterior of each unit" if kls is None else "KL of each unit, and its aggregate posterior",
        ),
        "units_caption": f"Of each unit {together}"
        if kls is None
        else f"Left: what each unit costs. Right: {together}",
    }
