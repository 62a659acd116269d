"""What an experiment is: five sections of settings in one frozen value, which a run folder keeps as `config.json`."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from keras_iwae import data
from keras_iwae.experiments.sections import (
    BINARIZATIONS,
    SECTION_OF,
    SECTIONS,
    DataConfig,
    ModelConfig,
    ObjectiveConfig,
    OptimizerConfig,
    RunConfig,
)
from keras_iwae.foundation import MARK
from keras_iwae.training import runs


@dataclass(frozen=True)
class ExperimentConfig:
    """Everything that decides what a run computes.

    No two sections have a field of the same name, so that a name alone says what is meant: `of`, `replaced` and
    `settings` are flat.

    Attributes:
        data: what is trained on; its `binarization` is never `None` here.
        model: what the model is made of.
        objective: what is climbed, and how.
        optimizer: how steps are taken.
        run: from where to where.

    Example:
        >>> ExperimentConfig(data=DataConfig("digits"), run=RunConfig(epochs=5)).name
        'digits-iwae-k50'
        >>> ExperimentConfig.of(dataset="digits", epochs=5).replaced(num_samples=8).name
        'digits-iwae-k8'
    """

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self):
        for name, kind in SECTIONS.items():
            if not isinstance(getattr(self, name), kind):
                raise ValueError(f"{MARK}{name}`. Expected a {kind.__name__}. Received: {getattr(self, name)!r}")
        wanted = BINARIZATIONS[self.model.likelihood]
        if self.data.dataset in data.BINARY and self.data.binarization not in (None, wanted):
            raise ValueError(
                f"{MARK}binarization`. Expected none for {self.data.dataset!r}, which is black and white already: "
                f"every binarization gives the same. Received: {self.data.binarization!r}"
            )
        if self.objective.early_samples is not None and not self.early_epochs:
            raise ValueError(
                f"{MARK}early_samples`. Expected none for {self.run.epochs} epoch, as it is for the first two thirds "
                f"of them. Received: {self.objective.early_samples}"
            )
        object.__setattr__(self, "data", replace(self.data, binarization=self.data.binarization or wanted))

    @classmethod
    def of(cls, **options) -> "ExperimentConfig":
        """The configuration with these fields, whichever section they belong to.

        Raises:
            ValueError: if no section has such a field, or a value is out of range.
        """
        return cls(**{section: SECTIONS[section](**own) for section, own in _by_section(options).items()})

    def replaced(self, **options) -> "ExperimentConfig":
        """This configuration with other values of some fields, whichever section they belong to.

        What has been settled stays as it is: another likelihood may want `binarization=None` beside it, another network
        `hidden=None` and `activation=None`, another objective `num_samples=None`.

        Raises:
            ValueError: as in `of`.
        """
        sections = _by_section(options).items()
        return replace(self, **{section: replace(getattr(self, section), **own) for section, own in sections})

    @classmethod
    def from_dict(cls, stored: Mapping) -> "ExperimentConfig":
        """The configuration that `asdict` gave.

        Raises:
            ValueError: if there are names that a configuration does not have, or not in that place.
        """
        if not isinstance(stored, Mapping):
            raise ValueError(f"{MARK}stored`. Expected the sections of a configuration. Received: {stored!r}")
        unknown = []
        for section, values in stored.items():
            if section not in SECTIONS or not isinstance(values, Mapping):
                unknown.append(section)
            else:
                unknown += [f"{section}.{name}" for name in values if SECTION_OF.get(name) != section]
        if unknown:
            raise ValueError(f"Expected the fields of a run's config.json. Received: {', '.join(sorted(unknown))}")
        return cls(**{section: SECTIONS[section](**values) for section, values in stored.items()})

    @property
    def settings(self) -> dict[str, Any]:
        """The fields of all sections under their own names."""
        return flattened(asdict(self))

    @property
    def binarization(self) -> str:
        """How images are made of grey levels."""
        return str(self.data.binarization)

    @property
    def name(self) -> str:
        """A name for a run of this configuration, such as `mnist-iwae-k50`."""
        climbed = self.objective
        estimator = "" if climbed.estimator == "auto" else f"-{climbed.estimator}"
        drawn = "" if climbed.backward_samples is None else f"-m{climbed.backward_samples}"
        return f"{Path(self.data.dataset).stem}-{climbed.objective}{estimator}-k{climbed.num_samples}{drawn}"

    @property
    def early_epochs(self) -> int:
        """Epochs with `early_samples`."""
        return 0 if self.objective.early_samples is None else 2 * self.run.epochs // 3

    @property
    def steps_per_pass(self) -> int:
        """Training steps in one pass over the training images; a partial last batch is dropped."""
        return data.num_examples(self.data.dataset, "train") // self.data.batch_size


def check_config(config: Any) -> None:
    """Refuse what is no configuration.

    Raises:
        ValueError: which says how they are made.
    """
    if not isinstance(config, ExperimentConfig):
        raise ValueError(
            f"{MARK}config`. Expected an ExperimentConfig, as ExperimentConfig.of(dataset='digits') is. "
            f"Received: {config!r}"
        )


def _by_section(options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, value in options.items():
        if name not in SECTION_OF:
            raise ValueError(
                f"Invalid value received for `{name}`. Expected one of the fields {', '.join(SECTION_OF)}. "
                f"Received: {name}={value!r}"
            )
        found.setdefault(SECTION_OF[name], {})[name] = value
    return found


def flattened(sections: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The settings of all sections, as `asdict` or JSON gives them, under their own names.

    Raises:
        ValueError: if there is anything else than sections.
    """
    foreign = [name for name, section in sections.items() if not isinstance(section, Mapping)]
    if foreign:
        raise ValueError(f"Expected the sections of a run's config.json. Received: {', '.join(sorted(foreign))}")
    return {name: value for section in sections.values() for name, value in section.items()}


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """The first setting of `before` that is another now, where a list is a tuple; `None` where all are the same."""
    return next((name for name, value in before.items() if _plain(value) != _plain(now.get(name))), None)


def _plain(value: object) -> object:
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def settings_of(run: str | os.PathLike) -> dict[str, Any]:
    """Every setting in the `config.json` of a run folder under its own name, empty where there is none.

    Raises:
        ValueError: if the file is damaged.
    """
    path = Path(run) / "config.json"
    found = flattened(runs.read_json(path))
    if not isinstance(dataset := found.get("dataset", ""), str):
        raise ValueError(f"Expected a name or a file as `dataset` in {path}. Received: {dataset!r}")
    return found
