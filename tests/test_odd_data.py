"""Data as people have it, which once was trained on with a wrong meaning, or refused with a word that did not help."""

import math

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from keras_iwae import IWAE, data, experiments, importance_weighted_nll
from keras_iwae.likelihoods import BernoulliLikelihood, GaussianLikelihood

RNG = np.random.default_rng(0)
GREY = np.random.default_rng(1).integers(0, 256, (60, 6)).astype(np.uint8)


def loaded(source, split="test", **options):
    return np.concatenate(list(data.load(source, split, **options).as_numpy_iterator()))


def model(likelihood="gaussian", **options):
    made = IWAE(6, latent_dim=2, hidden=(8,), num_samples=3, likelihood=likelihood, **options)
    made.compile("adam")
    return made


def test_bytes_that_are_levels_already_stay_what_they_are():
    codes = RNG.integers(0, 5, (60, 6)).astype(np.uint8)
    for kind in (np.uint8, np.int64, np.float32):
        np.testing.assert_array_equal(loaded(codes.astype(kind), binarization="levels", levels=5), codes)
        np.testing.assert_allclose(data.mean_image(codes.astype(kind), "levels", 5), codes.mean(axis=0), rtol=1e-6)
    grey = RNG.integers(0, 256, (60, 6)).astype(np.uint8)
    np.testing.assert_array_equal(loaded(grey, binarization="levels", levels=5), np.round(grey / 255.0 * 4.0))


@pytest.mark.parametrize(("source", "levels"), [(np.arange(18).reshape(3, 6), 4), (np.zeros((3, 6), np.uint8), 2.5)])
def test_levels_that_the_data_has_not(source, levels):
    with pytest.raises(ValueError, match=r"`(source|levels)`\. Expected"):
        loaded(source, binarization="levels", levels=levels)


def test_levels_without_levels_are_refused():
    with pytest.raises(ValueError, match=r"`levels`\. Expected none with binarization='none'"):
        data.load(np.zeros((3, 6)), "test", binarization="none", levels=4)


def test_what_bytes_mean_is_said_by_both_splits(tmp_path):
    """A test split of counts that happen to be 0 and 1 was taken for black and white."""
    path, counts = tmp_path / "counts.npz", RNG.integers(0, 2, (20, 6)).astype(np.uint8)
    np.savez(path, x_train=RNG.poisson(2, (50, 6)).astype(np.uint8) + np.uint8(2), x_test=counts)
    np.testing.assert_array_equal(loaded(path, binarization="levels"), counts)


@pytest.mark.slow
@pytest.mark.parametrize("binarization", ["dynamic", "static", "threshold", "none", "levels"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_bits_stay_bits_beside_floats_with_gaps(tmp_path, split, binarization):
    """Bits of a test split were taken for the darkest of 256 grey levels where the training split had gaps."""
    path, bits = tmp_path / "bits.npz", RNG.integers(0, 2, (60, 6)).astype(np.uint8)
    gaps = np.where(RNG.random((60, 6)) < 0.2, np.nan, bits)
    np.savez(path, **{"x_train": gaps, "x_test": gaps, f"x_{split}": bits})
    np.testing.assert_array_equal(
        loaded(path, binarization=binarization, batch_size=60), bits if split == "test" else gaps
    )
    trained = loaded(path, "train", binarization=binarization, batch_size=54)
    assert set(np.unique(trained[~np.isnan(trained)])) == {0.0, 1.0}
    np.testing.assert_allclose(data.mean_image(path, binarization), np.nanmean(trained, axis=0), rtol=1e-6)
    assert data.num_levels(path) == 2


@pytest.mark.parametrize("split", ["x_train", "x_test"])
def test_grey_levels_beside_floats_as_they_are_are_refused(tmp_path, split):
    """Bytes are divided by 255, and numbers of the other split are not."""
    path, counts = tmp_path / "counts.npz", RNG.poisson(3.0, (60, 6))
    np.savez(path, **{"x_train": counts / 2, "x_test": counts / 2, split: counts.astype(np.uint8)})
    said = "x_train of uint8, x_test of float64" if split == "x_train" else "x_train of float64, x_test of uint8"
    for each in ("train", "test"):
        with pytest.raises(ValueError, match=rf"`source`\. Expected examples of one type in .*npz: .*Received: {said}"):
            loaded(path, each, binarization="none", batch_size=20)
    # Grey levels are the same in either type.
    np.savez(path, **{"x_train": GREY / 255.0, "x_test": GREY / 255.0, split: GREY})
    np.testing.assert_array_equal(loaded(path, binarization="threshold"), GREY > 127)


@pytest.mark.parametrize("levels", [None, 9])
def test_bytes_are_levels_beside_counts_with_gaps(tmp_path, levels):
    """The largest count was NaN, and with it the brightest byte."""
    path, counts = tmp_path / "counts.npz", RNG.integers(0, 9, (60, 6))
    counts[0] = 8
    gaps = np.where(RNG.random((60, 6)) < 0.2, np.nan, counts)
    gaps[0, 0] = 8
    np.savez(path, x_train=gaps, x_test=counts.astype(np.uint8))
    np.testing.assert_array_equal(loaded(path, binarization="levels", levels=levels), counts)
    np.savez(path, x_train=np.full((60, 6), np.nan), x_test=np.minimum(counts, 0).astype(np.uint8))
    assert not loaded(path, binarization="levels", levels=levels).any()


def test_bytes_beyond_the_levels_are_refused_in_any_split(tmp_path):
    """One code too many made grey levels of a test split, all of them level 0."""
    path, codes = tmp_path / "codes.npz", RNG.integers(0, 5, (60, 6))
    beyond = np.where(np.eye(60, 6, dtype=bool), 5, codes)
    for kind in (np.uint8, np.int64):
        np.savez(path, x_train=codes.astype(kind), x_test=beyond.astype(kind))
        with pytest.raises(
            ValueError, match=r"`source`\. Expected integers in \[0, 4\]\. Received: values in \[0, 5\]"
        ):
            loaded(path, binarization="levels", levels=5)
        with pytest.raises(ValueError, match=r"`source`\. Expected integers in \[0, 2\]"):
            loaded(codes.astype(kind), binarization="levels", levels=3)
    # Grey levels by the training split, though the test split is dark.
    grey = RNG.integers(0, 256, (60, 6)).astype(np.uint8)
    np.savez(path, x_train=grey, x_test=codes.astype(np.uint8))
    assert not loaded(path, binarization="levels", levels=5).any()


@pytest.mark.parametrize("levels", [None, 2, 5, 256])
def test_zeros_and_ones_in_bytes_are_levels_already(tmp_path, levels):
    path, bits = tmp_path / "bits.npz", RNG.integers(0, 2, (60, 6)).astype(np.uint8)
    np.savez(path, x_train=bits, x_test=bits)
    for source in (bits, path):
        np.testing.assert_array_equal(loaded(source, binarization="levels", levels=levels), bits)
    np.testing.assert_allclose(data.mean_image(bits, "levels", levels), bits.mean(axis=0), rtol=1e-6)


def test_masks_of_numpy_are_missing_entries_wherever_they_come_in():
    x = RNG.normal(size=(20, 6)).astype(np.float32)
    masked, wanted = np.ma.masked_array(x, x > 0.5), np.where(x > 0.5, np.nan, x)
    np.testing.assert_array_equal(loaded(masked, binarization="none"), wanted)
    door = model(missing="nan").door
    for form in (masked, list(masked)):
        np.testing.assert_array_equal(door.array(form), wanted)
    with pytest.raises(ValueError, match=r"`source`\. Expected floats where some are masked"):
        loaded(np.ma.masked_array(np.ones((3, 6), np.uint8), np.eye(3, 6)), binarization="none")
    for values in (np.array([["a"] * 6]), np.ones((1, 6), complex), np.zeros((1, 6), "datetime64[s]")):
        with pytest.raises(ValueError, match=r"`x`\. Expected numbers: .*Received: .*dtype"):
            door.array(np.ma.masked_array(values, np.eye(1, 6)))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["Int64", "Float64", "boolean"])
def test_pandas_na_is_a_missing_entry(dtype):
    frame = pd.DataFrame(np.eye(2, 6)).astype(dtype)
    frame.iloc[0, 1] = pd.NA
    found = model(missing="nan").door.array(frame)
    assert math.isnan(found[0, 1])
    np.testing.assert_array_equal(np.nan_to_num(found), np.eye(2, 6))
    with pytest.raises(ValueError, match=r"missing='nan'.*Received: NaN"):
        model().fit(frame, verbose=0)


@pytest.mark.slow
def test_numbers_whose_squares_float32_does_not_hold():
    for x in (np.full((4, 6), 1e38), tf.data.Dataset.from_tensor_slices(np.full((4, 6), -1e38, np.float32)).batch(2)):
        with pytest.raises(ValueError, match=r"`x`\. Expected finite values"):
            model().fit(x, verbose=0)


@pytest.mark.slow
def test_nan_in_a_pipeline_says_what_takes_it():
    nan = np.full((4, 6), np.nan, np.float32)
    with pytest.raises(ValueError, match=r"NaN is for a model whose argument `missing` says so"):
        model().fit(tf.data.Dataset.from_tensor_slices(nan).batch(2), verbose=0)
    with pytest.raises(ValueError, match=r"NaN is for a model whose argument `missing` says so"):
        model("bernoulli").fit(data.load(nan, "test"), verbose=0)


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("binarization", ["dynamic", "static", "threshold"])
def test_pixels_that_are_missing_are_not_binarized(binarization, split):
    grey = RNG.random((40, 6)).astype(np.float32)
    holes = RNG.random((40, 6)) < 0.3
    found = loaded(np.where(holes, np.nan, grey), split, binarization=binarization, batch_size=40)
    assert set(np.unique(found[~np.isnan(found)])) == {0.0, 1.0}
    # The draws are those of the whole images.
    whole = loaded(grey, split, binarization=binarization, batch_size=40)
    assert np.isnan(found).sum() == holes.sum()
    np.testing.assert_array_equal(found[~np.isnan(found)], whole[~np.isnan(found)])
    mean = data.mean_image(np.where(holes, np.nan, grey), binarization)
    np.testing.assert_allclose(mean, np.nanmean(np.where(holes, np.nan, grey), axis=0), rtol=1e-5)


@pytest.mark.slow
def test_nothing_observed_has_no_bits():
    result = importance_weighted_nll(model("bernoulli", missing="nan"), np.full((2, 6), np.nan), 30, verbose=False)
    assert result.bits_per_dimension is None
    assert result.nll == pytest.approx(0.0, abs=1.0)
    assert "bits" not in str(result)


def test_a_likelihood_of_another_shape_is_not_taken_over():
    shared = GaussianLikelihood()
    model(shared)
    with pytest.raises(ValueError, match=r"`likelihood`\. Expected one that is of no other model"):
        IWAE(4, likelihood=shared)


def test_a_likelihood_of_a_model_that_was_refused_takes_events_of_another_shape():
    shared = GaussianLikelihood()
    with pytest.raises(ValueError, match="`estimator`"):
        IWAE(6, likelihood=shared, estimator="none")
    assert IWAE(4, 2, (8,), likelihood=shared).predict(np.zeros((2, 4)), verbose=0).shape == (2, 4)


def parameters_of(decoder):
    return {"encoder": keras.layers.Dense(3), "decoder": keras.layers.Dense(decoder)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({"hidden": (8,)}, {"hidden": (16,)}, r"of features \[N, 8\], for one of features \[N, 16\]"),
        ({"hidden": (8,)}, parameters_of(6), r"of features \[N, 8\], for one of parameters \[N, 6\]"),
        (parameters_of(6), {"hidden": (8,)}, r"of parameters \[N, 6\], for one of features \[N, 8\]"),
        # Of the same shape, but one would take features for logits.
        (parameters_of(6), {"hidden": (6,)}, r"of parameters \[N, 6\], for one of features \[N, 6\]"),
    ],
)
def test_a_likelihood_of_another_decoder_is_not_taken_over(first, second, said):
    shared = BernoulliLikelihood()
    made = IWAE(6, 2, likelihood=shared, **first)
    with pytest.raises(
        ValueError, match=rf"`likelihood`\. Expected one that is of no other model, or of decoders .*{said}"
    ):
        IWAE(6, 2, likelihood=shared, **second)
    # Of one that gives the same it is.
    if "hidden" in first:
        again = IWAE(6, 2, likelihood=shared, **first)
        assert again.generative.likelihood.head is made.generative.likelihood.head
    made.build((None, 6))


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.int64, np.uint16])
def test_integers_other_than_bytes_say_what_they_are(kind, tmp_path):
    codes = RNG.integers(0, 5, (60, 6)).astype(kind)
    np.save(tmp_path / "codes.npy", codes)
    for source in (codes, tmp_path / "codes.npy"):
        for call in (loaded, data.mean_image):
            with pytest.raises(ValueError, match=r"Expected floats.*or bytes.*Received: dtype"):
                call(source, binarization="none")
    np.testing.assert_array_equal(loaded(codes.astype(np.float32), binarization="none"), codes)
    np.testing.assert_allclose(loaded(codes.astype(np.uint8), binarization="none"), codes / 255.0, rtol=1e-6)


def test_how_many_levels_codes_in_bytes_have_is_not_guessed(tmp_path):
    codes = RNG.integers(0, 5, (60, 6)).astype(np.uint8)
    np.save(tmp_path / "codes.npy", codes)
    options = {"dataset": str(tmp_path / "codes.npy"), "likelihood": "categorical", "hidden": ((4,),), "latent_dim": 2}
    options["batch_size"] = 20
    with pytest.raises(ValueError, match=r"`levels`\. Expected it \(--levels\) for bytes up to 4: 256 .*, 5 for codes"):
        experiments.build(experiments.ExperimentConfig.of(**options))
    assert experiments.build(experiments.ExperimentConfig.of(**options, levels=5)).generative.likelihood.levels == 5
