"""One pass over examples in batches: progress with the time left, and results that a second start finds again."""

import contextlib
import hashlib
import json
import math
import os
import re
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from keras_iwae.evaluation.digests import Judged, digests_of, model_digest
from keras_iwae.evaluation.spreading import Arrays, Batch, Compute, Elsewhere, as_they_come
from keras_iwae.foundation import (
    MARK,
    check_boolean,
    check_file,
    read_arrays,
    value_errors,
    write_arrays,
)
from keras_iwae.models import IWAE, check_batch_size, check_weights

# Of the time, at most: a file of all results so far is written in longer and longer intervals as it grows.
_SHARE_OF_WRITING = 0.05


class Pass(NamedTuple):
    """What one pass over N examples gave.

    Attributes:
        arrays: what was computed, `[N, ...]` each.
        weights: of the examples, `[N]`; `None` where the data has none.
        entries: how many entries of each example were observed, `[N]`.
        fractional: whether there are values that are no whole numbers.
        judged: of which model and examples.
        batch_size: of how many examples the batches were; `None` where there was one, which may have been a short one.
    """

    arrays: tuple[np.ndarray, ...]
    weights: np.ndarray | None
    entries: np.ndarray
    fractional: bool
    judged: Judged
    batch_size: int | None


def in_batches(
    model: IWAE,
    data: Any,
    batch_size: int | None,
    compute: Compute,
    settings: Mapping,
    resume: str | os.PathLike | None = None,
    verbose: bool = True,
    default: int = 200,
    first: int | None = None,
    by_batch: bool = False,
    elsewhere: Elsewhere | None = None,
) -> Pass:
    """What `compute` gives for each batch, put together over all examples.

    Args:
        model: the model, for what counts as an example and, with `resume`, for its weights.
        data: examples `[N, *event_shape]`, or batches of them, with weights or without; whatever `fit` takes.
        batch_size: examples in a batch where `data` is an array; `None` beside batches.
        compute: see `Compute`.
        settings: everything else that decides what `compute` gives, for JSON; `resume` compares it.
        resume: file for the results of each batch, written as they come, many of them in longer intervals and at a
            stop, and removed at the end, the file too unless others are left in it. Where it holds those of the same
            examples under the same weights and settings they are taken, whatever came of that pass.
        verbose: whether to show progress.
        default: what a `batch_size` of `None` is for an array.
        first: the place of the first example among all of which `data` are some, and may be those that have no say;
            `None` where they are all.
        by_batch: whether the draws of an example depend on its batch, so that `first` has to be where one begins.
        elsewhere: what computes batches in place of `compute`, a `Spread` with its recipe. All of them are given to it
            at once, and it returns when it is ready to compute; each is written into `resume` when it comes.

    Raises:
        ValueError: if the examples are none that the model takes, or there are none, `verbose` is no boolean, `resume`
            is no path in a folder that there is, or `first` is within a batch of the whole.
    """
    model.check_finite()
    check_boolean("verbose", verbose)
    check_batch_size(data, batch_size)
    opened, size = model.door.open(data, "data"), None
    if isinstance(opened, np.ndarray):
        size = batch_size or default
        if by_batch:
            _check_begins(first or 0, size)
        opened = [opened[start : start + size] for start in range(0, len(opened), size)]
    count = _length(opened)
    if isinstance(opened, keras.utils.PyDataset):
        # One at a time: all of them may be more than memory holds.
        opened = map(opened.__getitem__, range(count))
    if count == tf.data.INFINITE_CARDINALITY:
        raise ValueError("Invalid value received for `data`. Expected batches that end. Received: endless ones")
    partial = _PartialResults(resume, model, settings) if resume is not None else None
    parts: dict[int, Arrays] = {}
    waiting: list[Batch] = []
    entries: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    digests: list[np.ndarray] = []
    whole = first is None
    first = first or 0
    seen, fractional = first, False
    keeping = partial or contextlib.nullcontext()
    with value_errors(), keeping, _progress_bar(count if count > 0 else None, verbose) as bar:
        for element in opened:
            x, _, weight = keras.utils.unpack_x_y_sample_weight(element)
            x = tf.convert_to_tensor(x)
            if not len(x):
                # As of a filter that left none of a batch; `fit` passes over it too.
                bar.update(1)
                continue
            number = len(entries)
            # The last batch of all may be a short one, and so may a single one be, but none that others follow.
            if by_batch and seen == first and count > 1:
                _check_begins(first, len(x))
            if number == 1 and size is None:
                size = seen - first
            if by_batch and number == 1:
                _check_begins(first, seen - first)
            part = partial.find(x, seen) if partial is not None else None
            if part is not None:
                # Found, not computed: of no meaning for the time that is left.
                if not bar.disable:
                    bar.initial += 1
                bar.update(1)
            elif elsewhere is not None:
                waiting.append(Batch(number, x.numpy(), seen))
            else:
                # Infinity less infinity, where no weight is above 0, is no number; the result says so.
                with np.errstate(invalid="ignore"):
                    part = compute(x, seen, bar.update)
                if partial is not None:
                    partial.keep(x, seen, part)
            if part is not None:
                parts[number] = part
            observed = ~np.isnan(x.numpy())
            digests.append(digests_of(x).numpy())
            entries.append(observed.sum(axis=tuple(range(1, x.shape.rank))))
            own = None if weight is None else np.asarray(weight).reshape(-1)
            weights += [] if own is None else [own]
            says = observed if own is None else observed & (own > 0.0).reshape(-1, *[1] * (observed.ndim - 1))
            fractional = fractional or bool((x.numpy() % 1.0)[says].any())
            seen += int(x.shape[0])
        if waiting and elsewhere is not None:
            for batch, part in as_they_come(elsewhere, waiting, bar.unpause):
                parts[batch.number] = part
                bar.update(1)
                if partial is not None:
                    partial.keep(tf.convert_to_tensor(batch.x), batch.seen, part)
    if seen == first:
        raise ValueError("Invalid value received for `data`. Expected at least one example. Received: none")
    arrays = tuple(np.concatenate(each) for each in zip(*(parts[i] for i in sorted(parts)), strict=True))
    weighted = check_weights(np.concatenate(weights), seen - first, "data: weights", whole) if weights else None
    judged = Judged(model_digest(model), np.concatenate(digests))
    if partial is not None:
        # Last: what is refused until here does not cost what was computed.
        partial.remove()
    return Pass(arrays, weighted, np.concatenate(entries), fractional, judged, size)


def _check_begins(first: int, size: int) -> None:
    if first % size:
        raise ValueError(
            f"{MARK}first`. Expected a multiple of {size}, the size of a batch, so that a batch of the whole begins "
            f"there and has the same draws. Received: {first}"
        )


def _length(batches: Any) -> int:
    """How many batches there are, or what tf.data says where there is no end or nobody knows."""
    if isinstance(batches, tf.data.Dataset):
        return int(batches.cardinality())
    if isinstance(batches, keras.utils.PyDataset):
        return tf.data.INFINITE_CARDINALITY if batches.num_batches is None else batches.num_batches
    return len(batches) if hasattr(batches, "__len__") else tf.data.UNKNOWN_CARDINALITY


def _progress_bar(count: int | None, verbose: bool) -> tqdm:
    known = "{percentage:3.0f}% |{bar:30}| {elapsed} so far, about {remaining} left"
    return tqdm(total=count, disable=not verbose, bar_format=known if count else None, smoothing=0, leave=False)


class _PartialResults:
    """Results of batches in a file, each under a digest of all that decides it: images, weights and settings.

    What the file holds of other evaluations stays there. At the end of the block all results are in it.
    """

    def __init__(self, path: str | os.PathLike, model: IWAE, settings: Mapping):
        self._path = check_file("resume", path)
        self._common = hashlib.sha256(json.dumps([settings, model.get_config()], sort_keys=True, default=str).encode())
        self._common.update(model_digest(model).encode())
        self._parts = self._read()
        self._own: set[str] = set()
        self._unwritten, self._due = False, -math.inf

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        if self._unwritten:
            self._write()

    def _read(self) -> dict[str, tuple[np.ndarray, ...]]:
        if not self._path.exists():
            return {}
        parts: dict[str, list[np.ndarray]] = {}
        try:
            arrays = read_arrays(self._path)
        except ValueError as error:
            raise ValueError(
                f"{MARK}resume`. Expected a file of an evaluation that was interrupted, or none. "
                f"Received: {self._path}, which NumPy cannot read"
            ) from error
        for name, array in arrays.items():
            if not re.fullmatch(r"[0-9a-f]{64}-\d+", name):
                raise ValueError(
                    f"{MARK}resume`. Expected a file of an evaluation that was interrupted, or none. "
                    f"Received: {self._path}, which holds {name!r}"
                )
            parts.setdefault(name.split("-")[0], []).append(array)
        return {key: tuple(arrays) for key, arrays in parts.items()}

    def _key(self, x: tf.Tensor, seen: int) -> str:
        digest = self._common.copy()
        digest.update(f"{seen} {x.shape}".encode())
        digest.update(x.numpy().tobytes())
        return digest.hexdigest()

    def find(self, x: tf.Tensor, seen: int) -> tuple[np.ndarray, ...] | None:
        if (key := self._key(x, seen)) in self._parts:
            self._own.add(key)
        return self._parts.get(key)

    def keep(self, x: tf.Tensor, seen: int, part: tuple[np.ndarray, ...]) -> None:
        key = self._key(x, seen)
        self._own.add(key)
        self._parts[key] = part
        self._unwritten = True
        if time.monotonic() >= self._due:
            self._write()

    def remove(self) -> None:
        for key in self._own:
            del self._parts[key]
        if self._parts:
            self._write()
        else:
            self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        begin = time.monotonic()
        arrays = {f"{key}-{i}": array for key, part in self._parts.items() for i, array in enumerate(part)}
        write_arrays(self._path, arrays)
        self._unwritten, end = False, time.monotonic()
        self._due = end + (end - begin) / _SHARE_OF_WRITING
