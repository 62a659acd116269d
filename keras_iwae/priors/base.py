"""What every prior does with its distribution."""

import contextlib
from collections.abc import Iterator
from typing import ClassVar

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import FixedArguments, check_integer, check_width, of_noise


class Prior(FixedArguments, keras.Layer):
    """A prior without weights, all of whose latents the decoder sees; the others override what differs.

    Attributes:
        through_posterior: whether log p(z) is a differentiable function of the posterior's parameters too.

    Args:
        latent_dim: D, the number of latent units.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `latent_dim` is no positive integer.
    """

    parts: ClassVar[tuple[str, ...]] = ("decoded_dim",)
    through_posterior: bool = False

    def __init__(self, latent_dim: int, **kwargs):
        super().__init__(**kwargs)
        self.latent_dim = self.decoded_dim = check_integer("latent_dim", latent_dim)

    def get_config(self):
        return {**super().get_config(), "latent_dim": self.latent_dim}

    def build(self, input_shape):
        self.built = True

    @property
    def distribution(self) -> tfp.distributions.Distribution:
        """p(z) as a TFP distribution of event `[D]`."""
        raise NotImplementedError(f"{type(self).__name__} is no TFP distribution.")

    def log_prob(self, z: tf.Tensor, training: bool = False) -> tf.Tensor:
        """log p(z) in nats, `[K, B]`, of latents `[K, B, D]`; `training` is for priors with networks."""
        check_width("latents", z, self.latent_dim)
        return self.distribution.log_prob(z)

    def sample(self, num_samples: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """N draws, float32 `[N, D]`; `seed`, int32 `[2]`, is a stateless one."""
        return self.distribution.sample([num_samples], seed=seed)

    def _has_another_than(self, kind: type["Prior"]) -> bool:
        """Whether a class of a user's own has another distribution, which then gives draws and their density."""
        return type(self).distribution is not kind.distribution

    def of_noise(self, noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The draws that standard normal noise `[N, D]` makes, and their log density in nats `[N]`.

        Raises:
            ValueError: if the distribution is not one of such noise.
        """
        return of_noise(self.distribution, noise)

    @contextlib.contextmanager
    def worked_out(self) -> Iterator[None]:
        """In the block what draws and densities ask of the weights alone is computed once, and not for each of them.

        It begins and ends in one graph, and no weight is another meanwhile.
        """
        yield

    def decoded(self, z: tf.Tensor) -> tf.Tensor:
        """The part of latents `[..., D]` that the decoder sees."""
        return z


def top_of(prior: Prior) -> Prior:
    """The prior of the last layer, `top`; itself where it has none, and of a user's own it may mean something else."""
    top = getattr(prior, "top", None)
    return top if isinstance(top, Prior) else prior
