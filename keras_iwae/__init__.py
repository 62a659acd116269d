"""Importance weighted autoencoders on Keras 3, TensorFlow and TensorFlow Probability."""

from typing import TYPE_CHECKING

from keras_iwae import data, likelihoods, training
from keras_iwae.bounds.objectives import CIWAE, JVI, MIWAE, PIWAE, Renyi
from keras_iwae.evaluation import NLLResult, importance_weighted_nll
from keras_iwae.evaluation.diagnostics import active_units
from keras_iwae.models import AVB, IWAE
from keras_iwae.networks import conv_decoder, conv_encoder, dense_decoder, dense_encoder
from keras_iwae.serving import export_saved_model, load_saved_model
from keras_iwae.training import load

if TYPE_CHECKING:
    from keras_iwae.tables import IWAEDensity, IWAEImputer

__version__ = "0.1.0"

__all__ = [
    "AVB",
    "CIWAE",
    "IWAE",
    "JVI",
    "MIWAE",
    "PIWAE",
    "IWAEDensity",
    "IWAEImputer",
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
    "likelihoods",
    "load",
    "load_saved_model",
    "training",
]


def __getattr__(name: str):
    # scikit-learn and pandas take a second to import, and nothing but tables needs them.
    if name in ("IWAEDensity", "IWAEImputer"):
        from keras_iwae import tables

        return getattr(tables, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
