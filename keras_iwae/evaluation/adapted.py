r"""A proposal that is fitted to one example before it is used: the mean and covariance of z under importance weights.

An encoder gives every example a diagonal Gaussian at once, which is too narrow for many. Draws of it, with their
weights tempered, $w^t$, as far as leaves an effective sample of some size, say where p(z|x) is and how wide; draws from
there say it better. Final samples are drawn anew, so that the mean of their weights has no bias.
"""

from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import effective_sample_size
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


class Mixture(NamedTuple):
    """$(1 - a) N(m, C) + a q(z|x)$ for one example."""

    gaussian: tfp.distributions.MultivariateNormalTriL
    posterior: tfp.distributions.Distribution

    def sample(self, sample_shape: list, seed: tf.Tensor) -> tf.Tensor:
        """Draws, `[n, 1, D]`, for `sample_shape` `[n]`."""
        choice_seed, gaussian_seed, posterior_seed = tf.unstack(tf.random.split(seed, 3))
        from_posterior = tf.random.stateless_uniform([*sample_shape, 1, 1], choice_seed) < _DEFENSIVE
        ours = self.gaussian.sample(sample_shape, seed=gaussian_seed)
        return tf.where(from_posterior, self.posterior.sample(sample_shape, seed=posterior_seed), ours)

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """Log density in nats, `[n, 1]`, of latents `[n, 1, D]`."""
        parts = (
            tf.math.log(1.0 - _DEFENSIVE) + self.gaussian.log_prob(z),
            tf.math.log(_DEFENSIVE) + self.posterior.log_prob(z),
        )
        return tf.reduce_logsumexp(tf.stack(parts), axis=0)


def adapted(model: IWAE, x: tf.Tensor, num_draws: int, key: tf.Tensor):
    """The encoder's proposal for one example, fitted to the example's own p(z|x) where it is a Gaussian.

    Args:
        model: the model.
        x: the example, `[1, *event_shape]`.
        num_draws: draws of each round; 0 leaves the encoder's.
        key: int32 `[2]`, a stateless seed.

    Returns:
        what has `sample([n], seed=)` `[n, 1, D]` and `log_prob(z)` `[n, 1]`.

    References:
        Cappé, Douc, Guillin, Marin, Robert (2008), Adaptive importance sampling in general mixture classes.
        Owen, Zhou (2000), Safe and effective importance sampling, on the share of another proposal.
    """
    posterior = model.posterior.distribution(x)
    if not num_draws or not isinstance(posterior, (tfd.MultivariateNormalDiag, tfd.MultivariateNormalTriL)):
        return posterior
    proposal = posterior
    for number in range(ROUNDS):
        z = proposal.sample([num_draws], seed=tf.random.fold_in(key, number))
        log_weights = model.generative.log_joint(x, z) - proposal.log_prob(z)
        shares, values = _tempered(log_weights[:, 0], _PER_UNIT * model.latent_dim), z[:, 0]
        mean = tf.linalg.matvec(values, shares, transpose_a=True)
        rest = values - mean
        covariance = _WIDTH * tf.matmul(rest * shares[:, tf.newaxis], rest, transpose_a=True)
        diagonal = tf.linalg.diag_part(covariance)
        shrunk = (1.0 - _SHRINKAGE) * covariance + tf.linalg.diag(_SHRINKAGE * diagonal + _LEAST_VARIANCE)
        gaussian = tfd.MultivariateNormalTriL(mean[tf.newaxis], tf.linalg.cholesky(shrunk)[tf.newaxis])
        proposal = Mixture(gaussian, posterior)
    return proposal


def _tempered(log_weights: tf.Tensor, least: float) -> tf.Tensor:
    """Shares of weights `[S]` to the largest power that leaves an effective sample of `least`, which sum to 1."""
    powers = tf.constant(_POWERS)
    sizes = effective_sample_size(log_weights[:, tf.newaxis] * powers)
    enough = sizes >= least
    first = tf.argmax(tf.cast(enough, tf.int32))
    power = tf.where(tf.reduce_any(enough), tf.gather(powers, first), powers[-1])
    return tf.nn.softmax(power * log_weights)
