"""Classes of a user's own that change nothing: trained, saved and judged as those that they inherit from."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_iwae import AVB, IWAE, importance_weighted_nll, priors
from keras_iwae.bounds.objectives import OBJECTIVES
from keras_iwae.foundation import Support
from keras_iwae.likelihoods import LIKELIHOODS, GaussianLikelihood, MixedLikelihood, SelfMasking
from keras_iwae.models import POSTERIORS
from keras_iwae.models.components import encoder_inputs
from keras_iwae.networks import EventEncoder, dense_decoder, dense_encoder
from keras_iwae.posteriors import GaussianPosterior, HierarchicalPosterior, ImplicitPosterior

D, B = 4, 3
# In the support of all of them.
X = np.tile(np.float32([0.0, 1.0]), (B, D // 2))
FLOWS = "planar", "radial", "iaf", "maf", "semi_amortized"
MADE_OF = {
    **{POSTERIORS[name].__name__: {"num_steps": 1} for name in FLOWS},
    "MixedLikelihood": {"columns": ["gaussian", "bernoulli", "poisson", "student_t"]},
    "CategoricalLikelihood": {"levels": 2},
    "DiscretizedLogisticLikelihood": {"levels": 2},
    "HierarchicalPrior": {"latent_dims": (2, 1), "hidden": ((3,),)},
    "MIWAE": {"num_groups": 2},
    "PIWAE": {"num_groups": 2},
    "CIWAE": {"learned": True},
}


def unchanged(kind):
    return keras.saving.register_keras_serializable("tests")(type(f"Own{kind.__name__}", (kind,), {}))


def made(kind, own, **settings):
    return (unchanged(kind) if own else kind)(**{**settings, **MADE_OF.get(kind.__name__, {})})


POSTERIOR_KINDS = [kind for kind in POSTERIORS.values() if kind is not ImplicitPosterior] + [HierarchicalPosterior]
LIKELIHOOD_KINDS = [*LIKELIHOODS.values(), MixedLikelihood]
OBJECTIVE_KINDS = list(OBJECTIVES.values())
# Each kind is in one of them at least.
TOGETHER = list(
    itertools.islice(
        zip(*map(itertools.cycle, (POSTERIOR_KINDS, LIKELIHOOD_KINDS, OBJECTIVE_KINDS)), strict=True),
        max(map(len, (POSTERIOR_KINDS, LIKELIHOOD_KINDS, OBJECTIVE_KINDS))),
    )
)


def model_of(posterior, likelihood, objective, own):
    likelihood, objective = made(likelihood, own), made(objective, own)
    encoder = EventEncoder(dense_encoder((3,)), **encoder_inputs(likelihood, None, False))
    sizes = {"latent_dims": (2, 1), "hidden": ((3,),)} if posterior is HierarchicalPosterior else {"latent_dim": 2}
    posterior = made(posterior, own, encoder=encoder, **sizes)
    samples = None if objective.deterministic else 4
    model = (unchanged(IWAE) if own else IWAE)(
        D,
        hidden=(3,),
        num_samples=samples,
        objective=objective,
        estimator="auto" if posterior.reparameterized else "reinforce",
        posterior=posterior,
        likelihood=likelihood,
        seed=3,
    )
    model.compile("sgd")
    return model


@pytest.mark.long
@pytest.mark.parametrize("kinds", TOGETHER, ids=lambda kinds: kinds[0].__name__)
def test_what_changes_nothing_is_what_it_inherits_from(kinds, eagerly, tmp_path):
    plain, model = model_of(*kinds, False), model_of(*kinds, True)
    given = X, 2, tf.constant([0, 1])
    np.testing.assert_array_equal(model.log_weights(*given), plain.log_weights(*given))
    model.fit(X, verbose=0)
    assert np.isfinite(importance_weighted_nll(model, X, 5, verbose=False).nll)
    # What is loaded is made as this one was, and takes as long.
    if kinds in TOGETHER[::4]:
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        for name in ("posterior", "objective"):
            assert type(getattr(loaded, name)) is type(getattr(model, name)) is not type(getattr(plain, name))
        np.testing.assert_array_equal(model.log_weights(*given), loaded.log_weights(*given))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(name for name in priors.__all__ if name.endswith("Prior") and name != "Prior"))
def test_priors_that_change_nothing_have_the_same_density(name):
    kind, settings = getattr(priors, name), {} if name == "HierarchicalPrior" else {"latent_dim": 3}
    plain, own = made(kind, False, **settings), made(kind, True, **settings)
    loaded = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(own))
    assert type(loaded) is type(own) is not kind
    z = tf.constant([[[0.0, 1.0, 1.0]]])
    posterior = GaussianPosterior(dense_encoder((3,)), 3)
    posterior.build((None, D))
    for prior in (plain, own, loaded):
        if prior.through_posterior:
            prior.of_model(posterior.distribution, (D,), Support())
        prior.build((None, 3))
    np.testing.assert_array_equal(own.log_prob(z), plain.log_prob(z))
    np.testing.assert_array_equal(loaded.log_prob(z), plain.log_prob(z))


@pytest.mark.slow
def test_the_other_parts_too(eagerly, tmp_path):
    encoder = unchanged(EventEncoder)(dense_encoder((3,)))
    avb = unchanged(AVB)(D, hidden=(3,), posterior=unchanged(ImplicitPosterior)(encoder, 2, units=3))
    encoder = unchanged(EventEncoder)(dense_encoder((3,)), missing="nan")
    masked = IWAE(
        D,
        num_samples=2,
        posterior=unchanged(GaussianPosterior)(encoder, 2),
        likelihood=MixedLikelihood(["gaussian"] * 3 + [unchanged(GaussianLikelihood)()]),
        missing="nan",
        decoder=dense_decoder((3,)),
        missingness=unchanged(SelfMasking)(),
    )
    for model in (avb, masked):
        model.compile("sgd")
        model.fit(X, verbose=0)
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        assert type(loaded) is type(model)
        assert type(loaded.posterior.encoder).__name__ == "OwnEventEncoder"
        np.testing.assert_array_equal(model.predict(X, verbose=0), loaded.predict(X, verbose=0))
    assert type(loaded.generative.missingness).__name__ == "OwnSelfMasking"
