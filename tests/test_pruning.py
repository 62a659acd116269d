"""A model without some of its units is the smaller model that never had them."""

import numpy as np
import pytest
import tensorflow as tf

from keras_iwae import IWAE
from keras_iwae.evaluation.pruning import pruned

X = (np.random.default_rng(0).random((7, 12)) < 0.4).astype(np.float32)


def log_weight(model, z):
    return (model.generative.log_joint(X, z) - model.posterior.log_prob(z, X)).numpy()


def random_weights(model, seed=1):
    rng = np.random.default_rng(seed)
    model.set_weights([w if w.dtype == np.int64 else 0.5 * rng.normal(size=w.shape) for w in model.get_weights()])


def sliced(weights, model, small_model):
    """Weights cut to the smaller model's shapes; the units that go are the last of each layer."""
    return [w[tuple(slice(n) for n in s.shape)] for w, s in zip(weights, small_model.get_weights(), strict=True)]


@pytest.mark.parametrize(
    ("big", "small", "keep"),
    [
        (4, 3, [1, 1, 1, 0]),
        ((4, 3), (3, 2), [1, 1, 1, 0, 1, 1, 0]),
        ((4, 3, 2), (2, 3, 1), [1, 1, 0, 0, 1, 1, 1, 1, 0]),
    ],
    ids=["one layer", "two layers", "three layers"],
)
def test_pruned_model_is_the_smaller_model(big, small, keep):
    several = not isinstance(big, int)
    hidden = ((6,), (5,), (4,))[: len(big)] if several else (6,)
    model, reference = (IWAE(12, latent_dim=dim, hidden=hidden, num_samples=2) for dim in (big, small))
    random_weights(model)
    reference.set_weights(sliced(model.get_weights(), model, reference))
    keep = np.array(keep, bool)
    z = np.random.default_rng(2).normal(size=(5, 7, len(keep))).astype(np.float32)
    cut = pruned(model, keep)
    np.testing.assert_allclose(log_weight(cut, z), log_weight(reference, z[..., keep]), rtol=1e-5, atol=1e-5)
    # The control: units that are kept do matter, and the model itself is left alone.
    assert np.abs(log_weight(cut, z) - log_weight(model, z)).min() > 1e-3
    np.testing.assert_array_equal(log_weight(pruned(model, np.ones_like(keep)), z), log_weight(model, z))


def test_what_cannot_be_pruned_is_refused():
    model = IWAE(12, latent_dim=4, hidden=(6,), num_samples=2)
    with pytest.raises(ValueError, match=r"`keep`. Expected \[4\]"):
        pruned(model, np.ones(3, bool))
    binary = IWAE(12, latent_dim=4, hidden=(6,), num_samples=2, posterior="bernoulli", estimator="vimco")
    with pytest.raises(ValueError, match="Expected Gaussian posteriors"):
        pruned(binary, np.ones(4, bool))


def test_mean_of_a_removed_unit_is_zero():
    model = IWAE(12, latent_dim=4, hidden=(6,), num_samples=2)
    random_weights(model)
    means = pruned(model, np.array([True, False, True, True])).posterior.mean(tf.constant(X)).numpy()
    np.testing.assert_array_equal(means[:, 1], 0.0)
    assert np.all(means[:, 0] != 0.0)
