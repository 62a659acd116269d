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


def start_from(generative: GenerativeModel, mean_image: Any) -> None:
    """Let what a generative model gives be `mean_image`; see `LatentModel.initialize_output_bias`.

    Args:
        generative: the model; its likelihood's head, or its decoder's last weight, is set.
        mean_image: mean of each entry, of shape `event_shape`.

    Raises:
        ValueError: if the shape is another, a mean lies outside the range of the values, or if a decoder that gives the
            parameters itself has as its last trainable weight no bias of their size, or a likelihood of the user's own
            has another mean.
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
    weights[-1].assign(likelihood.parameters_of_mean(mean).reshape(weights[-1].shape))


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
