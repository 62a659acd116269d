"""log p(x) of what was observed, where it is known: linear Gaussian models and quadrature, incomplete rows too."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import (
    ExactPosterior,
    categorical_log_prob,
    linear_gaussian_log_evidence,
    linear_gaussian_model,
    quadrature,
)
from scipy.special import softmax
from test_likelihoods import FAMILIES

from keras_iwae import IWAE, importance_weighted_nll
from keras_iwae.evaluation.annealed import annealed_nll
from keras_iwae.evaluation.bidirectional import bidirectional_gap
from keras_iwae.evaluation.errors import log_mean_error
from keras_iwae.evaluation.latents import latents
from keras_iwae.evaluation.resampling import resampled_posterior
from keras_iwae.foundation import Purpose, key_for

SEED = tf.constant([11, 0])


def with_gaps(x, seed=0, share=0.4):
    """x with about this share of entries missing: all of the first row, none of the second."""
    gaps = np.random.default_rng(seed).random(x.shape) < share
    gaps[0], gaps[1] = True, False
    return np.where(gaps, np.nan, x).astype(np.float32)


@pytest.fixture(scope="module")
def table():
    """Rows of the linear Gaussian model, with gaps."""
    model = linear_gaussian_model("gaussian", latent_dim=2, hidden=(8,))
    return with_gaps(model.sample(12, seed=4).events.numpy())


def estimated(model, x):
    """L_4000 and its error for each row; half of the draws are the prior's, so that the weights have a variance."""
    result = importance_weighted_nll(model, x, num_samples=4000, bounds=[1], defensive=0.5, verbose=False)
    # A row of nothing has none but what float32 makes of 0.
    error = np.maximum(log_mean_error(result.ess_per_example, 4000), 1e-5)
    assert error.max() < 0.3
    return result, error


# A linear decoder with Gaussian noise


@pytest.mark.slow
def test_with_the_true_posterior_every_weight_is_the_evidence_of_what_was_observed(table):
    model = linear_gaussian_model(ExactPosterior(2, 0.7), missing="nan", mask_input=True)
    truth = linear_gaussian_log_evidence(model, table)
    assert truth[0] == 0.0
    np.testing.assert_allclose(model.log_weights(table, 7, SEED), np.broadcast_to(truth, (7, 12)), rtol=1e-4, atol=1e-4)
    result = importance_weighted_nll(model, table, num_samples=30, verbose=False)
    np.testing.assert_allclose(result.log_likelihood_per_example, truth, rtol=1e-4, atol=1e-4)
    assert result.nll == pytest.approx(-truth.mean(), rel=1e-5)
    np.testing.assert_array_equal(result.entries_per_example, (~np.isnan(table)).sum(axis=1))
    assert result.bits_per_dimension is None
    # Controls: a posterior that takes zeros for data, and the density of rows that are filled in with them.
    blind = linear_gaussian_model(ExactPosterior(2, 0.7, sees_mask=False), missing="nan", mask_input=True)
    weights = blind.log_weights(table, 7, SEED).numpy()
    assert weights[:, [0, *range(2, 12)]].std(axis=0).min() > 0.005
    np.testing.assert_allclose(weights[:, 1], truth[1], rtol=1e-4)
    assert np.abs(linear_gaussian_log_evidence(model, np.nan_to_num(table)) - truth)[2:].min() > 0.05


@pytest.mark.statistical
@pytest.mark.parametrize("mask_input", [False, True])
def test_any_posterior_comes_to_the_evidence_within_its_error(table, mask_input):
    model = linear_gaussian_model("gaussian", latent_dim=2, hidden=(8,), missing="nan", mask_input=mask_input)
    truth = linear_gaussian_log_evidence(model, table)
    result, error = estimated(model, table)
    distance = (result.log_likelihood_per_example - truth) / error
    assert np.abs(distance).max() < 4.0
    # Control: each row held against the evidence of the one before.
    assert np.abs((result.log_likelihood_per_example - np.roll(truth, 1)) / error).max() > 20.0


@pytest.mark.slow
@pytest.mark.parametrize("mask_input", [False, True])
@pytest.mark.parametrize("name", ["bernoulli", "gaussian", "gaussian, by example", "categorical", "negative_binomial"])
def test_a_column_that_was_never_observed_might_as_well_not_be_there(name, mask_input):
    """A step of training with a column of NaN, and one of a model that has no such column, nor any word of a mask."""
    column, size = 1, 4
    settings = {"latent_dim": 2, "hidden": (7,), "num_samples": 12, "seed": 3}
    known = mask_input and {"missing": "nan", "mask_input": True}
    whole = IWAE(size, likelihood=FAMILIES[name].make(), missing="nan", mask_input=mask_input, **settings)
    part = IWAE(size - 1, likelihood=FAMILIES[name].make(), **settings, **(known or {}))
    levels = whole.generative.likelihood.levels or 1
    parameters = whole.generative.likelihood.parameters

    def without(weight):
        """The weights of `whole` that have a place in `part`, by the length of the axis that a column is on."""
        kept = np.delete(np.arange(size), column)
        inputs = [np.repeat(kept * levels, levels) + np.tile(np.arange(levels), size - 1)]
        inputs += [size * levels + kept] if mask_input else []
        axes = {size * levels + size * mask_input: np.concatenate(inputs), size: kept}
        outputs = np.repeat(kept * parameters, parameters) + np.tile(np.arange(parameters), size - 1)
        value = weight.numpy()
        if "head" in weight.path and "generative" in weight.path:
            return value[..., outputs]
        has_column = "raw_" in weight.path or ("encoder" in weight.path and "kernel" in weight.path)
        return value[axes[len(value)]] if has_column else value

    x = whole.sample(9, seed=2).events.numpy()
    x[:, column] = np.nan
    before = [weight.numpy().copy() for weight in whole.trainable_variables]
    for weight, one in zip(part.trainable_variables, whole.trainable_variables, strict=True):
        weight.assign(without(one))
    logs = []
    for model, rows in ((whole, x), (part, np.delete(x, column, axis=1))):
        model.compile(keras.optimizers.SGD(0.1))
        logs.append(model.train_on_batch(rows, return_dict=True))
    assert logs[0] == pytest.approx(logs[1], rel=1e-4)
    moved = 0
    for weight, one, old in zip(part.trainable_variables, whole.trainable_variables, before, strict=True):
        np.testing.assert_allclose(without(one), weight, rtol=1e-4, atol=1e-5, err_msg=one.path)
        # What belongs to the column alone stays exactly where it was.
        still = one.numpy() == old
        moved += (~still).any()
        assert still.sum() >= one.numpy().size - weight.numpy().size
    assert moved == len(before)


@pytest.mark.slow
def test_what_is_in_the_place_of_a_gap_reaches_nothing():
    """NaN has 2^22 values of float32, and what was there before the gap may be in them."""
    x = np.random.default_rng(1).normal(size=(9, 4)).astype(np.float32)
    gaps = np.random.default_rng(2).random(x.shape) < 0.4
    bits = np.where(gaps, x.view(np.uint32) & 0x3FFFFF | 0x7FC00000, x.view(np.uint32)).view(np.float32)
    plain = np.where(gaps, np.float32(np.nan), x)
    assert np.any(bits.view(np.uint32) != plain.view(np.uint32))
    models = []
    for rows in (plain, bits, x):
        model = IWAE(4, latent_dim=2, hidden=(7,), num_samples=5, likelihood="gaussian", missing="nan", mask_input=True)
        model.compile(keras.optimizers.SGD(0.1))
        model.train_on_batch(rows)
        models.append([weight.numpy() for weight in model.trainable_variables])
    for one, other, observed in zip(*models, strict=True):
        np.testing.assert_array_equal(one, other)
        # Control: with the entries themselves there every weight is another.
        assert np.any(one != observed)


def test_the_encoder_sees_the_mask_where_it_is_asked_to():
    """A zero that was observed and a gap, in whose place there is a zero."""
    zero, gap = np.zeros((1, 4), np.float32), np.array([[0.0, np.nan, 0.0, 0.0]], np.float32)
    means = {}
    for mask_input in (False, True):
        model = IWAE(4, latent_dim=2, hidden=(7,), likelihood="gaussian", missing="nan", mask_input=mask_input, seed=5)
        means[mask_input] = [model.posterior.mean(x).numpy() for x in (zero, gap)]
    np.testing.assert_array_equal(*means[False])
    assert np.abs(means[True][0] - means[True][1]).min() > 1e-3


# Latents in one or two dimensions, by quadrature


def small_model(name, latent_dim, **options):
    model = IWAE(
        (2, 3), latent_dim=latent_dim, hidden=(8,), num_samples=5, likelihood=FAMILIES[name].make(), seed=1, **options
    )
    for variable in model.generative.trainable_variables:
        variable.assign(1.5 * variable + 0.1)
    return model


def learned(model):
    return [v.numpy().astype(np.float64) for v in model.generative.likelihood.trainable_variables if "raw" in v.path]


def quadrature_of(name, model, x):
    return quadrature(model, x, lambda x, *raw: FAMILIES[name].log_prob(x, *raw, *learned(model)))


@pytest.mark.statistical
@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize(
    ("name", "latent_dim"),
    [("poisson", 2), ("categorical", 2), ("student_t", 1), ("negative_binomial", 1), ("discretized_logistic, few", 1)],
)
def test_the_bound_comes_to_quadrature_and_not_above_it(name, latent_dim, gaps):
    model = small_model(name, latent_dim, missing="nan" if gaps else None)
    x = model.sample(8, seed=3).events.numpy()
    x = with_gaps(x) if gaps else x
    truth = quadrature_of(name, model, x)[0]
    result, error = estimated(model, x)
    distance = (result.log_likelihood_per_example - truth) / error
    assert np.abs(distance).max() < 4.0
    assert (result.bits_per_dimension is None) == (name == "student_t")
    # Controls: one sample in the place of 4000, and the evidence of another row.
    assert truth.mean() - result.bounds[1] > 8.0 * result.monte_carlo_error
    assert np.abs((result.log_likelihood_per_example - np.roll(truth, 1)) / error).max() > 20.0


@pytest.mark.slow
@pytest.mark.statistical
def test_annealing_comes_to_quadrature_with_gaps():
    model = small_model("poisson", 2, missing="nan")
    x = with_gaps(model.sample(6, seed=3).events.numpy())
    truth = quadrature_of("poisson", model, x)[0]
    result = annealed_nll(model, x, 200, 60, 4, verbose=False)
    error = log_mean_error(result.ess_per_example, 200)
    assert error.max() < 0.2
    np.testing.assert_array_less(np.abs(result.log_likelihood_per_example - truth), 4.0 * error + 1e-4)
    # Control: what all entries would have, zeros in the place of gaps.
    filled = quadrature_of("poisson", model, np.nan_to_num(x))[0]
    assert np.abs(result.log_likelihood_per_example - filled).max() > 20.0 * error.max()


# What was written for images


@pytest.mark.slow
@pytest.mark.statistical
def test_bidirectional_bounds_hold_the_evidence_of_a_density_between_them():
    model = linear_gaussian_model("gaussian", latent_dim=2, hidden=(8,))
    result = bidirectional_gap(
        model, 40, 20, num_chains=20, num_temperatures=40, num_leapfrog_steps=3, batch_size=40, verbose=False, seed=6
    )
    events = model.generative.sample(40, key_for(Purpose.SIMULATED, 6)).events
    truth = linear_gaussian_log_evidence(model, events)
    for bound, sign in ((result.lower_per_example, 1.0), (result.upper_per_example, -1.0)):
        below = sign * (truth - bound)
        assert below.mean() > -4.0 * below.std(ddof=1) / np.sqrt(40)
    assert 0.0 < result.gap < 0.5
    at_least, at_most = result.importance_gap
    exact = (truth - result.importance_per_example).mean()
    assert at_least - 0.05 < exact < at_most + 0.05
    # Control: they do not hold the evidence of another noise.
    other = linear_gaussian_model("gaussian", latent_dim=2, hidden=(8,), noise=1.0)
    wrong = linear_gaussian_log_evidence(other, events)
    assert not result.lower - 0.1 < wrong.mean() < result.upper + 0.1


@pytest.mark.slow
def test_latents_of_counts_with_gaps():
    model = small_model("poisson", 2, missing="nan")
    x = with_gaps(model.sample(12, seed=3).events.numpy())
    found = latents(model, x, num_draws=5, seed=3)
    z, _ = model.posterior.sample_and_log_prob(x, 5, tf.random.fold_in(key_for(Purpose.LATENTS, 3), 0))
    rates = model.generative.mean(z).numpy().astype(np.float64)
    entries = FAMILIES["poisson"].log_prob(np.nan_to_num(x), 20.0 * np.arctanh(np.log(rates) / 20.0))
    observed = ~np.isnan(x)
    log_likelihood = np.where(observed, entries, 0.0).sum(axis=(2, 3)).mean(axis=0)
    np.testing.assert_allclose(found.log_likelihood, log_likelihood, rtol=1e-4, atol=1e-4)
    errors = np.where(observed, (np.nan_to_num(x) - rates) ** 2, 0.0).mean(axis=0).sum(axis=(1, 2))
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(found.squared_error, errors / observed.sum(axis=(1, 2)), rtol=1e-4)
    # Of a row without an entry there is no error, and its likelihood is 1.
    assert found.log_likelihood[0] == 0.0
    assert np.isnan(found.squared_error[0])
    assert np.all(np.isfinite(found.kl_per_unit))
    # Control: of all entries.
    assert np.abs(entries.sum(axis=(2, 3)).mean(axis=0) - found.log_likelihood)[2:].max() > 0.5


@pytest.mark.statistical
def test_resampled_draws_of_levels_with_gaps_have_the_moments_of_the_posterior():
    model = small_model("categorical", 1, missing="nan")
    model.posterior.loc_head.bias.assign([1.0])
    model.posterior.log_scale_head.bias.assign([0.5])
    x, draws = with_gaps(model.sample(4, seed=3).events.numpy()), 2000
    _, grid, log_joint = quadrature(model, x, categorical_log_prob)
    posterior = softmax(log_joint, axis=0)
    mean = (posterior * grid).sum(axis=0)
    stddev = np.sqrt((posterior * (grid - mean) ** 2).sum(axis=0))

    def distance(num_samples):
        z = resampled_posterior(model, x, draws, num_samples).numpy()[..., 0]
        fourth = np.mean((z - z.mean(axis=0)) ** 4, axis=0)
        of_variance = np.sqrt((fourth - z.var(axis=0) ** 2) / draws)
        return np.maximum(
            np.abs(z.mean(axis=0) - mean) / (stddev / np.sqrt(draws)), np.abs(z.var(axis=0) - stddev**2) / of_variance
        ).max()

    # One sample is a draw of q.
    assert distance(200) < 4.0 < 8.0 < distance(1)
