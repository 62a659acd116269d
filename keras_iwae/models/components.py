"""What a model is made of: a posterior by name or as the user made it, the prior that goes with it, a decoder."""

from collections.abc import Callable, Sequence

import keras

from keras_iwae import networks
from keras_iwae.models.generative import GenerativeModel
from keras_iwae.posteriors import (
    AutoregressivePosterior,
    AuxiliaryPosterior,
    BernoulliPosterior,
    FullCovariancePosterior,
    GaussianPosterior,
    HierarchicalPosterior,
    IAFPosterior,
    ImplicitPosterior,
    MAFPosterior,
    PlanarPosterior,
    Posterior,
    RadialPosterior,
    SemiAmortizedPosterior,
)
from keras_iwae.priors import BernoulliPrior, HierarchicalPrior, Prior, StandardNormalPrior

# Each is called with (encoder, latent_dim, seed); what else a family can be told, it takes when it is made by hand.
POSTERIORS: dict[str, Callable[..., Posterior]] = {
    "gaussian": GaussianPosterior,
    "bernoulli": BernoulliPosterior,
    "full_covariance": FullCovariancePosterior,
    "planar": PlanarPosterior,
    "radial": RadialPosterior,
    "iaf": IAFPosterior,
    "maf": MAFPosterior,
    "autoregressive": AutoregressivePosterior,
    "auxiliary": AuxiliaryPosterior,
    "semi_amortized": SemiAmortizedPosterior,
    "adversarial": ImplicitPosterior,
}


def make_parts(
    posterior: str | Posterior,
    event_shape: tuple[int, ...],
    latent_dims: tuple[int, ...],
    hidden: Sequence,
    activation="tanh",
    encoder: keras.Layer | None = None,
    decoder: keras.Layer | None = None,
    seed: int = 0,
    dtype=None,
) -> tuple[Posterior, GenerativeModel]:
    """The posterior of a name, or the one that is given, and a generative model of its latents.

    Args:
        posterior: a name in `POSTERIORS`, or a Keras layer under the contract of `keras_iwae.posteriors`, which has an
            encoder and a number of latent units of its own.
        event_shape: shape of one image.
        latent_dims: latent units of each stochastic layer, of a posterior by name.
        hidden: units of the encoder's dense layers, with several stochastic layers one such sequence for each; the
            decoder's are the same in reverse. Beside a posterior that is given, one sequence, the decoder's in reverse.
        activation: their Keras activation, by name or callable.
        encoder: a Keras layer or model from images to features, in place of the dense one.
        decoder: a Keras layer or model from latents to logits, in place of the dense one.
        seed: seed of the initial kernels; encoder, decoder, posterior and prior have this one and the next three.
        dtype: a Keras dtype or mixed-precision policy.

    Returns:
        the posterior and the generative model, not built yet.

    Raises:
        ValueError: if there is no such posterior, it does not go with several stochastic layers, `hidden` does not fit
            them, or an encoder is given beside a posterior that has one.
    """
    if isinstance(posterior, Posterior):
        if encoder is not None:
            raise ValueError(
                "Invalid value received for `encoder`. Expected none: the posterior that was given has one of its own. "
                f"Received: {encoder!r}"
            )
        trunk = hidden
    else:
        trunk, *upper = _per_layer(hidden, len(latent_dims))
        encoder = encoder or networks.dense_encoder(trunk, activation, seed, dtype)
        posterior = _named(posterior, encoder, latent_dims, upper, activation, seed + 2, dtype)
    decoder = decoder or networks.dense_decoder(event_shape, tuple(trunk)[::-1], activation, seed + 1, dtype)
    prior = _prior(posterior, seed + 3, dtype)
    generative = GenerativeModel(decoder, prior, event_shape, dtype=dtype, name="generative")
    if isinstance(posterior, SemiAmortizedPosterior):
        # A method and not the layer itself, whose weights would count as the posterior's.
        posterior.log_joint = generative.log_joint
    return posterior, generative


def _named(name: str, encoder: keras.Layer, latent_dims, upper, activation, seed: int, dtype) -> Posterior:
    several = len(latent_dims) > 1
    if name not in POSTERIORS or (several and name != "gaussian"):
        expected = "'gaussian' for several stochastic layers" if several else f"one of {tuple(POSTERIORS)}, or a layer"
        raise ValueError(f"Invalid value received for `posterior`. Expected {expected}. Received: {name!r}")
    if several:
        return HierarchicalPosterior(encoder, latent_dims, upper, activation, seed, dtype=dtype, name="posterior")
    return POSTERIORS[name](encoder, latent_dims[0], seed, dtype=dtype, name="posterior")


def _prior(posterior: Posterior, seed: int, dtype) -> Prior:
    if isinstance(posterior, HierarchicalPosterior):
        downwards = tuple(tuple(units)[::-1] for units in posterior.hidden)
        return HierarchicalPrior(posterior.latent_dims, downwards, posterior.activation, seed, dtype=dtype)
    if isinstance(posterior, BernoulliPosterior):
        return BernoulliPrior(posterior.latent_dim)
    return StandardNormalPrior(posterior.latent_dim)


def _per_layer(hidden: Sequence, layers: int) -> Sequence:
    per_layer = [hidden] if layers == 1 else hidden
    if len(per_layer) != layers or (layers > 1 and any(isinstance(units, int) for units in per_layer)):
        raise ValueError(
            f"Invalid value received for `hidden`. Expected {layers} sequences of units, one for each "
            f"stochastic layer. Received: {hidden}"
        )
    return per_layer
