"""A logistic variable rounded to whole numbers from 0 to a largest one, as a TFP distribution."""

import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.likelihoods.entry_distribution import EntryDistribution

_Properties = tfp.util.ParameterProperties


class RoundedLogistic(EntryDistribution):
    r"""$P(Y = y) = \sigma(a) - \sigma(b)$ with $a = (y + \frac12 - \mu) / s$, $b = (y - \frac12 - \mu) / s$.

    P(Y = 0) is $\sigma(a)$ and P(Y = C - 1) is $1 - \sigma(b)$. The difference of two numbers near 1 loses all digits;
    $\sigma(a) - \sigma(b) = \sigma(a) \, \sigma(-b) \, (1 - e^{b - a})$ with $a - b = 1 / s$ loses none.

    Args:
        loc: mu, float32, in levels.
        scale: s, float32, in levels.
        levels: C.
    """

    def __init__(self, loc: tf.Tensor, scale: tf.Tensor, levels: int, name: str = "rounded_logistic"):
        parameters = dict(locals())
        with tf.name_scope(name) as name:
            self._loc, self._scale, self._levels = loc, scale, levels
            super().__init__(parameters, name)

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return {"loc": _Properties(event_ndims=0), "scale": _Properties(event_ndims=0)}

    def _log_prob(self, value):
        above = (value + 0.5 - self._loc) / self._scale
        below = above - 1.0 / self._scale
        left, right = tf.math.log_sigmoid(above), tf.math.log_sigmoid(-below)
        inside = left + right + tf.math.log(-tf.math.expm1(-1.0 / self._scale))
        # Halfway to the next level, for 254.99998 is what float32 may have made of the largest one.
        return tf.where(value < 0.5, left, tf.where(value > self._levels - 1.5, right, inside))

    def _sample_n(self, n, seed=None):
        logistic = tfp.distributions.Logistic(self._loc, self._scale).sample(n, seed=seed)
        return tf.clip_by_value(tf.round(logistic), 0.0, self._levels - 1.0)

    def _moments(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        r"""c, $E[Y - c]$ and $E[(Y - c)^2]$, with c the level next to mu.

        They are sums over y of $P(Y \ge y)$ above c and of $P(Y < y)$ up to c, by 1 and $2 |y - c - \frac12|$: nothing
        of the size of a level's square is taken off another such number.
        """
        # Outside a graph the steps of the loop are eager, and thousands of levels would take seconds for each mean.
        sums = _sums_in_a_graph if tf.executing_eagerly() else _sums
        return sums(self._loc, self._scale, self._levels)

    def _mean(self):
        centre, first, _ = self._moments()
        return centre + first

    def _stddev(self):
        _, first, second = self._moments()
        return tf.sqrt(tf.maximum(second - first**2, 0.0))


def _sums(loc: tf.Tensor, scale: tf.Tensor, levels: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    centre = tf.clip_by_value(tf.round(loc), 0.0, levels - 1.0)

    def add(y, first, second):
        offset = y - centre - 0.5
        side = tf.sign(offset)
        beyond = tf.sigmoid(side * (loc + 0.5 - y) / scale)
        return y + 1.0, first + side * beyond, second + 2.0 * tf.abs(offset) * beyond

    zero = tf.zeros_like(loc + scale)
    _, first, second = tf.while_loop(
        lambda y, *_: y < float(levels), add, (tf.constant(1.0), zero, zero), maximum_iterations=levels
    )
    return centre, first, second


_sums_in_a_graph = tf.function(_sums, autograph=False, reduce_retracing=True)
