r"""Bidirectional Monte Carlo: log p(x) between two bounds, on images drawn from the model, and where $L_K$ lies."""

import os
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from keras_iwae.evaluation.annealed import log_mean_weight
from keras_iwae.evaluation.annealing import Annealer, AnnealingSettings
from keras_iwae.evaluation.batches import in_batches
from keras_iwae.evaluation.errors import standard_error
from keras_iwae.evaluation.importance import importance_weighted_nll
from keras_iwae.evaluation.places import in_lanes
from keras_iwae.evaluation.spreading import Compute, Spread, elsewhere
from keras_iwae.evaluation.wording import finite_or_none, gaps_row, nats, quantity
from keras_iwae.foundation import (
    Purpose,
    check_boolean,
    check_file,
    check_integer,
    float32_products,
    key_for,
    number_text,
)
from keras_iwae.models import IWAE, Samples, check_model


@dataclass(frozen=True)
class BidirectionalResult:
    """Two bounds of log p(x) on simulated images, and the importance-sampled bound of the same images, in nats.

    Attributes:
        lower_per_example: by annealing from f_0 to the posterior, `[N]`; at most log p(x) on average.
        upper_per_example: by annealing from an exact sample of p(z|x) to f_0, `[N]`; at least log p(x) on average.
        importance_per_example: L_K, `[N]`.
        acceptance_rate: mean acceptance probability of all HMC steps.
        num_samples: K.
        num_chains: C.
        num_temperatures: T.
        num_leapfrog_steps: leapfrog steps of an HMC step.
        initial: "prior" or "posterior", f_0.
        seed: seed of the images and the draws.
        missingness: whether it is log p(x, s), of which entries s were observed too: here all.
    """

    lower_per_example: np.ndarray = field(repr=False)
    upper_per_example: np.ndarray = field(repr=False)
    importance_per_example: np.ndarray = field(repr=False)
    acceptance_rate: float
    num_samples: int
    num_chains: int
    num_temperatures: int
    num_leapfrog_steps: int
    initial: str
    seed: int
    missingness: bool = False

    @property
    def lower(self) -> float:
        """Mean lower bound of log p(x), in nats."""
        return float(self.lower_per_example.mean(dtype=np.float64))

    @property
    def upper(self) -> float:
        """Mean upper bound of log p(x), in nats."""
        return float(self.upper_per_example.mean(dtype=np.float64))

    @property
    def gap(self) -> float:
        """Mean of the upper less the lower bound, in nats: more than the error of annealing, on average."""
        return self.upper - self.lower

    @property
    def importance_gap(self) -> tuple[float, float]:
        """Between what two values log p(x) - L_K lies on average, in nats: by the lower and by the upper bound."""
        importance = float(self.importance_per_example.mean(dtype=np.float64))
        return self.lower - importance, self.upper - importance

    def to_dict(self) -> dict:
        """Everything but the per-image arrays, ready for JSON; what is not finite is None."""
        lower, upper, importance = self.lower_per_example, self.upper_per_example, self.importance_per_example

        # Infinity less infinity is no number, and no news.
        with np.errstate(invalid="ignore"):
            gap, at_least, at_most = upper - lower, lower - importance, upper - importance

        def mean_and_error(values):
            return {
                "mean": finite_or_none(values.mean(dtype=np.float64)),
                "standard_error": finite_or_none(standard_error(values)),
            }

        return {
            "quantity": quantity(False, self.missingness),
            "lower_bound": mean_and_error(lower),
            "upper_bound": mean_and_error(upper),
            "gap": mean_and_error(gap),
            "importance_bound": mean_and_error(importance),
            "importance_gap_at_least": mean_and_error(at_least),
            "importance_gap_at_most": mean_and_error(at_most),
            "acceptance_rate": finite_or_none(self.acceptance_rate),
            "num_examples": len(lower),
            "num_samples": self.num_samples,
            "num_chains": self.num_chains,
            "num_temperatures": self.num_temperatures,
            "num_leapfrog_steps": self.num_leapfrog_steps,
            "initial": self.initial,
            "seed": self.seed,
        }

    def __str__(self) -> str:
        record = self.to_dict()

        def of(name):
            entry = record[name]
            error = entry["standard_error"]
            return nats(entry["mean"]) + ("" if error is None else f" (standard error {error:.2f})")

        rows = [
            ("simulated images", f"{len(self.lower_per_example)}"),
            *gaps_row(self.missingness),
            ("AIS, lower bound", of("lower_bound")),
            ("AIS, upper bound", of("upper_bound")),
            ("gap", of("gap")),
            (f"L_{self.num_samples}", of("importance_bound")),
            ("  below log p(x) by", f"at least {of('importance_gap_at_least')}"),
            ("", f"at most {of('importance_gap_at_most')}"),
            ("acceptance", number_text(self.acceptance_rate)),
        ]
        return "\n".join(f"{name:<20}{value}" for name, value in rows)


@dataclass(frozen=True)
class _BothWays(AnnealingSettings):
    """What is computed of a batch of images that the model draws: a `Recipe`."""

    arrays: ClassVar[int] = 3
    num_examples: int

    def drawn(self, model: IWAE) -> Samples:
        return model.generative.sample(self.num_examples, key_for(Purpose.SIMULATED, self.seed))

    def on(self, model: IWAE) -> Compute:
        annealer = Annealer.of(model, self.initial, self.num_leapfrog_steps, self.step_size)
        # Drawn anew and not sent: an exact sample of p(z|x) has no place among what is judged.
        exact = self.drawn(model).latents

        def both_ways(x, places, advance):
            first, latents = places[0], tf.gather(exact, places)
            key = annealer.key(key_for(Purpose.BIDIRECTIONAL, self.seed), first)
            pilot_seed, forward_seed, backward_seed = tf.unstack(tf.random.split(key, 3))
            step_sizes = annealer.step_sizes(x, self.num_temperatures, pilot_seed, first)

            def half(share):
                advance(0.5 * share)

            lower = annealer.forward(x, self.num_chains, step_sizes, forward_seed, half, first)
            upper = annealer.backward(x, latents, self.num_chains, step_sizes, backward_seed, half, first)
            bounds = log_mean_weight(lower.log_weights), -log_mean_weight(-upper.log_weights)
            return *bounds, 0.5 * (lower.acceptance + upper.acceptance)

        return in_lanes(both_ways)


@float32_products()
def bidirectional_gap(
    model: IWAE,
    num_examples: int = 100,
    num_samples: int = 5000,
    num_chains: int = 16,
    num_temperatures: int = 1000,
    num_leapfrog_steps: int = 10,
    step_size: float = 0.1,
    initial: str = "prior",
    batch_size: int = 32,
    seed: int = 0,
    resume: str | os.PathLike | None = None,
    verbose: bool = True,
    spread: Spread | None = None,
) -> BidirectionalResult:
    r"""Bound log p(x) from both sides on images drawn from the model, and see how far below it $L_K$ is.

    With (z, x) drawn from the model, z is an exact sample of p(z|x). Annealing from it to $f_0$, in the order of
    `annealed_nll` reversed, gives weights with $E[1/w] = 1/p(x)$, so that $-\log \frac{1}{C} \sum_c 1/w_c$ is at least
    log p(x) on average, as the forward estimate is at most that.

    Args:
        model: the model, of one or several stochastic layers.
        num_examples: N, images to draw.
        num_samples: K of the importance-sampled bound on the same images.
        num_chains: C, chains for each image and direction.
        num_temperatures: T.
        num_leapfrog_steps: leapfrog steps of an HMC step.
        step_size: where the adaptation of the step size starts.
        initial: "prior" or "posterior", f_0.
        batch_size: images in a batch.
        seed: seed of the images and the draws.
        resume: file that keeps the results of each batch until all are there; see `annealed_nll`.
        verbose: whether to show progress.
        spread: other processes that compute the batches, as those of `keras_iwae.experiments.worker_processes`.

    Returns:
        `BidirectionalResult`; printed, it is a table. What it says holds for the model's own images; those of a data
        set that the model fits badly may have posteriors that are harder.

    Raises:
        ValueError: if the latents are discrete, an argument is out of range, or `resume` is in no folder.

    Example:
        >>> result = bidirectional_gap(model, num_examples=20)
        >>> print(result.gap, result.importance_gap)

    References:
        Grosse, Ghahramani, Adams (2015), Sandwiching the marginal likelihood using bidirectional Monte Carlo.
    """
    check_model(model)
    settings: dict[str, Any] = {
        "num_samples": check_integer("num_samples", num_samples),
        "num_chains": check_integer("num_chains", num_chains),
        "num_temperatures": check_integer("num_temperatures", num_temperatures),
        "num_leapfrog_steps": check_integer("num_leapfrog_steps", num_leapfrog_steps),
        "initial": initial,
        "seed": seed,
    }
    model.check_finite()
    check_boolean("verbose", verbose)
    recipe = _BothWays(
        num_chains,
        num_temperatures,
        num_leapfrog_steps,
        step_size,
        initial,
        seed,
        check_integer("num_examples", num_examples),
    )
    compute = recipe.on(model)
    check_integer("batch_size", batch_size)
    if resume is not None:
        # Before what comes first, and is none of its business.
        check_file("resume", resume)
    stored = {"method": "bidirectional Monte Carlo", "draws": "by place", "step_size": step_size, **settings}
    images = recipe.drawn(model).events.numpy()
    # First, for it takes little: what is interrupted after it has all that annealing gave so far in `resume`.
    importance = importance_weighted_nll(model, images, num_samples, bounds=(), seed=seed, verbose=False, spread=spread)
    found = in_batches(model, images, batch_size, compute, stored, resume, verbose, elsewhere=elsewhere(spread, recipe))
    lower, upper, acceptance = found.arrays
    return BidirectionalResult(
        lower,
        upper,
        importance.log_likelihood_per_example,
        float(acceptance.mean()),
        missingness=importance.missingness,
        **settings,
    )
