"""The inference gap of a trained model: the encoder's Gaussian against the best one for each image, found by ascent."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.evaluation.diagnostics.gap import InferenceGap
from keras_iwae.evaluation.streaming import stream_log_weights
from keras_iwae.foundation import Purpose, check_integer, key_for

tfd = tfp.distributions

_LEARNING_RATE = 0.05
# Gradient steps that run as one graph, between two reports of progress.
_BLOCK = 50


@dataclass(frozen=True)
class _Proposal:
    """What `stream_log_weights` asks of a model, with the posterior of these images given."""

    generative: Any
    given: tfp.distributions.Distribution

    @property
    def posterior(self) -> "_Proposal":
        return self

    def distribution(self, x: tf.Tensor) -> tfp.distributions.Distribution:
        return self.given


def inference_gap(
    model,
    images: np.ndarray,
    num_samples: int = 5000,
    num_steps: int = 1000,
    num_draws: int = 10,
    seed: int = 0,
    progress: Callable[[float], object] = lambda share: None,
) -> InferenceGap:
    r"""Split log p(x) - L[q] of each image into approximation and amortization gap.

    L[q] is the mean of K log weights of the encoder's Gaussian. q* starts from it and climbs its own ELBO for this
    image alone: Adam, a learning rate that falls to 0, and the path derivative of the ELBO, whose noise vanishes where
    the Gaussian equals the true posterior. Both ELBOs use the same standard normal draws.

    log p(x) is estimated by L_K with an even mixture of q and q* as the proposal, which covers what either of them
    covers and is a lower bound in expectation as any L_K is; where K is too small it is too low, and the approximation
    gap with it. The larger of two estimates, one for each proposal, would be too high wherever chance made it so.

    Args:
        model: the model; its posterior is a diagonal Gaussian.
        images: `[N, *event_shape]`, all handled at once: a hundred are a good number.
        num_samples: K, importance samples of each of the three: q, q* and their mixture.
        num_steps: gradient steps to q*.
        num_draws: draws of each image in a gradient step.
        seed: seed of every draw.
        progress: called with each further share of the work that is done; the shares sum to 1.

    Returns:
        `keras_iwae.evaluation.diagnostics.InferenceGap`.

    Raises:
        ValueError: if the posterior is no diagonal Gaussian, a count is below 1, or the images are none that the model
            takes.

    References:
        Cremer, Li, Duvenaud (2018), Inference suboptimality in variational autoencoders, section 3 and table 1.
        Roeder, Wu, Duvenaud (2017), Sticking the landing, equation 6.
    """
    num_samples, num_steps = check_integer("num_samples", num_samples), check_integer("num_steps", num_steps, 2)
    num_draws = check_integer("num_draws", num_draws)
    model.check_finite()
    x = tf.constant(model.door.array(images, "images"))
    amortized = model.posterior.distribution(x)
    if not isinstance(amortized, tfd.MultivariateNormalDiag):
        raise ValueError(
            "Invalid value received for `model`. Expected a diagonal Gaussian posterior, in whose family a best one "
            f"for each image can be looked for. Received: {type(model.posterior).__name__}"
        )
    ascent_seed, evaluation_seed = tf.unstack(tf.random.split(key_for(Purpose.INFERENCE_GAP, seed), 2))
    # In decoded images; a gradient is worth about two more of them.
    work = 3 * num_draws * num_steps + 4 * num_samples

    def steps_done(steps: int) -> None:
        progress(3 * num_draws * steps / work)

    late, best = _ascend(model.generative, x, amortized, num_steps, num_draws, ascent_seed, steps_done)

    @tf.function
    def streamed(given, group_size: int) -> tf.Tensor:
        proposal: Any = _Proposal(model.generative, given)
        return stream_log_weights(proposal, x, tf.constant(num_samples), evaluation_seed, [group_size]).bounds[0]

    def bound(given, group_size: int) -> np.ndarray:
        value = streamed(given, group_size).numpy()
        progress(num_samples / work)
        return value

    elbo, best_elbo, late_elbo = (bound(given, 1) for given in (amortized, best, late))
    both = [tf.stack([getattr(q, moment)() for q in (amortized, best)], axis=1) for moment in ("mean", "stddev")]
    mixture = tfd.MixtureSameFamily(tfd.Categorical(probs=[0.5, 0.5]), tfd.MultivariateNormalDiag(*both))
    return InferenceGap(bound(mixture, num_samples), best_elbo, elbo, best_elbo - late_elbo)


def _ascend(generative, x, start, num_steps: int, num_draws: int, seed: tf.Tensor, progress) -> tuple:
    """The Gaussian of each image after three quarters of the steps and after all of them."""
    loc, log_scale = keras.Variable(start.mean()), keras.Variable(tf.math.log(start.stddev()))
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, num_steps))
    optimizer.build([loc, log_scale])

    def elbo(step_seed: tf.Tensor) -> tf.Tensor:
        noise = tf.random.stateless_normal([num_draws, *loc.shape], step_seed)
        z = loc.value + tf.exp(log_scale.value) * noise
        # Constants in log q: what that leaves out has expectation zero, and is all of the noise where q is exact.
        q = tfd.MultivariateNormalDiag(tf.stop_gradient(loc.value), tf.exp(tf.stop_gradient(log_scale.value)))
        return tf.reduce_sum(generative.log_likelihood(x, z) + generative.log_prior(z) - q.log_prob(z))

    @tf.function
    def climb(begin: tf.Tensor, end: tf.Tensor) -> None:
        for step in tf.range(begin, end):
            with tf.GradientTape() as tape:
                loss = -elbo(tf.random.fold_in(seed, step))
            optimizer.apply(tape.gradient(loss, [loc.value, log_scale.value]))

    found = []
    for until in (3 * num_steps // 4, num_steps):
        for begin in range(int(optimizer.iterations), until, _BLOCK):
            end = min(begin + _BLOCK, until)
            climb(tf.constant(begin), tf.constant(end))
            progress(end - begin)
        scale = tf.exp(log_scale.value)
        found.append(tfd.MultivariateNormalDiag(tf.identity(loc.value), tf.identity(scale)))
    return tuple(found)
