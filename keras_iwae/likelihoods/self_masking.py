"""Missing not at random: each column of a table goes missing by a logistic of its own value."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_iwae.foundation import MARK, FixedArguments, check_integer, softmax
from keras_iwae.likelihoods.base import Likelihood
from keras_iwae.likelihoods.bernoulli import BernoulliLikelihood
from keras_iwae.likelihoods.categorical import CategoricalLikelihood
from keras_iwae.likelihoods.gaussian import GaussianLikelihood
from keras_iwae.likelihoods.logistic_normal import LogisticNormal
from keras_iwae.likelihoods.mixed import MixedLikelihood

# A step of Adam is about the learning rate: of 0.001, a slope of 10 would take more steps than a small table has.
_PACE = 20.0
_TINY = 1e-30
_LEVELLED = BernoulliLikelihood, CategoricalLikelihood
_TAKEN = GaussianLikelihood, *_LEVELLED


@keras.saving.register_keras_serializable("keras_iwae")
class SelfMasking(FixedArguments, keras.Layer):
    r"""$p(s|x) = \prod_d \sigma(l_d(x_d))^{1 - s_d} (1 - \sigma(l_d(x_d)))^{s_d}$, with s_d = 1 where d was observed.

    $l_d(x) = a_d + b_d x$ of a Gaussian column, and a number for each level of one that has levels. As a column goes
    missing by its own value alone, what is missing is integrated out given z exactly, $p(s_d = 0|z) = \int p(x_d|z)
    \sigma(l_d(x_d)) dx_d$: the bound is the one of Ipsen et al. with infinitely many draws of x_mis for each z, and
    never below it. A sum over levels where there are levels; of a Gaussian column its log is right to 4e-5 nats, see
    `logistic_normal`.

    That the data can tell such a mechanism from another shape of p(x) rests on the form of both: a column that goes
    missing where it is large, and one that has few large values, look alike if other columns say nothing of it.

    Args:
        columns: numbers of the columns that have such a mechanism; `None` is all. That one of the others is missing
            says nothing of its value.
        **kwargs: passed to `keras.Layer`, but for `dtype`: it is float32, whatever is given.

    Raises:
        ValueError: if there is no such column, or one of a family that is neither Gaussian nor of levels.

    Example:
        >>> likelihood = MixedLikelihood(["gaussian", "gaussian", CategoricalLikelihood(5)])
        >>> model = IWAE(3, likelihood=likelihood, missing="nan", mask_input=True, missingness="self_masking")

    References:
        Ipsen, Mattei, Frellsen (2021), not-MIWAE: deep generative modelling with missing not at random data, section 3.
    """

    def __init__(self, columns: Sequence[int] | None = None, **kwargs):
        # Float32 under mixed precision too: a steep logistic is a large number.
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.columns = None if columns is None else _checked_columns(columns)
        self._of: Any = None

    def get_config(self):
        return {**super().get_config(), "columns": self.columns}

    def get_build_config(self):
        # The model that it is a part of builds it.
        return None

    def of_likelihood(self, likelihood: Likelihood) -> None:
        """Say what p(x|z) is, and make the coefficients. Called by the model."""
        if self._of is not None and self._of.likelihood is likelihood:
            # Built again.
            return
        if self._of is not None:
            raise ValueError(f"{MARK}missingness`. Expected one that is of no other model. Received: {self!r}")
        if not isinstance(likelihood, MixedLikelihood):
            raise ValueError(
                f"{MARK}missingness`. Expected None beside a likelihood that is no MixedLikelihood, of the columns of "
                f"a table. Received: {self!r} beside a {type(likelihood).__name__}"
            )
        every = range(likelihood.event_shape[0])
        chosen = every if self.columns is None else self.columns
        if not chosen or any(column not in every for column in chosen):
            raise ValueError(
                f"{MARK}columns`. Expected numbers of columns from 0 to {every[-1]}. Received: {self.columns}"
            )
        groups, has = [], np.zeros(len(every), bool)
        has[list(chosen)] = True
        for number, (family, places) in enumerate(likelihood.groups):
            own = [place for place in places if has[place]]
            # Of a Gaussian alone is the integral known.
            another = isinstance(family, GaussianLikelihood) and not family.says_as(GaussianLikelihood)
            if own and (another or not isinstance(family, _TAKEN)):
                raise ValueError(
                    f"{MARK}missingness`. Expected columns that are Gaussian, Bernoulli or categorical, of which what "
                    f"is missing can be integrated out. Received: column {own[0]}, a {type(family).__name__}"
                )
            shape = (len(places), getattr(family, "levels", None) or 2)
            weight = self.add_weight(shape=shape, initializer="zeros", name=f"group_{number}") if own else None
            groups.append((family, places, weight))
        # Not attributes that Keras tracks: the likelihood is the model's.
        self._of = SimpleNamespace(likelihood=likelihood, groups=groups, has=has)
        self.built = True

    def log_prob(self, x: tf.Tensor, mask: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        r"""Log probability of each entry of the mask, given x where it was observed and given z where not.

        Args:
            x: rows `[B, D]`, anything in the support where they were not observed.
            mask: bool `[B, D]`, what was observed.
            parameters: of the likelihood, `[K, B, P]`.

        Returns:
            nats, float32 `[K, B, D]`; 0 of columns without a mechanism.
        """
        # log(1 - sigma(l)) and log E[sigma(l)].
        observed = -tf.nn.softplus(self._logits(x))
        return tf.where(self._of.has, tf.where(mask, observed, self._log_missing(parameters)), 0.0)

    def log_ratio(self, values: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        r"""$\log p(x_d|z, s_d = 0) / p(x_d|z)$ of values of missing entries, `[K, B, D]`; arguments as `log_prob`."""
        ratio = -tf.nn.softplus(-self._logits(values)) - self._log_missing(parameters)
        return tf.where(self._of.has, ratio, 0.0)

    def moments(self, parameters: tf.Tensor) -> tuple[tf.Tensor, dict[int, tf.Tensor]]:
        """Mean of each entry given that it is missing, `[..., D]`, and of columns of levels their probabilities."""
        means: list[tf.Tensor] = []
        found: dict[int, tf.Tensor] = {}
        for family, places, weight, part in self._parts(parameters):
            if weight is None:
                means.append(family.mean_of(part))
            elif isinstance(family, GaussianLikelihood):
                means.append(_gaussian(family, weight, part).mean())
            else:
                means.append(_expected_level(_level_shares(family, weight, part)))
            if isinstance(family, _LEVELLED):
                plain = family.level_probabilities(part)
                shares = plain if weight is None else _level_shares(family, weight, part)
                for i, place in enumerate(places):
                    found[place] = (shares if self._of.has[place] else plain)[..., i, :]
        mean = self._of.likelihood.joined(means)
        return tf.where(self._of.has, mean, self._of.likelihood.mean_of(parameters)), dict(sorted(found.items()))

    def sample(self, parameters: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """A draw of each entry given that it is missing, `[..., D]`, under a stateless seed."""
        plain_seed, own_seed = tf.unstack(tf.random.split(seed, 2))
        draws = []
        for number, (family, places, weight, part) in enumerate(self._parts(parameters)):
            key = tf.random.fold_in(own_seed, number)
            if weight is None:
                draws.append(tf.zeros(tf.concat([tf.shape(parameters)[:-1], [len(places)]], axis=0)))
            elif isinstance(family, GaussianLikelihood):
                draws.append(_gaussian(family, weight, part).sample(key))
            else:
                sums = tf.cumsum(_level_shares(family, weight, part), axis=-1)
                uniform = tf.random.stateless_uniform(tf.shape(sums)[:-1], key)[..., tf.newaxis]
                draws.append(tf.reduce_sum(tf.cast(sums[..., :-1] < uniform, tf.float32), axis=-1))
        plain = self._of.likelihood.entries(parameters).sample(seed=plain_seed)
        return tf.where(self._of.has, self._of.likelihood.joined(draws), plain)

    def _parts(self, parameters: tf.Tensor) -> list[tuple[Any, list[int], Any, tf.Tensor]]:
        """Of each group: its family, its columns, its coefficients, `None` without any, and its parameters."""
        parts = self._of.likelihood.parts_of(parameters)
        return [
            (family, places, None if weight is None else _PACE * tf.convert_to_tensor(weight), part)
            for (family, places, weight), part in zip(self._of.groups, parts, strict=True)
        ]

    def _logits(self, x: tf.Tensor) -> tf.Tensor:
        """l_d(x_d), `[..., D]`; 0 of groups without coefficients."""
        logits = []
        for (family, _, weight), values in zip(self._of.groups, self._of.likelihood.columns_of(x), strict=True):
            if weight is None:
                logits.append(tf.zeros_like(values))
                continue
            given = _PACE * tf.convert_to_tensor(weight)
            if isinstance(family, GaussianLikelihood):
                logits.append(given[:, 0] + given[:, 1] * values)
            else:
                level = tf.one_hot(tf.cast(tf.round(values), tf.int32), given.shape[-1])
                logits.append(tf.reduce_sum(level * given, axis=-1))
        return self._of.likelihood.joined(logits)

    def _log_missing(self, parameters: tf.Tensor) -> tf.Tensor:
        """log p(s_d = 0|z), `[..., D]`; 0 of groups without coefficients."""
        found = []
        for family, places, weight, part in self._parts(parameters):
            if weight is None:
                found.append(tf.zeros(tf.concat([tf.shape(parameters)[:-1], [len(places)]], axis=0)))
            elif isinstance(family, GaussianLikelihood):
                found.append(_gaussian(family, weight, part).log_probability())
            else:
                found.append(tf.reduce_logsumexp(_log_level_shares(family, weight, part), axis=-1))
        return self._of.likelihood.joined(found)


def _checked_columns(columns: Sequence[int]) -> tuple[int, ...]:
    if not isinstance(columns, (list, tuple, range, np.ndarray)):
        raise ValueError(f"{MARK}columns`. Expected numbers of columns, as (0, 2). Received: {columns!r}")
    return tuple(check_integer("columns", column, at_least=0) for column in columns)


def _gaussian(family: GaussianLikelihood, weight: tf.Tensor, part: tf.Tensor) -> LogisticNormal:
    entries = family.entries(part)
    return LogisticNormal(entries.loc, entries.scale, weight[:, 0], weight[:, 1])


def _level_shares(family: Any, weight: tf.Tensor, part: tf.Tensor) -> tf.Tensor:
    """Probabilities of the levels given that the entry is missing, `[..., d, C]`."""
    return softmax(_log_level_shares(family, weight, part), axis=-1)


def _log_level_shares(family: Any, weight: tf.Tensor, part: tf.Tensor) -> tf.Tensor:
    """log p(x_d = level, s_d = 0|z) of each level, `[..., d, C]`: a small product of two would be 0, or flat."""
    return tf.math.log(tf.maximum(family.level_probabilities(part), _TINY)) - tf.nn.softplus(-weight)


def _expected_level(shares: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(shares * tf.range(shares.shape[-1], dtype=tf.float32), axis=-1)
