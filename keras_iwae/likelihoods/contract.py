"""What a model asks of a likelihood of a user's own, looked at when the model is made and not when a step fails."""

import tensorflow as tf

from keras_iwae.foundation import MARK, Support, shape_text
from keras_iwae.likelihoods.base import Likelihood


def check_contract(likelihood: Likelihood) -> None:
    """Refuse a class of a user's own that does not say what its entries are.

    Args:
        likelihood: one that knows the shape of its events.

    Raises:
        ValueError: it names what is missing, or the shape of `entries`.
    """
    kind = type(likelihood)
    if kind.__module__.startswith("keras_iwae."):
        return
    support = getattr(likelihood, "support", None)
    if not isinstance(support, Support):
        raise ValueError(
            f"{MARK}likelihood`. Expected a class with `support`, a keras_iwae.foundation.Support. Received: "
            f"{kind.__name__}, with {support!r}"
        )
    if kind.entries is Likelihood.entries:
        if kind.log_prob is Likelihood.log_prob:
            raise ValueError(
                f"{MARK}likelihood`. Expected a class with `entries(parameters)`, the distribution of each entry. "
                f"Received: {kind.__name__}, which has none"
            )
        return
    entries = likelihood.entries(tf.zeros([2, *likelihood.parameter_shape]))
    found = (*entries.batch_shape, *entries.event_shape)
    if tuple(entries.event_shape) or found != (2, *likelihood.event_shape):
        raise ValueError(
            f"{MARK}likelihood`. Expected `entries` of batch shape {shape_text('N', *likelihood.event_shape)} and of "
            f"scalar events. Received: {kind.__name__}, with batch shape {shape_text(*entries.batch_shape)} and events "
            f"{shape_text(*entries.event_shape)} for N = 2"
        )
