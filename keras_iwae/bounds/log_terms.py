"""The log densities that a log weight is made of."""

from typing import NamedTuple

import tensorflow as tf


class LogTerms(NamedTuple):
    """The three log densities, in nats and float32 `[K, B]` each, that a log weight is made of."""

    likelihood: tf.Tensor
    prior: tf.Tensor
    posterior: tf.Tensor

    @property
    def weights(self) -> tf.Tensor:
        """log w = log p(x|z) + log p(z) - log q(z|x)."""
        return self._with_known_shape(self.likelihood + self.prior - self.posterior)

    def tempered(self, kl_weight: tf.Tensor | float) -> tf.Tensor:
        """log w with its KL part, log p(z) - log q(z|x), multiplied by `kl_weight`."""
        return self._with_known_shape(self.likelihood + kl_weight * (self.prior - self.posterior))

    def _with_known_shape(self, weights: tf.Tensor) -> tf.Tensor:
        # TFP's densities forget that K is 1 where the size of the batch is not known.
        return tf.ensure_shape(weights, self.likelihood.shape)
