r"""What adversarial variational Bayes learns in place of log q: a network that tells draws of q from those of r."""

import keras
import tensorflow as tf

from keras_iwae.foundation import FixedArguments, check_integer
from keras_iwae.networks.initializers import glorot
from keras_iwae.networks.shapes import check_layer, features_shape


@keras.saving.register_keras_serializable("keras_iwae")
class Discriminator(FixedArguments, keras.Layer):
    r"""$T(x, z) = v^T g_2$ with $g_1 = a(W_h h(x) + W_z z + b)$, $g_2 = a(W g_1 + c)$ and $a(t) = t \, \sigma(t)$.

    Args:
        encoder: Keras layer or model from images `[B, *event_shape]` to features `[B, F]`.
        latent_dim: D, dimensions of z.
        units: units of each of the two hidden layers.
        seed: seed of the initial kernels.
        **kwargs: passed to `keras.Layer`, but for `dtype`: it is float32, whatever is given.

    Raises:
        ValueError: if a size is no positive integer, or the encoder no Keras layer that gives vectors.
    """

    parts = ("of_features", "of_latents", "above", "ratio")

    def __init__(self, encoder: keras.Layer, latent_dim: int, units: int = 200, seed: int = 0, **kwargs):
        # Float32 under mixed precision too: what it gives stands for log densities.
        super().__init__(**{**kwargs, "dtype": "float32"})
        check_layer(encoder, "encoder")
        self.encoder, self.seed = encoder, seed
        self.latent_dim, self.units = check_integer("latent_dim", latent_dim), check_integer("units", units)

        def dense(size, index, name, **options):
            kernel = glorot(seed, index)
            return keras.layers.Dense(size, kernel_initializer=kernel, dtype="float32", name=name, **options)

        self.of_features = dense(self.units, 0, "of_features")
        self.of_latents = dense(self.units, 1, "of_latents", use_bias=False)
        self.above = dense(self.units, 2, "above", activation="silu")
        self.ratio = dense(1, 3, "ratio")

    def get_config(self):
        encoder = keras.saving.serialize_keras_object(self.encoder)
        own = {"encoder": encoder, "latent_dim": self.latent_dim, "units": self.units, "seed": self.seed}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "encoder": keras.saving.deserialize_keras_object(config["encoder"])})

    def build(self, images_shape):
        features, hidden = features_shape(self.encoder, images_shape), (None, self.units)
        layers = (self.of_features, self.of_latents, self.above, self.ratio)
        for layer, shape in zip(layers, (features, (None, self.latent_dim), hidden, hidden), strict=True):
            if not layer.built:
                layer.build(shape)
        self.built = True

    def call(self, images, training=False):
        """Return what g_1 takes of images, float32 `[B, units]`."""
        return self.of_features(keras.ops.cast(self.encoder(images, training=training), "float32"))

    def given(self, of_images: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """T of latents `[K, B, D]` and the images for which calling the layer gave `of_images`, `[K, B]`."""
        # One matrix product over all K * B rows, not K of them over B.
        rows = self.of_latents(tf.reshape(z, [-1, self.latent_dim]))
        hidden = tf.nn.silu(of_images + tf.reshape(rows, [tf.shape(z)[0], -1, self.units]))
        return tf.reshape(self.ratio(self.above(tf.reshape(hidden, [-1, self.units]))), tf.shape(z)[:-1])


def discrimination(of_posterior: tf.Tensor, of_contrast: tf.Tensor) -> tf.Tensor:
    r"""What the discriminator climbs, $\log \sigma(T(z_q)) + \log(1 - \sigma(T(z_r)))$, entry by entry.

    Its expectation is greatest for $T = \log q - \log r$, where it is at most 0; at T = 0 it is -2 log 2.

    Args:
        of_posterior: T at draws of q.
        of_contrast: T at draws of r, of the same shape.

    References:
        Mescheder, Nowozin, Geiger (2017), Adversarial variational Bayes, equation 3.3 and proposition 1.
    """
    return tf.math.log_sigmoid(of_posterior) + tf.math.log_sigmoid(-of_contrast)
