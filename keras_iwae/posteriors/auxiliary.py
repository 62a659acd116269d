r"""Auxiliary variables: q(z|x) = \int q(a|x) q(z|a, x) da, a mixture of infinitely many Gaussians.

Its density is not known, but that of z and a together is. With any p(a|x, z), trained along,

    log w = log p(x|z) + log p(z) + log p(a|x, z) - log q(a|x) - log q(z|a, x)

is the log weight of a model of x, z and a whose p(x) is the same, so every bound on it is a bound on log p(x). Here a
comes after z in the latent vector, where the generative model does not look, and log p(a|x, z) is taken off log q.
"""

from dataclasses import dataclass

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import DiagonalGaussian, antithetic_noise, check_integer
from keras_iwae.networks import ConditionalGaussian, derived_seed
from keras_iwae.posteriors.amortized import AmortizedPosterior

tfd = tfp.distributions

_DRAWS = 256


@dataclass(frozen=True)
class AuxiliaryGaussian:
    """q of draws [z, a], batch `[B]` and event `[D + A]`, for images that the encoder has seen already.

    Attributes:
        features: of the images, `[B, F]`.
        auxiliary: q(a|x), event `[A]`.
        forward: parameters of q(z|a, x).
        backward: parameters of p(a|x, z).
    """

    features: tf.Tensor
    auxiliary: DiagonalGaussian
    forward: ConditionalGaussian
    backward: ConditionalGaussian

    def _given(self, network: ConditionalGaussian, vectors: tf.Tensor) -> DiagonalGaussian:
        return DiagonalGaussian(*network(self.features, vectors))

    def _split(self, draws: tf.Tensor) -> list[tf.Tensor]:
        return tf.split(draws, [self.forward.size, self.backward.size], axis=-1)

    def sample(self, sample_shape=(), seed=None) -> tf.Tensor:
        """Reparameterized draws [z, a], float32 `[*sample_shape, B, D + A]`, a first and z given a.

        Args:
            sample_shape: shape of the draws for each image.
            seed: int32 `[2]`, a stateless seed, or whatever else TFP takes.
        """
        seeds = tfp.random.split_seed(seed, n=2)
        a = self.auxiliary.sample(sample_shape, seed=seeds[0])
        return tf.concat([self._given(self.forward, a).sample(seed=seeds[1]), a], axis=-1)

    def of_noise(self, noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The draws that standard normal noise `[..., B, D + A]` makes, and what `log_prob` gives of them."""
        of_z, of_a = self._split(noise)
        a, log_a = self.auxiliary.of_noise(of_a)
        z, log_z = self._given(self.forward, a).of_noise(of_z)
        return tf.concat([z, a], axis=-1), log_a + log_z - self._given(self.backward, z).log_prob(a)

    def log_density(self, draws: tf.Tensor) -> tf.Tensor:
        """log q(z, a|x) = log q(a|x) + log q(z|a, x) in nats, `[..., B]`, of draws `[..., B, D + A]`."""
        z, a = self._split(draws)
        return self.auxiliary.log_prob(a) + self._given(self.forward, a).log_prob(z)

    def log_prob(self, draws: tf.Tensor) -> tf.Tensor:
        """log q(z, a|x) - log p(a|x, z) in nats, `[..., B]`: what the weight of draws `[..., B, D + A]` has for log q.

        It is log q(z|x) for every a where p(a|x, z) is q(a|x, z), and more on average where it is not.
        """
        z, a = self._split(draws)
        return self.log_density(draws) - self._given(self.backward, z).log_prob(a)

    def reparameterize(self, draws: tf.Tensor) -> tf.Tensor:
        """The values of draws `[..., B, D + A]` as a differentiable function of all parameters, the noise held."""

        def again(normal: DiagonalGaussian, value: tf.Tensor) -> tf.Tensor:
            return normal.bijector.forward(tf.stop_gradient(normal.bijector.inverse(value)))

        z, a = self._split(draws)
        a = again(self.auxiliary, a)
        return tf.concat([again(self._given(self.forward, a), z), a], axis=-1)

    def _moments(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and standard deviation of z, `[B, D]`: averages over 256 fixed a's of the moments of q(z|a, x)."""
        noise = antithetic_noise(_DRAWS, self.backward.size)
        return self.forward.mixture_moments(self.features, self.auxiliary.bijector.forward(noise))

    def mean(self) -> tf.Tensor:
        """Mean of z, `[B, D]`, over 256 values of a of fixed noise."""
        return self._moments()[0]

    def stddev(self) -> tf.Tensor:
        """Standard deviation of z, `[B, D]`, over 256 values of a of fixed noise."""
        return self._moments()[1]


@keras.saving.register_keras_serializable("keras_iwae")
class AuxiliaryPosterior(AmortizedPosterior):
    r"""$q(z|x) = \int q(a|x) q(z|a, x) da$ with $p(a|x, z)$; all three are diagonal Gaussians on the same features.

    Draws are [z, a], of which the generative model sees z; `distribution(x).log_prob` of them is
    log q(a|x) + log q(z|a, x) - log p(a|x, z), so that log weights come out right wherever they are made. The reported
    KL is an upper bound of that of q(z|x).

    p(a|x, z) is trained by the weights of all samples, as the generative model is. The estimators that change what the
    encoder gets would not train it, and are refused.

    Args:
        encoder: Keras layer or model from images `[B, *event_shape]` to features `[B, F]`.
        latent_dim: D, the number of latent units.
        seed: seed of the initial kernels.
        auxiliary_dim: A, the number of auxiliary variables; `None` is D.
        units: hidden units of q(z|a, x) and of p(a|x, z).
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `latent_dim`, `auxiliary_dim` or `units` is no positive integer.

    Example:
        >>> posterior = AuxiliaryPosterior(dense_encoder(), latent_dim=50, auxiliary_dim=20)
        >>> z_and_a, log_q = posterior.sample_and_log_prob(np.zeros((3, 784)), 7, tf.constant([0, 1]))
        >>> z_and_a.shape, log_q.shape
        (TensorShape([7, 3, 70]), TensorShape([7, 3]))

    References:
        Maaløe, Sønderby, Sønderby, Winther (2016), Auxiliary deep generative models, equation 3;
        Ranganath, Tran, Blei (2016), Hierarchical variational models, equation 5.
    """

    total_only = "with auxiliary variables, whose p(a|x, z) needs the weight of every sample"
    density = "joint"
    parts = "forward", "backward"

    def __init__(
        self,
        encoder: keras.Layer,
        latent_dim: int,
        seed: int = 0,
        auxiliary_dim: int | None = None,
        units: int = 100,
        **kwargs,
    ):
        super().__init__(encoder, latent_dim, seed, **kwargs)
        self.auxiliary_dim = check_integer("auxiliary_dim", latent_dim if auxiliary_dim is None else auxiliary_dim)
        self.units = units
        # It starts near a Gaussian of z: a says little of z, and q(a|x) and p(a|x, z) are near N(0, I), both. What they
        # would disagree on by chance, and the noise that a would be, lets units of z fall asleep for good.
        self.add_head(self.auxiliary_dim, "auxiliary_loc", gain=0.1)
        self.add_head(self.auxiliary_dim, "auxiliary_log_scale", gain=0.1)
        self.forward = ConditionalGaussian(latent_dim, units, derived_seed(seed, 2), vector_gain=0.1, name="forward")
        self.backward = ConditionalGaussian(
            self.auxiliary_dim, units, derived_seed(seed, 3), head_gain=0.1, name="backward"
        )

    def get_config(self):
        return {**super().get_config(), "auxiliary_dim": self.auxiliary_dim, "units": self.units}

    def build(self, input_shape):
        super().build(input_shape)
        self.forward.build(self._features_shape, (None, self.auxiliary_dim))
        self.backward.build(self._features_shape, (None, self.latent_dim))

    def call(self, images, training=False):
        """Return the features `[B, F]` and the mean and the standard deviation of q(a|x), float32 `[B, A]` each."""
        features = keras.ops.cast(self.encoder(images, training=training), "float32")
        loc, log_scale = (head(features) for head in self.heads)
        return features, loc, keras.ops.exp(log_scale)

    def distribution(self, x: tf.Tensor, training: bool = False) -> AuxiliaryGaussian:
        """q(z, a|x) of each image of `x` `[B, *event_shape]`, of batch `[B]` and event `[D + A]`; one encoder run."""
        features, loc, scale = self(x, training=training)
        return AuxiliaryGaussian(features, DiagonalGaussian(loc, scale), self.forward, self.backward)

    def reparameterize(self, distribution: AuxiliaryGaussian, z: tf.Tensor) -> tf.Tensor:
        """The values of draws `[K, B, D + A]` as a function of all parameters."""
        return distribution.reparameterize(z)
