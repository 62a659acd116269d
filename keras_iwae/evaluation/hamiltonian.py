r"""One step of Hamiltonian Monte Carlo, whose noise is that of each image wherever the image is.

It is Neal's: a momentum $m \sim N(0, I)$, L leapfrog steps of size $\epsilon$ along the gradient of $\log \pi$, and the
end accepted with probability $\min(1, \exp(\log \pi(z') - \tfrac12 |m'|^2 - \log \pi(z) + \tfrac12 |m|^2))$. TFP's has
the noise of the batch as a whole, so that an image's chains would be others in another batch.
"""

from collections.abc import Callable

import tensorflow as tf

from keras_iwae.foundation import normal_of_rows, uniform_of_rows


def hamiltonian_step(
    log_density: Callable[[tf.Tensor], tf.Tensor],
    z: tf.Tensor,
    step_size: tf.Tensor,
    num_leapfrog_steps: int,
    seed: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    r"""The next state of every chain, and the probability with which what was proposed is accepted.

    Args:
        log_density: $\log \pi$ in nats but for a constant, from states `[C, B, D]` to `[C, B]`.
        z: states of C chains for each of B images, `[C, B, D]`.
        step_size: epsilon, `[B]`.
        num_leapfrog_steps: L.
        seed: int32 `[2]`.

    Returns:
        states `[C, B, D]`, and probabilities `[C, B]`; 0 where the density at the end is not finite.

    References:
        Neal (2011), MCMC using Hamiltonian dynamics, section 5.3.2.1.
    """
    momentum_seed, choice_seed = tf.unstack(tf.random.split(seed, 2))
    size = step_size[:, tf.newaxis]

    def with_slope(z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Of z itself a distribution may remember what it came of, which no tape has seen.
        z = tf.identity(z)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(z)
            value = log_density(z)
        return value, tape.gradient(value, z)

    def leap(step, z, momentum, _, slope):
        momentum += 0.5 * size * slope
        z += size * momentum
        value, slope = with_slope(z)
        return step + 1, z, momentum + 0.5 * size * slope, value, slope

    momentum = normal_of_rows(momentum_seed, tf.shape(z), axis=1)
    before, slope = with_slope(z)
    start = tf.constant(0), z, momentum, before, slope
    _, end, last_momentum, after, _ = tf.while_loop(
        lambda step, *_: step < num_leapfrog_steps, leap, start, parallel_iterations=1
    )
    energy = 0.5 * tf.reduce_sum(tf.square(last_momentum) - tf.square(momentum), axis=-1)
    log_ratio = after - before - energy
    probability = tf.where(tf.math.is_finite(log_ratio), tf.exp(tf.minimum(log_ratio, 0.0)), 0.0)
    accepted = uniform_of_rows(choice_seed, tf.shape(before), axis=1) < probability
    return tf.where(accepted[..., tf.newaxis], end, z), probability
