"""Approximate posteriors q(z|x), one family a file, all under one contract.

A posterior is a Keras layer, a `Posterior`, with
    latent_dim -> D;
    distribution(x) -> q(z|x), batch `[B]`, event `[D]`: `sample(shape, seed)`, `log_prob(z)`, `mean()`, `stddev()`; a
        TFP distribution if there is one; `of_noise(noise)`, draws and their log density of standard normal noise
        `[K, B, D]`, where it is neither TFP's nor transformed noise and other runtimes are to have log-likelihoods;
and, from `Posterior`, where a family has nothing of its own to put in their place,
    reparameterize(distribution, z) -> the same z, as a differentiable function of the distribution's parameters;
    reparameterized -> whether it has such a function;
    total_only -> why log q of a given z cannot be differentiated, empty where it can;
    density -> whether `log_prob` gives log q(z|x), that of z with auxiliary variables, or none;
    stratified -> whether draws of one call are in strata, and not independent of each other;
    through_generative -> whether the parameters are a differentiable function of the generative model's too;
    sample_and_log_prob(x, num_samples, seed) -> z `[K, B, D]`, log q(z|x) `[K, B]` in nats;
    log_prob(z, x) -> `[K, B]` in nats;
    mean(x) -> `[B, D]`.
The latents of several layers are one tensor: z = [z_1, z_2, ...] along the last axis, the layer nearest the data first.
A draw may go on after the D latent units with auxiliary variables, which the generative model does not look at.
"""

from keras_iwae.posteriors.agreement import check_path
from keras_iwae.posteriors.amortized import AmortizedPosterior
from keras_iwae.posteriors.autoregressive import AutoregressivePosterior
from keras_iwae.posteriors.auxiliary import AuxiliaryPosterior
from keras_iwae.posteriors.base import Posterior, check_density, check_reparameterized
from keras_iwae.posteriors.bernoulli import BernoulliPosterior
from keras_iwae.posteriors.contract import check_contract
from keras_iwae.posteriors.full_covariance import FullCovariancePosterior, FullGaussian
from keras_iwae.posteriors.gaussian import GaussianPosterior
from keras_iwae.posteriors.gaussian_mixture import StratifiedGaussianMixture
from keras_iwae.posteriors.hierarchical import HierarchicalGaussian, HierarchicalPosterior
from keras_iwae.posteriors.iaf import IAFPosterior
from keras_iwae.posteriors.implicit import ImplicitPosterior
from keras_iwae.posteriors.maf import MAFPosterior
from keras_iwae.posteriors.mixture import NUM_COMPONENTS, MixturePosterior
from keras_iwae.posteriors.planar import PlanarPosterior
from keras_iwae.posteriors.radial import RadialPosterior
from keras_iwae.posteriors.semi_amortized import SemiAmortizedPosterior

__all__ = [
    "NUM_COMPONENTS",
    "AmortizedPosterior",
    "AutoregressivePosterior",
    "AuxiliaryPosterior",
    "BernoulliPosterior",
    "FullCovariancePosterior",
    "FullGaussian",
    "GaussianPosterior",
    "HierarchicalGaussian",
    "HierarchicalPosterior",
    "IAFPosterior",
    "ImplicitPosterior",
    "MAFPosterior",
    "MixturePosterior",
    "PlanarPosterior",
    "Posterior",
    "RadialPosterior",
    "SemiAmortizedPosterior",
    "StratifiedGaussianMixture",
    "check_contract",
    "check_density",
    "check_path",
    "check_reparameterized",
]
