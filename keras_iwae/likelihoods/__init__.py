"""Likelihoods p(x|z), one family a file, all under one contract.

A likelihood is a Keras layer, a `Likelihood`, on the features that a decoder gives, with
    support -> the values that an entry of an event may have; `check(x)` refuses what is outside it;
    distribution(features) -> p(x|z) as a TFP distribution over the event;
    log_prob(x, features, mask) -> log p(x|z) in nats, `[K, B]`, summed over the entries that were observed;
    mean(features) -> E[x|z], `[..., *event_shape]`;
    served(features) -> what an exported model answers, by name;
    initialize(mean) -> lets the decoder start from the mean of the training events;
    encoding -> what of an event an encoder sees.
It owns the last map from features to parameters; a decoder may give the parameters themselves. `MixedLikelihood` is the
one of tables: a family for each column, of which `SelfMasking` says how they go missing.
"""

from keras_iwae.likelihoods.base import Likelihood
from keras_iwae.likelihoods.bernoulli import BernoulliLikelihood
from keras_iwae.likelihoods.categorical import CategoricalLikelihood
from keras_iwae.likelihoods.continuous_bernoulli import ContinuousBernoulliLikelihood
from keras_iwae.likelihoods.contract import check_contract
from keras_iwae.likelihoods.discretized_logistic import DiscretizedLogisticLikelihood
from keras_iwae.likelihoods.families import LIKELIHOODS, get
from keras_iwae.likelihoods.gaussian import GaussianLikelihood
from keras_iwae.likelihoods.mixed import MixedLikelihood
from keras_iwae.likelihoods.negative_binomial import NegativeBinomialLikelihood
from keras_iwae.likelihoods.poisson import PoissonLikelihood
from keras_iwae.likelihoods.self_masking import SelfMasking
from keras_iwae.likelihoods.student_t import StudentTLikelihood

__all__ = [
    "LIKELIHOODS",
    "BernoulliLikelihood",
    "CategoricalLikelihood",
    "ContinuousBernoulliLikelihood",
    "DiscretizedLogisticLikelihood",
    "GaussianLikelihood",
    "Likelihood",
    "MixedLikelihood",
    "NegativeBinomialLikelihood",
    "PoissonLikelihood",
    "SelfMasking",
    "StudentTLikelihood",
    "check_contract",
    "get",
]
