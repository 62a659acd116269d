"""The diagonal Gaussian of each example that is nearest to its posterior, by gradient ascent of the ELBO."""

from collections.abc import Callable

import keras
import tensorflow as tf

from keras_iwae.foundation import DiagonalGaussian
from keras_iwae.models import IWAE

# Adam's, written out: its state goes into the graph and comes out of it, so that one graph serves any examples.
_LEARNING_RATE, _AVERAGES, _SQUARES, _EPSILON = 0.05, 0.9, 0.999, 1e-7
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
    r"""The Gaussian of each example after three quarters of the steps and after all of them.

    A step climbs $\log p(x, z) - \log q(z)$ at draws $z = \mu + \sigma \epsilon$ with q held in its density: what that
    leaves out has expectation zero, and is all of the noise where q is exact.

    Args:
        model: the model.
        x: examples `[B, *event_shape]`.
        start: mean and logarithm of the scale, `[2, B, D]`.
        num_steps: steps in all.
        num_draws: draws of each example in a step.
        seed: int32 `[2]`, a stateless seed.
        progress: called with each further number of steps that is done.

    Returns:
        two tensors like `start`.

    References:
        Roeder, Wu, Duvenaud (2017), Sticking the landing, equation 6.
    """
    each, scalar = tf.TensorSpec([2, None, model.latent_dim]), tf.TensorSpec([], tf.int32)
    climb = model.traced(
        ("ascent of Gaussians", num_steps, num_draws),
        _climber(model.generative, num_steps, num_draws),
        [tf.TensorSpec([None, *model.event_shape]), each, each, each, scalar, scalar, tf.TensorSpec([2], tf.int32)],
    )
    # Adam's averages of the slopes and of their squares beside the parameters.
    state, done, found = (start, tf.zeros_like(start), tf.zeros_like(start)), 0, []
    for until in (3 * num_steps // 4, num_steps):
        while done < until:
            end = min(done + _BLOCK, until)
            state = climb(x, *state, tf.constant(done), tf.constant(end), seed)
            progress(end - done)
            done = end
        found.append(state[0])
    return found


def _climber(generative, num_steps: int, num_draws: int) -> Callable:
    rate = keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, num_steps)

    def climb(x, parameters, averages, squares, begin, end, seed):
        log_likelihood_of = generative.log_likelihood_of(x)

        def one_step(step, parameters, averages, squares):
            shape = tf.concat([[num_draws], tf.shape(parameters)[1:]], axis=0)
            noise = tf.random.stateless_normal(shape, tf.random.fold_in(seed, step))
            with tf.GradientTape() as tape:
                tape.watch(parameters)
                loc, scale = parameters[0], tf.exp(parameters[1])
                z = loc + scale * noise
                q = DiagonalGaussian(tf.stop_gradient(loc), tf.stop_gradient(scale))
                climbed = tf.reduce_sum(log_likelihood_of(z) + generative.log_prior(z) - q.log_prob(z))
            slopes, count = tape.gradient(climbed, parameters), tf.cast(step + 1, tf.float32)
            averages = _AVERAGES * averages + (1.0 - _AVERAGES) * slopes
            squares = _SQUARES * squares + (1.0 - _SQUARES) * slopes**2
            size = rate(step) * tf.sqrt(1.0 - _SQUARES**count) / (1.0 - _AVERAGES**count)
            return step + 1, parameters + size * averages / (tf.sqrt(squares) + _EPSILON), averages, squares

        start = begin, parameters, averages, squares
        with generative.prior.worked_out():
            return tf.while_loop(lambda step, *_: step < end, one_step, start, parallel_iterations=1)[1:]

    return climb
