"""Ranks of what made the data among posterior draws: uniform where the posterior is the exact one, and where alone."""

import numpy as np
import pytest
from oracles import LinearGaussian
from scipy import stats

from keras_iwae import AVB, IWAE
from keras_iwae.evaluation import simulation_based_calibration
from keras_iwae.evaluation.diagnostics import RankCalibration


class BlindPosterior(LinearGaussian):
    """The prior in the place of the posterior."""

    def distribution(self, x):
        found = super().distribution(x)
        return type(found)(0.0 * found.mean(), 0.0 * found.mean() + 1.0)


def ranks(num_samples=1, kind=LinearGaussian, seed=1, **how):
    model = kind(**{"shift": 0.0, "stretch": 1.0, **how})
    return simulation_based_calibration(model, num_samples=num_samples, seed=seed)


@pytest.mark.statistical
def test_the_exact_posterior_is_calibrated():
    found = ranks()
    assert found.ranks.shape == (400, 3)
    assert not found.off.any()
    assert (np.abs([found.shifts, found.excesses]) < 3.0).all()


@pytest.mark.statistical
def test_narrow_wide_and_moved_posteriors_are_not():
    narrow, wide, low = ranks(stretch=0.6), ranks(stretch=1.6), ranks(shift=-0.3)
    assert all(found.off.all() for found in (narrow, wide, low))
    assert (narrow.excesses[:2] > 5.0).all()
    assert (wide.excesses[:2] < -5.0).all()
    assert (low.shifts[:2] > 5.0).all()
    # The right side and the right shape are not found fault with.
    assert (np.abs(np.concatenate([narrow.shifts[:2], wide.shifts[:2]])) < 3.0).all()


@pytest.mark.statistical
def test_weights_make_up_for_a_posterior_that_is_off():
    assert not ranks(shift=0.3, stretch=1.4, num_samples=100).off.any()
    assert ranks(shift=0.3, stretch=1.4).off.all()


@pytest.mark.statistical
def test_the_prior_passes_for_a_posterior_but_for_the_joint_density():
    np.testing.assert_array_equal(ranks(kind=BlindPosterior).off, [False, False, True])


@pytest.mark.slow
def test_values_that_are_equal_come_before_or_after_by_lot():
    """Of binary units nearly all are: half of them lie at one end, and ranks are as even as others."""
    model = IWAE(6, latent_dim=4, hidden=(5,), posterior="bernoulli", estimator="vimco", num_samples=4)
    # Latents that say nothing have the prior for their posterior.
    for variable in model.trainable_variables:
        variable.assign(0.0 * variable)
    done = []
    found = simulation_based_calibration(model, 300, num_samples=1, progress=done.append)
    assert done == [100, 100, 100]
    assert stats.chisquare(np.bincount(found.ranks[:, 0], minlength=20)).pvalue > 1e-3
    assert not found.off.any()


@pytest.mark.slow
def test_the_seed_decides():
    model = LinearGaussian()
    one, again, other = (simulation_based_calibration(model, 30, 1, seed=seed).ranks for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    # Batches have draws of their own.
    assert (one[:15] != simulation_based_calibration(model, 130, 1, seed=1).ranks[100:115]).any()


@pytest.mark.slow
def test_a_test_of_even_ranks_rejects_as_often_as_it_says():
    rng = np.random.default_rng(0)
    for num_draws in (1, 6, 19):
        even = RankCalibration(rng.integers(0, num_draws + 1, (60, 4000)), num_draws)
        assert np.mean(even.p_values < 0.05) == pytest.approx(0.05, abs=0.02)
        for found in (even.shifts, even.excesses):
            assert found.std() == pytest.approx(1.0, abs=0.05) or (num_draws == 1 and not found.any())
        assert np.abs(even.shifts.mean()) < 0.1
    repeated = [RankCalibration(rng.integers(0, 20, (200, 5)), 19).off.any() for _ in range(400)]
    assert np.mean(repeated) < 0.03


@pytest.mark.parametrize(
    ("ranks", "num_draws", "name"),
    [
        (np.zeros((3, 2)), 4, "ranks"),
        (np.zeros(3, int), 4, "ranks"),
        (np.zeros((0, 2), int), 4, "ranks"),
        (np.array([[5]]), 4, "ranks"),
        (np.array([[-1]]), 4, "ranks"),
        (np.array([[0]]), 0, "num_draws"),
    ],
)
def test_what_are_no_ranks(ranks, num_draws, name):
    with pytest.raises(ValueError, match=f"Invalid value received for `{name}`"):
        RankCalibration(ranks, num_draws)


def test_bad_arguments():
    model = LinearGaussian()
    for name in ("num_simulations", "num_samples", "num_draws"):
        with pytest.raises(ValueError, match=f"`{name}`"):
            simulation_based_calibration(model, **{name: 0})
    with pytest.raises(ValueError, match="`progress`"):
        simulation_based_calibration(model, progress=3)
    with pytest.raises(ValueError, match=r"`model`\. Expected a posterior with a density"):
        simulation_based_calibration(AVB(6, 2, (5,)))
