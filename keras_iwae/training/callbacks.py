"""What happens beside training: checkpoints that survive a kill, and pictures in TensorBoard."""

import os
import time

import keras
import numpy as np
import tensorflow as tf

from keras_iwae import plots
from keras_iwae.evaluation import importance_weighted_nll
from keras_iwae.foundation import MARK, check_integer, check_positive, check_seed
from keras_iwae.models import IWAE, StopWhereLossNotFinite
from keras_iwae.networks import derived_seed
from keras_iwae.priors import VampPrior
from keras_iwae.training import runs

_GRID = 10
# Samples of each image in the NLL that is followed during training: enough to rank, a second for 400 images.
CURVE_SAMPLES = 1000
# Examples that tell which components of a prior hold none.
_HELD = 10_000


class RunCheckpoint(keras.callbacks.Callback):
    """After each epoch, write the run's history and then its model: a kill at any moment loses at most one epoch.

    The history goes first: if the kill comes between the two, a resumed run drops the row that is ahead of the model.

    Args:
        run: the run folder.
        history: rows of the epochs before this fit.
    """

    def __init__(self, run: str | os.PathLike, history: list[dict[str, float]]):
        super().__init__()
        self.run, self.history = run, list(history)

    def on_epoch_begin(self, epoch, logs=None):
        self._start, self._seconds = time.perf_counter(), None

    def stop_clock(self) -> None:
        """Let what follows in this epoch be none of its `seconds`, as what is measured beside training."""
        self._seconds = time.perf_counter() - self._start

    def on_epoch_end(self, epoch, logs=None):
        if self._seconds is None:
            self.stop_clock()
        row = {"epoch": epoch + 1, "seconds": self._seconds, **{k: float(v) for k, v in (logs or {}).items()}}
        self.history.append(row)
        runs.write_history(self.run, self.history)
        runs.save_model(self.model, os.path.join(self.run, "model.keras"))


class StopWhereNotFinite(StopWhereLossNotFinite):
    """Stop training with an error at the first step after which the bound is not finite, before anything is saved.

    What the run folder holds is then the model after the last whole epoch. It comes before `RunCheckpoint`.

    Raises:
        ValueError: from `fit`; it names the epoch, the step, or the steps that ran as one call, and what mostly causes
            it.
    """

    kept = "The run keeps the model after its last whole epoch, if there was one"

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        self._first = batch + 1

    def on_train_batch_end(self, batch, logs=None):
        # The last call of an epoch may have been for more steps than there were.
        last = min(batch + 1, self.params.get("steps") or batch + 1)
        steps = f"step {last}" if last == self._first else f"steps {self._first} to {last}"
        self._check(logs or {}, f"epoch {self._epoch + 1}, {steps}")

    def on_epoch_end(self, epoch, logs=None):
        # A bound may be finite still at the step that makes the weights infinite, and stay so where it is the
        # optimizer's averages, by which no weight then moves.
        variables = (*self.model.weights, *self.model.optimizer.variables)
        self._check({**(logs or {}), **{each.path: each for each in variables}}, f"epoch {epoch + 1}, at its end")


class Budget(keras.callbacks.Callback):
    """Stop after the epoch in which the training time of all of a run's epochs passes a budget.

    Args:
        checkpoint: the callback that keeps the run's history; it comes before this one.
        minutes: the budget, time before a stop and a resume included.

    Raises:
        ValueError: if `minutes` is no number above 0.
    """

    def __init__(self, checkpoint: RunCheckpoint, minutes: float):
        super().__init__()
        self.checkpoint, self.minutes = checkpoint, check_positive("minutes", minutes)

    @staticmethod
    def spent(checkpoint: RunCheckpoint) -> float:
        """Minutes of training in the history."""
        return sum(row["seconds"] for row in checkpoint.history) / 60.0

    def on_epoch_end(self, epoch, logs=None):
        if self.spent(self.checkpoint) >= self.minutes:
            self.model.stop_training = True


class FewerSamplesFirst(keras.callbacks.Callback):
    """Train with fewer samples than `num_samples` before a given epoch; what validation reports keeps all of them.

    Args:
        num_samples: K before the change, below that of the model.
        epochs: epochs, from 0, that have it.

    Raises:
        ValueError: if either is no positive integer; from `fit`, if the model has no more samples than these, or
            trains without importance samples, as an `AVB`.
    """

    def __init__(self, num_samples: int, epochs: int):
        super().__init__()
        self.num_samples, self.epochs = check_integer("num_samples", num_samples), check_integer("epochs", epochs)

    def on_train_begin(self, logs=None):
        if not isinstance(self.model, IWAE):
            raise ValueError(
                f"{MARK}callbacks`. Expected no FewerSamplesFirst for a model that draws no importance samples. "
                f"Received: one for a {type(self.model).__name__}"
            )
        if self.num_samples >= self.model.num_samples:
            raise ValueError(
                f"{MARK}num_samples`. Expected fewer than the model's {self.model.num_samples}. "
                f"Received: FewerSamplesFirst({self.num_samples}, {self.epochs})"
            )

    def on_epoch_begin(self, epoch, logs=None):
        self.model._train_with(self.num_samples if epoch < self.epochs else self.model.num_samples)


class RestartUnusedPseudoInputs(keras.callbacks.Callback):
    """Before each epoch but the first, let pseudo-inputs of a `VampPrior` that no example needs begin anew.

    What `IWAE.restart_unused_pseudo_inputs` does, with as many examples as suffice, the same in every epoch: 10,000, or
    twenty for each pseudo-input, if there are more without gaps.

    Args:
        examples: training examples, as `IWAE.initialize_pseudo_inputs` takes them.
        seed: seed of the draws.

    Raises:
        ValueError: from `fit`, if the prior is another, or the examples are too few or none of the model's.

    Example:
        >>> images = keras_iwae.data.images("digits", "train") / 255.0
        >>> model = IWAE((8, 8, 1), prior="vamp")
        >>> model.compile("adam")
        >>> model.fit(images, epochs=20, callbacks=[RestartUnusedPseudoInputs(images)])
    """

    def __init__(self, examples: np.ndarray, seed: int = 0):
        super().__init__()
        self.examples, self.seed = examples, check_seed("seed", seed)

    def on_train_begin(self, logs=None):
        prior = getattr(getattr(self.model, "generative", None), "prior", None)
        if not isinstance(prior, VampPrior):
            raise ValueError(
                f"{MARK}callbacks`. Expected no RestartUnusedPseudoInputs for a model without a VampPrior. Received: "
                f"one for a {type(self.model).__name__} with {'none' if prior is None else type(prior).__name__}"
            )
        examples = self.model.door.array(self.examples, "examples")
        whole, enough = prior.whole(examples), max(_HELD, 20 * prior.num_components)
        if len(whole) > enough:
            whole = np.random.default_rng(self.seed).choice(whole, enough, replace=False)
        # The rest need not be kept.
        self.examples = examples[whole]

    def on_epoch_begin(self, epoch, logs=None):
        # A function of the weights and the epoch: a run that was stopped before it goes on as if it had not been.
        if epoch:
            self.model.restart_unused_pseudo_inputs(self.examples, derived_seed(self.seed, epoch))


class NLLCurve(keras.callbacks.Callback):
    """Follow -L_1000 of the validation images, into `nll.csv`: after 1, 2, 4, 7, 12, 20, ... passes.

    It has a row for the last pass that is planned, too, and none for one after which a budget stops.

    Args:
        run: the run folder.
        validation: the validation images, in batches.
        epochs_done: passes before this fit; what the file says of later ones is dropped.
    """

    def __init__(self, run: str | os.PathLike, validation: tf.data.Dataset, epochs_done: int):
        super().__init__()
        self.path, self.validation = os.path.join(run, "nll.csv"), validation
        self.rows = [row for row in runs.read_rows(self.path, "passes", "nll") if row["passes"] <= epochs_done]

    def on_epoch_end(self, epoch, logs=None):
        passes, last = epoch + 1, self.rows[-1]["passes"] if self.rows else 0.0
        if passes < 1.6 * last and passes != self.params["epochs"]:
            return
        nll = importance_weighted_nll(self.model, self.validation, CURVE_SAMPLES, bounds=(), verbose=False).nll
        self.rows.append({"passes": float(passes), "nll": nll})
        runs.write_rows(self.path, self.rows)


class ImageGrids(keras.callbacks.Callback):
    """After each epoch, write samples from the prior and reconstructions beside their originals to TensorBoard.

    Args:
        log_dir: folder of the logs.
        originals: images to reconstruct, `[N, *event_shape]`.
    """

    def __init__(self, log_dir: str | os.PathLike, originals: np.ndarray):
        super().__init__()
        self.log_dir, self.originals = str(log_dir), originals

    def on_train_begin(self, logs=None):
        self.writer = tf.summary.create_file_writer(self.log_dir)

    def on_epoch_end(self, epoch, logs=None):
        to_grey = self.model.generative.likelihood.to_grey
        samples = to_grey(self.model.sample(_GRID * _GRID).mean)
        # By no `predict`, which would wait for other processes that train with this one.
        reconstructions = keras.ops.convert_to_numpy(self.model(self.originals))
        pairs = to_grey(plots.side_by_side(self.originals, reconstructions))
        with self.writer.as_default(step=epoch):
            for name, images in (("samples", samples), ("reconstructions", pairs)):
                grid = plots.image_grid(images, _GRID)
                tf.summary.image(name, grid[np.newaxis, ..., np.newaxis] if grid.ndim == 2 else grid[np.newaxis])

    def on_train_end(self, logs=None):
        self.writer.close()
