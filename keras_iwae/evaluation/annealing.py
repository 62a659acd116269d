r"""Annealing by Hamiltonian Monte Carlo, from $f_0$ to the posterior or from an exact sample of it to $f_0$.

tfp.mcmc has a chain of this kind, `sample_annealed_importance_chain`. It has a linear schedule and one step size only,
and its accept step (TFP 0.25) takes the density of the present state at the temperature before, which biases the
weights; hence this loop.

Draws are under a seed and the places of the images among all: an image has the same chains in any batch.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_iwae.evaluation.paths import INITIALS, Path, sigmoidal_schedule
from keras_iwae.evaluation.places import drawn_by_batch, key_of_batch
from keras_iwae.foundation import Places, check_choice, check_positive_float32, having_rows
from keras_iwae.models import IWAE

# Beskos et al. (2013), Optimal tuning of the hybrid Monte Carlo algorithm.
_TARGET_ACCEPTANCE = 0.65
# The pilot pass: its temperatures and chains, steps at its first temperature before it begins, and how much of the
# difference to the target acceptance goes into the logarithm of the step size.
_PILOT_TEMPERATURES, _PILOT_CHAINS, _PILOT_WARMUP, _PILOT_GAIN = 100, 8, 50, 0.5
# Calls that a pass is cut into, so that progress can be shown.
_SEGMENTS = 20


class Annealed(NamedTuple):
    """Log weights of C chains for each image, `[C, B]`, and the mean acceptance probability of their steps, `[B]`."""

    log_weights: np.ndarray
    acceptance: np.ndarray


@dataclass(frozen=True)
class AnnealingSettings:
    """What decides the chains of an evaluation, beside model and images."""

    num_chains: int
    num_temperatures: int
    num_leapfrog_steps: int
    step_size: float
    initial: str
    seed: int


class Annealer:
    """Passes along the path of a model, compiled once for images and chains of any number.

    Args:
        model: the model; its latents must be continuous.
        initial: "prior" or "posterior", f_0.
        num_leapfrog_steps: leapfrog steps of an HMC step.
        step_size: where the adaptation of the step size starts.

    Raises:
        ValueError: if f_0 has no density, or the latents are discrete.
    """

    def __init__(self, model: IWAE, initial: str, num_leapfrog_steps: int, step_size: float):
        if not model.posterior.reparameterized:
            raise ValueError(
                "Invalid value received for `model`. Expected continuous latents, for Hamiltonian Monte Carlo follows "
                f"gradients. Received: one with a {type(model.posterior).__name__}"
            )
        if initial == "posterior" and model.posterior.density != "exact":
            raise ValueError(
                "Invalid value received for `initial`. Expected 'prior' where log q(z|x) is not known. "
                f"Received: {initial!r} with a {type(model.posterior).__name__}"
            )
        self._model, self._initial, self._num_leapfrog_steps = model, initial, num_leapfrog_steps
        self._log_step_size = np.log(step_size)
        x = tf.TensorSpec([None, *model.event_shape])
        z, weights = tf.TensorSpec([None, None, model.latent_dim]), tf.TensorSpec([None, None])
        vector, scalar, seed = tf.TensorSpec([None]), tf.TensorSpec([], tf.int32), tf.TensorSpec([2], tf.int32)
        # Nothing here is Python's control flow of tensors.
        graph = functools.partial(tf.function, autograph=False)

        def placed(function: Callable) -> Callable:
            def at(first, *arguments):
                with having_rows(Places(first)), model.generative.prior.worked_out():
                    return function(*arguments)

            return at

        self._sample_initial = graph(
            placed(lambda x, num_chains, seed: Path(model, initial, x).sample_initial(num_chains, seed)),
            input_signature=[scalar, x, scalar, seed],
        )
        self._pilot = graph(placed(self._pilot_pass), input_signature=[scalar, x, z, vector, vector, seed])
        segment = [scalar, x, z, weights, vector, vector, weights, seed]
        self._forward = graph(placed(self._segment(backward=False)), input_signature=segment)
        self._backward = graph(placed(self._segment(backward=True)), input_signature=segment)

    @classmethod
    def of(cls, model: IWAE, initial: str, num_leapfrog_steps: int, step_size: float) -> "Annealer":
        """The annealer of these settings, the one that there is already if the model has been annealed with them.

        Raises:
            ValueError: if there is no such f_0, `step_size` is not above 0, or they do not go with the model.
        """
        check_choice("initial", initial, INITIALS)
        settings = (initial, num_leapfrog_steps, check_positive_float32("step_size", step_size))
        return model.kept(("annealer", *settings), lambda: cls(model, *settings))

    def key(self, key: tf.Tensor, first: int) -> tf.Tensor:
        """The key `[2]` of a batch whose first image has that place, of that of an evaluation."""
        from_posterior = self._initial == "posterior"
        return key_of_batch(key, first, drawn_by_batch(self._model, from_posterior, not from_posterior))

    def step_sizes(self, x: tf.Tensor, num_temperatures: int, seed: tf.Tensor, first: int = 0) -> np.ndarray:
        """Step size of each image at each temperature, for an acceptance of about 0.65, `[T, B]`.

        They come from chains of their own, so that those of the estimate have steps that do not depend on where they
        are: adapting along the way would bias the weights.

        Args:
            x: images.
            num_temperatures: T.
            seed: int32 `[2]`.
            first: place of the first image among all.
        """
        betas = sigmoidal_schedule(_PILOT_TEMPERATURES)[1:].astype(np.float32)
        betas = np.concatenate([np.full(_PILOT_WARMUP, betas[0]), betas])
        z = self._sample_initial(first, x, _PILOT_CHAINS, tf.random.fold_in(seed, 0))
        start = np.full(len(x), self._log_step_size, np.float32)
        found = self._pilot(first, x, z, betas, start, tf.random.fold_in(seed, 1)).numpy()[_PILOT_WARMUP:]
        here, there = np.linspace(0.0, 1.0, num_temperatures), np.linspace(0.0, 1.0, _PILOT_TEMPERATURES)
        return np.exp(np.stack([np.interp(here, there, image) for image in found.T], axis=1)).astype(np.float32)

    def forward(
        self,
        x: tf.Tensor,
        num_chains: int,
        step_sizes: np.ndarray,
        seed: tf.Tensor,
        advance: Callable[[float], object] = lambda share: None,
        first: int = 0,
    ) -> Annealed:
        """From f_0 to f_1: the mean weight is an unbiased estimate of p(x).

        Args:
            x: images.
            num_chains: C.
            step_sizes: `[T, B]`.
            seed: int32 `[2]`.
            advance: called with each share of the pass that is done.
            first: place of the first image among all.
        """
        z = self._sample_initial(first, x, num_chains, tf.random.fold_in(seed, 0))
        return self._pass(self._forward, first, x, z, step_sizes, slice(None), seed, advance)

    def backward(
        self,
        x: tf.Tensor,
        latents: tf.Tensor,
        num_chains: int,
        step_sizes: np.ndarray,
        seed: tf.Tensor,
        advance: Callable[[float], object] = lambda share: None,
        first: int = 0,
    ) -> Annealed:
        """From f_1 to f_0, from one exact sample of p(z|x) for all chains of an image.

        The mean of one over the weights is an unbiased estimate of 1 / p(x).

        Args:
            x: images.
            latents: exact samples, `[B, D]`.
            num_chains: C.
            step_sizes: `[T, B]`, those of the other direction.
            seed: int32 `[2]`.
            advance: called with each share of the pass that is done.
            first: place of the first image among all.
        """
        z = tf.repeat(latents[tf.newaxis], num_chains, axis=0)
        return self._pass(self._backward, first, x, z, step_sizes, slice(None, None, -1), seed, advance)

    def _pass(self, segment, first, x, z, step_sizes, order: slice, seed, advance) -> Annealed:
        betas = sigmoidal_schedule(len(step_sizes))
        temperatures = list(zip(betas[1:], np.diff(betas), step_sizes, strict=True))[order]
        log_weights, accepted = tf.zeros(tf.shape(z)[:2]), np.zeros(len(x))
        # As even as can be, none empty.
        parts = np.array_split(np.arange(len(betas) - 1), min(_SEGMENTS, len(betas) - 1))
        for number, part in enumerate(parts):
            now = [np.array(column, np.float32) for column in zip(*(temperatures[t] for t in part), strict=True)]
            z, log_weights, acceptance = segment(first, x, z, log_weights, *now, tf.random.fold_in(seed, number + 1))
            accepted += acceptance.numpy()
            advance(1.0 / len(parts))
        return Annealed(log_weights.numpy(), accepted / len(step_sizes))

    def _segment(self, backward: bool) -> Callable:
        def run(x, z, log_weights, betas, increments, step_sizes, seed):
            path = Path(self._model, self._initial, x)

            def one_temperature(t, z, log_weights, accepted):
                if not backward:
                    log_weights += increments[t] * path.log_initial_and_ratio(z)[1]
                step_seed = tf.random.fold_in(seed, t)
                z, acceptance = path.step(z, betas[t], step_sizes[t], self._num_leapfrog_steps, step_seed)
                if backward:
                    log_weights += increments[t] * path.log_initial_and_ratio(z)[1]
                return t + 1, z, log_weights, accepted + acceptance

            start = tf.constant(0), z, log_weights, tf.zeros(tf.shape(x)[:1])
            count = tf.shape(betas)[0]
            return tf.while_loop(lambda t, *_: t < count, one_temperature, start, parallel_iterations=1)[1:]

        return run

    def _pilot_pass(self, x, z, betas, log_step_size, seed) -> tf.Tensor:
        path, count = Path(self._model, self._initial, x), tf.shape(betas)[0]

        def one_temperature(t, z, log_step_size, used):
            step_seed = tf.random.fold_in(seed, t)
            z, acceptance = path.step(z, betas[t], tf.exp(log_step_size), self._num_leapfrog_steps, step_seed)
            following = log_step_size + _PILOT_GAIN * (acceptance - _TARGET_ACCEPTANCE)
            return t + 1, z, following, used.write(t, log_step_size)

        used = tf.TensorArray(tf.float32, count, element_shape=log_step_size.shape)
        start = tf.constant(0), z, log_step_size, used
        end = tf.while_loop(lambda t, *_: t < count, one_temperature, start, parallel_iterations=1)
        return end[3].stack()
