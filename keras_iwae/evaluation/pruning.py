"""Removing latent units from a trained model, to see whether what they hold matters."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_iwae.foundation import Purpose, key_for
from keras_iwae.models import IWAE, check_model
from keras_iwae.networks import GaussianNetwork
from keras_iwae.priors import Prior, StandardNormalPrior, top_of

# Draws of the prior that the mean of a removed unit is taken over.
_DRAWS = 10_000


def pruned(model: IWAE, keep: np.ndarray) -> IWAE:
    r"""A copy of the model in which only some latent units take part.

    A removed unit has posterior and prior N(0, 1), given any image and any other unit, and what is above and below it
    in the network sees its prior mean in its place: it adds nothing to log w, as if the latent space had so many
    dimensions fewer. The mean is 0 in the last layer; in those below, the prior may have put it anywhere.

    Args:
        model: a model with Gaussian posteriors, of one or more stochastic layers, and the standard normal as the prior
            of the last, whose decoder begins with a dense layer with a bias.
        keep: bool `[D]`, such as `active_units` gives; the units of all layers, the one next to the image first.

    Returns:
        the copy; it is not compiled.

    Raises:
        ValueError: if `keep` has another length or type, or the model other networks.

    Example:
        >>> small = pruned(model, diagnostics.active_units(model.posterior.mean(images)))

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, section 5.2: the inactive units of a
        trained model were removed and its likelihood did not change.
    """
    check_model(model)
    found = np.asarray(keep)
    if found.dtype != np.bool_ or found.shape != (model.latent_dim,):
        raise ValueError(
            f"Invalid value received for `keep`. Expected [{model.latent_dim}], True or False for each unit. "
            f"Received: {found.dtype} {list(found.shape)}"
        )
    keep = found
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    posterior, prior = copy.posterior, copy.generative.prior
    if isinstance(posterior, GaussianNetwork):
        inference, generation, sizes = [posterior], [], [model.latent_dim]
    elif hasattr(posterior, "bottom"):
        inference, generation = [posterior.bottom, *posterior.networks], list(prior.networks)
        sizes = posterior.latent_dims
    else:
        raise ValueError(
            f"Invalid value received for `model`. Expected Gaussian posteriors. Received: {type(posterior).__name__}"
        )
    top = top_of(prior)
    if type(top) is not StandardNormalPrior:
        raise ValueError(
            "Invalid value received for `model`. Expected the prior N(0, I), of which a unit can be left out. "
            f"Received: a {type(top).__name__}"
        )
    layers, means = np.split(keep, np.cumsum(sizes)[:-1]), _prior_means(prior, generation, sizes)
    for network, kept in zip([*inference, *generation], [*layers, *layers[:-1]], strict=True):
        _remove_outputs(network, kept)
    # What sees z_1, z_2, ... on the way up, and on the way down.
    for seen, networks in enumerate(zip([*inference[1:], None], [copy.generative.decoder, *generation], strict=True)):
        for network in filter(None, networks):
            _remove_inputs(network, layers[seen], means[seen])
    return copy


def _prior_means(prior: Prior, networks: Sequence[GaussianNetwork], sizes: Sequence[int]) -> list[np.ndarray]:
    """Mean of each layer's units under the prior, over fixed draws of the layer above."""
    draws = tf.split(prior.sample(_DRAWS, key_for(Purpose.PRUNING, 0)), sizes, axis=-1)
    locs = [network.given(above)[0] for network, above in zip(networks, draws[1:], strict=True)]
    return [*(loc.numpy().mean(axis=0) for loc in locs), np.zeros(sizes[-1], np.float32)]


def _remove_outputs(network: GaussianNetwork, keep: np.ndarray) -> None:
    """Let the removed units be N(0, 1) whatever the input: mean 0, log standard deviation 0."""
    for head in (network.loc_head, network.log_scale_head):
        for weight in (head.kernel, head.bias):
            weight.assign(weight * keep.astype(np.float32))


def _remove_inputs(network: keras.Layer, keep: np.ndarray, mean: np.ndarray) -> None:
    """Let the network see `mean` in the place of removed units."""
    kernel, bias = [*network.trainable_variables, None][:2]
    if len(kernel.shape) != 2 or kernel.shape[0] != len(keep) or bias is None or bias.shape != kernel.shape[1:]:
        raise ValueError(
            f"Invalid value received for `model`. Expected a network on {len(keep)} units that begins with a dense "
            f"layer with a bias. Received: {network.name}, whose first weight has shape {tuple(kernel.shape)}"
        )
    bias.assign_add((mean * ~keep) @ kernel.numpy())
    kernel.assign(kernel * keep.astype(np.float32)[:, np.newaxis])
