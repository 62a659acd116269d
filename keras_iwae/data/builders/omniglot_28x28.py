"""Omniglot at 28x28 from `chardata.mat`, the file and the split of the IWAE paper.

`data` is `[784, 24345]` and `testdata` `[784, 8070]`, one image a column with grey levels in [0, 1] and ink near 1. A
column holds its image transposed, so it is read as `column.reshape(28, 28).T`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

_FILE = "chardata.mat"
_SEED = 123
_VALIDATION_ROWS = 1345

_CITATION = """\
@inproceedings{burda2016importance,
  title={Importance Weighted Autoencoders},
  author={Burda, Yuri and Grosse, Roger and Salakhutdinov, Ruslan},
  booktitle={International Conference on Learning Representations},
  year={2016},
  eprint={1509.00519},
}
"""


class Omniglot28x28(tfds.core.GeneratorBasedBuilder):
    """The 28x28 Omniglot of Burda et al. (2016): 23,000 train, 1,345 validation and 8,070 test images.

    The training rows are permuted with seed 123 and the last 1,345 are held out, as in the authors' code. A
    `chardata.mat` can come from elsewhere than the authors, made by another resize or split, and likelihoods depend on
    it: state which file was used beside every number.
    """

    name = "omniglot_28x28"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Initial release."}
    # The split is part of the name on disk, so that another split would be another config and not a silent change.
    BUILDER_CONFIGS: ClassVar = [
        tfds.core.BuilderConfig(
            name="permuted_123", description="Training rows permuted with seed 123; the last 1,345 are validation."
        )
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put chardata.mat (28x28 Omniglot, from the IWAE authors' repository, github.com/yburda/iwae) into this folder."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Handwritten characters of 50 alphabets at 28x28, grey levels, ink is 255.",
            features=tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(28, 28, 1))}),
            homepage="https://github.com/yburda/iwae",
            citation=_CITATION,
            # TFDS would otherwise write the rows in the order of a hash.
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        train, test = _read(Path(dl_manager.manual_dir) / _FILE)
        train = train[np.random.RandomState(_SEED).permutation(len(train))]
        return {
            "train": self._generate_examples(train[:-_VALIDATION_ROWS]),
            "validation": self._generate_examples(train[-_VALIDATION_ROWS:]),
            "test": self._generate_examples(test),
        }

    def _generate_examples(self, images: np.ndarray) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        for index, image in enumerate(images):
            yield index, {"image": image}


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the train and test images `[N, 28, 28, 1]`, upright, uint8."""
    import scipy.io

    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist. {Omniglot28x28.MANUAL_DOWNLOAD_INSTRUCTIONS}")
    try:
        arrays = scipy.io.loadmat(path, variable_names=("data", "testdata"))
        train, test = arrays["data"], arrays["testdata"]
    except (ValueError, TypeError, KeyError, OSError, NotImplementedError, scipy.io.matlab.MatReadError) as error:
        raise ValueError(f"{path} should be a MATLAB file with arrays `data` and `testdata`: {error}") from error
    for key, columns in (("data", train), ("testdata", test)):
        if columns.ndim != 2 or len(columns) != 784 or columns.min() < 0 or columns.max() > 1:
            raise ValueError(
                f"{path} was expected to hold `{key}` of shape [784, N] with values in [0, 1]. Received: shape "
                f"{list(columns.shape)}, values in [{columns.min():g}, {columns.max():g}]"
            )
    if train.shape[1] <= _VALIDATION_ROWS:
        raise ValueError(f"{path} was expected to hold more than {_VALIDATION_ROWS} images. Received: {train.shape[1]}")
    return _upright(train), _upright(test)


def _upright(columns: np.ndarray) -> np.ndarray:
    # Grey levels were 8-bit before they were divided by 255, so rounding gives them back exactly.
    levels = np.round(columns.T * 255.0).astype(np.uint8)
    return levels.reshape(-1, 28, 28, 1).transpose(0, 2, 1, 3)
