"""A user's own data: arrays as they are, or a `.npz` or `.npy` file with a split of its own or a fixed one."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from keras_iwae.foundation import MARK, Support

_SEED = 0
GREY = Support(0.0, 1.0)
_ANY = Support()
_EXPECTED = "an array `x`, or arrays `x_train` and `x_test`"


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
            with `x_train` and `x_test`, where the last 10% of a permutation of `x_train` with seed 0 is the validation
            split.
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
    arrays = _read_arrays(path)
    if "x_train" in arrays and "x_test" in arrays:
        of_train, of_test = (list(arrays[name].shape) for name in ("x_train", "x_test"))
        if of_train[1:] != of_test[1:]:
            raise ValueError(
                f"{MARK}source`. Expected examples of one shape in {path}. Received: x_train {of_train}, "
                f"x_test {of_test}"
            )
        # What bytes mean is said by all of them together: a test split may happen to hold no count above 1. Floats say
        # nothing of it: bits with gaps are float, beside bits without.
        of_bytes = [array for array in (arrays["x_train"], arrays["x_test"]) if array.dtype == np.uint8]
        if binary is None:
            binary = all(array.size and array.max() <= 1 for array in of_bytes)
        if floats and len(of_bytes) == 1 and not binary:
            kinds = ", ".join(f"{name} of {arrays[name].dtype}" for name in ("x_train", "x_test"))
            raise ValueError(
                f"{MARK}source`. Expected examples of one type in {path}: bytes are grey levels and divided by 255, "
                f"and floats are taken as they are. Received: {kinds}"
            )
        if split == "test":
            return as_examples(arrays["x_test"], f"{path}: x_test", grey, binary, floats)
        training = as_examples(arrays["x_train"], f"{path}: x_train", grey, binary, floats)
        return _split_rows(training, path, ("train", "validation"))[split]
    if "x" in arrays:
        examples = as_examples(arrays["x"], f"{path}: x", grey, binary, floats)
        return _split_rows(examples, path, ("train", "validation", "test"))[split]
    raise ValueError(
        f"Invalid value received for `source`. Expected {_EXPECTED} in {path}. Received: arrays {sorted(arrays)}"
    )


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        raise ValueError(f"Invalid value received for `source`. Expected a file. Received: {path}, which is not there")
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return {"x": content}
        with content:
            return {key: content[key] for key in content.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
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
