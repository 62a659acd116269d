"""Pictures for people: grids of images here, and, in files of their own, charts and tables, which need matplotlib."""

from keras_iwae.plots.images import as_pictures, image_grid, save_curves, save_grid, side_by_side

__all__ = ["as_pictures", "image_grid", "save_curves", "save_grid", "side_by_side"]
