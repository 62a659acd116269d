"""Folders of shards: the same examples as from memory, each once a pass, in an order that epoch and place decide."""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from test_scripts import SCRIPTS, call, error_line

from keras_iwae import data, experiments, importance_weighted_nll
from keras_iwae.data import permutation, shards
from keras_iwae.data.binarization import drawn_at, drawn_once
from keras_iwae.data.shards import seal
from keras_iwae.data.streams import streams
from keras_iwae.experiments import building, sweep, tuning
from keras_iwae.experiments.evaluation_target import Subject, evaluation_images
from keras_iwae.experiments.report.pictures import Pictures
from keras_iwae.experiments.search_space import Domain
from keras_iwae.tables import open_table
from keras_iwae.training import runs

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (90, 3, 5), dtype=np.uint8)
UNITS = GREY[..., np.newaxis].astype(np.float32) / np.float32(255.0)
HOLES = np.where(RNG.random((90, 7)) < 0.2, np.nan, RNG.random((90, 7))).astype(np.float32)
SOURCES = {
    "bytes": GREY,
    "bits": (GREY > 99).astype(np.uint8),
    "codes": GREY // 40,
    "floats": RNG.random((90, 7)),
    "gaps": HOLES,
    "counts": RNG.poisson(3.0, (90, 7)).astype(np.float32),
    "integers": RNG.poisson(3.0, (90, 7)),
    "numbers": RNG.normal(size=(90, 3, 2, 2)),
}
BINARIZATIONS = ("dynamic", "static", "threshold", "none", "levels")


def rows(dataset):
    return np.concatenate(list(dataset.as_numpy_iterator()))


def as_set(examples):
    return sorted(row.tobytes() for row in examples)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Of each source a file as it is read from memory, where validation rows are cut otherwise, and its shards."""
    folder = tmp_path_factory.mktemp("folders")
    made = {}
    for name, array in SOURCES.items():
        np.savez(folder / f"{name}.npz", x_train=array[:70], x_test=array[70:])
        made[name] = data.convert(folder / f"{name}.npz", folder / name, shards=3, validation=0.2, verbose=False)
    return made


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return data.convert("digits", tmp_path_factory.mktemp("digits") / "digits", shards=4, verbose=False)


def outcome(call):
    """What comes of it, or what is said of it."""
    try:
        return call()
    except ValueError as error:
        return re.sub(r"received for `[^`]*`", "received for `source`", str(error))


@pytest.mark.slow
@pytest.mark.parametrize("binarization", BINARIZATIONS)
@pytest.mark.parametrize("name", SOURCES)
def test_the_test_split_is_that_of_the_file_or_refused_in_the_same_words(folders, name, binarization):
    """Values, draws and errors: the source as a whole says what they mean."""
    folder = folders[name]
    file = folder.with_suffix(".npz")
    ours, theirs = (
        outcome(lambda source=source: rows(data.load(source, "test", 8, binarization, seed=3)))
        for source in (folder, file)
    )
    if isinstance(theirs, str):
        # What was received of an array is said of all of its rows.
        assert isinstance(ours, str)
        assert ours.split("Received")[0] == theirs.split("Received")[0]
        return
    np.testing.assert_array_equal(ours, theirs)
    assert rows(data.load(folder, "test", 5, binarization, seed=3)).tobytes() == ours.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("binarization", BINARIZATIONS)
def test_a_named_data_set_has_the_same_splits_means_and_levels(digits, binarization):
    for split in ("validation", "test"):
        ours, theirs = (rows(data.load(each, split, 70, binarization, seed=3)) for each in (digits, "digits"))
        np.testing.assert_array_equal(ours, theirs)
    if binarization != "dynamic":
        ours, theirs = (rows(data.load(each, "train", 1, binarization, seed=3)) for each in (digits, "digits"))
        assert as_set(ours) == as_set(theirs)
    np.testing.assert_array_equal(data.mean_image(digits, binarization), data.mean_image("digits", binarization))
    np.testing.assert_array_equal(
        data.before_draws(digits, "train", binarization, None), data.before_draws("digits", "train", binarization, None)
    )
    assert data.num_levels(digits) == 17
    assert [data.num_examples(digits, split) for split in ("train", "validation", "test")] == [1297, 200, 300]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bits", "gaps", "counts"])
def test_means_are_those_of_the_training_split(folders, name):
    binarization = "levels" if name == "counts" else "none"
    trained = rows(data.load(folders[name], "train", 1, binarization))
    np.testing.assert_allclose(data.mean_image(folders[name], binarization), np.nanmean(trained, axis=0), rtol=1e-6)
    assert data.has_missing(folders[name]) == (name == "gaps")


@pytest.mark.slow
def test_what_the_source_lacks_is_cut_from_its_training_split(folders, tmp_path):
    stored = [rows(data.load(folders["bytes"], split, 1, "none")) for split in ("train", "validation", "test")]
    assert as_set(np.concatenate(stored[:2])) == as_set(UNITS[:70])
    assert 4 < len(stored[1]) < 26
    np.save(tmp_path / "x.npy", GREY)
    of = {"validation": 0.3, "test": 0.2, "shards": 2, "verbose": False}
    one, again, other = (
        data.convert(tmp_path / "x.npy", tmp_path / str(number), **of, seed=seed)
        for number, seed in enumerate((5, 5, 6))
    )
    digests = [[data.fingerprint(each, split) for split in ("train", "test")] for each in (one, again, other)]
    assert digests[0] == digests[1] != digests[2]
    parts = [rows(data.load(one, split, 1, "none")) for split in ("train", "validation", "test")]
    assert as_set(np.concatenate(parts)) == as_set(UNITS)
    assert json.loads((one / "info.json").read_text())["cut"] == {"validation": 0.3, "test": 0.2, "seed": 5}


def test_an_order_is_a_permutation_without_a_pattern():
    """Of TensorFlow's own four rounds neighbours would correlate by 0.4, three hundred times what is let through."""
    for count in (1, 2, 7, 1000, 100_003):
        places = tf.range(count, dtype=tf.int64)
        for epoch in range(2):
            order = permutation.permuted(places, count, tf.constant([count, epoch], tf.int64)).numpy()
            assert np.array_equal(np.sort(order), np.arange(count))
            if count < 1000:
                continue
            for lag in (1, 2, 100):
                assert abs(np.corrcoef(order[lag:], order[:-lag])[0, 1]) < 4 / count**0.5
            assert abs(np.corrcoef(order, np.arange(count))[0, 1]) < 4 / count**0.5
            # Batches of 100 take of each tenth of the data what a random choice would.
            tenths = order[: count // 100 * 100].reshape(-1, 100) * 10 // count
            spread = np.var([(tenths == tenth).sum(axis=1) for tenth in range(10)])
            assert spread == pytest.approx(9.0, rel=0.35 if count == 1000 else 0.1)


def test_an_order_is_that_of_every_version_of_tensorflow():
    """A run that goes on with a later one would otherwise see some examples twice in an epoch."""
    order = permutation.permuted(tf.range(12, dtype=tf.int64), 12, tf.constant([3, 1], tf.int64))
    assert order.numpy().tolist() == [4, 2, 0, 6, 1, 7, 5, 9, 3, 11, 8, 10]
    far = permutation.permuted(tf.constant([0, 10**12], tf.int64), 10**12 + 1, tf.constant([-7, 2**40], tf.int64))
    assert far.numpy().tolist() == [584731022958, 579249994433]


@pytest.mark.parametrize("count", [300, 10**6])
def test_every_bit_of_a_key_has_a_say_in_the_order(count):
    """Of 65,000 examples at most the order came again after 256 passes."""
    keys = [(0, 0), *((2**bit, 0) for bit in range(63)), *((0, 2**bit) for bit in range(63))]
    places = tf.range(30, dtype=tf.int64)
    orders = {permutation.permuted(places, count, tf.constant(key, tf.int64)).numpy().tobytes() for key in keys}
    assert len(orders) == len(keys)


@pytest.mark.slow
def test_each_example_comes_once_a_pass_in_another_order_each_time(digits):
    batches = data.load(digits, "train", 1, "none", seed=2)
    first, second = rows(batches), rows(batches)
    assert (
        as_set(first)
        == as_set(second)
        == as_set(data.examples("digits", "train").astype(np.float32) / np.float32(255.0))
    )
    assert (first != second).any(axis=(1, 2, 3)).mean() > 0.99
    assert len(data.load(digits, "train", 100)) == 12


@pytest.mark.slow
@pytest.mark.parametrize("binarization", ["dynamic", "static"])
def test_an_epoch_is_decided_by_seed_and_number_alone(digits, binarization, tmp_path):
    def load(source=digits, seed=7, first=0):
        return data.load(source, "train", 50, binarization, seed=seed, first_epoch=first)

    whole = load()
    epochs = [rows(whole) for _ in range(3)]
    np.testing.assert_array_equal(rows(load(first=2)), epochs[2])
    assert (rows(load(seed=8)) != epochs[0]).any()
    # How many files there are is no matter.
    other = data.convert("digits", tmp_path / "other", shards=7, verbose=False)
    np.testing.assert_array_equal(rows(load(other, first=1)), epochs[1])
    assert data.fingerprint(other, "train") == data.fingerprint(digits, "train")


@pytest.mark.slow
def test_pixels_of_a_batch_are_drawn_as_those_in_memory(tmp_path):
    """Of examples that are all alike the order is no matter, and what is drawn is left."""
    np.savez(tmp_path / "x.npz", x_train=np.repeat(GREY[:1], 60, axis=0), x_test=GREY[:9])
    folder = data.convert(tmp_path / "x.npz", tmp_path / "x", shards=2, validation=0.2, verbose=False)
    count = data.num_examples(folder, "train")
    held = np.repeat(GREY[:1], count, axis=0)
    for seed in (0, 1):
        ours, theirs = (rows(data.load(each, "train", 10, seed=seed, first_epoch=4)) for each in (folder, held))
        np.testing.assert_array_equal(ours, theirs)
    assert 0.2 < ours.mean() < 0.8


@pytest.mark.parametrize("size", [1, 3, 8])
def test_pixels_drawn_once_are_drawn_anywhere(size):
    grey = RNG.integers(0, 256, (50, size), dtype=np.uint8)
    once = drawn_once(grey, np.random.default_rng([3, 2]))
    for places in (np.arange(50), np.arange(7, 20), RNG.permutation(50), np.array([9])):
        np.testing.assert_array_equal(drawn_at(grey[places], (3, 2), places), once[places])
    assert (drawn_at(grey, (3, 1), np.arange(50)) != once).any()


def test_a_part_of_a_split_is_read_as_the_whole_says(digits):
    ours, theirs = (
        rows(data.in_order(each, "train", 45, 20, "dynamic", seed=1, levels=None)) for each in (digits, "digits")
    )
    np.testing.assert_array_equal(ours, theirs)


def test_what_needs_all_examples_together_says_what_to_use(digits):
    for call_ in (data.images, data.examples):
        with pytest.raises(ValueError, match=r"`source`. .*; the examples of a folder of shards come .* from `load`"):
            call_(digits, "train")
    with pytest.raises(ValueError, match=r"`batch_size`. Expected at most the 1297 rows"):
        data.load(digits, "train", 1298)
    with pytest.raises(ValueError, match="`split`"):
        data.load(digits, "tset")
    with pytest.raises(ValueError, match="`split`"):
        data.num_examples(digits, "tset")


def test_a_sample_of_many_is_spread_over_them(digits, monkeypatch):
    monkeypatch.setattr("keras_iwae.data.units._SAMPLE", 100)
    some, every = (data.before_draws(each, "train", "dynamic", None) for each in (digits, "digits"))
    assert some.shape == (100, 8, 8, 1)
    assert set(as_set(some)) < set(as_set(every))
    np.testing.assert_array_equal(some, data.before_draws(digits, "train", "dynamic", None))


def test_threads_that_read_together_open_each_file_once(digits, monkeypatch):
    """Of 128 files 16 threads opened 2,048, and a process may have a thousand."""
    shards._readers.cache_clear()
    opened = []

    class Slow(shards.Reader):
        def __init__(self, file):
            time.sleep(0.02)
            opened.append(file)
            super().__init__(file)

    monkeypatch.setattr(shards, "Reader", Slow)
    folder = shards.Shards.open(digits)
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda place: folder.read("test", np.array([place])), range(4)))
    shards._readers.cache_clear()
    assert sorted(opened) == folder.files("test")
    np.testing.assert_array_equal(np.concatenate(read), data.examples("digits", "test")[:4])


# What happens to a folder, and what is said then.
DAMAGES = {
    "no info": (lambda f: (f / "info.json").unlink(), "with info.json. Received: .*, with .array_record, .npz files"),
    "no JSON": (lambda f: (f / "info.json").write_text("{"), "whose info.json cannot be read"),
    "a list": (lambda f: (f / "info.json").write_text("[]"), "as convert.py wrote it. Received: another"),
    "lists in lists": (lambda f: (f / "info.json").write_text("[" * 100_000), "whose info.json cannot be read"),
    "a number by hand": (lambda f: edit(f, levels=3, sealed=False), "as convert.py wrote it. Received: another"),
    "a missing shard": (lambda f: (f / "test-00001-of-00004.array_record").unlink(), "in .*test-00001.*Received: none"),
    "a truncated shard": (
        lambda f: os.truncate(f / "train-00000-of-00004.array_record", 5000),
        r"Expected 131,072 bytes in .*train-00000-of-00004.array_record. Received: 5,000 bytes",
    ),
    "another shape": (lambda f: edit(f, shape=[8, 8]), "of its own. Received: another"),
    "a larger shape": (lambda f: edit(f, shape=[8, 9, 1]), r"Expected records of 72 bytes in .*array_record"),
    "another type": (lambda f: edit(f, dtype="int7"), "of its own. Received: another"),
    "no splits": (lambda f: edit(f, splits={}), "of its own. Received: another"),
    "bytes of another file": (
        lambda f: (f / "test-00001-of-00004.array_record").write_bytes(bytes(131_072)),
        "Expected .*test-00001-of-00004.array_record as convert.py wrote it",
    ),
}


def edit(folder, sealed=True, **changes):
    info = json.loads((folder / "info.json").read_text())
    info.update(changes)
    (folder / "info.json").write_text(json.dumps({**info, "sha256": seal(info)} if sealed else info))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more"])
def test_sums_that_cannot_be_read_are_refused(digits, tmp_path, content):
    folder = Path(shutil.copytree(digits, tmp_path / "damaged"))
    (folder / "totals.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"`source`\. Expected sums of its examples in .*totals.npz"):
        data.mean_image(folder)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_refused_by_what_is_wrong_with_it(digits, tmp_path, damage):
    folder = Path(shutil.copytree(digits, tmp_path / "damaged"))
    change, said = DAMAGES[damage]
    change(folder)
    with pytest.raises((ValueError, tf.errors.OpError), match=f"Invalid value received for `source`.*{said}"):
        rows(data.load(folder, "test", 50))


def test_training_data_that_cannot_be_read_are_refused_before_there_is_a_model(digits, tmp_path):
    """That was TensorFlow's error, which scripts do not say in a line."""
    folder = Path(shutil.copytree(digits, tmp_path / "damaged"))
    for shard in folder.glob("train-*"):
        shard.write_bytes(bytes(shard.stat().st_size))
    config = experiments.ExperimentConfig.of(dataset=str(folder), hidden=((4,),), latent_dim=(2,))
    with pytest.raises(ValueError, match=r"`dataset`.*train-0.*as convert.py wrote it"):
        building.build(config)


def test_a_wrong_folder_is_not_searched_to_its_end(tmp_path, monkeypatch):
    """Whoever gave the folder of a home, or a disk, waited until its last file was seen."""
    (tmp_path / "a.txt").touch()
    monkeypatch.setattr(Path, "rglob", lambda self, pattern: itertools.repeat(self / "a.txt"))
    with pytest.raises(ValueError, match=r"`source`\. Expected a folder of shards, .*, with .txt files"):
        data.load(tmp_path, "train")


def test_an_empty_text_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for call_ in (data.load, data.images, data.num_examples):
        with pytest.raises(ValueError, match=r"`source`\. Expected one of .*, or a folder of shards\. Received: ''"):
            call_("", "train")


def test_without_the_package_it_is_named(digits, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "array_record.python", None)
    with pytest.raises(ValueError, match=r"pip install array_record.*for Linux and macOS"):
        data.convert("digits", tmp_path / "x", verbose=False)
    assert not list(tmp_path.iterdir())


def refused(tmp_path, said, source, **options):
    with pytest.raises(ValueError, match=said):
        data.convert(source, tmp_path / "out", **{"shards": 2, "verbose": False, **options})
    assert not [path for path in tmp_path.iterdir() if path.is_dir() and path.name != "parquet"]


def test_what_cannot_be_converted_is_refused_and_leaves_nothing(tmp_path):
    np.save(tmp_path / "x.npy", GREY)
    x = tmp_path / "x.npy"
    refused(tmp_path, "`shards`. Expected at most .* of the (validation|test) split. Received: 60", x, shards=60)
    refused(tmp_path, "`shards`. Expected at most 90, the examples of the train split. Received: 91", x, shards=91)
    refused(tmp_path, "`shards`. Expected an integer from 1 to 128", x, shards=129)
    refused(tmp_path, "`validation`. Expected a number above 0", x, validation=0.0)
    refused(
        tmp_path,
        "`validation`. Expected a share of 90 examples that some are. Received: 1e-300",
        x,
        validation=1e-300,
    )
    refused(tmp_path, "`validation`. Expected shares below 1 together.*0.5 and 0.6", x, validation=0.5, test=0.6)
    refused(tmp_path, "`test`. Expected none for a source that has this split. Received: 0.1", "digits", test=0.1)
    refused(tmp_path, "`seed`", x, seed=-1)
    refused(tmp_path, "`seed`. Expected none for a source that has all splits. Received: 0", "digits", seed=0)
    refused(tmp_path, "`source`. Expected a name, a .npy", tmp_path / "there.npy")
    refused(tmp_path, "`source`. Expected a name, a .npy .* Received: int", 3)
    for name, array, said in (
        ("flat", np.zeros(3), r"Expected shape \[N, H, W\].*flat.npy. Received: \[3\]"),
        ("none", np.zeros((0, 3)), r"Received: \[0, 3\]"),
        ("text", np.array([["a"]]), "Expected numbers in .*text.npy. Received: dtype <U1"),
        ("columns", np.asfortranarray(GREY), "Fortran order"),
        ("infinite", np.full((50, 2), np.inf), "Expected finite values"),
    ):
        np.save(tmp_path / f"{name}.npy", array)
        refused(tmp_path, said, tmp_path / f"{name}.npy")
    (tmp_path / "short.npy").write_bytes(x.read_bytes()[:-200])
    refused(tmp_path, "Expected 90 examples in .*short.npy. Received: a file that ends", tmp_path / "short.npy")
    np.savez(tmp_path / "y.npz", x_train=GREY, x_test=GREY[:, :2])
    refused(
        tmp_path, r"Expected examples \[3, 5, 1\] of uint8.*x_train. Received: \[2, 5, 1\].*x_test", tmp_path / "y.npz"
    )
    np.savez(tmp_path / "y.npz", x_train=GREY, x_test=GREY / 255.0)
    refused(tmp_path, r"of uint8, as in .* of float32 in .*y.npz: x_test", tmp_path / "y.npz")
    np.savez(tmp_path / "y.npz", pixels=GREY)
    refused(tmp_path, r"Received: arrays \['pixels'\]", tmp_path / "y.npz")
    (tmp_path / "y.npz").write_bytes(b"PK nothing")
    refused(tmp_path, "Expected arrays that NumPy wrote in .*y.npz", tmp_path / "y.npz")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x_validation", "x_val"])
def test_a_validation_split_of_the_source_is_kept(tmp_path, name):
    file = tmp_path / "x.npz"
    np.savez(file, x_train=HOLES[:40], x_test=HOLES[70:], **{name: HOLES[40:70]})
    folder = data.convert(file, tmp_path / "x", shards=2, verbose=False)
    for split, wanted in {"train": HOLES[:40], "validation": HOLES[40:70], "test": HOLES[70:]}.items():
        assert data.num_examples(folder, split) == len(wanted)
        assert as_set(rows(data.load(folder, split, 1, "none"))) == as_set(wanted)
    with pytest.raises(ValueError, match=r"`validation`\. Expected none for a source that has this split"):
        data.convert(file, tmp_path / "refused", validation=0.2, verbose=False)


def test_a_split_with_too_few_examples_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_iwae.data.writing.Writer", lambda *_: pytest.fail("a file was begun"))
    np.savez(tmp_path / "x.npz", x_train=GREY, x_test=GREY[:3])
    refused(tmp_path, "Expected at most 3, the examples of the test split. Received: 4", tmp_path / "x.npz", shards=4)
    np.savez(tmp_path / "x.npz", x_train=GREY, x_val=GREY[:2], x_test=GREY)
    refused(tmp_path, "at most 2, the examples of the validation split", tmp_path / "x.npz", shards=4)


def test_a_folder_that_is_there_stays_as_it_is(tmp_path, digits):
    before = sorted(file.stat().st_mtime_ns for file in digits.iterdir())
    with pytest.raises(ValueError, match=r"`out`. Expected a folder that is not there. Received: .*, which is"):
        data.convert("digits", digits, verbose=False)
    assert sorted(file.stat().st_mtime_ns for file in digits.iterdir()) == before


@pytest.mark.parametrize("out", ["digits", Path("mnist"), "./ocr_letters", "photos.npy", "made/photos.npz"])
def test_a_folder_that_would_be_read_as_something_else_is_refused(tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", GREY)
    with pytest.raises(ValueError, match=rf"`out`\. Expected a folder .*\. Received: {Path(out)}$"):
        data.convert("x.npy", out, shards=2, verbose=False)
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


@pytest.mark.slow
def test_parquet_files_are_converted(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    folder = tmp_path / "parquet"
    folder.mkdir()
    table = HOLES.astype(np.float64)
    columns = {f"c{d}": arrow.array(table[:, d], from_pandas=True) for d in range(7)}
    parquet.write_table(arrow.table(columns).slice(0, 40), folder / "train-0.parquet", row_group_size=9)
    parquet.write_table(arrow.table(columns).slice(40, 30), folder / "train-1.parquet")
    parquet.write_table(arrow.table(columns).slice(70, 20), folder / "test.parquet")
    made = data.convert(folder, tmp_path / "columns", shards=2, validation=0.2, verbose=False)
    stored = [rows(data.load(made, split, 1, "none")) for split in ("train", "validation", "test")]
    assert as_set(np.concatenate(stored[:2])) == as_set(HOLES[:70])
    np.testing.assert_array_equal(stored[2], HOLES[70:])
    # One column of lists of bytes.
    flat = GREY.reshape(90, 15)
    lists = arrow.table({"x": arrow.array(list(flat), arrow.list_(arrow.uint8()))})
    parquet.write_table(lists, tmp_path / "lists.parquet", row_group_size=32)
    made = data.convert(tmp_path / "lists.parquet", tmp_path / "lists", shards=2, verbose=False)
    stored = [rows(data.load(made, split, 1, "levels")) for split in ("train", "validation", "test")]
    assert as_set(np.concatenate(stored)) == as_set(flat.astype(np.float32))
    parquet.write_table(arrow.table({"x": arrow.array([[1.0], [1.0, 2.0]])}), tmp_path / "bad.parquet")
    with pytest.raises(ValueError, match="lists of one length in column 'x'"):
        data.convert(tmp_path / "bad.parquet", tmp_path / "out", 1, verbose=False)
    parquet.write_table(arrow.table({"x": ["a", "b"], "y": [1, 2]}), tmp_path / "bad.parquet")
    with pytest.raises(ValueError, match=r"Expected numbers.* in column 'x' of .*bad.parquet"):
        data.convert(tmp_path / "bad.parquet", tmp_path / "out", 1, verbose=False)
    parquet.write_table(lists, folder / "more.parquet")
    with pytest.raises(ValueError, match=r"Received: more.parquet beside some"):
        data.convert(folder, tmp_path / "out", 1, verbose=False)
    (folder / "more.parquet").unlink()
    parquet.write_table(arrow.table({"other": [1.0]}), folder / "train-2.parquet")
    with pytest.raises(ValueError, match=r"Expected in .*train-2.parquet the columns of .*train-0.parquet"):
        data.convert(folder, tmp_path / "out", 1, verbose=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("index", ["shuffled", "named", "two", "range"])
def test_an_index_of_pandas_is_no_entry(tmp_path, index):
    """The numbers of the rows of a frame that was shuffled were learned as its last column."""
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(UNITS.reshape(90, 15), columns=[f"x.{d}" for d in range(15)])
    lists = pd.DataFrame({"x": list(frame.to_numpy())})
    for name, content in {"columns": frame, "lists": lists}.items():
        made = {
            "shuffled": content.sample(frac=1, random_state=0),
            "named": content.sample(frac=1, random_state=0).rename_axis("id"),
            "two": content.set_index([np.arange(90), np.arange(90) / 2]),
            "range": content.rename_axis("id"),
        }[index]
        made.to_parquet(tmp_path / f"{name}.parquet")
        (stream,) = streams(tmp_path / f"{name}.parquet").values()
        wanted = np.stack(made["x"]) if name == "lists" else made.to_numpy()
        np.testing.assert_array_equal(np.concatenate(list(stream.blocks())), wanted)
        folder = data.convert(tmp_path / f"{name}.parquet", tmp_path / name, shards=1, verbose=False)
        stored = [rows(data.load(folder, split, 1, "none")) for split in ("train", "validation", "test")]
        assert as_set(np.concatenate(stored)) == as_set(frame.to_numpy())


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("place", ["train-0", "train-1", "test-0"])
@pytest.mark.parametrize("lists", [False, True])
@pytest.mark.parametrize("kind", [np.uint8, np.int64])
def test_whole_numbers_with_a_gap_anywhere_are_floats_everywhere(tmp_path, kind, lists, place, statistics):
    """A null was refused where a block without one had gone before it, or what its numbers are was not known."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    wanted = {"train": [], "test": []}
    for name, low in {"train-0": 0, "train-1": 30, "test-0": 60}.items():
        held = np.arange(low, low + 20).astype(object)
        held[17] = None if name == place else held[17]
        numbers = arrow.array(np.stack([held, np.full(20, 5, object)], 1).ravel(), arrow.from_numpy_dtype(kind))
        if lists:
            columns = {"x": arrow.ListArray.from_arrays(np.arange(0, 41, 2), numbers)}
        else:
            columns = {"x": numbers[::2], "y": numbers[1::2]}
        table, file = arrow.table(columns), tmp_path / f"{name}.parquet"
        parquet.write_table(table, file, row_group_size=6, write_statistics=statistics)
        wanted[name.split("-")[0]] += [[np.nan if value is None else value, 5.0] for value in held]
    for split, stream in streams(tmp_path).items():
        blocks = list(stream.blocks())
        assert {block.dtype for block in blocks} == {np.dtype(np.float64)}
        np.testing.assert_array_equal(np.concatenate(blocks), wanted[split])


def test_a_gap_in_an_index_leaves_bytes_what_they_are(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    frame = pd.DataFrame({"x": np.arange(3, dtype=np.uint8)}, index=pd.Index([1.0, None, 2.0], name="id"))
    parquet.write_table(arrow.Table.from_pandas(frame), tmp_path / "x.parquet")
    (block,) = streams(tmp_path / "x.parquet")["train"].blocks()
    assert (block.dtype, block.tolist()) == (np.uint8, [[0], [1], [2]])


def test_a_block_of_parquet_is_a_few_megabytes_however_wide_a_row(tmp_path):
    """Of 20,000 bytes a row it was 82 MB; what zeros take in the file says nothing of it."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    wide = arrow.FixedSizeListArray.from_arrays(np.zeros(250 * 20_000, np.uint8), 20_000)
    parquet.write_table(arrow.table({"x": wide}).slice(0, 0), tmp_path / "none.parquet")
    with parquet.ParquetWriter(tmp_path / "wide.parquet", arrow.schema({"x": wide.type})) as writer:
        for size in (0, 250):
            writer.write_table(arrow.table({"x": wide[:size]}))
    sizes = [block.nbytes for block in streams(tmp_path)["train"].blocks()]
    assert sum(sizes) == wide.nbytes
    assert max(sizes) <= 2**22
    narrow = arrow.table({"x": np.zeros(9000)})
    parquet.write_table(narrow, tmp_path / "narrow.parquet")
    assert [len(block) for block in streams(tmp_path / "narrow.parquet")["train"].blocks()] == [9000]


def test_columns_of_a_split_are_those_of_the_others(tmp_path):
    """Two that had changed places were examples of two kinds."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"x": [1.0], "y": [2.0]}), tmp_path / "train.parquet")
    parquet.write_table(arrow.table({"y": [2.0], "x": [1.0]}), tmp_path / "test.parquet")
    with pytest.raises(ValueError, match=r"`source`\. Expected in .*test.parquet the columns of .*train.parquet"):
        streams(tmp_path)


def test_columns_of_one_name_stay_where_they_are(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    numbers = [arrow.array([float(d)]) for d in range(4)]
    parquet.write_table(arrow.Table.from_arrays(numbers, names=["x", "y", "x", "z"]), tmp_path / "x.parquet")
    (block,) = streams(tmp_path / "x.parquet")["train"].blocks()
    assert block.tolist() == [[0.0, 1.0, 2.0, 3.0]]


def test_an_index_alone_is_no_example(tmp_path):
    pytest.importorskip("pyarrow")
    pd.DataFrame(index=pd.Index([3, 1], name="id")).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"`source`\. Expected columns beside an index in .*Received: none"):
        streams(tmp_path / "x.parquet")


@pytest.mark.parametrize(
    "names",
    [
        ("train0", "train1", "test0"),
        ("Train-00", "Train-01", "TEST-00"),
        ("data/train-00000-of-00002", "data/train-00001-of-00002", "data/test-00000-of-00001"),
        ("train/a/0", "train/b/0", "test/a/0"),
        ("train.parquet/part-0", "train.parquet/part-1", "test.parquet/part-0"),
        ("b.parquet/train.parquet/part.0", "b.parquet/train.parquet/part.1", "b.parquet/Test.parquet/part.0"),
        ("mnist-train-0", "mnist_train1", "mnist-test"),
        ("MNIST_TRAIN", "mnistTrain0", "mnistTest"),
        ("mnist-train/0", "mnist-train/1", "mnist-test/0"),
        ("mnist.train/0", "mnist.train/1", "mnist.test/0"),
        ("split=train/0", "split=train/1", "split=test/0"),
        ("test-drive/a-train", "test-drive/train-1", "train/test/0"),
    ],
)
def test_a_parquet_file_of_a_split_is_of_no_other(tmp_path, names):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for number, name in enumerate(names):
        file = tmp_path / "parquet" / f"{name}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(arrow.table({"x": [float(10 * number + i) for i in range(10)]}), file)
    # What a download left.
    (tmp_path / "parquet" / ".cache").mkdir()
    (tmp_path / "parquet" / ".cache" / "part.parquet").write_bytes(b"")
    found = streams(tmp_path / "parquet")
    values = {split: np.concatenate(list(stream.blocks()))[:, 0].tolist() for split, stream in found.items()}
    assert values == {"train": list(range(20)), "test": list(range(20, 30))}


@pytest.mark.parametrize(
    "name",
    [
        *("mnist-train-test", "train-and-test/0", "train/mnist-test", "test/mnist-train/0", "test.parquet/mnist-train"),
        *("train/test-0", "Test/a/train-1", "train.parquet/test.0", "validation/train"),
    ],
)
def test_a_parquet_file_of_two_splits_is_refused(tmp_path, name):
    file = tmp_path / "parquet" / f"{name}.parquet"
    file.parent.mkdir(parents=True)
    file.touch()
    with pytest.raises(ValueError, match=rf"`source`\. Expected one of .* in the names of .* Received: {name}.parquet"):
        streams(tmp_path / "parquet")


def test_a_folder_that_spark_writes_is_as_one_file(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    folder = tmp_path / "all" / "x.parquet"
    folder.mkdir(parents=True)
    for number in range(2):
        file = folder / f"part-0000{number}-0e5a-c000.snappy.parquet"
        parquet.write_table(arrow.table({"x": [float(number)]}), file)
        (folder / f".{file.name}.crc").touch()
        # What was not moved to its place when the work was stopped, and what Delta Lake keeps of it.
        for beside in ("_temporary/0", "_delta_log"):
            (folder / beside).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, folder / beside)
    (folder / "_SUCCESS").touch()
    shutil.copy(file, folder / "_metadata.parquet")
    for source in (folder, tmp_path / "all"):
        assert [block.tolist() for block in streams(source)["train"].blocks()] == [[[0.0]], [[1.0]]]


def test_a_parquet_file_that_is_damaged_is_named(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "x.parquet"
    parquet.write_table(arrow.table({"x": RNG.random(1000)}), file, compression="zstd", use_dictionary=False)
    whole = file.read_bytes()
    file.write_bytes(whole[:4] + bytes(200) + whole[204:])
    with pytest.raises(ValueError, match=r"`source`\. Expected a Parquet file that is whole\. Received: .*x.parquet"):
        data.convert(file, tmp_path / "out", 1, verbose=False)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match=r"x.parquet`\. Expected a Parquet file that is whole\. Received: "):
        open_table(file)
    file.write_bytes(whole[:-300] + bytes(290) + whole[-10:])
    with pytest.raises(ValueError, match=r"x.parquet`\. Expected a Parquet file\. Received: "):
        open_table(file)


@pytest.mark.long
def test_a_killed_conversion_leaves_no_data_set(tmp_path):
    # Of noise, written and read for seconds.
    np.save(tmp_path / "x.npy", RNG.integers(0, 256, (400_000, 100), dtype=np.uint8))
    words = [sys.executable, str(SCRIPTS / "convert.py"), "x.npy", "--out", "out"]
    process = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.DEVNULL)
    while not any(folder.is_dir() and any(folder.iterdir()) for folder in tmp_path.iterdir() if folder.is_dir()):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    (left,) = (folder for folder in tmp_path.iterdir() if folder.is_dir())
    with pytest.raises(ValueError, match=r"with info.json. Received"):
        data.load(left, "train")
    printed = call("convert", "x.npy", "--out", "out", "--shards", "2", cwd=tmp_path).stdout
    assert re.search(r"examples  3\d\d,\d{3} train, [34]\d,\d{3} validation, [34]\d,\d{3} test", printed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "x.npy"]


SMALL = dict(batch_size=100, num_samples=3, hidden=((8,),), latent_dim=2)


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    config = experiments.ExperimentConfig.of(dataset=str(digits), epochs=3, prior="vamp", prior_components=10, **SMALL)
    return experiments.train(config, folder / "run"), config


@pytest.mark.long
def test_a_killed_run_goes_on_to_the_same_weights(trained, digits, tmp_path, as_here):
    run, _ = trained
    killed = tmp_path / "killed"
    words = [sys.executable, str(SCRIPTS / "train.py"), "--dataset", str(digits), "--out", str(killed), "--epochs", "3"]
    words += ["--batch-size", "100", "--num-samples", "3", "--hidden", "8", "--latent-dim", "2"]
    words += ["--prior", "vamp", "--prior-components", "10"]
    process = subprocess.Popen(words, env=as_here, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (killed / "model.keras").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    if len(runs.read_history(killed)) == 3:
        pytest.fail("the run was killed too late to test anything")
    experiments.resume(killed)
    for one, other in zip(*(runs.load_model(each).get_weights() for each in (run, killed)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.long
def test_evaluations_are_those_of_the_examples_in_memory(trained, digits):
    run, _ = trained
    assert isinstance(Subject.open(run, None, "test", None, 0, 200).images, tf.data.Dataset)
    result, record = experiments.evaluate(run, 20, verbose=False)
    held = evaluation_images(run, None, 0)
    np.testing.assert_array_equal(held, evaluation_images(run, None, 0, "digits"))
    expected = importance_weighted_nll(runs.load_model(run), held, 20, verbose=False)
    np.testing.assert_array_equal(result.log_likelihood_per_example, expected.log_likelihood_per_example)
    assert record["images_sha256"] == data.digest(held)
    limited, record = experiments.evaluate(run, 20, limit=70, split="train", verbose=False)
    other = experiments.evaluate(run, 20, "digits", "train", 70, verbose=False)
    np.testing.assert_array_equal(limited.log_likelihood_per_example, other[0].log_likelihood_per_example)
    assert record["images_sha256"] == other[1]["images_sha256"]


@pytest.mark.slow
def test_images_that_are_held_together_are_few(trained, monkeypatch):
    run, _ = trained
    monkeypatch.setattr("keras_iwae.experiments.evaluation_target._TOGETHER", 4 * 64 * 100)
    assert len(evaluation_images(run, 100, 0)) == 100
    for limit in (101, None):
        with pytest.raises(ValueError, match=rf"`limit`. Expected at most 100 images .*Received: {limit}"):
            evaluation_images(run, limit, 0)
    assert len(evaluation_images(run, None, 0, "digits")) == 300


@pytest.mark.slow
def test_the_best_and_the_worst_images_of_a_page_are_read_in_batches(trained, tmp_path, monkeypatch):
    run, asked = tmp_path / "run", []
    shutil.copytree(trained[0], run)
    experiments.evaluate(run, 20, verbose=False)
    images, model = evaluation_images(run, None, 0), runs.load_model(run)
    monkeypatch.setattr("keras_iwae.experiments.evaluation_target._TOGETHER", 4 * 64 * 100)
    pictures = Pictures(run)
    predict, generative = lambda x, verbose: asked.append(x) or x, model.generative
    vars(pictures)["model"] = SimpleNamespace(predict=predict, generative=generative)
    best, worst = pictures.extremes()
    order = np.argsort(-np.load(run / "per-example-test.npz")["log_likelihood"], kind="stable")
    assert [each.number for each in (*best, *worst)] == [*order[:8], *order[::-1][:8]]
    np.testing.assert_array_equal(asked[0], images[[*order[:8], *order[::-1][:8]]])


@pytest.mark.slow
def test_what_cannot_be_held_together_is_refused_before_anything_is_trained(trained, tmp_path, monkeypatch):
    monkeypatch.setattr("keras_iwae.experiments.evaluation_target._TOGETHER", 4 * 64 * 100)
    said = r"`limit`. Expected at most 100 images .*Received: 101"
    with pytest.raises(ValueError, match=said):
        sweep.sweep(trained[1], [1, 2], tmp_path / "sweep", limit=101)
    space = {"ema": Domain("uniform", (0.9, 0.99))}
    with pytest.raises(ValueError, match=said):
        tuning.tune(space, {"dataset": trained[1].data.dataset}, tmp_path / "tune", limit=101)
    assert not list(tmp_path.iterdir())


def test_another_folder_under_the_name_is_refused(trained, tmp_path):
    run, config = trained
    copied = tmp_path / "run"
    shutil.copytree(run, copied)
    other = data.convert("digits", tmp_path / "other", shards=2, verbose=False)
    (copied / "config.json").write_text((run / "config.json").read_text().replace(config.data.dataset, str(other)))
    evaluation_images(copied, 5, 0)
    edit(other, bits=True)
    with pytest.raises(ValueError, match=r"`dataset`. Expected in .* the 300 test examples"):
        evaluation_images(copied, 5, 0)
    # The order of an array is another.
    (copied / "config.json").write_text((run / "config.json").read_text().replace(config.data.dataset, "digits"))
    with pytest.raises(ValueError, match=r"`dataset`. Expected in digits the 1,297 train examples"):
        experiments.resume(copied, 4)


def test_what_a_configuration_asks_of_its_data_is_asked_of_shards(folders):
    def build(name, **options):
        config = experiments.ExperimentConfig.of(dataset=str(folders[name]), **{**SMALL, "batch_size": 5}, **options)
        return config.steps_per_pass, building.build(config)

    assert build("bytes")[0] == data.num_examples(folders["bytes"], "train") // 5
    with pytest.raises(ValueError, match=r"`missing`. Expected 'nan'"):
        build("gaps")
    assert build("gaps", missing="nan")[1].generative.missing == "nan"
    with pytest.raises(ValueError, match=r"`levels`. Expected it .* for bytes up to 6: .* 7 for codes"):
        build("codes", likelihood="categorical")
    assert build("codes", likelihood="categorical", levels=7)[1].generative.likelihood.levels == 7


def test_convert_says_what_was_made_and_refuses_in_one_line(tmp_path):
    np.savez(tmp_path / "x.npz", x_train=GREY, x_test=GREY[:20])
    printed = call("convert", "x.npz", "--out", "made", "--shards", "2", "--validation", "0.2", cwd=tmp_path).stdout
    assert re.fullmatch(r"folder    made\nexamples  \d\d train, \d\d validation, 20 test\n", printed)
    said = error_line("convert", "x.npz", "--out", "made", cwd=tmp_path)
    assert said.endswith("Expected a folder that is not there. Received: made, which is")
    assert shards.Shards.open(tmp_path / "made").shape == (3, 5, 1)
