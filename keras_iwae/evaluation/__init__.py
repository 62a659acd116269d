"""What is found out about a trained model: its log-likelihoods with their errors, and what its latents do."""

from keras_iwae.evaluation import diagnostics
from keras_iwae.evaluation.annealed import AnnealedResult, annealed_nll
from keras_iwae.evaluation.bidirectional import BidirectionalResult, bidirectional_gap
from keras_iwae.evaluation.diagnostics import ACTIVE_UNIT_THRESHOLD, InferenceGap, mean_and_error
from keras_iwae.evaluation.digests import digests_of, model_digest
from keras_iwae.evaluation.importance import importance_weighted_nll
from keras_iwae.evaluation.imputation import Conditional, conditional, conditional_graph
from keras_iwae.evaluation.inference_gap import inference_gap
from keras_iwae.evaluation.latents import Latents, latents, pairwise_log_posterior
from keras_iwae.evaluation.paired import LEVEL, PairedDifference, paired_difference
from keras_iwae.evaluation.pareto import UNRELIABLE_K, pareto_k_of
from keras_iwae.evaluation.predictive_check import PredictiveCheck, predictive_check, seen_examples
from keras_iwae.evaluation.proposals import Proposal
from keras_iwae.evaluation.pruning import pruned
from keras_iwae.evaluation.resampling import resampled_posterior, resampled_reconstruction
from keras_iwae.evaluation.result import NLLResult
from keras_iwae.evaluation.simulation_based_calibration import simulation_based_calibration
from keras_iwae.evaluation.spreading import Arrays, Batch, Compute, Recipe, Spread, computed_batches
from keras_iwae.evaluation.streamed_examples import Statistics, examples_together
from keras_iwae.evaluation.streaming import stream_log_weights
from keras_iwae.evaluation.sumo import SumoResult, sumo_nll
from keras_iwae.evaluation.verdict import TOLERATED_SHARE
from keras_iwae.evaluation.wording import nats

__all__ = [
    "ACTIVE_UNIT_THRESHOLD",
    "LEVEL",
    "TOLERATED_SHARE",
    "UNRELIABLE_K",
    "AnnealedResult",
    "Arrays",
    "Batch",
    "BidirectionalResult",
    "Compute",
    "Conditional",
    "InferenceGap",
    "Latents",
    "NLLResult",
    "PairedDifference",
    "PredictiveCheck",
    "Proposal",
    "Recipe",
    "Spread",
    "Statistics",
    "SumoResult",
    "annealed_nll",
    "bidirectional_gap",
    "computed_batches",
    "conditional",
    "conditional_graph",
    "diagnostics",
    "digests_of",
    "examples_together",
    "importance_weighted_nll",
    "inference_gap",
    "latents",
    "mean_and_error",
    "model_digest",
    "nats",
    "paired_difference",
    "pairwise_log_posterior",
    "pareto_k_of",
    "predictive_check",
    "pruned",
    "resampled_posterior",
    "resampled_reconstruction",
    "seen_examples",
    "simulation_based_calibration",
    "stream_log_weights",
    "sumo_nll",
]
