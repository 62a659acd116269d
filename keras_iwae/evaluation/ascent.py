"""The diagonal Gaussian of each example that is nearest to its posterior, by natural gradient ascent of the ELBO."""

from collections.abc import Callable

import tensorflow as tf

from keras_iwae.foundation import DiagonalGaussian
from keras_iwae.models import IWAE

# Of a natural gradient. Where the posterior is normal, of precision P, the mean converges as long as this times the
# largest eigenvalue of P, scaled to a diagonal of ones, is below 2: of up to 20 units always. Trained models had 3.
_RATE = 0.1
# Standard deviations that the mean moves in a step, and what the logarithm of the scale changes by, at most.
_LONGEST = 0.3
# Gradient steps that run as one graph, between two reports of progress.
_BLOCK = 50


def ascend(
    model: IWAE,
    x: tf.Tensor,
    start: tf.Tensor,
    num_steps: int,
    num_draws: int,
    seed: tf.Tensor,
    progress: Callable[[int], object],
) -> list[tf.Tensor]:
    r"""The Gaussian of each example that three quarters of the steps find, and the one that all of them do.

    A step climbs $\log p(x, z) - \log q(z)$ at draws $z = \mu \pm \sigma \epsilon$ with q held in its density: what
    that leaves out has expectation zero, and is all of the noise where q is exact. With g the slope in z, the natural
    gradients are $\sigma^2 E[g]$ of $\mu$ and $\frac{1}{2} E[g \sigma \epsilon]$ of $\log \sigma$: steps in units of
    the posterior's own scales, however much these differ. The rate does not fall, and what is found is the mean of the
    last half of the steps, in which noise averages out.

    Args:
        model: the model.
        x: examples `[B, *event_shape]`.
        start: mean and logarithm of the scale, `[2, B, D]`.
        num_steps: steps in all.
        num_draws: draws of each example in a step, every second one a reflected one.
        seed: int32 `[2]`, a stateless seed.
        progress: called with each further number of steps that is done.

    Returns:
        two tensors like `start`.

    References:
        Amari (1998), Natural gradient works efficiently in learning.
        Polyak, Juditsky (1992), Acceleration of stochastic approximation by averaging.
        Roeder, Wu, Duvenaud (2017), Sticking the landing, equation 6.
    """
    each, scalar = tf.TensorSpec([2, None, model.latent_dim]), tf.TensorSpec([], tf.int32)
    climb = model.traced(
        ("ascent of Gaussians", num_draws),
        _climber(model.generative, num_draws),
        [tf.TensorSpec([None, *model.event_shape]), each, each, scalar, scalar, tf.TensorSpec([2], tf.int32)],
    )
    most = 3 * num_steps // 4
    # Of what each finds the steps begin at half of its own.
    marks = most // 2, num_steps // 2, most, num_steps
    # The sum of all that came before stands beside the parameters.
    state, done, sums = (start, tf.zeros_like(start)), 0, []
    for until in marks:
        while done < until:
            end = min(done + _BLOCK, until)
            state = climb(x, *state, tf.constant(done), tf.constant(end), seed)
            progress(end - done)
            done = end
        sums.append(state[1])
    return [(sums[i + 2] - sums[i]) / (marks[i + 2] - marks[i]) for i in range(2)]


def _climber(generative, num_draws: int) -> Callable:
    def climb(x, parameters, total, begin, end, seed):
        log_likelihood_of = generative.log_likelihood_of(x)

        def one_step(step, parameters, total):
            loc, scale = parameters[0], tf.exp(parameters[1])
            shape = tf.concat([[(num_draws + 1) // 2], tf.shape(loc)], axis=0)
            noise = tf.random.stateless_normal(shape, tf.random.fold_in(seed, step))
            noise = tf.concat([noise, -noise], axis=0)[:num_draws]
            z = loc + scale * noise
            with tf.GradientTape() as tape:
                tape.watch(z)
                climbed = log_likelihood_of(z) + generative.log_prior(z) - DiagonalGaussian(loc, scale).log_prob(z)
            slope = scale * tape.gradient(climbed, z)
            natural = tf.stack([tf.reduce_mean(slope, axis=0), 0.5 * tf.reduce_mean(slope * noise, axis=0)])
            change = tf.clip_by_value(_RATE * natural, -_LONGEST, _LONGEST)
            # Where it is no number, draws went too far out.
            change = tf.where(tf.math.is_nan(change), [[[0.0]], [[-_LONGEST]]], change)
            parameters += tf.stack([scale * change[0], change[1]])
            return step + 1, parameters, total + parameters

        start = begin, parameters, total
        with generative.prior.worked_out():
            return tf.while_loop(lambda step, *_: step < end, one_step, start, parallel_iterations=1)[1:]

    return climb
