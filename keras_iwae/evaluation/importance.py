r"""Negative log-likelihood by importance sampling: $-\log p(x) \le -L_K$, K in the thousands, memory flat in K."""

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_iwae.evaluation.batches import in_batches
from keras_iwae.evaluation.diagnostics.units import active_units
from keras_iwae.evaluation.jackknife import jackknife_correction
from keras_iwae.evaluation.pareto import pareto_k, tail_length
from keras_iwae.evaluation.proposals import Proposal
from keras_iwae.evaluation.result import NLLResult
from keras_iwae.evaluation.streaming import DEFAULT_CHUNK_SIZE, stream_log_weights
from keras_iwae.foundation import Purpose, check_integer, key_for
from keras_iwae.models import IWAE, check_model

# Weights kept of each image at least: the jackknife's correction is then exact to more digits than float32 has.
_FEWEST_KEPT = 64


def curve(num_samples: int) -> list[int]:
    """1, 2, 5, 10, 20, 50, ... below K, and K."""
    steps = (k * 10**power for power in range(len(str(num_samples))) for k in (1, 2, 5))
    return [*(k for k in steps if k < num_samples), num_samples]


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
    resume: str | os.PathLike | None = None,
    verbose: bool = True,
) -> NLLResult:
    r"""Negative log-likelihood of each image, $-L_K = -\log \frac{1}{K} \sum_k p(x, z_k) / q(z_k|x)$, with its errors.

    Every image counts once, those of a short last batch too, and K is exact, multiple of the chunk or not.
    The same seed and batch size give the same draws, so the chunk size changes the result by float32 rounding only.

    Args:
        model: the model.
        data: batches of images in [0, 1], or an array `[N, *event_shape]`. Binarize a test set once, not at each call.
        num_samples: K.
        bounds: further k for which to report the bound L_k from the same draws, averaged over the K // k groups of k;
            those above K are left out. `None` is the curve 1, 2, 5, 10, 20, 50, ... up to K.
        chunk_size: samples of each image decoded together; memory grows with chunk_size * batch_size and not with K.
        batch_size: images in a batch where `data` is an array; `None` is 200.
        seed: seed of the draws.
        proposal_scale: what the posterior's standard deviations are multiplied by for drawing.
        defensive: probability that a draw comes from the prior; the weights follow the mixture.
        resume: file that keeps the results of each batch until all are there. A call that finds those of an interrupted
            one, of the same weights, images and settings, continues it.
        verbose: whether to show progress.

    Returns:
        `NLLResult`; printed, it is a table.

    Raises:
        ValueError: if a number is out of range, the posterior has no density, or the images are not in [0, 1], of
            another shape, or none.

    Example:
        >>> result = importance_weighted_nll(model, keras_iwae.data.load("mnist", "test"), num_samples=5000)
        >>> print(result.nll, result.monte_carlo_error, result.verdict)

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, section 5 (the L_5000 of its tables).
    """
    check_model(model)
    num_samples = check_integer("num_samples", num_samples)
    chunk_size = check_integer("chunk_size", chunk_size)
    wanted = curve(num_samples) if bounds is None else [check_integer("bounds", k) for k in bounds]
    sizes = sorted({k for k in wanted if k < num_samples})
    proposal = Proposal(proposal_scale, defensive)
    proposal.check(model.posterior)
    kept = min(num_samples, max(tail_length(num_samples) + 1, _FEWEST_KEPT))

    def evaluate(x, seed):
        streamed = stream_log_weights(model, x, tf.constant(num_samples), seed, sizes, chunk_size, kept, proposal)
        return streamed, model.posterior.mean(x)

    # Traced once, for batches of any size.
    specs = tf.TensorSpec([None, *model.event_shape]), tf.TensorSpec([2], tf.int32)
    evaluate_batch = model.traced(("nll", num_samples, *sizes, chunk_size, kept, proposal), evaluate, specs)

    def compute(x, seen, advance):
        found = evaluate_batch(x, tf.random.fold_in(key_for(Purpose.IMPORTANCE, seed), seen))
        streamed, means = tf.nest.map_structure(lambda t: t.numpy(), found)
        advance(1)
        return (
            np.vstack([streamed.bounds, streamed.log_likelihood]).T,
            streamed.effective_sample_size,
            pareto_k(streamed.largest, num_samples),
            streamed.log_likelihood + jackknife_correction(num_samples, streamed.largest, streamed.rest),
            means,
        )

    settings = {
        "method": "importance sampling",
        "num_samples": num_samples,
        "bounds": sizes,
        "chunk_size": chunk_size,
        "seed": seed,
        "proposal": [proposal.scale, proposal.defensive],
    }
    found = in_batches(model, data, batch_size, compute, settings, resume, verbose)
    values, ess, tails, corrected, means = found.arrays
    return NLLResult(
        num_samples=num_samples,
        seed=seed,
        bound_per_example=dict(zip([*sizes, num_samples], values.T, strict=True)),
        ess_per_example=ess,
        pareto_k_per_example=tails,
        jackknife_per_example=corrected,
        active_units=int(active_units(means).sum()),
        latent_dim=model.latent_dim,
        proposal=proposal,
        entries_per_example=found.entries,
        discrete=model.generative.likelihood.discrete,
        weights=found.weights,
        cross_entropy=found.fractional and model.generative.likelihood.gives_cross_entropy,
    )
