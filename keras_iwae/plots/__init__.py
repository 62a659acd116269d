"""Pictures for people: grids of images here, and, in files of their own, charts and tables, which need matplotlib."""

from importlib import import_module
from typing import TYPE_CHECKING

from keras_iwae.plots.images import as_pictures, image_grid, save_curves, save_grid, side_by_side

if TYPE_CHECKING:
    from keras_iwae.plots import charts, trial_charts

__all__ = ["as_pictures", "charts", "image_grid", "save_curves", "save_grid", "side_by_side", "trial_charts"]


def __getattr__(name: str):
    # Grids of images do without matplotlib, which is long in importing.
    if name in ("charts", "trial_charts"):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
