"""Files of weights: those of a model that is made as the one that reads them, or refused."""

import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras

from keras_iwae.foundation import MARK

# What is compiled is not the model, and is left out where it has no state yet.
_COMPILED = "optimizer", "compile_metrics"


def check_weights_file(model: keras.Model, filepath: Any) -> None:
    """Refuse the weights of another model: Keras loads what it finds a place for, and says nothing of the rest.

    Args:
        model: what they are for.
        filepath: a file that ends in .weights.h5 or .keras; of others Keras says what it expects.

    Raises:
        ValueError: which names the first array of one that the other does not have, or has in another shape.
    """
    path = Path(str(filepath))
    if not path.is_file() or not path.name.endswith((".weights.h5", ".keras")):
        return
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "own.weights.h5"
        keras.Model.save_weights(model, own)
        expected = _shapes(own)
    try:
        found = _shapes(path)
    except (OSError, KeyError, zipfile.BadZipFile):
        # Not whole: Keras says so.
        return
    for name in sorted(expected.keys() | found.keys()):
        here, there = expected.get(name), found.get(name)
        if here != there:
            raise ValueError(
                f"{MARK}filepath`. Expected weights of a model that is made as this one. Received: {path}, where "
                f"{name} {_said(there)} and {_said(here)} here; skip_mismatch=True loads what goes together"
            )


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each array by its name in the file."""
    file: Path | io.BytesIO = path
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            file = io.BytesIO(archive.read("model.weights.h5"))
    found: dict[str, tuple[int, ...]] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and not any(part in name for part in _COMPILED):
            found[name] = item.shape

    with h5py.File(file, "r") as stored:
        stored.visititems(visit)
    return found


def _said(shape: tuple[int, ...] | None) -> str:
    return "is not" if shape is None else f"is {list(shape)}"
