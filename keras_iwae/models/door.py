"""The one door for data: whatever holds examples goes in, checked examples with their weights come out, or an error.

What is accepted takes effect, and what would have none is refused: labels that come with a data set are left aside, as
its owner did not ask for them, but a `y` or a `class_weight` that is given is not silently ignored.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_iwae.foundation import MARK, ColumnSupports, Support, check_dtype, check_integer, shape_text

_WEIGHTS = Support(low=0.0)
# What is below, float32 arithmetic takes for 0.
SMALLEST_WEIGHT = float(np.finfo(np.float32).tiny)
# The key of TensorFlow Datasets' images.
_IMAGE = "image"
# Not a part of an example, and nothing that may be left aside.
_WEIGHT = "sample_weight"
_IN_MEMORY = "an array, a tensor, a list, a DataFrame, or a dict with one of these"
_TAKEN = f"{_IN_MEMORY}, a tf.data.Dataset, a keras.utils.PyDataset or a generator of batches"


@dataclass(frozen=True)
class Door:
    """What counts as an example.

    Attributes:
        event_shape: shape of one.
        support: values of its entries.
        missing: whether NaN stands for an entry that was not observed.
    """

    event_shape: tuple[int, ...]
    support: Support | ColumnSupports
    missing: bool = False

    def open(self, x: Any, argument: str = "x") -> Any:
        """`x` checked, of the same kind where it comes in batches, else as a float32 array `[N, *event_shape]`.

        Batches come out as x or (x,), or as (x, w, w) where they have weights: Keras puts those in third place.

        Raises:
            ValueError: at once or when the batch comes; it names the argument, what was expected and what came.
        """
        if isinstance(x, tf.data.Dataset):
            return self._dataset(x, argument)
        if isinstance(x, keras.utils.PyDataset):
            if x.num_batches == 0:
                raise _no_batch(argument, "a PyDataset of length 0")
            return _CheckedPyDataset(x, self, argument)
        if isinstance(x, Iterator):
            return self._batches(x, argument)
        return self.array(x, argument, _TAKEN)

    def array(self, x: Any, argument: str = "x", expected: str = _IN_MEMORY) -> np.ndarray:
        """Examples that are all in memory as float32 `[N, *event_shape]`: arrays, tensors, lists, DataFrames, dicts.

        Entries that a masked array leaves out are NaN.

        Raises:
            ValueError: if they are something else, of another shape or outside the support.
        """
        if isinstance(x, Mapping):
            x = _of_mapping(x, argument)
        self._refuse_parts(x, argument)
        if hasattr(x, "to_numpy"):
            # Pandas: nullable columns hold NA, which NumPy takes for an object.
            x = x.to_numpy(dtype=object) if _has_objects(x) else x.to_numpy()
        if isinstance(x, (str, bytes)) or not (hasattr(x, "__array__") or isinstance(x, (list, tuple))):
            kind = type(x)
            raise ValueError(
                f"{MARK}{argument}`. Expected {expected}. Received: a {kind.__module__}.{kind.__qualname__}"
            )
        return self.support.check(x, argument, self.event_shape, self.missing)

    def _refuse_parts(self, x: Any, argument: str) -> None:
        """Refuse examples with labels and weights in one tuple, which is what an element of a data set is."""
        if isinstance(x, (tuple, list)) and x and len(getattr(x[0], "shape", ())) == 1 + len(self.event_shape):
            remedy = f"{argument}[0] alone, for labels are not used"
            if len(x) == 3:
                remedy += f", and {argument}[2] as `sample_weight` where that is an argument, else in batches"
            raise ValueError(
                f"{MARK}{argument}`. Expected {remedy}. Received: a {type(x).__name__} whose first of {len(x)} parts "
                f"are examples, {shape_text('N', *x[0].shape[1:])}"
            )

    def batch(self, element: Any, argument: str = "x", whole: bool = True) -> tuple[np.ndarray, np.ndarray | None]:
        """Examples and weights, float32 `[B, *event_shape]` and `[B]` or `None`, of one element of a data set.

        Args:
            element: x, (x,), (x, label) or (x, label, weights).
            argument: the name that the caller knows it by, for the error.
            whole: whether this is all there is, so that some weight has to be above 0.
        """
        x, weight = split(element, argument)
        x = self.array(x, argument)
        return x, None if weight is None else check_weights(weight, len(x), f"{argument}: weights", whole)

    def _packed(self, element: Any, argument: str) -> tuple[np.ndarray, ...]:
        x, weight = self.batch(element, argument, whole=False)
        return (x,) if weight is None else (x, weight, weight)

    def _batches(self, elements: Iterator, argument: str) -> Iterator[tuple[np.ndarray, ...]]:
        first = None
        for element in elements:
            batch = self._packed(element, argument)
            first = len(batch) if first is None else first
            _check_alike(len(batch), first, argument)
            yield batch
        if first is None:
            raise _no_batch(argument, "a generator that gives none")

    def _dataset(self, dataset: tf.data.Dataset, argument: str) -> tf.data.Dataset:
        """The check runs in the input pipeline, where XLA cannot drop it."""
        x, weight = split(dataset.element_spec, argument)
        _check_spec(x, argument, self.support, self.event_shape)
        if weight is not None:
            _check_spec(weight, f"{argument}: weights", _WEIGHTS, () if _rank(weight) == 1 else (1,))
        if dataset.cardinality() == 0:
            raise _no_batch(argument, "none, as of fewer examples than a batch with drop_remainder=True")

        # What is Python's here is decided once; converting it would take longer than all else that `fit` does first.
        @tf.autograph.experimental.do_not_convert
        def check(*element):
            x, weight = split(element if len(element) > 1 else element[0], argument)
            x = self.support.checked(x, argument, self.missing)
            if weight is None:
                return x
            weight = _WEIGHTS.checked(weight, f"{argument}: weights")
            return x, weight, weight

        return dataset.map(check, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _no_batch(argument: str, received: str) -> ValueError:
    return ValueError(f"{MARK}{argument}`. Expected at least one batch. Received: {received}")


def _check_alike(parts: int, first: int, argument: str) -> None:
    if parts != first:
        raise ValueError(
            f"{MARK}{argument}: weights`. Expected weights in every batch or in none. Received: "
            f"{'some' if parts > first else 'none'} after a batch with {'none' if parts > first else 'some'}"
        )


def _check_spec(spec: Any, argument: str, support: Support | ColumnSupports, shape: tuple[int, ...]) -> None:
    """Refuse elements of a dataset that cannot be `[B, *shape]`, or of which nobody knows before they come."""
    if not isinstance(spec, tf.TensorSpec):
        raise ValueError(f"{MARK}{argument}`. Expected elements that are tensors. Received: {type(spec).__name__}")
    check_dtype(spec.dtype, argument)
    support.check_bools(spec.dtype, argument)
    if _rank(spec) != 1 + len(shape) or tuple(spec.shape[1:]) != shape:
        remedy = ""
        if _rank(spec) == len(shape) and spec.shape.is_compatible_with(shape):
            remedy = "; batch the dataset: dataset.batch(100)"
        elif spec.shape.is_compatible_with((None, *shape)):
            remedy = ", known before the batches come; name it: an output_signature, or tf.ensure_shape in a map"
        raise ValueError(f"{MARK}{argument}`. Expected shape {shape_text('B', *shape)}{remedy}. Received: {spec.shape}")


def _rank(spec: Any) -> int | None:
    return spec.shape.rank if isinstance(spec, tf.TensorSpec) else None


def split(element: Any, argument: str) -> tuple[Any, Any]:
    """Examples and weights, `None` where there are none, of an element: x, (x,), (x, label), (x, label, weights)."""
    weight = None
    if isinstance(element, (tuple, list)) and not is_nested_numbers(element):
        if not 1 <= len(element) <= 3:
            raise ValueError(
                f"{MARK}{argument}`. Expected elements (x), (x, label) or (x, label, weights). Received: "
                f"{len(element)} parts"
            )
        weight = element[2] if len(element) == 3 else None
        element = element[0]
    return _of_mapping(element, argument) if isinstance(element, Mapping) else element, weight


def is_nested_numbers(element: tuple | list) -> bool:
    """Whether a list is an array written out, and not the parts of an element."""
    return isinstance(element, list) and not any(hasattr(part, "shape") for part in element)


def _of_mapping(element: Mapping, argument: str) -> Any:
    if _WEIGHT in element:
        raise ValueError(
            f"{MARK}{argument}`. Expected weights as the third part of elements (x, label, weights), or as the "
            f"argument `sample_weight`. Received: a dict with the key {_WEIGHT!r}"
        )
    if _IMAGE in element:
        return element[_IMAGE]
    if len(element) == 1:
        return next(iter(element.values()))
    raise ValueError(
        f"{MARK}{argument}`. Expected a dict with the key {_IMAGE!r}, or one key; choose with "
        f"dataset.map(lambda element: element[key]). Received: keys {sorted(map(str, element))}"
    )


def _has_objects(frame: Any) -> bool:
    """Whether a DataFrame or Series has columns that are not NumPy's numbers."""
    dtypes = getattr(frame, "dtypes", None)
    kinds = [dtypes] if dtypes is None or hasattr(dtypes, "kind") else list(dtypes)
    return any(not isinstance(kind, np.dtype) or kind.kind not in "fbiu" for kind in kinds)


def check_batch_size(x: Any, batch_size: int | None, argument: str = "batch_size") -> None:
    """Refuse a size for batches that have one already, and what is no size.

    Raises:
        ValueError: which names `argument`.
    """
    if batch_size is None:
        return
    if isinstance(x, (tf.data.Dataset, keras.utils.PyDataset, Iterator)):
        raise ValueError(
            f"{MARK}{argument}`. Expected none beside batches, which have a size already. Received: {batch_size!r}"
        )
    check_integer(argument, batch_size)


def check_weights(weights: Any, count: int, argument: str, whole: bool = True) -> np.ndarray:
    """Weights of examples as float32 `[N]`, of an array `[N]` or `[N, 1]`.

    Args:
        weights: array of numbers.
        count: N.
        argument: the name that the caller knows them by, for the error.
        whole: whether they are all there are, and not those of a batch, so that one has to be above 0.

    Raises:
        ValueError: if there are not as many, or one is below 0 or not finite, or all are 0,
            or so small that float32 takes them for it.
    """
    if np.ma.is_masked(weights):
        raise ValueError(
            f"{MARK}{argument}`. Expected a weight for each example, 0 for one that has no say. Received: masked ones"
        )
    found = _WEIGHTS.check(weights, argument)
    if found.shape not in ((count,), (count, 1)):
        raise ValueError(f"{MARK}{argument}`. Expected shape [{count}]. Received: {list(found.shape)}")
    if whole and found.max() < SMALLEST_WEIGHT:
        raise no_weight(argument, f"none above {found.max():g}, which counts as 0" if found.any() else "zeros only")
    return found.reshape(-1)


def no_weight(argument: str, received: str = "zeros only") -> ValueError:
    """The error for examples none of which has a say."""
    return ValueError(f"{MARK}{argument}`. Expected weights that are not all 0. Received: {received}")


class _CheckedPyDataset(keras.utils.PyDataset):
    """A PyDataset whose batches are checked as they come."""

    def __init__(self, inner: keras.utils.PyDataset, door: Door, argument: str):
        super().__init__(inner.workers, inner.use_multiprocessing, inner.max_queue_size)
        self._inner, self._door, self._argument = inner, door, argument
        self._parts: int | None = None

    @property
    def num_batches(self):
        return self._inner.num_batches

    def __getitem__(self, index):
        batch = self._door._packed(self._inner[index], self._argument)
        self._parts = len(batch) if self._parts is None else self._parts
        _check_alike(len(batch), self._parts, self._argument)
        return batch

    def on_epoch_begin(self):
        self._inner.on_epoch_begin()

    def on_epoch_end(self):
        self._inner.on_epoch_end()
