"""A run made small enough to hand on: weights without the optimizer, what is known of them, and a card that says it."""

import io
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from keras_iwae.evaluation import importance_weighted_nll
from keras_iwae.experiments.card import card
from keras_iwae.experiments.evaluation_target import evaluation_images
from keras_iwae.foundation import MARK, check_boolean, check_folder, check_replaceable, whole_folder, write_json
from keras_iwae.models import AVB, IWAE
from keras_iwae.training import runs

_KEPT = "config.json", "inputs.json", "history.csv", "nll.csv"
_WEIGHTS = "model.weights.h5"
# Enough to see what rounding changes: the draws are the same before and after.
_IMAGES, _SAMPLES = 500, 100


def pack(run: str | os.PathLike, out: str | os.PathLike, half: bool = False) -> Path:
    """Copy of a run what is needed to use its model: every tool takes the folder, and `keras_iwae.load` does.

    It holds `model.keras` without optimizer and random stream, config.json, inputs.json, histories, of metrics.json
    what is of this very model, and README.md, a model card as the Hugging Face Hub reads them.

    Args:
        run: a run folder.
        out: the folder to write, which must not exist or be empty. It is there whole, or not at all.
        half: whether to round weights to float16 and compress them: under half the size. They are read as float32. What
            that changes of L_100 of the first 500 test images is measured, in nats, and said in the card.

    Returns:
        `out`.

    Raises:
        ValueError: if there is no run, `out` holds anything or cannot be replaced, or a weight is too large for
            float16.

    Example:
        >>> run = keras_iwae.training.in_the_box()["digits-iwae-k50"]
        >>> pack(run, "handed-on/digits-iwae-k50").name
        'digits-iwae-k50'
    """
    run, out = check_folder("run", run), check_folder("out", out)
    check_replaceable("out", out)
    check_boolean("half", half)
    config = runs.read_json(run / "config.json")
    if not config:
        what = "which has no config.json" if run.exists() else "where there is none"
        raise ValueError(f"{MARK}run`. Expected a run folder. Received: {run}, {what}")
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{MARK}out`. Expected a new folder. Received: {out}, which holds files; name another")
    model = runs.load_model(run, "run")
    with whole_folder(out) as folder:
        folder.mkdir()
        for name in _KEPT:
            if (run / name).exists():
                shutil.copyfile(run / name, folder / name)
        bare = _without_optimizer(model)
        bare.save(folder / "model.keras")
        if half:
            _halve(folder / "model.keras")
        # Of weights that were rounded before, as of a packed folder, nothing is changed.
        metrics = _metrics(run, folder, out.name, model if half and not _is_half(bare) else None)
        write_json(folder / "metrics.json", metrics)
        (folder / "README.md").write_text(card(out.name, config, metrics, runs.read_history(run)), encoding="utf-8")
    return out


def _without_optimizer(model: IWAE | AVB) -> IWAE | AVB:
    """The same model, as it was before it was compiled, with the weights of now."""
    bare = type(model).from_config(model.get_config())
    for one, other in zip(bare.weights, model.weights, strict=True):
        one.assign(other)
    return bare


def _is_half(model: IWAE | AVB) -> bool:
    """Whether float16 holds the very weights."""
    arrays = [np.asarray(weight) for weight in model.weights]
    return all((each.astype(np.float16) == each).all() for each in arrays if each.dtype == np.float32)


def _metrics(run: Path, folder: Path, name: str, before: IWAE | AVB | None) -> dict[str, Any]:
    """What `metrics.json` says that is of this model; of weights that are rounded now, what it said of those before."""
    stored = runs.read_metrics(run)
    found = {"training": stored["training"]} if "training" in stored else {}
    digest = runs.digest(folder)
    for key, record in stored.items():
        if key == "rounding" or key.endswith("_before_rounding"):
            # Of the model that these weights were rounded from.
            found[key] = record
            continue
        if key == "training" or not isinstance(record, dict) or not runs.is_current(run, record):
            continue
        record = {**record, "model": name}
        if before is None:
            found[key] = {**record, "model_digest": digest}
        else:
            record.pop("model_digest", None)
            found[f"{key}_before_rounding"] = record
    if before is not None and isinstance(before, IWAE) and not before.deterministic:
        found["rounding"] = _rounding(run, before, runs.load_model(folder))
    return found


def _rounding(run: Path, before: IWAE, after: IWAE | AVB) -> dict[str, Any]:
    """How much higher the NLL is with rounded weights, by the same draws."""
    images = evaluation_images(run, _IMAGES, seed=0)
    nll = [
        -importance_weighted_nll(
            model, images, num_samples=_SAMPLES, bounds=(), verbose=False
        ).log_likelihood_per_example
        for model in (before, after)
    ]
    change = nll[1] - nll[0]
    error = float(change.std(ddof=1) / np.sqrt(len(change))) if len(change) > 1 else None
    return {
        "weights": "float16",
        "num_examples": len(change),
        "num_samples": _SAMPLES,
        "nll_change": {"mean": float(change.mean()), "standard_error": error},
    }


def _halve(file: Path) -> None:
    """Write the arrays of a `.keras` file anew, those of float32 as float16, compressed."""
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    whole, small = h5py.File(io.BytesIO(parts[_WEIGHTS])), io.BytesIO()
    with h5py.File(small, "w") as target:
        target.attrs.update(whole.attrs)

        def copy(name: str, part: h5py.Group | h5py.Dataset) -> None:
            if isinstance(part, h5py.Group):
                target.require_group(name).attrs.update(part.attrs)
                return
            value = part[()]
            if value.dtype == np.float32:
                if np.abs(value).max(initial=0.0) > np.finfo(np.float16).max:
                    raise ValueError(f"{MARK}half`. Expected False: a weight of {name} is too large for float16")
                value = value.astype(np.float16)
            packed = {"compression": "gzip", "compression_opts": 9, "shuffle": True} if value.ndim else {}
            target.create_dataset(name, data=value, **packed).attrs.update(part.attrs)

        whole.visititems(copy)
    parts[_WEIGHTS] = small.getvalue()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
