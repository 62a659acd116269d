"""A normalizing flow as a learned prior: coupling layers between z and N(0, I)."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_iwae.foundation import MARK, check_integer, check_seed, check_width, normal_of_rows, standard_normal_log_prob
from keras_iwae.networks import check_activation, checked_units, dense_encoder, derived_seed
from keras_iwae.priors.base import Prior

# A layer multiplies by no more than its exponential, and no less than one over it.
_LARGEST_LOG_SCALE = 2.0


@keras.saving.register_keras_serializable("keras_iwae")
class FlowPrior(Prior):
    r"""$\log p(z) = \log N(u; 0, I) - \sum_l \sum_d s_{l,d}$, u = z after L coupling layers.

    A layer leaves every other unit, a, as it is and turns the others, b, into $u_b = (z_b - t(z_a)) e^{-s(z_a)}$, where
    t and s are a dense network's, and |s| is at most 2; the next layer leaves those and turns these. It starts as
    N(0, I). Densities and draws are one pass each.

    Args:
        latent_dim: D, the number of latent units, at least 2.
        num_layers: L.
        hidden: units of the dense layers of each network.
        activation: their Keras activation, by name or callable.
        seed: seed of the initial kernels.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if a number is no positive integer, or there is one latent unit alone.

    Example:
        >>> IWAE((28, 28, 1), prior=FlowPrior(50, num_layers=4))

    References:
        Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP, equations 4 to 8.
        Chen, Kingma, Salimans, Duan, Dhariwal, Schulman, Sutskever, Abbeel (2017), Variational lossy autoencoder,
        section 3.2, on a flow as the prior.
    """

    parts = ("networks", "heads")

    def __init__(
        self,
        latent_dim: int,
        num_layers: int = 4,
        hidden: Sequence[int] = (100,),
        activation="tanh",
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(check_integer("latent_dim", latent_dim), **kwargs)
        if latent_dim < 2:
            raise ValueError(
                f"{MARK}latent_dim`. Expected at least 2 units, of which a coupling layer changes some given the "
                f"others. Received: {latent_dim}"
            )
        self.num_layers, self.hidden = check_integer("num_layers", num_layers), tuple(checked_units(hidden))
        check_activation("activation", activation)
        self.activation, self.seed = keras.activations.get(activation), check_seed("seed", seed)
        # Tuples, of which TensorFlow's checkpoints hold the layers; of Keras' lists they do not, and say nothing.
        self.networks = tuple(
            dense_encoder(self.hidden, activation, derived_seed(seed, layer), self.dtype_policy, f"coupling_{layer}")
            for layer in range(self.num_layers)
        )
        # Zeros, and in float32: at the start nothing is changed, and densities are in float32.
        self.heads = tuple(
            keras.layers.Dense(
                2 * self._changed(layer), kernel_initializer="zeros", dtype="float32", name=f"head_{layer}"
            )
            for layer in range(self.num_layers)
        )

    def get_config(self):
        activation = keras.activations.serialize(self.activation)
        own = {"num_layers": self.num_layers, "hidden": self.hidden, "activation": activation, "seed": self.seed}
        return {**super().get_config(), **own}

    def build(self, input_shape):
        for layer, (network, head) in enumerate(zip(self.networks, self.heads, strict=True)):
            if not network.built:
                network.build((None, self.latent_dim - self._changed(layer)))
                head.build((None, self.hidden[-1]))
        self.built = True

    def _changed(self, layer: int) -> int:
        """How many units a layer changes: those at odd places, or at even ones."""
        return (self.latent_dim + layer % 2) // 2

    def _coupling(self, layer: int, kept: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Shift and log scale of the units that a layer changes, `[N, D_b]` each, given the others `[N, D_a]`."""
        found = self.heads[layer](self.networks[layer](kept, training=training))
        shift, raw = tf.split(tf.cast(found, tf.float32), 2, axis=-1)
        return shift, _LARGEST_LOG_SCALE * tf.tanh(raw / _LARGEST_LOG_SCALE)

    def log_prob(self, z: tf.Tensor, training: bool = False) -> tf.Tensor:
        """log p(z) in nats, `[K, B]`, of latents `[K, B, D]`; `training` is for the networks.

        Args:
            z: latents `[..., D]`.
            training: whether the networks run in training mode.

        Returns:
            float32 `[...]`.
        """
        check_width("latents", z, self.latent_dim)
        points = tf.reshape(tf.cast(z, tf.float32), [-1, self.latent_dim])
        log_scales = tf.zeros(tf.shape(points)[:1])
        halves = [points[:, ::2], points[:, 1::2]]
        for layer in range(self.num_layers):
            kept = layer % 2
            shift, log_scale = self._coupling(layer, halves[kept], training)
            halves[1 - kept] = (halves[1 - kept] - shift) * tf.exp(-log_scale)
            log_scales += tf.reduce_sum(log_scale, axis=-1)
        log_prob = standard_normal_log_prob(tf.concat(halves, axis=-1)) - log_scales
        return tf.reshape(log_prob, tf.shape(z)[:-1])

    def sample(self, num_samples: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """N draws, float32 `[N, D]`; `seed`, int32 `[2]`, is a stateless one."""
        return self.of_noise(normal_of_rows(seed, [num_samples, self.latent_dim], axis=0))[0]

    def of_noise(self, noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        log_prob = standard_normal_log_prob(noise)
        halves = [noise[:, : (self.latent_dim + 1) // 2], noise[:, (self.latent_dim + 1) // 2 :]]
        for layer in reversed(range(self.num_layers)):
            kept = layer % 2
            shift, log_scale = self._coupling(layer, halves[kept], training=False)
            halves[1 - kept] = shift + halves[1 - kept] * tf.exp(log_scale)
            log_prob -= tf.reduce_sum(log_scale, axis=-1)
        order = [*range(0, self.latent_dim, 2), *range(1, self.latent_dim, 2)]
        return tf.gather(tf.concat(halves, axis=-1), np.argsort(order), axis=-1), log_prob
