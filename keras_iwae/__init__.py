"""Importance weighted autoencoders on Keras 3, TensorFlow and TensorFlow Probability."""

# Of these two, what a saved model may have been compiled with.
from keras_iwae import data, optimizers, schedules  # noqa: F401
from keras_iwae.adversarial import AVB
from keras_iwae.diagnostics import active_units
from keras_iwae.evaluation import NLLResult, importance_weighted_nll
from keras_iwae.export import export_saved_model, load_saved_model
from keras_iwae.model import IWAE
from keras_iwae.networks import conv_decoder, conv_encoder, dense_decoder, dense_encoder
from keras_iwae.objectives import CIWAE, MIWAE, PIWAE, Renyi

__version__ = "0.1.0"

__all__ = [
    "AVB",
    "CIWAE",
    "IWAE",
    "MIWAE",
    "PIWAE",
    "NLLResult",
    "Renyi",
    "active_units",
    "conv_decoder",
    "conv_encoder",
    "data",
    "dense_decoder",
    "dense_encoder",
    "export_saved_model",
    "importance_weighted_nll",
    "load_saved_model",
]
