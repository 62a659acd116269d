"""Networks from tensors to tensors, never to distributions: plain Keras models and layers, and the maps of flows.

An *encoder* maps events `[B, *event_shape]` to features `[B, F]`; the posterior puts its own heads on them.
A *Gaussian network* puts two heads on features, and gives a mean and a standard deviation.
A *decoder* maps latents `[N, D]` to features `[N, F]`, on which the likelihood puts its own head, or to the parameters
of the likelihood; where its last trainable weight is then a bias with a value for each of them,
`IWAE.initialize_output_bias` can set it.
Any Keras layer or model with one of these signatures can take the place of the ones here.
"""

from keras_iwae.networks.bijectors import Planar, Radial
from keras_iwae.networks.conditional import ConditionalGaussian
from keras_iwae.networks.convolutional import PixelBias, conv_decoder, conv_encoder
from keras_iwae.networks.dense import check_activation, checked_units, dense_decoder, dense_encoder
from keras_iwae.networks.discriminator import Discriminator, discrimination
from keras_iwae.networks.event_encoder import EventEncoder
from keras_iwae.networks.gated import GatedDense, gated_decoder, gated_encoder
from keras_iwae.networks.gaussian import GaussianNetwork, checked_networks, checked_sizes, dense_gaussians
from keras_iwae.networks.initializers import derived_seed, following_seed, glorot
from keras_iwae.networks.masked import MADE
from keras_iwae.networks.shapes import check_layer, features_shape, output_shape

__all__ = [
    "MADE",
    "ConditionalGaussian",
    "Discriminator",
    "EventEncoder",
    "GatedDense",
    "GaussianNetwork",
    "PixelBias",
    "Planar",
    "Radial",
    "check_activation",
    "check_layer",
    "checked_networks",
    "checked_sizes",
    "checked_units",
    "conv_decoder",
    "conv_encoder",
    "dense_decoder",
    "dense_encoder",
    "dense_gaussians",
    "derived_seed",
    "discrimination",
    "features_shape",
    "following_seed",
    "gated_decoder",
    "gated_encoder",
    "glorot",
    "output_shape",
]
