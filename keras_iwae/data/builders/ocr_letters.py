"""OCR letters: 52,152 handwritten lower-case letters as binary images of 16x8 (Taskar, Guestrin and Koller 2003).

`letter.data.gz` has one letter a line, separated by tabs: id, letter, next id, word id, position, fold, then the 128
pixels row by row as 0 or 1.
"""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

_FILE = "letter.data.gz"
_SEED = 123
_HEIGHT, _WIDTH = 16, 8
_FIRST_PIXEL = 6
_TRAIN_ROWS, _VALIDATION_ROWS, _TEST_ROWS = 32152, 10000, 10000

_CITATION = """\
@inproceedings{taskar2003max,
  title={Max-Margin {Markov} Networks},
  author={Taskar, Ben and Guestrin, Carlos and Koller, Daphne},
  booktitle={Advances in Neural Information Processing Systems},
  year={2003},
}
"""


class OcrLetters(tfds.core.GeneratorBasedBuilder):
    """OCR letters: 32,152 train, 10,000 validation and 10,000 test images.

    The sizes are those of the papers on density estimation (NADE, DARN). The file does not say which rows they put
    where, so the rows here are permuted with seed 123 and cut in the order train, validation, test: numbers compare
    with theirs up to the choice of rows.
    """

    name = "ocr_letters"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Initial release."}
    # The split is part of the name on disk, so that another split would be another config and not a silent change.
    BUILDER_CONFIGS: ClassVar = [
        tfds.core.BuilderConfig(
            name="permuted_123",
            description="Rows permuted with seed 123, cut into 32,152 train, 10,000 validation and 10,000 test.",
        )
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put letter.data.gz (from ai.stanford.edu/~btaskar/ocr/letter.data.gz) into this folder, as it is."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Handwritten lower-case letters, binary images of 16x8, ink is 255.",
            features=tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(_HEIGHT, _WIDTH, 1))}),
            homepage="http://ai.stanford.edu/~btaskar/ocr/",
            citation=_CITATION,
            # TFDS would otherwise write the rows in the order of a hash.
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        images = _read(Path(dl_manager.manual_dir) / _FILE)
        rows = _TRAIN_ROWS + _VALIDATION_ROWS + _TEST_ROWS
        if len(images) != rows:
            raise ValueError(f"{_FILE} was expected to have {rows} lines. Received: {len(images)}")
        images = images[np.random.RandomState(_SEED).permutation(rows)]
        train, validation, test = np.split(images, [_TRAIN_ROWS, _TRAIN_ROWS + _VALIDATION_ROWS])
        return {
            "train": self._generate_examples(train),
            "validation": self._generate_examples(validation),
            "test": self._generate_examples(test),
        }

    def _generate_examples(self, images: np.ndarray) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        for index, image in enumerate(images):
            yield index, {"image": image}


def _read(path: Path) -> np.ndarray:
    """Return all images `[N, 16, 8, 1]` in the order of the file, uint8."""
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist. {OcrLetters.MANUAL_DOWNLOAD_INSTRUCTIONS}")
    pixels = _HEIGHT * _WIDTH
    rows = []
    with gzip.open(path, "rt", encoding="ascii") as lines:
        for number, line in enumerate(lines, start=1):
            values = line.split()[_FIRST_PIXEL:]
            if len(values) != pixels or not set(values) <= {"0", "1"}:
                raise ValueError(
                    f"{path}, line {number}: expected {_FIRST_PIXEL} fields and {pixels} pixels of 0 or 1. "
                    f"Received: {line[:60]!r}"
                )
            rows.append("".join(values))
    bits = np.frombuffer("".join(rows).encode(), np.uint8) == ord("1")
    return bits.reshape(-1, _HEIGHT, _WIDTH, 1).astype(np.uint8) * 255
