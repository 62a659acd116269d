"""What a model is made of: a posterior, by name or as the user made it, its prior, a decoder and a likelihood."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_iwae import networks
from keras_iwae.foundation import MARK
from keras_iwae.likelihoods import BernoulliLikelihood, Likelihood, SelfMasking
from keras_iwae.models.generative import GenerativeModel
from keras_iwae.models.named_priors import join_prior, make_prior
from keras_iwae.models.sizes import HIDDEN
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
    MixturePosterior,
    PlanarPosterior,
    Posterior,
    RadialPosterior,
    SemiAmortizedPosterior,
)
from keras_iwae.priors import Prior

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
    "mixture": MixturePosterior,
    "auxiliary": AuxiliaryPosterior,
    "semi_amortized": SemiAmortizedPosterior,
    "adversarial": ImplicitPosterior,
}

# Encodings that have to know how many levels there are.
_WITH_LEVELS = ("levels", "one_hot")


def make_components(
    posterior: str | Posterior,
    event_shape: tuple[int, ...],
    latent_dims: tuple[int, ...],
    hidden: Sequence | None,
    activation="tanh",
    encoder: keras.Layer | None = None,
    decoder: keras.Layer | None = None,
    likelihood: Likelihood | None = None,
    missing: str | None = None,
    mask_input: bool = False,
    seed: int = 0,
    dtype=None,
    missingness: SelfMasking | None = None,
    prior: str | Prior | None = None,
) -> tuple[Posterior, GenerativeModel]:
    """The posterior of a name, or the one that is given, and a generative model of its latents.

    Args:
        posterior: a name in `POSTERIORS`, or a Keras layer under the contract of `keras_iwae.posteriors`, which has an
            encoder and a number of latent units of its own.
        event_shape: shape of one event.
        latent_dims: latent units of each stochastic layer, of a posterior by name; several are for "gaussian" alone.
        hidden: units of the encoder's dense layers, with several stochastic layers one such sequence for each; the
            decoder's are the same in reverse. Beside a posterior that is given, one sequence, the decoder's in reverse;
            beside an encoder and a decoder, sequences for the layers above the first alone, `None` where there are
            none.
        activation: their Keras activation, by name or callable.
        encoder: a Keras layer or model from events to features, in place of the dense one.
        decoder: a Keras layer or model from latents to features or to the likelihood's parameters, in place of the
            dense one.
        likelihood: p(x|z); `None` is a Bernoulli one.
        missing: "nan" where NaN stands for an entry that was not observed.
        mask_input: whether the encoder sees what was observed.
        seed: seed of the initial kernels; encoder, decoder, posterior and prior have this one and the next three.
        dtype: a Keras dtype or mixed-precision policy.
        missingness: p(s|x) of what is observed, `None` where it says nothing of the rest.
        prior: p(z), by a name in `PRIORS` or a layer of `keras_iwae.priors`; `None` is the one without parameters that
            goes with the posterior, and with several stochastic layers the networks between them.

    Returns:
        the posterior and the generative model, not built yet.

    Raises:
        ValueError: if there is no such posterior, `hidden` does not fit the layers, an encoder is given beside a
            posterior that has one, or that one does not see what it should.
    """
    likelihood = likelihood or BernoulliLikelihood()
    inputs = encoder_inputs(likelihood, missing, mask_input)
    if isinstance(posterior, Posterior):
        if encoder is not None:
            raise ValueError(
                "Invalid value received for `encoder`. Expected none: the posterior that was given has one of its own. "
                f"Received: {encoder!r}"
            )
        check_inputs(posterior, inputs)
        trunk: Any = hidden
    else:
        trunk, *upper = _per_layer(hidden, len(latent_dims), encoder is None or decoder is None)
        if encoder is None:
            encoder = networks.dense_encoder(trunk, activation, seed, dtype)
        encoder = with_inputs(encoder, event_shape, inputs)
        posterior = _named(posterior, encoder, latent_dims, upper, activation, networks.following_seed(seed, 2), dtype)
    decoder_seed = networks.following_seed(seed, 1)
    own_decoder = decoder is None
    if own_decoder:
        decoder = networks.dense_decoder(tuple(trunk)[::-1], activation, decoder_seed, dtype)
    head_seed = networks.derived_seed(decoder_seed, len(trunk or HIDDEN))
    generative = GenerativeModel(
        decoder,
        make_prior(prior, posterior, networks.following_seed(seed, 3), dtype),
        likelihood,
        event_shape,
        missing,
        head_seed,
        own_decoder,
        missingness,
        dtype=dtype,
        name="generative",
    )
    generative.of_posterior(posterior.auxiliary_dim)
    if isinstance(posterior, SemiAmortizedPosterior):
        # A method and not the layer itself, whose weights would count as the posterior's.
        posterior.of_model(generative.log_joint)
    join_prior(generative, posterior)
    return posterior, generative


def encoder_inputs(likelihood: Likelihood, missing: str | None, mask_input: bool) -> dict:
    """What an `EventEncoder` has to be told for events of this likelihood."""
    encoding, levels = likelihood.encoding, likelihood.levels
    if isinstance(encoding, str):
        levels = levels if encoding in _WITH_LEVELS else None
    else:
        # A table: of each column.
        levels = tuple(n if one in _WITH_LEVELS else None for one, n in zip(encoding, levels, strict=True))
        if len(set(zip(encoding, levels, strict=True))) == 1:
            encoding, levels = encoding[0], levels[0]
    return {"encoding": encoding, "levels": levels, "missing": missing, "mask_input": mask_input}


def with_inputs(encoder: keras.Layer, event_shape: tuple[int, ...], inputs: dict) -> keras.Layer:
    """The encoder behind what turns events into its inputs, where there is anything to turn, or features to flatten.

    Raises:
        ValueError: if it is an `EventEncoder` that turns them into others, or has one within it.
    """
    # One that flattens features alone is a network as any other.
    if isinstance(encoder, networks.EventEncoder) and (_plain(inputs) or not _plain(encoder.get_config())):
        _check_seen("encoder", encoder, inputs, "the network alone, or an EventEncoder(network, ")
        return encoder
    if _plain(inputs) and len(networks.output_shape(encoder, (None, *event_shape), "encoder")) == 2:
        return encoder
    found = networks.EventEncoder(encoder, **inputs, name="event_encoder")
    _check_alone(encoder, inputs)
    return found


def check_inputs(posterior: Posterior, inputs: dict) -> None:
    """Refuse a posterior of the user's own whose encoder would see events as they are, where it should not.

    Raises:
        ValueError: which says how to wrap the encoder.
    """
    encoder = getattr(posterior, "encoder", None)
    _check_seen("posterior", encoder, inputs, "one whose encoder is an EventEncoder(encoder, ")


def _check_seen(argument: str, encoder: Any, inputs: dict, expected: str) -> None:
    seen = {name: getattr(encoder, name, None) for name in inputs}
    if not _plain(inputs) and seen != inputs:
        told = ", ".join(f"{name}={value!r}" for name, value in inputs.items() if value)
        own = ", ".join(f"{name}={value!r}" for name, value in seen.items() if value)
        received = f"the encoder {encoder.name}, with {own or 'none of these'}" if encoder is not None else "no encoder"
        raise ValueError(
            f"{MARK}{argument}`. Expected {expected}{told}), as this likelihood and `missing` ask for. "
            f"Received: {received}"
        )


def _check_alone(encoder: keras.Layer, inputs: dict) -> None:
    """Refuse a network within which events would be turned once more."""
    for layer in encoder._flatten_layers(include_self=False):
        if isinstance(layer, networks.EventEncoder) and not (_plain(inputs) or _plain(layer.get_config())):
            raise ValueError(
                f"{MARK}encoder`. Expected the network alone, or an EventEncoder around all of it, as this likelihood "
                f"and `missing` ask for one. Received: {encoder.name}, with the EventEncoder {layer.name} within it, "
                "to which events would come encoded"
            )


def _plain(inputs: dict) -> bool:
    return inputs["encoding"] == "identity" and inputs["missing"] is None


def _named(name: str, encoder: keras.Layer, latent_dims, upper, activation, seed: int, dtype) -> Posterior:
    if not isinstance(name, str) or name not in POSTERIORS:
        raise ValueError(f"{MARK}posterior`. Expected one of {tuple(POSTERIORS)}, or a layer. Received: {name!r}")
    if len(latent_dims) > 1:
        return HierarchicalPosterior(encoder, latent_dims, upper, activation, seed, dtype=dtype, name="posterior")
    return POSTERIORS[name](encoder, latent_dims[0], seed, dtype=dtype, name="posterior")


def _per_layer(hidden: Sequence | None, layers: int, first: bool) -> Sequence[Any]:
    """Units of each stochastic layer, `None` for the first where its networks were given."""
    if layers == 1 or hidden is None:
        return [hidden]
    return hidden if first else [None, *hidden]
