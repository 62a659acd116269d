"""The inference gap of a trained model: the encoder's Gaussian against the best one for each image, found by ascent."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.evaluation.ascent import ascend
from keras_iwae.evaluation.diagnostics.gap import InferenceGap
from keras_iwae.evaluation.streaming import stream_log_weights
from keras_iwae.foundation import DiagonalGaussian, Purpose, check_callable, check_integer, is_known, key_for
from keras_iwae.models import IWAE, check_model

tfd = tfp.distributions


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
    model: IWAE,
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
    check_model(model)
    num_samples, num_steps = check_integer("num_samples", num_samples), check_integer("num_steps", num_steps, 2)
    check_callable("progress", progress)
    num_draws = check_integer("num_draws", num_draws)
    model.check_finite()
    x = tf.constant(model.door.array(images, "images"))
    amortized = model.posterior.distribution(x)
    if not is_known(amortized, tfd.MultivariateNormalDiag):
        raise ValueError(
            "Invalid value received for `model`. Expected a diagonal Gaussian posterior, in whose family a best one "
            f"for each image can be looked for. Received: {type(model.posterior).__name__}"
        )
    ascent_seed, evaluation_seed = tf.unstack(tf.random.split(key_for(Purpose.INFERENCE_GAP, seed), 2))
    # In decoded images; a gradient is worth about two more of them.
    work = 3 * num_draws * num_steps + 4 * num_samples

    def steps_done(steps: int) -> None:
        progress(3 * num_draws * steps / work)

    start = tf.stack([amortized.mean(), tf.math.log(amortized.stddev())])
    late, best = ascend(model, x, start, num_steps, num_draws, ascent_seed, steps_done)

    def bound(group_size: int, *gaussians: tf.Tensor) -> np.ndarray:
        given = tf.stack(gaussians, axis=2), tf.constant(num_samples), tf.constant(group_size)
        value = _bound(model, len(gaussians))(x, *given, evaluation_seed).numpy()
        progress(num_samples / work)
        return value

    elbo, best_elbo, late_elbo = (bound(1, gaussian) for gaussian in (start, best, late))
    return InferenceGap(bound(num_samples, start, best), best_elbo, elbo, best_elbo - late_elbo)


def _bound(model: IWAE, components: int) -> Callable:
    """The bound of a group size with C Gaussians of each image as the proposal, in even shares, as a graph.

    They come as mean and logarithm of the scale, `[2, B, C, D]`.
    """

    def bound(x, gaussians, num_samples, group_size, seed):
        locs, scales = gaussians[0], tf.exp(gaussians[1])
        given = DiagonalGaussian(locs[:, 0], scales[:, 0])
        if components > 1:
            even = tfd.Categorical(probs=[1.0 / components] * components)
            given = tfd.MixtureSameFamily(even, DiagonalGaussian(locs, scales))
        proposal: Any = _Proposal(model.generative, given)
        return stream_log_weights(proposal, x, num_samples, seed, [group_size]).bounds[0]

    scalar, each = tf.TensorSpec([], tf.int32), tf.TensorSpec([2, None, components, model.latent_dim])
    specs = tf.TensorSpec([None, *model.event_shape]), each, scalar, scalar, tf.TensorSpec([2], tf.int32)
    return model.traced(("bound of Gaussians", components), bound, specs)
