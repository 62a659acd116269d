"""Pictures for people: grids of images, and charts of training, latents, bounds, sweeps and tunings."""

from keras_iwae.plots import charts
from keras_iwae.plots.images import as_pictures, image_grid, save_curves, save_grid, side_by_side
from keras_iwae.plots.trials import trials_chart

__all__ = ["as_pictures", "charts", "image_grid", "save_curves", "save_grid", "side_by_side", "trials_chart"]
