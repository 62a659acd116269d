"""Datasets: a name, a file, a folder or an array in; examples or seeded `tf.data` batches out."""

from keras_iwae.data.binarization import BINARIZATIONS, check_binarization
from keras_iwae.data.catalog import BINARY, examples, images, names
from keras_iwae.data.conversion import convert
from keras_iwae.data.digests import digest, digest_of_batches
from keras_iwae.data.fingerprints import Fingerprint, fingerprint
from keras_iwae.data.pipeline import in_order, load
from keras_iwae.data.units import (
    before_draws,
    brightest_byte,
    has_missing,
    mean_image,
    num_examples,
    num_levels,
)

__all__ = [
    "BINARIZATIONS",
    "BINARY",
    "Fingerprint",
    "before_draws",
    "brightest_byte",
    "check_binarization",
    "convert",
    "digest",
    "digest_of_batches",
    "examples",
    "fingerprint",
    "has_missing",
    "images",
    "in_order",
    "load",
    "mean_image",
    "names",
    "num_examples",
    "num_levels",
]
