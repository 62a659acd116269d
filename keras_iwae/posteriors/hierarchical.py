"""Posterior of several stochastic layers, q(z|x) = q(z_1|x) q(z_2|z_1) ... q(z_L|z_{L-1}).

Each factor is a diagonal Gaussian whose parameters are a network of the layer below. The paper has L = 1 and L = 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import DiagonalGaussian, check_integer
from keras_iwae.networks import GaussianNetwork, check_activation, checked_networks, checked_sizes, dense_gaussians
from keras_iwae.posteriors.base import Posterior

tfd = tfp.distributions


@dataclass(frozen=True)
class HierarchicalGaussian:
    """q(z|x) of batch `[B]` and event `[D]`, for images that the encoder has seen already.

    Attributes:
        loc: mean of q(z_1|x), `[B, D_1]`.
        scale: standard deviation of q(z_1|x), `[B, D_1]`.
        networks: parameters of q(z_{l+1}|z_l), from l = 1.
        training: whether these networks run in training mode.
    """

    loc: tf.Tensor
    scale: tf.Tensor
    networks: Sequence[GaussianNetwork]
    training: bool = False

    def _split(self, z: tf.Tensor) -> list[tf.Tensor]:
        sizes = [self.loc.shape[-1], *(network.latent_dim for network in self.networks)]
        return tf.split(z, sizes, axis=-1)

    def _above(self, network: GaussianNetwork, z: tf.Tensor) -> DiagonalGaussian:
        return DiagonalGaussian(*network.given(z, self.training))

    def sample_and_log_prob(self, sample_shape=(), seed=None) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws `[*sample_shape, B, D]` and their log density `[*sample_shape, B]`, with one run of each network."""
        first, *seeds = tfp.random.split_seed(seed, n=1 + len(self.networks))
        layer = DiagonalGaussian(self.loc, self.scale)
        layers = [layer.sample(sample_shape, seed=first)]
        log_probs = [layer.log_prob(layers[0])]
        for network, layer_seed in zip(self.networks, seeds, strict=True):
            layer = self._above(network, layers[-1])
            layers.append(layer.sample(seed=layer_seed))
            log_probs.append(layer.log_prob(layers[-1]))
        return tf.concat(layers, axis=-1), tf.add_n(log_probs)

    def sample(self, sample_shape=(), seed=None) -> tf.Tensor:
        """Reparameterized draws, float32 `[*sample_shape, B, D]`, z_1 first and each layer given the one below.

        Args:
            sample_shape: shape of the draws for each image.
            seed: int32 `[2]`, a stateless seed, or whatever else TFP takes.

        Returns:
            all layers along the last axis.
        """
        return self.sample_and_log_prob(sample_shape, seed)[0]

    def of_noise(self, noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The draws `[..., B, D]` that standard normal noise of that shape makes, and their log density `[..., B]`."""
        first, *others = self._split(noise)
        z, log_prob = DiagonalGaussian(self.loc, self.scale).of_noise(first)
        layers, log_probs = [z], [log_prob]
        for network, each in zip(self.networks, others, strict=True):
            z, log_prob = self._above(network, z).of_noise(each)
            layers.append(z)
            log_probs.append(log_prob)
        return tf.concat(layers, axis=-1), tf.add_n(log_probs)

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """log q(z|x) in nats, `[..., B]`, of latents `[..., B, D]`: the sum over layers of log q(z_{l+1}|z_l)."""
        layers = self._split(z)
        terms = [DiagonalGaussian(self.loc, self.scale).log_prob(layers[0])]
        for network, below, above in zip(self.networks, layers[:-1], layers[1:], strict=True):
            terms.append(self._above(network, below).log_prob(above))
        return tf.add_n(terms)

    def reparameterize(self, z: tf.Tensor) -> tf.Tensor:
        r"""The values of z `[..., B, D]`, as a differentiable function of all parameters.

        $z_1 = \mu_1 + \sigma_1 \epsilon_1$ and $z_{l+1} = \mu_{l+1}(z_l) + \sigma_{l+1}(z_l) \epsilon_{l+1}$, with
        the $\epsilon$ held fixed: what the draw itself was, if z is one.
        """
        layers: list[tf.Tensor] = []
        parameters = self.loc, self.scale
        for value, network in zip(self._split(z), [*self.networks, None], strict=True):
            loc, scale = parameters
            layers.append(loc + scale * tf.stop_gradient((value - loc) / scale))
            if network is not None:
                parameters = network.given(layers[-1], self.training)
        return tf.concat(layers, axis=-1)

    def moments(self) -> tuple[tf.Tensor, tf.Tensor]:
        """`mean()` and `stddev()`, with one run of each network."""
        locs, scales = [self.loc], [self.scale]
        for network in self.networks:
            loc, scale = network.given(locs[-1], self.training)
            locs.append(loc)
            scales.append(scale)
        return tf.concat(locs, axis=-1), tf.concat(scales, axis=-1)

    def mean(self) -> tf.Tensor:
        """Mean of each layer given the mean of the one below, `[B, D]`: exact for z_1, no expectation above it."""
        return self.moments()[0]

    def stddev(self) -> tf.Tensor:
        """Standard deviation of each layer given the mean of the one below, `[B, D]`: exact for z_1, less above it."""
        return self.moments()[1]


@keras.saving.register_keras_serializable("keras_iwae")
class HierarchicalPosterior(Posterior):
    r"""$q(z|x) = q(z_1|x) \prod_l q(z_{l+1}|z_l)$, diagonal Gaussians with $\sigma = \exp(\mathrm{linear})$.

    Args:
        encoder: Keras layer or model from images `[B, *event_shape]` to features `[B, F]`, those of q(z_1|x).
        latent_dims: D_1, ..., D_L, the number of latent units of each layer, the one nearest the data first.
        hidden: a tuple of units for each q(z_{l+1}|z_l), the one nearest the data first, each from z_l to z_{l+1}.
        activation: a Keras activation, by name or callable, after every dense layer of `hidden`.
        seed: seed of the initial kernels, those of `encoder` aside.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `hidden` is not one tuple shorter than `latent_dims`, a size is no positive integer, or there
            is no such activation.

    Example:
        >>> posterior = HierarchicalPosterior(dense_encoder(), (100, 50), ((100, 100),))
        >>> z, log_q = posterior.sample_and_log_prob(np.zeros((3, 784)), 7, tf.constant([0, 1]))
        >>> z.shape, log_q.shape
        (TensorShape([7, 3, 150]), TensorShape([7, 3]))

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, section 2 and appendix.
    """

    parts = "latent_dim", "bottom", "networks"

    def __init__(
        self,
        encoder: keras.Layer,
        latent_dims: Sequence[int],
        hidden: Sequence[Sequence[int]],
        activation="tanh",
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.latent_dims = tuple(check_integer("latent_dims", size) for size in checked_sizes(latent_dims))
        self.latent_dim = sum(self.latent_dims)
        self.hidden, self.seed = checked_networks(hidden), seed
        check_activation("activation", activation)
        self.activation = keras.activations.get(activation)
        self.bottom = GaussianNetwork(encoder, self.latent_dims[0], seed, dtype=self.dtype_policy, name="bottom")
        self.networks = tuple(dense_gaussians(self.latent_dims[1:], self.hidden, activation, seed, self.dtype_policy))

    @property
    def encoder(self) -> keras.Layer:
        """The network from images to the features of q(z_1|x)."""
        return self.bottom.encoder

    def get_config(self):
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "latent_dims": self.latent_dims,
            "hidden": self.hidden,
            "activation": keras.activations.serialize(self.activation),
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "encoder": keras.saving.deserialize_keras_object(config["encoder"])})

    def build(self, input_shape):
        for network, shape in zip(
            [self.bottom, *self.networks], [input_shape, *((None, size) for size in self.latent_dims[:-1])], strict=True
        ):
            if not network.built:
                network.build(shape)
        self.built = True

    def call(self, images, training=False):
        """Return the mean and the standard deviation of each layer given the mean below, float32 `[B, D]` each."""
        return self.distribution(images, training).moments()

    def distribution(self, x: tf.Tensor, training: bool = False) -> HierarchicalGaussian:
        """The posterior of each image of `x` `[B, *event_shape]`, of batch `[B]` and event `[D]`; one encoder run."""
        if not self.built:
            self.build(x.shape)
        loc, scale = self.bottom(x, training=training)
        return HierarchicalGaussian(loc, scale, self.networks, training)

    def reparameterize(self, distribution: HierarchicalGaussian, z: tf.Tensor) -> tf.Tensor:
        """The values of z `[K, B, D]`, as a function of all parameters; see `HierarchicalGaussian.reparameterize`."""
        return distribution.reparameterize(z)

    def sample_and_log_prob(self, x, num_samples, seed, training=False):
        # Both in one go: the density at the draws needs what each network gave for them.
        return self.distribution(x, training).sample_and_log_prob([num_samples], seed)
