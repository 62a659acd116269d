"""The one network of every side, its weights, what a step of it multiplies, and an impartial judge of the result.

x(784) -> tanh 200 -> tanh 200 -> z(50), and back: the one-layer model of Burda, Grosse and Salakhutdinov (2015). The
weights are 14 arrays, kernels [inputs, outputs] and biases in turn: two layers of the encoder, the mean's head, the
log standard deviation's head, three layers of the decoder.
"""

import os
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Network:
    """Sizes of a mirrored network with one stochastic layer."""

    pixels: int = 784
    hidden: tuple[int, int] = (200, 200)
    latent_dim: int = 50

    @property
    def encoder(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of the encoder's products: two layers and two heads."""
        first, second = self.hidden
        return [(self.pixels, first), (first, second), (second, self.latent_dim), (second, self.latent_dim)]

    @property
    def decoder(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of the decoder's products."""
        first, second = self.hidden
        return [(self.latent_dim, second), (second, first), (first, self.pixels)]

    def weights(self, seed: int = 0) -> list[np.ndarray]:
        """Glorot's uniform kernels and zero biases, from which every side starts."""
        rng, arrays = np.random.default_rng(seed), []
        for inputs, outputs in [*self.encoder, *self.decoder]:
            limit = np.sqrt(6.0 / (inputs + outputs))
            arrays.append(rng.uniform(-limit, limit, (inputs, outputs)).astype(np.float32))
            arrays.append(np.zeros(outputs, np.float32))
        return arrays


def save_weights(path: str | os.PathLike, weights: list[np.ndarray]) -> None:
    np.savez(path, **{f"w{i}": np.asarray(w, np.float32) for i, w in enumerate(weights)})


def load_weights(path: str | os.PathLike) -> list[np.ndarray]:
    with np.load(path) as arrays:
        return [arrays[f"w{i}"] for i in range(len(arrays.files))]


def variables_of(model) -> list:
    """The variables of a `keras_iwae.IWAE`, in the order of this module."""
    heads = model.posterior.loc_head, model.posterior.log_scale_head
    return [
        *model.posterior.encoder.trainable_variables,
        *(weight for head in heads for weight in (head.kernel, head.bias)),
        *model.generative.decoder.trainable_variables,
        *model.generative.likelihood.trainable_variables,
    ]


def assign(model, weights: list[np.ndarray]) -> None:
    """Give a `keras_iwae.IWAE` these weights."""
    for variable, value in zip(variables_of(model), weights, strict=True):
        variable.assign(value)


def with_output_bias(weights: list[np.ndarray], images: np.ndarray) -> list[np.ndarray]:
    """The weights with the logit of each pixel's mean, of uint8 `images`, as the last bias: as in the paper's code."""
    mean = np.clip(images.mean(0) / 255.0, 0.001, 0.999)
    return [*weights[:-1], np.log(mean / (1.0 - mean)).astype(np.float32)]


def product_flops(layers: list[tuple[int, int]], rows: int) -> int:
    """Floating point operations of one matrix product a layer over `rows` rows: a multiplication and an addition."""
    return sum(2 * rows * inputs * outputs for inputs, outputs in layers)


def step_flops(network: Network, batch: int, samples: int, drawn: int | None = None) -> int:
    """Floating point operations of the matrix products of one training step, and of nothing else.

    A layer costs three products: forward, gradient by its kernel, gradient by its input; the encoder's first layer only
    two, because nobody asks for the gradient by the image. The encoder runs over B rows, once, the decoder over K B.
    With the resampled backward pass the decoder runs forward over K B rows and costs three products over m B.
    Exponentials, logarithms, tanh, random numbers and Adam are not counted, so the rate that follows is understated.

    Args:
        network: the sizes.
        batch: B.
        samples: K.
        drawn: m, samples of the resampled backward pass; `None` is the exact one.
    """
    encoder = 3 * product_flops(network.encoder, batch) - product_flops(network.encoder[:1], batch)
    if drawn is None:
        return encoder + 3 * product_flops(network.decoder, samples * batch)
    return encoder + product_flops(network.decoder, (samples + 3 * drawn) * batch)


def nll_flops(network: Network, samples: int) -> int:
    """Floating point operations of the matrix products that K samples of one image take: encoder once, decoder K."""
    return product_flops(network.encoder, 1) + product_flops(network.decoder, samples)


def log_weights(weights: list[np.ndarray], images: np.ndarray, num_samples: int, seed: int = 0) -> np.ndarray:
    """log w = log p(x|z) + log p(z) - log q(z|x) in nats, `[K, B]`, in NumPy and float64: no side's own arithmetic."""
    kernels, biases = [w.astype(np.float64) for w in weights[::2]], [b.astype(np.float64) for b in weights[1::2]]

    def dense(x: np.ndarray, layer: int) -> np.ndarray:
        return x @ kernels[layer] + biases[layer]

    features = np.tanh(dense(np.tanh(dense(images, 0)), 1))
    mean, log_scale = dense(features, 2), dense(features, 3)
    noise = np.random.default_rng(seed).standard_normal((num_samples, *mean.shape))
    z = mean + np.exp(log_scale) * noise
    logits = dense(np.tanh(dense(np.tanh(dense(z, 4)), 5)), 6)
    log_likelihood = (images * logits - np.logaddexp(0.0, logits)).sum(-1)
    return log_likelihood + (0.5 * noise**2 - 0.5 * z**2 + log_scale).sum(-1)


def mean_bound(weights: list[np.ndarray], images: np.ndarray, num_samples: int, seed: int = 0) -> float:
    """Mean over images of L_K in nats, by `log_weights`."""
    terms = log_weights(weights, images, num_samples, seed)
    return float(np.mean(np.logaddexp.reduce(terms, axis=0) - np.log(num_samples)))
