"""Two posteriors in the plane that no Gaussian is, and the gap log p(x) - ELBO of a family on them by quadrature."""

import keras
import numpy as np
import tensorflow as tf

from keras_iwae import networks
from keras_iwae.bounds.estimators import ESTIMATORS
from keras_iwae.bounds.gradients import bound_gradients
from keras_iwae.bounds.objectives import ELBO
from keras_iwae.models.components import POSTERIORS
from keras_iwae.networks.discriminator import Discriminator, discrimination
from keras_iwae.posteriors.base import Posterior

IMAGE = np.ones((1, 1), np.float32)
TICKS = np.linspace(-4.5, 4.5, 226)
CELL = (TICKS[1] - TICKS[0]) ** 2
GRID = np.stack(np.meshgrid(TICKS, TICKS, indexing="ij"), axis=-1).reshape(-1, 1, 2).astype(np.float32)
# What the image measures of z, the value that it found, and how exactly.
TARGETS = {
    "crescent": (lambda z: z[..., 1] + z[..., 0] + z[..., 0] ** 2, 1.0, 0.4),
    "two modes": (lambda z: z[..., 0] ** 2, 1.0, 0.6),
}
_DRAWS = 2_000_000


class Target:
    """A generative model without weights, p(z) = N(0, I) and x = f(z) + noise, for one x."""

    trainable_variables: tuple = ()
    through_posterior = False

    def __init__(self, name: str):
        self.measured, self.value, self.noise = TARGETS[name]

    def log_prior(self, z, training=False):
        return tf.reduce_sum(-0.5 * z[..., :2] ** 2 - 0.5 * np.log(2.0 * np.pi), axis=-1)

    def log_likelihood(self, x, z, training=False):
        residual = (self.measured(z) - self.value) / self.noise
        return -0.5 * residual**2 - np.log(self.noise) - 0.5 * np.log(2.0 * np.pi)

    def log_joint(self, x, z):
        return self.log_likelihood(x, z) + self.log_prior(z)


def make(family: str, target: Target) -> Posterior:
    posterior = POSTERIORS[family](networks.dense_encoder((16,), seed=1), 2, seed=2)
    if family == "semi_amortized":
        posterior.of_model(target.log_joint)
    posterior.build((None, 1))
    return posterior


def fit(posterior: Posterior, target: Target, steps: int, num_samples: int = 64, rate: float = 0.02) -> None:
    """Climb the ELBO by Adam, the rate falling to zero."""
    if posterior.density == "none":
        _fit_adversarial(posterior, target, steps, 4 * num_samples, 0.5 * rate)
        return
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps))
    optimizer.build(posterior.trainable_variables)

    @tf.function
    def step(seed):
        found = bound_gradients(posterior, target, IMAGE, num_samples, seed, ELBO(), ESTIMATORS["reparameterized"])
        optimizer.apply([-gradient for gradient in found.posterior], posterior.trainable_variables)

    for index in range(steps):
        step(tf.constant([0, index]))


def _fit_adversarial(posterior: Posterior, target: Target, steps: int, num_samples: int, rate: float) -> None:
    """As `keras_iwae.AVB` trains, for a generative model that is no Keras layer."""
    discriminator = Discriminator(networks.dense_encoder((16,), seed=3), 2, units=64, seed=4)
    discriminator.build((None, 1))
    variables = [*posterior.trainable_variables, *discriminator.trainable_variables]
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps))
    optimizer.build(variables)

    @tf.function
    def step(seed):
        with tf.GradientTape(persistent=True) as tape:
            q = posterior.distribution(IMAGE)
            z = q.sample([num_samples], seed=seed)
            noise = (z - tf.stop_gradient(q.mean())) / tf.stop_gradient(q.stddev())
            contrast = tf.random.stateless_normal(tf.shape(z), tf.random.fold_in(seed, 1))
            of_image = discriminator(IMAGE)
            ratio = discriminator.given(of_image, noise)
            climbed = tf.reduce_mean(target.log_joint(IMAGE, z) + 0.5 * tf.reduce_sum(noise**2, axis=-1) - ratio)
            discriminated = tf.reduce_mean(discrimination(ratio, discriminator.given(of_image, contrast)))
        ascent = tape.gradient(climbed, [v.value for v in posterior.trainable_variables])
        ascent += tape.gradient(discriminated, [v.value for v in discriminator.trainable_variables])
        optimizer.apply([-gradient for gradient in ascent], variables)

    for index in range(steps):
        step(tf.constant([0, index]))


def log_density(posterior: Posterior) -> np.ndarray:
    """log q(z|x) on the grid; where it is not known, from how many of 2,000,000 draws fall into each cell."""
    if posterior.density == "exact":
        return posterior.log_prob(GRID, IMAGE).numpy()[:, 0].astype(np.float64)
    z = posterior.distribution(IMAGE).sample([_DRAWS], seed=tf.constant([7, 0])).numpy()[:, 0, :2]
    edges = np.append(TICKS, TICKS[-1] + TICKS[1] - TICKS[0]) - 0.5 * (TICKS[1] - TICKS[0])
    counts = np.histogram2d(z[:, 0], z[:, 1], bins=[edges, edges])[0].ravel()
    return np.log(np.maximum(counts, 1e-300) / (_DRAWS * CELL))


def gap(posterior: Posterior, target: Target) -> tuple[float, np.ndarray]:
    """KL(q(z|x) || p(z|x)) in nats by quadrature, which is log p(x) - ELBO, and the density of q on the grid."""
    log_q, log_joint = log_density(posterior), true_log_joint(target)
    log_evidence = np.logaddexp.reduce(log_joint) + np.log(CELL)
    q = np.exp(log_q)
    # Far away log q may be minus infinity.
    divergence = np.where(q > 0.0, q * (np.maximum(log_q, -1e3) - log_joint), 0.0).sum() * CELL
    return float(divergence + log_evidence), q


def true_log_joint(target: Target) -> np.ndarray:
    return target.log_joint(IMAGE, GRID).numpy()[:, 0].astype(np.float64)
