"""Objectives: what log weights [K, B] are turned into, a bound [B] in nats of which more is better.

An objective is a value: it holds no weights, compares equal by its fields, and a saved model carries it along.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import ClassVar

import keras
import tensorflow as tf

from keras_iwae.numerics import log_mean_exp


@dataclass(frozen=True)
class Objective:
    """What every objective shares: equality by value, and the configuration that Keras saves.

    `deterministic` tells the model to take the posterior mean in place of samples: K is 1, and log w is log p(x|z).
    """

    deterministic: ClassVar[bool] = False

    def __call__(self, log_weights: tf.Tensor) -> tf.Tensor:
        """Value in nats, `[B]`, of log weights `[K, B]`."""
        raise NotImplementedError

    def get_config(self) -> dict:
        return asdict(self)

    @classmethod
    def from_config(cls, config: dict) -> "Objective":
        return cls(**config)


@keras.saving.register_keras_serializable("keras_iwae")
@dataclass(frozen=True)
class IWAEBound(Objective):
    r"""Importance weighted bound, $L_K = \log \frac{1}{K} \sum_k w_k$; it grows with K towards log p(x).

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, equation 8.
    """

    def __call__(self, log_weights: tf.Tensor) -> tf.Tensor:
        return log_mean_exp(log_weights, axis=0)


@keras.saving.register_keras_serializable("keras_iwae")
@dataclass(frozen=True)
class ELBO(Objective):
    r"""Evidence lower bound on K draws, $\frac{1}{K} \sum_k \log w_k$: the VAE; K lowers noise, not the gap.

    References:
        Kingma, Welling (2013), Auto-encoding variational Bayes, equation 6.
    """

    def __call__(self, log_weights: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(log_weights, axis=0)


@keras.saving.register_keras_serializable("keras_iwae")
@dataclass(frozen=True)
class Reconstruction(Objective):
    r"""The plain autoencoder: $\log p(x | z = \mathrm{E}_q[z])$. No bound on log p(x): z may leave the prior."""

    deterministic: ClassVar[bool] = True

    def __call__(self, log_weights: tf.Tensor) -> tf.Tensor:
        return tf.squeeze(log_weights, axis=0)


OBJECTIVES: dict[str, Callable[[], Callable]] = {"iwae": IWAEBound, "elbo": ELBO, "ae": Reconstruction}


def get(objective: str | Callable) -> Callable:
    """Objective by name, or the object itself.

    Args:
        objective: a name in `OBJECTIVES`, or a callable from log weights `[K, B]` to `[B]`.

    Raises:
        ValueError: if there is no such objective.
    """
    if isinstance(objective, str) and objective in OBJECTIVES:
        return OBJECTIVES[objective]()
    if callable(objective):
        return objective
    names = ", ".join(repr(name) for name in OBJECTIVES)
    raise ValueError(
        f"Invalid value received for `objective`. Expected one of {names}, or a callable. Received: {objective!r}"
    )
