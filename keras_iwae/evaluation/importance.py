r"""Negative log-likelihood by importance sampling: $-\log p(x) \le -L_K$, K in the thousands, memory flat in K."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from keras_iwae.evaluation.batches import in_batches
from keras_iwae.evaluation.jackknife import jackknife_correction
from keras_iwae.evaluation.pareto import pareto_k, tail_length
from keras_iwae.evaluation.places import in_lanes
from keras_iwae.evaluation.proposals import Proposal
from keras_iwae.evaluation.result import NLLResult
from keras_iwae.evaluation.spreading import Compute, Spread, elsewhere
from keras_iwae.evaluation.streaming import DEFAULT_CHUNK_SIZE, stream_log_weights
from keras_iwae.foundation import MARK, Purpose, check_integer, float32_products, key_for
from keras_iwae.models import IWAE, check_model

# Weights kept of each image at least: the jackknife's correction is then exact to more digits than float32 has.
_FEWEST_KEPT = 64


def curve(num_samples: int) -> list[int]:
    """1, 2, 5, 10, 20, 50, ... below K, and K."""
    steps = (k * 10**power for power in range(len(str(num_samples))) for k in (1, 2, 5))
    return [*(k for k in steps if k < num_samples), num_samples]


@dataclass(frozen=True)
class _Weighing:
    """What is computed of a batch: a `Recipe`."""

    arrays: ClassVar[int] = 5
    num_samples: int
    sizes: tuple[int, ...]
    chunk_size: int
    seed: int
    proposal: Proposal

    def on(self, model: IWAE) -> Compute:
        num_samples, proposal = self.num_samples, self.proposal
        kept = min(num_samples, max(tail_length(num_samples) + 1, _FEWEST_KEPT))

        def evaluate(x, key, indices):
            seed, rows = proposal.seed(model, key, indices)
            streamed = stream_log_weights(
                model, x, tf.constant(num_samples), seed, self.sizes, self.chunk_size, kept, proposal, rows
            )
            return streamed, model.posterior.mean(x)

        numbers = tf.TensorSpec([2], tf.int32), tf.TensorSpec([None], tf.int32)
        specs = tf.TensorSpec([None, *model.event_shape]), *numbers
        settings = ("nll", num_samples, *self.sizes, self.chunk_size, kept, proposal)
        key = key_for(Purpose.REFINED if proposal.fitted else Purpose.IMPORTANCE, self.seed)

        def weighed(x, places, advance):
            # Traced once, for batches of any size, and not at all where other processes compute.
            found = model.traced(settings, evaluate, specs)(x, key, tf.constant(places, tf.int32))
            streamed, means = tf.nest.map_structure(lambda t: t.numpy(), found)
            advance(1)
            return (
                np.vstack([streamed.bounds, streamed.log_likelihood]).T,
                streamed.effective_sample_size,
                pareto_k(streamed.largest, num_samples),
                streamed.log_likelihood + jackknife_correction(num_samples, streamed.largest, streamed.rest),
                means,
            )

        if proposal.fitted:
            # Fitting makes more of a difference in rounding than weighing does.
            return in_lanes(weighed, at_once=2)
        return lambda x, seen, advance: weighed(x, seen + np.arange(len(x)), advance)


@float32_products()
def importance_weighted_nll(
    model: IWAE,
    data: Any,
    num_samples: int = 5000,
    bounds: Iterable[int] | None = None,
    chunk_size: int = DEFAULT_CHUNK_SIZE,
    batch_size: int | None = None,
    seed: int = 0,
    proposal_scale: float = 1.0,
    defensive: float = 0.0,
    proposal: str = "amortized",
    resume: str | os.PathLike | None = None,
    verbose: bool = True,
    first: int | None = None,
    spread: Spread | None = None,
) -> NLLResult:
    r"""Negative log-likelihood of each image, $-L_K = -\log \frac{1}{K} \sum_k p(x, z_k) / q(z_k|x)$, with its errors.

    Every image counts once, those of a short last batch too, and K is exact, multiple of the chunk or not.
    An image's draws are a function of (seed, its place among the images, sample), so that chunks, batches and shards
    change the result by float32 rounding only.

    `proposal="refined"` draws from p(z|x)'s own modes and curvature, and "adapted" from what a few rounds of draws and
    slopes make of these; see `keras_iwae.evaluation.refined`. Few samples of theirs, 500, say more than 5000 of the
    encoder's. What is fitted is fitted to other draws than those that are reported. So E[w] = p(x), and by Jensen's
    inequality the mean of L_K is below log p(x), whichever the proposal (Burda et al. 2015, theorem 1; Owen and Zhou
    2000).

    Args:
        model: the model.
        data: batches of images in [0, 1], or an array `[N, *event_shape]`. Binarize a test set once, not at each call.
        num_samples: K.
        bounds: further k for which to report the bound L_k from the same draws, averaged over the K // k groups of k;
            each at most K. `None` is the curve 1, 2, 5, 10, 20, 50, ... up to K.
        chunk_size: samples of each image decoded together; memory grows with chunk_size * batch_size and not with K.
        batch_size: images in a batch where `data` is an array; `None` is 200.
        seed: seed of the draws.
        proposal_scale: what the posterior's standard deviations are multiplied by for drawing.
        defensive: probability that a draw comes from the prior; the weights follow the mixture.
        proposal: "amortized", the posterior, as the two arguments before say; "refined" or "adapted", fitted to each
            image, for continuous latents.
        resume: file, in a folder that there is, that keeps the results of each batch until all are there. A call that
            finds those of an interrupted one, of the same weights, images and settings, continues it.
        verbose: whether to show progress.
        first: the place of the first image among all, where `data` is a shard of them, 0 for the first shard; a
            multiple of the batch size where a class of one's own draws, which knows no places. Such shards have the
            numbers of the whole; `NLLResult.join` puts them together. All weights of a shard may be 0, and its means
            are then NaN. `None` is for all images.
        spread: other processes that compute the batches, as those of `keras_iwae.experiments.worker_processes`.

    Returns:
        `NLLResult`; printed, it is a table.

    Raises:
        ValueError: if a number is out of range, `first` is within a batch of the whole, the posterior has no density,
            the latents are discrete and the proposal is fitted, or the images are not in [0, 1], of another shape, or
            none.

    Example:
        >>> result = importance_weighted_nll(model, images, num_samples=5000)
        >>> print(result.nll, result.monte_carlo_error, result.verdict)
        >>> importance_weighted_nll(model, images, num_samples=500, proposal="adapted")

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, theorem 1; section 5 (the
            L_5000 of its tables).
        Owen, Zhou (2000), Safe and effective importance sampling.
    """
    check_model(model)
    num_samples = check_integer("num_samples", num_samples)
    chunk_size = check_integer("chunk_size", chunk_size)
    if bounds is not None and not isinstance(bounds, Iterable):
        raise ValueError(f"{MARK}bounds`. Expected several numbers of samples, as (1, 10). Received: {bounds!r}")
    wanted = curve(num_samples) if bounds is None else [check_integer("bounds", k, at_most=num_samples) for k in bounds]
    sizes = sorted({k for k in wanted if k < num_samples})
    drawn_from = Proposal(proposal_scale, defensive, proposal)
    drawn_from.check(model.posterior)
    # A place, and those behind it, are numbers of int32.
    if first is not None:
        check_integer("first", first, at_least=0, at_most=2**30)
    recipe = _Weighing(num_samples, tuple(sizes), chunk_size, seed, drawn_from)
    settings = {
        "method": "importance sampling",
        "num_samples": num_samples,
        "bounds": sizes,
        "chunk_size": chunk_size,
        "seed": seed,
        "draws": "by place",
        "proposal": [drawn_from.kind, drawn_from.scale, drawn_from.defensive],
        # What was fitted with another effort is another proposal.
        "decoder_evaluations": drawn_from.evaluations(num_samples, model.latent_dim),
    }
    by_batch = drawn_from.by_batch(model)
    found = in_batches(
        model,
        data,
        batch_size,
        recipe.on(model),
        settings,
        resume,
        verbose,
        first=first,
        by_batch=by_batch,
        elsewhere=elsewhere(spread, recipe),
    )
    values, ess, tails, corrected, means = found.arrays
    return NLLResult(
        num_samples=num_samples,
        seed=seed,
        bound_per_example=dict(zip([*sizes, num_samples], values.T, strict=True)),
        ess_per_example=ess,
        pareto_k_per_example=tails,
        jackknife_per_example=corrected,
        means_per_example=means,
        latent_dim=model.latent_dim,
        proposal=drawn_from,
        entries_per_example=found.entries,
        discrete=model.generative.likelihood.discrete,
        weights=found.weights,
        cross_entropy=found.fractional and model.generative.likelihood.gives_cross_entropy,
        first=first or 0,
        judged=found.judged,
        batch_size=found.batch_size if by_batch else None,
        discrete_latents=not model.posterior.reparameterized,
        missingness=model.generative.missingness is not None,
    )
