"""The splits of each dataset, upright bright ink, and draws that are a function of (seed, epoch, batch)."""

import ast
import os
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_iwae import data
from keras_iwae.data import catalog


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def grey():
    return np.random.default_rng(0).integers(0, 256, (50, 4, 3, 1)).astype(np.uint8)


def epoch(dataset):
    return np.concatenate([batch.numpy() for batch in dataset])


# Catalog: named datasets


def test_digits_is_three_disjoint_parts_of_the_whole():
    from sklearn.datasets import load_digits

    parts = [data.images("digits", split) for split in ("train", "validation", "test")]
    assert [part.shape for part in parts] == [(1297, 8, 8, 1), (200, 8, 8, 1), (300, 8, 8, 1)]
    joined = np.concatenate(parts).reshape(1797, 64)
    expected = np.round(load_digits().data * 255 / 16).astype(np.uint8)
    assert sorted(row.tobytes() for row in joined) == sorted(row.tobytes() for row in expected)
    assert joined.max() == 255


def test_digits_are_read_once_and_what_becomes_of_an_answer_is_the_callers_own(monkeypatch):
    import sklearn.datasets

    before = data.images("digits", "test")
    expected = before.copy()
    before[:] = 0
    monkeypatch.setattr(sklearn.datasets, "load_digits", lambda: pytest.fail("read again"))
    np.testing.assert_array_equal(data.images("digits", "test"), expected)


@pytest.mark.slow
def test_mnist_holds_out_the_last_400_rows(real_data):
    train, validation, test = (data.images("mnist", split) for split in ("train", "validation", "test"))
    assert (len(train), len(validation), len(test)) == (59600, 400, 10000)
    assert train.shape[1:] == (28, 28, 1)
    assert train.dtype == np.uint8
    seen = {image.tobytes() for image in train}
    assert not seen & {image.tobytes() for image in validation}
    assert train.mean() / 255 == pytest.approx(0.1307, abs=1e-3)


@pytest.mark.slow
def test_mnist_rows_are_those_of_tfds_in_order(real_data):
    import tensorflow_datasets as tfds

    stored = tfds.load("mnist", split="train[59600:59610]", data_dir=os.environ["TFDS_DATA_DIR"], shuffle_files=False)
    np.testing.assert_array_equal(
        data.images("mnist", "validation")[:10], [example["image"] for example in tfds.as_numpy(stored)]
    )


def test_named_images_are_read_only(real_data):
    with pytest.raises(ValueError, match="read-only"):
        data.images("mnist", "validation")[0] = 0


@pytest.mark.slow
def test_omniglot_is_bright_ink_of_the_size_of_mnist(real_data):
    sizes = {split: data.images("omniglot", split).shape for split in ("train", "validation", "test")}
    assert sizes == {"train": (17935, 28, 28, 1), "validation": (1345, 28, 28, 1), "test": (13180, 28, 28, 1)}
    train = data.images("omniglot", "train")
    assert 0.02 < train.mean() / 255 < 0.2
    assert train.max() > 200
    # Characters are drawn in the middle: a corner is paper, which must be 0.
    assert train[:, 0, 0].mean() / 255 < 0.02


@pytest.mark.slow
def test_omniglot_agrees_with_an_area_average_in_numpy(real_data):
    import tensorflow_datasets as tfds

    stored = tfds.load("omniglot", split="test[:4]", data_dir=os.environ["TFDS_DATA_DIR"], shuffle_files=False)
    # 105 = 28 * 3.75: repeat each pixel 4 times, then average blocks of 15.
    paper = np.stack([example["image"][..., 0] for example in tfds.as_numpy(stored)]).astype(float)
    averaged = paper.repeat(4, 1).repeat(4, 2).reshape(4, 28, 15, 28, 15).mean((2, 4))
    np.testing.assert_allclose(data.images("omniglot", "test")[:4, ..., 0], 255 - averaged, atol=0.51)


def _prepare(builder_name, data_dir, sizes, image):
    """Write a TFDS dataset of `image(0)`, `image(1)`..., in the place of one whose files need a network.

    Returns the stored images of each split in the order that TFDS gave them.
    """
    import tensorflow_datasets as tfds

    builder = tfds.builder(builder_name, data_dir=data_dir)
    starts = dict(zip(sizes, np.cumsum([0, *sizes.values()]), strict=False))

    def rows(split):
        for index in range(starts[split], starts[split] + sizes[split]):
            example = {"image": image(index)}
            yield index, example | ({"label": 0} if "label" in builder.info.features else {})

    builder._split_generators = lambda manager: {split: rows(split) for split in sizes}
    builder.download_and_prepare()
    stored = builder.as_dataset(batch_size=-1, shuffle_files=False)
    return {split: stored[split]["image"].numpy() for split in sizes}


def _numbered(index):
    image = np.zeros((28, 28, 1), np.uint8)
    image[0, 1:3, 0] = divmod(index, 256)
    return image


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fashion_mnist", "kmnist"])
def test_held_out_rows_are_the_last_5000(data_dir, name):
    stored = _prepare(name, data_dir, {"train": 5012, "test": 7}, _numbered)
    np.testing.assert_array_equal(data.images(name, "train"), stored["train"][:12])
    np.testing.assert_array_equal(data.images(name, "validation"), stored["train"][12:])
    np.testing.assert_array_equal(data.images(name, "test"), stored["test"])


@pytest.mark.slow
def test_emnist_letters_is_turned_upright_and_holds_out_a_tenth(data_dir):
    sizes = {"train": 40, "test": 3}
    stored = _prepare("emnist/letters", data_dir, sizes, lambda index: _numbered(index + 1).transpose(1, 0, 2))
    train, validation, test = (data.images("emnist_letters", split) for split in ("train", "validation", "test"))
    assert train[:, 0].any(axis=(1, 2)).all(), "what is drawn along the top must be along the top"
    np.testing.assert_array_equal(train[..., 0], [image[..., 0].T for image in stored["train"][:36]])
    np.testing.assert_array_equal(validation[..., 0], [image[..., 0].T for image in stored["train"][36:]])
    np.testing.assert_array_equal(test[..., 0], [image[..., 0].T for image in stored["test"]])


@pytest.mark.slow
def test_binarized_mnist_keeps_its_own_split_and_uses_the_full_range(data_dir):
    draw = np.random.default_rng(0).integers(0, 2, (15, 28, 28, 1)).astype(np.uint8)
    sizes = {"train": 8, "validation": 4, "test": 3}
    stored = _prepare("binarized_mnist", data_dir, sizes, draw.__getitem__)
    for split, size in sizes.items():
        assert stored[split].shape == (size, 28, 28, 1)
        np.testing.assert_array_equal(data.images("binarized_mnist", split), stored[split] * 255)
    np.testing.assert_array_equal(epoch(data.load("binarized_mnist", "test", seed=5)), stored["test"])


def test_mean_image_is_the_mean_grey_level_of_the_training_split(grey):
    np.testing.assert_allclose(data.mean_image(grey), (grey / 255.0).mean(0), rtol=1e-6)
    np.testing.assert_allclose(data.mean_image(grey / 255.0), (grey / 255.0).mean(0), rtol=1e-6)
    mean = data.mean_image("digits")
    assert mean.shape == (8, 8, 1)
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean, data.images("digits", "train").mean(0) / 255, rtol=1e-5)


# Catalog: the user's own images


def test_arrays_keep_their_grey_levels(grey):
    np.testing.assert_array_equal(data.images(grey, "train"), grey)
    np.testing.assert_array_equal(data.images(grey[..., 0], "test"), grey)
    assert data.images(grey.reshape(50, 12), "train").shape == (50, 12)
    np.testing.assert_array_equal(data.images((grey > 99).astype(np.uint8), "train"), (grey > 99) * 255)
    floats = data.images(grey / 255.0, "train")
    assert floats.dtype == np.float32
    assert floats.max() <= 1
    colour = np.zeros((2, 4, 4, 3), np.uint8)
    assert data.images(colour, "train").shape == (2, 4, 4, 3)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(5), r"Expected shape \[N, H, W\]"),
        (np.full((2, 3), 1.5), r"values in \[0, 1\]"),
        (np.full((2, 3), 200), "divide 8-bit images by 255"),
        (np.full((2, 3), np.nan), "NaN"),
        (np.zeros((0, 3), np.uint8), "at least one example"),
        (np.array([["a"]]), "Expected numbers"),
    ],
)
def test_arrays_that_are_no_images_are_refused(array, message):
    with pytest.raises(ValueError, match=f"Invalid value received for `source`.*{message}"):
        data.images(array, "train")


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_a_file_without_a_split_is_cut_80_10_10(tmp_path, grey, suffix):
    path = tmp_path / f"mine{suffix}"
    np.savez(path, x=grey) if suffix == ".npz" else np.save(path, grey)
    parts = [data.images(path, split) for split in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [40, 5, 5]
    rows = {row.tobytes() for part in parts for row in part}
    assert rows == {row.tobytes() for row in grey}, "the parts are disjoint and make up the whole"
    np.testing.assert_array_equal(data.images(str(path), "test"), parts[2])


def test_a_file_with_a_test_split_keeps_it(tmp_path, grey):
    path = tmp_path / "mine.npz"
    np.savez(path, x_train=grey[:40], x_test=grey[40:], y_train=np.zeros(40))
    np.testing.assert_array_equal(data.images(path, "test"), grey[40:])
    train, validation = data.images(path, "train"), data.images(path, "validation")
    assert (len(train), len(validation)) == (36, 4)
    assert {row.tobytes() for row in (*train, *validation)} == {row.tobytes() for row in grey[:40]}


@pytest.mark.parametrize("name", ["x_validation", "x_val"])
def test_a_file_with_a_validation_split_keeps_it(tmp_path, grey, name):
    """It had no effect: a tenth of the training split was held out beside it."""
    path = tmp_path / "mine.npz"
    np.savez(path, x_train=grey[:9], x_test=grey[30:], **{name: grey[9:30]})
    for split, rows in {"train": grey[:9], "validation": grey[9:30], "test": grey[30:]}.items():
        np.testing.assert_array_equal(data.images(path, split), rows)
        assert data.num_examples(path, split) == len(rows)
    np.testing.assert_array_equal(epoch(data.load(path, "validation", 4, "none")) * 255.0, grey[9:30])
    np.testing.assert_allclose(data.mean_image(path), grey[:9].mean(axis=0) / 255.0, rtol=1e-6)
    # What its bytes mean is said by it, too.
    np.savez(path, x_train=grey[:9] // 128, x_test=grey[30:] // 128, **{name: grey[9:30]})
    np.testing.assert_array_equal(data.images(path, "test"), grey[30:] // 128)
    np.savez(path, x_train=grey[:9], x_test=grey[30:], **{name: grey[9:30, 1:]})
    with pytest.raises(ValueError, match=rf"of one shape in .*Received: x_train .*, {name} \[21, 3, 3, 1\], x_test"):
        data.images(path, "train")


@pytest.mark.parametrize("others", [("x",), ("x_train",), ("x_train", "x_test", "x_val"), ("x", "x_train")])
def test_a_validation_split_that_would_have_no_effect_is_refused(tmp_path, grey, others):
    path = tmp_path / "mine.npz"
    np.savez(path, x_validation=grey, **dict.fromkeys(others, grey))
    for call in (lambda: data.images(path, "train"), lambda: data.convert(path, tmp_path / "out", 1, verbose=False)):
        with pytest.raises(ValueError, match=r"`source`\. Expected an array `x`, or, .*Received: arrays \['x"):
            call()


@pytest.mark.parametrize("others", [("x_test",), ("x_train",), ("x_train", "x_test"), ("x_train", "x_test", "x_val")])
def test_all_examples_beside_those_of_a_split_are_refused(tmp_path, grey, others):
    """One or the other had no effect, and without a word the test split was a tenth of `x`."""
    path = tmp_path / "mine.npz"
    np.savez(path, x=grey, **dict.fromkeys(others, grey))
    for call in (lambda: data.images(path, "test"), lambda: data.convert(path, tmp_path / "out", 1, verbose=False)):
        with pytest.raises(ValueError, match=r"`source`\. Expected an array `x`, or, .*Received: arrays \['x', 'x_t"):
            call()


def test_arrays_of_a_file_that_are_no_examples_are_not_read(tmp_path, grey):
    """Names as objects, which NumPy reads as code, were refused; `convert` took the same file."""
    path = tmp_path / "mine.npz"
    np.savez(path, x=grey, names=np.array(["a", None] * 25, dtype=object))
    assert len(data.images(path, "train")) == 40
    np.savez(path, x_train=grey[:40], x_test=grey[40:], names=np.array(["a", None] * 25, dtype=object))
    np.testing.assert_array_equal(data.images(path, "test"), grey[40:])


def test_files_that_hold_something_else_are_refused(tmp_path, grey):
    path = tmp_path / "mine.npz"
    with pytest.raises(ValueError, match=r"mine.npz, which is not there"):
        data.images(path, "train")
    np.savez(path, images=grey)
    with pytest.raises(ValueError, match=r"`x_train` and `x_test` in .*mine.npz. Received: arrays \['images'\]"):
        data.images(path, "train")
    np.savez(path, x=grey)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"mine.npz. Received: a file that NumPy cannot read"):
        data.images(path, "train")
    np.savez(path, x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match=r"NumPy cannot read.*allow_pickle=False"):
        data.images(path, "train")
    np.savez(path, x=grey[:9])
    with pytest.raises(ValueError, match=r"at least 10 images to split in .*mine.npz. Received: 9"):
        data.images(path, "train")
    np.savez(path, x_train=grey, x_test=grey[:, 1:])
    with pytest.raises(ValueError, match=r"`source`. Expected examples of one shape in .*mine.npz. Received: x_train"):
        data.images(path, "train")
    np.savez(path, x_train=grey / 100.0, x_test=grey)
    with pytest.raises(ValueError, match=r"mine.npz: x_train.*Expected values in \[0, 1\]"):
        data.images(path, "train")


# Catalog: errors


def test_an_unknown_name_is_met_with_the_nearest():
    with pytest.raises(ValueError, match=r"Received: 'mnits'. Did you mean 'mnist'") as caught:
        data.images("mnits", "train")
    assert all(name in str(caught.value) for name in data.names())
    assert ".npz or .npy" in str(caught.value)


def test_source_and_split_are_checked():
    with pytest.raises(ValueError, match=r"Invalid value received for `split`. Expected one of .*Received: 'val'"):
        data.images("digits", "val")
    with pytest.raises(ValueError, match=r"Invalid value received for `source`.*Received: list"):
        data.images([[0.0]], "train")


def test_a_dataset_out_of_reach_says_how_to_get_it(data_dir, monkeypatch):
    monkeypatch.setattr(catalog.urllib.request, "getproxies", dict)
    monkeypatch.setattr(catalog.socket, "getaddrinfo", lambda *_: (_ for _ in ()).throw(OSError("no such host")))
    message = r"'kmnist' is not in .*ConnectionError.*tfds build kmnist.*TFDS_DATA_DIR"
    with pytest.raises(ValueError, match=message) as caught:
        data.images("kmnist", "train")
    assert str(data_dir) in str(caught.value)
    assert isinstance(caught.value.__cause__, ConnectionError)


@pytest.mark.parametrize("kept", [False, True])
def test_what_a_failed_preparation_began_is_removed(data_dir, monkeypatch, kept):
    if kept:
        (data_dir / "downloads" / "manual").mkdir(parents=True)
        (data_dir / "downloads" / "manual" / "notes.txt").write_text("mine")
    before = sorted(data_dir.rglob("*"))
    with pytest.raises(ValueError, match=r"'omniglot_28x28' is not in .*downloads/manual"):
        data.images("omniglot_28x28", "train")
    assert sorted(data_dir.rglob("*")) == before


def test_a_failed_download_keeps_its_cause(data_dir, monkeypatch):
    import tensorflow_datasets as tfds

    def fail(self, *args, **kwargs):
        raise PermissionError("read-only")

    monkeypatch.setattr(catalog, "_check_hosts", lambda urls: None)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(ValueError, match=r"PermissionError: read-only.* that can be written to") as caught:
        data.images("kmnist", "train")
    assert isinstance(caught.value.__cause__, PermissionError)


def test_importing_data_does_not_import_tfds():
    for path in Path(data.__file__).parent.glob("*.py"):
        statements = [
            node for node in ast.parse(path.read_text()).body if isinstance(node, (ast.Import, ast.ImportFrom))
        ]
        imported = " ".join(map(ast.unparse, statements))
        assert "tensorflow_datasets" not in imported, path.name
        assert "builders" not in imported, path.name


# Pipeline


@pytest.mark.slow
def test_batches_have_the_promised_shape_and_number(grey):
    train = data.load(grey, "train", batch_size=20)
    assert len(train) == 2
    assert [batch.shape for batch in train] == [(20, 4, 3, 1)] * 2
    assert train.element_spec == tf.TensorSpec((20, 4, 3, 1), tf.float32)
    test = data.load(grey, "test", batch_size=20)
    assert len(test) == 3
    assert [len(batch) for batch in test] == [20, 20, 10]
    assert next(iter(data.load(grey.reshape(50, 12), batch_size=7))).shape == (7, 12)


def test_one_epoch_shows_each_image_once_in_a_new_order(grey):
    dataset = data.load(grey, "train", batch_size=10, binarization="none")
    first, second = epoch(dataset), epoch(dataset)
    assert not np.array_equal(first, grey / 255.0)
    assert not np.array_equal(first, second)
    for shown in (first, second):
        np.testing.assert_allclose(np.sort(shown, 0), np.sort(grey / 255.0, 0), rtol=1e-6)


@pytest.mark.slow
def test_every_dropped_row_comes_back_in_another_epoch(grey):
    dataset = data.load(grey, "train", batch_size=20, binarization="none")
    shown = {row.tobytes() for _ in range(12) for row in epoch(dataset)}
    assert len(shown) == 50


@pytest.mark.slow
def test_dynamic_draws_have_the_mean_and_the_variance_of_the_grey_level():
    # One image throughout, so that shuffling does not matter; 400 rows x 10 epochs draws of each pixel.
    level = np.array([0, 1, 64, 127, 128, 200, 254, 255], np.uint8)
    dataset = data.load(np.tile(level, (400, 1)), "train", batch_size=40)
    epochs = np.stack([epoch(dataset) for _ in range(10)])
    assert set(np.unique(epochs)) == {0.0, 1.0}
    p = level / 255.0
    standard_error = np.sqrt(p * (1 - p) / 4000)
    assert np.all(np.abs(epochs.mean((0, 1)) - p) <= 4 * standard_error + 1e-12)
    # Draws that repeated within an epoch, or from one epoch to the next, would spread these means wider or not at all.
    for axis, draws in ((0, 10), (1, 400)):
        spread = epochs[..., 2:6].mean(axis).var(axis=0, ddof=1)
        rows = epochs.shape[1 - axis]
        ratio = spread / (p * (1 - p) / draws)[2:6]
        assert np.all(np.abs(ratio - 1) < 5 * np.sqrt(2 / (rows - 1))), ratio


def test_draws_of_pixels_of_different_batches_are_uncorrelated():
    half = np.full((64, 500), 0.5)
    batches = np.stack([batch.numpy() for batch in data.load(half, "train", batch_size=32)])
    correlation = np.corrcoef(batches.reshape(2, -1))[0, 1]
    assert abs(correlation) < 4 / np.sqrt(32 * 500)


@pytest.mark.slow
def test_the_same_seed_repeats_and_another_differs(grey):
    def two_epochs(seed, split="train"):
        dataset = data.load(grey, split, batch_size=10, seed=seed)
        return np.stack([epoch(dataset), epoch(dataset)])

    for split in ("train", "test"):
        np.testing.assert_array_equal(two_epochs(3, split), two_epochs(3, split))
        assert not np.array_equal(two_epochs(3, split), two_epochs(4, split))
    first, second = two_epochs(3)
    assert not np.array_equal(np.sort(first, 0), np.sort(second, 0)), "the pixels are drawn anew, not only shuffled"


@pytest.mark.slow
@pytest.mark.parametrize("binarization", ["dynamic", "static", "none"])
def test_first_epoch_resumes_bit_for_bit(grey, binarization):
    def make(first):
        return data.load(grey, "train", batch_size=8, binarization=binarization, seed=7, first_epoch=first)

    whole = make(0)
    epochs = [epoch(whole) for _ in range(3)]
    resumed = make(1)
    np.testing.assert_array_equal(epoch(resumed), epochs[1])
    np.testing.assert_array_equal(epoch(resumed), epochs[2])


def test_two_iterations_at_once_are_two_epochs(grey):
    dataset = data.load(grey, "train", batch_size=10)
    together = list(zip(dataset, dataset, strict=True))
    alone = data.load(grey, "train", batch_size=10)
    np.testing.assert_array_equal(np.concatenate([first for first, _ in together]), epoch(alone))
    np.testing.assert_array_equal(np.concatenate([second for _, second in together]), epoch(alone))


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("binarization", ["dynamic", "static"])
def test_evaluation_splits_are_drawn_once_whatever_the_batch_size(grey, split, binarization):
    dataset = data.load(grey, split, batch_size=7, binarization=binarization, seed=2)
    once = epoch(dataset)
    np.testing.assert_array_equal(epoch(dataset), once)
    np.testing.assert_array_equal(epoch(data.load(grey, split, batch_size=50, seed=2)), once)
    assert set(np.unique(once)) == {0.0, 1.0}
    assert once[grey == 0].sum() == 0
    assert once[grey == 255].all()


def test_the_draw_of_a_test_set_does_not_depend_on_the_block_size(monkeypatch):
    images = np.full((30, 5, 3), 0.5)
    whole = epoch(data.load(images, "test"))
    monkeypatch.setattr("keras_iwae.data.binarization._BLOCK", 7)
    np.testing.assert_array_equal(epoch(data.load(images, "test")), whole)
    assert abs(whole.mean() - 0.5) < 4 * np.sqrt(0.25 / whole.size)


def test_static_training_images_stay_the_same_in_every_epoch(grey):
    def rows(dataset):
        return {row.tobytes() for row in epoch(dataset)}

    dataset = data.load(grey, "train", batch_size=10, binarization="static")
    assert rows(dataset) == rows(dataset) == rows(data.load(grey, "train", batch_size=25, binarization="static"))


def test_threshold_is_strictly_above_a_half():
    levels = np.array([[0, 127, 128, 255]], np.uint8)
    np.testing.assert_array_equal(epoch(data.load(levels, "test", binarization="threshold")), [[0, 0, 1, 1]])
    floats = np.array([[0.0, 0.5, 0.51, 1.0]])
    np.testing.assert_array_equal(epoch(data.load(floats, "test", binarization="threshold")), [[0, 0, 1, 1]])


@pytest.mark.parametrize("binarization", ["dynamic", "static"])
def test_binary_images_are_never_changed(binarization):
    bits = np.random.default_rng(0).integers(0, 2, (40, 6)).astype(np.uint8)
    shown = epoch(data.load(bits, "train", batch_size=40, binarization=binarization))
    np.testing.assert_array_equal(np.sort(shown, 0), np.sort(bits, 0))


@pytest.mark.slow
def test_keras_fit_takes_one_epoch_at_each_pass(grey):
    class Recorder(keras.Model):
        def __init__(self):
            super().__init__()
            self.seen = []

        def train_step(self, x):
            tf.py_function(lambda batch: self.seen.append(batch.numpy()), [x], [])
            return {"loss": 0.0}

    model = Recorder()
    model.compile(optimizer="sgd", jit_compile=False)
    model.fit(data.load(grey, "train", batch_size=10, seed=1), epochs=3, verbose=0)
    alone = data.load(grey, "train", batch_size=10, seed=1)
    np.testing.assert_array_equal(np.concatenate(model.seen), np.concatenate([epoch(alone) for _ in range(3)]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"binarization": "sampled"}, "`binarization`. Expected one of .*'dynamic'.*Received: 'sampled'"),
        ({"split": "eval"}, "`split`. Expected one of .*'validation'.*Received: 'eval'"),
        ({"batch_size": 0}, "`batch_size`. Expected an integer of at least 1. Received: 0"),
        ({"batch_size": 2.5}, "`batch_size`. Expected an integer of at least 1. Received: 2.5"),
        ({"seed": -1}, "`seed`. Expected an integer from 0 to 2147483647. Received: -1"),
        ({"seed": 2**31}, "`seed`. Expected an integer from 0 to 2147483647. Received: 2147483648"),
        ({"first_epoch": -1}, "`first_epoch`. Expected an integer of at least 0. Received: -1"),
        ({"batch_size": 51}, "`batch_size`. Expected at most the 50 rows .* Received: 51"),
    ],
)
def test_load_names_the_argument_that_is_wrong(grey, arguments, message):
    with pytest.raises(ValueError, match=f"Invalid value received for {message}"):
        data.load(grey, **arguments)


def test_a_small_test_split_is_one_partial_batch(grey):
    assert [len(batch) for batch in data.load(grey, "test", batch_size=51)] == [50]


def test_an_iterator_ends_when_it_is_told_to():
    """What tunes a pipeline would keep its end waiting, by chance, for as long again as it has lived."""
    for split in ("train", "test"):
        assert data.load("digits", split, 50).options().autotune.enabled is False
