r"""Implicit posterior: noise through a network, $z = f(x, \epsilon)$, whose density nobody knows."""

from dataclasses import dataclass

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import DiagonalGaussian, antithetic_noise, check_integer, normal_of_rows
from keras_iwae.networks import ConditionalGaussian
from keras_iwae.posteriors.amortized import AmortizedPosterior

_DRAWS = 64


@dataclass(frozen=True)
class ImplicitDistribution:
    """q of batch `[B]` and event `[D]`, for images that the encoder has seen already: draws, and no density.

    Attributes:
        features: of the images, `[B, F]`.
        given_noise: the Gaussian of z given features and noise.
        noise_dim: E, dimensions of the noise.
    """

    features: tf.Tensor
    given_noise: ConditionalGaussian
    noise_dim: int

    def sample(self, sample_shape=(), seed=None) -> tf.Tensor:
        """Reparameterized draws, float32 `[*sample_shape, B, D]`.

        Args:
            sample_shape: shape of the draws for each image.
            seed: int32 `[2]`, a stateless seed, or whatever else TFP takes.
        """
        noise_seed, seed = tfp.random.split_seed(seed, n=2)
        shape = tf.stack([*sample_shape, tf.shape(self.features)[0], self.noise_dim])
        noise = normal_of_rows(noise_seed, shape, axis=shape.shape[0] - 2)
        return DiagonalGaussian(*self.given_noise(self.features, noise)).sample(seed=seed)

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """Raise: there is no density.

        Raises:
            ValueError: always.
        """
        raise ValueError("Expected a posterior with a density. Received: an implicit one, which can only be drawn from")

    def moments(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and standard deviation, `[B, D]` each, over 64 values of fixed noise, the same for every image.

        The standard error of the mean is at most 1/5.6 of a standard deviation.
        """
        noise = antithetic_noise(_DRAWS, self.noise_dim)
        shape = [_DRAWS, tf.shape(self.features)[0], self.noise_dim]
        return self.given_noise.mixture_moments(self.features, tf.broadcast_to(noise, shape))

    def mean(self) -> tf.Tensor:
        """Mean, `[B, D]`, over 64 values of fixed noise."""
        return self.moments()[0]

    def stddev(self) -> tf.Tensor:
        """Standard deviation, `[B, D]`, over 64 values of fixed noise."""
        return self.moments()[1]


@keras.saving.register_keras_serializable("keras_iwae")
class ImplicitPosterior(AmortizedPosterior):
    r"""$z = \mu(h(x), \epsilon) + \sigma(h(x), \epsilon) \odot \epsilon'$ with standard normal noise of E and D units.

    mu and sigma are networks of the noise, so z has any shape; the second noise keeps its density finite, which the
    adversarial objective takes for granted. log q is not known: `keras_iwae.AVB` trains it.

    Args:
        encoder: Keras layer or model from images `[B, *event_shape]` to features `[B, F]`.
        latent_dim: D, the number of latent units.
        seed: seed of the initial kernels.
        noise_dim: E; `None` is D.
        units: hidden units of the network of noise and features.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `latent_dim`, `noise_dim` or `units` is no positive integer.

    Example:
        >>> posterior = ImplicitPosterior(dense_encoder(), latent_dim=50, noise_dim=20)
        >>> model = AVB((28, 28, 1), posterior=posterior)

    References:
        Mescheder, Nowozin, Geiger (2017), Adversarial variational Bayes, section 3.1.
    """

    density = "none"
    parts = ("given_noise",)

    def __init__(
        self,
        encoder: keras.Layer,
        latent_dim: int,
        seed: int = 0,
        noise_dim: int | None = None,
        units: int = 100,
        **kwargs,
    ):
        super().__init__(encoder, latent_dim, seed, **kwargs)
        self.noise_dim = check_integer("noise_dim", latent_dim if noise_dim is None else noise_dim)
        self.units = units
        self.given_noise = ConditionalGaussian(latent_dim, units, seed, name="given_noise")

    def get_config(self):
        return {**super().get_config(), "noise_dim": self.noise_dim, "units": self.units}

    def build(self, input_shape):
        super().build(input_shape)
        self.given_noise.build(self._features_shape, (None, self.noise_dim))

    def call(self, images, training=False):
        """Return the features, float32 `[B, F]`."""
        return keras.ops.cast(self.encoder(images, training=training), "float32")

    def distribution(self, x: tf.Tensor, training: bool = False) -> ImplicitDistribution:
        """q of each image of `x` `[B, *event_shape]`, of batch `[B]` and event `[D]`; one encoder run."""
        return ImplicitDistribution(self(x, training=training), self.given_noise, self.noise_dim)
