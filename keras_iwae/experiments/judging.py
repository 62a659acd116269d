"""Finding out about a trained run: its test log-likelihood, and what it draws."""

import os
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae import plots, runs
from keras_iwae.evaluation import NLLResult, importance_weighted_nll
from keras_iwae.experiments.subject import Subject
from keras_iwae.inputs import check_integer
from keras_iwae.model import IWAE

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
    proposal_scale: float = 1.0,
    defensive: float = 0.0,
    per_example: str | os.PathLike | None = None,
    verbose: bool = True,
) -> tuple[NLLResult, dict]:
    """Evaluate a run on a split of its data set and keep the result in the run's `metrics.json`.

    The run folder also gets `per-example-SPLIT.npz`: `log_likelihood`, `jackknife`, `effective_sample_size` and
    `pareto_k` `[N]`, `bounds` `[G, N]` of the `group_sizes` `[G]`, and `images_sha256`, which tells whether two such
    files are of the same images. An interrupted evaluation continues when the same is asked for again.

    Args:
        model: run folder or `.keras` file; `None` is the newest run.
        num_samples: K.
        dataset: a name or file for `keras_iwae.data.load`; `None` is what the run was trained on.
        split: "train", "validation" or "test".
        limit: only the first so many images.
        chunk_size: samples of an image decoded together.
        seed: of the draws and of the binarization.
        proposal_scale: what the posterior's standard deviations are multiplied by for drawing.
        defensive: probability that a draw comes from the prior.
        per_example: a further .npz file for the arrays of each image.
        verbose: whether to show progress.

    Returns:
        the result, and a record of it for JSON that says what was evaluated and how long it took.

    Raises:
        ValueError: if there is no such model, data set or split, or a number is out of range.
    """
    subject = Subject.open(model, dataset, split, limit, seed)
    begin = time.perf_counter()
    result = importance_weighted_nll(
        subject.model,
        subject.images,
        num_samples,
        chunk_size=chunk_size,
        batch_size=_BATCH_SIZE,
        seed=seed,
        proposal_scale=proposal_scale,
        defensive=defensive,
        resume=subject.partial("nll"),
        verbose=verbose,
    )
    record = {**subject.record(), **result.to_dict(), "seconds": round(time.perf_counter() - begin, 1)}
    arrays = {
        "log_likelihood": result.log_likelihood_per_example,
        "jackknife": result.jackknife_per_example,
        "effective_sample_size": result.ess_per_example,
        "pareto_k": result.pareto_k_per_example,
        "group_sizes": np.array(list(result.bound_per_example)),
        "bounds": np.stack(list(result.bound_per_example.values())),
    }
    subject.keep("nll", record, "per-example", arrays)
    if per_example is not None:
        subject.write_arrays(per_example, arrays)
    return result, record


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
