"""The epochs of a run: what is fitted, with what beside it, and what is drawn of it when it is done."""

import sys
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_iwae import data, plots
from keras_iwae.experiments.config import ExperimentConfig
from keras_iwae.experiments.named_data import as_dataset
from keras_iwae.foundation import value_errors
from keras_iwae.models import IWAE
from keras_iwae.training import (
    AveragesAfterEpochs,
    Budget,
    FewerSamplesFirst,
    ImageGrids,
    Machines,
    NLLCurve,
    RestartUnusedPseudoInputs,
    RunCheckpoint,
    StopWhereNotFinite,
    fit_over_machines,
    runs,
)

_SHOWN = 50


def fit_run(
    run: Path,
    config: ExperimentConfig,
    model: IWAE,
    training: tf.data.Dataset,
    epochs_done: int,
    budget_minutes: float | None,
    curve: bool,
    further: Sequence[keras.callbacks.Callback],
    together: Machines | None,
) -> Path:
    """Train a run from the epochs that it has behind it to its last, and write its pictures.

    Args:
        run: the run folder.
        config: what is trained.
        model: in the state after `epochs_done`.
        training: batches of which the first pass is that of the next epoch.
        epochs_done: epochs that the run has behind it.
        budget_minutes: as in `train`.
        curve: as in `train`.
        further: callbacks, as in `train`.
        together: the processes that train it with this one, `None` where there are no others.

    Returns:
        the run folder.
    """
    validation = data.load(
        config.data.dataset, "validation", config.data.batch_size, config.binarization, levels=config.model.levels
    )
    history = runs.read_history(run, epochs_done)
    _check_columns(run, model, history)
    checkpoint = RunCheckpoint(run, history)
    epochs, spent = config.run.epochs, budget_minutes is not None and Budget.spent(checkpoint) >= budget_minutes
    callbacks: list[keras.callbacks.Callback] = [StopWhereNotFinite()]
    if config.objective.early_samples is not None:
        callbacks.append(FewerSamplesFirst(config.objective.early_samples, config.early_epochs))
    # The first that is read of a folder of shards.
    with as_dataset(), value_errors():
        shown = next(iter(validation.unbatch().batch(_SHOWN))).numpy()
    writes = together is None or together.first
    if writes:
        logs = run / "tensorboard"
        # The curve before the checkpoint: a kill between the two repeats both. Its time is no time of training.
        clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: checkpoint.stop_clock())
        callbacks += [clock, NLLCurve(run, validation, epochs_done)] if curve else []
        callbacks += [checkpoint, keras.callbacks.TensorBoard(logs, write_graph=False)]
        callbacks += [ImageGrids(logs / "images", shown)]
        if budget_minutes is not None:
            callbacks.append(Budget(checkpoint, budget_minutes))
        if epochs > epochs_done and not spent:
            # Of weights that the next epoch replaces: no evaluation would find its own there again.
            for partial in run.glob("partial-*.npz"):
                partial.unlink()
    if config.model.prior == "vamp":
        callbacks.append(_restarts(config))
        if together is not None:
            # Each process decides which, by sums that another kind of processor may round otherwise.
            callbacks.append(_agreement(together, model))
    callbacks += further
    if config.optimizer.ema is not None:
        averages = AveragesAfterEpochs()
        callbacks = [averages, *callbacks, averages.ends]
    last = epochs_done if spent else epochs
    # A bar is for a terminal; a log file gets one line an epoch.
    verbose = 1 if sys.stdout.isatty() else 2
    if together is None:
        model.fit(
            training,
            validation_data=validation,
            initial_epoch=epochs_done,
            epochs=last,
            verbose=verbose,
            callbacks=callbacks,
        )
    else:
        fit_over_machines(together, model, training, validation, last, epochs_done, callbacks, verbose)
    if writes:
        _conclude(run, model, shown, checkpoint.history)
    if together is not None:
        # Until all is written: who ends first ends the others too.
        together.wait()
    return run


def _restarts(config: ExperimentConfig) -> RestartUnusedPseudoInputs:
    examples = data.before_draws(config.data.dataset, "train", config.binarization, config.model.levels)
    return RestartUnusedPseudoInputs(examples, config.run.seed)


def _agreement(together: Machines, model: IWAE) -> keras.callbacks.Callback:
    pseudo_inputs = model.generative.prior.pseudo_inputs
    return keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda *_: together.check_same(pseudo_inputs=pseudo_inputs.numpy().tobytes())
    )


def _conclude(run: Path, model: IWAE, shown: np.ndarray, history: list[dict[str, float]]) -> None:
    """Write what is drawn and said of a run once it is trained."""
    if not history:
        # Nothing was left to train, and what is known of the epochs before was removed.
        return
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
    reconstructions = keras.ops.convert_to_numpy(model(originals))
    plots.save_grid(figures / "reconstructions.png", to_grey(plots.side_by_side(originals, reconstructions)))
