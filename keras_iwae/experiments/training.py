"""Training a run: from the first epoch, or on from where it was stopped."""

import contextlib
import os
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import keras
import tensorflow as tf

from keras_iwae import data
from keras_iwae.experiments import inputs
from keras_iwae.experiments.building import build
from keras_iwae.experiments.config import ExperimentConfig, check_config, flattened
from keras_iwae.experiments.fitting import fit_run
from keras_iwae.experiments.inputs import Inputs
from keras_iwae.foundation import MARK, check_boolean, check_folder, check_integer, check_positive, held_folder
from keras_iwae.models import IWAE
from keras_iwae.training import Machines, exchange_averages, number_of_machines, over_devices, over_machines, runs


def train(
    config: ExperimentConfig,
    out: str | os.PathLike | None = None,
    budget_minutes: float | None = None,
    curve: bool = False,
    devices: int = 1,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Path:
    """Train a new run from its first epoch to its last.

    In a process of several that TF_CONFIG names, together with them; the first one writes the run folder, which all of
    them have to see. See `keras_iwae.training.over_machines`.

    Args:
        config: what to train.
        out: the run folder, which must not exist or be empty; `None` makes one under `saved_models/`, named after the
            configuration and the time, where this is the only process.
        budget_minutes: training time after which the run stops at the end of an epoch; `resume` goes on.
        curve: whether to follow the NLL of the validation images; see `keras_iwae.training.NLLCurve`.
        devices: see `keras_iwae.training.over_devices`.
        callbacks: further ones, called when the run folder has what an epoch gave.

    Returns:
        the run folder: see `keras_iwae.training.runs` for what it holds.

    Raises:
        ValueError: if `out` holds anything, an argument of the configuration is out of range, `budget_minutes` is no
            number above 0, or the processes of TF_CONFIG are asked for different things.
        OSError: if one of these ends before the others.
    """
    check_config(config)
    _check_asked(budget_minutes, curve, callbacks)
    if out is None and number_of_machines() > 1:
        raise ValueError(f"{MARK}out`. Expected a folder that all processes of TF_CONFIG see. Received: none")
    together = _others(devices)
    run = check_folder("out", out or runs.ROOT / f"{config.name}-{time.strftime('%Y%m%d-%H%M%S')}")
    # Before the folder: a configuration that cannot run leaves none.
    with over_devices(devices) if together is None else together.scope():
        model = build(config)
    training, began = _training_data(config, first_epoch=0), Inputs.now(config)
    if together is not None:
        settings = flattened(asdict(config))
        together.check_same(**{**settings, "dataset": (settings["dataset"], began)})
    if _writes(together):
        runs.create(run, asdict(config), began.files())
    with _held(run, together):
        return fit_run(run, config, model, training, 0, budget_minutes, curve, callbacks, together)


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
            epochs with fewer samples cannot end elsewhere, what it began with is no longer so, or the processes of
            TF_CONFIG find different things there, or another process is at work in it.
        OSError: if one of these ends before the others.
    """
    _check_asked(budget_minutes, curve, callbacks)
    if epochs is not None:
        epochs = check_integer("epochs", epochs)
    together = _others(devices)
    run = check_folder("out", run)
    stored = runs.read_json(run / "config.json")
    if not stored:
        raise ValueError(
            f"Invalid value received for `out`. Expected a run to resume. Received: {run}, where there is none"
        )
    with _held(run, together):
        runs.check_goes_on(run)
        config = before = ExperimentConfig.from_dict(stored)
        if epochs is not None and epochs != config.run.epochs:
            if config.optimizer.schedule == "cosine":
                raise ValueError(
                    f"Invalid value received for `epochs`. Expected {config.run.epochs}, the end that the run's cosine "
                    f"schedule falls to. Received: {epochs}"
                )
            config = config.replaced(epochs=epochs)
        started = (run / "model.keras").exists()
        _check_inputs(run, config, started, _writes(together))
        with over_devices(devices) if together is None else together.scope():
            model = runs.load_model(run) if started else build(config)
        if started and config.optimizer.ema is not None:
            # Back to the weights that the steps go on from.
            exchange_averages(model)
        # As many as there were steps in a pass when they were done: the examples are the same.
        epochs_done = _steps(model) // config.steps_per_pass
        if epochs_done > config.run.epochs:
            raise ValueError(
                f"{MARK}epochs`. Expected at least {epochs_done}, which the run has done already. "
                f"Received: {config.run.epochs}"
            )
        _check_early_epochs(before, config, epochs_done)
        training = _training_data(config, epochs_done)
        if together is not None:
            together.check_same(epochs=asdict(config), out=runs.digest(run), dataset=Inputs.now(config))
        if config != before and _writes(together):
            # Now that it is known that the run can go on.
            runs.write_json(run / "config.json", asdict(config))
        return fit_run(run, config, model, training, epochs_done, budget_minutes, curve, callbacks, together)


def _check_asked(budget_minutes: float | None, curve: bool, callbacks: Sequence[keras.callbacks.Callback]) -> None:
    if budget_minutes is not None:
        check_positive("budget_minutes", budget_minutes)
    check_boolean("curve", curve)
    if not isinstance(callbacks, Sequence) or not all(isinstance(each, keras.callbacks.Callback) for each in callbacks):
        raise ValueError(f"{MARK}callbacks`. Expected a sequence of Keras callbacks. Received: {callbacks!r}")


def _others(devices: int) -> Machines | None:
    """The processes that train together with this one, once they are there."""
    if devices != 1 and number_of_machines() > 1:
        # Before it waits for them.
        raise ValueError(
            f"{MARK}devices`. Expected 1 beside TF_CONFIG, each process of which takes all GPUs that it sees "
            f"(CUDA_VISIBLE_DEVICES). Received: {devices}"
        )
    return over_machines()


def _writes(together: Machines | None) -> bool:
    """Whether this process writes the run folder."""
    return together is None or together.first


def _held(run: Path, together: Machines | None) -> contextlib.AbstractContextManager[None]:
    """Keep other commands out of a run folder while this one writes there."""
    return held_folder(run, "out") if _writes(together) else contextlib.nullcontext()


def _steps(model: IWAE) -> int:
    return int(keras.ops.convert_to_numpy(model.optimizer.iterations))


def _check_inputs(run: Path, config: ExperimentConfig, started: bool, writes: bool) -> None:
    if not Inputs.of(run).data:
        if started:
            warnings.warn(
                f"{run} does not say what it was trained on: whether it goes on with the same examples is not known",
                stacklevel=3,
            )
        elif writes:
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
