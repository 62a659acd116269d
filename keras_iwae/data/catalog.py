"""A dataset's name -> its images: which rows are train, validation and test, upright, one channel, ink bright.

| name | train / validation / test | image | where the validation rows come from |
|-|-|-|-|
| digits | 1,297 / 200 / 300 | 8x8 grey | scikit-learn has no split: a permutation with seed 0 |
| mnist | 59,600 / 400 / 10,000 | 28x28 grey | last 400 training rows; not the paper's, as TFDS has its own order |
| binarized_mnist | 50,000 / 10,000 / 10,000 | 28x28 binary | Larochelle's fixed binarization and split |
| fashion_mnist, kmnist | 55,000 / 5,000 / 10,000 | 28x28 grey | last 5,000 training rows in TFDS' order |
| emnist_letters | 79,920 / 8,880 / 14,800 | 28x28 grey | last tenth of the training rows; turned upright |
| omniglot | 17,935 / 1,345 / 13,180 | 28x28 grey | last 1,345 training rows; 105x105 averaged by area, inverted |
| omniglot_28x28 | 23,000 / 1,345 / 8,070 | 28x28 grey | the paper's permutation, see `builders/omniglot_28x28.py` |
| ocr_letters | 32,152 / 10,000 / 10,000 | 16x8 binary | a permutation with seed 123, see `builders/ocr_letters.py` |

`omniglot` and `omniglot_28x28` are different test sets at different smoothness: never compare across the two.
"""

import contextlib
import dataclasses
import difflib
import functools
import math
import os
import socket
import urllib.request
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import tensorflow as tf

from keras_iwae.data.arrays import as_examples, read_file
from keras_iwae.data.shards import is_folder
from keras_iwae.foundation import MARK, check_choice, held_folder

SPLITS = ("train", "validation", "test")
Source = str | Path | np.ndarray


def names() -> tuple[str, ...]:
    """Return the names of the datasets that `images` knows."""
    return tuple(_CATALOG)


def images(source: Source, split: str) -> np.ndarray:
    """Return the images of one split, in an order that never changes.

    What is no image, such as a table of numbers, is for `examples`.

    Args:
        source: a name from `names()`, a path that ends in `.npz` or `.npy` (see `arrays.read_file`), or an array
            `[N, H, W]`, `[N, H, W, C]` or `[N, D]`. An array is used whole whatever the split: its owner has split it.
        split: "train", "validation" or "test".

    Returns:
        `[N, H, W, C]`, or `[N, D]` for flat arrays: uint8 grey levels 0..255 (binary images hold 0 and 255), or float32
        in [0, 1] where a user's array is not uint8. Named datasets are kept in memory, so do not write into them.

    Raises:
        ValueError: if the source or the split is unknown, holds no images, or is neither on disk nor to be downloaded.

    Example:
        >>> images("digits", "test").shape
        (300, 8, 8, 1)
    """
    found = grey_levels(source, split)
    if found.dtype.kind == "f" and np.isnan(found).any():
        raise ValueError(
            f"{MARK}source`. Expected grey levels of every pixel; `examples` and `load` keep what is missing. "
            "Received: NaN"
        )
    return found


def grey_levels(source: Source, split: str) -> np.ndarray:
    """Return what `images` does, with NaN for pixels that are missing."""
    return stored(source, split, grey=True)


def examples(source: Source, split: str, floats: bool = False) -> np.ndarray:
    """Return the examples of one split: as `images`, and of the user's own data any finite numbers, NaN for missing.

    Args:
        source: as in `images`.
        split: "train", "validation" or "test".
        floats: whether integers other than uint8 are refused, as nobody knows what they are.

    Returns:
        `[N, H, W, C]`, or `[N, D]` for flat arrays: uint8 grey levels 0..255, or float32 where a user's array is not
        uint8.

    Raises:
        ValueError: as in `images`.
    """
    return stored(source, split, grey=False, floats=floats)


def stored(source: Source, split: str, grey: bool, binary: bool | None = None, floats: bool = False) -> np.ndarray:
    """The rows of one split, as `arrays.as_examples` gives them with these arguments."""
    check_choice("split", split, SPLITS)
    if isinstance(source, np.ndarray):
        return as_examples(source, grey=grey, binary=binary, floats=floats)
    if isinstance(source, (str, Path)):
        if Path(source).suffix in (".npz", ".npy"):
            return read_file(Path(source), split, grey, binary, floats)
        if str(source) in _CATALOG:
            return _CATALOG[str(source)](split)
        if is_folder(source):
            raise ValueError(
                f"{MARK}source`. Expected what is held in memory as a whole: a name, a .npz or .npy file or an array; "
                f"the examples of a folder of shards come in batches, from `load`. Received: {str(source)!r}"
            )
        close = difflib.get_close_matches(str(source), names())
        meant = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise ValueError(
            f"{MARK}source`. Expected one of {names()}, a path that ends in .npz or .npy, or a folder of shards. "
            f"Received: {str(source)!r}.{meant}"
        )
    raise ValueError(
        f"Invalid value received for `source`. Expected a name, a path or a NumPy array. "
        f"Received: {type(source).__name__}"
    )


@functools.cache
def _all_digits() -> np.ndarray:
    """Read once: scikit-learn parses its file at every call."""
    import sklearn.datasets

    return np.round(sklearn.datasets.load_digits().images * (255.0 / 16.0)).astype(np.uint8)


def _digits(split: str) -> np.ndarray:
    levels = _all_digits()
    order = np.random.RandomState(0).permutation(len(levels))
    rows = dict(zip(SPLITS, np.split(order, [1297, 1497]), strict=True))[split]
    return levels[rows][..., np.newaxis]


def _as_stored(image: tf.Tensor) -> tf.Tensor:
    return image


def _zero_one_to_levels(image: tf.Tensor) -> tf.Tensor:
    return image * 255


def _transposed(image: tf.Tensor) -> tf.Tensor:
    return tf.transpose(image, (1, 0, 2))


def _ink_on_black_28x28(image: tf.Tensor) -> tf.Tensor:
    paper = tf.image.resize(tf.cast(image[..., :1], tf.float32), (28, 28), method="area")
    return tf.cast(tf.round(255.0 - paper), tf.uint8)


@dataclasses.dataclass(frozen=True)
class _Tfds:
    """The rule that turns a TFDS dataset into splits of grey images."""

    builder: str
    train: str = "train"
    validation: str = "validation"
    test: str = "test"
    to_levels: Callable[[tf.Tensor], tf.Tensor] = _as_stored

    def __call__(self, split: str) -> np.ndarray:
        # The directory is an argument so that a changed TFDS_DATA_DIR is not answered from the cache.
        return _read_tfds(self, getattr(self, split), _data_dir())


_CATALOG: dict[str, Callable[[str], np.ndarray]] = {
    "digits": _digits,
    "mnist": _Tfds("mnist", "train[:-400]", "train[-400:]"),
    "binarized_mnist": _Tfds("binarized_mnist", to_levels=_zero_one_to_levels),
    "fashion_mnist": _Tfds("fashion_mnist", "train[:-5000]", "train[-5000:]"),
    "kmnist": _Tfds("kmnist", "train[:-5000]", "train[-5000:]"),
    "emnist_letters": _Tfds("emnist/letters", "train[:90%]", "train[90%:]", to_levels=_transposed),
    "omniglot": _Tfds("omniglot", "train[:-1345]", "train[-1345:]", to_levels=_ink_on_black_28x28),
    "omniglot_28x28": _Tfds("omniglot_28x28"),
    "ocr_letters": _Tfds("ocr_letters"),
}


# Black and white ones: every binarization of them is the same.
BINARY = ("binarized_mnist", "ocr_letters")
# Of those with other than 256.
LEVELS = {"digits": 17, **dict.fromkeys(BINARY, 2)}


def _data_dir() -> Path:
    return Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()


@functools.lru_cache(maxsize=6)
def _read_tfds(rule: _Tfds, rows: str, data_dir: Path) -> np.ndarray:
    builder = _prepared_builder(rule.builder, data_dir)
    dataset = builder.as_dataset(split=rows, shuffle_files=False)
    dataset = dataset.map(lambda example: rule.to_levels(example["image"]), num_parallel_calls=tf.data.AUTOTUNE)
    levels = dataset.batch(builder.info.splits[rows].num_examples).get_single_element().numpy()
    levels.flags.writeable = False
    return levels


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder that is made if it is not there, and made again where who was waited for has removed it."""
    with contextlib.ExitStack() as held:
        while not _is_held(folder, held):
            held.close()
        yield


def _is_held(folder: Path, held: contextlib.ExitStack) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        before = folder.stat()
        held.enter_context(held_folder(folder, "TFDS_DATA_DIR", math.inf))
        return os.path.samestat(before, folder.stat())
    except FileNotFoundError:
        return False


def _prepared_builder(name: str, data_dir: Path):
    """Return the TFDS builder of a dataset that is on disk, after downloading or converting it if need be."""
    import tensorflow_datasets as tfds

    import keras_iwae.data.builders  # noqa: F401  (importing registers the project's own builders)

    builder = tfds.builder(name, data_dir=data_dir)
    if builder.is_prepared():
        return builder
    own = data_dir / name, data_dir / "downloads"
    there = data_dir.is_dir()
    try:
        # Of processes that begin together one prepares it, and the others wait.
        with _held(data_dir):
            before = _folders(own)
            try:
                builder = tfds.builder(name, data_dir=data_dir)
                if not builder.is_prepared():
                    _check_hosts(builder.url_infos)
                    builder.download_and_prepare()
            except Exception:
                _remove_new(_folders(own) - before)
                if not there:
                    with contextlib.suppress(OSError):
                        data_dir.rmdir()
                raise
    # TFDS lets through whatever its downloader, archive reader and file system raise, AssertionError included.
    except Exception as error:
        if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
            remedy = f"Files fetched by hand belong in {data_dir / 'downloads' / 'manual'}."
        else:
            remedy = f"With a network, run `tfds build {name}`."
        raise ValueError(
            f"Dataset {name!r} is not in {data_dir} and could not be prepared there ({type(error).__name__}: {error}). "
            f"{remedy} Set TFDS_DATA_DIR to a folder that has the dataset or that can be written to."
        ) from error
    return builder


def _folders(roots: Iterable[Path]) -> set[Path]:
    return {folder for root in roots for folder in (root, *root.rglob("*")) if folder.is_dir()}


def _remove_new(folders: Collection[Path]) -> None:
    """Remove what a preparation that failed has begun, of which TFDS would warn; what was fetched stays."""
    for folder in sorted(folders, reverse=True):
        if folder.name == ".config":
            (folder / "metadata.json").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()


def _check_hosts(urls: dict | None) -> None:
    """Raise at once if no host of `urls` has an address."""
    # Without a network TFDS retries for over three minutes. Behind a proxy it is the proxy that looks names up.
    if not urls or urllib.request.getproxies():
        return
    hosts = sorted({host for url in urls if (host := urlparse(url).hostname)})
    for host in hosts:
        try:
            socket.getaddrinfo(host, None)
            return
        except OSError:
            continue
    raise ConnectionError(f"no network route to {', '.join(hosts)}")
