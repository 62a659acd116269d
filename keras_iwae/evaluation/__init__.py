"""Log-likelihoods of a trained model."""

from keras_iwae.evaluation.annealed import AnnealedResult, annealed_nll
from keras_iwae.evaluation.bidirectional import BidirectionalResult, bidirectional_gap
from keras_iwae.evaluation.importance import importance_weighted_nll
from keras_iwae.evaluation.proposals import Proposal
from keras_iwae.evaluation.result import NLLResult
from keras_iwae.evaluation.streaming import stream_log_weights
from keras_iwae.evaluation.sumo import SumoResult, sumo_nll

__all__ = [
    "AnnealedResult",
    "BidirectionalResult",
    "NLLResult",
    "Proposal",
    "SumoResult",
    "annealed_nll",
    "bidirectional_gap",
    "importance_weighted_nll",
    "stream_log_weights",
    "sumo_nll",
]
