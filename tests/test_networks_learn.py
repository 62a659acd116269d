"""Convolutional networks learn with their defaults: they leave independent pixels behind, with every seed."""

import keras
import numpy as np
import pytest

from keras_iwae import IWAE, conv_decoder, conv_encoder, data

pytestmark = pytest.mark.slow
# Steps, and by how many nats the bound has to pass what independent pixels of the training mean can have.
WANTED = {"digits": (100, 1.5), "mnist": (40, 20.0), "omniglot": (100, 8.0)}


def independent(images, mean):
    """log p of images whose pixels are independent, with the mean of the training images, in nats an image."""
    m = np.clip(mean, 0.001, 0.999)
    return float((images * np.log(m) + (1.0 - images) * np.log(1.0 - m)).reshape(len(images), -1).sum(axis=1).mean())


def gain(dataset, seed, steps, **options):
    """Nats by which the bound of validation images passes independent pixels."""
    mean = data.mean_image(dataset)
    networks = {
        "encoder": conv_encoder(seed=seed, **options),
        "decoder": conv_decoder(mean.shape, seed=seed + 1, **options),
    }
    model = IWAE(mean.shape, latent_dim=20, num_samples=5, seed=seed, **networks)
    model.initialize_output_bias(mean)
    model.compile(keras.optimizers.Adam(1e-3))
    model.fit(data.load(dataset, "train", 100, seed=seed).repeat().take(steps), verbose=0)
    images = next(iter(data.load(dataset, "validation", 100))).numpy()
    return model.evaluate(images, verbose=0, return_dict=True)["bound"] - independent(images, mean)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("dataset", WANTED)
def test_it_leaves_independent_pixels_behind(dataset, seed, request):
    if dataset != "digits":
        request.getfixturevalue("real_data")
    steps, wanted = WANTED[dataset]
    assert gain(dataset, seed, steps) > wanted


def test_networks_of_relus_would_fail():
    """Set to the mean image, a decoder of ReLUs has most of them dead after a few steps, and stays there."""
    assert gain("digits", 0, WANTED["digits"][0], activation="relu") < WANTED["digits"][1]
