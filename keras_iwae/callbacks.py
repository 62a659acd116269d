"""What happens beside training: checkpoints that survive a kill, and pictures in TensorBoard."""

import os
import time

import keras
import numpy as np
import tensorflow as tf

from keras_iwae import plots, runs

_GRID = 10


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
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self._start
        self.history.append({"epoch": epoch + 1, "seconds": seconds, **{k: float(v) for k, v in (logs or {}).items()}})
        runs.write_history(self.run, self.history)
        runs.save_model(self.model, os.path.join(self.run, "model.keras"))


class ImageGrids(keras.callbacks.Callback):
    """After each epoch, write samples from the prior and reconstructions beside their originals to TensorBoard.

    Args:
        log_dir: folder of the logs.
        originals: images to reconstruct, `[N, *image_shape]`.
    """

    def __init__(self, log_dir: str | os.PathLike, originals: np.ndarray):
        super().__init__()
        self.writer, self.originals = tf.summary.create_file_writer(str(log_dir)), originals

    def on_epoch_end(self, epoch, logs=None):
        samples = self.model.sample(_GRID * _GRID).probabilities.numpy()
        pairs = plots.side_by_side(self.originals, self.model.predict(self.originals, verbose=0))
        with self.writer.as_default(step=epoch):
            for name, images in (("samples", samples), ("reconstructions", pairs)):
                grid = plots.image_grid(images, _GRID)
                tf.summary.image(name, grid[np.newaxis, ..., np.newaxis] if grid.ndim == 2 else grid[np.newaxis])

    def on_train_end(self, logs=None):
        self.writer.close()
