r"""Draws from the posterior that an importance weighted bound stands for.

Of K draws from q(z|x), one is kept with probability proportional to its weight w_k = p(x, z_k) / q(z_k|x). What is kept
is distributed as q_EW of Cremer et al., the closer to p(z|x) the larger K: its ELBO is at least the bound L_K of q.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_iwae.foundation import Purpose, check_integer, float32_products, key_for
from keras_iwae.models import LatentModel, check_model
from keras_iwae.posteriors import check_density


@float32_products()
def resampled_posterior(
    model: LatentModel, x: np.ndarray, num_draws: int, num_samples: int = 50, seed: int = 0
) -> tf.Tensor:
    r"""Independent draws from $q_{EW}(z|x)$, for any family of posteriors that has a density.

    Args:
        model: the model.
        x: images in [0, 1], `[B, *event_shape]`.
        num_draws: draws for each image.
        num_samples: K, samples of q that each draw is chosen from. Memory grows with `num_draws`, and not with K.
        seed: the same seed gives the same draws.

    Returns:
        latents, float32 `[num_draws, B, D]`; with K = 1 they are draws from q(z|x).

    Raises:
        ValueError: if a count is below 1, the posterior has no density, or the images are not in [0, 1] or of another
            shape.

    Example:
        >>> z = resampled_posterior(model, images, num_draws=10, num_samples=100)

    References:
        Cremer, Morris, Duvenaud (2017), Reinterpreting importance-weighted autoencoders, algorithm 1.
    """
    check_model(model)
    num_draws, num_samples = check_integer("num_draws", num_draws), check_integer("num_samples", num_samples)
    check_density(model.posterior)
    model.check_finite()
    images = tf.constant(model.door.array(x, "x"))
    draw = resampling_graph(model)
    return draw(images, tf.constant(num_draws), tf.constant(num_samples), key_for(Purpose.RESAMPLING, seed))


def resampling_graph(model: LatentModel) -> Callable[..., tf.Tensor]:
    """Draws `[L, B, D]` of q_EW as a graph of images `[B, *event_shape]`, L, K and an int32 key `[2]`."""
    scalar = tf.TensorSpec([], tf.int32)
    specs = tf.TensorSpec([None, *model.event_shape]), scalar, scalar, tf.TensorSpec([2], tf.int32)
    return model.traced("resampling", lambda *arguments: _draw(model, *arguments), specs)


@float32_products()
def resampled_reconstruction(
    model: LatentModel, x: np.ndarray, num_draws: int = 10, num_samples: int = 50, seed: int = 0
) -> tf.Tensor:
    """E[x|z] `[B, *event_shape]`, averaged over draws of `resampled_posterior`.

    Args:
        model: the model.
        x: images in [0, 1], `[B, *event_shape]`.
        num_draws: draws for each image.
        num_samples: K, samples of q that each draw is chosen from.
        seed: the same seed gives the same draws.

    Raises:
        ValueError: if a count is below 1, the posterior has no density, or the images are not in [0, 1] or of another
            shape.
    """
    check_model(model)
    z = resampled_posterior(model, x, num_draws, num_samples, seed)
    return tf.reduce_mean(model.generative.mean(z), axis=0)


def _draw(
    model: LatentModel, images: tf.Tensor, num_draws: tf.Tensor, num_samples: tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    q, shape = model.posterior.distribution(images), tf.stack([num_draws, tf.shape(images)[0]])
    drawn = _one_by_one if model.posterior.stratified else _at_once

    def challenge(k: tf.Tensor, best: tf.Tensor, kept: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        draw_seed, noise_seed = tf.unstack(tf.random.split(tf.random.fold_in(seed, k), 2))
        z = drawn(q, num_draws, draw_seed)
        log_weights = model.generative.log_joint(images, z) - q.log_prob(z)
        # Log weights plus Gumbel noise: the largest of K is each with its probability, and no sum over K is needed.
        uniform = tf.random.stateless_uniform(shape, noise_seed, minval=1e-20)
        score = log_weights - tf.math.log(-tf.math.log(uniform))
        better = score > best
        return k + 1, tf.where(better, score, best), tf.where(better[..., tf.newaxis], z[..., : model.latent_dim], kept)

    start = tf.constant(0), tf.fill(shape, -math.inf), tf.zeros(tf.concat([shape, [model.latent_dim]], axis=0))
    return tf.while_loop(lambda k, *_: k < num_samples, challenge, start, parallel_iterations=1)[2]


def _at_once(q: Any, num_draws: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    return q.sample([num_draws], seed=seed)


def _one_by_one(q: Any, num_draws: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """As `_at_once`, of a q whose draws of one call are in strata."""
    keys = tf.random.split(seed, num_draws)
    return tf.map_fn(lambda key: q.sample([1], seed=key)[0], keys, fn_output_signature=tf.float32)
