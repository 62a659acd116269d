"""Any source as a folder of shards, in one pass over it and in the memory of a few blocks."""

import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

from keras_iwae.data.array_records import array_record
from keras_iwae.data.catalog import SPLITS, names
from keras_iwae.data.shards import DTYPES, INFO, TOTALS, seal
from keras_iwae.data.streams import Stream, streams
from keras_iwae.data.tally import Tally
from keras_iwae.data.units import num_levels
from keras_iwae.data.writing import Writing
from keras_iwae.foundation import (
    MARK,
    check_boolean,
    check_folder,
    check_integer,
    check_positive,
    check_seed,
    json_text,
    whole_folder,
    write_arrays,
    write_json,
)

# Files that are open together are three times as many, of the thousand that a process may have.
_MOST_SHARDS = 128
_HELD_OUT = 0.1
_PROGRESS = "{percentage:3.0f}% |{bar:30}| {elapsed} so far, about {remaining} left"


def convert(
    source: str | Path,
    out: str | Path,
    shards: int = 16,
    validation: float | None = None,
    test: float | None = None,
    seed: int | None = None,
    verbose: bool = True,
) -> Path:
    """Write a folder of shards, which `load` and `train.py --dataset` read without holding it in memory.

    Each example is written once, in the order of the source, as bytes or float32. A split that the source lacks is cut
    from its training split: whether an example belongs to it is drawn by its place. The folder is whole or not there.

    Args:
        source: a name of `names()`; a .npy file, or a .npz file with `x`, or with `x_train` and `x_test`, and with
            `x_validation` or `x_val` where there is one; a Parquet file, or a folder of such files, of which those of a
            split have its name in theirs or in a folder's, and those whose names begin with "." or "_" are left out. In
            Parquet an example is a row, of numbers or of one list of them, without the index that pandas wrote.
        out: the folder, which must not be there. What is named as a data set, .npy or .npz would be read as such.
        shards: files of each split.
        validation: share of the training split that becomes the validation split; `None` is 0.1 where the source has
            none.
        test: the same for the test split.
        seed: of what is cut; `None` is 0 where something is.
        verbose: whether to show progress.

    Returns:
        the folder.

    Raises:
        ValueError: if the source is none of these or its examples differ in shape or type, `out` is there or named as
            something else, a split has fewer examples than shards, a share is given for what the source has, or
            a seed where nothing is cut, or array_record is not installed.
        OSError: if it cannot be written.

    Example:
        >>> folder = convert("digits", "digits-shards", shards=2, verbose=False)
        >>> next(iter(keras_iwae.data.load(folder, "train", batch_size=20))).shape
        TensorShape([20, 8, 8, 1])
    """
    shards = check_integer("shards", shards, at_most=_MOST_SHARDS)
    seed = None if seed is None else check_seed("seed", seed)
    check_boolean("verbose", verbose)
    target = check_folder("out", out)
    if str(target) in names() or target.suffix in (".npy", ".npz"):
        raise ValueError(
            f"{MARK}out`. Expected a folder without the name of a data set or the ending .npy or .npz, as which it "
            f"would be read. Received: {target}"
        )
    if target.exists():
        raise ValueError(f"{MARK}out`. Expected a folder that is not there. Received: {target}, which is")
    array_record()
    found = streams(source)
    cut = _cut(found, validation, test)
    if seed is not None and not cut:
        raise ValueError(f"{MARK}seed`. Expected none for a source that has all splits. Received: {seed}")
    seed = seed or 0
    # Before anything is written: the training split may take an hour.
    for split, stream in found.items():
        _check_enough(split, stream.examples, shards)
    total = sum(stream.examples for stream in found.values())
    with (
        whole_folder(target) as folder,
        tqdm(total=total, disable=not verbose, bar_format=_PROGRESS, leave=False) as bar,
    ):
        folder.mkdir()
        with Writing(folder, shards) as writing:
            for split, stream in found.items():
                rng = np.random.default_rng(seed)
                for block in stream.blocks():
                    writing.add(block, stream, split, cut if split == "train" else {}, rng)
                    bar.update(len(block))
        # How many were cut is known now.
        for split in SPLITS:
            count = writing.tallies[split].count if split in writing.tallies else 0
            if not count and split in cut:
                raise ValueError(
                    f"{MARK}{split}`. Expected a share of {total:,} examples that some are. Received: {cut[split]:g}"
                )
            _check_enough(split, count, shards)
        named = str(source) in names()
        bits = not named and writing.dtype == np.uint8 and max(each.high for each in writing.tallies.values()) <= 1
        training = writing.tallies["train"]
        write_arrays(folder / TOTALS, {"total": training.total, "observed": training.observed})
        info = {
            "source": Path(source).name,
            "cut": {**cut, "seed": seed} if cut else None,
            "shape": writing.shape,
            "dtype": next(name for name, kind in DTYPES.items() if kind == writing.dtype),
            "bits": bits,
            "integers": writing.integers,
            "levels": num_levels(source) if named else _levels(training, bits),
            "splits": {split: writing.record(split) for split in SPLITS},
        }
        info = json.loads(json_text(info))
        write_json(folder / INFO, {**info, "sha256": seal(info)})
    return target


def _cut(found: dict[str, Stream], validation: float | None, test: float | None) -> dict[str, float]:
    """The share of the training split that each split becomes that the source lacks."""
    shares = {}
    for split, share in (("validation", validation), ("test", test)):
        if split not in found:
            shares[split] = _HELD_OUT if share is None else check_positive(split, share)
        elif share is not None:
            raise ValueError(f"{MARK}{split}`. Expected none for a source that has this split. Received: {share}")
    if sum(shares.values()) >= 1.0:
        raise ValueError(
            f"{MARK}{next(iter(shares))}`. Expected shares below 1 together, so that some examples are left to train "
            f"on. Received: {' and '.join(f'{share:g}' for share in shares.values())}"
        )
    return shares


def _check_enough(split: str, count: int, shards: int) -> None:
    if count < shards:
        raise ValueError(
            f"{MARK}shards`. Expected at most {count:,}, the examples of the {split} split. Received: {shards}"
        )


def _levels(training: Tally, bits: bool) -> int | None:
    """How many grey levels or counts there are, as `num_levels` counts them."""
    if training.dtype == np.uint8:
        return 2 if bits or not training.between else 256
    whole = training.fraction is None and np.isfinite(training.low) and round(training.low) >= 0
    return round(training.high) + 1 if whole else None
