"""docs/extending.md: what it prints runs as printed, and is a posterior like the package's own."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae import IWAE
from keras_iwae.bounds.estimators import ESTIMATORS
from keras_iwae.bounds.gradients import bound_gradients
from keras_iwae.networks.dense import dense_encoder
from keras_iwae.posteriors import Posterior

PAGE = Path(__file__).resolve().parent.parent / "docs" / "extending.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
SHAPE = (4, 3, 1)
X = (np.random.default_rng(0).random((3, *SHAPE)) < 0.4).astype(np.float32)
SEED = tf.constant([11, 0])


@pytest.fixture(scope="module")
def names():
    found = {"__name__": "extending"}
    for block in BLOCKS:
        exec(block, found)
    return found


def test_the_posterior_is_under_forty_lines_and_the_model_is_made(names):
    lines = [line for line in BLOCKS[0].splitlines() if line.strip()]
    assert len(lines) < 40
    assert names["model"].latent_dim == 50
    assert names["model"].posterior is names["posterior"]


@pytest.mark.slow
def test_it_is_a_density_of_its_draws_with_gradients_and_is_saved(names, tmp_path):
    posterior = names["LaplacePosterior"](dense_encoder((6,), seed=1), 2, seed=2)
    model = IWAE(SHAPE, hidden=(6,), posterior=posterior, num_samples=5)
    ticks = np.linspace(-25.0, 25.0, 501)
    grid = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 1, 2).astype(np.float32)
    density = np.exp(posterior.log_prob(np.repeat(grid, 3, axis=1), X).numpy().astype(np.float64))
    np.testing.assert_allclose(density.sum(axis=0) * (ticks[1] - ticks[0]) ** 2, np.ones(3), atol=1e-2)
    z, log_q = posterior.sample_and_log_prob(X, 5, SEED)
    np.testing.assert_allclose(log_q, posterior.log_prob(z, X), rtol=1e-5)
    np.testing.assert_allclose(posterior.reparameterize(posterior.distribution(X), z), z, rtol=1e-4, atol=1e-5)
    for estimator, drawn in (("reparameterized", None), ("dreg", 2), ("vimco", None), ("rws", None)):
        found = bound_gradients(
            posterior, model.generative, X, 5, SEED, model.objective, ESTIMATORS[estimator], backward_samples=drawn
        )
        assert all(np.abs(gradient).max() > 1e-8 for gradient in found.posterior), estimator
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.log_weights(X, 5, SEED), model.log_weights(X, 5, SEED))


@keras.saving.register_keras_serializable("tests")
class Coins(Posterior):
    """Binary latents of a class that does not say so."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.latent_dim, self.encoder, self.head = 2, dense_encoder((3,)), keras.layers.Dense(2)

    def build(self, events_shape):
        self.encoder.build(events_shape)
        self.head.build((None, 3))
        self.built = True

    def distribution(self, x, training=False):
        return tfp.distributions.Independent(
            tfp.distributions.Bernoulli(logits=self.head(self.encoder(x)), dtype=tf.float32), 1
        )


class SaysSo(Coins):
    reparameterized = False


def train_once(**settings):
    model = IWAE(SHAPE, hidden=(3,), **{"num_samples": 3, **settings})
    model.compile("sgd", run_eagerly=True)
    model.train_on_batch(X)


@pytest.mark.slow
def test_draws_that_have_no_path_are_said_to_have_none():
    """Trained by their path, no weight of the posterior would move."""
    with pytest.raises(ValueError, match=r"`posterior`\. Expected `reparameterized = False` in a class .* a Coins"):
        train_once(posterior=Coins())
    train_once(posterior=SaysSo(), estimator="vimco")
    # Nothing is said of what they are, which may be real numbers.
    with pytest.raises(ValueError, match=r"`estimator`\. Expected 'vimco' or .* no differentiable function .*'auto'"):
        train_once(posterior=SaysSo())
    with pytest.raises(ValueError, match=r"`objective`\. Expected one that draws samples, for draws that are no diff"):
        train_once(posterior=SaysSo(), objective="ae", num_samples=None)
