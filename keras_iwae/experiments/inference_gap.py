"""The inference gap of a run, kept image by image in its folder, so that a second start goes on."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow as tf

from keras_iwae.evaluation import (
    Arrays,
    Batch,
    Compute,
    InferenceGap,
    Spread,
    computed_batches,
    digests_of,
    inference_gap,
)
from keras_iwae.foundation import read_arrays, write_arrays
from keras_iwae.models import IWAE
from keras_iwae.networks import derived_seed

NUM_SAMPLES, NUM_STEPS = 1000, 250
_BATCH = 100


@dataclass(frozen=True)
class _Gap:
    """What is computed of a batch: a `Recipe`."""

    arrays: ClassVar[int] = len(fields(InferenceGap))
    num_samples: int
    num_steps: int
    seed: int

    def on(self, model: IWAE) -> Compute:
        def found(x, seen, advance):
            seed = derived_seed(self.seed, seen)
            gap = inference_gap(model, x.numpy(), self.num_samples, self.num_steps, seed=seed, progress=advance)
            return tuple(getattr(gap, field.name) for field in fields(gap))

        return found


def gap_of_run(
    run: Path,
    digest: str | None,
    model: IWAE,
    images: np.ndarray,
    seed: int,
    progress: Callable[[float], object],
    spread: Spread | None = None,
) -> InferenceGap:
    """The inference gap of images, a hundred at a time, each hundred written to `inference-gap.npz` when it is done.

    What that file holds of the same model, images and seed is taken from there, and so are the first of the images if
    more were asked for before.

    Args:
        run: the run folder.
        digest: of the file that the model is of, which may be another than the folder's own.
        model: the model.
        images: the first images of the test split, `[N, *event_shape]`.
        seed: of the draws.
        progress: called with each further share of the images that is done, found ones included; they sum to 1.
        spread: other processes that compute hundreds of images; `None` is this one. A hundred that is ready before
            one of earlier images is written with it.

    Returns:
        `InferenceGap` of the N images.
    """
    file = run / "inference-gap.npz"
    settings = json.dumps({"model": digest, "seed": seed, "samples": NUM_SAMPLES, "steps": NUM_STEPS})
    examples = digests_of(tf.constant(images)).numpy()
    whole = _kept(file, settings, examples)
    found = len(whole.elbo)
    if found < len(images):
        # A batch that was cut short had other draws than a whole one.
        found -= found % _BATCH
    progress(min(found / len(images), 1.0))
    starts = range(found, len(images), _BATCH)
    batches = [Batch(i, images[start : start + _BATCH], start) for i, start in enumerate(starts)]
    recipe = _Gap(NUM_SAMPLES, NUM_STEPS, seed)
    parts = computed_batches(model, recipe, batches, spread, lambda done: progress(done / len(images)))
    for batch, part in _in_order(parts):
        whole = _joined(_first(whole, batch.seen), InferenceGap(*part))
        of = {"settings": np.array(settings), "examples": examples[: batch.seen + len(batch.x)]}
        write_arrays(file, {**of, **vars(whole)})
    return _first(whole, len(images))


def _in_order(parts: Iterable[tuple[Batch, Arrays]]) -> Iterator[tuple[Batch, Arrays]]:
    """Each part as soon as all before it are there: what is kept is of the first images."""
    early: dict[int, tuple[Batch, Arrays]] = {}
    following = 0
    for batch, part in parts:
        early[batch.number] = batch, part
        while following in early:
            yield early.pop(following)
            following += 1


def _kept(file: Path, settings: str, examples: np.ndarray) -> InferenceGap:
    """What the file holds of the first images, as far as they are these."""
    names = [field.name for field in fields(InferenceGap)]
    if file.exists():
        arrays = read_arrays(file)
        if str(arrays.get("settings")) == settings and "examples" in arrays:
            before = arrays["examples"]
            shared = min(len(before), len(examples))
            other = (before[:shared] != examples[:shared]).any(axis=1)
            count = int(other.argmax()) if other.any() else len(before)
            return InferenceGap(**{name: arrays[name][:count] for name in names})
    return InferenceGap(**{name: np.zeros(0) for name in names})


def _first(gap: InferenceGap, count: int) -> InferenceGap:
    return InferenceGap(**{name: values[:count] for name, values in vars(gap).items()})


def _joined(one: InferenceGap, other: InferenceGap) -> InferenceGap:
    return InferenceGap(**{name: np.concatenate([values, vars(other)[name]]) for name, values in vars(one).items()})
