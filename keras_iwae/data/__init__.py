"""Datasets: a name, a file or an array in; examples or seeded `tf.data` batches out."""

from keras_iwae.data.binarization import BINARIZATIONS, check_binarization
from keras_iwae.data.catalog import BINARY, examples, images, mean_image, names, num_levels
from keras_iwae.data.fingerprints import Fingerprint, digest, fingerprint
from keras_iwae.data.pipeline import before_draws, in_order, load

__all__ = [
    "BINARIZATIONS",
    "BINARY",
    "Fingerprint",
    "before_draws",
    "check_binarization",
    "digest",
    "examples",
    "fingerprint",
    "images",
    "in_order",
    "load",
    "mean_image",
    "names",
    "num_levels",
]
