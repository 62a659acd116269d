"""How large a model's parts are: what was given, or the defaults; and what would have no effect is refused."""

from collections.abc import Mapping, Sequence, Set
from typing import Any

import keras
import numpy as np

from keras_iwae.foundation import MARK, check_integer
from keras_iwae.networks import check_activation
from keras_iwae.posteriors import Posterior

# The posterior, by its name, that goes with several stochastic layers.
_OF_SEVERAL = "gaussian"
LATENT_DIM, HIDDEN, ACTIVATION = 50, (200, 200), "tanh"


def sizes(argument: str, given: Any) -> tuple[int, ...]:
    """One integer or several, of Python's or NumPy's, as a tuple."""
    several = np.iterable(given) and not isinstance(given, (str, bytes, Mapping, Set))
    found = tuple(check_integer(argument, size) for size in (given if several else [given]))
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
        # Before units are asked for each of several layers.
        if given is not None and len(given) > 1 and posterior != _OF_SEVERAL:
            raise ValueError(
                f"{MARK}latent_dim`. Expected one number: several stochastic layers are for the posterior "
                f"{_OF_SEVERAL!r} alone. Received: {latent_dim!r} with {posterior!r}"
            )
        return given or (LATENT_DIM,)
    if not hasattr(posterior, "latent_dim"):
        raise ValueError(
            f"{MARK}posterior`. Expected a class with `latent_dim`, its latent units. Received: "
            f"{type(posterior).__name__}, with none"
        )
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
) -> tuple[tuple | None, Any]:
    """Units of the dense networks and their activation, `None` where none is made.

    Args:
        hidden: units of one network, with several stochastic layers one sequence for each.
        activation: a Keras activation, by name or callable; `None` is "tanh".
        posterior: a name, or a layer with an encoder of its own.
        layers: the number of stochastic layers.
        encoder: in place of the dense one.
        decoder: in place of the dense one.
        always: whether there is a dense network beside those of the encoder and the decoder.

    Raises:
        ValueError: if there are not as many sequences as networks, a number is no positive integer, there is no such
            activation, or there are none of these networks that it could be of.
    """
    if activation is not None:
        check_activation("activation", activation)
    own = isinstance(posterior, Posterior)
    first = decoder is None or not (own or encoder is not None) or always
    # Of several layers those above the first have dense networks whatever was given.
    networks = int(first) if own else layers - (not first)
    if networks:
        units = units_of(hidden, networks)
        return units[0] if own or layers == 1 else units, ACTIVATION if activation is None else activation
    for name, value in {"hidden": hidden, "activation": activation}.items():
        if value is not None:
            raise ValueError(
                f"{MARK}{name}`. Expected none: the networks that were given have their own. Received: {value!r}"
            )
    return None, None


def units_of(hidden: Any, networks: int) -> tuple[tuple[int, ...], ...]:
    """Units of the layers of each of so many dense networks, of Python's or NumPy's integers.

    Args:
        hidden: one sequence of units for each network, or for one network its units, of which `None` is the default.
        networks: how many dense networks there are.

    Raises:
        ValueError: if there are not as many, or one has no layer, or a number is no positive integer.
    """
    several = (tuple, list, np.ndarray)
    given: Any = HIDDEN if hidden is None and networks == 1 else hidden
    if networks == 1 and isinstance(given, several) and not any(isinstance(units, several) for units in given):
        given = [given]
    right = isinstance(given, several) and len(given) == networks
    if not right or not all(isinstance(units, several) and len(units) for units in given):
        each = f"{networks} sequences of units, one for each stochastic layer that has dense networks"
        wanted = "the units of each layer, as (200, 200)" if networks == 1 else each
        raise ValueError(f"{MARK}hidden`. Expected {wanted}. Received: {hidden!r}")
    return tuple(tuple(check_integer("hidden", size) for size in units) for units in given)
