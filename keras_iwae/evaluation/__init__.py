"""Log-likelihoods of a trained model."""

from keras_iwae.evaluation.importance import importance_weighted_nll
from keras_iwae.evaluation.proposals import Proposal
from keras_iwae.evaluation.result import NLLResult
from keras_iwae.evaluation.streaming import stream_log_weights

__all__ = ["NLLResult", "Proposal", "importance_weighted_nll", "stream_log_weights"]
