"""What a tuning was asked for, kept in its `tuning.json`, so that another in the same folder is refused.

space     as it was given
trials    the settings of each trial, those that all have too
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_iwae.experiments.building import build
from keras_iwae.experiments.config import ExperimentConfig, difference
from keras_iwae.experiments.inputs import Inputs
from keras_iwae.experiments.processes import share_accelerators
from keras_iwae.experiments.search_space import Domain
from keras_iwae.foundation import MARK, remove_leftovers, write_json
from keras_iwae.training import runs

_FILE = "tuning.json"


def configured(
    settings: Mapping[str, Any], drawn: Sequence[dict[str, Any]]
) -> tuple[dict[int, ExperimentConfig], dict[int, str]]:
    """The configurations of the trials, and why others have none."""
    configs, refused = {}, {}
    errors = []
    for number, one in enumerate(drawn):
        try:
            configs[number] = ExperimentConfig.of(**settings, **one)
        except ValueError as error:
            refused[number] = str(error)
            errors.append(error)
    if not configs:
        raise errors[0]
    return configs, refused


def check_built(configs: Mapping[int, ExperimentConfig]) -> None:
    """Refuse a tuning none of whose trials can be built; where some can, the others are failures of their own.

    Raises:
        ValueError: that of the first.
    """
    share_accelerators()
    errors = []
    for config in configs.values():
        try:
            build(config)
            return
        except ValueError as error:
            errors.append(error)
    raise errors[0]


def begin(
    out: Path, space: Mapping[str, Domain], drawn: Sequence[dict[str, Any]], configs: Mapping[int, ExperimentConfig]
) -> None:
    """Make the folder what this tuning needs, or refuse one that is of another."""
    stored = runs.read_json(out / _FILE)
    first = next(iter(configs.values()))
    now = Inputs.now(first)
    asked = {
        "space": {name: {domain.kind: list(domain.values)} for name, domain in space.items()},
        "trials": [configs[n].settings if n in configs else one for n, one in enumerate(drawn)],
    }
    if stored:
        _check_same(out, stored, asked)
        before = Inputs.of(out)
        if (before.data, before.start) != (now.data, now.start):
            name = "start" if before.data == now.data else "dataset"
            raise ValueError(
                f"{MARK}{name}`. Expected what was there when {out} was begun. Received: something else under the same "
                "name; begin a new tuning in another folder"
            )
    else:
        for name in (_FILE, "inputs.json"):
            remove_leftovers(out / name)
        if out.exists() and any(found.name != "inputs.json" for found in out.iterdir()):
            raise ValueError(
                f"{MARK}out`. Expected a new folder, or one of a tuning. Received: {out}, with other files"
            )
        now.keep(out)
    if not stored or len(stored["trials"]) < len(drawn):
        write_json(out / _FILE, asked)


def _check_same(out: Path, stored: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    expected = f"{MARK}out`. Expected a new folder, or the tuning that was begun there"
    if stored["space"] != asked["space"]:
        raise ValueError(f"{expected}. Received: {out}, with another space")
    for before, now in zip(stored["trials"], asked["trials"], strict=False):
        name = difference(before, now)
        if name is not None:
            raise ValueError(f"{expected}. Received: {out}, where {name} is {before[name]!r} and not {now.get(name)!r}")
    if len(stored["trials"]) > len(asked["trials"]):
        raise ValueError(
            f"{MARK}trials`. Expected at least {len(stored['trials'])}, with which {out} was begun. "
            f"Received: {len(asked['trials'])}"
        )
