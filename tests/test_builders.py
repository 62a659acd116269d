"""The TFDS builders read files of the true format: sizes, orientation, split, and what is said when a file is wrong."""

import gzip
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from keras_iwae import data
from keras_iwae.data import catalog
from keras_iwae.foundation import held_folder

TRAIN_COLUMNS, TEST_COLUMNS = 1345 + 30, 12


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    (tmp_path / "downloads" / "manual").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def chardata():
    """Columns in the authors' layout, each image unique and unlike its transpose."""
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (784, TRAIN_COLUMNS + TEST_COLUMNS)) * (rng.random((784, 1)) < 0.2)
    columns = (levels / 255.0).astype(np.float32)
    return {"data": columns[:, :TRAIN_COLUMNS], "testdata": columns[:, TRAIN_COLUMNS:]}


def _write_letters(path, bits):
    with gzip.open(path, "wt") as file:
        for index, row in enumerate(bits):
            fields = [str(index + 1), "a", "-1", "1", "1", str(index % 10), *map(str, row.tolist())]
            file.write("\t".join(fields) + "\t\n")


@pytest.mark.slow
def test_omniglot_28x28_follows_the_papers_permutation_and_is_upright(data_dir, chardata):
    scipy.io.savemat(data_dir / "downloads" / "manual" / "chardata.mat", chardata)
    train, validation, test = (data.images("omniglot_28x28", split) for split in ("train", "validation", "test"))
    assert train.shape == (30, 28, 28, 1)
    assert validation.shape == (1345, 28, 28, 1)
    assert test.shape == (12, 28, 28, 1)
    order = np.random.RandomState(123).permutation(TRAIN_COLUMNS)
    expected = [np.round(255 * chardata["data"][:, column].reshape(28, 28).T) for column in order]
    np.testing.assert_array_equal(np.concatenate([train, validation])[..., 0], expected)
    for image, column in zip(test, chardata["testdata"].T, strict=True):
        np.testing.assert_array_equal(image[..., 0], np.round(255 * column.reshape(28, 28).T))
        assert not np.array_equal(image[..., 0], np.round(255 * column.reshape(28, 28)))


@pytest.mark.slow
def test_omniglot_28x28_from_a_real_file(real_chardata, data_dir):
    (data_dir / "downloads" / "manual" / "chardata.mat").symlink_to(real_chardata)
    train, validation, test = (data.images("omniglot_28x28", split) for split in ("train", "validation", "test"))
    assert (len(train), len(validation), len(test)) == (23000, 1345, 8070)
    columns = scipy.io.loadmat(real_chardata, variable_names=("data", "testdata"))
    order = np.random.RandomState(123).permutation(24345)
    for image, column in ((train[0], order[0]), (train[-1], order[22999]), (validation[-1], order[-1])):
        np.testing.assert_allclose(image[..., 0] / 255.0, columns["data"][:, column].reshape(28, 28).T, atol=1 / 510)
    np.testing.assert_allclose(test[5, ..., 0] / 255.0, columns["testdata"][:, 5].reshape(28, 28).T, atol=1 / 510)
    for images in (train, test):
        assert images.max() == 255
        assert 0.02 < images.mean() / 255 < 0.3, "ink is 1 on a background of 0"


@pytest.fixture
def real_chardata():
    if "TFDS_DATA_DIR" not in os.environ:
        pytest.skip("TFDS_DATA_DIR is not set, so there is no folder in which to look for a real chardata.mat")
    path = Path(os.environ["TFDS_DATA_DIR"]).resolve().parent / "omniglot_28x28" / "chardata.mat"
    if not path.exists():
        pytest.skip("no omniglot_28x28/chardata.mat beside TFDS_DATA_DIR")
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("testdata"), "arrays `data` and `testdata`"),
        (lambda arrays: arrays.update(data=arrays["data"].T), r"`data` of shape \[784, N\]"),
        (lambda arrays: arrays.update(testdata=arrays["testdata"] * 255), r"`testdata` .* values in \[0, 1\]"),
        (lambda arrays: arrays.update(data=arrays["data"][:, :1345]), "more than 1345 images. Received: 1345"),
    ],
)
def test_omniglot_28x28_refuses_another_layout(data_dir, chardata, change, message):
    change(chardata)
    scipy.io.savemat(data_dir / "downloads" / "manual" / "chardata.mat", chardata)
    with pytest.raises(ValueError, match=message):
        data.images("omniglot_28x28", "train")


def test_omniglot_28x28_refuses_a_file_that_is_not_matlab(data_dir):
    (data_dir / "downloads" / "manual" / "chardata.mat").write_bytes(b"<html>404</html>" * 20)
    with pytest.raises(ValueError, match="should be a MATLAB file"):
        data.images("omniglot_28x28", "train")


@pytest.mark.parametrize(("name", "file"), [("omniglot_28x28", "chardata.mat"), ("ocr_letters", "letter.data.gz")])
def test_a_missing_manual_file_says_where_to_put_it(data_dir, name, file):
    with pytest.raises(ValueError, match=file) as caught:
        data.images(name, "train")
    assert str(data_dir / "downloads" / "manual") in str(caught.value)
    assert "TFDS_DATA_DIR" in str(caught.value)
    assert name in str(caught.value)
    assert caught.value.__cause__ is not None
    (data_dir / "downloads" / "manual" / "readme.txt").write_text("another file")
    with pytest.raises(ValueError, match=f"{file} does not exist"):
        data.images(name, "train")


def test_ocr_letters_pixels_and_split(data_dir, monkeypatch):
    from keras_iwae.data.builders import ocr_letters

    # The true 52,152 rows would take TFDS a while to write; the cut is by these three counts.
    monkeypatch.setattr(ocr_letters, "_TRAIN_ROWS", 50)
    monkeypatch.setattr(ocr_letters, "_VALIDATION_ROWS", 20)
    monkeypatch.setattr(ocr_letters, "_TEST_ROWS", 10)
    bits = np.random.default_rng(1).integers(0, 2, (80, 128))
    _write_letters(data_dir / "downloads" / "manual" / "letter.data.gz", bits)
    splits = [data.images("ocr_letters", split) for split in ("train", "validation", "test")]
    assert [images.shape for images in splits] == [(50, 16, 8, 1), (20, 16, 8, 1), (10, 16, 8, 1)]
    order = np.random.RandomState(123).permutation(80)
    np.testing.assert_array_equal(np.concatenate(splits)[..., 0], 255 * bits[order].reshape(80, 16, 8))


def test_ocr_letters_sizes_are_the_published_ones():
    from keras_iwae.data.builders import ocr_letters

    sizes = (ocr_letters._TRAIN_ROWS, ocr_letters._VALIDATION_ROWS, ocr_letters._TEST_ROWS)
    assert sizes == (32152, 10000, 10000)
    assert sum(sizes) == 52152


def test_ocr_letters_refuses_a_short_file_and_a_wrong_line(data_dir):
    path = data_dir / "downloads" / "manual" / "letter.data.gz"
    _write_letters(path, np.zeros((3, 128), int))
    with pytest.raises(ValueError, match=r"expected to have 52152 lines. Received: 3"):
        data.images("ocr_letters", "train")
    _write_letters(path, np.zeros((3, 127), int))
    with pytest.raises(ValueError, match="line 1: expected 6 fields and 128 pixels of 0 or 1"):
        data.images("ocr_letters", "train")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match="'ocr_letters' is not in"):
        data.images("ocr_letters", "train")


@pytest.mark.parametrize("name", ["omniglot_28x28", "ocr_letters"])
def test_tfds_finds_the_builders_by_name(data_dir, name):
    import tensorflow_datasets as tfds

    import keras_iwae.data.builders  # noqa: F401

    info = tfds.builder(name, data_dir=data_dir).info
    assert info.name == name
    assert "permuted_123" in info.full_name
    assert "title=" in info.citation


class Slow:
    """A builder that takes a while, and cannot be prepared twice at once."""

    url_infos = None
    prepared = 0

    def __init__(self, name, data_dir):
        self.folder = data_dir / name

    def is_prepared(self):
        return self.folder.exists()

    def download_and_prepare(self):
        Slow.prepared += 1
        unfinished = self.folder.with_name(f"unfinished{Slow.prepared}")
        unfinished.mkdir()
        time.sleep(0.5)
        unfinished.rename(self.folder)
        (self.folder / "file").write_text("")


def test_of_processes_that_begin_together_one_prepares(tmp_path, monkeypatch):
    monkeypatch.setattr("tensorflow_datasets.builder", Slow)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: catalog._prepared_builder("slow", tmp_path / "new"), range(3)))
    assert Slow.prepared == 1
    assert all(builder.is_prepared() for builder in found)


def test_who_waited_holds_a_folder_that_is_there(tmp_path):
    """What was held was the folder that whoever had it before had removed, and the next had another beside it."""
    folder, entered, done = tmp_path / "new", threading.Event(), threading.Event()

    def second():
        with catalog._held(folder):
            entered.set()
            done.wait(20)

    with ThreadPoolExecutor(1) as pool:
        with catalog._held(folder):
            waiting = pool.submit(second)
            time.sleep(0.3)
            folder.rmdir()
        assert entered.wait(20)
        with pytest.raises(ValueError, match="no other process is at work"), held_folder(folder, "out", 0.1):
            pass
        done.set()
        waiting.result()


def test_what_a_waiting_process_makes_is_not_removed_for_one_that_failed(tmp_path, monkeypatch):
    """What had failed was cleaned up when the next had begun."""
    failed, began = [], threading.Event()

    class Failing(Slow):
        MANUAL_DOWNLOAD_INSTRUCTIONS = None

        def download_and_prepare(self):
            (self.folder.parent / "downloads").mkdir(exist_ok=True)
            if not failed:
                failed.append(threading.get_ident())
                raise OSError("no network")
            (self.folder.parent / "downloads" / "extracted").mkdir()
            began.set()
            time.sleep(0.2)
            (self.folder.parent / "downloads" / "extracted" / "file").touch()
            self.folder.mkdir()

    folders = catalog._folders

    def late(roots):
        if threading.get_ident() in failed:
            began.wait(0.3)
        return folders(roots)

    monkeypatch.setattr(catalog, "_folders", late)
    monkeypatch.setattr("tensorflow_datasets.builder", Failing)
    with ThreadPoolExecutor(2) as pool:
        ended = [pool.submit(catalog._prepared_builder, "slow", tmp_path / "new") for _ in range(2)]
    assert sorted(str(each.exception())[:14] for each in ended) == ["Dataset 'slow'", "None"]
    assert (tmp_path / "new" / "slow").is_dir()
