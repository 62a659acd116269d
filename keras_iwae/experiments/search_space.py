"""A search space: the settings that vary among trials, what each may be, and the settings of every trial drawn of it.

{"learning_rate": {"log_uniform": [1e-4, 1e-2]}, "latent_dim": {"choice": [10, 20, [50, 20]]}, ...}

Trials are compared by their validation bounds. So what may vary changes the model, or how it is trained, and not what
the bound is of: the same data, the same objective with the same K, and a likelihood of the same numbers.
"""

import itertools
import json
import math
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_iwae.experiments.config import ExperimentConfig
from keras_iwae.experiments.sections import SECTION_OF
from keras_iwae.foundation import MARK, check_integer, check_number, check_path, check_positive, check_seed

_MOST_TRIALS = 10_000
_OF_OTHER_DATA = "trials are compared by their validation bounds, and this changes what they are bounds of"
_ANOTHER_BOUND = "trials are compared by their validation bounds, and this changes which bound that is"
# Why a setting may not vary.
FIXED = {
    **dict.fromkeys(("dataset", "binarization", "likelihood", "levels", "missing"), _OF_OTHER_DATA),
    **dict.fromkeys(("objective", "num_samples", "num_groups", "beta", "alpha"), _ANOTHER_BOUND),
    "epochs": "a trial is stopped by the bounds that others had after as many epochs, and all have as many to go",
    "start": "all trials start from the same",
    "seed": "it decides the settings of the trials, and all are trained with it",
}
KINDS = ("choice", "uniform", "log_uniform", "integers")


@dataclass(frozen=True)
class Domain:
    """What one setting may be.

    Attributes:
        kind: "choice" of some values, or a number between two: "uniform", "log_uniform" or one of the "integers".
        values: all of a choice; else the least and the most.
    """

    kind: str
    values: tuple

    @property
    def size(self) -> float:
        """How many values there are."""
        if self.kind == "choice":
            return len(self.values)
        return self.values[1] - self.values[0] + 1 if self.kind == "integers" else math.inf

    def draw(self, rng: np.random.Generator) -> Any:
        """One of the values, of which each is as likely."""
        if self.kind == "choice":
            return self.values[int(rng.integers(len(self.values)))]
        low, high = self.values
        if self.kind == "integers":
            return int(rng.integers(low, high, endpoint=True))
        if self.kind == "uniform":
            return float(rng.uniform(low, high))
        # Rounding may lead out of the range.
        return min(max(math.exp(rng.uniform(math.log(low), math.log(high))), low), high)


def read_space(path: str | os.PathLike) -> dict[str, Domain]:
    """The space that a JSON file holds.

    Args:
        path: of the file: an object with an object of one kind for each setting.

    Returns:
        what each setting may be, in the order of the file.

    Raises:
        ValueError: if there is no such file, it is no JSON, a setting is unknown or may not vary, or a range is none.
        OSError: if it cannot be read.

    Example:
        >>> with open("space.json", "w") as file:
        ...     written = file.write('{"learning_rate": {"log_uniform": [1e-4, 1e-2]}}')
        >>> read_space("space.json")
        {'learning_rate': Domain(kind='log_uniform', values=(0.0001, 0.01))}
    """
    path = check_path("space", path)
    if not path.is_file():
        what = "which is none" if path.exists() else "where there is none"
        raise ValueError(f"{MARK}space`. Expected a file of JSON. Received: {path}, {what}")
    try:
        found = json.loads(path.read_text(), object_pairs_hook=_once)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{MARK}space`. Expected a file of JSON. Received: {path}: {error}") from error
    return parse_space(found)


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, of which Python would take the last of two values for one name."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{MARK}space`. Expected each name once. Received: {name!r} twice")
        found[name] = value
    return found


def parse_space(space: Any) -> dict[str, Domain]:
    """The domains of a space, as JSON has it.

    Raises:
        ValueError: as in `read_space`.
    """
    if not isinstance(space, Mapping) or not space:
        raise ValueError(f"{MARK}space`. Expected an object with at least one setting. Received: {space!r}")
    return {name: _domain(name, given) for name, given in space.items()}


def _domain(name: str, given: Any) -> Domain:
    free = [field for field in SECTION_OF if field not in FIXED]
    if name in FIXED:
        raise ValueError(f"{MARK}space`. Expected none of {', '.join(FIXED)}. Received: {name}: {FIXED[name]}")
    if name not in free:
        raise ValueError(f"{MARK}space`. Expected settings of {', '.join(free)}. Received: {name!r}")
    if not isinstance(given, Mapping) or len(given) != 1 or next(iter(given)) not in KINDS:
        raise ValueError(
            f"{MARK}space`. Expected an object with one of {', '.join(KINDS)} for {name}. Received: {given!r}"
        )
    ((kind, values),) = given.items()
    if kind == "choice":
        if not isinstance(values, list) or not values:
            raise ValueError(f"{MARK}space`. Expected a list for the choice of {name}. Received: {values!r}")
        if len({json.dumps(value) for value in values}) < len(values):
            raise ValueError(f"{MARK}space`. Expected each choice of {name} once. Received: {values!r}")
        return Domain(kind, tuple(values))
    if not isinstance(values, list) or len(values) != 2:
        raise ValueError(f"{MARK}space`. Expected two numbers [least, most] for {name}. Received: {values!r}")
    ends: list[float] = []
    for value in values:
        if kind == "integers":
            ends.append(check_integer(name, value, at_least=0))
        else:
            ends.append((check_positive if kind == "log_uniform" else check_number)(name, value))
    low, high = ends
    if not low < high:
        raise ValueError(f"{MARK}space`. Expected [least, most] for {name}. Received: {values!r}")
    return Domain(kind, (low, high))


def check_space(space: Mapping[str, Domain], given: Mapping[str, Any]) -> None:
    """Refuse what cannot be tuned, and values that a setting cannot have.

    Args:
        space: the domains.
        given: settings that all trials have.

    Raises:
        ValueError: if a setting is in both, the trials have no bound from below to be compared by, two choices are the
            same to a configuration, or a value is out of range with every value of each other setting; what is so with
            some is for its trials to say.
    """
    for name in given:
        if name in space:
            raise ValueError(
                f"{MARK}{name}`. Expected it in the space or as a setting, and not in both. Received: both"
            )
    _check_bound(space, given)
    for name, domain in space.items():
        settled = {json.dumps(_settled(space, given, name, value)) for value in domain.values}
        if domain.kind == "choice" and len(settled) < len(domain.values):
            raise ValueError(
                f"{MARK}space`. Expected each choice of {name} once. Received: {list(domain.values)}, where two are one"
            )


def _check_bound(space: Mapping[str, Domain], given: Mapping[str, Any]) -> None:
    posteriors = space["posterior"].values if "posterior" in space else (given.get("posterior"),)
    if "adversarial" in posteriors:
        raise ValueError(
            f"{MARK}posterior`. Expected one with log weights, of which the bound is made that trials are compared by. "
            "Received: 'adversarial'"
        )
    objective, alpha = given.get("objective"), given.get("alpha")
    if objective in ("ae", "jvi") or (isinstance(alpha, (int, float)) and alpha < 0.0):
        name, value = ("objective", objective) if objective in ("ae", "jvi") else ("alpha", alpha)
        raise ValueError(
            f"{MARK}{name}`. Expected one that is a bound on log p(x) from below, of which more is better. "
            f"Received: {value!r}"
        )


def _settled(space: Mapping[str, Domain], given: Mapping[str, Any], name: str, value: Any) -> Any:
    """What a configuration makes of a value, where one takes it: components are of mixtures alone."""
    errors = []
    others = ((other, domain) for other, domain in space.items() if other != name)
    for beside in ({}, *({other: end} for other, domain in others for end in domain.values)):
        try:
            return ExperimentConfig.of(**{**given, **beside, name: value}).settings[name]
        except ValueError as error:
            errors.append(error)
    raise errors[0]


def draw_trials(space: Mapping[str, Domain], trials: int, seed: int) -> list[dict[str, Any]]:
    """The settings of each trial: a function of the seed, its number and the domains, and no two the same.

    More trials have the same first ones, and each setting has draws of its own, whatever the order in the file.

    Args:
        space: the domains.
        trials: how many.
        seed: of the draws.

    Raises:
        ValueError: if a number is out of range, or there are not as many settings in the space.

    Example:
        >>> draw_trials({"latent_dim": Domain("integers", (5, 6))}, 2, seed=0)
        [{'latent_dim': 6}, {'latent_dim': 5}]
    """
    # All are drawn, and built to be checked, before the first is trained.
    trials, seed = check_integer("trials", trials, at_most=_MOST_TRIALS), check_seed("seed", seed)
    size = math.prod(domain.size for domain in space.values())
    if trials > size:
        raise ValueError(f"{MARK}trials`. Expected at most {size}, all that the space has. Received: {trials}")
    found: dict[str, dict[str, Any]] = {}
    for number in range(trials):
        drawn = next(each for each in _draws(space, seed, number) if json.dumps(each) not in found)
        found[json.dumps(drawn)] = drawn
    return list(found.values())


def _draws(space: Mapping[str, Domain], seed: int, number: int) -> Iterator[dict[str, Any]]:
    for attempt in itertools.count():
        key = seed, number, attempt
        yield {
            name: domain.draw(np.random.default_rng([*key, zlib.crc32(name.encode())]))
            for name, domain in space.items()
        }
