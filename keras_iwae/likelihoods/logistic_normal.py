r"""What goes missing by a logistic of its own value, where that value is Gaussian: in closed form.

The logistic function is a mixture of normal ones, $\sigma(l) \approx \sum_i p_i \Phi(s_i l)$, with an absolute error of
at most 2.2e-9, and with $x \sim N(\mu, \tau^2)$, $r_i^2 = 1 + s_i^2 b^2 \tau^2$ and $y_i = s_i (a + b \mu) / r_i$,

    E[sigma(a + b x)] = sum_i p_i Phi(y_i),

however steep it is. Given that it went missing, x is one of these parts, $\pi_i \propto p_i \Phi(y_i)$, of which mean
and draws are known.

An absolute error is none of a logarithm: below l = -20 the mixture is far less than $\sigma(l)$. But $\sigma(l) = e^l
\sigma(-l)$, and $e^l$ times the density of x is $e^{m + v/2}$ times that of $N(\mu + b \tau^2, \tau^2)$, with
$m = a + b \mu$ and $v = b^2 \tau^2$:

    E[sigma(a + b x)] = e^{m + v/2} E[sigma(-a - b x')],  x' ~ N(mu + b tau^2, tau^2).

The mixture is right about the larger of the two means, that on the right where $m + v/2 < 0$. What is left is an error
of the log of at most 4e-5, whatever m and v are: it is largest at $m = -v/2$ and v without bound, where it is that of
$\int e^{-l/2} \sigma(l) dl$.

References:
    Monahan, Stefanski (1992), Normal scale mixture approximations to F*(z) and computation of the logistic-normal
    integral, table for eight parts.
"""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import softmax

_SHARES = (
    0.003246343272134,
    0.051517477033972,
    0.195077912673858,
    0.315569823632818,
    0.274149576158423,
    0.131076880695470,
    0.027912418727972,
    0.001449567805354,
)
_SLOPES = (
    1.365340806296348,
    1.059523971016916,
    0.830791313765644,
    0.650732166639391,
    0.508135425366489,
    0.396313345166341,
    0.308904252267995,
    0.238212616409306,
)
_LOG_ROOT = 0.5 * math.log(2.0 * math.pi)
# Standard deviations beyond which a tail goes by its asymptotic series, right to 1e-5 there. Float32 has no tail areas
# of more than 12.8, and few digits of the square of many.
_FAR = 10.0


class LogisticNormal(NamedTuple):
    r"""$x \sim N(\mu, \tau^2)$ that goes missing with probability $\sigma(a + b x)$, any shapes that broadcast.

    Attributes:
        loc: mu.
        scale: tau.
        intercept: a.
        slope: b.
    """

    loc: tf.Tensor
    scale: tf.Tensor
    intercept: tf.Tensor
    slope: tf.Tensor

    def log_probability(self) -> tf.Tensor:
        r"""$\log E[\sigma(a + b x)]$ in nats."""
        turned, log_factor = self._turned()
        return tf.reduce_logsumexp(turned._parts()[0], axis=0) + log_factor

    def mean(self) -> tf.Tensor:
        """E[x | missing]."""
        turned = self._turned()[0]
        logs, places, widths, slopes = turned._parts()
        # Stein's lemma: what b tau^2 multiplies is the derivative of the log probability in a.
        ratios = _hazard(places) * slopes / widths
        shift = turned.slope * turned.scale**2 * tf.reduce_sum(softmax(logs, axis=0) * ratios, axis=0)
        return turned.loc + shift

    def sample(self, seed: tf.Tensor) -> tf.Tensor:
        """A draw of x given that it is missing, under a stateless seed."""
        part_seed, bound_seed, rest_seed = tf.unstack(tf.random.split(seed, 3))
        turned = self._turned()[0]
        logs, places, widths, slopes = turned._parts()
        sums = tf.cumsum(softmax(logs, axis=0), axis=0)
        one = tf.random.stateless_uniform(tf.shape(logs)[1:], part_seed)
        chosen = tf.one_hot(
            tf.minimum(tf.reduce_sum(tf.cast(sums < one, tf.int32), axis=0), len(_SHARES) - 1), 8, axis=0
        )

        def of_part(values: tf.Tensor) -> tf.Tensor:
            return tf.reduce_sum(chosen * values, axis=0)

        place, width, slope = of_part(places), of_part(widths), of_part(tf.broadcast_to(slopes, tf.shape(logs)))
        # A part is that s (a + b x) + e > 0 with e ~ N(0, 1): first how far above, then x.
        above = _above(place, tf.random.stateless_uniform(tf.shape(one), bound_seed))
        rest = tf.random.stateless_normal(tf.shape(one), rest_seed)
        return turned.loc + turned.scale * (slope * turned.slope * turned.scale * above + rest) / width

    def _turned(self) -> tuple["LogisticNormal", tf.Tensor]:
        """The same x given that it is missing, as one of which the mixture is right, and the log of what it is less."""
        gain = self.slope * self.scale**2
        log_factor = self.intercept + self.slope * (self.loc + 0.5 * gain)
        sign = tf.where(log_factor < 0.0, -1.0, 1.0)
        loc = self.loc + tf.where(log_factor < 0.0, gain, 0.0)
        return LogisticNormal(loc, self.scale, sign * self.intercept, sign * self.slope), tf.minimum(log_factor, 0.0)

    def _parts(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Of each part, along the first axis: log p_i Phi(y_i), y_i, r_i and s_i."""
        location, width = self.intercept + self.slope * self.loc, self.slope * self.scale
        slopes, shares = (
            tf.constant(np.reshape(each, [-1, *[1] * location.shape.rank]), tf.float32) for each in (_SLOPES, _SHARES)
        )
        widths = tf.sqrt(1.0 + (slopes * width) ** 2)
        places = slopes * location / widths
        return tf.math.log(shares) + _log_normal(places), places, widths, slopes


def _above(place: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """The standard normal quantile of these uniform numbers among all that is above -place."""
    # Half of a step of theirs, of which one in eight million is 0: the quantile of a far smaller one is 13 deviations.
    uniform = tf.maximum(uniform, 2.0**-24)
    near = -tf.math.ndtri(tf.clip_by_value(uniform * tf.exp(_log_normal(place)), 1e-37, 1.0 - 1e-7))
    # The area above V is as exp(-V^2 / 2) / V.
    bound, excess = tf.maximum(-place, _FAR), -2.0 * tf.math.log1p(-uniform)
    far = tf.sqrt(bound**2 + excess - tf.math.log1p(excess / bound**2))
    return tf.where(place < -_FAR, far, near)


def _hazard(y: tf.Tensor) -> tf.Tensor:
    """Standard normal density at y over the area below it."""
    near, bound = tf.maximum(y, -_FAR), tf.maximum(-y, _FAR)
    far = bound + 1.0 / bound - 2.0 / bound**3
    return tf.where(y < -_FAR, far, tf.exp(-0.5 * near**2 - _LOG_ROOT - _log_normal(near)))


def _log_normal(y: tf.Tensor) -> tf.Tensor:
    return tfp.distributions.Normal(0.0, 1.0).log_cdf(y)
