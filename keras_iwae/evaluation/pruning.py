"""Removing latent units from a trained model, to see whether what they hold matters."""

import keras
import numpy as np

from keras_iwae.model import IWAE
from keras_iwae.networks import GaussianNetwork


def pruned(model: IWAE, keep: np.ndarray) -> IWAE:
    r"""A copy of the model in which only some latent units take part.

    A removed unit has posterior and prior N(0, 1), given any image and any other unit, and what is above and below it
    in the network sees 0: it adds nothing to log w, as if the latent space had so many dimensions fewer.

    Args:
        model: a model with Gaussian posteriors, of one or more stochastic layers, whose decoder begins with a dense
            layer.
        keep: bool `[D]`, such as `active_units` gives; the units of all layers, the one next to the image first.

    Returns:
        the copy; it is not compiled.

    Raises:
        ValueError: if `keep` has another length, or the model other networks.

    Example:
        >>> small = pruned(model, active_units(posterior_means))

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, section 5.2: the inactive units of a
        trained model were removed and its likelihood did not change.
    """
    keep = np.asarray(keep, bool)
    if keep.shape != (model.latent_dim,):
        raise ValueError(f"Invalid value received for `keep`. Expected [{model.latent_dim}]. Received: {keep.shape}")
    copy = IWAE.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    posterior, prior = copy.posterior, copy.generative.prior
    if isinstance(posterior, GaussianNetwork):
        inference, generation, layers = [posterior], [], [keep]
    elif hasattr(posterior, "bottom"):
        inference, generation = [posterior.bottom, *posterior.networks], list(prior.networks)
        layers = np.split(keep, np.cumsum(posterior.latent_dims)[:-1])
    else:
        raise ValueError(
            f"Invalid value received for `model`. Expected Gaussian posteriors. Received: {type(posterior).__name__}"
        )
    for network, kept in zip(inference, layers, strict=True):
        _remove_outputs(network, kept)
    for network, below in zip(inference[1:], layers[:-1], strict=True):
        _remove_inputs(network, below)
    for network, kept, above in zip(generation, layers[:-1], layers[1:], strict=True):
        _remove_outputs(network, kept)
        _remove_inputs(network, above)
    _remove_inputs(copy.generative.decoder, layers[0])
    return copy


def _remove_outputs(network: GaussianNetwork, keep: np.ndarray) -> None:
    """Let the removed units be N(0, 1) whatever the input: mean 0, log standard deviation 0."""
    for head in (network.loc_head, network.log_scale_head):
        for weight in (head.kernel, head.bias):
            weight.assign(weight * keep.astype(np.float32))


def _remove_inputs(network: keras.Layer, keep: np.ndarray) -> None:
    """Let the network see 0 in the place of removed units."""
    kernel = network.trainable_variables[0]
    if len(kernel.shape) != 2 or kernel.shape[0] != len(keep):
        raise ValueError(
            f"Invalid value received for `model`. Expected a network on {len(keep)} units that begins with a dense "
            f"layer. Received: {network.name}, whose first weight has shape {tuple(kernel.shape)}"
        )
    kernel.assign(kernel * keep.astype(np.float32)[:, np.newaxis])
