"""What every likelihood p(x|z) does with the distribution of one entry that it gives."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import (
    MARK,
    ColumnSupports,
    FixedArguments,
    Support,
    check_integer,
    check_seed,
    moment,
    shape_text,
)
from keras_iwae.likelihoods.scales import not_widened

tfd = tfp.distributions

# What numbers of 16 bits have. Categories have a logit each, and means of levels are sums over them.
MOST_LEVELS = 2**16


class Likelihood(FixedArguments, keras.Layer):
    """p(x|z) of events whose entries are independent given z; see `keras_iwae.likelihoods` for the contract.

    A decoder gives features `[N, F]`, on which a dense head puts `parameters` numbers for each entry of an event; or it
    gives these numbers itself, `[N, *event_shape]` for one and `[N, *event_shape, parameters]` for more, and there is
    no head. A subclass says what the numbers mean in `entries`.

    Args:
        seed: seed of the head's initial kernel; `None` is the one of the model that it becomes a part of. Refused where
            the decoder gives the parameters, and there is no head.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `seed` is no integer from 0 to 2147483647.

    Attributes:
        support: the values that an entry may have.
        parameters: P, numbers that the decoder gives for each entry.
        event_shape: shape of one event; a model sets it.
    """

    support: Support | ColumnSupports
    parameters: int = 1
    # How many values an entry may have, where they are whole numbers from 0 to a largest one.
    levels: Any = None
    # Whether `log_prob` is of probabilities of whole numbers, and not of a density.
    discrete: bool = False
    # What an exported model calls events and E[x|z].
    served_names: ClassVar[tuple[str, str]] = ("events", "mean")
    # Whether the first parameter is a location in the units of the entries: a network may bound it, as they are.
    has_location: ClassVar[bool] = False
    # What an encoder sees of an event: see `keras_iwae.networks.EventEncoder`.
    encoding: Any = "identity"

    # Whether its learned scales have a factor that is set after training; see `widen`.
    widened: bool = False

    parts = "event_shape", "head"

    def __init__(self, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.seed = None if seed is None else check_seed("seed", seed)
        self.event_shape: tuple[int, ...] = ()
        self.head: Any = None
        # Shape of the features of one event, or of its parameters, that it is built for.
        self._built_for: tuple[int, ...] | None = None

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}

    def describe_events(self, event_shape: tuple[int, ...], seed: int, features: bool = False) -> None:
        """Say what one event looks like, and what the head may rely on. Called by the model.

        Args:
            event_shape: shape of one event.
            seed: of the head, where none was given.
            features: whether the decoder gives features for sure, and not parameters, whatever their shape.
        """
        check_integer("parameters", self.parameters)
        # Of what is built they are said already, by the model that has built it; what is not may have been given to a
        # constructor that then refused something.
        if self._built_for is None:
            self.event_shape = tuple(event_shape)
            self._head_seed, self._features = seed if self.seed is None else self.seed, features
        elif self.event_shape != tuple(event_shape):
            raise ValueError(
                f"{MARK}likelihood`. Expected one that is of no other model, or of events of the same shape. Received: "
                f"a {type(self).__name__} of events {shape_text(*self.event_shape)}, for {shape_text(*event_shape)}"
            )

    def get_build_config(self):
        # What it is a part of describes the events and builds it.
        return None

    @property
    def gives_cross_entropy(self) -> bool:
        """Whether it takes fractions although it gives probabilities of whole numbers, and a density of none."""
        return self.discrete and not self.support.integers

    @property
    def weighted(self) -> bool:
        """Whether training climbs something else than a log-likelihood."""
        return False

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Shape of all parameters of one event."""
        return self.event_shape if self.parameters == 1 else (*self.event_shape, int(self.parameters))

    def numbers(self) -> list[tuple["Likelihood", bool]]:
        """Of each number along the last axis of the parameters the family that it is of, and whether it is a location.

        With one parameter for each entry that is one number, whatever the entries.
        """
        return [(self, self.has_location and index == 0) for index in range(int(self.parameters))]

    def build(self, features_shape):
        features, wanted = tuple(features_shape[1:]), self.parameter_shape
        if features != wanted or self._features:
            if len(features) != 1 or (features[0] == math.prod(wanted) and not self._features):
                raise ValueError(
                    f"{MARK}decoder`. Expected features {shape_text('N', 'F')}, or the parameters of "
                    f"{type(self).__name__} themselves, {shape_text('N', *wanted)}. Received: "
                    f"{shape_text('N', *features)}"
                )
            self.head = keras.layers.Dense(
                math.prod(wanted),
                kernel_initializer=keras.initializers.GlorotUniform(self._head_seed),
                dtype=self.dtype_policy,
                name="head",
            )
            self.head.build((None, *features))
        elif self.seed is not None:
            raise ValueError(
                f"{MARK}seed`. Expected none of a likelihood without a head, whose parameters the decoder gives. "
                f"Received: {self.seed}"
            )
        self._built_for = features
        self.built = True

    def call(self, features):
        """Parameters, float32 `[..., *parameter_shape]`, of features `[..., F]` with any leading axes."""
        if self.head is None:
            return keras.ops.cast(features, "float32")
        # One matrix product over all K * B rows, not K of them over B.
        rows = self.head(keras.ops.reshape(features, (-1, features.shape[-1])))
        shape = (*keras.ops.shape(features)[:-1], *self.parameter_shape)
        return keras.ops.reshape(keras.ops.cast(rows, "float32"), shape)

    def entries(self, parameters: tf.Tensor) -> tfp.distributions.Distribution:
        """Distribution of each entry, batch `[..., *event_shape]`, of parameters `[..., *parameter_shape]`."""
        raise NotImplementedError(f"A {type(self).__name__} has no `entries(parameters)`, as means and draws need.")

    def distribution(self, features: tf.Tensor) -> tfp.distributions.Distribution:
        """p(x|z) as a TFP distribution, batch `[...]` and event `event_shape`, of features `[..., F]`."""
        return self._over_events(self.entries(self(features)))

    def _over_events(self, entries: tfp.distributions.Distribution) -> tfp.distributions.Independent:
        return tfd.Independent(entries, reinterpreted_batch_ndims=len(self.event_shape))

    def log_prob(self, x: tf.Tensor, features: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        r"""$\log p(x|z) = \sum_d m_d \log p(x_d|z)$ in nats.

        Args:
            x: events `[B, *event_shape]`, float32; anything in the support where the mask is False.
            features: of K latents for each, `[K, B, F]`.
            mask: bool `[B, *event_shape]`, which entries were observed; `None` is all.

        Returns:
            float32 `[K, B]`.
        """
        log_probs = self.entry_log_prob(x, self(features))
        if mask is not None:
            log_probs = tf.where(mask, log_probs, 0.0)
        return tf.reduce_sum(log_probs, axis=list(range(-len(self.event_shape), 0)))

    def log_prob_of(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> Callable[[tf.Tensor], tf.Tensor]:
        """`log_prob` of these events as a function of features: what depends on x alone may be computed once."""
        return lambda features: self.log_prob(x, features, mask)

    def training_log_prob(self, x: tf.Tensor, features: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        """What training climbs in the place of log p(x|z), `[K, B]`; another thing only where it is `weighted`."""
        return self.log_prob(x, features, mask)

    def says_as(self, kind: type["Likelihood"]) -> bool:
        """Whether p(x|z) is what this class, `kind` or one above it, says: only then do shortcuts of `kind` hold."""
        own, names = type(self), ("call", "entries", "entry_log_prob")
        # Of the object itself too, where somebody sets a function there.
        return all(getattr(own, name) is getattr(kind, name) and name not in vars(self) for name in names)

    def entry_log_prob(self, x: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        """log p(x_d|z) of each entry in nats, `[K, B, *event_shape]`, of parameters `[K, B, *parameter_shape]`."""
        return self.entries(parameters).log_prob(x)

    def mean(self, features: tf.Tensor) -> tf.Tensor:
        """E[x|z], float32 `[..., *event_shape]`, of features `[..., F]`."""
        return self.mean_of(self(features))

    def mean_of(self, parameters: tf.Tensor) -> tf.Tensor:
        """Mean of each entry, `[..., *event_shape]`, of parameters `[..., *parameter_shape]`."""
        entries = self.entries(parameters)
        mean = moment(entries, "mean")
        if mean is None:
            raise ValueError(
                f"{MARK}likelihood`. Expected a class with `mean_of(parameters)`, or entries with a mean, for "
                f"`predict` and what is served. Received: {type(self).__name__}, with a {type(entries).__name__}"
            )
        return mean

    def sample(self, features: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """E[x|z] and a draw of x, float32 `[..., *event_shape]` each, of features `[..., F]` and a stateless seed."""
        parameters = self(features)
        return self.mean_of(parameters), self._over_events(self.entries(parameters)).sample(seed=seed)

    def served(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """What an exported model says of p(x|z), by name, each `[..., *event_shape]`."""
        return self._served_moments(self(features))

    def _served_moments(self, parameters: tf.Tensor) -> dict[str, tf.Tensor]:
        """The mean of each entry and, where there is one, its standard deviation, by name."""
        try:
            mean, stddev = self.moments_of(parameters)
        except NotImplementedError:
            return {"mean": self.mean_of(parameters)}
        return {"mean": mean, "stddev": stddev}

    def moments_of(self, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and standard deviation of each entry, `[..., *event_shape]` each."""
        return self.mean_of(parameters), self.entries(parameters).stddev()

    def level_probabilities(self, parameters: tf.Tensor) -> tf.Tensor:
        """Probabilities of all levels of each entry, `[..., *event_shape, C]`, where there are levels."""
        axes = parameters.shape.rank - (self.parameters > 1)
        levels = tf.reshape(tf.range(self.levels, dtype=tf.float32), [-1] + axes * [1])
        probabilities = tf.exp(self.entry_log_prob(levels, parameters))
        return tf.transpose(probabilities, [*range(1, probabilities.shape.rank), 0])

    def widen(self, factor: float) -> None:
        """Set what the learned scales of a `widened` likelihood are multiplied by, in all that it says from here on.

        Args:
            factor: a number above 0; above 1 entries are less sure than the decoder is.

        Raises:
            ValueError: if it is no number above 0, or the likelihood is not `widened` or of no model yet.
        """
        raise not_widened()

    def parameters_of_mean(self, mean: np.ndarray) -> np.ndarray:
        """Parameters `[*parameter_shape]` that give entries the mean `[*event_shape]`, and else what 0 gives."""
        raise NotImplementedError(f"A {type(self).__name__} has no `parameters_of_mean(mean)`, as this start needs.")

    def initialize(self, mean: np.ndarray) -> None:
        """Let the head's bias give the mean of the training events, whatever the latents.

        Args:
            mean: `[*event_shape]`.
        """
        wanted = self.parameters_of_mean(np.asarray(mean)).astype(np.float32)
        self.head.bias.assign(np.broadcast_to(wanted, self.parameter_shape).ravel())

    def check(self, x: np.ndarray, argument: str = "x", missing: bool = False) -> np.ndarray:
        """`x` `[N, *event_shape]` as float32 if all of it is in the support; see `keras_iwae.foundation.Support.check`.

        Raises:
            ValueError: if it is not.
        """
        return self.support.check(x, argument, self.event_shape, missing)

    def to_grey(self, values: np.ndarray) -> np.ndarray:
        """Values of entries as grey levels in [0, 1] for pictures, mid-grey where one was not observed.

        From the smallest to the largest value of the support, where there are both, else of these values. Of images
        with two channels, or with more than three, which are neither grey nor coloured, the mean of the channels.

        Args:
            values: any shape; what goes into one picture, together. `[N, H, W, C]` are images.
        """
        values = np.asarray(values, np.float32)
        low, high = self.support.low, self.support.high
        if not self.support.bounded:
            observed = values[np.isfinite(values)]
            low, high = (observed.min(), observed.max()) if observed.size else (0.0, 1.0)
        grey = np.clip(np.nan_to_num((values - low) / max(high - low, 1e-12), nan=0.5), 0.0, 1.0)
        return grey if grey.ndim != 4 or grey.shape[-1] in (1, 3) else grey.mean(axis=-1, keepdims=True)

    def first_parameters(self, first: np.ndarray) -> np.ndarray:
        """`[*parameter_shape]` with `first` as the first parameter of each entry, and 0 as the others."""
        if self.parameters == 1:
            return first
        return np.concatenate([first[..., np.newaxis], np.zeros((*first.shape, self.parameters - 1))], axis=-1)
