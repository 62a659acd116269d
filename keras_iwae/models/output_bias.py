"""Where a decoder starts: from the mean of the training examples, whatever the latents."""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from keras_iwae.foundation import MARK, is_own_class, shape_text
from keras_iwae.likelihoods import Likelihood
from keras_iwae.models.generative import GenerativeModel

# Means at the ends of a range are moved inwards, in shares of it.
_NEAR = 0.05
# Draws of the latents that a decoder's parameters are looked at for, and how far half floats round these.
_PROBED = 64
_ROUNDING = 0.02


def start_from(generative: GenerativeModel, mean_image: Any) -> None:
    """Let what a generative model gives be `mean_image`; see `LatentModel.initialize_output_bias`.

    Args:
        generative: the model; its likelihood's head, or its decoder's last weight, is set.
        mean_image: mean of each entry, of shape `event_shape`.

    Raises:
        ValueError: if the shape is another, a mean lies outside the range of the values, or if a decoder that gives the
            parameters itself has as its last trainable weight no bias of their size that nothing follows, or a
            likelihood of the user's own has another mean.
    """
    likelihood, shape = generative.likelihood, generative.event_shape
    given = np.asanyarray(mean_image)
    if given.shape != shape:
        received = shape_text(*given.shape) if given.shape else repr(mean_image)
        raise ValueError(f"{MARK}mean_image`. Expected shape {shape_text(*shape)}. Received: {received}")
    mean = likelihood.support.of_means.check(given[np.newaxis], "mean_image", shape, missing=True)[0]
    if np.isnan(mean).any():
        raise ValueError(
            f"{MARK}mean_image`. Expected the mean of what was observed, as keras_iwae.data.mean_image gives, and "
            "0 for an entry that never was. Received: NaN"
        )
    _check_start(likelihood, mean)
    if likelihood.head is not None:
        likelihood.initialize(mean)
        return
    weights, size = generative.decoder.trainable_variables, math.prod(likelihood.parameter_shape)
    if not weights or math.prod(weights[-1].shape) != size:
        raise ValueError(
            f"{MARK}decoder`. Expected a last weight with {size} values, one for each parameter, as "
            f"`keras_iwae.networks.PixelBias` has. Received: {weights[-1].shape if weights else 'no weights'}"
        )
    _assign_bias(generative, weights[-1], likelihood.parameters_of_mean(mean).reshape(weights[-1].shape))


def _assign_bias(generative: GenerativeModel, weight: Any, value: np.ndarray) -> None:
    """Give a weight this value, and the old one back where the parameters do not follow it, whatever the latents."""
    old, latents = weight.numpy(), tf.random.stateless_normal([_PROBED, generative.latent_dim], [0, 0])
    before = generative(latents).numpy()
    weight.assign(value)
    wanted = before + (value - old).reshape(before.shape[1:])
    # Of what is in the weight by then: half floats round it.
    if np.abs(generative(latents).numpy() - wanted).max() > _ROUNDING * max(np.abs(before).max(), np.abs(wanted).max()):
        weight.assign(old)
        raise ValueError(
            f"{MARK}decoder`. Expected one whose last trainable weight is a bias that nothing follows, as "
            "`keras_iwae.networks.PixelBias`: without a last activation, that is. Received: "
            f"{generative.decoder.name}, whose parameters do not move as its {weight.name} does"
        )


def _check_start(likelihood: Any, mean: np.ndarray) -> None:
    """Refuse a class of the user's own that has another mean than it starts from, as with parameters it inherits."""
    kind = type(likelihood)
    if not is_own_class(kind) or kind.initialize is not Likelihood.initialize:
        return
    parameters = tf.constant(likelihood.parameters_of_mean(mean)[np.newaxis], tf.float32)
    found, support = likelihood.mean_of(parameters).numpy()[0], likelihood.support
    unit = support.high - support.low if support.bounded else np.maximum(1.0, np.abs(mean))
    if np.max(np.abs(found - mean) / unit) > _NEAR:
        raise ValueError(
            f"{MARK}likelihood`. Expected a class whose `parameters_of_mean(mean)` are parameters of that mean. "
            f"Received: {kind.__name__}, of which they give {found.ravel()[:3]} for {mean.ravel()[:3]}"
        )
