"""Datasets: a name, a file or an array in; grey levels or seeded `tf.data` batches out."""

from keras_iwae.data.catalog import images, mean_image, names
from keras_iwae.data.pipeline import load

__all__ = ["images", "load", "mean_image", "names"]
