r"""The path that annealing follows, $\pi_\beta(z) \propto f_0(z) (f_1(z) / f_0(z))^\beta$, and steps along it.

$f_1 = p(x, z)$, and $f_0$ is the prior or the posterior q(z|x), both normalized.
"""

import numpy as np
import tensorflow as tf

from keras_iwae.evaluation.hamiltonian import hamiltonian_step
from keras_iwae.foundation import drawn_for_rows
from keras_iwae.models import IWAE

INITIALS = ("prior", "posterior")


def sigmoidal_schedule(num_temperatures: int, steepness: float = 4.0) -> np.ndarray:
    r"""Inverse temperatures $\beta_0 = 0, \dots, \beta_T = 1$, close together at both ends.

    $\beta_t = (s_t - s_0) / (s_T - s_0)$ with $s_t = \sigma(\delta (2 t / T - 1))$.

    Args:
        num_temperatures: T.
        steepness: delta.

    Returns:
        float64 `[T + 1]`.

    References:
        Wu, Burda, Salakhutdinov, Grosse (2017), On the quantitative analysis of decoder-based generative models.
    """
    s = 1.0 / (1.0 + np.exp(-steepness * np.linspace(-1.0, 1.0, num_temperatures + 1)))
    return (s - s[0]) / (s[-1] - s[0])


class Path:
    """The path for images `[B, *event_shape]`; latents are `[C, B, D]`."""

    def __init__(self, model: IWAE, initial: str, x: tf.Tensor):
        self._generative, self._x = model.generative, x
        # Once, and not at every gradient.
        self._log_likelihood = model.generative.log_likelihood_of(x)
        self._posterior = model.posterior.distribution(x) if initial == "posterior" else None

    def sample_initial(self, num_chains: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draws of f_0, `[C, B, D]`."""
        if self._posterior is not None:
            return self._posterior.sample([num_chains], seed=seed)
        return drawn_for_rows(self._generative.prior.sample, num_chains, tf.shape(self._x)[0], seed)

    def log_initial_and_ratio(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """log f_0(z) and log f_1(z) / f_0(z) in nats, `[C, B]` each."""
        log_likelihood, log_prior = self._log_likelihood(z), self._generative.log_prior(z)
        if self._posterior is None:
            return log_prior, log_likelihood
        log_posterior = self._posterior.log_prob(z)
        return log_posterior, log_likelihood + log_prior - log_posterior

    def step(self, z: tf.Tensor, beta: tf.Tensor, step_size: tf.Tensor, num_leapfrog_steps: int, seed: tf.Tensor):
        """One HMC step at `beta` with a step size `[B]`: the next state, and the acceptance probability `[B]`."""

        def log_density(z):
            log_initial, log_ratio = self.log_initial_and_ratio(z)
            return log_initial + beta * log_ratio

        z, accepted = hamiltonian_step(log_density, z, step_size, num_leapfrog_steps, seed)
        return z, tf.reduce_mean(accepted, axis=0)
