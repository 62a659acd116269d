"""Priors p(z), one a file, all under one contract.

A prior is a Keras layer, a `Prior`, with
    log_prob(z, training) -> log p(z) in nats, `[K, B]`, of latents `[K, B, D]` or of any leading axes;
    sample(num_samples, seed) -> z `[N, D]`;
    of_noise(noise) -> z `[N, D]` and log p(z) `[N]` of standard normal noise `[N, D]`, where draws are made of it;
    decoded(z) -> the part of z that the decoder sees, `[..., decoded_dim]`;
    latent_dim -> D, decoded_dim.
A prior with `through_posterior` is made of the posterior of the model, which it is told by
    of_model(distribution, event_shape, support), where it has that: `distribution(x)` is q(z|x) of such examples.
The latents of several layers are one tensor: z = [z_1, z_2, ...] along the last axis, the layer nearest the data first.
"""

from keras_iwae.priors.base import Prior, top_of
from keras_iwae.priors.bernoulli import BernoulliPrior
from keras_iwae.priors.contract import check_contract
from keras_iwae.priors.flow import FlowPrior
from keras_iwae.priors.hierarchical import HierarchicalPrior
from keras_iwae.priors.mixture import NUM_COMPONENTS, MixturePrior
from keras_iwae.priors.standard_normal import StandardNormalPrior
from keras_iwae.priors.vamp import VampPrior

__all__ = [
    "NUM_COMPONENTS",
    "BernoulliPrior",
    "FlowPrior",
    "HierarchicalPrior",
    "MixturePrior",
    "Prior",
    "StandardNormalPrior",
    "VampPrior",
    "check_contract",
    "top_of",
]
