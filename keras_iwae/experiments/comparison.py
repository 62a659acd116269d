"""Comparing runs image by image: which is better on the same test images, and by how much for sure."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_iwae.evaluation import LEVEL, paired_difference
from keras_iwae.experiments.advice import evaluation_command, has_log_weights
from keras_iwae.experiments.config import settings_of
from keras_iwae.experiments.evaluation_target import quantity_name
from keras_iwae.foundation import MARK, check_path, check_several, read_arrays
from keras_iwae.training import runs

# What two evaluations share if their numbers are to be compared.
_SAME = ("dataset", "split", "limit", "num_samples", "seed", "quantity", "proposal_scale", "defensive")
# "static" and "dynamic" are the same single draw for a test split.
_TEST_IMAGES = {"dynamic": "drawn once", "static": "drawn once"}


class Evaluated(NamedTuple):
    """A run's NLL record, the log-likelihood of each test image `[N]`, and a digest of the images if there is one."""

    run: Path
    record: dict
    log_likelihood: np.ndarray
    images: str | None


def compare(folders: Sequence[str | os.PathLike]) -> dict:
    """Compare each run to the first by the log-likelihoods of the same test images.

    Args:
        folders: run folders, each evaluated by scripts/evaluate_nll.py with the same K, limit and seed.

    Returns:
        for JSON: what was evaluated, and `runs`, for each its name, NLL, standard error and, from the second on,
        `difference`: of the NLL to the first run's with standard error, 95 % interval and verdict.

    Raises:
        ValueError: if a run has no such evaluation, or it was on other images, with another K or another seed, which
            binarizes images anew, or two of the runs are one.
    """
    first, *others = (_evaluated(folder) for folder in check_several("folders", folders))
    rows: list[dict] = [_row(first)]
    for other in others:
        _check_same(first, other)
        found = paired_difference(other.log_likelihood, first.log_likelihood)
        alone = found.num_images == 1
        difference = {
            "nll": found.mean,
            "standard_error": None if alone else found.standard_error,
            "low": None if alone else found.low,
            "high": None if alone else found.high,
            "verdict": found.verdict,
        }
        rows.append({**_row(other), "difference": difference})
    evaluation = {name: first.record.get(name) for name in _SAME}
    return {**evaluation, "num_images": len(first.log_likelihood), "level": LEVEL, "runs": rows}


def _evaluated(folder: str | os.PathLike) -> Evaluated:
    """As `per_example`, whose sentences are for a page about the run too, with the argument's name."""
    try:
        return per_example(folder)
    except ValueError as error:
        if str(error).startswith("Expected"):
            raise ValueError(f"{MARK}folders`. {error}") from error
        raise


def per_example(folder: str | os.PathLike) -> Evaluated:
    """What a run folder knows of each test image.

    Raises:
        ValueError: if there is no evaluation, no array, or the two are of different evaluations.
    """
    if not check_path("folder", folder).exists():
        raise ValueError(f"Expected a run folder. Received: {folder}, where there is none")
    run = runs.folder(folder)
    if not any((run / name).is_file() for name in ("model.keras", "config.json", "metrics.json")):
        raise ValueError(f"Expected a run folder. Received: {folder}, which is none")
    record = runs.read_metrics(run).get("nll_test")
    # Before evaluations wrote it by themselves, it was asked for under this name.
    file = next((run / name for name in ("per-example-test.npz", "per-example.npz") if (run / name).is_file()), None)
    settings = settings_of(run)
    hint = f"evaluate it: {evaluation_command(run, settings)}"
    if not has_log_weights(settings):
        hint = "its posterior has no log weights, and annealed importance sampling is compared by paired_difference"
    if record is None or file is None:
        missing = "metrics.json with nll_test" if record is None else "per-example-test.npz"
        raise ValueError(f"Expected {missing} in {run}. Received: none; {hint}")
    if isinstance(record, dict) and not runs.is_current(run, record):
        raise ValueError(
            f"Expected an evaluation of the model in {run} as it is now. Received: one from before it "
            f"was trained further; {hint}"
        )
    # A number that was not finite is null there.
    if not isinstance(record, dict) or None in (record.get("nll"), record.get("num_examples")):
        raise ValueError(f"Expected a finite NLL as nll_test in {run / 'metrics.json'}. Received: none; {hint}")
    arrays = read_arrays(file)
    log_likelihood = arrays.get("log_likelihood", np.zeros(0))
    images = str(arrays["images_sha256"]) if "images_sha256" in arrays else None
    same = images is None or record.get("images_sha256") in (None, images)
    same = same and len(log_likelihood) == record["num_examples"]
    if not same or not np.isclose(-log_likelihood.mean(), record["nll"], 1e-4):
        raise ValueError(
            f"Expected in {file} the log-likelihoods of the evaluation in metrics.json, of "
            f"{record['num_examples']} images. Received: {len(log_likelihood)} of another; {hint}"
        )
    return Evaluated(run, record, log_likelihood, images)


def _row(evaluated: Evaluated) -> dict:
    record = evaluated.record
    return {"run": evaluated.run.name, "nll": record["nll"], "standard_error": record.get("standard_error")}


def _check_same(first: Evaluated, other: Evaluated) -> None:
    both = first, other
    found = [
        {name: e.record.get(name) for name in _SAME}
        | {"binarization": _binarization(e.run), "numbers": _numbers(e.record)}
        for e in both
    ]
    digests = [e.record.get("model_digest") for e in both]
    if first.run.resolve() == other.run.resolve() or (digests[0] is not None and digests[0] == digests[1]):
        raise ValueError(f"Expected other runs beside {first.run}. Received: {other.run}, which holds the same model")
    different = [name for name in found[0] if found[0][name] != found[1][name]]
    if not different and None not in (first.images, other.images) and first.images != other.images:
        different, found = ["images"], [{"images": e.images} for e in both]
    if different:
        name = different[0]
        raise ValueError(
            f"Expected runs that were evaluated alike. Received: {name} {found[0][name]} in {first.run} and "
            f"{found[1][name]} in {other.run}"
        )


def _numbers(record: dict) -> str:
    """A density has no bits, and is nothing to compare a probability with."""
    return "probabilities" if record.get("bits_per_dimension") is not None else "densities"


def _binarization(run: Path) -> str:
    name = settings_of(run).get("binarization", "dynamic")
    return _TEST_IMAGES.get(name, name)


def table(comparison: dict) -> str:
    """What `compare` returned, for people."""
    of = f"{comparison['dataset']}, {comparison['split']} split, {comparison['num_images']} images"
    lines = [
        f"{quantity_name(comparison)} in nats on {of}, K = {comparison['num_samples']}, seed {comparison['seed']}",
        "",
        f"{'run':<28}{'NLL':>8}   {'to the first':>12}   95 % interval",
    ]
    for row in comparison["runs"]:
        line = f"{row['run']:<28}{row['nll']:>8.2f}"
        if "difference" in row:
            d = row["difference"]
            interval = "" if d["low"] is None else f"{d['low']:+.2f} to {d['high']:+.2f}"
            line += f"   {d['nll']:>+12.2f}   {interval:<18} {d['verdict']}"
        lines.append(line.rstrip())
    return "\n".join(lines)
