r"""Mixtures of multivariate Student-t distributions for each example, as proposals that go everywhere.

$q(z) = \sum_j a_j t_\nu(z; m_j, V_j \mathrm{diag}(s_j^2) V_j^T)$. A draw is
$z = m_j + V_j s_j V_j^T \epsilon \sqrt{\nu / \chi^2_\nu}$: the sign of an axis, which rounding decides, changes none.
Any t has heavier tails than a normal prior, so that weights p(x, z) / q(z) are bounded where the likelihood is. With
$\nu = 2 (D + 1)$ a normal target costs about as much in any number of units, and so with deviations that are wider by a
share of $D^{-1/2}$.
"""

import math
from typing import NamedTuple

import tensorflow as tf

# Standard deviations are wider than the curvature says by this share, of so many units and fewer: too wide costs less
# than too narrow, as long as there are few.
_WIDER, _UNITS = 0.1, 50


class StudentMixture(NamedTuple):
    """What the latents of B examples are drawn from.

    Attributes:
        mean: $m_j$, `[J, B, D]`.
        scale: $s_j$, `[J, B, D]`.
        axes: $V_j$, orthogonal, `[J, B, D, D]`.
        log_share: $\\log a_j$, `[J, B]`.
    """

    mean: tf.Tensor
    scale: tf.Tensor
    axes: tf.Tensor
    log_share: tf.Tensor

    @classmethod
    def of(cls, mean: tf.Tensor, precision: tf.Tensor, axes: tf.Tensor, log_share: tf.Tensor) -> "StudentMixture":
        """A little wider than the precision says, `[J, B, D]` along the axes."""
        return cls(mean, _width(mean.shape[-1]) * tf.math.rsqrt(precision), axes, log_share)

    def draw(self, size: int, keys: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws `[size, B, D]` and their log densities in nats, `[size, B]`, under keys `[B, 2]`."""
        dim = self.mean.shape[-1]
        half = _degrees(dim) / 2.0

        def of_example(key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            normal_key, gamma_key, choice_key = tf.unstack(tf.random.split(key, 3))
            noise = tf.random.stateless_normal([size, dim], normal_key)
            gamma = tf.random.stateless_gamma([size, 1], gamma_key, alpha=half)
            return noise * tf.sqrt(half / gamma), tf.random.stateless_uniform([size], choice_key)

        noise, uniform = tf.map_fn(of_example, keys, fn_output_signature=(tf.float32, tf.float32))
        # [J, B, size, D], of which each draw has one.
        along = tf.matmul(noise, self.axes) * self.scale[:, :, tf.newaxis]
        drawn = self.mean[:, :, tf.newaxis] + tf.matmul(along, self.axes, transpose_b=True)
        passed = tf.cumsum(tf.exp(self.log_share), exclusive=True)[..., tf.newaxis]
        chosen = tf.reduce_sum(tf.cast(uniform >= passed, tf.int32), axis=0) - 1
        z = tf.transpose(tf.gather(tf.transpose(drawn, [1, 2, 0, 3]), chosen, batch_dims=2), [1, 0, 2])
        return z, self.log_prob(z)

    def diagonal_gaussian(self) -> tuple[tf.Tensor, tf.Tensor]:
        r"""Mean and logarithm of the scale, `[B, D]`, of a Gaussian of independent units for the largest share.

        Of such Gaussians q the one with variances $1 / P_{dd}$ has the least KL(q || p) to a normal p of precision P.

        References:
            Bishop (2006), Pattern recognition and machine learning, section 10.1.2.
        """
        largest = tf.argmax(self.log_share, axis=0, output_type=tf.int32)
        which = tf.stack([largest, tf.range(tf.shape(largest)[0])], axis=-1)
        mean, scale, axes = (tf.gather_nd(each, which) for each in (self.mean, self.scale, self.axes))
        precision = tf.reduce_sum((_width(axes.shape[-1]) * axes / scale[:, tf.newaxis]) ** 2, axis=-1)
        return mean, -0.5 * tf.math.log(precision)

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """Log density in nats, `[n, B]`, of latents `[n, B, D]`."""
        return tf.reduce_logsumexp(self.log_terms(z), axis=0)

    def log_terms(self, z: tf.Tensor) -> tf.Tensor:
        """Log of each component's share and density, `[J, n, B]`, of latents `[n, B, D]`."""
        dim = self.mean.shape[-1]
        degrees = _degrees(dim)
        rest = tf.transpose(z, [1, 0, 2]) - self.mean[:, :, tf.newaxis]
        squares = tf.reduce_sum((tf.matmul(rest, self.axes) / self.scale[:, :, tf.newaxis]) ** 2, axis=-1)
        constant = (
            math.lgamma((degrees + dim) / 2.0) - math.lgamma(degrees / 2.0) - 0.5 * dim * math.log(math.pi * degrees)
        )
        log_volume = tf.reduce_sum(tf.math.log(self.scale), axis=-1) - self.log_share
        log_prob = constant - log_volume[..., tf.newaxis] - 0.5 * (degrees + dim) * tf.math.log1p(squares / degrees)
        return tf.transpose(log_prob, [0, 2, 1])


def _width(dim: int) -> float:
    return 1.0 + _WIDER * math.sqrt(min(1.0, _UNITS / dim))


def _degrees(dim: int) -> float:
    return 2.0 * (dim + 1.0)
