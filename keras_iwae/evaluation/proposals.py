r"""What the importance samples are drawn from: the posterior, made wider or mixed with the prior, or what is fitted.

The weights of a proposal that is too narrow have no finite variance. Those of a wider one, $q_s$ with the standard
deviations times s, may have; those of a mixture $(1 - a) q_s(z|x) + a p(z)$ have, for they never exceed $p(x|z) / a$.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.evaluation.adapted import folded
from keras_iwae.evaluation.places import drawn_by_batch, key_of_batch
from keras_iwae.evaluation.refined import fitted, fitting_evaluations
from keras_iwae.foundation import (
    MARK,
    DiagonalGaussian,
    Places,
    check_choice,
    check_number,
    check_positive_float32,
    drawn_for_rows,
    having_rows,
    uniform_of_rows,
)
from keras_iwae.models import IWAE, GenerativeModel
from keras_iwae.networks import GaussianNetwork
from keras_iwae.posteriors import (
    FullGaussian,
    HierarchicalGaussian,
    Posterior,
    StratifiedGaussianMixture,
    check_density,
)

tfd = tfp.distributions

KINDS = ("amortized", "refined", "adapted")
# Samples that one seed gives: drawn one by one, small operations would take much of an evaluation's time.
DRAWN_TOGETHER = 25


@dataclass(frozen=True)
class Proposal:
    r"""A proposal for each image: $(1 - a) q_s(z|x) + a p(z)$, by default the posterior itself, or one that is fitted.

    Args:
        scale: s, what the posterior's standard deviations are multiplied by, those of every stochastic
            layer, and of every component.
        defensive: a, the probability that a draw comes from the prior, in [0, 1).
        kind: "amortized", the above; "refined" or "adapted", of `keras_iwae.evaluation.refined`, with neither.

    Raises:
        ValueError: if `scale` is not above 0, `defensive` not in [0, 1), there is no such kind, or either of the two is
            given beside a fitted one.

    References:
        Hesterberg (1995), Weighted average importance sampling and defensive mixture distributions.
        Owen, Zhou (2000), Safe and effective importance sampling.
    """

    scale: float = 1.0
    defensive: float = 0.0
    kind: str = "amortized"

    def __post_init__(self):
        check_choice("proposal", self.kind, KINDS)
        check_positive_float32("proposal_scale", self.scale)
        if not 0.0 <= check_number("defensive", self.defensive) < 1.0:
            raise ValueError(
                f"Invalid value received for `defensive`. Expected a number in [0, 1). Received: {self.defensive!r}"
            )
        for name, value, neutral in (("proposal_scale", self.scale, 1.0), ("defensive", self.defensive, 0.0)):
            if self.fitted and value != neutral:
                raise ValueError(
                    f"{MARK}{name}`. Expected {neutral:g} beside proposal={self.kind!r}, which has its own width and "
                    f"tails. Received: {value!r}"
                )

    @property
    def fitted(self) -> bool:
        """Whether it is fitted to each image, and each image has a key of its own."""
        return self.kind != "amortized"

    def check(self, posterior: Posterior) -> None:
        """Refuse a posterior that this proposal cannot be made of.

        Raises:
            ValueError: if its draws have no density, `defensive` draws would lack its auxiliary variables, or the
                latents are discrete and the proposal is fitted.
        """
        check_density(posterior)
        if self.fitted and not posterior.reparameterized:
            raise ValueError(
                f"{MARK}proposal`. Expected 'amortized' for discrete latents, where log p(x, z) has no slope to climb; "
                f"raise num_samples, or give `defensive`. Received: {self.kind!r} for a {type(posterior).__name__}"
            )
        if self.defensive and posterior.density != "exact":
            raise ValueError(
                "Invalid value received for `defensive`. Expected 0 for a posterior with auxiliary variables, which "
                f"the prior has none of. Received: {self.defensive} for a {type(posterior).__name__}"
            )

    def evaluations(self, num_samples: int, latent_dim: int) -> int:
        """Decoder evaluations of an image with K samples; a slope counts as two, forwards and backwards."""
        fitting = fitting_evaluations(latent_dim, self.kind == "adapted") if self.fitted else 0
        return fitting + num_samples

    def by_batch(self, model: IWAE) -> bool:
        """Whether an image's draws depend on its batch, as those of posteriors and priors of a user's own do."""
        return not self.fitted and drawn_by_batch(model, True, self.defensive > 0.0)

    def seed(self, model: IWAE, key: tf.Tensor, indices: tf.Tensor) -> tuple[tf.Tensor, Places | None]:
        """What a batch is drawn under, of the key of an evaluation and the places `[B]` of its images among all.

        Returns:
            int32 `[2]`, and the rows to have; `[B, 2]`, of each image's own, and none, for a fitted proposal.
        """
        if not self.fitted:
            by_batch, first = self.by_batch(model), indices[0]
            return key_of_batch(key, first, by_batch), None if by_batch else Places(first)
        return tf.map_fn(lambda index: tf.random.fold_in(key, index), indices), None

    def source(
        self, model: IWAE, x: tf.Tensor, seed: tf.Tensor, rows: Places | None = None
    ) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        """From the number of a block to its 25 draws of each image, `[25, B, D]`, and their log densities `[25, B]`.

        Args:
            model: the model.
            x: images `[B, *event_shape]`.
            seed: the first of what `seed` gives.
            rows: the second; `None` are draws of this batch.
        """
        if not self.fitted:
            drawn_from = self.distribution(model, x)

            def draw(block: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                with having_rows(rows):
                    z = drawn_from.sample([DRAWN_TOGETHER], seed=tf.random.fold_in(seed, block))
                return z, drawn_from.log_prob(z)

            return draw
        fitting_keys, keys = tf.unstack(tf.map_fn(lambda key: tf.random.split(key, 2), seed), num=2, axis=1)
        own = fitted(model, x, fitting_keys, self.kind == "adapted")
        return lambda block: own.draw(DRAWN_TOGETHER, folded(keys, block))

    def distribution(self, model: IWAE, x: tf.Tensor):
        """The amortized one of images `[B, *event_shape]`: `sample([n], seed=)` is `[n, B, D]`, `log_prob(z)` `[n, B]`.

        Raises:
            ValueError: if the posterior has no standard deviations to multiply.
        """
        posterior = model.posterior.distribution(x)
        if self.scale != 1.0:
            posterior = _stretched(posterior, self.scale)
        if self.defensive:
            posterior = _DefensiveMixture(posterior, model.generative, self.defensive)
        return posterior


def _stretched(posterior, factor: float):
    """The same family of posterior with standard deviations times `factor`."""
    if isinstance(posterior, tfd.MultivariateNormalDiag):
        return DiagonalGaussian(posterior.mean(), factor * posterior.stddev())
    if isinstance(posterior, tfd.MultivariateNormalTriL):
        return FullGaussian(posterior.mean(), factor * posterior.scale_tril)
    if isinstance(posterior, StratifiedGaussianMixture):
        return replace(posterior, scale=factor * posterior.scale)
    if isinstance(posterior, HierarchicalGaussian):
        networks: Any = [_StretchedNetwork(network, factor) for network in posterior.networks]
        return replace(posterior, scale=factor * posterior.scale, networks=networks)
    raise ValueError(
        "Invalid value received for `proposal_scale`. Expected 1 for a posterior that is no Gaussian and no "
        f"mixture of them. Received: {factor} for a {type(posterior).__name__}"
    )


@dataclass(frozen=True)
class _StretchedNetwork:
    network: GaussianNetwork
    factor: float

    @property
    def latent_dim(self) -> int:
        return self.network.latent_dim

    def given(self, z: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        loc, scale = self.network.given(z, training)
        return loc, self.factor * scale


@dataclass(frozen=True)
class _DefensiveMixture:
    posterior: tfp.distributions.Distribution
    generative: GenerativeModel
    share: float

    def sample(self, sample_shape: Sequence[int], seed: tf.Tensor) -> tf.Tensor:
        """Draws for each image, `[n, B, D]` of a sample shape `[n]`."""
        choice_seed, posterior_seed, prior_seed = tf.unstack(tf.random.split(seed, 3))
        ours = self.posterior.sample(sample_shape, seed=posterior_seed)
        count, batch, _ = tf.unstack(tf.shape(ours))
        theirs = drawn_for_rows(self.generative.prior.sample, count, batch, prior_seed)
        from_prior = uniform_of_rows(choice_seed, [count, batch], axis=1) < self.share
        return tf.where(from_prior[..., tf.newaxis], theirs, ours)

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """Log density of the mixture in nats, `[..., B]`, of latents `[..., B, D]`."""
        parts = (
            tf.math.log1p(-self.share) + self.posterior.log_prob(z),
            tf.math.log(self.share) + self.generative.log_prior(z),
        )
        return tf.reduce_logsumexp(tf.stack(parts), axis=0)
