"""A model without some of its units is the smaller model that never had them."""

import numpy as np
import pytest
import tensorflow as tf

from keras_iwae import AVB, IWAE
from keras_iwae.evaluation.pruning import pruned

X = (np.random.default_rng(0).random((7, 12)) < 0.4).astype(np.float32)


def log_weight(model, z):
    return (model.generative.log_joint(X, z) - model.posterior.log_prob(z, X)).numpy()


def random_weights(model, seed=1):
    rng = np.random.default_rng(seed)
    model.set_weights([w if w.dtype == np.int64 else 0.5 * rng.normal(size=w.shape) for w in model.get_weights()])


def sliced(weights, small_model):
    """Weights cut to the smaller model's shapes; the units that go are the last of each layer."""
    return [w[tuple(slice(n) for n in s.shape)] for w, s in zip(weights, small_model.get_weights(), strict=True)]


def centre_units(model, keep, at):
    """Put the prior mean of the units that go at `at`, whatever is above them; 0 in the last layer, where it is 0."""
    prior = model.generative.prior
    if not hasattr(prior, "networks"):
        return [np.zeros(model.latent_dim)]
    layers, means = np.split(keep, np.cumsum(prior.latent_dims)[:-1]), []
    for network, kept in zip(prior.networks, layers[:-1], strict=True):
        network.loc_head.kernel.assign(network.loc_head.kernel * kept)
        network.loc_head.bias.assign(np.where(kept, network.loc_head.bias, at))
        means.append(np.where(kept, 0.0, at))
    return [*means, np.zeros(prior.latent_dims[-1])]


def first_layers(model):
    """Kernel and bias of what sees each layer of latents: [(networks on z_1), (networks on z_2), ...]."""
    upward, downward = getattr(model.posterior, "networks", []), getattr(model.generative.prior, "networks", [])
    seen = zip([*upward, None], [model.generative.decoder, *downward], strict=True)
    return [[network.trainable_variables[:2] for network in networks if network is not None] for networks in seen]


@pytest.mark.slow
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
    keep = np.array(keep, bool)
    means = centre_units(model, keep, at=3.0)
    reference.set_weights(sliced(model.get_weights(), reference))
    for networks, small_networks, mean in zip(first_layers(model), first_layers(reference), means, strict=True):
        for (kernel, _), (_, bias) in zip(networks, small_networks, strict=True):
            bias.assign_add(mean.astype(np.float32) @ kernel.numpy())
    z = np.random.default_rng(2).normal(size=(5, 7, len(keep))).astype(np.float32)
    cut = pruned(model, keep)
    np.testing.assert_allclose(log_weight(cut, z), log_weight(reference, z[..., keep]), rtol=1e-5, atol=1e-5)
    # The control: units that are kept do matter, and the model itself is left alone.
    assert np.abs(log_weight(cut, z) - log_weight(model, z)).min() > 1e-3
    np.testing.assert_array_equal(log_weight(pruned(model, np.ones_like(keep)), z), log_weight(model, z))


@pytest.mark.slow
def test_what_cannot_be_pruned_is_refused():
    model = IWAE(12, latent_dim=4, hidden=(6,), num_samples=2)
    with pytest.raises(ValueError, match=r"`keep`. Expected \[4\]"):
        pruned(model, np.ones(3, bool))
    binary = IWAE(12, latent_dim=4, hidden=(6,), num_samples=2, posterior="bernoulli", estimator="vimco")
    for other in (binary, AVB(12, latent_dim=4, hidden=(6,))):
        with pytest.raises(ValueError, match=r"`model`\. Expected Gaussian posteriors"):
            pruned(other, np.ones(4, bool))


def test_mean_of_a_removed_unit_is_zero():
    model = IWAE(12, latent_dim=4, hidden=(6,), num_samples=2)
    random_weights(model)
    means = pruned(model, np.array([True, False, True, True])).posterior.mean(tf.constant(X)).numpy()
    np.testing.assert_array_equal(means[:, 1], 0.0)
    assert np.all(means[:, 0] != 0.0)
