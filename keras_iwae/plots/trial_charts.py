"""Charts of the trials of a tuning: how far each came, and what each setting had to do with it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_iwae.plots.labels import verbatim

_INK, _BLUE, _RED, _GREY = "#222222", "#1f5a99", "#b5452c", "#9a9a9a"
_COLUMNS = 3
# Of the values of a choice that is written below an axis.
_LETTERS = 14
# How far below the best the axis of bounds goes, in distances of the median from it.
_DEPTH = 1.5


def trials_chart(
    curves: Mapping[int, Sequence[float]], settings: Mapping[str, Mapping[int, Any]], trained: Sequence[int], best: int
) -> Figure:
    """Validation bounds of trials against epochs, and after the last of them against each setting.

    What is far below the rest is drawn as an arrow at the lower edge.

    Args:
        curves: of each trial the bound in nats after each epoch, at least one.
        settings: for each setting its value in each trial, numbers or texts.
        trained: the trials that came to their last epoch.
        best: one of these trials.
    """
    rows = 1 + -(-len(settings) // _COLUMNS)
    figure = Figure(figsize=(3.4 * _COLUMNS, 3.2 + 2.5 * (rows - 1)), layout="constrained")
    grid = figure.add_gridspec(rows, _COLUMNS, height_ratios=[1.35] + [1.0] * (rows - 1))
    span = _span([values[-1] for values in curves.values()])
    axes = _axes(figure, grid[0, :], span)
    order = sorted(curves, key=lambda number: (number == best, number in trained))
    for number in order:
        values = np.asarray(curves[number])
        color, width = _style(number, trained, best)
        epochs = np.arange(1, len(values) + 1)
        axes.plot(epochs, values, color=color, linewidth=width, marker="o", markersize=2.5 if len(values) > 1 else 4)
        if values[-1] < span[0]:
            axes.plot(epochs[-1], span[0], "v", color=color, markersize=5, clip_on=False)
    axes.set_title("Validation bound of each trial, nats", loc="left", fontsize=10)
    axes.set_xlabel("epoch", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(left=0.5)
    styles = {f"trial {best}, the best": _RED, "to the last epoch": _BLUE, "stopped, or failed": _GREY}
    lines = [axes.plot([], [], color=color, label=label)[0] for label, color in styles.items()]
    figure.legend(handles=lines, frameon=False, fontsize=9, loc="outside upper right", ncols=3)
    for place, (name, values_of) in enumerate(settings.items()):
        panel = _axes(figure, grid[1 + place // _COLUMNS, place % _COLUMNS], span)
        _against(panel, name, {n: values_of[n] for n in order}, curves, trained, best, span[0])
        if place % _COLUMNS == 0:
            panel.set_ylabel("last bound, nats", fontsize=9)
    return figure


def _against(
    axes: Axes,
    name: str,
    values: Mapping[int, Any],
    curves: Mapping[int, Sequence[float]],
    trained: Sequence[int],
    best: int,
    lowest: float,
) -> None:
    """The last bound of each trial against one setting."""
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values.values())
    if numbers:
        places = {trial: float(value) for trial, value in values.items()}
        found = list(places.values())
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=all(isinstance(value, int) for value in values.values())))
        if min(found) > 0.0 and max(found) > 20.0 * min(found):
            axes.set_xscale("log")
    else:
        # By the numbers in them, as sizes of layers have.
        levels = sorted({str(value) for value in values.values()}, key=lambda text: (_numbers(text), text))
        places = {trial: float(levels.index(str(value))) for trial, value in values.items()}
        axes.set_xticks(
            range(len(levels)), [verbatim(level, _LETTERS) for level in levels], rotation=20 if len(levels) > 2 else 0
        )
        axes.set_xlim(-0.5, len(levels) - 0.5)
    for trial, place in places.items():
        bound = curves[trial][-1]
        color, _ = _style(trial, trained, best)
        marker = "o" if bound >= lowest else "v"
        axes.plot(place, max(bound, lowest), marker, color=color, markersize=5, clip_on=False)
    axes.set_title(verbatim(name), loc="left", fontsize=10)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def _axes(figure: Figure, place: Any, span: tuple[float, float]) -> Axes:
    axes = figure.add_subplot(place)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK, labelsize=8)
    axes.grid(axis="y", alpha=0.25)
    axes.set_ylim(span)
    return axes


def _style(trial: int, trained: Sequence[int], best: int) -> tuple[str, float]:
    if trial == best:
        return _RED, 1.8
    return (_BLUE, 1.2) if trial in trained else (_GREY, 0.9)


def _span(last: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis of bounds: trials that went nowhere would leave no room for the others."""
    best, middle, worst = max(last), float(np.median(last)), min(last)
    depth = max(min(_DEPTH * (best - middle), 1.05 * (best - worst)), 1e-3 * abs(best), 1e-6)
    return best - depth, best + 0.08 * depth
