"""What is given as a model, and is none, or none that can be said in a configuration."""

from typing import Any

from keras_iwae.foundation import MARK

# Options of scripts and arguments of parts, by what a model is given in their place.
ELSEWHERE = {
    "num_groups": "it is of objective=keras_iwae.MIWAE(num_groups=...), or PIWAE",
    "beta": "it is of objective=keras_iwae.CIWAE(beta=...)",
    "alpha": "it is of objective=keras_iwae.Renyi(alpha=...)",
    "levels": "it is of likelihood=keras_iwae.likelihoods.CategoricalLikelihood(levels=...), or of another of levels",
    "num_components": "it is of prior=keras_iwae.priors.MixturePrior(latent_dim, num_components=...) and others",
    "prior_components": "write prior=keras_iwae.priors.MixturePrior(latent_dim, num_components=...)",
    "posterior_components": "write posterior=keras_iwae.posteriors.MixturePosterior(encoder, latent_dim, ...)",
    "network": "write encoder=keras_iwae.networks.gated_encoder(...), decoder=keras_iwae.networks.gated_decoder(...)",
}


def check_model(model: Any) -> None:
    """Refuse what is no model of this package, nor has its parts, where one is to be judged.

    Raises:
        ValueError: which names `model`.
    """
    if not all(hasattr(model, part) for part in ("posterior", "generative", "check_finite")):
        raise ValueError(f"{MARK}model`. Expected an IWAE or an AVB. Received: a {type(model).__name__}")


def refuse_shared(model: Any) -> None:
    """Refuse to say in a configuration, where each part stands alone, what has a layer in two of them.

    Raises:
        ValueError: which names `decoder`.
    """
    above = {id(layer) for layer in model.posterior._flatten_layers()}
    for layer in model.generative._flatten_layers():
        if id(layer) in above:
            raise ValueError(
                f"{MARK}decoder`. Expected no layer of the encoder's in a model that is saved or copied, where they"
                f" would part; save its weights, with save_weights. Received: {layer.name}, in both"
            )


def freeze_as_given(model: Any) -> None:
    """Freeze all that is in a layer made with `trainable=False`, by which Keras freezes its own weights alone.

    Where some of it is frozen and some is not, somebody has chosen, as by thawing a layer of a frozen network.
    """
    for layer in model._flatten_layers():
        below = layer._flatten_layers(include_self=False)
        if not layer.trainable and all(each.trainable for each in below):
            # Keras passes over what is set to what it is already, and does not look below.
            for each in below:
                each.trainable = False


def build_at_once(model: Any) -> None:
    """Build a model, whose class may have a `build` of its own.

    Raises:
        ValueError: if that leaves out what this package's does.
    """
    model.build()
    if not (model.posterior.built and model.generative.built):
        raise ValueError(
            "Invalid definition of `build`. Expected none, or one that calls super().build(input_shape). Received: "
            f"{type(model).__name__}, whose own leaves posterior and decoder unbuilt"
        )
