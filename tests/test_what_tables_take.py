"""What an estimator of tables is given takes effect, or is refused by its name: masks, wide numbers, dtypes, settings."""

import numpy as np
import pandas as pd
import pytest

from keras_iwae import IWAEDensity, IWAEImputer

TINY = {"latent_dim": 2, "hidden": (8,), "training_samples": 3, "max_steps": 6, "num_samples": 20, "random_state": 0}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 3))
GAPS = RNG.random(X.shape) < 0.3
WITH_NAN = np.where(GAPS, np.nan, X)
# What is under a mask is nothing that could be learned.
MASKED = np.ma.array(np.where(GAPS, 1e6, X), mask=GAPS)


@pytest.fixture(scope="module")
def imputer():
    return IWAEImputer(**TINY).fit(MASKED)


def density_of(imputer):
    found = IWAEDensity(**TINY)
    found.__dict__.update({name: value for name, value in vars(imputer).items() if name.endswith("_")})
    return found


def test_what_a_mask_leaves_out_is_not_learned(imputer):
    observed = [X[~gaps, place] for place, gaps in enumerate(GAPS.T)]
    np.testing.assert_allclose(imputer.coding_.centers, [cells.mean() for cells in observed])
    np.testing.assert_allclose(imputer.coding_.scales, [cells.std() for cells in observed])


@pytest.mark.parametrize("given", [MASKED, list(MASKED), MASKED.astype(np.float32)], ids=["array", "rows", "float32"])
def test_what_a_mask_leaves_out_is_missing(imputer, given):
    nan = WITH_NAN.astype(getattr(given, "dtype", np.float64))
    filled = imputer.transform(given)
    assert (type(filled), filled.dtype) == (np.ndarray, nan.dtype)
    np.testing.assert_array_equal(filled, imputer.transform(nan))
    np.testing.assert_array_equal(imputer.rows(given).missing, GAPS.sum(axis=1))
    density = density_of(imputer)
    np.testing.assert_array_equal(density.score_samples(given), density.score_samples(nan))
    np.testing.assert_array_equal(
        imputer.score_held_out(given, X.astype(nan.dtype)), imputer.score_held_out(nan, X.astype(nan.dtype))
    )
    assert np.isnan(imputer.score_held_out(nan, given)).all()
