r"""The model of a table's rows, and how long it is trained: as long as rows that were held out say.

The bound of rows that are trained on rises for ever, that of others falls again, in a table of 200 rows after 500
steps and in one of 100,000 hardly. So a part of the rows is held out, the model trained at a constant rate until their
bound has fallen for a while, and then a model trained from the start on all rows, at a rate that falls to 0 along a
cosine, for twice the steps after which the bound was highest: the sum of the rates is then the same.
"""

import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_iwae.foundation import check_integer
from keras_iwae.likelihoods import StudentTLikelihood
from keras_iwae.models import IWAE
from keras_iwae.tables.coding import Coding
from keras_iwae.training import FusedAdam, StopWhereNotFinite

# Between two looks at the rows that were held out, and how many of these may bring nothing.
_STEPS, _PATIENCE = 100, 8
# Of the rows, at most so many; in a table of fewer rows than `_FEWEST` they would say nothing.
_HELD_OUT, _MOST_HELD_OUT, _FEWEST = 0.15, 1000, 20
# Steps where there are too few rows to ask.
_BLIND_STEPS = 300
_RATE, _DECAY = 1e-3, 0.1
# K of the bound of rows that are held out: closer to log p(x) than that of training, for the encoder's part of the gap
# is mended by samples when cells are filled in.
_JUDGING_SAMPLES = 100
# In standard deviations of a column. Where a decoder may be surer it learns the rows of a small table by heart.
_LEAST_SCALE = 0.1


def fitted(
    coding: Coding,
    encoded: np.ndarray,
    latent_dim: int,
    hidden: Sequence[int],
    training_samples: int,
    max_steps: int,
    seed: int,
    verbose: bool,
) -> tuple[IWAE, list[dict[str, float]]]:
    """A model that is trained on the rows of a table.

    Args:
        coding: of the table.
        encoded: its numbers, float32 `[N, D]`.
        latent_dim: number of latent units.
        hidden: units of the encoder's layers; the decoder's are the same in reverse.
        training_samples: K in training.
        max_steps: the most steps of the optimizer, of the model that is kept.
        seed: of the initial weights, the order of the rows and every draw.
        verbose: whether to show progress.

    Returns:
        the model, and for each so many steps a dictionary: `step`, `bound` in nats of rows that are trained on, and
        `held_out` of those that are not, while there are any.

    References:
        Mattei, Frellsen (2019), MIWAE: deep generative modelling and imputation of incomplete data sets, section 4.
    """
    max_steps = check_integer("max_steps", max_steps)
    model = IWAE(
        encoded.shape[1],
        latent_dim,
        hidden,
        num_samples=max(_JUDGING_SAMPLES, check_integer("training_samples", training_samples)),
        likelihood=coding.likelihood(real=StudentTLikelihood(min_scale=_LEAST_SCALE)),
        missing="nan",
        seed=seed,
    )
    model.training_samples = training_samples
    model.initialize_output_bias(np.nanmean(encoded, axis=0))
    model.compile(FusedAdam(_RATE, weight_decay=_DECAY), steps_per_execution=min(_STEPS, max_steps))
    start = model.get_weights()

    order = np.random.default_rng(seed).permutation(len(encoded))
    held_out = encoded[order[: min(_MOST_HELD_OUT, int(_HELD_OUT * len(encoded)))]]
    if len(encoded) < _FEWEST:
        return model, _train(model, encoded, min(_BLIND_STEPS, max_steps), seed, verbose)
    trial = _train(model, encoded[order[len(held_out) :]], max_steps, seed, verbose, held_out)
    best = max(trial, key=lambda row: row["held_out"])
    model.set_weights(start)
    for variable in model.optimizer.variables:
        variable.assign(tf.zeros_like(variable))
    return model, trial + _train(model, encoded, min(2 * int(best["step"]), max_steps), seed, verbose)


def _train(
    model: IWAE, rows: np.ndarray, steps: int, seed: int, verbose: bool, held_out: np.ndarray | None = None
) -> list[dict[str, float]]:
    """Train at a constant rate while it helps rows that are held out, or without such rows at one that falls to 0."""
    size = _batch_size(len(rows))
    batches = tf.data.Dataset.from_tensor_slices(rows).shuffle(len(rows), seed).repeat().batch(size, True)
    looks = math.ceil(steps / _STEPS)
    callbacks: list[keras.callbacks.Callback] = [StopWhereNotFinite()]
    if held_out is None:
        callbacks.append(
            keras.callbacks.LearningRateScheduler(lambda epoch: 0.5 * _RATE * (1.0 + math.cos(math.pi * epoch / looks)))
        )
    else:
        callbacks.append(keras.callbacks.EarlyStopping("val_bound", patience=_PATIENCE, mode="max"))
    found = model.fit(
        batches,
        epochs=looks,
        steps_per_epoch=min(_STEPS, steps),
        validation_data=held_out,
        validation_batch_size=_MOST_HELD_OUT,
        callbacks=callbacks,
        verbose=2 if verbose else 0,
    ).history
    records = [{"step": float(_STEPS * (i + 1)), "bound": bound} for i, bound in enumerate(found["bound"])]
    for record, bound in zip(records, found.get("val_bound", ()), strict=False):
        record["held_out"] = bound
    return records


def _batch_size(count: int) -> int:
    """Rows of a step: 64, more where there are so many that it would not come round often."""
    return min(count, max(64, min(256, count // 80)))
