"""Simulation-based calibration: data that the model makes itself, whose latents are known, against its posterior."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_iwae.evaluation.diagnostics.ranks import RankCalibration
from keras_iwae.evaluation.resampling import resampling_graph
from keras_iwae.foundation import Purpose, check_callable, check_integer, float32_products, key_for
from keras_iwae.models import LatentModel, check_model
from keras_iwae.posteriors import check_density

# Simulations that are worked on at once.
_TOGETHER = 100


@float32_products()
def simulation_based_calibration(
    model: LatentModel,
    num_simulations: int = 400,
    num_samples: int = 50,
    num_draws: int = 19,
    seed: int = 0,
    progress: Callable[[int], object] = lambda done: None,
) -> RankCalibration:
    r"""Ranks of the latents that made simulated data among draws of the posterior given these data.

    $z^* \sim p(z)$, $x \sim p(x|z^*)$, $z_1, ..., z_L \sim q_{EW}(z|x)$, which with K = 1 is q(z|x) and for large K is
    the true posterior: $r_d = \#\{l : z_{l,d} < z^*_d\}$ for each latent unit, and the same of $\log p(x, z)$. Where
    inference is right each rank is uniform on 0, ..., L. Ranks of units alone could not tell the posterior from the
    prior, which has uniform ranks too; that of the joint density can.

    It is inference that is judged, under the model as it is, and not whether the model is right about data.

    Args:
        model: the model; its posterior has a density.
        num_simulations: N.
        num_samples: K, samples of q that each draw is chosen from.
        num_draws: L, draws of the posterior for each simulation.
        seed: the same seed gives the same ranks.
        progress: called with the number of simulations that each step has finished.

    Returns:
        `RankCalibration` of the D latent units and of log p(x, z), the last column.

    Raises:
        ValueError: if a count is below 1, or the posterior has no density.

    Example:
        >>> found = simulation_based_calibration(model)
        >>> found.off.sum(), found.excesses[:-1].max()

    References:
        Talts, Betancourt, Simpson, Vehtari, Gelman (2018), Validating Bayesian inference algorithms with
        simulation-based calibration, algorithm 1.
        Modrák, Moon, Kim, Bürkner, Huurre, Faltejsková, Gelman, Vehtari (2023), Simulation-based calibration checking
        for Bayesian computation: the choice of test quantities shapes sensitivity, section 4 (log p(x, z)).
        Cremer, Morris, Duvenaud (2017), Reinterpreting importance-weighted autoencoders (q_EW).
    """
    check_model(model)
    check_callable("progress", progress)
    num_simulations = check_integer("num_simulations", num_simulations)
    num_samples, num_draws = check_integer("num_samples", num_samples), check_integer("num_draws", num_draws)
    check_density(model.posterior)
    model.check_finite()
    generative = model.generative
    data_key, draw_key, tie_key = tf.unstack(tf.random.split(key_for(Purpose.CALIBRATION, seed), 3))
    made = generative.sample(num_simulations, data_key)
    draw, counts = resampling_graph(model), (tf.constant(num_draws), tf.constant(num_samples))
    below, equal = [], []
    for first in range(0, num_simulations, _TOGETHER):
        x, z = (part[first : first + _TOGETHER] for part in (made.events, made.latents))
        drawn = draw(x, *counts, tf.random.fold_in(draw_key, first))
        whole, each = (
            np.concatenate([values, generative.log_joint(x, values)[..., tf.newaxis]], axis=-1)
            for values in (z[tf.newaxis], drawn)
        )
        below.append((each < whole).sum(axis=0))
        equal.append((each == whole).sum(axis=0))
        progress(len(x))
    # Of values that are equal, as those of binary units are, one is as likely to come before as after.
    shares = tf.random.stateless_uniform([num_simulations, model.latent_dim + 1], tie_key).numpy()
    ties = np.concatenate(equal)
    return RankCalibration(np.concatenate(below) + np.floor(shares * (ties + 1)).astype(int), num_draws)
