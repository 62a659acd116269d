r"""Draws of a masked network: rounds until no unit changes, and a gradient that asks for nothing but the draw.

A draw y of noise x solves y = F(y) = x exp(l(y)) + m(y), where m_i and l_i see the units before i alone. Put into the
right hand side again and again it is exact after D rounds, and as soon as a round changes nothing: units whose own
predecessors stand, stand after the next one. Far fewer rounds than D are the rule, and none is left out that would
have changed a digit.

The gradient does not go back through the rounds. By the implicit function theorem, with c the gradient from above and J
the Jacobian of F, all that x and the weights are told is

    t = c + t J,    then t dF / dx and t dF / dweights,

and J, which is 0 on its diagonal and on one side of it, makes t exact in rounds just so.
"""

from collections.abc import Callable

import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.networks import MADE


class AutoregressiveFlow(tfp.bijectors.MaskedAutoregressiveFlow):
    r"""$y_i = x_i \exp(\log \sigma_i(y_{<i})) + \mu_i(y_{<i})$: a draw in D rounds of the network at most.

    TFP's bijector of that name takes D rounds always, and back through all of them for a gradient. The draws are the
    same to the last bit. Its gradient has no gradient of its own.

    Args:
        made: the masked network, of mu and log sigma.
        biases: what calling it on the features of B images gave, `[B, sum(hidden) + 2 D]`.

    References:
        Papamakarios, Pavlakou, Murray (2017), Masked autoregressive flow for density estimation, section 3.
        Song, Meng, Liao, Ermon (2021), Accelerating feedforward computation via parallel nonlinear equation solving,
            section 4 (rounds of Jacobi's method, which are exact here).
    """

    def __init__(self, made: MADE, biases: tf.Tensor):
        self._run, self._weights = made.run, made.masked(biases)
        super().__init__(made.given(biases))

    def _forward(self, x):
        return _drawn(self._run, x, *self._weights)


def _drawn(run: Callable, x: tf.Tensor, *weights: tf.Tensor) -> tf.Tensor:
    def once(y, x, *weights):
        shift, log_scale = run(y, *weights)
        return x * tf.exp(log_scale) + shift

    @tf.custom_gradient
    def draw(x, *weights):
        y = _settled(lambda y: once(y, x, *weights), tf.zeros_like(x))

        def gradient(upstream):
            def again(told):
                return upstream + _slopes(lambda y: once(y, x, *weights), [y], told)[0]

            told = _settled(again, upstream)
            return _slopes(lambda *given: once(y, *given), [x, *weights], told)

        return y, gradient

    return draw(x, *weights)


def _slopes(function: Callable, at: list[tf.Tensor], told: tf.Tensor) -> list[tf.Tensor]:
    """`told` times the Jacobian of a function of these tensors, for each of them."""
    with tf.GradientTape() as tape:
        tape.watch(at)
        found = function(*at)
    return tape.gradient(found, at, told)


def _settled(again: Callable[[tf.Tensor], tf.Tensor], start: tf.Tensor) -> tf.Tensor:
    """What a function of one more unit each time gives when it is called until nothing changes."""

    def call(values, _):
        found = again(values)
        return found, tf.reduce_any(found != values)

    most = start.shape[-1]
    values, _ = tf.while_loop(lambda _, changed: changed, call, (start, tf.constant(True)), maximum_iterations=most)
    return values
