r"""Negative log-likelihood by annealed importance sampling, a check of the importance-sampled one."""

import math
import os
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from keras_iwae.evaluation.annealing import Annealer, AnnealingSettings
from keras_iwae.evaluation.batches import in_batches
from keras_iwae.evaluation.digests import Judged
from keras_iwae.evaluation.errors import bits_per_dimension, error_of_mean, log_mean_error, standard_error
from keras_iwae.evaluation.places import in_lanes
from keras_iwae.evaluation.spreading import Compute, Spread, elsewhere
from keras_iwae.evaluation.weighted import having_say, mean
from keras_iwae.evaluation.wording import bits_row, finite_or_none, gaps_row, nats, nll_text, quantity
from keras_iwae.foundation import Purpose, check_integer, float32_products, key_for, number_text
from keras_iwae.models import IWAE, check_model

_BATCH_SIZE = 32


@dataclass(frozen=True)
class AnnealedResult:
    """Log-likelihoods by annealed importance sampling, image by image and as a whole.

    Attributes:
        log_likelihood_per_example: log of the mean weight of the chains of each image in nats, `[N]`: a lower bound of
            log p(x) in expectation.
        ess_per_example: effective sample size of each image's chains, `[N]`.
        acceptance_per_example: mean acceptance probability of each image's HMC steps, `[N]`.
        num_chains: C.
        num_temperatures: T.
        num_leapfrog_steps: leapfrog steps of an HMC step.
        initial: "prior" or "posterior", where the chains start.
        seed: seed of the draws.
        entries_per_example: how many entries of each example were observed, `[N]`.
        discrete: whether the likelihood gives probabilities of whole numbers, and not a density.
        weights: of the examples in all means, `[N]`; `None` weighs all alike.
        cross_entropy: whether grey levels were judged by a Bernoulli likelihood, of which it is no density.
        judged: of which model and examples; `None` where nobody knows.
        missingness: whether it is log p(x_obs, s), of which entries s were observed too.
    """

    log_likelihood_per_example: np.ndarray = field(repr=False)
    ess_per_example: np.ndarray = field(repr=False)
    acceptance_per_example: np.ndarray = field(repr=False)
    num_chains: int
    num_temperatures: int
    num_leapfrog_steps: int
    initial: str
    seed: int
    entries_per_example: np.ndarray = field(repr=False)
    discrete: bool = True
    weights: np.ndarray | None = field(default=None, repr=False)
    cross_entropy: bool = False
    judged: Judged | None = field(default=None, repr=False)
    missingness: bool = False

    @property
    def nll(self) -> float:
        """Minus the mean log-likelihood, in nats per image."""
        return -mean(self.log_likelihood_per_example, self.weights)

    @property
    def standard_error(self) -> float:
        """Standard error of `nll` over images, in nats: for other images of the same kind. NaN for a single image."""
        return standard_error(self.log_likelihood_per_example, self.weights)

    @property
    def monte_carlo_error(self) -> float:
        """Standard error of `nll` over chains, in nats: for other chains and the same images. NaN for one chain."""
        return error_of_mean(log_mean_error(self.ess_per_example, self.num_chains), self.weights)

    @property
    def acceptance_rate(self) -> float:
        """Mean acceptance probability of all HMC steps."""
        return mean(self.acceptance_per_example, self.weights)

    @property
    def num_examples(self) -> int:
        """N, the images whose weight is above 0."""
        return len(having_say(self.ess_per_example, self.weights)[0])

    @property
    def bits_per_dimension(self) -> float | None:
        """NLL in bits for each observed entry; `None` for a density, and where gaps have a say too."""
        discrete = self.discrete and not (self.cross_entropy or self.missingness)
        return bits_per_dimension(self.nll, self.entries_per_example, self.weights, discrete)

    def to_dict(self) -> dict:
        """Everything but the per-image arrays, ready for JSON; what is not finite is None."""
        return {
            "nll": finite_or_none(self.nll),
            "quantity": quantity(self.cross_entropy, self.missingness),
            "standard_error": finite_or_none(self.standard_error),
            "monte_carlo_error": finite_or_none(self.monte_carlo_error),
            "bits_per_dimension": finite_or_none(self.bits_per_dimension),
            "acceptance_rate": finite_or_none(self.acceptance_rate),
            "effective_chains": finite_or_none(mean(self.ess_per_example, self.weights)),
            "num_examples": self.num_examples,
            "num_chains": self.num_chains,
            "num_temperatures": self.num_temperatures,
            "num_leapfrog_steps": self.num_leapfrog_steps,
            "initial": self.initial,
            "seed": self.seed,
        }

    def __str__(self) -> str:
        fewest = having_say(self.ess_per_example, self.weights)[0].min()
        effective = number_text(mean(self.ess_per_example, self.weights), ".1f")
        chains = f"mean {effective}, min {number_text(fewest, '.1f')} of {self.num_chains}"
        rows = [
            (
                "cross-entropy, AIS" if self.cross_entropy else "NLL by AIS",
                nll_text(self.nll, self.standard_error, self.num_examples),
            ),
            *gaps_row(self.missingness),
            ("Monte Carlo error", nats(self.monte_carlo_error, ".3f")),
            *bits_row(self.bits_per_dimension),
            ("effective chains", chains),
            ("acceptance", number_text(self.acceptance_rate)),
            ("annealing", f"{self.num_temperatures} temperatures of {self.num_leapfrog_steps} leapfrog steps"),
            ("from", self.initial),
        ]
        return "\n".join(f"{name:<20}{value}" for name, value in rows)


class _Annealing(AnnealingSettings):
    """What is computed of a batch: a `Recipe`."""

    arrays: ClassVar[int] = 3

    def on(self, model: IWAE) -> Compute:
        annealer = Annealer.of(model, self.initial, self.num_leapfrog_steps, self.step_size)

        def annealed(x, places, advance):
            first = places[0]
            key = annealer.key(key_for(Purpose.ANNEALING, self.seed), first)
            pilot_seed, pass_seed = tf.unstack(tf.random.split(key, 2))
            step_sizes = annealer.step_sizes(x, self.num_temperatures, pilot_seed, first)
            found = annealer.forward(x, self.num_chains, step_sizes, pass_seed, advance, first)
            return log_mean_weight(found.log_weights), chain_ess(found.log_weights), found.acceptance

        return in_lanes(annealed)


@float32_products()
def annealed_nll(
    model: IWAE,
    data: Any,
    num_chains: int = 16,
    num_temperatures: int = 1000,
    num_leapfrog_steps: int = 10,
    step_size: float = 0.1,
    initial: str = "prior",
    batch_size: int | None = None,
    seed: int = 0,
    resume: str | os.PathLike | None = None,
    verbose: bool = True,
    spread: Spread | None = None,
) -> AnnealedResult:
    r"""Negative log-likelihood of each image by annealed importance sampling with Hamiltonian Monte Carlo.

    A chain starts at $z_0 \sim f_0$ and moves through $\pi_t(z) \propto f_0(z)^{1 - \beta_t} p(x, z)^{\beta_t}$,
    $\beta_0 = 0, \dots, \beta_T = 1$ on a sigmoidal schedule, by one HMC step each. Its weight

    $$\log w = \sum_{t=1}^{T} (\beta_t - \beta_{t-1}) (\log p(x, z_{t-1}) - \log f_0(z_{t-1}))$$

    has $E[w] = p(x)$, so that the log of the mean over chains is a lower bound of log p(x) on average. From the prior
    it does not depend on the encoder, whose misses are what makes importance sampling fail. Step sizes, one for each
    image and temperature, come from a pilot pass that aims at an acceptance of about 0.65, and stay fixed.

    Args:
        model: the model, of one or several stochastic layers.
        data: batches of images in [0, 1], or an array `[N, *event_shape]`. Binarize a test set once, not at each call.
        num_chains: C, chains for each image.
        num_temperatures: T. An image takes C T (leapfrog steps + 1) gradients of log p(x, z), and the pilot pass, of 8
            chains and 150 steps, 1200 (leapfrog steps + 1) more.
        num_leapfrog_steps: leapfrog steps of an HMC step.
        step_size: where the adaptation of the step size starts.
        initial: "prior" or "posterior", f_0. From the posterior fewer temperatures do, but where it misses a mode the
            chains may miss it too.
        batch_size: images in a batch where `data` is an array; `None` is 32. Chains run for 16 at once.
        seed: seed of the draws.
        resume: file, in a folder that there is, that keeps the results of each batch until all are there. A call that
            finds those of an interrupted one, of the same weights, images and settings, continues it.
        verbose: whether to show progress.
        spread: other processes that compute the batches, as those of `keras_iwae.experiments.worker_processes`.

    Returns:
        `AnnealedResult`; printed, it is a table.

    Raises:
        ValueError: if the latents are discrete, an argument is out of range, or the images are not in [0, 1], of
            another shape, or none.

    Example:
        >>> result = annealed_nll(model, images[:100], num_chains=16, num_temperatures=1000)
        >>> print(result.nll, result.monte_carlo_error, result.acceptance_rate)

    References:
        Neal (2001), Annealed importance sampling.
        Wu, Burda, Salakhutdinov, Grosse (2017), On the quantitative analysis of decoder-based generative models.
    """
    check_model(model)
    settings: dict[str, Any] = {
        "num_chains": check_integer("num_chains", num_chains),
        "num_temperatures": check_integer("num_temperatures", num_temperatures),
        "num_leapfrog_steps": check_integer("num_leapfrog_steps", num_leapfrog_steps),
        "initial": initial,
        "seed": seed,
    }
    recipe = _Annealing(num_chains, num_temperatures, num_leapfrog_steps, step_size, initial, seed)
    stored = {"method": "annealed importance sampling", "draws": "by place", "step_size": step_size, **settings}
    found = in_batches(
        model,
        data,
        batch_size,
        recipe.on(model),
        stored,
        resume,
        verbose,
        _BATCH_SIZE,
        elsewhere=elsewhere(spread, recipe),
    )
    log_likelihood, ess, acceptance = found.arrays
    return AnnealedResult(
        log_likelihood,
        ess,
        acceptance,
        **settings,
        entries_per_example=found.entries,
        discrete=model.generative.likelihood.discrete,
        weights=found.weights,
        cross_entropy=found.fractional and model.generative.likelihood.gives_cross_entropy,
        judged=found.judged,
        missingness=model.generative.missingness is not None,
    )


def log_mean_weight(log_weights: np.ndarray) -> np.ndarray:
    """Log of the mean over chains of weights `[C, B]`, in float64, `[B]`."""
    return np.logaddexp.reduce(log_weights.astype(np.float64), axis=0) - math.log(len(log_weights))


def chain_ess(log_weights: np.ndarray) -> np.ndarray:
    """Effective sample size of the weights `[C, B]` of C chains, `[B]`."""
    weights = log_weights.astype(np.float64)
    size = np.exp(2.0 * np.logaddexp.reduce(weights, axis=0) - np.logaddexp.reduce(2.0 * weights, axis=0))
    return np.clip(size, 1.0, len(weights))
