"""A Gaussian given features of an image and a vector beside them: what q(z|a, x) and p(a|x, z) are made of."""

import keras
import tensorflow as tf

from keras_iwae.foundation import FixedArguments, check_integer, check_positive_float32
from keras_iwae.networks.initializers import glorot


@keras.saving.register_keras_serializable("keras_iwae")
class ConditionalGaussian(FixedArguments, keras.Layer):
    r"""$\mu$ and $\sigma = \exp(\mathrm{linear})$, both linear in $g = \tanh(W_h h + W_u u + b)$.

    The features' share of g belongs to the image and is computed once, however many u follow.

    Args:
        size: number of the Gaussian's dimensions.
        units: units of the hidden layer g.
        seed: seed of the initial kernels.
        vector_gain: multiplies what W_u starts with: with a small one the vector hardly matters at first.
        head_gain: multiplies what the kernels of mu and sigma start with: with a small one it is N(0, I) at first.
        **kwargs: passed to `keras.Layer`, but for `dtype`: it is float32, whatever is given.

    Raises:
        ValueError: if `size` or `units` is no positive integer, or a gain no number above 0.
    """

    parts = ("of_features", "of_vector", "loc_head", "log_scale_head")

    def __init__(
        self,
        size: int,
        units: int = 100,
        seed: int = 0,
        vector_gain: float = 1.0,
        head_gain: float = 1.0,
        **kwargs,
    ):
        # Float32 under mixed precision too: what it gives makes log densities.
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.size, self.units, self.seed = check_integer("size", size), check_integer("units", units), seed
        self.vector_gain = check_positive_float32("vector_gain", vector_gain)
        self.head_gain = check_positive_float32("head_gain", head_gain)

        def dense(units, index, name, gain=1.0, **options):
            kernel = glorot(seed, index, gain)
            return keras.layers.Dense(units, kernel_initializer=kernel, dtype="float32", name=name, **options)

        self.of_features = dense(self.units, 0, "of_features")
        self.of_vector = dense(self.units, 1, "of_vector", self.vector_gain, use_bias=False)
        self.loc_head = dense(self.size, 2, "loc", self.head_gain)
        self.log_scale_head = dense(self.size, 3, "log_scale", self.head_gain)

    def get_config(self):
        names = "size", "units", "seed", "vector_gain", "head_gain"
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def build(self, features_shape, vector_shape):
        hidden = (None, self.units)
        layers = (self.of_features, self.of_vector, self.loc_head, self.log_scale_head)
        for layer, shape in zip(layers, (features_shape, vector_shape, hidden, hidden), strict=True):
            if not layer.built:
                layer.build(shape)
        self.built = True

    def call(self, features, vectors):
        """Mean and standard deviation, float32 `[..., B, size]`, given features `[B, F]` and vectors `[..., B, E]`."""
        # One matrix product over all K * B rows, not K of them over B.
        rows = self.of_vector(tf.reshape(vectors, [-1, vectors.shape[-1]]))
        leading = tf.shape(vectors)[:-1]
        hidden = tf.tanh(self.of_features(features) + tf.reshape(rows, tf.concat([leading, [self.units]], axis=0)))
        rows = tf.reshape(hidden, [-1, self.units])
        shape = tf.concat([leading, [self.size]], axis=0)
        return tf.reshape(self.loc_head(rows), shape), tf.reshape(tf.exp(self.log_scale_head(rows)), shape)

    def mixture_moments(self, features: tf.Tensor, vectors: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        r"""Mean and standard deviation, `[B, size]`, of the even mixture of the Gaussians of S vectors `[S, B, E]`.

        $\mathrm{Var} = \frac1S \sum_s \sigma_s^2 + \mathrm{Var}_s(\mu_s)$.
        """
        locs, scales = self(features, vectors)
        variance = tf.reduce_mean(scales**2, axis=0) + tf.math.reduce_variance(locs, axis=0)
        return tf.reduce_mean(locs, axis=0), tf.sqrt(variance)
