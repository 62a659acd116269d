"""A fit of one of several processes that train together, and of the first beside the same fit alone, as JSON.

TF_CONFIG=... python tests/machine_fits.py
"""

import hashlib
import json
import sys
from pathlib import Path

import keras
import many_graphs
import numpy as np
import tensorflow as tf
from fit_comparison import apart, said

from keras_iwae import AVB, IWAE
from keras_iwae.training import FewerSamplesFirst, FusedAdam, fit_over_machines, over_machines

TOGETHER = over_machines()
# Batches of 10 that two or three do not always divide, and a last one of 1, which leaves a process without any.
X = (np.random.default_rng(0).random((21, 6)) < 0.4).astype(np.float32)
WEIGHTS = np.random.default_rng(1).random(21).astype(np.float32)
SMALL = {"latent_dim": 2, "hidden": (5,), "num_samples": 4}
CASES = {
    "iwae, ema": lambda: IWAE(6, **SMALL),
    "weights": lambda: IWAE(6, **SMALL),
    "resampled, warm-up": lambda: IWAE(6, **{**SMALL, "num_samples": 60}, backward_samples=3, kl_warmup_steps=5),
    "vimco, binary": lambda: IWAE(6, posterior="bernoulli", estimator="vimco", **SMALL),
    "rws, mixture": lambda: IWAE(6, estimator="rws", prior="mixture", **SMALL),
    "adversarial": lambda: AVB(6, latent_dim=2, hidden=(5,)),
}


def _batches(name: str) -> tf.data.Dataset:
    weighted = (X, np.zeros(21, np.float32), WEIGHTS) if name == "weights" else X
    return tf.data.Dataset.from_tensor_slices(weighted).batch(10)


def _compiled(name: str, run_eagerly: bool = False):
    model, averages = CASES[name](), {"use_ema": "ema" in name, "ema_momentum": 0.9}
    model.compile(FusedAdam(5.0, epsilon=1.0, global_clipnorm=0.1, **averages), run_eagerly=run_eagerly)
    return model


def _fit(name: str) -> dict:
    with TOGETHER.scope():
        model = _compiled(name)
    history = fit_over_machines(TOGETHER, model, _batches(name), _batches(name), epochs=2, verbose=0).history
    arrays = [np.asarray(each) for each in (*model.get_weights(), *model.optimizer.variables, *history.values())]
    digest = {"digest": hashlib.sha256(b"".join(each.tobytes() for each in arrays)).hexdigest()}
    # What the others have is held to this one's by its digest.
    if TOGETHER.index > 0:
        return digest
    # Six steps by themselves take a fraction of what their graph does.
    alone = _compiled(name, run_eagerly=True)
    expected = alone.fit(_batches(name), validation_data=_batches(name), epochs=2, verbose=0).history
    assert history.keys() == expected.keys()
    return digest | {
        "weights": apart(model.get_weights(), alone.get_weights()),
        "moved": apart(alone.trainable_weights, _compiled(name).trainable_weights),
        "optimizer": apart(model.optimizer.variables, alone.optimizer.variables),
        "history": apart(history.values(), expected.values()),
    }


class Traced(IWAE):
    """Which files its steps were traced from: AutoGraph would write one of its own."""

    def __init__(self, *given, **settings):
        super().__init__(*given, **settings)
        self.files: list[str] = []

    def train_step(self, data):
        self.files.append(Path(sys._getframe().f_code.co_filename).name)
        return super().train_step(data)


class Once(keras.callbacks.Callback):
    """Ends training after the first epoch, in the last process alone."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = TOGETHER.index == TOGETHER.count - 1


def refused() -> dict[str, str]:
    with TOGETHER.scope():
        model, wild = _compiled("weights"), _compiled("weights")
        wild.compile(FusedAdam(1e38))
    batches = _batches("weights")
    nothing = tf.data.Dataset.from_tensor_slices((X, 0.0 * WEIGHTS, 0.0 * WEIGHTS)).batch(10)

    def fit(other=model, training=batches, validation=batches):
        fit_over_machines(TOGETHER, other, training, validation, epochs=1, verbose=0)

    return {
        "fit": said(lambda: model.fit(X)),
        "evaluate": said(lambda: model.evaluate(X)),
        "predict": said(lambda: model.predict(X)),
        "train_on_batch": said(lambda: model.train_on_batch(X)),
        "model": said(lambda: fit(_compiled("weights"))),
        "machines": said(lambda: fit_over_machines(None, model, batches, batches, epochs=1)),
        "training": said(lambda: fit(training=X)),
        "validation": said(lambda: fit(validation=batches.repeat())),
        "values": said(lambda: fit(training=tf.data.Dataset.from_tensor_slices(X + 2.0).batch(10))),
        "finite": said(lambda: fit(wild)),
        "weight": said(lambda: fit(training=nothing)),
        "held out": said(lambda: fit(validation=nothing)),
        "settings": said(lambda: TOGETHER.check_same(same=1, settings=TOGETHER.index)),
    }


if __name__ == "__main__":
    many_graphs.prepare()
    found: dict = {name: _fit(name) for name in CASES}
    with TOGETHER.scope():
        ended = Traced(6, **SMALL)
        ended.compile(FusedAdam(1e-3))
    given = {"epochs": 3, "callbacks": [Once()], "verbose": 0}
    found["epochs"] = len(fit_over_machines(TOGETHER, ended, _batches("weights"), _batches("weights"), **given).epoch)
    found["files"] = list(ended.files)
    given["callbacks"] = [FewerSamplesFirst(2, 9)]
    fit_over_machines(TOGETHER, ended, _batches("weights"), _batches("weights"), **given)
    found["samples"] = ended.training_samples
    found["refused"] = refused()
    TOGETHER.wait()
    print(json.dumps(found))
