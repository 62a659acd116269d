"""Models: a posterior, a prior and a decoder put together as a `keras.Model` that fits, evaluates and predicts."""

from keras_iwae.models.avb import AVB
from keras_iwae.models.components import POSTERIORS, encoder_inputs, with_inputs
from keras_iwae.models.door import Door, check_batch_size, check_weights
from keras_iwae.models.generative import GenerativeModel, Samples
from keras_iwae.models.given import check_model
from keras_iwae.models.iwae import IWAE
from keras_iwae.models.latent_model import LatentModel
from keras_iwae.models.named_priors import PRIORS
from keras_iwae.models.passes import check_passes
from keras_iwae.models.replicas import replica_context
from keras_iwae.models.sizes import ACTIVATION, sizes, units_of
from keras_iwae.models.stopping import StopWhereLossNotFinite, with_stopping

__all__ = [
    "ACTIVATION",
    "AVB",
    "IWAE",
    "POSTERIORS",
    "PRIORS",
    "Door",
    "GenerativeModel",
    "LatentModel",
    "Samples",
    "StopWhereLossNotFinite",
    "check_batch_size",
    "check_model",
    "check_passes",
    "check_weights",
    "encoder_inputs",
    "replica_context",
    "sizes",
    "units_of",
    "with_inputs",
    "with_stopping",
]
