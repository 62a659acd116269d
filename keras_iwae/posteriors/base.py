"""What every posterior does with the distribution that it gives."""

import tensorflow as tf


class Posterior:
    """Draws and densities of a Keras layer that has `distribution(x, training)`; see `keras_iwae.posteriors`."""

    reparameterized: bool

    def sample_and_log_prob(
        self, x: tf.Tensor, num_samples: int | tf.Tensor, seed: tf.Tensor, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """K draws for each image and their log density; the encoder runs once.

        Args:
            x: images `[B, *image_shape]` in [0, 1].
            num_samples: K.
            seed: int32 `[2]`, a stateless seed: the same seed gives the same draws.
            training: whether the networks run in training mode (dropout, batch normalization).

        Returns:
            z, float32 `[K, B, D]`, differentiable in the parameters where the posterior is `reparameterized`, and
            log q(z|x) in nats, float32 `[K, B]`.
        """
        posterior = self.distribution(x, training)
        z = posterior.sample([num_samples], seed=seed)
        return z, posterior.log_prob(z)

    def log_prob(self, z: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """log q(z|x) in nats, `[K, B]`, of latents `[K, B, D]` for images `[B, *image_shape]`."""
        return self.distribution(x).log_prob(z)

    def distribution(self, x: tf.Tensor, training: bool = False):
        """q(z|x) of each image, batch `[B]` and event `[D]`."""
        raise NotImplementedError
