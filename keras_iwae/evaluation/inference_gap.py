"""The inference gap of a trained model: the encoder's Gaussian against the best one for each image, found by ascent."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.evaluation.adapted import folded
from keras_iwae.evaluation.ascent import ascend
from keras_iwae.evaluation.diagnostics.gap import InferenceGap
from keras_iwae.evaluation.mixtures import StudentMixture
from keras_iwae.evaluation.places import in_lanes
from keras_iwae.evaluation.proposals import DRAWN_TOGETHER
from keras_iwae.evaluation.refined import fitted, fitting_evaluations
from keras_iwae.evaluation.streaming import stream_log_weights
from keras_iwae.foundation import (
    DiagonalGaussian,
    Purpose,
    check_callable,
    check_integer,
    float32_products,
    is_known,
    key_for,
)
from keras_iwae.models import IWAE, check_model

tfd = tfp.distributions

# Draws that say which of two Gaussians to climb from.
_TRIED = 100


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


@dataclass(frozen=True)
class _Fitted:
    """What `stream_log_weights` asks of a proposal, with what is fitted to these images given."""

    own: StudentMixture

    def source(self, model: IWAE, x: tf.Tensor, seed: tf.Tensor, rows: None) -> Callable:
        return lambda block: self.own.draw(DRAWN_TOGETHER, folded(seed, block))


@float32_products()
def inference_gap(
    model: IWAE,
    images: np.ndarray,
    num_samples: int = 1000,
    num_steps: int = 250,
    num_draws: int = 10,
    seed: int = 0,
    progress: Callable[[float], object] = lambda share: None,
    num_reference_samples: int = 2000,
) -> InferenceGap:
    r"""Split log p(x) - L[q] of each image into approximation and amortization gap.

    L[q] is the mean of K log weights of the encoder's Gaussian. q* climbs its own ELBO for this image alone, along
    natural gradients (`keras_iwae.evaluation.ascent`). It starts from the encoder's Gaussian or from the best one for
    what was fitted to the image for log p(x), where that has the higher ELBO: on images of the model's own kind they
    lead to the same, far from them the encoder's may be too far off to arrive. Where q* ends below q, it is q. All
    ELBOs use the same standard normal draws.

    log p(x) is estimated by $L_R = \log \frac{1}{R} \sum_r p(x, z_r) / r(z_r)$ with r the adapted proposal of
    `keras_iwae.evaluation.refined`, fitted to the image by draws of its own. As any L_K it is below log p(x) on average
    (Burda et al. 2015, theorem 1), and the approximation gap too small by as much. Few draws of r say more on average
    than many of q and q*, which are too narrow, and for some images less. The larger of two such estimates would be too
    high wherever chance made it so. Where a Gaussian is nearly exact, chance may put this one below L[q*].

    Args:
        model: the model; its posterior is a diagonal Gaussian.
        images: `[N, *event_shape]`, all handled at once: a hundred are a good number.
        num_samples: K, samples of an ELBO.
        num_steps: gradient steps to q*.
        num_draws: draws of each image in a gradient step, every second one a reflected one.
        seed: seed of every draw.
        progress: called with each further share of the work that is done; the shares sum to 1.
        num_reference_samples: R, importance samples of log p(x).

    Returns:
        `keras_iwae.evaluation.diagnostics.InferenceGap`.

    Raises:
        ValueError: if the posterior is no diagonal Gaussian, a count is below 1 or `num_steps` below 2, or the images
            are none that the model takes.

    References:
        Cremer, Li, Duvenaud (2018), Inference suboptimality in variational autoencoders, section 3 and table 1.
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, theorem 1.
        Roeder, Wu, Duvenaud (2017), Sticking the landing, equation 6.
    """
    check_model(model)
    num_samples, num_steps = check_integer("num_samples", num_samples), check_integer("num_steps", num_steps, 2)
    check_callable("progress", progress)
    num_draws = check_integer("num_draws", num_draws)
    num_reference_samples = check_integer("num_reference_samples", num_reference_samples)
    model.check_finite()
    x = tf.constant(model.door.array(images, "images"))
    amortized = model.posterior.distribution(x)
    if not is_known(amortized, tfd.MultivariateNormalDiag):
        raise ValueError(
            "Invalid value received for `model`. Expected a diagonal Gaussian posterior, in whose family a best one "
            f"for each image can be looked for. Received: {type(model.posterior).__name__}"
        )
    seeds = tf.unstack(tf.random.split(key_for(Purpose.INFERENCE_GAP, seed), 3))
    ascent_seed, evaluation_seed, reference_seed = seeds
    # In decoder evaluations, of which a slope is two.
    ascent = 2 * num_draws * num_steps
    reference = fitting_evaluations(model.latent_dim, True) + num_reference_samples
    work = ascent + 2 * _TRIED + 3 * num_samples + reference

    def elbo_of(gaussian: tf.Tensor, count: int = num_samples) -> np.ndarray:
        value = _elbo(model)(x, gaussian, tf.constant(count), evaluation_seed).numpy()
        progress(count / work)
        return value

    log_likelihood, near = _adapted(
        model, x, num_reference_samples, reference_seed, lambda share: progress(share * reference / work)
    )
    encoder = tf.stack([amortized.mean(), tf.math.log(amortized.stddev())])
    nearer = elbo_of(near, _TRIED) > elbo_of(encoder, _TRIED)
    late, best = ascend(
        model,
        x,
        tf.where(nearer[:, np.newaxis], near, encoder),
        num_steps,
        num_draws,
        ascent_seed,
        lambda steps: progress(steps * ascent / num_steps / work),
    )
    elbo, best_elbo, late_elbo = (elbo_of(gaussian) for gaussian in (encoder, best, late))
    # Only the end, so that `late_gain` tells of a climb that went astray.
    best_elbo = np.where(best_elbo > elbo, best_elbo, elbo)
    return InferenceGap(log_likelihood, best_elbo, elbo, best_elbo - late_elbo)


def _elbo(model: IWAE) -> Callable:
    """The ELBO of a Gaussian of each image, as mean and logarithm of the scale, `[2, B, D]`, as a graph."""

    def elbo(x, gaussian, num_samples, seed):
        proposal: Any = _Proposal(model.generative, DiagonalGaussian(gaussian[0], tf.exp(gaussian[1])))
        return stream_log_weights(proposal, x, num_samples, seed, [1]).bounds[0]

    scalar, each = tf.TensorSpec([], tf.int32), tf.TensorSpec([2, None, model.latent_dim])
    specs = tf.TensorSpec([None, *model.event_shape]), each, scalar, tf.TensorSpec([2], tf.int32)
    return model.traced("ELBO of Gaussians", elbo, specs)


def _adapted(
    model: IWAE, x: tf.Tensor, num_samples: int, key: tf.Tensor, progress: Callable[[float], object]
) -> tuple[np.ndarray, np.ndarray]:
    """L_R of the adapted proposals in nats, `[B]`, and the Gaussians that they say are near, as `_elbo` takes them."""

    def bound(x, num_samples, key, places):
        keys = tf.map_fn(lambda place: tf.random.split(tf.random.fold_in(key, place), 2), places)
        with model.generative.prior.worked_out():
            own = fitted(model, x, keys[:, 0], adapting=True)
            proposal: Any = _Fitted(own)
            weights = stream_log_weights(model, x, num_samples, keys[:, 1], proposal=proposal)
        return weights.log_likelihood, *own.diagonal_gaussian()

    scalar, several = tf.TensorSpec([], tf.int32), tf.TensorSpec([None], tf.int32)
    specs = tf.TensorSpec([None, *model.event_shape]), scalar, tf.TensorSpec([2], tf.int32), several
    graph = model.traced("bound of adapted proposals", bound, specs)

    def of_images(part, places, advance):
        found = graph(part, tf.constant(num_samples), key, tf.constant(places, tf.int32))
        advance(1)
        return tuple(each.numpy() for each in found)

    log_likelihood, *gaussian = in_lanes(of_images, at_once=2)(x, 0, progress)
    return log_likelihood, np.stack(gaussian)
