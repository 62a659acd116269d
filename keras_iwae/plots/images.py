"""Pictures for people: grids of images, reconstructions beside originals, training curves."""

import math
import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from keras_iwae.foundation import MARK, check_ending, check_integer, replacing
from keras_iwae.plots.labels import verbatim

_ZOOM = 4
# Of grey levels beyond 0 and 1 that rounding leaves, in float16 too.
_ROUNDING = 1e-3


def as_pictures(images: np.ndarray) -> np.ndarray:
    """Images `[N, ...]` as `[N, H, W]` (grey) or `[N, H, W, 3]`; a flat image becomes the squarest rectangle.

    Args:
        images: grey levels or colours in [0, 1], `[N, D]` or `[N, H, W, C]` with C of 1 or 3.

    Raises:
        ValueError: if they have another shape, no pixels, or other levels, as bytes up to 255.
    """
    images = np.asarray(images)
    if 0 in images.shape[1:]:
        raise ValueError(f"{MARK}images`. Expected at least one pixel. Received: {images.shape}")
    _check_levels(images)
    if images.ndim == 2:
        size = images.shape[1]
        height = next(h for h in range(math.isqrt(size), 0, -1) if size % h == 0)
        return images.reshape(len(images), height, size // height)
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(f"{MARK}images`. Expected [N, D], or [N, H, W, C] with C of 1 or 3. Received: {images.shape}")
    return images if images.shape[-1] == 3 else images[..., 0]


def _check_levels(images: np.ndarray) -> None:
    expected = f"{MARK}images`. Expected grey levels or colours in [0, 1], as bytes divided by 255"
    if images.dtype.kind not in "biuf":
        raise ValueError(f"{expected}. Received: {images.dtype}")
    # Of NaN neither is true.
    if images.size and not (images.min() >= -_ROUNDING and images.max() <= 1.0 + _ROUNDING):
        raise ValueError(f"{expected}. Received: {images.dtype} from {images.min():g} to {images.max():g}")


def image_grid(images: np.ndarray, columns: int) -> np.ndarray:
    """Tile images `[N, ...]` into one picture, row by row, a dark line between them.

    Args:
        images: grey levels in [0, 1], `[N, D]` or `[N, H, W, C]` with C of 1 or 3.
        columns: images in a row, no more than there are; the last row is filled up with black.

    Returns:
        `[rows * (H + 1) - 1, columns * (W + 1) - 1]`, and a last axis of 3 for colours.

    Raises:
        ValueError: if there are no images, or of another shape or other levels, or `columns` is no integer of at
            least 1.
    """
    columns, pictures = check_integer("columns", columns), as_pictures(images)
    if not len(pictures):
        raise ValueError(f"{MARK}images`. Expected at least one. Received: none")
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    missing = rows * columns - len(pictures)
    padding = [(0, missing), (0, 1), (0, 1)] + [(0, 0)] * (pictures.ndim - 3)
    cells = np.pad(pictures, padding).reshape(
        rows, columns, pictures.shape[1] + 1, pictures.shape[2] + 1, *pictures.shape[3:]
    )
    grid = np.concatenate(np.concatenate(list(cells), axis=1), axis=1)
    return np.clip(grid[:-1, :-1], 0.0, 1.0)


def save_grid(path: str | os.PathLike, images: np.ndarray, columns: int = 10) -> None:
    """Write `image_grid(images, columns)` as a PNG, four screen pixels to a pixel."""
    from matplotlib.image import imsave

    path = check_ending("path", path, ".png")
    grid = image_grid(images, columns).repeat(_ZOOM, axis=0).repeat(_ZOOM, axis=1)
    with replacing(path) as temporary:
        imsave(temporary, grid, cmap="gray", vmin=0.0, vmax=1.0, format="png")


def side_by_side(originals: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Each original followed by its reconstruction, `[2N, ...]`: in a grid of 2m columns, m pairs a row.

    Raises:
        ValueError: if they are not as many, of one shape.
    """
    if np.shape(originals) != np.shape(reconstructions):
        expected = f"{MARK}reconstructions`. Expected as many as originals, of their shape"
        raise ValueError(f"{expected}, {np.shape(originals)}. Received: {np.shape(reconstructions)}")
    return np.stack([originals, reconstructions], axis=1).reshape(-1, *np.shape(originals)[1:])


def curves_of(
    history: Mapping[str, Sequence[float]], select: Callable[[Mapping], list[str]]
) -> tuple[dict[str, Sequence[float]], list[str]]:
    """The columns of a history, with epochs counted from 1 where it has none, and the names that `select` draws of it.

    Raises:
        ValueError: if it has none to draw, or columns are of different lengths, or empty.
    """
    columns = {name: history[name] for name in history} if hasattr(history, "keys") else {}
    lengths, names = {name: np.size(column) for name, column in columns.items()}, select(columns)
    if not names or len(set(lengths.values())) != 1 or 0 in lengths.values():
        received = f"columns of lengths {lengths}" if lengths else repr(history)
        raise ValueError(
            f"{MARK}history`. Expected columns by name, of a number for each epoch, a metric among them, as `fit` has "
            f"them in its `history` where it validates after every epoch. Received: {received}"
        )
    return {"epoch": range(1, lengths[names[0]] + 1), **columns}, names


def _metrics(columns: Mapping[str, Sequence[float]]) -> list[str]:
    left_out = {"epoch", "seconds"} | ({"loss"} if "bound" in columns else set())
    return [name for name in columns if name not in left_out and not name.startswith("val_")]


def save_curves(path: str | os.PathLike, history: Mapping[str, Sequence[float]]) -> None:
    """Draw every training metric against epochs, with its validation value where `history` has one, as a PNG.

    The loss is drawn where there is no bound alone.

    Args:
        path: the file to write.
        history: columns of the training history by name, as `fit` gives them in its `history` where it validates after
            every epoch, or never; `epoch` counts from 1, and does so without such a column, `val_NAME` goes with NAME.

    Raises:
        ValueError: if `path` is no name of a PNG file, or `history` has no metric to draw, or columns of different
            lengths.
    """
    from matplotlib.figure import Figure

    path = check_ending("path", path, ".png")
    history, names = curves_of(history, _metrics)
    titles = {
        "bound": "bound (nats)",
        "elbo": "ELBO (nats)",
        "reconstruction": "reconstruction (nats)",
        "kl": "KL (nats)",
    }
    titles["ess"] = "effective sample size (samples)"
    figure = Figure(figsize=(4 * len(names), 3.2), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True):
        axes.plot(history["epoch"], history[name], label="training")
        if f"val_{name}" in history:
            axes.plot(history["epoch"], history[f"val_{name}"], label="validation")
        axes.set(title=titles.get(name, verbatim(name)), xlabel="epoch")
        axes.grid(alpha=0.3)
        axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)
