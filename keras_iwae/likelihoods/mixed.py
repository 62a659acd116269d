"""Mixed likelihood: the columns of a table, each by a family of its own."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_iwae.foundation import (
    MARK,
    ColumnSupports,
    Support,
    check_kept,
    check_positive_float32,
    shape_text,
)
from keras_iwae.likelihoods.base import Likelihood
from keras_iwae.likelihoods.bernoulli import BernoulliLikelihood
from keras_iwae.likelihoods.column_entries import ColumnEntries
from keras_iwae.likelihoods.families import get
from keras_iwae.likelihoods.scales import not_widened


@keras.saving.register_keras_serializable("keras_iwae")
class MixedLikelihood(Likelihood):
    r"""$p(x|z) = \prod_d p_{f(d)}(x_d|z)$ with a family f(d) for each column d of a table.

    Columns of the same family and settings are one group, so that 30 real columns cost one operation and not 30. The
    parameters are those of the groups, one after the other in the order of their first columns, and within a group
    column by column. A Bernoulli column has 0 and 1 only. `mean` of a categorical column is the expected number of its
    level, which has a meaning where levels are in an order; `probabilities` has all levels.

    Args:
        columns: a list, or an array, with a name in `LIKELIHOODS` for each column, or with a likelihood that stands for
            its family and settings.
        column_weights: for each column what log p(x_d|z) is multiplied by in training, where some would otherwise not
            be heard; numbers above 0. What is climbed is then no bound of log p(x), and is reported as
            `weighted_bound`; every evaluation is of p(x) itself. `None` weighs none.
        seed: seed of the head's initial kernel; `None` is the model's.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if there is no column, one is no likelihood, or has a seed, for the head is one for all; or if there
            are not as many weights, or one is not above 0.

    Example:
        >>> likelihood = MixedLikelihood(["student_t", "student_t", "bernoulli", CategoricalLikelihood(5)])
        >>> model = IWAE(4, likelihood=likelihood, missing="nan")

    References:
        Nazábal, Olmos, Ghahramani, Valera (2020), Handling incomplete heterogeneous data using VAEs, section 2.
    """

    def __init__(
        self,
        columns: Sequence[str | Likelihood],
        column_weights: Sequence[float] | None = None,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(seed, **kwargs)
        families = _families(columns)
        self.column_weights = None if column_weights is None else _weights(column_weights, len(families))
        # Not a list of layers: Keras would track them, and they are not what is trained.
        self._made_of = SimpleNamespace(columns=[_as_config(column) for column in columns])
        groups: dict[tuple, list[int]] = {}
        for index, family in enumerate(families):
            groups.setdefault(_settings(family), []).append(index)
        self._places = list(groups.values())
        self._order = np.argsort(np.concatenate(self._places)).tolist()
        self.families = tuple(_copy(families[places[0]], number) for number, places in enumerate(self._places))
        self.parameters = max(family.parameters for family in self.families)
        self.widened = any(family.widened for family in self.families)
        self.discrete = all(family.discrete for family in self.families)
        self.support = ColumnSupports(tuple(_support(family) for family in families))
        self.encoding = tuple(family.encoding for family in families)
        self.levels = tuple(family.levels for family in families)

    def get_config(self):
        return {**super().get_config(), "columns": self._made_of.columns, "column_weights": self.column_weights}

    @classmethod
    def from_config(cls, config):
        columns = [c if isinstance(c, str) else keras.saving.deserialize_keras_object(c) for c in config["columns"]]
        return cls(**{**config, "columns": columns})

    def describe_events(self, event_shape: tuple[int, ...], seed: int, features: bool = False) -> None:
        if tuple(event_shape) != (len(self._order),):
            raise ValueError(
                f"{MARK}likelihood`. Expected one of events {shape_text(*event_shape)}. Received: a MixedLikelihood of "
                f"{len(self._order)} columns"
            )
        super().describe_events(event_shape, seed, features)
        for family, places in zip(self.families, self._places, strict=True):
            family.describe_events((len(places),), seed)

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        return (sum(math.prod(family.parameter_shape) for family in self.families),)

    def numbers(self) -> list[tuple[Likelihood, bool]]:
        return [number for family, places in self.groups for _ in places for number in family.numbers()]

    def build(self, features_shape):
        super().build(features_shape)
        for family in self.families:
            family.build((None, *family.parameter_shape))

    def entries(self, parameters: tf.Tensor) -> ColumnEntries:
        parts = zip(self.families, self.parts_of(parameters), strict=True)
        return ColumnEntries([family.entries(part) for family, part in parts], self._places)

    def log_prob(self, x: tf.Tensor, features: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        values = self.columns_of(x)
        masks = [None] * len(values) if mask is None else self.columns_of(mask)
        parts = zip(self.families, values, self.parts_of(self(features)), masks, strict=True)
        return tf.add_n([family.log_prob(value, part, observed) for family, value, part, observed in parts])

    @property
    def groups(self) -> list[tuple[Likelihood, list[int]]]:
        """Each group's likelihood and the numbers of its columns."""
        return list(zip(self.families, self._places, strict=True))

    @property
    def weighted(self) -> bool:
        return self.column_weights is not None

    def training_log_prob(self, x: tf.Tensor, features: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        r"""$\sum_d c_d m_d \log p(x_d|z)$ with the weights $c_d$ of the columns, `[K, B]`."""
        if self.column_weights is None:
            return self.log_prob(x, features, mask)
        return tf.linalg.matvec(self.column_log_prob(x, features, mask), tf.constant(self.column_weights, tf.float32))

    def entry_log_prob(self, x: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        parts = zip(self.families, self.columns_of(x), self.parts_of(parameters), strict=True)
        return self.joined([family.entry_log_prob(value, part) for family, value, part in parts])

    def column_log_prob(self, x: tf.Tensor, features: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """log p(x_d|z) of each column in nats, float32 `[K, B, D]`, 0 where it was not observed.

        Args:
            x: rows `[B, D]`, float32; anything in the support where the mask is False.
            features: of K latents for each, `[K, B, F]`.
            mask: bool `[B, D]`, which entries were observed; `None` is all.
        """
        log_probs = self.entry_log_prob(x, self(features))
        return log_probs if mask is None else tf.where(mask, log_probs, 0.0)

    def mean_of(self, parameters: tf.Tensor) -> tf.Tensor:
        parts = zip(self.families, self.parts_of(parameters), strict=True)
        return self.joined([family.mean_of(part) for family, part in parts])

    def moments_of(self, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parts = zip(self.families, self.parts_of(parameters), strict=True)
        means, stddevs = zip(*(family.moments_of(part) for family, part in parts), strict=True)
        return self.joined(means), self.joined(stddevs)

    def probabilities(self, features: tf.Tensor) -> dict[int, tf.Tensor]:
        """Of each column that has levels, by its number: the probabilities of all C of them, float32 `[..., C]`.

        Args:
            features: `[..., F]`.

        Returns:
            columns in rising order; a Bernoulli one has two levels.
        """
        found: dict[int, tf.Tensor] = {}
        for family, places, part in zip(self.families, self._places, self.parts_of(self(features)), strict=True):
            if family.levels is not None or isinstance(family, BernoulliLikelihood):
                probabilities = family.level_probabilities(part)
                found |= {place: probabilities[..., i, :] for i, place in enumerate(places)}
        return dict(sorted(found.items()))

    def served(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """As everywhere, and where columns have levels `probabilities` of these columns, `[..., columns, C]`.

        C is the largest number of levels; a column of fewer has zeros behind its own.
        """
        answer, found = super().served(features), list(self.probabilities(features).values())
        if found:
            most = max(column.shape[-1] for column in found)
            ends = [[[0, 0]] * (column.shape.rank - 1) + [[0, most - column.shape[-1]]] for column in found]
            padded = [tf.pad(column, end) for column, end in zip(found, ends, strict=True)]
            answer["probabilities"] = tf.stack(padded, axis=-2)
        return answer

    def widen(self, factor: float) -> None:
        """The scales of every column that is `widened`; arguments as everywhere."""
        if not self.widened:
            raise not_widened()
        for family in self.families:
            if family.widened:
                family.widen(factor)

    def parameters_of_mean(self, mean: np.ndarray) -> np.ndarray:
        parts = zip(self.families, self._places, strict=True)
        return np.concatenate([np.ravel(family.parameters_of_mean(mean[places])) for family, places in parts])

    def to_grey(self, values: np.ndarray) -> np.ndarray:
        """As everywhere, but each column, along the last axis, from its own smallest to its own largest value."""
        values, grey = np.asarray(values, np.float32), np.empty(np.shape(values), np.float32)
        for family, places in zip(self.families, self._places, strict=True):
            for place in places:
                grey[..., place] = family.to_grey(values[..., place])
        return grey

    def parts_of(self, parameters: tf.Tensor) -> list[tf.Tensor]:
        """The parameters of each group, `[..., *parameter_shape]` of its family."""
        shapes = [family.parameter_shape for family in self.families]
        leading = keras.ops.shape(parameters)[:-1]
        parts = tf.split(parameters, [math.prod(shape) for shape in shapes], axis=-1)
        return [keras.ops.reshape(part, (*leading, *shape)) for part, shape in zip(parts, shapes, strict=True)]

    def columns_of(self, values: tf.Tensor) -> list[tf.Tensor]:
        """The columns of each group, `[..., d]`."""
        if len(self._places) == 1:
            return [values]
        return [tf.gather(values, list(places), axis=-1) for places in self._places]

    def joined(self, parts: Sequence[tf.Tensor]) -> tf.Tensor:
        """`[..., D]` in the order of the table, of the columns of each group."""
        return parts[0] if len(parts) == 1 else tf.gather(tf.concat(parts, axis=-1), list(self._order), axis=-1)


def _families(columns: Sequence[str | Likelihood]) -> list[Likelihood]:
    """The likelihood that stands for each column."""
    if not _in_order(columns) or not len(columns):
        raise ValueError(f"{MARK}columns`. Expected a list of a likelihood for each column. Received: {columns!r}")
    families = [get(column, f"columns[{index}]") for index, column in enumerate(columns)]
    for index, family in enumerate(families):
        # Columns are made of it, as copies.
        check_kept(f"columns[{index}]", family)
        if isinstance(family, MixedLikelihood):
            raise ValueError(f"{MARK}columns[{index}]`. Expected a likelihood of one column. Received: {family!r}")
        if family.seed is not None:
            raise ValueError(
                f"{MARK}columns[{index}]`. Expected one without a seed: the columns share a head, whose seed is that "
                f"of MixedLikelihood. Received: seed={family.seed}"
            )
    return families


def _in_order(several: Any) -> bool:
    """Whether it is a list, a tuple, or an array or a Series of one axis: a set has its own order in each process."""
    return isinstance(several, (list, tuple)) or (hasattr(several, "__array__") and np.ndim(several) == 1)


def _weights(weights: Sequence[float], count: int) -> list[float]:
    if not _in_order(weights):
        raise ValueError(f"{MARK}column_weights`. Expected one for each of {count} columns. Received: {weights!r}")
    names = [f"column_weights[{index}]" for index in range(len(weights))]
    found = [check_positive_float32(name, weight) for name, weight in zip(names, weights, strict=True)]
    if len(found) != count:
        raise ValueError(f"{MARK}column_weights`. Expected one for each of {count} columns. Received: {len(found)}")
    return found


def _as_config(column: str | Likelihood) -> str | dict:
    if isinstance(column, str):
        return column
    return {**keras.saving.serialize_keras_object(column), "config": _own_config(column)}


def _own_config(family: Likelihood) -> dict:
    """Its settings, without what Keras gives every layer: a name, and a policy whose mark of sharing changes."""
    return {name: value for name, value in family.get_config().items() if name not in ("name", "dtype")}


def _settings(family: Likelihood) -> tuple[type, str]:
    """What two columns of one group have in common."""
    return type(family), json.dumps(_own_config(family), sort_keys=True, default=str)


def _copy(family: Likelihood, number: int) -> Likelihood:
    """One of the same settings, which is of no other model."""
    return type(family).from_config({**_own_config(family), "name": f"columns_{number}"})


def _support(family: Any) -> Support:
    # A cross-entropy of fractions would be no log-likelihood beside the densities of other columns.
    return replace(family.support, integers=True) if isinstance(family, BernoulliLikelihood) else family.support
