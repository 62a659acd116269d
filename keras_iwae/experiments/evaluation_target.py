"""What an evaluation is of: a trained model and images, and where in the run folder its results go."""

import math
import os
import shlex
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_iwae import data
from keras_iwae.experiments import inputs
from keras_iwae.experiments.config import ExperimentConfig, settings_of
from keras_iwae.experiments.named_data import as_dataset
from keras_iwae.foundation import MARK, check_choice, check_path, storage, value_errors
from keras_iwae.models import IWAE
from keras_iwae.training import in_the_box, runs

# Bytes of images that are held together, where a folder of shards may have any number.
_TOGETHER = 2**31
_OF_NO_MODEL = (
    "A plain autoencoder was not trained as a model of p(x): neither the scale of its posterior nor the fit of its "
    "latents to the prior. This number judges it as one all the same."
)


def dataset_of(path: str | os.PathLike) -> str:
    """What a run was trained on.

    Raises:
        ValueError: if there is no run, or its `config.json` does not say, as beside a model that was saved by hand.
    """
    folder, expected = Path(path), f"{MARK}model`. Expected a run folder or a .keras file"
    if folder.is_file() and folder.suffix != ".keras":
        raise ValueError(f"{expected}. Received: {path}, which is another file")
    if not folder.exists():
        boxed = f", or a model in the box: {', '.join(in_the_box())}"
        raise ValueError(f"{expected}{boxed}. Received: {path}, where there is none")
    if folder.is_dir() and not any((folder / file).is_file() for file in ("model.keras", "config.json")):
        inside = sorted(file.parent.name for file in folder.glob("*/model.keras"))
        held = f", but a folder of runs: {', '.join(inside[:5])}{', ...' if len(inside) > 5 else ''}" if inside else ""
        raise ValueError(f"{expected}. Received: {path}, which is no run{held}")
    name = settings_of(runs.folder(path)).get("dataset")
    if name is None:
        raise ValueError(f"Expected `dataset`: {path} has no config.json that names one. Received: none")
    return name


def path_of(model: str | os.PathLike | None) -> Path:
    """The run folder or the file that a model is given as; `None` is the newest run.

    Raises:
        ValueError: if it is no path, or there is no run.
    """
    return runs.newest() if model is None else check_path("model", model)


def is_less(run: Path, key: str, record: Mapping) -> bool:
    """Whether what a run keeps is of more, and stays; a warning says so, and where it is of more in one way alone.

    Args:
        run: the run folder.
        key: the key in `metrics.json`.
        record: what was found now.
    """
    before = runs.read_metrics(run).get(key)
    if not isinstance(before, Mapping) or not runs.is_current(run, before):
        return False
    counts = [name for name in runs.COUNTS if None not in (before.get(name), record.get(name))]
    if all(before[name] <= record[name] for name in counts):
        return False
    stays = all(before[name] >= record[name] for name in counts)
    were = ", ".join(f"{name} = {before[name]:,}" for name in counts)
    becomes = "stays; what was found now is written nowhere" if stays else "is replaced"
    warnings.warn(f"{run / 'metrics.json'}: {key} was of {were}, and {becomes}", stacklevel=4)
    return stays


def quantity_name(record: Mapping) -> str:
    """What the number of an evaluation's record is called in tables."""
    return "cross-entropy" if "cross-entropy" in str(record.get("quantity")) else "NLL"


@as_dataset()
def evaluation_images(
    path: str | os.PathLike, limit: int | None, seed: int, dataset: str | None = None, split: str = "test"
) -> np.ndarray:
    """The first `limit` images of a split `[N, *event_shape]`, in order and binarized once from `seed` as the run says.

    Args:
        path: run folder or `.keras` file.
        limit: only the first so many images; `None` is all.
        seed: of the binarization.
        dataset: a name or file for `keras_iwae.data.load`; `None` is what the run was trained on.
        split: "train", "validation" or "test".

    Raises:
        ValueError: if there is no such data set or split, or `None` stands for one whose examples are others by now.
    """
    batches = evaluation_batches(path, limit, seed, dataset, split)
    source, shape = dataset_of(path) if dataset is None else dataset, batches.element_spec.shape[1:]
    _check_held_together(source, shape, limit, split)
    with value_errors():
        return np.concatenate(list(batches.as_numpy_iterator()))


@as_dataset()
def check_held_together(config: ExperimentConfig, limit: int | None) -> None:
    """Refuse to evaluate what is trained, by `evaluation_images`, on more test images than are held in memory.

    Raises:
        ValueError: which says how many there may be.
    """
    source = config.data.dataset
    if Path(source).is_dir():
        shape = data.mean_image(source, config.binarization, config.model.levels).shape
        _check_held_together(source, shape, limit, "test")


def _check_held_together(source: str, shape: Sequence[int], limit: int | None, split: str) -> None:
    if not Path(source).is_dir():
        return
    size = 4 * math.prod(shape)
    if size * min(data.num_examples(source, split), limit or math.inf) > _TOGETHER:
        raise ValueError(
            f"{MARK}limit`. Expected at most {_TOGETHER // size:,} images (--limit) of {source}, as they are held in "
            f"memory together here. Received: {limit}"
        )


@as_dataset()
def evaluation_batches(
    path: str | os.PathLike,
    limit: int | None,
    seed: int,
    dataset: str | None = None,
    split: str = "test",
    batch_size: int = 200,
) -> tf.data.Dataset:
    """The images of `evaluation_images` in batches `[B, *event_shape]`, of a folder of shards read as they come.

    Raises:
        ValueError: as there.
    """
    source = dataset_of(path) if dataset is None else dataset
    binarization, levels = _reading(path)
    check_choice("split", split, inputs.SPLITS)
    if dataset is None:
        remedy = f"evaluate_nll.py --dataset {shlex.quote(source)} judges it on these"
        if split not in inputs.Inputs.of(runs.folder(path)).data:
            warnings.warn(
                f"{runs.folder(path)} does not say what it began with, as inputs.json does beside a run: whether these "
                f"{split} examples of {source} are those that were there then is not known",
                stacklevel=1,
            )
        inputs.check_data(runs.folder(path), [split], remedy)
    # `load` would shuffle a training split and drop its last batch.
    return data.in_order(source, split, limit, batch_size, binarization, seed, levels)


def _reading(path: str | os.PathLike) -> tuple[str, int | None]:
    """The binarization and the levels by which a run's model reads any data."""
    settings = settings_of(runs.folder(path))
    binarization, levels = settings.get("binarization", "dynamic"), settings.get("levels")
    if binarization == "levels" and levels is None:
        inputs.check_data(runs.folder(path), ["train"], "they say how many levels there are")
        levels = data.num_levels(settings["dataset"])
    return binarization, levels


@as_dataset()
def _label(path: Path, dataset: str, split: str) -> str:
    """What tells another data set from all others in the names of what is kept: of a file, its stem and its digest."""
    if dataset in data.names():
        return dataset
    return f"{Path(dataset).stem}-{data.fingerprint(dataset, split, *_reading(path)).sha256[:8]}"


@dataclass(frozen=True)
class Subject:
    """A model and the images that it is judged on.

    Attributes:
        path: run folder or `.keras` file.
        model: the model.
        digest: of its file.
        dataset: name or file of the data set.
        label: what its numbers are kept under, where it is another than the run was trained on.
        split: "train", "validation" or "test".
        limit: only the first so many images; `None` is all.
        images: binarized, `[N, *event_shape]`; of a folder of shards batches of them.
    """

    path: Path
    model: IWAE
    digest: str | None
    dataset: str
    label: str | None
    split: str
    limit: int | None
    images: np.ndarray | tf.data.Dataset

    @classmethod
    def open(
        cls,
        model: str | os.PathLike | None,
        dataset: str | None,
        split: str,
        limit: int | None,
        seed: int,
        batch_size: int | None = None,
    ) -> "Subject":
        """Load both.

        Args:
            model: run folder or `.keras` file; `None` is the newest run.
            dataset: a name or file for `keras_iwae.data.load`; `None` is what the run was trained on.
            split: "train", "validation" or "test".
            limit: only the first so many images; `None` is all.
            seed: of the binarization.
            batch_size: images in a batch of a folder of shards, whose batches come one by one; `None` has all images
                together.

        Raises:
            ValueError: if there is no such model, data set or split, or the run's own data set holds other examples by
                now.
        """
        path = path_of(model)
        name = dataset_of(path) if dataset is None else str(dataset)
        digest, trained = runs.digest(path), runs.load_model(path)
        images: np.ndarray | tf.data.Dataset
        if batch_size is not None and Path(name).is_dir():
            images = evaluation_batches(path, limit, seed, dataset, split, batch_size)
        else:
            images = evaluation_images(path, limit, seed, dataset, split)
        label = None if dataset is None else _label(path, name, split)
        return cls(path, trained, digest, name, label, split, limit, images)

    @cached_property
    def images_sha256(self) -> str:
        """The digest of the images, as binarized."""
        if isinstance(self.images, np.ndarray):
            return data.digest(self.images)
        count = data.num_examples(self.dataset, self.split)
        return data.digest_of_batches(
            self.images.as_numpy_iterator(), count if self.limit is None else min(count, self.limit)
        )

    def batch_size(self, wanted: int) -> int | None:
        """What an evaluation is told of the size of batches: nothing where they have one."""
        return wanted if isinstance(self.images, np.ndarray) else None

    def record(self) -> dict:
        """What was evaluated, for JSON."""
        of = {"model": self.path.name, "model_digest": self.digest, "images_sha256": self.images_sha256}
        note = {"note": _OF_NO_MODEL} if getattr(self.model, "deterministic", False) else {}
        return {**of, "dataset": self.dataset, "split": self.split, "limit": self.limit, **note}

    def partial(self, method: str) -> Path | None:
        """Where an evaluation keeps what it has so far; `None` where there is no run folder."""
        return self.path / f"partial-{self._key(method, '-')}.npz" if self.path.is_dir() else None

    def keep(self, method: str, record: Mapping, stem: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write `record` into the run's `metrics.json` and `arrays` into an .npz file beside it; nothing without a run.

        A quick look does not take the place of what took hours: of fewer images, samples, chains, temperatures or
        leapfrog steps than what is kept of the same model, with no more of the others, nothing is written, and a
        warning says so.

        Args:
            method: what the key in `metrics.json` begins with; the split follows, before it "on" a foreign data set.
            record: what to write, for JSON.
            stem: what the name of the .npz file begins with, in the same way.
            arrays: one row or column an image.
        """
        if self.path.is_dir():
            key = self._key(method, "_")
            if is_less(self.path, key, record):
                return
            self.write_arrays(self.path / f"{self._key(stem, '-')}.npz", arrays)
            runs.update_metrics(self.path, {key: record})

    def write_arrays(self, path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
        """Write arrays of each image, and which images these are."""
        storage.write_arrays(path, {**arrays, "images_sha256": np.array(self.images_sha256)})

    def _key(self, beginning: str, separator: str) -> str:
        return separator.join([beginning, *([] if self.label is None else ["on", self.label]), self.split])
