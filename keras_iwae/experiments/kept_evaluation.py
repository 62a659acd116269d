"""The test NLL of a run: as its `metrics.json` has it, if that is of this model, these images and these settings."""

from pathlib import Path

import numpy as np

from keras_iwae import data
from keras_iwae.experiments.evaluation_target import evaluation_images
from keras_iwae.experiments.log_likelihood import evaluate
from keras_iwae.training import runs


def kept_evaluation(run: Path, eval_k: int, limit: int | None, verbose: bool) -> tuple[dict, np.ndarray, bool]:
    """The record of an evaluation with draws from the posterior, of which only what is not there is computed.

    Args:
        run: the run folder.
        eval_k: importance samples for each test image.
        limit: only the first so many test images; `None` is all.
        verbose: whether to show progress.

    Returns:
        the record, the test images, and whether it had to be computed.

    Raises:
        ValueError: as `evaluate`.
    """
    record = runs.read_metrics(run).get("nll_test", {})
    # Another evaluation of the run may have been by draws from elsewhere.
    wanted: dict = {"num_samples": eval_k, "limit": limit, "seed": 0, "proposal_scale": 1.0, "defensive": 0.0}
    images = evaluation_images(run, limit, seed=0)
    wanted["images_sha256"] = data.digest(images)
    fresh = any(record.get(name) != value for name, value in wanted.items()) or not runs.is_current(run, record)
    if fresh:
        _, record = evaluate(run, eval_k, limit=limit, verbose=verbose)
    return record, images, fresh
