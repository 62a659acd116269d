#!/usr/bin/env python
"""How close does each family of posteriors come to a posterior that is curved, and to one that has two modes?

Two models with two latent units and one image, p(z) = N(0, I): in "crescent" the image says what z_2 + z_1 + z_1^2 is,
and in "two modes" what z_1^2 is. Each family climbs the ELBO; then its density on a grid gives the gap
log p(x) - ELBO, which is KL(q || p(z|x)), by quadrature. Writes the numbers as JSON beside the picture.

    python benchmarks/posterior_shapes.py --out docs/images/posterior-shapes.png
"""

import argparse
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

from keras_iwae import networks, storage
from keras_iwae.backward import bound_gradients
from keras_iwae.estimators import ESTIMATORS
from keras_iwae.objectives import ELBO
from keras_iwae.parts import POSTERIORS
from keras_iwae.posteriors import Posterior

IMAGE = np.ones((1, 1), np.float32)
TICKS = np.linspace(-4.5, 4.5, 226)
CELL = (TICKS[1] - TICKS[0]) ** 2
GRID = np.stack(np.meshgrid(TICKS, TICKS, indexing="ij"), axis=-1).reshape(-1, 1, 2).astype(np.float32)
# What the image measures of z, the value that it found, and how exactly.
TARGETS = {
    "crescent": (lambda z: z[..., 1] + z[..., 0] + z[..., 0] ** 2, 1.0, 0.4),
    "two modes": (lambda z: z[..., 0] ** 2, 1.0, 0.6),
}


class Target:
    """A generative model without weights, x = f(z) + noise, for one x."""

    trainable_variables: tuple = ()

    def __init__(self, name: str):
        self.measured, self.value, self.noise = TARGETS[name]

    def log_prior(self, z, training=False):
        return tf.reduce_sum(-0.5 * z**2 - 0.5 * np.log(2.0 * np.pi), axis=-1)

    def log_likelihood(self, x, z, training=False):
        residual = (self.measured(z) - self.value) / self.noise
        return -0.5 * residual**2 - np.log(self.noise) - 0.5 * np.log(2.0 * np.pi)


def fit(posterior: Posterior, target: Target, steps: int, num_samples: int = 64, rate: float = 0.02) -> None:
    """Climb the ELBO by Adam, the rate falling to zero."""
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps))
    optimizer.build(posterior.trainable_variables)

    @tf.function
    def step(seed):
        found = bound_gradients(posterior, target, IMAGE, num_samples, seed, ELBO(), ESTIMATORS["reparameterized"])
        optimizer.apply([-gradient for gradient in found.posterior], posterior.trainable_variables)

    for index in range(steps):
        step(tf.constant([0, index]))


def gap(posterior: Posterior, target: Target) -> tuple[float, np.ndarray]:
    """log p(x) - ELBO in nats by quadrature, and the density of q on the grid."""
    log_q = posterior.log_prob(GRID, IMAGE).numpy()[:, 0].astype(np.float64)
    log_joint = true_log_joint(target)
    log_evidence = np.logaddexp.reduce(log_joint) + np.log(CELL)
    q = np.exp(log_q)
    # Far away log q may be minus infinity.
    divergence = np.where(q > 0.0, q * (np.maximum(log_q, -1e3) - log_joint), 0.0).sum() * CELL
    return float(divergence + log_evidence), q


def true_log_joint(target: Target) -> np.ndarray:
    log_joint = target.log_likelihood(IMAGE, GRID) + target.log_prior(GRID)
    return log_joint.numpy()[:, 0].astype(np.float64)


def make(family: str, **options) -> Posterior:
    posterior = POSTERIORS[family](networks.dense_encoder((16,), seed=1), 2, seed=2, **options)
    posterior.build((None, 1))
    return posterior


def main(args):
    gaps, densities = {}, {}
    for name in TARGETS:
        target = Target(name)
        joint = np.exp(true_log_joint(target))
        densities[name] = {"true": joint / (joint.sum() * CELL)}
        gaps[name] = {}
        for family in args.families:
            posterior = make(family)
            fit(posterior, target, args.steps)
            gaps[name][family], densities[name][family] = gap(posterior, target)
            print(f"{name:<12}{family:<18}{gaps[name][family]:.4f} nats")
    columns = ["true", *args.families]
    figure, axes = plt.subplots(len(TARGETS), len(columns), figsize=(1.6 * len(columns), 3.7), squeeze=False)
    for row, (name, of_target) in zip(axes, densities.items(), strict=True):
        for axis, column in zip(row, columns, strict=True):
            image = of_target[column].reshape(len(TICKS), -1).T
            axis.imshow(image, origin="lower", extent=2 * (TICKS[0], TICKS[-1]), cmap="Blues")
            title = column.replace("_", " ")
            axis.set_title(title if column == "true" else f"{title}\n{gaps[name][column]:.3f}", fontsize=8)
            axis.set_xlim(-3, 3)
            axis.set_ylim(-3, 3)
            axis.set_xticks([])
            axis.set_yticks([])
    figure.tight_layout()
    figure.savefig(args.out, dpi=130)
    storage.write_json(args.out.with_suffix(".json"), {"steps": args.steps, "gap_nats": gaps})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000, help="gradient steps of each family [2000]")
    parser.add_argument("--families", nargs="+", default=[name for name in POSTERIORS if name != "bernoulli"])
    parser.add_argument("--out", type=Path, default=Path("posterior-shapes.png"), help="PNG file")
    main(parser.parse_args())
