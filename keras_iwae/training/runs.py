"""A run is a folder: what it holds, how a model gets in and out of it, and which one is the newest.

config.json    what was asked for        model.keras    weights, optimizer and random stream after the last epoch
history.csv    one row an epoch          metrics.json   what came out
inputs.json    what it began with        nll.csv        validation NLL at some passes, where it was asked for
figures/       pictures                  tensorboard/   logs        serving/   the exported SavedModel
"""

import csv
import hashlib
import json
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import keras

from keras_iwae.foundation import MARK, check_folder, command_line, held_file, remove_leftovers, replacing, write_json
from keras_iwae.models import AVB, IWAE
from keras_iwae.training.hub import fetched, is_address

ROOT = Path("saved_models")


def newest(root: str | os.PathLike = ROOT) -> Path:
    """The run under `root` whose model was written last.

    Raises:
        ValueError: if there is none.
    """
    models = sorted(Path(root).glob("*/model.keras"), key=lambda path: path.stat().st_mtime)
    if not models:
        raise ValueError(f"Expected a trained run in {Path(root)}/. Received: none; train one: {command_line('train')}")
    return models[-1].parent


def folder(path: str | os.PathLike) -> Path:
    """The run folder that `path` is, or that the `.keras` file `path` lies in."""
    path = Path(path)
    return path if path.is_dir() else path.parent


def create(path: str | os.PathLike, config: Mapping, first: Mapping[str, Mapping] | None = None) -> Path:
    """Make a new run folder with its `config.json`, which makes it a run.

    What a killed process left of the same is no hindrance.

    Args:
        path: the folder.
        config: the configuration.
        first: further JSON files by their names, which are there before `config.json` is.

    Raises:
        ValueError: if `path` holds anything already, or cannot be a folder.
    """
    path = check_folder("out", path)
    first = first or {}
    for name in (*first, "config.json"):
        remove_leftovers(path / name)
    # Of `first` alone it is what a start left that was killed before it was a run; of other keys it is not.
    ours = {name for name, value in first.items() if read_json(path / name).keys() == value.keys()}
    if path.exists() and any(found.name not in ours for found in path.iterdir()):
        held = "a run; continue it with --resume, or" if (path / "config.json").exists() else "other files;"
        raise ValueError(
            f"Invalid value received for `out`. Expected a new folder. "
            f"Received: {path}, which holds {held} name another"
        )
    for name, value in {**first, "config.json": config}.items():
        write_json(path / name, dict(value))
    return path


def read_json(path: str | os.PathLike) -> dict:
    """The JSON object in `path`, empty where there is no such file.

    Raises:
        ValueError: if the file is no JSON object.
    """
    try:
        value = json.loads(Path(path).read_text())
    except FileNotFoundError:
        return {}
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"Expected a JSON object in {path}. Received: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"Expected a JSON object in {path}. Received: {type(value).__name__}")
    return value


# How names of what is written by this package begin.
_RECORDS = "training", "rounding", "nll", "ais", "bdmc", "sumo"
# Of an evaluation, by which it takes its time.
COUNTS = "num_examples", "num_samples", "num_estimates", "num_chains", "num_temperatures", "num_leapfrog_steps"
_NUMBERS = "nll", "standard_error", "epoch", "seconds", *COUNTS


def read_metrics(run: str | os.PathLike) -> dict:
    """What `metrics.json` of a run has, an object for training and for each evaluation, and anybody's notes.

    Raises:
        ValueError: if it holds something else, or a text or a list where numbers are.
    """
    path = Path(run) / "metrics.json"
    found = read_json(path)
    for name, record in found.items():
        if name.split("_")[0] not in _RECORDS:
            continue
        if not isinstance(record, dict):
            raise ValueError(f"Expected an object {name!r} in {path}. Received: {record!r}")
        for key in _NUMBERS:
            if isinstance(record.get(key), (str, list, dict)):
                raise ValueError(f"Expected a number {key!r} of {name!r} in {path}. Received: {record[key]!r}")
    return found


def update_metrics(run: str | os.PathLike, metrics: Mapping) -> None:
    """Add to the run's `metrics.json`, or replace what it had under the same names; one process after the other."""
    path = Path(run) / "metrics.json"
    with held_file(path):
        write_json(path, {**read_metrics(run), **metrics})


def save_model(model: IWAE | AVB, path: str | os.PathLike) -> None:
    """Write the model with optimizer and random stream; a failure leaves the file that was there.

    Raises:
        OSError: if it cannot be written.
    """
    with replacing(path) as temporary:
        model.save(temporary)


def check_goes_on(run: Path) -> None:
    """Refuse to train on where the optimizer was left out of the checkpoint, before anything is read for it.

    Raises:
        ValueError: which names `out`, the argument of those that go on.
    """
    file = run / "model.keras"
    if not zipfile.is_zipfile(file):
        return
    try:
        with zipfile.ZipFile(file) as archive:
            held = json.loads(archive.read("config.json"))
    except (zipfile.BadZipFile, KeyError, ValueError, NotImplementedError, RuntimeError):
        # Said where it is loaded.
        return
    if not held.get("compile_config"):
        raise ValueError(
            f"{MARK}out`. Expected a run with its optimizer. Received: {run}, which was packed without; "
            "train.py --start begins a new run with its weights"
        )


def load_model(path: str | os.PathLike, argument: str = "model") -> IWAE | AVB:
    """The model of a run folder, or of a `.keras` file.

    Args:
        path: the folder or the file; or "hf://USER/MODEL", as a text: a packed folder, or what Keras itself saved.
        argument: what it was given as, for errors.

    Raises:
        ValueError: if there is none, or if the file is damaged or holds another kind of model.
    """
    expected = f"{MARK}{argument}`. Expected a run folder or a .keras file with an IWAE"
    file: Path | str
    if is_address(path):
        packed = fetched(str(path), argument) / "model.keras"
        # Keras would take the config.json of a run for its own.
        file = packed if packed.is_file() else str(path)
    else:
        path = Path(path)
        file = path / "model.keras" if path.is_dir() else path
        if not file.is_file():
            held = "a folder without a model.keras" if path.is_dir() else "where there is none"
            raise ValueError(f"{expected}. Received: {path}, {held}")
    try:
        model = keras.models.load_model(file)
    # Keras lets the errors of zipfile, h5py and json through as they are; for the user they all mean one thing.
    except Exception as error:
        found = re.search(r"Could not locate class '([^']+)'", str(error))
        if found:
            raise ValueError(
                f"{expected}. Received: {file}, with a {found[1]}, which Keras does not know here: decorate that class "
                "with keras.saving.register_keras_serializable(), and import it first"
            ) from error
        if not is_address(file) and not zipfile.is_zipfile(file):
            # Keras says of these that they are not there.
            raise ValueError(
                f"{expected}. Received: {file}, which cannot be read: it is no .keras archive, the only kind that is "
                "loaded, or not whole"
            ) from error
        cause = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise ValueError(f"{expected}. Received: {file}, which cannot be read ({cause})") from error
    if not isinstance(model, (IWAE, AVB)):
        raise ValueError(f"{expected}. Received: {file}, which holds a {type(model).__name__}")
    model.check_finite()
    return model


def digest(run: str | os.PathLike) -> str | None:
    """Of the model's file, as hexadecimal digits: which training an evaluation was of; `None` where there is none."""
    path = Path(run)
    file = path / "model.keras" if path.is_dir() else path
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else None


def is_current(run: str | os.PathLike, record: Mapping) -> bool:
    """Whether a record with `model_digest` is of the run's model as it is now, as far as that can be known."""
    said, found = record.get("model_digest"), digest(run)
    return None in (said, found) or said == found


def read_rows(path: str | os.PathLike, *columns: str) -> list[dict[str, float]]:
    """Rows of a CSV file of numbers, none where there is no such file.

    Args:
        path: the file.
        *columns: names that have to be among its own.

    Raises:
        ValueError: if the file holds anything else, or its last line has no end.
    """
    if not Path(path).exists():
        return []
    try:
        text = Path(path).read_text()
        lines = list(csv.reader(text.splitlines()))
        # The number that it ends with may be half a number.
        if not text.endswith("\n"):
            raise ValueError("a last line without an end" if text else "an empty file")
        names = lines[0]
        if len(set(names)) < len(names) or not {*columns} <= {*names}:
            raise ValueError(f"the columns {names}")
        for number, line in enumerate(lines[1:], start=2):
            if len(line) != len(names):
                raise ValueError(f"line {number} with {len(line)} cells under {len(names)} names")
        return [{name: float(value) for name, value in zip(names, line, strict=True)} for line in lines[1:]]
    except (ValueError, csv.Error) as error:
        told = f" under {', '.join(columns)} and others" if columns else ""
        raise ValueError(f"Expected rows of numbers{told} in {path}. Received: {error}") from error


def write_rows(path: str | os.PathLike, rows: list[dict[str, float]]) -> None:
    """Write a CSV file of numbers anew, whole or not at all; what an epoch has not, as one not validated, is nan."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=names, restval="nan")
        writer.writeheader()
        writer.writerows(rows)


def read_history(run: str | os.PathLike, epochs: int | None = None) -> list[dict[str, float]]:
    """Rows of the run's `history.csv`, those of the first `epochs` epochs where a number is given.

    Raises:
        ValueError: if the file is damaged, or has no row for the last of these epochs or for one between its rows.
    """
    path = Path(run) / "history.csv"
    rows = read_rows(path, "epoch", "seconds")
    found = [row["epoch"] for row in rows]
    if found and (found[0] < 1 or found != [found[0] + i for i in range(len(found))]):
        raise ValueError(f"Expected a row for each epoch in {path}. Received: epochs {', '.join(map(_number, found))}")
    if epochs and path.exists() and (not found or found[-1] < epochs):
        last = f"epoch {_number(found[-1])} as the last" if found else "no row"
        raise ValueError(
            f"Expected a row for each of the model's {epochs} epochs in {path}. Received: {last}; mend the file, or "
            "remove it: the run then goes on without what it said"
        )
    return [row for row in rows if epochs is None or row["epoch"] <= epochs]


def _number(value: float) -> str:
    return f"{value:g}"


def write_history(run: str | os.PathLike, rows: list[dict[str, float]]) -> None:
    """Write the run's `history.csv` anew, whole or not at all."""
    # Read back it is a float.
    write_rows(Path(run) / "history.csv", [{**row, "epoch": int(row["epoch"])} for row in rows])
