r"""Planar and radial flows as TFP bijectors: $f(z)$, its inverse and $\log |\det \partial f / \partial z|$.

Both are Rezende and Mohamed's, with their constraints for invertibility. The free parameters are shifted such that 0 is
the identity: m(a) = softplus(a + log(e - 1)), which is positive, is 1 at 0.
"""

import math

import tensorflow as tf
import tensorflow_probability as tfp

_Properties = tfp.util.ParameterProperties

# softplus of it is 1.
_UNIT = math.log(math.e - 1.0)
_TINY = 1e-12
# Of an interval: what is left of it is less than float32 can tell.
_HALVINGS = 26


def _dot(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(a * b, axis=-1)


class Planar(tfp.bijectors.Bijector):
    r"""$f(z) = z + \hat u \tanh(w^T z + b)$: stretches or squeezes along $\hat u$ around the plane $w^T z + b = 0$.

    It is invertible where $w^T \hat u > -1$, hence $\hat u = u + (m(w^T u) - 1 - w^T u) w / \|w\|^2$. Then

    $\log|\det| = \log(t^2 + (1 - t^2) m(w^T u))$, $t = \tanh(w^T z + b)$.

    The inverse has no closed form: $s = w^T z + b$ solves $s + w^T \hat u \tanh(s) = w^T f(z) + b$, whose left side
    grows with s. The root is found by bisection; one step of Newton's makes it exact and differentiable.

    Args:
        u: float32 `[..., D]`, any values.
        w: float32 `[..., D]`.
        b: float32 `[...]`.

    References:
        Rezende, Mohamed (2015), Variational inference with normalizing flows, equations 10 to 12 and appendix A.1.
    """

    def __init__(self, u: tf.Tensor, w: tf.Tensor, b: tf.Tensor, validate_args: bool = False, name: str = "planar"):
        parameters = dict(locals())
        with tf.name_scope(name) as name:
            self._w, self._b = w, b
            along = _dot(w, u)
            self._slope = tf.nn.softplus(along + _UNIT)
            correction = (self._slope - 1.0 - along) / tf.maximum(_dot(w, w), _TINY)
            self._u = u + correction[..., tf.newaxis] * w
            super().__init__(forward_min_event_ndims=1, validate_args=validate_args, parameters=parameters, name=name)

    @classmethod
    def _parameter_properties(cls, dtype):
        return {"u": _Properties(event_ndims=1), "w": _Properties(event_ndims=1), "b": _Properties(event_ndims=0)}

    def _forward(self, x):
        return x + tf.tanh(_dot(self._w, x) + self._b)[..., tf.newaxis] * self._u

    def _derivative(self, s):
        """Of s + w^T u tanh(s), the Jacobian's determinant: a sum of positive terms, as 1 + w^T u (1 - t^2) is not."""
        square = tf.tanh(s) ** 2
        return square + (1.0 - square) * self._slope

    def _forward_log_det_jacobian(self, x):
        return tf.math.log(self._derivative(_dot(self._w, x) + self._b))

    def _inverse(self, y):
        target, excess = _dot(self._w, y) + self._b, self._slope - 1.0

        def halve(s: tf.Tensor, width: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return s + width * tf.sign(target - s - excess * tf.tanh(s)), 0.5 * width

        # The root lies within |excess| of the target: tanh is between -1 and 1.
        start = target, 0.5 * tf.abs(excess) + tf.zeros_like(target)
        root, _ = tf.while_loop(lambda *_: True, halve, start, maximum_iterations=_HALVINGS)
        root = tf.stop_gradient(root)
        residual = root + excess * tf.tanh(root) - target
        s = root - residual / tf.stop_gradient(self._derivative(root))
        return y - tf.tanh(s)[..., tf.newaxis] * self._u


class Radial(tfp.bijectors.Bijector):
    r"""$f(z) = c + \frac{r + \alpha s}{r + \alpha} (z - c)$, $r = \|z - c\|$: contracts or expands around the point c.

    It is $z + \beta h(\alpha, r) (z - c)$ with $h = 1 / (\alpha + r)$ and $\beta = \alpha (s - 1)$; invertible where
    $\beta > -\alpha$, hence $s = m(\gamma) > 0$. Then

    $\log|\det| = (D - 1) \log \frac{r + \alpha s}{r + \alpha}
    + \log \frac{r^2 + 2 \alpha r + \alpha^2 s}{(r + \alpha)^2}$,

    and the inverse solves $r^2 + (\alpha s - R) r - \alpha R = 0$ for $R = \|f(z) - c\|$.

    Args:
        center: c, float32 `[..., D]`.
        log_alpha: float32 `[...]`; alpha is the radius within which most of the change lies.
        gamma: float32 `[...]`, any values; above 0 it expands, below it contracts.

    References:
        Rezende, Mohamed (2015), Variational inference with normalizing flows, equations 13, 14 and appendix A.2.
    """

    def __init__(
        self,
        center: tf.Tensor,
        log_alpha: tf.Tensor,
        gamma: tf.Tensor,
        validate_args: bool = False,
        name: str = "radial",
    ):
        parameters = dict(locals())
        with tf.name_scope(name) as name:
            self._center, self._alpha = center, tf.exp(log_alpha)
            self._core = self._alpha * tf.nn.softplus(gamma + _UNIT)
            super().__init__(forward_min_event_ndims=1, validate_args=validate_args, parameters=parameters, name=name)

    @classmethod
    def _parameter_properties(cls, dtype):
        scalar = _Properties(event_ndims=0)
        return {"center": _Properties(event_ndims=1), "log_alpha": scalar, "gamma": scalar}

    def _radius(self, z):
        offset = z - self._center
        # At the center itself the derivative of the root would be infinite.
        return offset, tf.sqrt(_dot(offset, offset) + _TINY**2)

    def _forward(self, x):
        offset, r = self._radius(x)
        return self._center + ((r + self._core) / (r + self._alpha))[..., tf.newaxis] * offset

    def _inverse(self, y):
        offset, radius = self._radius(y)
        # The root of the quadratic that is positive, without a difference of like numbers.
        gap = radius - self._core
        larger = tf.abs(gap) + tf.sqrt(gap**2 + 4.0 * self._alpha * radius)
        r = tf.where(gap > 0.0, 0.5 * larger, 2.0 * self._alpha * radius / larger)
        return self._center + ((r + self._alpha) / (r + self._core))[..., tf.newaxis] * offset

    def _forward_log_det_jacobian(self, x):
        _, r = self._radius(x)
        alpha = self._alpha
        across = tf.math.log(r + self._core) - tf.math.log(r + alpha)
        along = tf.math.log(r**2 + 2.0 * alpha * r + alpha * self._core) - 2.0 * tf.math.log(r + alpha)
        return (x.shape[-1] - 1.0) * across + along
