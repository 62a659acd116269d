"""The generative model p(x, z) = p(z) p(x|z): one of the priors and a Bernoulli decoder."""

import math
from typing import NamedTuple

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import bernoulli_log_likelihood
from keras_iwae.priors import Prior

tfd = tfp.distributions


class Samples(NamedTuple):
    """Draws: `latents` `[N, D]`, and `probabilities` and binary `images` `[N, *event_shape]`."""

    latents: tf.Tensor
    probabilities: tf.Tensor
    images: tf.Tensor


@keras.saving.register_keras_serializable("keras_iwae")
class GenerativeModel(keras.Layer):
    r"""A prior $p(z)$ and $p(x|z) = \prod_d \mathrm{Bernoulli}(x_d; \sigma(l_d(z)))$, logits l from a decoder.

    Args:
        decoder: Keras layer or model from the latents it sees, `prior.decoded(z)`, to logits `[N, *event_shape]`.
        prior: p(z) of all latents, one of `keras_iwae.priors`.
        event_shape: shape of one image, `(D,)` or `(H, W, C)`.
        **kwargs: passed to `keras.Layer`.

    Example:
        >>> generative = GenerativeModel(dense_decoder((784,)), StandardNormalPrior(50), (784,))
        >>> generative.sample(3, tf.constant([0, 1])).images.shape
        TensorShape([3, 784])

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, section 2.
    """

    def __init__(self, decoder: keras.Layer, prior: Prior, event_shape: tuple[int, ...], **kwargs):
        super().__init__(**kwargs)
        self.decoder, self.prior, self.event_shape = decoder, prior, tuple(event_shape)

    @property
    def latent_dim(self) -> int:
        """D, the number of latent units of all layers."""
        return self.prior.latent_dim

    def build(self, input_shape):
        if not self.prior.built:
            self.prior.build((None, self.latent_dim))
        decoded = (None, self.prior.decoded_dim)
        if not self.decoder.built:
            self.decoder.build(decoded)
        logits = tuple(self.decoder.compute_output_shape(decoded))
        if logits[1:] != self.event_shape:
            expected = ", ".join(map(str, ("N", *self.event_shape)))
            raise ValueError(
                f"Invalid value received for `decoder`. Expected logits of shape [{expected}]. Received: {list(logits)}"
            )
        self.built = True

    def call(self, latents, training=False):
        """Logits, float32 `[..., *event_shape]`, of latents `[..., D]`."""
        seen = self.prior.decoded(self._own(latents))
        # One matrix product over all K * B rows, not K of them over B.
        logits = self.decoder(keras.ops.reshape(seen, (-1, self.prior.decoded_dim)), training=training)
        shape = (*keras.ops.shape(latents)[:-1], *self.event_shape)
        return keras.ops.reshape(keras.ops.cast(logits, "float32"), shape)

    def likelihood(self, z: tf.Tensor) -> tfp.distributions.Independent:
        """p(x|z) for latents `[..., D]`: independent Bernoullis of event `event_shape`."""
        # TFP's Bernoulli is of integers by default, and truncates the grey levels of a NumPy array to 0 without a word.
        pixels = tfd.Bernoulli(logits=self(z), dtype=tf.float32)
        return tfd.Independent(pixels, reinterpreted_batch_ndims=len(self.event_shape))

    def log_likelihood(self, x: tf.Tensor, z: tf.Tensor, training: bool = False) -> tf.Tensor:
        """log p(x|z) in nats, `[K, B]`, of images `[B, *event_shape]` under latents `[K, B, D]`."""
        size = math.prod(self.event_shape)
        logits = tf.reshape(self(z, training=training), tf.concat([tf.shape(z)[:-1], [size]], axis=0))
        log_likelihood = bernoulli_log_likelihood(tf.reshape(x, [-1, size]), logits)
        # Otherwise K = 1 is lost in a batch of unknown size: 1 and an unknown number broadcast to an unknown number.
        known = tf.broadcast_static_shape(tf.TensorShape(z.shape[:-1]), tf.TensorShape(x.shape[:1]))
        return tf.ensure_shape(log_likelihood, known)

    def log_prior(self, z: tf.Tensor, training: bool = False) -> tf.Tensor:
        """log p(z) in nats, `[K, B]`, of latents `[K, B, D]`."""
        return self.prior.log_prob(self._own(z), training)

    def _own(self, z: tf.Tensor) -> tf.Tensor:
        """The latents without auxiliary variables of a posterior, which come after them."""
        return z if z.shape[-1] == self.latent_dim else z[..., : self.latent_dim]

    def log_joint(self, x: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """log p(x, z) in nats, `[K, B]`, of images `[B, *event_shape]` and latents `[K, B, D]`."""
        return self.log_likelihood(x, z) + self.log_prior(z)

    def sample(self, num_samples: int | tf.Tensor, seed: tf.Tensor) -> Samples:
        """Ancestral samples, z ~ p(z), then x ~ p(x|z).

        Args:
            num_samples: N.
            seed: int32 `[2]`, a stateless seed.

        Returns:
            `Samples(latents, probabilities, images)`.
        """
        latent_seed, image_seed = tf.unstack(tf.random.split(seed, 2))
        latents = self.prior.sample(num_samples, latent_seed)
        likelihood = self.likelihood(latents)
        return Samples(latents, likelihood.mean(), likelihood.sample(seed=image_seed))

    def get_config(self):
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in ("decoder", "prior")}
        return {**super().get_config(), **parts, "event_shape": self.event_shape}

    @classmethod
    def from_config(cls, config):
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("decoder", "prior")}
        return cls(**{**config, **parts})
