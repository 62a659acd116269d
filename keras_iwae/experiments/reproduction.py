"""Reproducing a row of the paper's table: train it, judge it, and keep what came out in a file of its own.

ROOT/<row>/                 the run: checkpoint, history, figures
ROOT/results/<row>.json     the row's result, written when it has been evaluated
"""

import datetime
import importlib.metadata
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_iwae import data
from keras_iwae.evaluation import ACTIVE_UNIT_THRESHOLD, importance_weighted_nll, pruned
from keras_iwae.experiments import inputs
from keras_iwae.experiments.log_likelihood import evaluate
from keras_iwae.experiments.paper_table import Row, find_row
from keras_iwae.experiments.processes import usable_cores
from keras_iwae.experiments.row_states import ROOT, passes_done, result_of, starts_whole
from keras_iwae.experiments.training import resume, train
from keras_iwae.foundation import MARK, check_folder, check_integer, check_positive, float32_products, write_json
from keras_iwae.models import IWAE
from keras_iwae.training import passes_of, refuse_several_machines, runs, stage_of

# Training images that are evaluated beside the test set: enough to see a gap of half a nat.
_TRAIN_IMAGES = 2000
# Test images on which the model without its inactive units is compared with the whole one.
_PRUNED_IMAGES = 2000
# K of the paper's evaluations.
_SAMPLES = 5000
# K where proposals are fitted to each image.
_ADAPTED_SAMPLES = 500
_PACKAGES = "tensorflow", "keras", "tensorflow-probability", "numpy"


@dataclass(frozen=True)
class Asked:
    """How far a row is trained, and how it is judged.

    Attributes:
        stages: of the paper's eight, for a row of the paper's protocol; `None` is all.
        budget_minutes: training time of the row over all starts, after which it stops; `None` is no limit.
        num_samples: K of the evaluation; `None` is 5000, and all that the autoencoder's row takes, which has no NLL.
        limit: only the first so many test images; `None` is all.
    """

    stages: int | None = None
    budget_minutes: float | None = None
    num_samples: int | None = None
    limit: int | None = None

    def check(self, row: Row) -> None:
        """Refuse what the row does not take: training may last days before the evaluation asks.

        Raises:
            ValueError: which names it.
        """
        if self.num_samples is not None:
            check_integer("num_samples", self.num_samples)
            if row.config.objective.objective == "ae":
                raise ValueError(
                    f"{MARK}num_samples`. Expected none for {row.name!r}, which has no NLL. Received: "
                    f"{self.num_samples}"
                )
        if self.limit is not None:
            check_integer("limit", self.limit)
        if self.budget_minutes is not None:
            check_positive("budget_minutes", self.budget_minutes)
        _epochs(row, self.stages)


def reproduce(
    name: str,
    out: str | os.PathLike = ROOT,
    stages: int | None = None,
    budget_minutes: float | None = None,
    num_samples: int | None = None,
    limit: int | None = None,
    command: str = "",
) -> dict:
    """Train a row as far as is asked for, from where it stands, and evaluate it.

    Args:
        name: what `find_row` takes.
        out: the folder of runs and results.
        stages: see `Asked`, as for the following.
        budget_minutes: training time.
        num_samples: K of the evaluation.
        limit: of test images.
        command: the command line, to be kept with the result.

    Returns:
        the result, as it was written: numbers and how they came about; `complete` is whether the row, and
        the one that it starts from, was trained to its end, and it was evaluated on the whole test set.

    Raises:
        ValueError: if there is no such row, `stages` or `num_samples` is not for it, or its data set is not there.
    """
    row, asked = find_row(name), Asked(stages, budget_minutes, num_samples, limit)
    refuse_several_machines()
    check_folder("out", out)
    asked.check(row)
    start = start_of(row, out)
    if start is not None:
        reproduce_row(start, out, asked, command)
    return reproduce_row(row, out, asked, command)


def start_of(row: Row, out: str | os.PathLike) -> Row | None:
    """The row that is to be trained first, if any is: one that was begun goes on from what that row was then."""
    if row.starts_from is None or (Path(out) / row.name / "config.json").exists():
        return None
    return find_row(row.starts_from)


def reproduce_row(row: Row, out: str | os.PathLike, asked: Asked, command: str) -> dict:
    """What `reproduce` does of a row that waits for no other."""
    name, root = row.name, Path(out)
    start = None if row.starts_from is None else str(root / row.starts_from)
    run = _train(row, _epochs(row, asked.stages), root / name, start, asked.budget_minutes)
    done, before = passes_done(name, root), result_of(name, root)
    samples = _SAMPLES if asked.num_samples is None else asked.num_samples
    judged = {"passes": done, "num_samples": samples, "limit": asked.limit}
    inputs.check_data(run, ["test"], f"reproduce {name} anew in another folder")
    if before and all(before[key] == value for key, value in judged.items()) and runs.is_current(run, before):
        # Of a row that was judged when this was no part of it.
        if "nll_test" in before and "nll_adapted" not in before:
            before["nll_adapted"] = _adapted(run, asked.limit)
            write_json(root / "results" / f"{name}.json", before)
        return before
    begin, of_start = time.perf_counter(), _result_of_start(row, root, before)
    record = {
        "row": name,
        "seed": row.config.run.seed,
        "model_digest": runs.digest(run),
        **judged,
        "passes_planned": row.config.run.epochs,
        "stage": stage_of(done) if row.config.optimizer.schedule == "paper" else None,
        "complete": done == row.config.run.epochs and asked.limit is None and starts_whole(row, of_start),
        "from": of_start,
        **_judge(run, row, samples, asked.limit),
        "curve": runs.read_rows(run / "nll.csv", "passes", "nll"),
        "seconds_training": round(sum(step["seconds"] for step in runs.read_history(run)), 1),
        "seconds_evaluation": round(time.perf_counter() - begin, 1),
        "config": asdict(row.config),
        "command": command,
        "date": datetime.date.today().isoformat(),
        "versions": {package: importlib.metadata.version(package) for package in _PACKAGES},
        "cores": usable_cores(),
        "gpu_names": (gpus := _gpus()),
        # Of the products of training alone; a CPU has none.
        "tensor_float_32": bool(gpus) and tf.config.experimental.tensor_float_32_execution_enabled(),
    }
    write_json(root / "results" / f"{name}.json", record)
    return result_of(name, root)


def _gpus() -> list[str]:
    """The names of the GPUs that TensorFlow sees."""
    details = tf.config.experimental.get_device_details
    return [details(one).get("device_name", one.name) for one in tf.config.list_physical_devices("GPU")]


def _result_of_start(row: Row, root: Path, before: dict) -> dict | None:
    """What is known of the very weights that a row started from, whose own row may have gone on since."""
    if row.starts_from is None:
        return None
    start, found = inputs.Inputs.of(root / row.name).start, (result_of(row.starts_from, root), before.get("from"))
    return next((result for result in found if result and result.get("model_digest") in (None, start)), None)


def _epochs(row: Row, stages: int | None) -> int:
    if stages is None:
        return row.config.run.epochs
    if row.recipe != "paper":
        raise ValueError(
            f"Invalid value received for `stages`. Expected none for {row.name!r}, whose schedule has no stages. "
            f"Received: {stages}"
        )
    passes_of(stages)
    # The transfer experiment trains on for as long as the last stage of what it started from.
    return 3 ** (stages - 1) if row.starts_from else passes_of(stages)


def _train(row: Row, epochs: int, run: Path, start: str | None, budget_minutes: float | None) -> Path:
    if (run / "config.json").exists():
        # The row that it starts from may have gone on since.
        inputs.check_wanted(run, row.config, free=("epochs", "start"))
        # A row never goes back: fewer stages than it has behind it leave it as it is.
        return resume(run, max(epochs, passes_done(run.name, run.parent)), budget_minutes, curve=True)
    return train(row.config.replaced(epochs=epochs, start=start), run, budget_minutes, curve=True)


@float32_products()
def _judge(run: Path, row: Row, num_samples: int, limit: int | None) -> dict:
    """NLL on test and training images, also by adapted proposals, active units, and the NLL without inactive ones."""
    model = runs.load_model(run)
    if model.deterministic:
        return {"reconstruction": model.evaluate(_test_images(row, limit), verbose=0, return_dict=True)["loss"]}
    _, test = evaluate(run, num_samples, limit=limit, verbose=False)
    train_images = min(_TRAIN_IMAGES, len(data.images(row.config.data.dataset, "train")), limit or _TRAIN_IMAGES)
    _, training = evaluate(run, num_samples, split="train", limit=train_images, verbose=False)
    images = _test_images(row, limit)
    means = np.concatenate([model.posterior.mean(x).numpy() for x in images])
    variances = means.astype(np.float64).var(axis=0)
    layers = np.split(variances, np.cumsum(row.config.model.latent_dim)[:-1])
    judged = {
        "nll_test": test,
        "nll_train": training,
        "active_units": [int((layer > ACTIVE_UNIT_THRESHOLD).sum()) for layer in layers],
        "mean_variances": [[float(f"{value:.4g}") for value in layer] for layer in layers],
        "nll_adapted": _adapted(run, limit),
    }
    # A learned prior lets no unit be left out.
    if row.config.model.prior is None:
        judged["pruned"] = _pruned(model, variances > ACTIVE_UNIT_THRESHOLD, images)
    return judged


def _adapted(run: Path, limit: int | None) -> dict:
    """The NLL by a proposal that is fitted to each image, which settles what draws from the encoder leave open."""
    return evaluate(run, _ADAPTED_SAMPLES, limit=limit, proposal="adapted", verbose=False)[1]


def _test_images(row: Row, limit: int | None) -> tf.data.Dataset:
    # The whole split says what bytes mean, before rows are cut.
    config = row.config
    return data.in_order(config.data.dataset, "test", limit, 200, config.binarization, 0, config.model.levels)


def _pruned(model: IWAE, keep: np.ndarray, images: tf.data.Dataset) -> dict:
    """How the NLL changes where inactive units are removed, image by image, at K = 1000 with the same draws."""
    some = images.unbatch().take(_PRUNED_IMAGES).batch(200)
    whole, small = (
        importance_weighted_nll(one, some, 1000, bounds=(), verbose=False) for one in (model, pruned(model, keep))
    )
    gaps = whole.log_likelihood_per_example - small.log_likelihood_per_example
    return {
        "num_examples": len(gaps),
        "num_samples": 1000,
        "nll_change": float(gaps.mean()),
        "standard_error": float(gaps.std(ddof=1) / len(gaps) ** 0.5),
    }
