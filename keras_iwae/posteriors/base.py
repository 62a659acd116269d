"""What every posterior does with the distribution that it gives."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import (
    MARK,
    DiagonalGaussian,
    FixedArguments,
    GivesShapes,
    TakesFloat32,
    check_width,
    is_own_class,
    moment,
)


class Posterior(TakesFloat32, FixedArguments, GivesShapes, keras.Layer):
    """Draws and densities of a Keras layer that has `distribution(x, training)`; see `keras_iwae.posteriors`.

    Attributes:
        latent_dim: D, the number of latent units.
        reparameterized: whether a draw is a differentiable function of the parameters.
        total_only: why log q may be differentiated as a whole only, at draws that are functions of the parameters, and
            not at a given z; empty where it may. Estimators that need the parts are then refused.
        density: what `distribution(x).log_prob` gives: "exact", log q(z|x); "joint", what a log weight has for it where
            a draw has auxiliary variables beside z; "none", a ValueError.
        auxiliary_dim: how many auxiliary variables follow the latent units in a draw.
        stratified: whether the draws of one call are in strata, each of density q and not independent of the others.
            Estimators of bounds that weigh draws against each other, and that take them for independent, are then
            refused; the distribution has `labelled(shape, seed)`, the draws of `sample` with the stratum of each behind
            them, which is what `reparameterize` is given.
        through_generative: whether the parameters are a differentiable function of the generative model's too.
    """

    latent_dim: int
    reparameterized: bool = True
    total_only: str = ""
    density: str = "exact"
    auxiliary_dim: int = 0
    stratified: bool = False
    through_generative: bool = False

    def distribution(self, x: tf.Tensor, training: bool = False):
        """q(z|x) of each image, batch `[B]` and event `[D]`."""
        raise NotImplementedError

    def reparameterize(self, distribution, z: tf.Tensor) -> tf.Tensor:
        """The values of z `[..., B, D]` as a differentiable function of the parameters, the noise they came of held.

        As it stands it is for a TFP distribution of noise without parameters, transformed by bijectors: a
        `MultivariateNormalDiag` or `MultivariateNormalTriL`, and every flow, of these too.
        """
        if isinstance(distribution, DiagonalGaussian):
            return distribution.reparameterize(z)
        if not hasattr(distribution, "bijector"):
            raise ValueError(
                f"{MARK}posterior`. Expected a class with `reparameterize(distribution, z)`, or a distribution of noise"
                " that a bijector transforms, as tfp.distributions.MultivariateNormalDiag, for the "
                f"resampled backward pass. Received: {type(self).__name__}, with a {type(distribution).__name__}"
            )
        noise = tf.stop_gradient(distribution.bijector.inverse(z))
        below = getattr(distribution, "distribution", None)
        if hasattr(below, "bijector"):
            # The noise of the outer one is a draw of the inner, which has parameters of its own.
            noise = self.reparameterize(below, noise)
        return distribution.bijector.forward(noise)

    def sample_and_log_prob(
        self, x: tf.Tensor, num_samples: int | tf.Tensor, seed: tf.Tensor, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """K draws for each image and their log density; the encoder runs once.

        Args:
            x: images `[B, *event_shape]` in [0, 1].
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
        """log q(z|x) in nats, `[K, B]`, of latents `[K, B, D]` for images `[B, *event_shape]`."""
        check_width("latents", z, self.latent_dim + self.auxiliary_dim)
        return self.distribution(x).log_prob(z)

    def mean(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Posterior mean, float32 `[B, D]`."""
        distribution = self.distribution(x, training)
        mean = moment(distribution, "mean")
        if mean is not None:
            return mean
        raise ValueError(
            f"{MARK}posterior`. Expected a class with `mean(x, training)`, or a distribution with a mean, for "
            f"`predict` and reconstructions. Received: {type(self).__name__}, with a {type(distribution).__name__}"
        )


def check_density(posterior: Posterior) -> None:
    """Refuse a posterior whose draws have no density, where log weights are needed.

    Raises:
        ValueError: if its `density` is "none"; it says what there is in the place of log weights.
    """
    if posterior.density == "none":
        raise ValueError(
            "Invalid value received for `model`. Expected a posterior with a density. Received: one with a "
            f"{type(posterior).__name__}, which can only be drawn from. Use annealed importance sampling "
            "(`evaluate_nll.py --method ais`, `annealed_nll`), or a fitted proposal: an IWAE with this decoder and "
            "likelihood, not trainable"
        )


def check_reparameterized(posterior: Posterior, distribution) -> None:
    """Refuse a class of the user's own whose draws are said to be functions of its parameters, and are not for TFP.

    Raises:
        ValueError: which says what to set.
    """
    found = getattr(distribution, "reparameterization_type", None)
    own = is_own_class(type(posterior))
    if own and posterior.reparameterized and found == tfp.distributions.NOT_REPARAMETERIZED:
        raise ValueError(
            "Invalid value received for `posterior`. Expected `reparameterized = False` in a class whose draws are no "
            "differentiable function of its parameters, and an estimator such as 'vimco'. Received: a "
            f"{type(posterior).__name__}, whose distribution is {found}"
        )
