"""Trained models by a name, a folder, a file or an address."""

import os
import shutil
import stat
import tempfile
from pathlib import Path

from keras_iwae.foundation import MARK
from keras_iwae.models import AVB, IWAE
from keras_iwae.training import runs
from keras_iwae.training.hub import fetched, is_address

_PACKAGE = Path(__file__).resolve().parents[2]
# In a clone, and where pip puts them.
_SHELVES = _PACKAGE / "saved_models", _PACKAGE / "keras_iwae_models"


def load(source: str | os.PathLike) -> IWAE | AVB:
    """A trained model: one that comes with the package, one of yours, or one from the Hugging Face Hub.

    Models of `scripts/pack.py`, which those in the box are, have weights and no optimizer: `compile` them to train on.

    Args:
        source: the name of a model in the box (`saved_models/README.md` lists them); a run folder; a `.keras` file; or
            "hf://USER/MODEL" with the package huggingface_hub: a packed folder, or what Keras itself saved there. A
            path that exists comes before a name.

    Returns:
        the model.

    Raises:
        ValueError: if there is no such model, or what is there cannot be read or is another kind of model.

    Example:
        >>> model = keras_iwae.load("digits-iwae-k50")
        >>> model.sample(4, seed=0).mean.shape
        TensorShape([4, 8, 8, 1])

    Source: `keras.saving.load_model` reads the files, in Keras' safe mode.
    """
    if not isinstance(source, (str, os.PathLike)) or not str(source):
        raise ValueError(f"{_expected()}. Received: {source!r}")
    if is_address(source):
        return runs.load_model(source, "source")
    boxed = in_the_box()
    if not Path(source).exists():
        if str(source) in boxed:
            return runs.load_model(boxed[str(source)], "source")
        # Neither a folder's name nor a file's: a name that is not in the box.
        if Path(source).name == str(source) and Path(source).suffix != ".keras":
            raise ValueError(f"{_expected()}. Received: {source!r}, which is none of them")
    return runs.load_model(source, "source")


def run_of(source: str | None) -> str | Path:
    """The run that a script is told: a model by its name or address, a path, or the newest run where nothing is said.

    What a script finds of a model goes into its folder, and where the package lies is not everybody's to write to: of a
    model in the box there is a copy in `saved_models/` first, in a clone the model itself. So there is of a packed one
    on the Hugging Face Hub, as `saved_models/hub-USER--MODEL`; what Keras itself saved there is in no run folder.

    Raises:
        ValueError: if nothing is said and there is no run, or what is at an address cannot be fetched.
    """
    if source is None:
        return runs.newest()
    if is_address(source):
        # The Hub has no names with two hyphens.
        copy = runs.ROOT / source.replace("hf://", "hub-").replace("/", "--")
        if copy.exists():
            return copy
        folder = fetched(source, "model")
        return _copied(folder, copy) if (folder / "model.keras").is_file() else source
    boxed = in_the_box().get(source)
    if Path(source).exists() or boxed is None:
        return source
    copy = runs.ROOT / boxed.name
    return copy if copy.exists() else _copied(boxed, copy)


def _copied(folder: Path, copy: Path) -> Path:
    runs.ROOT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=runs.ROOT) as beside:
        whole = shutil.copytree(folder, Path(beside) / copy.name, copy_function=shutil.copyfile)
        # The folders have the rights of those that they are copies of, which may be nobody's to write to.
        for each in (whole, *(path for path in whole.rglob("*") if path.is_dir())):
            each.chmod(each.stat().st_mode | stat.S_IRWXU)
        try:
            os.replace(whole, copy)
        except OSError:
            # Another process made the same copy meanwhile.
            if not copy.is_dir():
                raise
    return copy


def in_the_box() -> dict[str, Path]:
    """The folders of the models that come with the package, by their names."""
    cards = [card for shelf in _SHELVES for card in sorted(shelf.glob("*/README.md"))]
    return {card.parent.name: card.parent for card in cards if (card.parent / "model.keras").is_file()}


def _expected() -> str:
    names = ", ".join(map(repr, in_the_box())) or "none here"
    return f"{MARK}source`. Expected a run folder, a .keras file, hf://USER/MODEL or a model in the box ({names})"
