"""What a run began with, kept in its `inputs.json`, so that what changes behind a name later is noticed.

settings    those of config.json, but for the number of epochs, which may be raised, and names of what is below
data        of each split how many examples there were, and their digest
start       the digest of the model whose weights training started from
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_iwae import data
from keras_iwae.experiments.config import ExperimentConfig, difference, settings_of
from keras_iwae.experiments.named_data import as_dataset, check_there
from keras_iwae.foundation import MARK, write_json
from keras_iwae.training import runs

SPLITS = ("train", "validation", "test")
_FILE = "inputs.json"
_FREE = "epochs", "dataset", "start"


class Inputs(NamedTuple):
    """What a run began with; empty where nothing says so, as beside a model that was saved by hand."""

    settings: dict[str, Any]
    data: dict[str, data.Fingerprint]
    start: str | None

    @classmethod
    @as_dataset()
    def now(cls, config: ExperimentConfig) -> "Inputs":
        """What a run of this configuration would begin with.

        Raises:
            ValueError: if a split of the data set cannot be read.
        """
        found = {split: _fingerprint(config.settings, split) for split in SPLITS}
        start = None if config.run.start is None else runs.digest(config.run.start)
        return cls({name: value for name, value in config.settings.items() if name not in _FREE}, found, start)

    @classmethod
    def of(cls, run: str | os.PathLike) -> "Inputs":
        """What a run says that it began with.

        Raises:
            ValueError: if its `inputs.json` is damaged.
        """
        file = Path(run) / _FILE
        stored = runs.read_json(file)
        try:
            found = {split: data.Fingerprint(**one) for split, one in stored.get("data", {}).items()}
            return cls(dict(stored.get("settings", {})), found, stored.get("start"))
        except (TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"Expected what a run began with in {file}. Received: something else ({error})") from error

    def files(self) -> dict[str, dict]:
        """The file of a run folder that says it, by its name."""
        found = {split: one._asdict() for split, one in self.data.items()}
        return {_FILE: {"settings": self.settings, "data": found, "start": self.start}}

    def keep(self, run: Path) -> None:
        """Write it into a run folder."""
        for name, value in self.files().items():
            write_json(run / name, value)


def check_wanted(run: Path, config: ExperimentConfig, free: Sequence[str] = ()) -> None:
    """Refuse to go on with a run of other settings than are asked for; where there is no run, nothing is refused.

    Args:
        run: the run folder.
        config: what is asked for.
        free: settings that may differ.

    Raises:
        ValueError: which names the setting, or if the weights to start from are others by now.
    """
    stored, wanted = settings_of(run), config.settings
    name = difference({name: wanted[name] for name in wanted if name not in free}, stored) if stored else None
    if name is not None:
        raise ValueError(
            f"{MARK}out`. Expected a new folder, or runs with these settings. Received: {run}, where {name} is "
            f"{stored.get(name)!r} and not {wanted[name]!r}"
        )
    check_start(run, config)


def check_settings(run: Path, config: ExperimentConfig) -> None:
    """Refuse a `config.json` that was changed by hand: the model is made of what it was.

    Raises:
        ValueError: which names the setting.
    """
    before = Inputs.of(run).settings
    name = difference(before, config.settings)
    if name is not None:
        raise ValueError(
            f"{MARK}{name}`. Expected {before[name]!r} in {run / 'config.json'}, as the run began: its model and its "
            f"optimizer are made so already. Received: {config.settings.get(name)!r}"
        )


def check_start(run: Path, config: ExperimentConfig) -> None:
    """Refuse other weights to start from than those that were there when the run was made.

    Raises:
        ValueError: if there are none, or they were trained further.
    """
    before = Inputs.of(run).start
    if before is not None and config.run.start is not None and runs.digest(config.run.start) != before:
        raise ValueError(
            f"{MARK}start`. Expected the model in {config.run.start} as it was when {run} was made. Received: another "
            "or none, as after more training; train a new run"
        )


@as_dataset()
def check_data(run: str | os.PathLike, splits: Sequence[str], remedy: str) -> None:
    """Refuse examples that are not those which were under the data set's name when the run was made.

    Args:
        run: the run folder; of one that does not say, nothing is refused.
        splits: which of "train", "validation" and "test" matter.
        remedy: what to do instead, for the error.

    Raises:
        ValueError: if there are others, or they cannot be read.
    """
    stored, settings = Inputs.of(run).data, settings_of(run)
    if lacking := [name for name in ("dataset", "binarization", "levels") if name not in settings and stored]:
        raise ValueError(
            f"Expected `{lacking[0]}` in {Path(run) / 'config.json'}, as the run began with. Received: none"
        )
    if "dataset" in settings:
        check_there(run, settings["dataset"])
    for split in splits:
        if split not in stored:
            continue
        before, now = stored[split], _fingerprint(settings, split)
        if now != before:
            raise ValueError(
                f"{MARK}dataset`. Expected in {settings['dataset']} the {before.num_examples:,} {split} examples that "
                f"were there when {run} was made. Received: {now.num_examples:,}, and not the same ones; {remedy}"
            )


def _fingerprint(settings: dict, split: str) -> data.Fingerprint:
    return data.fingerprint(settings["dataset"], split, settings["binarization"], settings["levels"])
