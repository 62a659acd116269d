"""What a model asks of an objective of a user's own, looked at when the model is made and not when a step fails."""

from typing import Any

import numpy as np

from keras_iwae.bounds.objectives import Objective
from keras_iwae.bounds.terms import Term
from keras_iwae.foundation import MARK, check_integer, is_own_class

_ALIKE = "`terms` alone, which training climbs and from which its value is worked out"


def check_contract(objective: Objective, num_samples: int, resampled: bool = False) -> None:
    """Refuse a class of a user's own that training would not follow, or that does not say how.

    Args:
        objective: the objective.
        num_samples: K.
        resampled: whether some of the K samples are drawn for the backward pass, by weights that are then no less
            than 0.

    Raises:
        ValueError: it names the method and what that gives.
    """
    kind = type(objective)
    # The base class itself has no terms.
    if not is_own_class(kind) and kind is not Objective:
        return
    if kind.__call__ is not Objective.__call__:
        raise _wrong(objective, _ALIKE, "`__call__`")
    start: float | None = None
    if objective.learned:
        start = getattr(objective, "beta", None)
        if not isinstance(start, float) or not 0.0 < start < 1.0:
            expected = "`beta`, where the learned coefficient starts, a float between 0 and 1"
            raise _wrong(objective, expected, f"{start!r}, a {type(start).__name__}")
    for method in ("terms", "inference_terms"):
        for term in _tried(objective, method, num_samples, start):
            _check_term(objective, method, term, num_samples, resampled)
        whole = sum(term.coefficient for term in getattr(objective, method)(num_samples, start))
        if method == "terms" and not float(whole) > 0.0:
            # Nothing would be learned of the data, or what makes them improbable.
            raise _wrong(objective, "`terms` whose coefficients sum to more than 0", f"{float(whole):g}")
    _check_kept(objective, num_samples, start)
    if start is not None and objective.terms(num_samples, start) == objective.terms(num_samples, 0.5 * start):
        raise _wrong(objective, "`terms` of the `parameter` that it learns", "the same terms whatever it is")


def _check_kept(objective: Objective, num_samples: int, start: float | None) -> None:
    """Refuse fields that are in no configuration: a model that is saved or copied would climb another bound."""

    def climbed(one: Any) -> tuple:
        each = one.terms(num_samples, start), one.inference_terms(num_samples, start)
        return *each, one.deterministic, one.learned, getattr(one, "beta", None)

    try:
        copy = type(objective).from_config(objective.get_config())
        kept, received = climbed(copy), f"a copy of other terms, {copy.terms(num_samples, start)}"
    # Whatever is wrong in a class of the user's own, it is this argument.
    except Exception as error:
        kept, received = None, f"{type(error).__name__}: {' '.join(str(error).split())}"
    if kept != climbed(objective):
        raise _wrong(objective, "fields that a saved model has too, as those of a frozen dataclass are", received)


def _tried(objective: Objective, method: str, num_samples: int, parameter: float | None) -> tuple[Term, ...]:
    try:
        found = getattr(objective, method)(num_samples, parameter)
    # Whatever is wrong in a class of the user's own, it is this argument.
    except Exception as error:
        if str(error).startswith(MARK):
            raise
        if isinstance(error, NotImplementedError):
            raise _wrong(objective, "`terms(num_samples, parameter)`", "none") from error
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise _wrong(objective, f"`{method}(num_samples, parameter)` that can be called", reason) from error
    if not isinstance(found, tuple) or not found or not all(isinstance(term, Term) for term in found):
        expected = f"`{method}` that gives a tuple of Term(coefficient, group_size, power, leave_one_out)"
        raise _wrong(objective, expected, f"{found!r}")
    return found


def _check_term(objective: Objective, method: str, term: Term, num_samples: int, resampled: bool) -> None:
    size = check_integer("group_size", term.group_size)
    if num_samples % size:
        raise _wrong(objective, f"`{method}` of group sizes that divide num_samples = {num_samples}", f"{term}")
    for name, value in (("coefficient", term.coefficient), ("power", term.power)):
        if not np.isfinite(_number(objective, method, term, value)) or (name == "power" and value == 0.0):
            raise _wrong(objective, f"`{method}` of finite numbers, and of a power that is not 0", f"{term}")
    if not isinstance(term.leave_one_out, bool) or (term.leave_one_out and size < 2):
        raise _wrong(objective, f"`{method}` that leaves one out, a boolean, of groups of at least 2", f"{term}")
    if resampled and term.coefficient < 0.0:
        raise _wrong(objective, f"`{method}` of coefficients of at least 0 beside `backward_samples`", f"{term}")


def _number(objective: Objective, method: str, term: Term, value: Any) -> float:
    try:
        if isinstance(value, str):
            raise TypeError
        return float(value)
    except (TypeError, ValueError) as error:
        raise _wrong(objective, f"`{method}` of numbers", f"{term}") from error


def _wrong(objective: Objective, expected: str, received: str) -> ValueError:
    return ValueError(
        f"{MARK}objective`. Expected a class with {expected}. Received: {type(objective).__name__}, with {received}"
    )
