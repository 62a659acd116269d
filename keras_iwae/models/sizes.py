"""How large a model's parts are: what was given, or the defaults; and what would have no effect is refused."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_iwae.foundation import MARK, check_integer
from keras_iwae.networks import check_activation
from keras_iwae.posteriors import Posterior

LATENT_DIM, HIDDEN, ACTIVATION = 50, (200, 200), "tanh"


def sizes(argument: str, given: Any) -> tuple[int, ...]:
    """One integer or several, of Python's or NumPy's, as a tuple."""
    found = tuple(check_integer(argument, size) for size in (given if np.ndim(given) else [given]))
    if not found:
        raise ValueError(f"{MARK}{argument}`. Expected at least one integer. Received: {given!r}")
    return found


def settle_latent_dims(posterior: str | Posterior, latent_dim: int | Sequence[int] | None) -> tuple[int, ...]:
    """Latent units of each stochastic layer: as given, those of a posterior that is given, or the default.

    Raises:
        ValueError: if one is no positive integer, or they are not those that the posterior has.
    """
    given = None if latent_dim is None else sizes("latent_dim", latent_dim)
    if not isinstance(posterior, Posterior):
        return given or (LATENT_DIM,)
    own = tuple(getattr(posterior, "latent_dims", (posterior.latent_dim,)))
    if given not in (None, own):
        raise ValueError(
            f"{MARK}latent_dim`. Expected none, or {own if len(own) > 1 else own[0]}, which the posterior that was "
            f"given has. Received: {latent_dim!r}"
        )
    return own


def settle_hidden(
    hidden: Sequence | None,
    activation: Any,
    posterior: str | Posterior,
    layers: int,
    encoder: keras.Layer | None,
    decoder: keras.Layer | None,
    always: bool = False,
) -> tuple | None:
    """Units of the dense networks, or `None` where none is made.

    Args:
        hidden: units of one network, with several stochastic layers one sequence for each.
        activation: a Keras activation, by name or callable.
        posterior: a name, or a layer with an encoder of its own.
        layers: the number of stochastic layers.
        encoder: in place of the dense one.
        decoder: in place of the dense one.
        always: whether there is a dense network beside those of the encoder and the decoder.

    Raises:
        ValueError: if a number is no positive integer, there is no such activation, or there are none of these networks
            that it could be of.
    """
    check_activation("activation", activation)
    own = isinstance(posterior, Posterior)
    if decoder is None or not (own or encoder is not None) or always:
        return HIDDEN if hidden is None else _as_tuples(hidden)
    if not own and layers > 1:
        # Those above the first.
        return None if hidden is None else _as_tuples(hidden)
    for name, value, default in (("hidden", hidden, None), ("activation", activation, ACTIVATION)):
        if not isinstance(value, type(default)) or value != default:
            raise ValueError(
                f"{MARK}{name}`. Expected none: the networks that were given have their own. Received: {value!r}"
            )
    return None


def _as_tuples(hidden: Any) -> tuple:
    if not isinstance(hidden, (tuple, list, np.ndarray)):
        raise ValueError(f"{MARK}hidden`. Expected the units of each layer, as (200, 200). Received: {hidden!r}")
    nested = (tuple, list, np.ndarray)
    return tuple(_as_tuples(u) if isinstance(u, nested) else check_integer("hidden", u) for u in hidden)
