"""A user's own data: arrays as they are, or a `.npz` or `.npy` file with a split of its own or a fixed one."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from keras_iwae.foundation import MARK, Support

_SEED = 0
GREY = Support(0.0, 1.0)
_ANY = Support()
_VALIDATION = "x_validation", "x_val"
_EXPECTED = (
    "an array `x`, or, in its place, with or without one of `x_validation` and `x_val`, arrays `x_train` and `x_test`"
)


def as_examples(
    array: np.ndarray, argument: str = "source", grey: bool = True, binary: bool | None = None, floats: bool = False
) -> np.ndarray:
    """Return `array` as examples `[N, H, W, C]`, or `[N, D]` if it is flat.

    Args:
        array: `[N, H, W]`, `[N, H, W, C]` or `[N, D]`. uint8 holds levels 0..255, or 0 and 1 if nothing exceeds 1.
        argument: the name that the caller knows the array by, for the error.
        grey: whether other types hold grey levels in [0, 1], and not any finite numbers; NaN is what is missing.
        binary: whether uint8 holds 0 and 1; `None` looks whether this array does.
        floats: whether integers other than uint8 are refused: nobody knows whether they are grey levels or numbers.

    Returns:
        uint8 levels in 0..255, or float32.

    Raises:
        ValueError: if the array has another rank, no examples, or numbers outside its range.
    """
    if array.ndim not in (2, 3, 4):
        raise ValueError(
            f"{MARK}{argument}`. Expected shape [N, H, W], [N, H, W, C] or [N, D]. Received: {list(array.shape)}"
        )
    if floats and array.dtype.kind in "iu" and array.dtype != np.uint8:
        raise ValueError(
            f"{MARK}{argument}`. Expected floats, which are taken as they are, or bytes, which are grey levels and "
            f"divided by 255: with astype(np.float32) or astype(np.uint8) say which. Received: dtype {array.dtype}"
        )
    if array.dtype == np.uint8 and array.size:
        if np.ma.is_masked(array):
            raise ValueError(f"{MARK}{argument}`. Expected floats where some are masked. Received: masked bytes")
        array = np.asarray(array)
        examples = array * np.uint8(255) if (array.max() <= 1 if binary is None else binary) else array
    else:
        examples = (GREY if grey else _ANY).check(array, argument, missing=True)
    return examples[..., np.newaxis] if examples.ndim == 3 else examples


def read_file(
    path: Path, split: str, grey: bool = True, binary: bool | None = None, floats: bool = False
) -> np.ndarray:
    """Return one split of the examples in `path`.

    Args:
        path: a `.npy` file or a `.npz` file with `x`, split 80/10/10 by a permutation with seed 0; or a `.npz` file
            with `x_train` and `x_test`, where `x_validation` or `x_val` is the validation split, or else the last 10%
            of a permutation of `x_train` with seed 0.
        split: "train", "validation" or "test".
        grey: as for `as_examples`.
        binary: as for `as_examples`; `None` looks whether the whole file holds 0 and 1.
        floats: as for `as_examples`.

    Returns:
        the examples, as `as_examples` gives them.

    Raises:
        ValueError: if the file cannot be read, lacks these arrays, has examples of different shapes, or of units that
            are not those of each other, or fewer than 10 to split.
    """
    named, held = _read_arrays(path)
    shapes = {tuple(array.shape[1:]) for array in held.values()}
    if len(shapes) > 1:
        received = ", ".join(f"{name} {list(array.shape)}" for name, array in held.items())
        raise ValueError(f"{MARK}source`. Expected examples of one shape in {path}. Received: {received}")
    # What bytes mean is said by all of them together: a test split may happen to hold no count above 1. Floats say
    # nothing of it: bits with gaps are float, beside bits without.
    of_bytes = [array for array in held.values() if array.dtype == np.uint8]
    if binary is None:
        binary = all(array.size and array.max() <= 1 for array in of_bytes)
    if floats and 0 < len(of_bytes) < len(held) and not binary:
        received = ", ".join(f"{name} of {array.dtype}" for name, array in held.items())
        raise ValueError(
            f"{MARK}source`. Expected examples of one type in {path}: bytes are grey levels and divided by 255, "
            f"and floats are taken as they are. Received: {received}"
        )
    # The splits that are cut from the first.
    cut = ("train", *(other for other in ("validation", "test") if other not in named))
    name = named.get(split, named["train"])
    examples = as_examples(held[name], f"{path}: {name}", grey, binary, floats)
    return _split_rows(examples, path, cut)[split] if split in cut and len(cut) > 1 else examples


def named_splits(arrays: Collection[str], path: Path) -> dict[str, str]:
    """Which array of a file is which split: `x`, or `x_train` and what is beside it.

    Raises:
        ValueError: if there are no such arrays, or one of them would have no effect.
    """
    validation = [name for name in _VALIDATION if name in arrays]
    found = {name for name in ("x", "x_train", "x_test") if name in arrays}
    if found == {"x_train", "x_test"} and len(validation) < 2:
        own = {"validation": validation[0]} if validation else {}
        return {"train": "x_train", **own, "test": "x_test"}
    if found == {"x"} and not validation:
        return {"train": "x"}
    raise ValueError(f"{MARK}source`. Expected {_EXPECTED} in {path}. Received: arrays {sorted(arrays)}")


def _read_arrays(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Which array of a file is which split, and these; what else is there, as names of examples, is not read."""
    if not path.exists():
        raise ValueError(f"Invalid value received for `source`. Expected a file. Received: {path}, which is not there")
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return {"train": "x"}, {"x": content}
        with content:
            named = named_splits(content.files, path)
            arrays = {name: content[name] for name in named.values()}
            # Of a member that is no array NumPy gives the bytes.
            if foreign := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
                raise ValueError(f"{', '.join(foreign)} is no array")
            return named, arrays
    # Of a damaged header or archive, or one with a password, there is no end of what they raise.
    except Exception as error:
        if str(error).startswith(MARK):
            raise
        raise ValueError(
            f"Invalid value received for `source`. Expected {_EXPECTED} in {path}. Received: a file that NumPy cannot "
            f"read ({type(error).__name__}: {error})"
        ) from error


def _split_rows(examples: np.ndarray, path: Path, splits: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Cut a fixed permutation of the rows: a tenth for each split after the first, the rest for the first."""
    held_out = len(examples) // 10
    if not held_out:
        raise ValueError(
            f"Invalid value received for `source`. Expected at least 10 images to split in {path}. "
            f"Received: {len(examples)}"
        )
    order = np.random.RandomState(_SEED).permutation(len(examples))
    first = len(examples) - held_out * (len(splits) - 1)
    cuts = np.split(order, range(first, len(examples), held_out))
    return {split: examples[rows] for split, rows in zip(splits, cuts, strict=True)}
