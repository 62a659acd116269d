"""Which objective, estimator, posterior and prior go together, and what would have no effect beside them."""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_iwae.bounds import check_contract, estimators, objectives
from keras_iwae.foundation import MARK, is_own_class
from keras_iwae.models.replicas import is_distributed
from keras_iwae.posteriors import check_path
from keras_iwae.priors import top_of

# Of the posterior, at which a prior of a user's own is looked at.
_DRAWS = 64


def check_training(model: Any, estimator: str, asked: str) -> None:
    """Refuse parts and settings of an `IWAE` that do not go together.

    Args:
        model: the model, with its parts and settings.
        estimator: the name of its estimator.
        asked: what the user knows that by, which may be "auto".

    Raises:
        ValueError: which names the argument.
    """
    objective, drawn = model.objective, model.backward_samples
    if model.posterior.density == "none":
        raise ValueError(
            f"{MARK}posterior`. Expected one whose draws have a density, as log weights need. "
            f"Received: a {type(model.posterior).__name__}, which `keras_iwae.AVB` trains"
        )
    check_samples(model, estimator, model.num_samples, asked)
    climbed = () if objective.deterministic else objective.terms(model.num_samples, objectives.start_of(objective))
    signed = any(term.coefficient < 0.0 for term in climbed)
    illegal = objective.deterministic or signed or not model.estimator.resamples
    if drawn is not None and (illegal or drawn > model.num_samples):
        raise ValueError(
            f"{MARK}backward_samples`. Expected at most num_samples = {model.num_samples}"
            ", and an objective and an estimator whose coefficients are no less than 0 and vanish with the weights. "
            f"Received: {drawn} with {estimator!r} and {type(objective).__name__}"
        )
    if model.kl_warmup_steps and (objective.deterministic or model.estimator.sleeps):
        raise ValueError(
            f"{MARK}kl_warmup_steps`. Expected 0 for an objective or an estimator without a KL term. "
            f"Received: {model.kl_warmup_steps} with {estimator!r} and {type(objective).__name__}"
        )


def check_backward_path(model: Any) -> None:
    """Refuse a posterior of a user's own that the resampled backward pass would train in part alone.

    Args:
        model: the model, built.

    Raises:
        ValueError: which names `posterior`.
    """
    draws_again = model.backward_samples is not None and model.estimator.reparameterizes
    # Variables of several replicas have no gradient outside a step.
    if draws_again and not is_distributed(model):
        check_path(model.posterior, model.event_shape)


def check_prior(model: Any) -> None:
    """Refuse a prior that nothing would train, or by which nothing can be.

    Args:
        model: the model, built.

    Raises:
        ValueError: which names `prior`.
    """
    prior = model.generative.prior
    if model.objective.deterministic and top_of(prior).trainable_variables:
        raise ValueError(
            f"{MARK}prior`. Expected none that is learned for an objective without a KL term. "
            f"Received: a {type(prior).__name__} with {type(model.objective).__name__}"
        )
    if not is_own_class(type(prior)):
        return
    q = model.posterior.distribution(
        tf.zeros([1, *model.event_shape]) + model.generative.likelihood.support.nearest_to_zero
    )
    if not np.isfinite(model.generative.log_prior(q.sample([_DRAWS], seed=tf.constant([0, 1])))).all():
        raise ValueError(
            f"{MARK}prior`. Expected a density wherever the posterior draws. Received: a {type(prior).__name__}, which "
            f"has none at draws of a {type(model.posterior).__name__}"
        )


def check_samples(model: Any, estimator: str, samples: int, asked: str | None = None) -> None:
    """Refuse an estimator that is biased or undefined for K samples of the model's objective and posterior.

    Args:
        model: the model, with its objective and posterior.
        estimator: its name.
        samples: K.
        asked: what the user knows the estimator by; `None` is its name.

    Raises:
        ValueError: which says what is allowed.
    """
    q = model.posterior
    check_contract(model.objective, samples)
    estimators.check_pair(estimator, model.objective, samples, q.reparameterized, q.total_only, asked, q.stratified)
