"""Bounds and their gradients: log weights [K, B] to a bound [B], and from it to a gradient of each part of a model."""

from keras_iwae.bounds import estimators, objectives
from keras_iwae.bounds.contract import check_contract
from keras_iwae.bounds.gradients import Gradients, bound_gradients
from keras_iwae.bounds.log_terms import LogTerms

__all__ = ["Gradients", "LogTerms", "bound_gradients", "check_contract", "estimators", "objectives"]
