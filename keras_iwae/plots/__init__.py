"""Pictures for people: grids of images, and charts of training, latents, bounds and sweeps."""

from keras_iwae.plots import charts
from keras_iwae.plots.images import as_pictures, image_grid, save_curves, save_grid, side_by_side

__all__ = ["as_pictures", "charts", "image_grid", "save_curves", "save_grid", "side_by_side"]
