"""What a model asks of a likelihood of a user's own, looked at when the model is made and not when a step fails."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_iwae.foundation import MARK, ColumnSupports, Support, is_own_class, shape_text
from keras_iwae.likelihoods.agreement import check_agreement
from keras_iwae.likelihoods.base import Likelihood
from keras_iwae.likelihoods.mixed import MixedLikelihood

# Events and draws that it is tried on.
_EVENTS, _DRAWS = 3, 2


def check_contract(likelihood: Likelihood, features_shape: tuple, features: bool = False) -> None:
    """Refuse a likelihood of a model with another decoder, and a class of a user's own that does not keep the contract.

    Of such a class that is one that does not say what its entries are, or whose log p(x|z) is not one of each x.

    Args:
        likelihood: one that knows the shape of its events, and is built.
        features_shape: shape of the features of one event, or of its parameters.
        features: whether they are features for sure, whatever their shape.

    Raises:
        ValueError: it names what is missing, what `entries` or `log_prob` gives, or a method that says something else.
    """
    kind = type(likelihood)
    _check_decoder(likelihood, tuple(features_shape), features)
    if isinstance(likelihood, MixedLikelihood):
        for family in likelihood.families:
            check_contract(family, family.parameter_shape)
            own = type(family)
            says_no_entry = own.entries is Likelihood.entries and own.entry_log_prob is Likelihood.entry_log_prob
            if likelihood.weighted and says_no_entry:
                raise ValueError(
                    f"{MARK}likelihood`. Expected columns of classes with `entries(parameters)` beside "
                    f"`column_weights`, which are of each entry. Received: {own.__name__}, which has none"
                )
    # The base class itself says nothing yet.
    if not is_own_class(kind) and kind is not Likelihood:
        return
    support = getattr(likelihood, "support", None)
    if not isinstance(support, (Support, ColumnSupports)):
        raise ValueError(
            f"{MARK}likelihood`. Expected a class with `support`, a keras_iwae.foundation.Support. Received: "
            f"{kind.__name__}, with {support!r}"
        )
    if kind.check is not Likelihood.check:
        raise ValueError(
            f"{MARK}likelihood`. Expected a class whose `support` says which values there are, by which all data are "
            f"checked. Received: {kind.__name__}, with a `check` of its own"
        )
    if kind.entries is Likelihood.entries:
        if kind.log_prob is Likelihood.log_prob:
            raise ValueError(
                f"{MARK}likelihood`. Expected a class with `entries(parameters)`, the distribution of each entry. "
                f"Received: {kind.__name__}, which has none"
            )
    else:
        _check_entries(likelihood, _tried(likelihood, "entries", tf.zeros([2, *likelihood.parameter_shape])))
    near = np.broadcast_to(np.asarray(support.nearest_to_zero, np.float32), [_EVENTS, *likelihood.event_shape])
    x = tf.constant(near)
    found = _tried(likelihood, "log_prob", x, tf.zeros([_DRAWS, _EVENTS, *features_shape]), None)
    dtype = getattr(found, "dtype", None)
    if dtype != tf.float32 or tuple(found.shape) != (_DRAWS, _EVENTS):
        given = f"{dtype.name} {shape_text(*found.shape)}" if dtype is not None else f"a {type(found).__name__}"
        raise ValueError(
            f"{MARK}likelihood`. Expected `log_prob(x, features, mask)`, float32 {shape_text('K', 'B')}. Received: "
            f"{kind.__name__}, with {given} for K = {_DRAWS}, B = {_EVENTS}"
        )
    if np.isnan(found).any():
        raise ValueError(
            f"{MARK}likelihood`. Expected a `log_prob` that is a number for x = {near.flat[0]:g} and features of 0. "
            f"Received: {kind.__name__}, with NaN"
        )
    _check_same_in_training(likelihood, features_shape)
    check_agreement(likelihood, features_shape)


def _check_decoder(likelihood: Likelihood, features_shape: tuple, features: bool) -> None:
    """Refuse one that is built for another decoder, whose features its head does not take, or takes for parameters."""
    known, has_head = likelihood._built_for, likelihood.head is not None
    if known is None:
        return
    needs_head = features_shape != likelihood.parameter_shape or features
    if (known, has_head) != (features_shape, needs_head):
        has, given = ("features" if head else "parameters" for head in (has_head, needs_head))
        raise ValueError(
            f"{MARK}likelihood`. Expected one that is of no other model, or of decoders that give the same. Received: "
            f"a {type(likelihood).__name__} of a decoder of {has} {shape_text('N', *known)}, for one of {given} "
            f"{shape_text('N', *features_shape)}"
        )


def _check_same_in_training(likelihood: Likelihood, features_shape: tuple) -> None:
    """Refuse one that is another in training, as with dropout or statistics of a batch: it is asked as it is."""
    features = tf.constant(np.random.default_rng(0).normal(size=(_DRAWS, _EVENTS, *features_shape)), tf.float32)
    before = [keras.ops.convert_to_numpy(variable) for variable in likelihood.variables]
    found = [_tried(likelihood, "__call__", features, training=training) for training in (True, False)]
    for variable, value in zip(likelihood.variables, before, strict=True):
        variable.assign(value)
    if not np.allclose(found[0], found[1], equal_nan=True):
        raise ValueError(
            f"{MARK}likelihood`. Expected a class that gives the same parameters in training, where it is not told "
            "that it is: what drops units or normalizes batches belongs into the decoder. Received: "
            f"{type(likelihood).__name__}, which does not"
        )


def _tried(likelihood: Likelihood, method: str, *arguments: Any, **how: Any) -> Any:
    try:
        return getattr(likelihood, method)(*arguments, **how)
    # Whatever is wrong in a class of the user's own, it is this argument.
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ValueError(
            f"{MARK}likelihood`. Expected a class whose `{method}` can be called. Received: {type(likelihood).__name__}"
            f", with {reason}"
        ) from error


def _check_entries(likelihood: Likelihood, entries: Any) -> None:
    kind = type(likelihood)
    if not hasattr(entries, "batch_shape"):
        raise ValueError(
            f"{MARK}likelihood`. Expected `entries(parameters)`, a TFP distribution. Received: {kind.__name__}, with a "
            f"{type(entries).__name__}"
        )
    found = (*entries.batch_shape, *entries.event_shape)
    if tuple(entries.event_shape) or found != (2, *likelihood.event_shape):
        raise ValueError(
            f"{MARK}likelihood`. Expected `entries` of batch shape {shape_text('N', *likelihood.event_shape)} and of "
            f"scalar events. Received: {kind.__name__}, with batch shape {shape_text(*entries.batch_shape)} and events "
            f"{shape_text(*entries.event_shape)} for N = 2"
        )
