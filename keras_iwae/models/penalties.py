"""Penalties: those of weights are climbed down; those of activations, which a step would not follow, are refused."""

from collections.abc import Iterator

import keras
import tensorflow as tf

from keras_iwae.foundation import MARK


def refuse_activity_regularizers(model: keras.Model) -> None:
    """Refuse layers with an `activity_regularizer`.

    Raises:
        ValueError: it names the part of the model and the layer.
    """
    for argument, part in parts_of(model):
        for layer in part._flatten_layers():
            if layer.activity_regularizer is not None:
                raise _of_activations(argument, f"{layer.name} with an activity_regularizer")


def of_weights(model: keras.Model) -> tf.Tensor:
    """Sum of the regularizers' penalties of a model's trainable weights, a scalar; its layers have been called.

    Raises:
        ValueError: if a layer has added a loss in the forward pass; it names the part of the model and the layer.
    """
    for argument, part in parts_of(model):
        for layer in part._flatten_layers():
            # As the last call left them.
            if layer._losses:
                raise _of_activations(argument, f"{layer.name}, which calls add_loss")
    return tf.add_n([tf.zeros([]), *(tf.cast(loss, tf.float32) for loss in model.losses)])


def parts_of(model: keras.Model) -> Iterator[tuple[str, keras.Layer]]:
    """What may hold layers of a user's own, by the name that the user knows it by, the narrowest first."""
    posterior, generative = model.posterior, model.generative
    encoder = getattr(posterior, "encoder", None)
    if isinstance(encoder, keras.Layer):
        yield "encoder", encoder
    yield "posterior", posterior
    yield "decoder", generative.decoder
    yield "likelihood", generative.likelihood
    yield "model", model


def _of_activations(argument: str, received: str) -> ValueError:
    # The two backward passes begin at the log densities, and what a loss in the forward pass comes of is no part of it.
    return ValueError(
        f"{MARK}{argument}`. Expected no penalties of activations, which are not climbed here; penalize weights, with "
        f"kernel_regularizer. Received: {received}"
    )
