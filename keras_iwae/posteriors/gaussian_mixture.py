r"""A mixture of diagonal Gaussians in equal shares, drawn from in strata: the components take turns.

$q(z) = \frac1C \sum_c q_c(z)$ with $q_c = N(\mu_c, \mathrm{diag}\,\sigma_c^2)$. Draw n of an image is of component
$(n + o) \bmod C$, where the offset o is uniform and the image's own. So of any number of draws each has the density q,
and of C successive ones there is one of each component: E of the mean over them of f(z) is $E_q f$ however many there
are, with less noise than of independent draws. Which component a draw is of depends on no parameter, so that
$z = \mu_c + \sigma_c \epsilon$ is differentiable in all that there are.

What draws of one call are not is independent of each other: a component that one has had the next has not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import normal_of_rows, standard_normal_log_prob, uniform_of_rows


@dataclass(frozen=True)
class StratifiedGaussianMixture:
    """The mixture of each image, batch `[B]` and event `[D]`.

    Attributes:
        loc: means of the components, float32 `[B, C, D]`.
        scale: their standard deviations, positive, float32 `[B, C, D]`.
    """

    loc: tf.Tensor
    scale: tf.Tensor

    def sample(self, sample_shape: Sequence[int] | tf.Tensor = (), seed=None) -> tf.Tensor:
        """Reparameterized draws, float32 `[*sample_shape, B, D]`; the components take turns along the draws.

        Args:
            sample_shape: shape of the draws for each image.
            seed: int32 `[2]`, a stateless seed, or whatever else TFP takes.
        """
        return self._drawn(sample_shape, seed)[0]

    def labelled(self, sample_shape: Sequence[int] | tf.Tensor = (), seed=None) -> tf.Tensor:
        """The draws of `sample` with the number of each one's component behind, float32 `[*sample_shape, B, D + 1]`."""
        z, component = self._drawn(sample_shape, seed)
        return tf.concat([z, tf.cast(component, z.dtype)[..., tf.newaxis]], axis=-1)

    def reparameterize(self, labelled: tf.Tensor) -> tf.Tensor:
        """The values z `[K, B, D]` of draws `[K, B, D + 1]` of `labelled` as a function of the parameters."""
        z, component = labelled[..., :-1], tf.transpose(tf.cast(labelled[..., -1], tf.int32))
        loc, scale = (
            tf.transpose(tf.gather(part, component, axis=1, batch_dims=1), [1, 0, 2]) for part in (self.loc, self.scale)
        )
        return loc + scale * tf.stop_gradient((z - loc) / scale)

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """log q(z) of the whole mixture in nats, `[..., B]`, of latents `[..., B, D]`."""
        each = standard_normal_log_prob((z[..., tf.newaxis, :] - self.loc) / self.scale)
        each -= tf.reduce_sum(tf.math.log(self.scale), axis=-1)
        return tf.reduce_logsumexp(each, axis=-1) - np.log(self.loc.shape[1])

    def mean(self) -> tf.Tensor:
        """Mean of the mixture, `[B, D]`."""
        return tf.reduce_mean(self.loc, axis=1)

    def stddev(self) -> tf.Tensor:
        """Standard deviation of the mixture, `[B, D]`: within components and between them."""
        within = tf.reduce_mean(tf.square(self.scale), axis=1)
        return tf.sqrt(within + tf.math.reduce_variance(self.loc, axis=1))

    def _drawn(self, sample_shape: Sequence[int] | tf.Tensor, seed) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws `[*sample_shape, B, D]` and the components that they are of, int32 `[*sample_shape, B]`."""
        offset_seed, noise_seed = tfp.random.split_seed(seed, n=2)
        sample_shape = tf.convert_to_tensor(sample_shape, tf.int32)
        known, components = tf.get_static_value(sample_shape), self.loc.shape[1]
        count = tf.reduce_prod(sample_shape) if known is None else int(np.prod(known))
        offset = tf.cast(components * uniform_of_rows(offset_seed, tf.shape(self.loc)[:1], axis=0), tf.int32)
        turns = (offset[:, tf.newaxis] + tf.range(components)) % components

        def in_turn(part: tf.Tensor) -> tf.Tensor:
            """What there is of each component in its turn, `[C, B, ...]`, over and over."""
            repeats = tf.stack([-(-count // components)] + [1] * (part.shape.rank - 1))
            return tf.tile(part, repeats)[:count]

        loc, scale = (
            in_turn(tf.transpose(tf.gather(part, turns, axis=1, batch_dims=1), [1, 0, 2]))
            for part in (self.loc, self.scale)
        )
        z = loc + scale * normal_of_rows(noise_seed, tf.shape(loc), axis=1)
        component = in_turn(tf.transpose(turns))
        return tuple(tf.reshape(part, tf.concat([sample_shape, tf.shape(part)[1:]], axis=0)) for part in (z, component))
