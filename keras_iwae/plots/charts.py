"""Charts for people: what training, the latents and a sweep over K look like. Each gives a matplotlib figure."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from keras_iwae.foundation import MARK, check_positive, check_several, replacing
from keras_iwae.plots.images import as_pictures, curves_of, image_grid
from keras_iwae.plots.labels import verbatim

_INK, _BLUE, _RED, _GREY = "#222222", "#1f5a99", "#b5452c", "#9a9a9a"
# One for each stochastic layer, told apart in grey too.
_LAYERS = (_BLUE, "#e08b3c", "#5d8a4a", "#8a5da8")
_METRICS = {
    "bound": "Bound, nats",
    "elbo": "ELBO, nats",
    "reconstruction": "Reconstruction, nats",
    "kl": "KL, nats",
    "discrimination": "Discrimination, nats",
    "ess": "Effective samples",
    "beta": "Beta",
    "loss": "Loss, nats",
}
_THUMBNAILS = 150


def save(path: str | os.PathLike, figure: Figure, dpi: int = 130) -> None:
    """Write a figure in the format of the path's suffix, whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=dpi)


def _panels(rows: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    panels = list(np.atleast_1d(figure.subplots(rows, columns)).ravel())
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=_INK, labelsize=9)
    return figure, panels


def drawn_metrics(history: Mapping[str, Sequence[float]]) -> list[str]:
    """The columns of a training history that have a chart of their own in `training_curves`."""
    return [name for name in _METRICS if name in history and (name != "loss" or "bound" not in history)]


def training_curves(history: Mapping[str, Sequence[float]]) -> Figure:
    """The training metrics of this package's models against epochs, with their validation values where there are any.

    Args:
        history: columns of the training history by name, as `fit` gives them in its `history` where it validates after
            every epoch, or never; `epoch` counts from 1, and does so without such a column, `val_NAME` goes with NAME.

    Raises:
        ValueError: if `history` has no metric to draw, or columns of different lengths.
    """
    history, names = curves_of(history, drawn_metrics)
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure, panels = _panels(rows, columns, 3.4 * columns, 2.3 * rows)
    for axes, name in zip(panels, names, strict=False):
        # A run of one epoch is a point.
        marker = "o" if len(history["epoch"]) == 1 else None
        axes.plot(history["epoch"], history[name], color=_BLUE, marker=marker, label="training")
        if f"val_{name}" in history:
            axes.plot(history["epoch"], history[f"val_{name}"], "--", color=_RED, marker=marker, label="validation")
        axes.set_title(_METRICS[name], loc="left", fontsize=10)
        axes.grid(axis="y", alpha=0.25)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    panels[0].legend(frameon=False, fontsize=9)
    for axes in panels[max(0, len(names) - columns) : len(names)]:
        axes.set_xlabel("epoch", fontsize=9)
    return figure


def bounds(values: Mapping[int, float]) -> Figure:
    """Bounds L_k of one set of draws against k, log axis.

    Args:
        values: L_k in nats for each k.
    """
    figure, (axes,) = _panels(1, 1, 5.2, 3.0)
    ks = sorted(check_several("values", values))
    axes.plot(ks, [values[k] for k in ks], "o-", color=_BLUE, markersize=4)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel("k, samples in the bound", fontsize=9)
    axes.set_title("Bound L_k, nats", loc="left", fontsize=10)
    axes.grid(axis="y", alpha=0.25)
    return figure


def active_units(variances: Sequence[np.ndarray], threshold: float) -> Figure:
    """Histogram of log10 of the variance of the posterior mean, a panel for each stochastic layer.

    Args:
        variances: for each layer, the variance of each unit's posterior mean over images, `[D_l]`.
        threshold: the variance above which a unit is active.

    Raises:
        ValueError: if there is no layer, or `threshold` is no number above 0.
    """
    threshold, variances = check_positive("threshold", threshold), check_several("variances", variances)
    figure, panels = _panels(1, len(variances), 4.2 * len(variances) + 1.0, 2.8)
    for i, (axes, layer) in enumerate(zip(panels, variances, strict=True)):
        # Units that do not move at all have no logarithm.
        logs = np.log10(np.maximum(layer, 1e-8))
        edges = np.linspace(min(logs.min(), np.log10(threshold)) - 0.5, max(logs.max(), 0.0) + 0.25, 31)
        axes.hist(logs, bins=edges.tolist(), color=_LAYERS[i % len(_LAYERS)])
        axes.axvline(np.log10(threshold), color=_INK, linestyle=":", linewidth=1.2)
        active = int((np.asarray(layer) > threshold).sum())
        where = f"Layer {i + 1}: " if len(variances) > 1 else ""
        axes.set_title(f"{where}{active} of {len(layer)} units active", loc="left", fontsize=10)
        axes.set_xlabel("log10 variance of the posterior mean over images", fontsize=9)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].set_ylabel("units", fontsize=9)
    panels[0].annotate(
        f"threshold {threshold:g}",
        (np.log10(threshold), 0.97),
        xycoords=("data", "axes fraction"),
        xytext=(-4, 0),
        textcoords="offset points",
        rotation=90,
        va="top",
        ha="right",
        fontsize=8,
    )
    return figure


def units(kls: Sequence[np.ndarray] | None, means: Sequence[np.ndarray], stds: Sequence[np.ndarray]) -> Figure:
    """KL of each unit, the largest first, and each unit's aggregate posterior as mean and standard deviation.

    Args:
        kls: for each stochastic layer the mean KL of its units in nats, `[D_l]`; `None` where there is no KL by unit.
        means: for each layer the mean of its units' aggregate posteriors, `[D_l]`, in prior standard deviations from
            the prior's mean.
        stds: for each layer their standard deviations, in prior standard deviations.
    """
    check_several("means", means)
    figure, panels = _panels(1, 1 if kls is None else 2, 5.0 if kls is None else 9.2, 2.8)
    begin = 0
    for i, (mean, std) in enumerate(zip(means, stds, strict=True)):
        color, label = _LAYERS[i % len(_LAYERS)], f"layer {i + 1}"
        order = np.argsort(-std) if kls is None else np.argsort(-kls[i])
        place = np.arange(begin, begin + len(order))
        if kls is not None:
            panels[0].bar(place, np.asarray(kls[i])[order], color=color, label=label)
        panels[-1].errorbar(place, mean[order], std[order], fmt="o", markersize=2.5, linewidth=1, color=color)
        begin += len(order) + 2
    if kls is not None:
        panels[0].set_title("KL of each unit, nats", loc="left", fontsize=10)
        if len(means) > 1:
            panels[0].legend(frameon=False, fontsize=9)
    for level in (-1.0, 1.0):
        panels[-1].axhline(level, color=_GREY, linestyle=":", linewidth=1)
    panels[-1].set_title("Aggregate posterior, mean ± std; dotted: the prior's ± 1", loc="left", fontsize=10)
    for axes in panels:
        axes.set_xlabel("unit, ordered by its KL" if kls is not None else "unit, ordered by its spread", fontsize=9)
        axes.set_xticks([])
    return figure


def latent_map(points: np.ndarray, images: np.ndarray, labels: tuple[str, str]) -> Figure:
    """Images at the place of their posterior means in a plane, as many as do not cover each other.

    Args:
        points: `[N, 2]`.
        images: grey levels in [0, 1], `[N, ...]`, flat or not.
        labels: what the two axes are.

    Raises:
        ValueError: if there are not as many images as points, or no points.
    """
    if not len(points) or len(points) != len(images):
        raise ValueError(f"{MARK}images`. Expected one for each of {len(points)} points. Received: {len(images)}")
    figure, (axes,) = _panels(1, 1, 6.4, 6.0)
    axes.scatter(points[:, 0], points[:, 1], s=3, color=_GREY, alpha=0.5, linewidths=0)
    pictures, spread = as_pictures(images), np.ptp(points, axis=0) + 1e-12
    placed: list[np.ndarray] = []
    for point, picture in zip(points, pictures, strict=True):
        place = (point - points.min(axis=0)) / spread
        if len(placed) == _THUMBNAILS:
            break
        if all(np.abs(place - other).max() > 0.052 for other in placed):
            placed.append(place)
            # Ink on paper, as the page is.
            shown = 1.0 - picture if picture.ndim == 2 else picture
            box = OffsetImage(shown, zoom=17.0 / max(shown.shape[:2]), cmap="gray", clim=(0.0, 1.0))
            frame = {"edgecolor": _GREY, "linewidth": 0.4, "boxstyle": "square,pad=0.05"}
            axes.add_artist(AnnotationBbox(box, point, bboxprops=frame, pad=0.0))
    axes.set_xlabel(labels[0], fontsize=9)
    axes.set_ylabel(labels[1], fontsize=9)
    return figure


def sweep(rows: Sequence[Mapping], quantity: str = "NLL") -> Figure:
    """Validation bound, test bounds and seconds an epoch against K, log axis, time on an axis of its own.

    Args:
        rows: for each K `k`, `objective`, `validation_bound` and `nll` in nats, `nll_error`, `eval_k` and
            `seconds_per_epoch`.
        quantity: what `nll` is called.
    """
    rows = check_several("rows", rows)
    figure, (axes,) = _panels(1, 1, 6.6, 4.0)
    ks = [row["k"] for row in rows]
    climbed = "$L_K$" if rows[0]["objective"] == "iwae" else f"of {verbatim(rows[0]['objective'])}"
    axes.plot(ks, [row["validation_bound"] for row in rows], "o-", color=_BLUE, label=f"validation bound {climbed}")
    axes.errorbar(
        ks,
        # Null where it was not finite: a gap in the line.
        [np.nan if row["nll"] is None else -row["nll"] for row in rows],
        [row["nll_error"] or 0.0 for row in rows],
        fmt="s-",
        color=_RED,
        capsize=2,
        label=f"test $L_{{{rows[0]['eval_k']}}}$ = -{quantity}",
    )
    axes.set_xscale("log")
    axes.set_xticks(ks, [str(k) for k in ks])
    axes.minorticks_off()
    axes.set_xlabel("K in training")
    # Of these some are no lower bounds.
    axes.set_ylabel("nats" if rows[0]["objective"] in ("jvi", "renyi") else "nats, more is better")
    time = axes.twinx()
    time.spines["top"].set_visible(False)
    time.plot(ks, [row["seconds_per_epoch"] for row in rows], "^:", color=_GREY, label="seconds an epoch")
    time.set_ylabel("seconds an epoch")
    time.set_ylim(bottom=0.0)
    (lines, labels), (more_lines, more_labels) = (panel.get_legend_handles_labels() for panel in (axes, time))
    figure.legend(
        lines + more_lines, labels + more_labels, frameon=False, fontsize=9, loc="outside upper center", ncols=3
    )
    return figure


def sample_grids(images: Mapping[str, np.ndarray], columns: int = 8) -> Figure:
    """Grids of images side by side, each under its title.

    Args:
        images: for each title grey levels in [0, 1], `[N, ...]`.
        columns: images in a row of each grid.
    """
    check_several("images", images)
    figure, panels = _panels(1, len(images), 2.6 * len(images), 2.9)
    for axes, (title, pictures) in zip(panels, images.items(), strict=True):
        axes.imshow(image_grid(pictures, columns), cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
        axes.set_title(verbatim(title), fontsize=10)
        axes.axis("off")
    return figure
