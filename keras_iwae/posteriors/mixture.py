"""Posterior that is a mixture of diagonal Gaussians in equal shares, each of whose components draws its part."""

import keras
import tensorflow as tf

from keras_iwae.foundation import check_integer
from keras_iwae.posteriors.amortized import AmortizedPosterior
from keras_iwae.posteriors.gaussian_mixture import StratifiedGaussianMixture

NUM_COMPONENTS = 4


@keras.saving.register_keras_serializable("keras_iwae")
class MixturePosterior(AmortizedPosterior):
    r"""$q(z|x) = \frac1C \sum_c N(z; \mu_c(x), \mathrm{diag}(\sigma_c(x)^2))$, all linear in h(x) but for exp(linear).

    K draws are in strata: components take turns, each K / C draws where C divides K, and else each a turn more or less
    by a start that is drawn. The weight of a draw of $q_c$ is $p(x, z) / q(z|x)$, with the whole mixture below. The
    mean of K log weights is then an unbiased estimate of the ELBO of the mixture,

    $\frac1C \sum_c E_{q_c} \left[\log p(x, z) - \log \frac1C \sum_j q_j(z|x)\right]$,

    and the log-mean of K weights a bound on log p(x), for the mean of each one is p(x). The component of a draw is no
    function of a parameter, and paths through the draws alone give the gradient.

    Draws of one call are not independent of each other, and the gradients of a bound that weighs them against each
    other take the estimator "reparameterized"; see docs/posteriors.md.

    Args:
        encoder: Keras layer or model from images `[B, *event_shape]` to features `[B, F]`.
        latent_dim: D, the number of latent units.
        seed: seed of the heads' initial kernels.
        num_components: C; log q takes C densities of each draw.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if `latent_dim` or `num_components` is no positive integer.

    Example:
        >>> posterior = MixturePosterior(dense_encoder(), latent_dim=50, num_components=8)
        >>> z, log_q = posterior.sample_and_log_prob(np.zeros((3, 784)), 7, tf.constant([0, 1]))
        >>> z.shape, log_q.shape
        (TensorShape([7, 3, 50]), TensorShape([7, 3]))

    References:
        Kviman, Melin, Koptagel, Elvira, Lagergren (2022), Multiple importance sampling ELBO and deep ensembles of
        variational approximations, on the ELBO; Morningstar et al. (2021), Automatic differentiation variational
        inference with mixtures, on bounds by draws in strata.
    """

    stratified = True

    def __init__(
        self,
        encoder: keras.Layer,
        latent_dim: int,
        seed: int = 0,
        num_components: int = NUM_COMPONENTS,
        **kwargs,
    ):
        super().__init__(encoder, latent_dim, seed, **kwargs)
        self.num_components = check_integer("num_components", num_components)
        self.add_head(self.num_components * self.latent_dim, "loc")
        self.add_head(self.num_components * self.latent_dim, "log_scale")

    def get_config(self):
        return {**super().get_config(), "num_components": self.num_components}

    def call(self, images, training=False):
        """Return means and standard deviations of the components, float32 `[B, C, D]` each."""
        features = self.encoder(images, training=training)
        shape = -1, self.num_components, self.latent_dim
        loc, log_scale = (keras.ops.reshape(head(features), shape) for head in self.heads)
        return loc, keras.ops.exp(log_scale)

    def distribution(self, x: tf.Tensor, training: bool = False) -> StratifiedGaussianMixture:
        """The posterior of each image of `x` `[B, *event_shape]`, as a distribution of batch `[B]` and event `[D]`."""
        return StratifiedGaussianMixture(*self(x, training=training))

    def reparameterize(self, distribution: StratifiedGaussianMixture, z: tf.Tensor) -> tf.Tensor:
        """The values of z `[K, B, D]` as a function of the parameters, of draws `[K, B, D + 1]` and their component."""
        return distribution.reparameterize(z)
