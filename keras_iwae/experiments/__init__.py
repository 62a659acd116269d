"""Experiments: a configuration, the run that trains it, and what is then found out about the run."""

from keras_iwae.experiments.building import build
from keras_iwae.experiments.config import ExperimentConfig
from keras_iwae.experiments.diagnosis import diagnose
from keras_iwae.experiments.jobs import Ended, Job, Jobs, job_processes
from keras_iwae.experiments.log_likelihood import evaluate, evaluate_annealed, evaluate_bidirectional, evaluate_sumo
from keras_iwae.experiments.packing import pack
from keras_iwae.experiments.proposals import evaluate_both
from keras_iwae.experiments.samples import draw_samples
from keras_iwae.experiments.sections import DataConfig, ModelConfig, ObjectiveConfig, OptimizerConfig, RunConfig
from keras_iwae.experiments.training import resume, train
from keras_iwae.experiments.workers import Workers, worker_processes

__all__ = [
    "DataConfig",
    "Ended",
    "ExperimentConfig",
    "Job",
    "Jobs",
    "ModelConfig",
    "ObjectiveConfig",
    "OptimizerConfig",
    "RunConfig",
    "Workers",
    "build",
    "diagnose",
    "draw_samples",
    "evaluate",
    "evaluate_annealed",
    "evaluate_bidirectional",
    "evaluate_both",
    "evaluate_sumo",
    "job_processes",
    "pack",
    "resume",
    "train",
    "worker_processes",
]
