"""One row a likelihood, an objective and a posterior: it trains on rows with gaps, saves, loads, evaluates and exports.

What a row costs is Python that makes graphs: about 1 s for `fit`, as much for the NLL and 2 to 3 s for the export. So
`evaluate` runs eagerly here, and of the two rows of a likelihood and a posterior, which differ in the objective alone,
one is exported and the other's NLL is found: neither graph knows the objective.
"""

import functools
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_iwae
from keras_iwae import IWAE, likelihoods
from keras_iwae.evaluation.streaming import stream_log_weights
from keras_iwae.foundation import Purpose, key_for
from keras_iwae.likelihoods import CategoricalLikelihood, DiscretizedLogisticLikelihood
from keras_iwae.models.components import encoder_inputs
from keras_iwae.networks import EventEncoder, dense_encoder
from keras_iwae.posteriors import IAFPosterior
from keras_iwae.training import FusedAdam

METRICS = {"loss", "bound", "elbo", "reconstruction", "kl", "ess"}
LIKELIHOODS = {
    **dict.fromkeys(likelihoods.LIKELIHOODS),
    "discretized_logistic": lambda: DiscretizedLogisticLikelihood(levels=4),
    "categorical": lambda: CategoricalLikelihood(levels=5),
}
DENSITIES = {"gaussian", "student_t", "continuous_bernoulli"}
OBJECTIVES = ["iwae", "elbo"]
POSTERIORS = ["gaussian", "iaf", "two layers"]
ROWS = list(itertools.product(LIKELIHOODS, OBJECTIVES, POSTERIORS))


def make(name, objective, posterior):
    """A small model of the row, of flat events or of pictures, whose encoder sees the mask or does not."""
    likelihood = LIKELIHOODS[name]() if LIKELIHOODS[name] else likelihoods.get(name)
    place = list(LIKELIHOODS).index(name), POSTERIORS.index(posterior)
    mask_input = sum(place) % 2 == 0
    settings = {"latent_dim": 2, "hidden": (8,), "num_samples": 3, "seed": 1}
    if posterior == "iaf":
        encoder = EventEncoder(dense_encoder((8,), seed=1), **encoder_inputs(likelihood, "nan", mask_input))
        settings["posterior"] = IAFPosterior(encoder, latent_dim=2, seed=3, num_steps=1, hidden=(6,))
    elif posterior == "two layers":
        settings |= {"latent_dim": (2, 1), "hidden": ((8,), (4,))}
    return IWAE(
        shape_of(name),
        objective=objective,
        likelihood=likelihood,
        missing="nan",
        mask_input=mask_input,
        **settings,
    )


def shape_of(name):
    """Flat events or pictures, by turns."""
    return (2, 3, 1) if list(LIKELIHOODS).index(name) % 2 else (6,)


@functools.cache
def rows_with_gaps(name):
    """Forty draws of another model of the same kind, three entries in ten of them missing."""
    likelihood = LIKELIHOODS[name]() if LIKELIHOODS[name] else likelihoods.get(name)
    other = IWAE(shape_of(name), latent_dim=2, hidden=(8,), likelihood=likelihood, seed=1)
    # Latents that matter; between 0 and 1 a density is nearly even where they matter little.
    for variable in other.generative.trainable_variables:
        variable.assign((6.0 if likelihood.support.bounded else 2.0) * variable)
    events = other.sample(40, seed=1).events.numpy()
    return np.where(np.random.default_rng(0).random(events.shape) < 0.3, np.nan, events)


def evaluated(model, x):
    model.run_eagerly = True
    found = model.evaluate(x, batch_size=20, verbose=0, return_dict=True)
    model.run_eagerly = False
    return found


def test_the_table_has_every_likelihood():
    assert set(LIKELIHOODS) == set(likelihoods.LIKELIHOODS)
    assert len(ROWS) == 48


@pytest.mark.slow
@pytest.mark.parametrize(("name", "objective", "posterior"), ROWS, ids=[", ".join(row) for row in ROWS])
def test_a_row_of_the_table(name, objective, posterior, tmp_path):
    model = make(name, objective, posterior)
    x = rows_with_gaps(name)
    model.initialize_output_bias(np.nanmean(x, axis=0))
    model.compile(FusedAdam(2e-2))
    before = evaluated(model, x[20:])
    history = model.fit(x, batch_size=10, epochs=15, verbose=0).history
    after = evaluated(model, x[20:])
    assert set(before) == set(history) == METRICS
    assert after["bound"] > before["bound"] + 0.2
    assert np.all(np.isfinite([*after.values(), *history["loss"]]))
    assert after["elbo"] - 1e-4 <= after["bound"] == pytest.approx(-after["loss"])
    assert 1.0 <= after["ess"] <= 3.0
    assert np.all(np.isfinite(model(x)))

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    assert evaluated(loaded, x[20:]) == after
    for one, other in zip(model.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)

    if (OBJECTIVES.index(objective) + POSTERIORS.index(posterior)) % 2:
        check_nll(loaded, x[:10], name)
    else:
        check_export(loaded, x[:10], tmp_path)


def check_nll(model, x, name):
    result = keras_iwae.importance_weighted_nll(model, x, num_samples=30, bounds=(), verbose=False)
    assert np.all(np.isfinite(result.log_likelihood_per_example))
    observed = (~np.isnan(x)).sum(axis=tuple(range(1, x.ndim)))
    np.testing.assert_array_equal(result.entries_per_example, observed)
    bits = None if name in DENSITIES else pytest.approx(result.nll / observed.mean() / np.log(2.0))
    assert result.bits_per_dimension == bits


def check_export(model, x, folder):
    """The export answers what the model does, of rows with gaps and of what they were drawn from."""
    keras_iwae.export_saved_model(model, folder / "serving")
    served = keras_iwae.load_saved_model(folder / "serving").signatures
    events_name, mean_name = model.generative.likelihood.served_names
    scalars = {"num_samples": tf.constant(30), "seed": tf.constant(5)}
    found = served["log_likelihood"](**{events_name: tf.constant(x)}, **scalars)
    expected = stream_log_weights(model, tf.constant(x), tf.constant(30), key_for(Purpose.SERVED, 5))
    np.testing.assert_allclose(found["log_likelihood"], expected.log_likelihood, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found["effective_sample_size"], expected.effective_sample_size, rtol=1e-3)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"Invalid value received for `{events_name}`"):
        served["log_likelihood"](**{events_name: tf.fill(x.shape, np.inf)}, **scalars)

    drawn = served["sample"](seed=tf.constant([3, 4]))
    own = model.sample(1, seed=4)
    for name, value in (("latents", own.latents), (mean_name, own.mean), (events_name, own.events)):
        np.testing.assert_allclose(drawn[name][1], value[0], rtol=1e-4, atol=1e-5)
    model.generative.likelihood.check(drawn[events_name].numpy())

    decoded = served["decode"](latents=drawn["latents"])
    likelihood = model.generative.likelihood
    expected = likelihood.served(model.generative.features(drawn["latents"]))
    assert set(decoded) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(decoded[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(decoded[mean_name], drawn[mean_name], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_gaps_are_refused_where_none_are_said_to_be(name):
    likelihood = LIKELIHOODS[name]() if LIKELIHOODS[name] else name
    model = IWAE(6, latent_dim=2, hidden=(8,), likelihood=likelihood)
    model.compile("adam")
    gaps = np.full((4, 6), np.nan, np.float32)
    for call in (model.fit, model.evaluate, model.predict, model.train_on_batch):
        with pytest.raises(ValueError, match=r"`x`\. .*a model made with missing=.nan. takes it"):
            call(gaps)
    with pytest.raises(ValueError, match="`data`"):
        keras_iwae.importance_weighted_nll(model, gaps, num_samples=5, verbose=False)
