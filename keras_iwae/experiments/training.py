"""Training a run: from the first epoch, or on from where it was stopped."""

import os
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_iwae import data, plots
from keras_iwae.experiments import inputs
from keras_iwae.experiments.building import build
from keras_iwae.experiments.config import ExperimentConfig
from keras_iwae.experiments.inputs import Inputs
from keras_iwae.foundation import check_folder
from keras_iwae.models import IWAE
from keras_iwae.training import (
    AveragesAfterEpochs,
    Budget,
    FewerSamplesFirst,
    ImageGrids,
    NLLCurve,
    RunCheckpoint,
    StopWhereNotFinite,
    exchange_averages,
    over_devices,
    runs,
)

_SHOWN = 50


def train(
    config: ExperimentConfig,
    out: str | os.PathLike | None = None,
    budget_minutes: float | None = None,
    curve: bool = False,
    devices: int = 1,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Path:
    """Train a new run from its first epoch to its last.

    Args:
        config: what to train.
        out: the run folder, which must not exist or be empty; `None` makes one under `saved_models/`, named after the
            configuration and the time.
        budget_minutes: training time after which the run stops at the end of an epoch; `resume` goes on.
        curve: whether to follow the NLL of the validation images; see `keras_iwae.training.NLLCurve`.
        devices: see `keras_iwae.training.over_devices`.
        callbacks: further ones, called when the run folder has what an epoch gave.

    Returns:
        the run folder: see `keras_iwae.training.runs` for what it holds.

    Raises:
        ValueError: if `out` holds anything, or an argument of the configuration is out of range.
    """
    out = out or runs.ROOT / f"{config.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    # Before the folder: a configuration that cannot run leaves none.
    with over_devices(devices):
        model = build(config)
    training, began = _training_data(config, first_epoch=0), Inputs.now(config)
    run = runs.create(out, asdict(config), began.files())
    return _fit(run, config, model, training, 0, budget_minutes, curve, callbacks)


def resume(
    run: str | os.PathLike,
    epochs: int | None = None,
    budget_minutes: float | None = None,
    curve: bool = False,
    devices: int = 1,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Path:
    """Continue a run after its last whole epoch; the weights become those of a run that was never stopped.

    What it began with, settings, examples and weights to start from, has to be as it was: `inputs.json` knows.
    A run whose `history.csv` was removed goes on without what it said: curves, and time, begin anew.

    Args:
        run: the run folder.
        epochs: a new number of epochs in all; `None` keeps the run's own.
        budget_minutes: as in `train`; the time before the stop counts.
        curve: as in `train`.
        devices: as in `train`; another number than before changes sums by their rounding alone.
        callbacks: as in `train`.

    Returns:
        the run folder.

    Raises:
        ValueError: if there is no run, its checkpoint or history cannot be read, its schedule or the share of its
            epochs with fewer samples cannot end elsewhere, or what it began with is no longer so.
    """
    run = check_folder("out", run)
    stored = runs.read_json(run / "config.json")
    if not stored:
        raise ValueError(
            f"Invalid value received for `out`. Expected a run to resume. Received: {run}, where there is none"
        )
    config = before = ExperimentConfig.from_dict(stored)
    if epochs is not None and epochs != config.run.epochs:
        if config.optimizer.schedule == "cosine":
            raise ValueError(
                f"Invalid value received for `epochs`. Expected {config.run.epochs}, the end that the run's cosine "
                f"schedule falls to. Received: {epochs}"
            )
        config = config.replaced(epochs=epochs)
    started = (run / "model.keras").exists()
    _check_inputs(run, config, started)
    with over_devices(devices):
        model = runs.load_model(run) if started else build(config)
    if getattr(model, "optimizer", None) is None:
        raise ValueError(
            f"Invalid value received for `out`. Expected a run with its optimizer. Received: {run}, which was packed "
            "without; train.py --start begins a new run with its weights"
        )
    if started and config.optimizer.ema is not None:
        # Back to the weights that the steps go on from.
        exchange_averages(model)
    # As many as there were steps in a pass when they were done: the examples are the same.
    epochs_done = _steps(model) // config.steps_per_pass
    if epochs_done > config.run.epochs:
        raise ValueError(
            f"Invalid value received for `epochs`. Expected at least {epochs_done}, which the run has done already. "
            f"Received: {config.run.epochs}"
        )
    _check_early_epochs(before, config, epochs_done)
    training = _training_data(config, epochs_done)
    if config != before:
        # Now that it is known that the run can go on.
        runs.write_json(run / "config.json", asdict(config))
    return _fit(run, config, model, training, epochs_done, budget_minutes, curve, callbacks)


def _steps(model: IWAE) -> int:
    return int(keras.ops.convert_to_numpy(model.optimizer.iterations))


def _check_inputs(run: Path, config: ExperimentConfig, started: bool) -> None:
    if not Inputs.of(run).data:
        if started:
            warnings.warn(
                f"{run} does not say what it was trained on: whether it goes on with the same examples is not known",
                stacklevel=3,
            )
        else:
            # Nothing came of what there was before the stop.
            Inputs.now(config).keep(run)
    inputs.check_settings(run, config)
    inputs.check_data(run, ("train", "validation"), "train.py --start begins a new run with the weights of this one")
    if not started:
        inputs.check_start(run, config)


def _check_early_epochs(before: ExperimentConfig, config: ExperimentConfig, epochs_done: int) -> None:
    """Refuse a length of which another share of the epochs done would have had `early_samples`."""
    had, would_have = (min(epochs_done, each.early_epochs) for each in (before, config))
    if had != would_have:
        raise ValueError(
            f"Invalid value received for `epochs`. Expected {before.run.epochs}, of which the first "
            f"{before.early_epochs} have early_samples = {config.objective.early_samples}: that was so in {had} of the "
            f"{epochs_done} that are done, and would be in {would_have}. Received: {config.run.epochs}"
        )


def _training_data(config: ExperimentConfig, first_epoch: int) -> tf.data.Dataset:
    return data.load(
        config.data.dataset,
        "train",
        config.data.batch_size,
        config.binarization,
        seed=config.run.seed,
        first_epoch=first_epoch,
        levels=config.model.levels,
    )


def _fit(
    run: Path,
    config: ExperimentConfig,
    model: IWAE,
    training: tf.data.Dataset,
    epochs_done: int,
    budget_minutes: float | None,
    curve: bool,
    further: Sequence[keras.callbacks.Callback],
) -> Path:
    validation = data.load(
        config.data.dataset, "validation", config.data.batch_size, config.binarization, levels=config.model.levels
    )
    shown = next(iter(validation.unbatch().batch(_SHOWN))).numpy()
    history = runs.read_history(run, epochs_done)
    _check_columns(run, model, history)
    checkpoint = RunCheckpoint(run, history)
    logs = run / "tensorboard"
    # The curve before the checkpoint: a kill between the two repeats both.
    callbacks = [NLLCurve(run, validation, epochs_done)] if curve else []
    callbacks = [StopWhereNotFinite(), *callbacks]
    callbacks += [checkpoint, keras.callbacks.TensorBoard(logs, write_graph=False), ImageGrids(logs / "images", shown)]
    callbacks += further
    if config.objective.early_samples is not None:
        callbacks.append(FewerSamplesFirst(config.objective.early_samples, config.early_epochs))
    if config.optimizer.ema is not None:
        averages = AveragesAfterEpochs()
        callbacks = [averages, *callbacks, averages.ends]
    epochs = config.run.epochs
    if budget_minutes is not None:
        callbacks.append(Budget(checkpoint, budget_minutes))
        if Budget.spent(checkpoint) >= budget_minutes:
            epochs = epochs_done
    if epochs > epochs_done:
        # Of weights that the next epoch replaces: no evaluation would find its own there again.
        for partial in run.glob("partial-*.npz"):
            partial.unlink()
    model.fit(
        training,
        validation_data=validation,
        initial_epoch=epochs_done,
        epochs=epochs,
        # A bar is for a terminal; a log file gets one line an epoch.
        verbose=1 if sys.stdout.isatty() else 2,
        callbacks=callbacks,
    )
    history = checkpoint.history
    if not history:
        # Nothing was left to train, and what is known of the epochs before was removed.
        return run
    _draw_figures(run, model, shown, history)
    last = history[-1]
    seconds = sum(row["seconds"] for row in history)
    runs.update_metrics(
        run,
        {
            "training": {
                **last,
                "seconds": seconds,
                "steps": int(keras.ops.convert_to_numpy(model.optimizer.iterations)),
            }
        },
    )
    return run


def _check_columns(run: Path, model: IWAE, history: list[dict[str, float]]) -> None:
    """Refuse a history with other columns than the next epoch will have."""
    reported = {metric.name for metric in model.metrics} - {"seen"}
    wanted = {"epoch", "seconds", *reported, *(f"val_{name}" for name in reported)}
    if history and (other := wanted.symmetric_difference(history[0])):
        raise ValueError(
            f"Expected the columns {', '.join(sorted(wanted))} in {run / 'history.csv'}. Received: others, as of "
            f"{min(other)}"
        )


def _draw_figures(run: Path, model: IWAE, originals: np.ndarray, history: list[dict[str, float]]) -> None:
    """Write a run's pictures: training curves, samples from the prior, reconstructions beside their originals."""
    figures = run / "figures"
    plots.save_curves(figures / "curves.png", {name: [row[name] for row in history] for name in history[0]})
    to_grey = model.generative.likelihood.to_grey
    plots.save_grid(figures / "samples.png", to_grey(model.sample(100).mean))
    reconstructions = model.predict(originals, verbose=0)
    plots.save_grid(figures / "reconstructions.png", to_grey(plots.side_by_side(originals, reconstructions)))
