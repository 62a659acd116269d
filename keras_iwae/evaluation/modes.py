r"""Modes of p(z|x) and the curvature there, by damped Newton steps from several points at once.

With g and H the slope and the Hessian of -log p(x, z) at z, $H = V \mathrm{diag}(\lambda) V^T$, a step tries

$$z - V (|\lambda| + d \max |\lambda|)^{-1} V^T g, \quad d = 0, 0.01, 0.1, 1,$$

all in one run of the decoder, and takes the one where log p(x, z) is largest, or none. The Hessian is exact: D products
with it, each a second run backwards through the graph of the slope. That is one for any prior, decoder and likelihood,
and took 0.8 ms for an image of 50 units, where forward derivatives for Gauss-Newton took 1.7.
"""

from typing import NamedTuple

import tensorflow as tf

from keras_iwae.models import GenerativeModel

# Steps under each Hessian.
_STEPS = 6
_DAMPING = 0.0, 0.01, 0.1, 1.0
# A standard normal prior alone has 1. Less is where log p(x, z) is no concave function, and says nothing of its width.
LEAST_CURVATURE = 0.05


class Modes(NamedTuple):
    """Where J climbs of each of B examples have come to.

    Attributes:
        mean: z, `[J, B, D]`.
        precision: $|\\lambda|$ of the Hessian of -log p(x, z), `[J, B, D]`.
        axes: V, `[J, B, D, D]`.
        log_joint: log p(x, z) in nats, `[J, B]`.
        decrement: $g^T |H|^{-1} g$ before the last step, `[J, B]`: twice what a quadratic function had left, in nats.
    """

    mean: tf.Tensor
    precision: tf.Tensor
    axes: tf.Tensor
    log_joint: tf.Tensor
    decrement: tf.Tensor


def find_modes(generative: GenerativeModel, x: tf.Tensor, starts: tf.Tensor, hessians: int) -> Modes:
    """Climb log p(x, z) from several points of each example.

    Args:
        generative: the model's p(x, z), twice differentiable in z almost everywhere.
        x: examples, `[B, *event_shape]`.
        starts: `[J, B, D]`, J known.
        hessians: how many on the way.

    Returns:
        `Modes`.

    References:
        Nocedal, Wright (2006), Numerical optimization, section 3.4, on Hessians that are not positive definite.
    """
    count, dim = starts.shape[0], starts.shape[-1]
    # Examples and climbs along one axis.
    x = tf.tile(x, [count, *[1] * (x.shape.rank - 1)])

    def one_round(number, z, *_):
        values, axes = tf.linalg.eigh(_hessian(generative, x, z))
        precision = tf.maximum(tf.abs(values), LEAST_CURVATURE)

        def one_step(step, z, *_):
            return step + 1, *_step(generative, x, z, precision, axes)

        start = tf.constant(0), z, tf.zeros_like(z[:, 0]), tf.zeros_like(z[:, 0])
        end = tf.while_loop(lambda step, *_: step < _STEPS, one_step, start, parallel_iterations=1)
        return number + 1, end[1], precision, axes, *end[2:]

    z = tf.reshape(starts, [-1, dim])
    # What a round gives, in shape only.
    unknown = z, tf.linalg.diag(z), z[:, 0], z[:, 0]
    loop = tf.while_loop(
        lambda number, *_: number < hessians, one_round, (tf.constant(0), z, *unknown), parallel_iterations=1
    )
    return Modes(*(tf.reshape(each, tf.concat([[count, -1], tf.shape(each)[1:]], axis=0)) for each in loop[1:]))


def mode_evaluations(latent_dim: int, hessians: int) -> int:
    """Decoder evaluations of a climb: a slope is two, forwards and backwards, and so is a product with the Hessian."""
    return hessians * (2 + 2 * latent_dim + _STEPS * (2 + len(_DAMPING)))


def _hessian(generative: GenerativeModel, x: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
    """Of -log p(x, z), `[B, D, D]`; the identity where it is not finite."""
    with tf.GradientTape() as outer:
        outer.watch(z)
        slope = _value_and_slope(generative, x, z)[1]
    # One product after another: memory is that of a slope.
    hessian = -outer.batch_jacobian(slope, z, parallel_iterations=1, experimental_use_pfor=False)
    finite = tf.reduce_all(tf.math.is_finite(hessian), axis=[1, 2], keepdims=True)
    return tf.where(finite, hessian, tf.eye(z.shape[-1]))


def _value_and_slope(generative: GenerativeModel, x: tf.Tensor, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """log p(x, z), `[B]`, and its slope, `[B, D]`, of one z for each example."""
    with tf.GradientTape() as tape:
        tape.watch(z)
        log_joint = generative.log_joint(x, z[tf.newaxis])
    return log_joint[0], tape.gradient(log_joint, z)


def _step(
    generative: GenerativeModel, x: tf.Tensor, z: tf.Tensor, precision: tf.Tensor, axes: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The best of the damped steps or none, log p(x, z) there, and the decrement before."""
    here, slope = _value_and_slope(generative, x, z)
    along = tf.linalg.matvec(axes, slope, transpose_a=True)
    damped = precision + tf.reshape(_DAMPING, [-1, 1, 1]) * tf.reduce_max(precision, axis=-1, keepdims=True)
    tried = tf.concat([z[tf.newaxis], z + tf.linalg.matvec(axes, along / damped)], axis=0)
    values = tf.concat([here[tf.newaxis], generative.log_joint(x, tried[1:])], axis=0)
    # What is no number is not taken.
    values = tf.where(tf.math.is_nan(values), values.dtype.min, values)
    best = tf.argmax(values, axis=0)
    z = tf.gather(tf.transpose(tried, [1, 0, 2]), best, batch_dims=1)
    return z, tf.reduce_max(values, axis=0), tf.reduce_sum(along**2 / precision, axis=-1)
