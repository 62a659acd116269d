"""Log-likelihoods of a run by every estimator there is, each kept in its `metrics.json`."""

import os
import time

import numpy as np

from keras_iwae.evaluation import (
    AnnealedResult,
    BidirectionalResult,
    NLLResult,
    SumoResult,
    annealed_nll,
    bidirectional_gap,
    importance_weighted_nll,
    sumo_nll,
)
from keras_iwae.experiments.evaluation_target import Subject, is_less, path_of
from keras_iwae.experiments.workers import Workers, check_workers
from keras_iwae.foundation import check_ending, check_file
from keras_iwae.training import runs

_BATCH_SIZE = 200
# Of whose images each has several chains.
_ANNEALED_BATCH_SIZE = 32


def evaluate(
    model: str | os.PathLike | None = None,
    num_samples: int = 5000,
    dataset: str | None = None,
    split: str = "test",
    limit: int | None = None,
    chunk_size: int = 25,
    seed: int = 0,
    proposal_scale: float = 1.0,
    defensive: float = 0.0,
    proposal: str = "amortized",
    per_example: str | os.PathLike | None = None,
    verbose: bool = True,
    workers: Workers | None = None,
) -> tuple[NLLResult, dict]:
    """Evaluate a run on a split of its data set and keep the result in the run's `metrics.json`.

    It is `nll_SPLIT` there, and `nll_refined_SPLIT` or `nll_adapted_SPLIT` with such a proposal, so that the published
    convention keeps its name; on another data set `nll_on_NAME_SPLIT`, where NAME has a digest of a file's examples.
    The run folder also gets `per-example-SPLIT.npz`, or `per-example-refined-SPLIT.npz`: `log_likelihood`, `jackknife`,
    `effective_sample_size` and `pareto_k` `[N]`, `bounds` `[G, N]` of the `group_sizes` `[G]`, and `images_sha256`,
    which tells whether two such files are of the same images. An interrupted evaluation continues when the same is
    asked for again.

    Args:
        model: run folder or `.keras` file; `None` is the newest run.
        num_samples: K.
        dataset: a name or file for `keras_iwae.data.load`; `None` is what the run was trained on.
        split: "train", "validation" or "test".
        limit: only the first so many images.
        chunk_size: samples of an image decoded together.
        seed: of the draws and of the binarization.
        proposal_scale: what the posterior's standard deviations are multiplied by for drawing.
        defensive: probability that a draw comes from the prior.
        proposal: "amortized", "refined" or "adapted"; see `keras_iwae.evaluation.importance_weighted_nll`.
        per_example: a further .npz file for the arrays of each image, in a folder that there is.
        verbose: whether to show progress.
        workers: processes that compute the batches, of `worker_processes`; `None` is this one.

    Returns:
        the result, and a record of it for JSON that says what was evaluated and how long it took.

    Raises:
        ValueError: if there is no such model, data set or split, a number is out of range, or a file is no .npz.
    """
    check_workers(workers)
    if per_example is not None:
        check_file("per_example", check_ending("per_example", per_example, ".npz"))
    # Of other processes' batches all are given to them at once.
    together = workers is not None
    subject = Subject.open(model, dataset, split, limit, seed, None if together else _BATCH_SIZE)
    begin = time.perf_counter()
    result = importance_weighted_nll(
        subject.model,
        subject.images,
        num_samples,
        chunk_size=chunk_size,
        batch_size=subject.batch_size(_BATCH_SIZE),
        seed=seed,
        proposal_scale=proposal_scale,
        defensive=defensive,
        proposal=proposal,
        resume=subject.partial(f"nll{_kind(proposal, '-')}"),
        verbose=verbose,
        spread=None if workers is None else workers.of(subject.path, subject.model),
    )
    record = {**subject.record(), **result.to_dict(), "seconds": round(time.perf_counter() - begin, 1)}
    arrays = {
        "log_likelihood": result.log_likelihood_per_example,
        "jackknife": result.jackknife_per_example,
        "effective_sample_size": result.ess_per_example,
        "pareto_k": result.pareto_k_per_example,
        "group_sizes": np.array(list(result.bound_per_example)),
        "bounds": np.stack(list(result.bound_per_example.values())),
    }
    subject.keep(f"nll{_kind(proposal, '_')}", record, f"per-example{_kind(proposal, '-')}", arrays)
    if per_example is not None:
        subject.write_arrays(per_example, arrays)
    return result, record


def _kind(proposal: str, separator: str) -> str:
    """What is added to the names of what is kept: nothing where the posterior is the proposal, as is published."""
    return "" if proposal == "amortized" else separator + proposal


def evaluate_annealed(
    model: str | os.PathLike | None = None,
    dataset: str | None = None,
    split: str = "test",
    limit: int | None = None,
    seed: int = 0,
    verbose: bool = True,
    workers: Workers | None = None,
    **settings,
) -> tuple[AnnealedResult, dict]:
    """Evaluate a run by annealed importance sampling and keep the result as `ais_SPLIT` in the run's `metrics.json`.

    The run folder also gets `per-example-ais-SPLIT.npz`: `log_likelihood`, `effective_sample_size` of the chains and
    `acceptance_rate` `[N]`, and `images_sha256`. An interrupted evaluation continues when the same is asked for again.

    Args:
        model: run folder or `.keras` file; `None` is the newest run.
        dataset: a name or file for `keras_iwae.data.load`; `None` is what the run was trained on.
        split: "train", "validation" or "test".
        limit: only the first so many images.
        seed: of the draws and of the binarization.
        verbose: whether to show progress.
        workers: processes that compute the batches, of `worker_processes`; `None` is this one.
        **settings: for `keras_iwae.evaluation.annealed_nll`.

    Returns:
        the result, and a record of it for JSON that says what was evaluated and how long it took.

    Raises:
        ValueError: if there is no such model, data set or split, the latents are discrete, or a number is out of range.
    """
    check_workers(workers)
    together = workers is not None
    subject = Subject.open(model, dataset, split, limit, seed, None if together else _ANNEALED_BATCH_SIZE)
    begin = time.perf_counter()
    result = annealed_nll(
        subject.model,
        subject.images,
        seed=seed,
        resume=subject.partial("ais"),
        verbose=verbose,
        spread=None if workers is None else workers.of(subject.path, subject.model),
        **settings,
    )
    record = {**subject.record(), **result.to_dict(), "seconds": round(time.perf_counter() - begin, 1)}
    arrays = {
        "log_likelihood": result.log_likelihood_per_example,
        "effective_sample_size": result.ess_per_example,
        "acceptance_rate": result.acceptance_per_example,
    }
    subject.keep("ais", record, "per-example-ais", arrays)
    return result, record


def evaluate_sumo(
    model: str | os.PathLike | None = None,
    dataset: str | None = None,
    split: str = "test",
    limit: int | None = None,
    seed: int = 0,
    verbose: bool = True,
    **settings,
) -> tuple[SumoResult, dict]:
    """Evaluate a run by SUMO and keep the result as `sumo_SPLIT` in the run's `metrics.json`.

    The run folder also gets `per-example-sumo-SPLIT.npz`: `log_likelihood` and `variance` `[N]`, and `images_sha256`.

    Args:
        model: run folder or `.keras` file; `None` is the newest run.
        dataset: a name or file for `keras_iwae.data.load`; `None` is what the run was trained on.
        split: "train", "validation" or "test".
        limit: only the first so many images.
        seed: of the draws and of the binarization.
        verbose: whether to show progress.
        **settings: for `keras_iwae.evaluation.sumo_nll`.

    Returns:
        the result, and a record of it for JSON that says what was evaluated and how long it took.

    Raises:
        ValueError: if there is no such model, data set or split, or a number is out of range.
    """
    subject = Subject.open(model, dataset, split, limit, seed, _BATCH_SIZE)
    begin = time.perf_counter()
    result = sumo_nll(
        subject.model, subject.images, seed=seed, resume=subject.partial("sumo"), verbose=verbose, **settings
    )
    record = {**subject.record(), **result.to_dict(), "seconds": round(time.perf_counter() - begin, 1)}
    arrays = {"log_likelihood": result.log_likelihood_per_example, "variance": result.variance_per_example}
    subject.keep("sumo", record, "per-example-sumo", arrays)
    return result, record


def evaluate_bidirectional(
    model: str | os.PathLike | None = None, verbose: bool = True, workers: Workers | None = None, **settings
) -> tuple[BidirectionalResult, dict]:
    """Bound log p(x) from both sides on images of the run's own and keep the result as `bdmc` in its `metrics.json`.

    Args:
        model: run folder or `.keras` file; `None` is the newest run.
        verbose: whether to show progress.
        workers: processes that compute the batches, of `worker_processes`; `None` is this one.
        **settings: for `keras_iwae.evaluation.bidirectional_gap`.

    Returns:
        the result, and a record of it for JSON that says how long it took.

    Raises:
        ValueError: if there is no such model, the latents are discrete, or a number is out of range.
    """
    check_workers(workers)
    path = path_of(model)
    digest, trained = runs.digest(path), runs.load_model(path)
    begin = time.perf_counter()
    partial = path / "partial-bdmc.npz" if path.is_dir() else None
    spread = None if workers is None else workers.of(path, trained)
    result = bidirectional_gap(trained, resume=partial, verbose=verbose, spread=spread, **settings)
    record = {
        "model": path.name,
        "model_digest": digest,
        **result.to_dict(),
        "seconds": round(time.perf_counter() - begin, 1),
    }
    if path.is_dir() and not is_less(path, "bdmc", record):
        runs.update_metrics(path, {"bdmc": record})
    return result, record
