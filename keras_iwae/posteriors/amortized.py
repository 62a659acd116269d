"""What a posterior is made of where it is an encoder and layers on its features: how it is built, saved and loaded."""

from typing import ClassVar

import keras

from keras_iwae.foundation import check_integer
from keras_iwae.networks import check_layer, features_shape, glorot
from keras_iwae.posteriors.base import Posterior


class AmortizedPosterior(Posterior):
    """A posterior whose parameters are layers, its `heads`, on the features that an encoder gives.

    Args:
        encoder: Keras layer or model from images `[B, *event_shape]` to features `[B, F]`.
        latent_dim: D, the number of latent units.
        seed: seed of the heads' initial kernels.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `latent_dim` is no positive integer, or the encoder no Keras layer that gives vectors.
    """

    parts: ClassVar[tuple[str, ...]] = ("heads",)

    def __init__(self, encoder: keras.Layer, latent_dim: int, seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        check_layer(encoder, "encoder")
        self.encoder, self.latent_dim, self.seed = encoder, check_integer("latent_dim", latent_dim), seed
        # Tuples, of which TensorFlow's checkpoints hold the layers; of Keras' lists they do not, and say nothing.
        self.heads: tuple[keras.Layer, ...] = ()

    def get_config(self):
        encoder = keras.saving.serialize_keras_object(self.encoder)
        return {**super().get_config(), "encoder": encoder, "latent_dim": self.latent_dim, "seed": self.seed}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "encoder": keras.saving.deserialize_keras_object(config["encoder"])})

    def build(self, input_shape):
        self._features_shape = features_shape(self.encoder, input_shape)
        for head in self.heads:
            if not head.built:
                head.build(self._features_shape)
        self.built = True

    def add_head(self, units: int, name: str, gain: float = 1.0) -> None:
        """Append a dense head to `heads`; no two kernels start alike, and `gain` multiplies what it starts with."""
        kernel = glorot(self.seed, len(self.heads), gain)
        # Float32 under mixed precision too, as are all log densities.
        head = keras.layers.Dense(units, kernel_initializer=kernel, dtype="float32", name=name)
        self.heads = (*self.heads, head)
