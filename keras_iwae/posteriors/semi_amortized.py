"""Semi-amortized posterior: the encoder's diagonal Gaussian, moved for each image by a few steps up its own ELBO."""

from collections.abc import Callable

import keras
import tensorflow as tf

from keras_iwae.foundation import (
    MARK,
    DiagonalGaussian,
    antithetic_noise,
    check_boolean,
    check_integer,
    check_positive_float32,
)
from keras_iwae.posteriors.gaussian import GaussianPosterior

# Of a gradient that goes back through the steps, next to what it was behind them.
_LONGEST = 3.0

LogJoint = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


@keras.saving.register_keras_serializable("keras_iwae")
class SemiAmortizedPosterior(GaussianPosterior):
    r"""$q(z|x) = N(\mu_T, \mathrm{diag}\, \sigma_T^2)$, by T steps from the encoder's $\mu_0(x), \sigma_0(x)$:

    $\mu_{t+1} = \mu_t + \sigma_t \, c(\eta \, \sigma_t \, \partial L / \partial \mu_t)$ and
    $\log \sigma_{t+1} = \log \sigma_t + c(\tfrac{\eta}{2} \, \partial L / \partial \log \sigma_t)$, where
    $L = \frac1S \sum_s \log p(x, \mu + \sigma \epsilon_s) + \sum_d \log \sigma_d$

    is the ELBO of this image but for a constant, and c clips to ±1. These are natural gradients: the Fisher information
    of (mu, log sigma) is diag(1 / sigma^2, 2), so that one $\eta$ serves units that are wide and units that are narrow.
    The noise is fixed, so an image has one posterior. It is refined wherever it is asked for, in training and after.

    Where steps overshoot, because sigma is wide next to the curvature of L, each multiplies the gradient that goes back
    through it, and the product would now and then be one from which training does not recover. So in training the
    gradient of an image by any $(\mu_t, \log \sigma_t)$ is shortened to 3 times the length of that by
    $(\mu_T, \log \sigma_T)$ where it is longer; steps that converge shorten it by themselves.

    Args:
        encoder: Keras layer or model from images `[B, *event_shape]` to features `[B, F]`.
        latent_dim: D, the number of latent units.
        seed: seed of the heads' initial kernels.
        num_steps: T; a step costs S runs of the decoder, forwards and backwards.
        step_size: eta.
        num_draws: S, an even number.
        differentiable: whether encoder and decoder get the gradient of the bound through the steps, second derivatives
            and all. If not, the steps count as constants that are added to what the encoder gives.
        **kwargs: passed to `GaussianPosterior`, as `log_scale_range`: the lowest and the highest $\log \sigma$, of the
            encoder's and after each step, by default without ends; the rest to `keras.Layer`.

    Raises:
        ValueError: if a count is no positive integer, `num_draws` is odd, `step_size` is not above 0, or
            `differentiable` is neither True nor False.

    Example:
        >>> posterior = SemiAmortizedPosterior(dense_encoder(), latent_dim=50, num_steps=10, differentiable=False)
        >>> model = IWAE((28, 28, 1), posterior=posterior)

    References:
        Kim, Wiseman, Miller, Sontag, Rush (2018), Semi-amortized variational autoencoders, algorithm 1.
        Cremer, Li, Duvenaud (2018), Inference suboptimality in variational autoencoders, section 5.
        Hoffman, Blei, Wang, Paisley (2013), Stochastic variational inference, section 2.3, on natural gradients.
    """

    def __init__(
        self,
        encoder: keras.Layer,
        latent_dim: int,
        seed: int = 0,
        num_steps: int = 5,
        step_size: float = 0.5,
        num_draws: int = 4,
        differentiable: bool = True,
        **kwargs,
    ):
        super().__init__(encoder, check_integer("latent_dim", latent_dim), seed, **kwargs)
        self.num_steps, self.num_draws = check_integer("num_steps", num_steps), check_integer("num_draws", num_draws)
        if num_draws % 2:
            raise ValueError(
                f"Invalid value received for `num_draws`. Expected an even number, for pairs. Received: {num_draws}"
            )
        self.step_size = check_positive_float32("step_size", step_size)
        self.differentiable = check_boolean("differentiable", differentiable)
        self._log_joint: LogJoint | None = None
        if self.differentiable:
            self.through_generative = True
            self.total_only = "that is differentiated through its steps; one with differentiable=False goes with all"

    def of_model(self, log_joint: LogJoint) -> None:
        """Say what the steps climb: log p(x, z) of the model that it is a part of.

        Raises:
            ValueError: if it was built in another model.
        """
        # Not built, it was given to a constructor that then refused something.
        if self._log_joint is not None and self.built:
            raise ValueError(
                f"{MARK}posterior`. Expected a {type(self).__name__} of its own, whose steps climb the p(x, z) of one "
                "model. Received: one that was built in another"
            )
        self._log_joint = log_joint

    def get_config(self):
        names = ("num_steps", "step_size", "num_draws", "differentiable")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def distribution(self, x: tf.Tensor, training: bool = False) -> DiagonalGaussian:
        """The refined posterior of each image of `x` `[B, *event_shape]`, of batch `[B]` and event `[D]`.

        Raises:
            ValueError: outside a model, whose `log_joint` the steps need.
        """
        if self._log_joint is None:
            raise ValueError("Expected a posterior in a model, whose p(x, z) its steps climb. Received: one alone")
        loc, scale = self(x, training=training)
        start = loc, tf.math.log(scale)
        loc, log_scale = start if self.differentiable else map(tf.stop_gradient, start)
        noise = antithetic_noise(self.num_draws, self.latent_dim)
        limited = training and self.differentiable
        before, after = _ends_of_the_steps() if limited else 2 * [lambda *parameters: parameters]
        for _ in range(self.num_steps):
            loc, log_scale = before(loc, log_scale)
            loc, log_scale = self._step(self._log_joint, x, loc, log_scale, noise)
        loc, log_scale = after(loc, log_scale)
        if not self.differentiable:
            loc, log_scale = (a + tf.stop_gradient(b - a) for a, b in zip(start, (loc, log_scale), strict=True))
        return DiagonalGaussian(loc, tf.exp(log_scale))

    def _step(self, log_joint: LogJoint, x, loc, log_scale, noise) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch((loc, log_scale))
            scale = tf.exp(log_scale)
            climbed = tf.reduce_sum(log_joint(x, loc + scale * noise)) / self.num_draws + tf.reduce_sum(log_scale)
        d_loc, d_log_scale = tape.gradient(climbed, (loc, log_scale))
        loc += scale * tf.clip_by_value(self.step_size * scale * d_loc, -1.0, 1.0)
        log_scale += tf.clip_by_value(0.5 * self.step_size * d_log_scale, -1.0, 1.0)
        return loc, log_scale if self.log_scale_range is None else tf.clip_by_value(log_scale, *self.log_scale_range)


def _ends_of_the_steps():
    """Two identities, before each step and after the last, that hold the gradient before to `_LONGEST` that after."""
    arrived: list[tf.Tensor] = []

    def length(gradients) -> tf.Tensor:
        return tf.sqrt(tf.add_n([tf.reduce_sum(gradient**2, axis=-1, keepdims=True) for gradient in gradients]))

    @tf.custom_gradient
    def before(loc, log_scale):
        def backward(*gradients):
            factor = tf.minimum(1.0, tf.math.divide_no_nan(_LONGEST * arrived[-1], length(gradients)))
            return [factor * gradient for gradient in gradients]

        return (tf.identity(loc), tf.identity(log_scale)), backward

    @tf.custom_gradient
    def after(loc, log_scale):
        def backward(*gradients):
            arrived.append(length(gradients))
            return gradients

        return (tf.identity(loc), tf.identity(log_scale)), backward

    return before, after
