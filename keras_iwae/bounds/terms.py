"""Terms, what a bound is a weighted sum of: means over groups of samples of log-means of their weights."""

import math
from typing import NamedTuple

import tensorflow as tf

from keras_iwae.foundation import largest_power, log_power_mean, log_share_without_each


class Term(NamedTuple):
    """One term of a bound: `coefficient` times the mean over groups of `group_size` samples of log-means of w^power.

    With `leave_one_out` the log-mean of a group is the mean of those of its samples but one, each left out in turn.
    """

    coefficient: float | tf.Tensor
    group_size: int
    power: float = 1.0
    leave_one_out: bool = False


def grouped(log_weights: tf.Tensor, group_size: int) -> tf.Tensor:
    """Log weights `[K, B]`, whose K is known, as `[groups, group_size, B]`, successive samples together."""
    return tf.reshape(log_weights, [log_weights.shape[0] // group_size, group_size, -1])


def term_value(term: Term, log_weights: tf.Tensor) -> tf.Tensor:
    """Value of a term without its coefficient, `[B]`, in nats."""
    return tf.reduce_mean(group_values(term, grouped(log_weights, term.group_size)), axis=0)


def group_values(term: Term, groups: tf.Tensor) -> tf.Tensor:
    """What a term is the mean of, `[groups, B]`, of log weights `[groups, group_size, B]`."""
    whole = log_power_mean(groups, term.power, axis=1)
    if not term.leave_one_out:
        return whole
    # What the log-mean loses or gains, which is small, and so has more digits than the difference of two.
    change = tf.reduce_mean(log_share_without_each(relative_powers(term, groups), axis=1), axis=1)
    return whole + (change - math.log1p(-1.0 / term.group_size)) / term.power


def relative_powers(term: Term, groups: tf.Tensor) -> tf.Tensor:
    """Log weights `[groups, size, B]` times the power, 0 for the largest product: how they differ keeps its digits."""
    return term.power * (groups - tf.stop_gradient(largest_power(groups, term.power, axis=1)))
