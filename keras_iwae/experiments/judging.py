"""Finding out about a trained run: its test log-likelihood, and what it draws."""

import os
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae import data, plots, runs
from keras_iwae.evaluation import NLLResult, importance_weighted_nll
from keras_iwae.inputs import check_integer
from keras_iwae.model import IWAE
from keras_iwae.storage import replacing

_BATCH_SIZE = 200
_PLANE = 20


def evaluate(
    model: str | os.PathLike | None = None,
    num_samples: int = 5000,
    dataset: str | None = None,
    split: str = "test",
    limit: int | None = None,
    chunk_size: int = 25,
    seed: int = 0,
    per_example: str | os.PathLike | None = None,
    verbose: bool = True,
) -> tuple[NLLResult, dict]:
    """Evaluate a run on a split of its data set and keep the result in the run's `metrics.json`.

    Args:
        model: run folder or `.keras` file; `None` is the newest run.
        num_samples: K.
        dataset: a name or file for `keras_iwae.data.load`; `None` is what the run was trained on.
        split: "train", "validation" or "test".
        limit: only the first so many images.
        chunk_size: samples of an image decoded together.
        seed: of the draws and of the binarization.
        per_example: .npz file for the arrays `log_likelihood` and `effective_sample_size` of each image.
        verbose: whether to show a progress bar.

    Returns:
        the result, and a record of it for JSON that says what was evaluated and how long it took.

    Raises:
        ValueError: if there is no such model, data set or split, or a number is out of range.
    """
    path = Path(model) if model is not None else runs.newest()
    config = runs.read_json(runs.folder(path) / "config.json")
    name = dataset or config.get("dataset")
    if name is None:
        raise ValueError(f"Expected `dataset`: {path} has no config.json that names one. Received: none")
    trained = runs.load_model(path)
    images = _images(name, split, config.get("binarization", "dynamic"), seed, limit)
    begin = time.perf_counter()
    result = importance_weighted_nll(
        trained, images, num_samples, chunk_size=chunk_size, batch_size=_BATCH_SIZE, seed=seed, verbose=verbose
    )
    record = {
        "model": path.name,
        "dataset": str(name),
        "split": split,
        "limit": limit,
        **result.to_dict(),
        "seconds": round(time.perf_counter() - begin, 1),
    }
    if per_example is not None:
        with replacing(per_example) as temporary, open(temporary, "wb") as file:
            np.savez(
                file,
                log_likelihood=result.log_likelihood_per_example,
                effective_sample_size=result.ess_per_example,
            )
    if path.is_dir():
        runs.update_metrics(path, {f"nll_{split}" if dataset is None else f"nll_{Path(name).stem}_{split}": record})
    return result, record


def _images(dataset: str, split: str, binarization: str, seed: int, limit: int | None) -> np.ndarray:
    """Images of a split, in order and binarized once: `load` would shuffle a training split and drop its last batch."""
    if limit is not None:
        check_integer("limit", limit)
    images = data.load(data.images(dataset, split)[:limit], "test", _BATCH_SIZE, binarization, seed=seed)
    return np.concatenate(list(images.as_numpy_iterator()))


def draw_samples(
    model: str | os.PathLike | None = None,
    num_samples: int = 100,
    columns: int = 10,
    seed: int = 0,
    binary: bool = False,
    out: str | os.PathLike | None = None,
) -> list[Path]:
    """Write a grid of images drawn from the prior; with two latent units, also the map of the latent plane.

    Args:
        model: run folder or `.keras` file; `None` is the newest run.
        num_samples: images to draw.
        columns: images in a row.
        seed: the same seed gives the same images.
        binary: whether to draw pixels, rather than show their probabilities.
        out: PNG file; `None` is `figures/samples-seedN.png` in the run folder.

    Returns:
        the files written.

    Raises:
        ValueError: if there is no such model, or a count is below 1.
    """
    path = Path(model) if model is not None else runs.newest()
    trained = runs.load_model(path)
    samples = trained.sample(num_samples, seed)
    grid = Path(out or runs.folder(path) / "figures" / f"samples-seed{seed}.png")
    plots.save_grid(
        grid, (samples.images if binary else samples.probabilities).numpy(), check_integer("columns", columns)
    )
    if trained.latent_dim != 2:
        return [grid]
    plane = grid.with_name(f"{grid.stem}-plane.png")
    plots.save_grid(plane, latent_plane(trained), _PLANE)
    return [grid, plane]


def latent_plane(model: IWAE) -> np.ndarray:
    """Pixel probabilities over the plane of two latent units, `[400, *image_shape]`, even in prior probability."""
    levels = (np.arange(_PLANE, dtype=np.float32) + 0.5) / _PLANE
    ticks = tfp.distributions.Normal(0.0, 1.0).quantile(levels).numpy()
    vertical, horizontal = np.meshgrid(ticks[::-1], ticks, indexing="ij")
    latents = np.stack([horizontal.ravel(), vertical.ravel()], axis=-1)
    return tf.sigmoid(model.generative(latents)).numpy()
