"""Batches of an evaluation that other processes compute: what they are given, and what they have to give back."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from keras_iwae.foundation import MARK, check_callable
from keras_iwae.models import IWAE

# From the images of a batch, the images seen before it and a function to call with each further share of the batch's
# work that is done (they sum to 1), to arrays of as many rows as images.
Arrays = tuple[np.ndarray, ...]
Compute = Callable[[tf.Tensor, int, Callable[[float], object]], Arrays]


class Recipe(Protocol):
    """What to compute for each batch, for a process that has the model but not this one's: frozen, and pickled.

    Attributes:
        arrays: how many `on(model)` gives of a batch.
    """

    arrays: ClassVar[int]

    def on(self, model: IWAE) -> Compute: ...


class Batch(NamedTuple):
    """A batch that is to be computed.

    Attributes:
        number: its place among the batches.
        x: its examples, `[B, *event_shape]`.
        seen: the place of its first example among all.
    """

    number: int
    x: np.ndarray
    seen: int


# From a recipe and batches to their numbers with what `Compute` gives for each, in the order in which they are ready.
Spread = Callable[[Recipe, Sequence[Batch]], Iterable[tuple[int, Arrays]]]
# The same with the recipe given, and with what it gives looked at.
Elsewhere = Callable[[Sequence[Batch]], Iterable[tuple[int, Arrays]]]


def elsewhere(spread: Spread | None, recipe: Recipe) -> Elsewhere | None:
    """What computes the batches of a recipe where other processes do, `None` where this one does.

    Raises:
        ValueError: if `spread` cannot be called; and, from what is returned, if it gives anything but every batch once,
            each with the recipe's arrays of as many rows as the batch has.
    """
    if spread is None:
        return None
    check_callable("spread", spread)

    def compute(waiting: Sequence[Batch]) -> Iterator[tuple[int, Arrays]]:
        # At once, and not with the first batch that is asked for: it may take long to be ready.
        given = spread(recipe, waiting)
        if not isinstance(given, Iterable):
            raise _wrong("pairs of a batch's number and its arrays", f"{given!r}")
        return _checked(given, {batch.number: batch for batch in waiting}, recipe.arrays)

    return compute


def as_they_come(
    elsewhere: Elsewhere, waiting: Sequence[Batch], begun: Callable[[], object]
) -> Iterator[tuple[Batch, Arrays]]:
    """Batches with what other processes compute of each, in the order in which they are ready.

    Args:
        elsewhere: what computes them.
        waiting: the batches.
        begun: called when the processes are there, from when on the time that is left is judged: by what batches take,
            and not by how long processes take to start.
    """
    given = {batch.number: batch for batch in waiting}
    coming = elsewhere(waiting)
    begun()
    for number, part in coming:
        yield given[number], part


def computed_batches(
    model: IWAE,
    recipe: Recipe,
    batches: Sequence[Batch],
    spread: Spread | None,
    progress: Callable[[float], object],
) -> Iterator[tuple[Batch, Arrays]]:
    """Batches that are held in memory together with what the recipe gives for each, in any order.

    Args:
        model: the model.
        recipe: what to compute.
        batches: the batches.
        spread: other processes that compute them; `None` is this one.
        progress: called with each further number of examples that is done, part of one where a batch is done in parts,
            and with 0 when other processes begin.

    Raises:
        ValueError: if `spread` cannot be called or does not give every batch once, see `elsewhere`.
    """
    others = elsewhere(spread, recipe)
    if others is None:
        compute = recipe.on(model)
        for batch in batches:
            done = functools.partial(_examples, progress, len(batch.x))
            yield batch, compute(tf.constant(batch.x), batch.seen, done)
        return
    for batch, part in as_they_come(others, batches, functools.partial(progress, 0)):
        yield batch, part
        progress(len(batch.x))


def _examples(progress: Callable[[float], object], count: int, share: float) -> None:
    progress(count * share)


def _checked(given: Iterable[Any], batches: dict[int, Batch], arrays: int) -> Iterator[tuple[int, Arrays]]:
    left, shapes = set(batches), None
    for pair in given:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise _wrong("pairs of a batch's number and its arrays", f"{pair!r}")
        number, part = pair
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number not in left:
            raise _wrong(f"each batch that waits once, of which {_listed(left)} had not come", f"batch {number!r}")
        rows = len(batches[int(number)].x)
        found = [np.asarray(each) for each in part] if isinstance(part, tuple | list) else []
        if len(found) != arrays or not all(each.ndim and len(each) == rows and _holds_numbers(each) for each in found):
            shown = [(str(each.dtype), each.shape) for each in found] if found else repr(part)
            raise _wrong(f"{arrays} arrays of {rows} rows of numbers for batch {number}", f"{shown}")
        if shapes not in (None, [each.shape[1:] for each in found]):
            raise _wrong("arrays of the same shapes for all batches", f"others for batch {number}")
        shapes = [each.shape[1:] for each in found]
        left.remove(int(number))
        yield int(number), tuple(found)
    if left:
        raise _wrong("every batch that waits", f"nothing of {_listed(left)}")


def _holds_numbers(array: np.ndarray) -> bool:
    return array.dtype.kind in "iuf"


def _listed(numbers: set[int]) -> str:
    # Of a data set there may be thousands.
    few = ", ".join(map(str, sorted(numbers)[:5]))
    return f"batches {few}{', ...' if len(numbers) > 5 else ''}" if numbers else "none"


def _wrong(expected: str, received: str) -> ValueError:
    return ValueError(f"{MARK}spread`. Expected a function that gives {expected}. Received: {received}")
