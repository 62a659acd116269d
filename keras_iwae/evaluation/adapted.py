r"""Proposals that are fitted to examples before they are used: mean and covariance of z under importance weights.

An encoder gives every example a diagonal Gaussian at once, which is too narrow for many. Draws of it, with their
weights tempered, $w^t$, as far as leaves an effective sample of some size, say where p(z|x) is and how wide; draws from
there say it better. Final samples are drawn anew, so that the mean of their weights has no bias.

All examples of a batch are worked on together; random numbers alone are made one example after the other, each under a
key of its own, so that they know nothing of the batch.
"""

from typing import NamedTuple, Protocol

import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import effective_sample_size, is_known, softmax, standard_normal_log_prob
from keras_iwae.models import IWAE

tfd = tfp.distributions

ROUNDS = 2
# Of a proposal, drawn from the encoder's: where the fitted one is nowhere near, it still goes everywhere.
_DEFENSIVE = 0.2
# Powers of the weights that are tried, and the effective sample that the largest which is taken leaves, for each unit.
_POWERS = tuple(2.0**-step for step in range(8))
_PER_UNIT = 4.0
# A covariance of few draws: part of what is off its diagonal is noise, and too wide is better than too narrow.
_SHRINKAGE, _WIDTH = 0.2, 1.3
_LEAST_VARIANCE = 1e-6


class Proposals(Protocol):
    """What the latents of B examples are drawn from."""

    def draw(self, size: int | tf.Tensor, keys: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws `[size, B, D]` and their log densities in nats, `[size, B]`, under keys `[B, 2]`."""


class FromEncoder(NamedTuple):
    """q(z|x), of any family."""

    model: IWAE
    x: tf.Tensor

    def draw(self, size: int | tf.Tensor, keys: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As `Proposals`."""

        def of_example(example: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
            posterior = self.model.posterior.distribution(example[0][tf.newaxis])
            z = posterior.sample([size], seed=example[1])
            return z[:, 0], posterior.log_prob(z)[:, 0]

        z, log_prob = tf.map_fn(of_example, (self.x, keys), fn_output_signature=(tf.float32, tf.float32))
        return tf.transpose(z, [1, 0, 2]), tf.transpose(log_prob)


class FromGaussian(NamedTuple):
    """q(z|x) that is Gaussian, batch `[B]`."""

    posterior: tfp.distributions.Distribution

    def draw(self, size: int | tf.Tensor, keys: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As `Proposals`."""
        noise = _normal([size, self.posterior.event_shape[0]], keys)
        z = _of_noise(self.posterior, noise)
        return z, self.posterior.log_prob(z)


class Mixtures(NamedTuple):
    """$(1 - a) N(m, L L^T) + a q(z|x)$ with a q(z|x) that is Gaussian.

    Attributes:
        mean: m, `[B, D]`.
        scale: L, lower triangular, `[B, D, D]`.
        posterior: q(z|x), batch `[B]`.
    """

    mean: tf.Tensor
    scale: tf.Tensor
    posterior: tfp.distributions.Distribution

    def draw(self, size: int | tf.Tensor, keys: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As `Proposals`."""
        dim = self.mean.shape[-1]
        noise = _normal([size, dim], keys)
        choice = tf.map_fn(
            lambda key: tf.random.stateless_uniform([size], tf.random.fold_in(key, 1)),
            keys,
            fn_output_signature=tf.float32,
        )
        ours = self.mean + _by_example(self.scale, noise)
        from_posterior = tf.transpose(choice)[..., tf.newaxis] < _DEFENSIVE
        z = tf.where(from_posterior, _of_noise(self.posterior, noise), ours)
        return z, self.log_prob(z)

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """Log density in nats, `[n, B]`, of latents `[n, B, D]`."""
        # An inverse of each example's triangle, and not a solution of each of its draws.
        inverse = tf.linalg.triangular_solve(self.scale, tf.eye(self.mean.shape[-1], batch_shape=[1]))
        log_volume = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(self.scale)), axis=-1)
        gaussian = standard_normal_log_prob(_by_example(inverse, z - self.mean)) - log_volume
        parts = tf.math.log(1.0 - _DEFENSIVE) + gaussian, tf.math.log(_DEFENSIVE) + self.posterior.log_prob(z)
        return tf.reduce_logsumexp(tf.stack(parts), axis=0)


def adapted(model: IWAE, x: tf.Tensor, num_draws: int, keys: tf.Tensor) -> Proposals:
    """The encoder's proposals, fitted to each example's own p(z|x) where they are Gaussian.

    Args:
        model: the model.
        x: examples, `[B, *event_shape]`.
        num_draws: draws of each round; 0 leaves the encoder's.
        keys: int32 `[B, 2]`, a stateless seed for each example.

    Returns:
        `Proposals`.

    References:
        Cappé, Douc, Guillin, Marin, Robert (2008), Adaptive importance sampling in general mixture classes.
        Owen, Zhou (2000), Safe and effective importance sampling, on the share of another proposal.
    """
    posterior = model.posterior.distribution(x)
    if not is_known(posterior, tfd.MultivariateNormalDiag, tfd.MultivariateNormalTriL):
        return FromEncoder(model, x)
    proposals: FromGaussian | Mixtures = FromGaussian(posterior)
    for number in range(ROUNDS if num_draws else 0):
        z, log_proposal = proposals.draw(num_draws, folded(keys, number))
        shares = tempered(model.generative.log_joint(x, z) - log_proposal, _PER_UNIT * model.latent_dim)
        mean = tf.reduce_sum(shares[..., tf.newaxis] * z, axis=0)
        rest = tf.transpose(z - mean, [1, 0, 2])
        covariance = _WIDTH * tf.matmul(rest * tf.transpose(shares)[..., tf.newaxis], rest, transpose_a=True)
        diagonal = tf.linalg.diag_part(covariance)
        shrunk = (1.0 - _SHRINKAGE) * covariance + tf.linalg.diag(_SHRINKAGE * diagonal + _LEAST_VARIANCE)
        proposals = Mixtures(mean, tf.linalg.cholesky(shrunk), posterior)
    return proposals


def folded(keys: tf.Tensor, number: int | tf.Tensor) -> tf.Tensor:
    """Keys `[B, 2]` of the next purpose of each example, or of its chunk of that number."""
    return tf.map_fn(lambda key: tf.random.fold_in(key, number), keys)


def _normal(shape: list, keys: tf.Tensor) -> tf.Tensor:
    """Standard normal numbers `[size, B, D]` for `shape` `[size, D]`."""
    drawn = tf.map_fn(lambda key: tf.random.stateless_normal(shape, key), keys, fn_output_signature=tf.float32)
    return tf.transpose(drawn, [1, 0, 2])


def _of_noise(posterior: tfp.distributions.Distribution, noise: tf.Tensor) -> tf.Tensor:
    """Draws `[n, B, D]` of Gaussians of batch `[B]`."""
    return posterior.loc + _by_example(posterior.scale.to_dense(), noise)


def _by_example(matrices: tf.Tensor, vectors: tf.Tensor) -> tf.Tensor:
    """Products of one matrix for each example, `[B, D, D]`, with n vectors of it, `[n, B, D]`."""
    return tf.transpose(tf.matmul(matrices, tf.transpose(vectors, [1, 2, 0])), [2, 0, 1])


def tempered(log_weights: tf.Tensor, least: float) -> tf.Tensor:
    """Shares of weights `[S, B]` to the largest power that leaves an effective sample of `least`, which sum to 1."""
    powers = tf.constant(_POWERS)
    sizes = effective_sample_size(log_weights[..., tf.newaxis] * powers)
    enough = sizes >= least
    first = tf.argmax(tf.cast(enough, tf.int32), axis=-1)
    power = tf.where(tf.reduce_any(enough, axis=-1), tf.gather(powers, first), powers[-1])
    return softmax(power * log_weights, axis=0)
