"""Charts of tables with gaps: what was missing, and what was put in beside what was there."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from keras_iwae.foundation import percent_text
from keras_iwae.plots.labels import verbatim

_INK, _BLUE, _RED, _PALE = "#222222", "#1f5a99", "#b5452c", "#e9e9e4"
# Levels of a column that have a bar of their own, and letters of a name.
_BARS, _LETTERS = 10, 18
# Pixels between two labels that are read as two.
_APART = 5


def missing_patterns(
    names: Sequence[str], patterns: np.ndarray, counts: Sequence[int], shares: Sequence[float]
) -> Figure:
    """Which cells are missing together: a line for each pattern, and a bar for how many rows have it.

    Args:
        names: of the columns, D.
        patterns: bool `[P, D]`, True where a cell is missing, the most frequent first.
        counts: rows that have each.
        shares: of the cells of each column, those that are missing.
    """
    width = min(11.0, 2.8 + 0.34 * len(names))
    figure = Figure(figsize=(width + 2.2, 1.7 + 0.27 * len(patterns)), layout="constrained")
    cells, bars = figure.subplots(1, 2, width_ratios=[width - 1.0, 2.2])
    for line, pattern in enumerate(patterns):
        for column, missing in enumerate(pattern):
            cells.add_patch(
                _rectangle(column, line, _INK if missing else _PALE),
            )
    cells.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(patterns) - 0.5, -0.5), yticks=[])
    cells.set_xticks(
        range(len(names)),
        [f"{verbatim(name, _LETTERS)}\n{percent_text(share)}" for name, share in zip(names, shares, strict=True)],
    )
    cells.tick_params(axis="x", labelsize=8, length=0)
    cells.spines[:].set_visible(False)
    bars.barh(range(len(patterns)), counts, color=_BLUE, height=0.7)
    for line, count in enumerate(counts):
        bars.annotate(f" {count:,}", (count, line), va="center", fontsize=8)
    bars.set(ylim=(len(patterns) - 0.5, -0.5), yticks=[], xticks=[], xlim=(0, 1.35 * max(counts)))
    bars.set_title("rows", loc="left", fontsize=9)
    bars.spines[:].set_visible(False)
    figure.draw_without_rendering()
    if _touch(cells.get_xticklabels()):
        cells.tick_params(axis="x", rotation=90)
    return figure


def _touch(labels: Sequence[Text]) -> bool:
    """Whether one of the labels below an axis reaches into the next."""
    places = [label.get_window_extent() for label in labels]
    return any(one.x1 + _APART > other.x0 for one, other in pairwise(places))


def _rectangle(column: int, line: int, color: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.46, line - 0.42), 0.92, 0.84, color=color, linewidth=0)


def distributions(observed: Mapping[str, np.ndarray], imputed: Mapping[str, np.ndarray]) -> Figure:
    """What was there and what was put in, a panel for each column: histograms of numbers, bars of levels.

    Args:
        observed: for each column its values, numbers or levels, `[n]`.
        imputed: for the same columns what was put in, `[m]`.
    """
    columns = min(3, len(observed))
    rows = -(-len(observed) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.3 * rows), layout="constrained")
    panels = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes, name in zip(panels, observed, strict=False):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=_INK, labelsize=8)
        axes.set_title(verbatim(name, 34), loc="left", fontsize=10)
        one, other = observed[name], imputed[name]
        if np.asarray(one).dtype.kind in "fiu":
            _histograms(axes, np.asarray(one, float), np.asarray(other, float))
        else:
            _bars(axes, np.asarray(one, str), np.asarray(other, str))
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    for axes in panels[len(observed) :]:
        axes.set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=9, loc="outside upper left", ncols=2)
    return figure


def _histograms(axes: Any, observed: np.ndarray, imputed: np.ndarray) -> None:
    both = np.concatenate([observed, imputed])
    # A few far out would leave one bar for all others.
    low, high = np.quantile(both, [0.005, 0.995])
    whole = bool((both == np.round(both)).all()) and high - low <= 40
    edges = np.arange(np.floor(low) - 0.5, np.ceil(high) + 1.0) if whole else np.linspace(low, high, 31)
    if len(edges) < 2 or edges[0] == edges[-1]:
        edges = np.linspace(low - 0.5, low + 0.5, 4)
    edges = edges.tolist()
    axes.hist(np.clip(observed, edges[0], edges[-1]), edges, density=True, color=_BLUE, alpha=0.35, label="observed")
    axes.hist(
        np.clip(imputed, edges[0], edges[-1]),
        edges,
        density=True,
        histtype="step",
        color=_RED,
        linewidth=1.6,
        label="put in",
    )
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=whole))


def _bars(axes: Any, observed: np.ndarray, imputed: np.ndarray) -> None:
    names, counts = np.unique(observed, return_counts=True)
    names = names[np.argsort(-counts, kind="stable")][:_BARS]
    places = np.arange(len(names))
    for values, offset, color, label in ((observed, -0.2, _BLUE, "observed"), (imputed, 0.2, _RED, "put in")):
        shares = [(values == name).mean() for name in names]
        axes.bar(places + offset, shares, 0.38, color=color, alpha=0.45 if color == _BLUE else 0.9, label=label)
    axes.set_xticks(places, [verbatim(name, 12) for name in names], rotation=0 if len(names) < 5 else 60, fontsize=8)


def bound_trace(history: Sequence[Mapping[str, float]]) -> Figure:
    """The bound by steps of training.

    Args:
        history: `step`, and `bound` in nats or `weighted_bound`, of columns that were weighed.
    """
    name = "weighted_bound" if "weighted_bound" in history[0] else "bound"
    figure = Figure(figsize=(6.4, 2.8), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK, labelsize=9)
    marker = "o" if len(history) == 1 else None
    axes.plot([row["step"] for row in history], [row[name] for row in history], color=_BLUE, marker=marker)
    axes.set_xlabel("step", fontsize=9)
    axes.set_title("Bound, nats" if name == "bound" else "Bound of weighted columns", loc="left", fontsize=10)
    axes.grid(axis="y", alpha=0.25)
    return figure
