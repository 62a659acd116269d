"""Likelihoods p(x|z), one family a file, all under one contract.

A likelihood is a Keras layer, a `Likelihood`, on the features that a decoder gives, with
    support -> the values that an entry of an event may have; `check(x)` refuses what is outside it;
    distribution(features) -> p(x|z) as a TFP distribution over the event;
    log_prob(x, features, mask) -> log p(x|z) in nats, `[K, B]`, summed over the entries that were observed;
    mean(features) -> E[x|z], `[..., *event_shape]`;
    served(features) -> what an exported model answers, by name;
    initialize(mean) -> lets the decoder start from the mean of the training events;
    encoding -> what of an event an encoder sees.
It owns the last map from features to parameters; a decoder may give the parameters themselves.
"""

from keras_iwae.foundation import MARK
from keras_iwae.likelihoods.base import Likelihood
from keras_iwae.likelihoods.bernoulli import BernoulliLikelihood
from keras_iwae.likelihoods.categorical import CategoricalLikelihood
from keras_iwae.likelihoods.continuous_bernoulli import ContinuousBernoulliLikelihood
from keras_iwae.likelihoods.contract import check_contract
from keras_iwae.likelihoods.discretized_logistic import DiscretizedLogisticLikelihood
from keras_iwae.likelihoods.gaussian import GaussianLikelihood
from keras_iwae.likelihoods.negative_binomial import NegativeBinomialLikelihood
from keras_iwae.likelihoods.poisson import PoissonLikelihood
from keras_iwae.likelihoods.student_t import StudentTLikelihood

LIKELIHOODS: dict[str, type[Likelihood]] = {
    "bernoulli": BernoulliLikelihood,
    "gaussian": GaussianLikelihood,
    "student_t": StudentTLikelihood,
    "discretized_logistic": DiscretizedLogisticLikelihood,
    "continuous_bernoulli": ContinuousBernoulliLikelihood,
    "poisson": PoissonLikelihood,
    "negative_binomial": NegativeBinomialLikelihood,
    "categorical": CategoricalLikelihood,
}


def get(likelihood: str | Likelihood) -> Likelihood:
    """Likelihood by name, with its default settings, or the object itself.

    Args:
        likelihood: a name in `LIKELIHOODS`, or a `Likelihood`.

    Raises:
        ValueError: if there is no such likelihood, or it cannot be made without being told more.
    """
    if isinstance(likelihood, Likelihood):
        return likelihood
    if likelihood == "categorical":
        raise ValueError(
            f"{MARK}likelihood`. Expected CategoricalLikelihood(levels=...), which has to be told how many levels "
            "there are. Received: 'categorical'"
        )
    if isinstance(likelihood, str) and likelihood in LIKELIHOODS:
        return LIKELIHOODS[likelihood]()
    names = ", ".join(repr(name) for name in LIKELIHOODS)
    raise ValueError(
        f"{MARK}likelihood`. Expected one of {names}, or a layer of keras_iwae.likelihoods. Received: {likelihood!r}"
    )


__all__ = [
    "LIKELIHOODS",
    "BernoulliLikelihood",
    "CategoricalLikelihood",
    "ContinuousBernoulliLikelihood",
    "DiscretizedLogisticLikelihood",
    "GaussianLikelihood",
    "Likelihood",
    "NegativeBinomialLikelihood",
    "PoissonLikelihood",
    "StudentTLikelihood",
    "check_contract",
    "get",
]
