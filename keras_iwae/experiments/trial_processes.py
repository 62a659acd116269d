"""Trials of a tuning in processes of Ray: each trains its run, and Ray Tune's ASHA stops those that are behind.

After 1/27, 1/9 and 1/3 of the epochs a trial goes on if its validation bound is among the best third of those that came
so far before it: asynchronous successive halving, Li et al., https://arxiv.org/abs/1810.05934.
"""

import contextlib
import math
import os
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras

from keras_iwae.experiments.config import ExperimentConfig
from keras_iwae.experiments.training import resume, train
from keras_iwae.experiments.trial_journal import Journal
from keras_iwae.foundation import MARK, held_folder
from keras_iwae.training import runs

# How often a trial goes on whose process died, or had no room.
_RETRIES = 3
_KEPT = 3
_FIRST_SHARE = 27
# Files of Ray's own about what the journal and the runs say, of which nobody reads any.
_WITHOUT_LOGGERS = {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1"}


def run_path(out: Path, trial: int) -> Path:
    """The run folder of a trial; its log is beside it."""
    return out / "trials" / str(trial)


def run_trials(out: Path, configs: Mapping[int, ExperimentConfig], count: int, here: Path) -> None:
    """Train the trials to their ends, each in a process of its own; what comes of them is in the journal.

    It runs in a process of Ray's.

    Args:
        out: the folder of the tuning.
        configs: for each trial that has not ended what it trains.
        count: how many are trained at once.
        here: what names of files in a configuration are relative to.
    """
    os.environ.update(_WITHOUT_LOGGERS)
    import ray
    from ray import tune

    def trial(given: dict[str, int]) -> None:
        number = given["trial"]
        _trained(out, number, configs[number], here, tune.report)

    gpus = ray.cluster_resources().get("GPU", 0)
    share = 1 / math.ceil(count / gpus) if gpus else 0
    epochs = next(iter(configs.values())).run.epochs
    tuner = tune.Tuner(
        tune.with_resources(trial, {"cpu": 1, "gpu": share}),
        param_space={"trial": tune.grid_search(sorted(configs))},
        tune_config=tune.TuneConfig(scheduler=_halving(Journal(out), epochs), max_concurrent_trials=count),
        run_config=tune.RunConfig(
            name="trials",
            storage_path=str(out / "ray"),
            failure_config=tune.FailureConfig(max_failures=_RETRIES),
            verbose=0,
        ),
    )
    tuner.fit()


class _Reports(keras.callbacks.Callback):
    """Report the validation bound of each epoch that the run folder has, those of an earlier start too.

    An epoch is reported when the next one begins, and the last at the end: its line is then in the log, and where the
    trial is stopped by it the process ends there.
    """

    def __init__(self, run: Path, config: ExperimentConfig, report: Callable[[dict], None]):
        super().__init__()
        self.run, self.config, self.report, self.said = run, config, report, 0

    def on_epoch_begin(self, epoch, logs=None):
        done = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations)) // self.config.steps_per_pass
        for row in runs.read_history(self.run, done):
            if row["epoch"] > self.said:
                self.said = int(row["epoch"])
                self.report({"epoch": self.said, "val_bound": row["val_bound"]})

    def on_train_end(self, logs=None):
        self.on_epoch_begin(self.config.run.epochs)


def _trained(out: Path, number: int, config: ExperimentConfig, here: Path, report: Callable[[dict], None]) -> None:
    """What the process of a trial does."""
    run = run_path(out, number)
    log = run.with_name(f"{number}.log")
    run.parent.mkdir(parents=True, exist_ok=True)
    with (
        open(log, "a", buffering=1, encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
        # A process of a start before may take a moment to end.
        held_folder(log, "out", math.inf),
    ):
        try:
            # Ray has put the process elsewhere.
            os.chdir(here)
            reports = [_Reports(run, config, report)]
            if (run / "config.json").exists():
                # Somebody may train it on; that is no failure of the trial.
                with held_folder(run, "out", math.inf):
                    pass
                resume(run, callbacks=reports)
            else:
                train(config, run, callbacks=reports)
        except ValueError as error:
            # It would be the same again.
            traceback.print_exc()
            report({"failed": _first_sentence(error)})
        except Exception:
            traceback.print_exc()
            raise


def _first_sentence(error: ValueError) -> str:
    """What a table has room for; what is refused says by which name in its first sentences."""
    said = " ".join(str(error).split())
    return said if said.startswith(MARK) else said.split(". ")[0]


def _halving(journal: Journal, epochs: int) -> Any:
    """ASHA, which begins with what the journal has, and writes into it what it is told."""
    # Where Ray is not installed, this file is read all the same.
    from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

    class Halving(FIFOScheduler):
        def __init__(self) -> None:
            super().__init__()
            self._asha = ASHAScheduler(
                time_attr="epoch",
                metric="val_bound",
                mode="max",
                max_t=epochs,
                grace_period=math.ceil(epochs / _FIRST_SHARE),
                reduction_factor=_KEPT,
                stop_last_trials=False,
            )
            self._known: set[int] = set()
            self._errors: Counter[int] = Counter()
            for row in journal.rows:
                # What was decided then stands.
                self._decided(int(row["trial"]), int(row["epoch"]), row["val_bound"])

        def _decided(self, number: int, epoch: int, bound: float) -> str:
            # By its number, which stays the same over starts, as Ray's own names do not.
            trial: Any = SimpleNamespace(trial_id=number)
            nobody: Any = None
            if number not in self._known:
                self._known.add(number)
                self._asha.on_trial_add(nobody, trial)
            return self._asha.on_trial_result(nobody, trial, {"epoch": epoch, "val_bound": bound})

        def on_trial_result(self, tune_controller: Any, trial: Any, result: dict) -> str:
            number = trial.config["trial"]
            if "failed" in result:
                journal.fail(number, result["failed"])
                return self.CONTINUE
            epoch, bound, before = result["epoch"], result["val_bound"], journal.of(number)
            if before and epoch <= before[-1]["epoch"]:
                # Of an earlier start, or of a process that died.
                return self.CONTINUE
            # At its end there is nothing left to save.
            decision = self._decided(number, epoch, bound) if epoch < epochs else self.CONTINUE
            journal.report(number, epoch, bound, stopped=decision == self.STOP)
            return decision

        def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
            number = trial.config["trial"]
            self._errors[number] += 1
            if self._errors[number] > _RETRIES:
                why = f"its process ended {_RETRIES + 1} times before its last epoch; trials/{number}.log may say more"
                journal.fail(number, why, again=True)

    return Halving()
