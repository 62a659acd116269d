"""Fits on one device and on several, in a process of their own: how far what they give is apart, as JSON.

python tests/replicated_fits.py REPLICAS [CASE ...]
"""

import contextlib
import json
import sys
import warnings

import keras
import many_graphs
import numpy as np
import tensorflow as tf
from fit_comparison import apart, said

REPLICAS = int(sys.argv[1])
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * REPLICAS
)
# One a process: the collective operations of a second would meet those of the first.
STRATEGY = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(REPLICAS)])

from keras_iwae import AVB, IWAE, data, export_saved_model, importance_weighted_nll, load_saved_model  # noqa: E402
from keras_iwae.posteriors import GaussianPosterior  # noqa: E402
from keras_iwae.training import FusedAdam  # noqa: E402

# Batches of 10 that two or three do not always divide, and a last one of 1, which leaves a replica without any.
X = (np.random.default_rng(0).random((21, 6)) < 0.4).astype(np.float32)
WEIGHTS = np.random.default_rng(1).random(21).astype(np.float32)
SMALL = {"latent_dim": 2, "hidden": (5,), "num_samples": 4}


class OwnPosterior(GaussianPosterior):
    """Of a user's own: its draws are others in each replica, and so not those of one device."""


def _own() -> IWAE:
    dense = keras.layers.Dense(5, kernel_initializer=keras.initializers.GlorotUniform(seed=1))
    return IWAE(6, hidden=(5,), num_samples=4, posterior=OwnPosterior(dense, latent_dim=2))


def _penalized() -> IWAE:
    start = keras.initializers.GlorotUniform(seed=1)
    encoder = keras.Sequential([keras.layers.Dense(5, "tanh", kernel_initializer=start, kernel_regularizer="l2")])
    return IWAE(6, latent_dim=2, hidden=(5,), encoder=encoder, objective="ae")


CASES = {
    "missing": lambda: IWAE(6, missing="nan", **SMALL),
    "autoencoder, penalty": _penalized,
    "two layers": lambda: IWAE(6, latent_dim=(3, 2), hidden=((5,), (4,)), num_samples=4),
    "learned ciwae, warm-up": lambda: IWAE(6, objective="ciwae", kl_warmup_steps=5, **SMALL),
    "resampled": lambda: IWAE(6, **{**SMALL, "num_samples": 60}, backward_samples=3),
    "vimco, binary": lambda: IWAE(6, posterior="bernoulli", estimator="vimco", **SMALL),
    "rws, weights": lambda: IWAE(6, estimator="rws", prior="mixture", **SMALL),
    "full covariance": lambda: IWAE(6, posterior="full_covariance", **SMALL),
    "mixture": lambda: IWAE(6, posterior="mixture", **SMALL),
    "autoregressive": lambda: IWAE(6, posterior="autoregressive", **SMALL),
    "adversarial": lambda: AVB(6, latent_dim=2, hidden=(5,)),
    "weights": lambda: IWAE(6, **SMALL),
    # Short enough to matter at every step.
    "clipnorm": lambda: IWAE(6, **SMALL),
    "global_clipnorm": lambda: IWAE(6, **SMALL),
    "clipvalue": lambda: IWAE(6, **SMALL),
    "own": _own,
}
# Those that draw in `evaluate` as in no other.
EVALUATED = "missing", "vimco, binary", "full covariance", "mixture", "autoregressive", "adversarial", "weights"


def _fit(name: str, replicated: bool) -> dict:
    x = np.where(np.roll(X, 1) == X, np.nan, X) if name == "missing" else X
    weights = WEIGHTS if "weights" in name else None
    with STRATEGY.scope() if replicated else contextlib.nullcontext():
        model = CASES[name]()
        # Of a large epsilon, so that steps follow the length of gradients.
        clipped = FusedAdam(5.0, epsilon=1.0, **{name: 0.01}) if "clip" in name else None
        # Six steps by themselves take a fraction of what their graph does.
        model.compile(clipped or keras.optimizers.SGD(0.05), run_eagerly=not replicated)
    given = {"batch_size": 10, "sample_weight": weights, "verbose": 0}
    fit = model.fit(x, epochs=2, shuffle=False, **given)
    found = {
        "weights": [np.asarray(weight) for weight in model.get_weights()],
        "history": [np.asarray(values) for values in fit.history.values()],
    }
    if name in EVALUATED:
        found["evaluate"] = [np.asarray(value) for value in model.evaluate(x, return_dict=True, **given).values()]
    if name == "missing":
        found["predict"] = [model.predict(x, batch_size=10, verbose=0)]
    return found


LAYERS = {
    "Dropout": lambda: keras.layers.Dropout(0.5),
    "BatchNormalization": keras.layers.BatchNormalization,
    "synchronized": lambda: keras.layers.BatchNormalization(synchronized=True),
}


def _warned(layer) -> list[str]:
    with STRATEGY.scope(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        encoder = keras.Sequential([keras.layers.Dense(4), layer()])
        IWAE(6, latent_dim=2, hidden=(5,), num_samples=4, encoder=encoder).compile("sgd")
    return [str(one.message) for one in caught]


def further() -> dict:
    """What is around `fit`: data by epochs, files, evaluations, exports, refusals."""
    found, given = {}, {"source": "digits", "split": "train", "batch_size": 100, "seed": 3}
    models = []
    for replicated in (False, True):
        with STRATEGY.scope() if replicated else contextlib.nullcontext():
            models.append(IWAE((8, 8, 1), **SMALL))
            models[-1].compile(keras.optimizers.Adam(0.01))
        models[-1].fit(data.load(**given), epochs=1, verbose=0)
    one, several = models
    found["data.load"] = apart(one.get_weights(), several.get_weights())
    several.save("several.keras")
    again = keras.models.load_model("several.keras")
    again.fit(data.load(**given, first_epoch=1), epochs=1, verbose=0)
    one.fit(data.load(**given, first_epoch=1), epochs=1, verbose=0)
    found["goes on alone"] = apart(one.get_weights(), again.get_weights())
    with STRATEGY.scope():
        back = keras.models.load_model("several.keras")
    back.fit(data.load(**given, first_epoch=1), epochs=1, verbose=0)
    found["goes on together"] = apart(one.get_weights(), back.get_weights())
    some = data.load("digits", "test", 50).take(1)
    nll = [importance_weighted_nll(model, some, num_samples=20).log_likelihood_per_example for model in (one, back)]
    found["NLL"] = apart(nll[:1], nll[1:])
    export_saved_model(back, "served")
    served = load_saved_model("served").signatures["sample_n"](num_samples=tf.constant(3), seed=tf.constant(1))
    found["served"] = apart([served["probabilities"].numpy()], [back.sample(3, 1).mean.numpy()])
    x = next(iter(some))
    refused = {method: lambda method=method: getattr(back, method)(x) for method in ("train_on_batch", "test_on_batch")}
    refused["predict_on_batch"] = lambda: back.predict_on_batch(x)
    for option in ({"jit_compile": True}, {"steps_per_execution": 2}):
        refused[next(iter(option))] = lambda option=option: back.compile("sgd", **option)
    for name in ("clipnorm", "global_clipnorm", "clipvalue", "gradient_accumulation_steps", "ema_overwrite_frequency"):
        with STRATEGY.scope():
            optimizer = keras.optimizers.SGD(0.1, use_ema="ema" in name, **{name: 2})
        refused[name] = lambda optimizer=optimizer: back.compile(optimizer)
    with STRATEGY.scope():
        scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1, clipnorm=1.0))
    refused["scaled"] = lambda: back.compile(scaled)
    outside = keras.optimizers.Adam(0.01)
    refused["outside"] = lambda: back.compile(outside)
    alone = IWAE(6, **SMALL)

    def compiled_in_the_scope():
        with STRATEGY.scope():
            alone.compile("sgd")

    refused["scope"] = compiled_in_the_scope
    found["warned"] = {name: _warned(layer) for name, layer in LAYERS.items()}
    found["refused"] = {name: said(call) for name, call in refused.items()}
    return found


if __name__ == "__main__":
    many_graphs.prepare()
    found = {}
    for case in sys.argv[2:] or CASES:
        if case == "further":
            found[case] = further()
            continue
        one, several = _fit(case, False), _fit(case, True)
        found[case] = {what: apart(one[what], several[what]) for what in one}
    print(json.dumps(found))
