"""Log-likelihoods of a trained model."""

from keras_iwae.evaluation.importance import NLLResult, importance_weighted_nll, stream_log_weights

__all__ = ["NLLResult", "importance_weighted_nll", "stream_log_weights"]
