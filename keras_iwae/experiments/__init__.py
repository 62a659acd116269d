"""Experiments: a configuration, the run that trains it, and what is then found out about the run."""

from keras_iwae.experiments.checking import evaluate_annealed, evaluate_bidirectional, evaluate_sumo
from keras_iwae.experiments.config import ExperimentConfig, build
from keras_iwae.experiments.diagnosing import diagnose
from keras_iwae.experiments.judging import draw_samples, evaluate
from keras_iwae.experiments.training import resume, train

__all__ = [
    "ExperimentConfig",
    "build",
    "diagnose",
    "draw_samples",
    "evaluate",
    "evaluate_annealed",
    "evaluate_bidirectional",
    "evaluate_sumo",
    "resume",
    "train",
]
