"""What a trained run draws: a grid of samples, and the map of a latent plane."""

import os
from pathlib import Path

import numpy as np
import tensorflow_probability as tfp

from keras_iwae import plots
from keras_iwae.experiments.evaluation_target import path_of
from keras_iwae.foundation import Purpose, check_boolean, check_ending, check_integer, check_seed, key_for
from keras_iwae.models import IWAE
from keras_iwae.priors import Prior, StandardNormalPrior
from keras_iwae.training import runs

_PLANE = 20
# Draws of a prior, by which its units are cut into parts.
_DRAWS = 20_000


def draw_samples(
    model: str | os.PathLike | None = None,
    num_samples: int = 100,
    columns: int = 10,
    seed: int = 0,
    drawn: bool = False,
    out: str | os.PathLike | None = None,
) -> list[Path]:
    """Write a grid of images drawn from the prior; with two latent units in one layer, also the map of their plane.

    Args:
        model: run folder or `.keras` file; `None` is the newest run.
        num_samples: images to draw.
        columns: images in a row.
        seed: the same seed gives the same images.
        drawn: whether to draw pixels, rather than show their means.
        out: PNG file; `None` is `figures/samples-seedN.png` in the run folder, or `-drawn.png`.

    Returns:
        the files written.

    Raises:
        ValueError: if there is no such model, a count is below 1, `drawn` is no boolean, or `out` is no name of a PNG
            file.
    """
    check_boolean("drawn", drawn)
    columns, seed = check_integer("columns", columns), check_seed("seed", seed)
    if out is not None:
        check_ending("out", out, ".png")
    path = path_of(model)
    trained = runs.load_model(path)
    samples = trained.sample(num_samples, seed)
    grid = Path(out or runs.folder(path) / "figures" / f"samples-seed{seed}{'-drawn' * drawn}.png")
    to_grey = trained.generative.likelihood.to_grey
    plots.save_grid(grid, to_grey(samples.events if drawn else samples.mean), columns)
    # Of two layers of one unit each, one alone is decoded.
    if trained.latent_dim != 2 or trained.generative.prior.decoded_dim != 2:
        return [grid]
    plane = grid.with_name(f"{grid.stem}-plane.png")
    plots.save_grid(plane, to_grey(latent_plane(trained)), _PLANE)
    return [grid, plane]


def latent_plane(model: IWAE) -> np.ndarray:
    """E[x|z] over the plane of two latent units, `[400, *event_shape]`, even in the prior probability of each."""
    across, up = _ticks(model.generative.prior)
    vertical, horizontal = np.meshgrid(up[::-1], across, indexing="ij")
    latents = np.stack([horizontal.ravel(), vertical.ravel()], axis=-1)
    return model.generative.mean(latents).numpy()


def _ticks(prior: Prior) -> np.ndarray:
    """Of each of two latent units the middles of twenty parts of equal probability, float32 `[2, 20]`."""
    levels = (np.arange(_PLANE, dtype=np.float32) + 0.5) / _PLANE
    if type(prior) is StandardNormalPrior:
        return np.tile(tfp.distributions.Normal(0.0, 1.0).quantile(levels).numpy(), (2, 1))
    # Of what is learned no quantile has a closed form.
    draws = prior.sample(_DRAWS, key_for(Purpose.LATENT_PLANE, 0)).numpy()
    return np.quantile(draws, levels, axis=0, method="inverted_cdf").T
