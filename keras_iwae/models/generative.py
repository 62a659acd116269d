"""The generative model p(x, z) = p(z) p(x|z): one of the priors, a decoder and one of the likelihoods."""

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.foundation import MARK, FixedArguments, GivesShapes, check_choice, check_width
from keras_iwae.likelihoods import Likelihood, SelfMasking, check_contract
from keras_iwae.models.narrow_parameters import SQUASHED, is_constant, narrows, of_one, squashes
from keras_iwae.models.sizes import sizes
from keras_iwae.networks import check_layer, output_shape
from keras_iwae.priors import Prior

_PARTS = "decoder", "prior", "likelihood"
# Draws of the latents that a decoder's parameters are looked at for.
_PROBED = 64
# What is added to a weight to see whether a parameter follows.
_SHIFT = 1000.0
# Times that all weights are changed at once: a few units of a ReLU may all be off.
_TRIES = 8


class Samples(NamedTuple):
    """Draws: `latents` `[N, D]`, and of p(x|z) the `mean` and the `events` that were drawn, `[N, *event_shape]`."""

    latents: tf.Tensor
    mean: tf.Tensor
    events: tf.Tensor


@keras.saving.register_keras_serializable("keras_iwae")
class GenerativeModel(FixedArguments, GivesShapes, keras.Layer):
    r"""A prior $p(z)$ and a likelihood $p(x|z)$ on the features of a decoder.

    Args:
        decoder: Keras layer or model from the latents it sees, `prior.decoded(z)`, to features `[N, F]`, or to the
            parameters of the likelihood.
        prior: p(z) of all latents, one of `keras_iwae.priors`.
        likelihood: p(x|z), one of `keras_iwae.likelihoods`.
        event_shape: shape of one event, `(D,)` or `(H, W, C)`.
        missing: "nan" where NaN stands for an entry that was not observed; `None` where all are.
        seed: seed of the likelihood's head.
        features: whether the decoder gives features for sure; where it does not say, what has the shape of the
            parameters is taken for these.
        missingness: p(s|x) of which entries s are observed; `None` where that says nothing of the others.
        **kwargs: passed to `keras.Layer`.

    Raises:
        ValueError: if a part is no such layer, a size is no positive integer, or `missing` is another word.

    Example:
        >>> generative = GenerativeModel(dense_decoder(), StandardNormalPrior(50), BernoulliLikelihood(), (784,))
        >>> generative.build((None, 50))
        >>> generative.sample(3, tf.constant([0, 1])).events.shape
        TensorShape([3, 784])

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, section 2.
    """

    def __init__(
        self,
        decoder: keras.Layer,
        prior: Prior,
        likelihood: Likelihood,
        event_shape: tuple[int, ...],
        missing: str | None = None,
        seed: int = 0,
        features: bool = False,
        missingness: SelfMasking | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_layer(decoder, "decoder")
        for name, part, kind in (("prior", prior, Prior), ("likelihood", likelihood, Likelihood)):
            if not isinstance(part, kind):
                raise ValueError(
                    f"{MARK}{name}`. Expected a layer of keras_iwae.{kind.__module__.split('.')[1]}. Received: {part!r}"
                )
        check_choice("missing", missing, (None, "nan"))
        self.missingness = missingness
        self.decoder, self.prior, self.likelihood = decoder, prior, likelihood
        self.event_shape, self.missing, self.seed = sizes("event_shape", event_shape), missing, seed
        self._given_features, self._auxiliary_dim = features, 0
        likelihood.describe_events(self.event_shape, seed, features)

    def of_posterior(self, auxiliary_dim: int) -> None:
        """Say how many auxiliary variables follow the latents in a posterior's draws."""
        self._auxiliary_dim = auxiliary_dim

    @property
    def latent_dim(self) -> int:
        """D, the number of latent units of all layers."""
        return self.prior.latent_dim

    @property
    def through_posterior(self) -> bool:
        """Whether log p(z) is a differentiable function of the posterior's parameters too."""
        return self.prior.through_posterior

    def build(self, input_shape):
        if not self.prior.built:
            self.prior.build((None, self.latent_dim))
        features = output_shape(self.decoder, (None, self.prior.decoded_dim), "decoder")
        if not self.likelihood.built:
            self.likelihood.build(features)
        check_contract(self.likelihood, features[1:], self._given_features)
        if self.missingness is not None:
            self.missingness.of_likelihood(self.likelihood)
        self._features_shape = features[1:]
        self.built = True
        if self.likelihood.head is None:
            self._check_parameters()

    def _check_parameters(self) -> None:
        """Refuse a decoder whose last activation squashes parameters: what is left of them cannot say much.

        Raises:
            ValueError: if a parameter other than a location is in the same narrow range at some draws of the latents,
                or all parameters are the same at all draws, whatever the decoder's weights.
        """
        given = self._probed()
        if is_constant(given) and self._always([is_constant]):
            raise ValueError(
                f"{MARK}decoder`. Expected parameters of {type(self.likelihood).__name__} that depend on the latents. "
                f"Received: {self.decoder.name}, which gives the same whatever they are"
            )
        # A location, of real numbers or grey levels, may be as narrow as the data are.
        narrow = {
            of_one(index, is_in): (family, words)
            for index, (family, is_location) in enumerate(self.likelihood.numbers())
            for is_in, words in SQUASHED
            if not is_location and narrows(family, words) and squashes(given[..., index], is_in)
        }
        for found in self._always(narrow)[:1] if narrow else ():
            family, words = narrow[found]
            raise ValueError(
                f"{MARK}decoder`. Expected parameters of {type(family).__name__}, any numbers, as logits. Received: "
                f"{self.decoder.name}, which gives {words}; leave out its last activation"
            )

    def _probed(self) -> np.ndarray:
        """What the decoder gives at some draws of the latents, the likelihood's `numbers` along the last axis."""
        given = keras.ops.convert_to_numpy(self(tf.random.stateless_normal([_PROBED, self.latent_dim], [0, 0])))
        return given.reshape(_PROBED, -1, len(self.likelihood.numbers()))

    def _always(self, holds: Iterable[Callable[[np.ndarray], bool]]) -> list[Callable[[np.ndarray], bool]]:
        """What holds of parameters for other weights too: the rest does by chance or by training."""
        left = list(holds)
        with closing(self._probed_elsewhere()) as probed:
            for given in probed:
                left = [each for each in left if each(given)]
                if not left:
                    break
        return left

    def _probed_elsewhere(self) -> Generator[np.ndarray, None, None]:
        """What is probed for other weights: each one shifted, then all of them at once."""
        # From the last on: where there is no activation, its bias is enough.
        weights = [each for each in reversed(self.decoder.weights) if "float" in each.dtype]
        values = [keras.ops.convert_to_numpy(weight) for weight in weights]
        try:
            for weight, value in zip(weights, values, strict=True):
                for shift in (-_SHIFT, _SHIFT):
                    weight.assign(value + shift)
                    yield self._probed()
                weight.assign(value)
            # Where several are 0, none of them alone makes a difference.
            noise = np.random.default_rng(0)
            for _ in range(_TRIES):
                for weight, value in zip(weights, values, strict=True):
                    weight.assign(value + noise.normal(size=value.shape))
                yield self._probed()
        finally:
            for weight, value in zip(weights, values, strict=True):
                weight.assign(value)

    def features(self, latents: tf.Tensor, training: bool = False) -> tf.Tensor:
        """What the decoder gives, `[..., F]`, for latents `[..., D]`."""
        seen = self.prior.decoded(self._own(latents))
        # One matrix product over all K * B rows, not K of them over B.
        features = self.decoder(keras.ops.reshape(seen, (-1, self.prior.decoded_dim)), training=training)
        return keras.ops.reshape(features, (*keras.ops.shape(latents)[:-1], *self._features_shape))

    def call(self, latents, training=False):
        """Parameters of the likelihood, float32 `[..., *parameter_shape]`, of latents `[..., D]`."""
        return self.likelihood(self.features(latents, training))

    def distribution(self, z: tf.Tensor) -> tfp.distributions.Distribution:
        """p(x|z) for latents `[..., D]`, of event `event_shape`."""
        return self.likelihood.distribution(self.features(z))

    def mean(self, z: tf.Tensor, training: bool = False) -> tf.Tensor:
        """E[x|z], float32 `[..., *event_shape]`, of latents `[..., D]`."""
        return self.likelihood.mean(self.features(z, training))

    def log_likelihood(self, x: tf.Tensor, z: tf.Tensor, training: bool = False) -> tf.Tensor:
        """log p(x|z) in nats, `[K, B]`, of events `[B, *event_shape]` under latents `[K, B, D]`.

        Where `missing` is "nan", entries that are NaN were not observed, and it is that of the others; with a
        `missingness` it is log p(x_obs, s|z). In training it is what the likelihood has training climb.
        """
        x, mask = self._observed(x)
        log_prob = self.likelihood.training_log_prob if training else self.likelihood.log_prob
        return self._with_missingness(x, mask, z, lambda features: log_prob(x, features, mask), training)

    def log_likelihood_of(self, x: tf.Tensor) -> Callable[[tf.Tensor], tf.Tensor]:
        """`log_likelihood` of these events as a function of latents, for many draws: what x alone says is said once."""
        x, mask = self._observed(x)
        log_prob = self.likelihood.log_prob_of(x, mask)
        return lambda z: self._with_missingness(x, mask, z, log_prob)

    def _observed(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        if self.missing is None:
            return x, None
        missing = tf.math.is_nan(x)
        # By what is missing, as in `EventEncoder`.
        return tf.where(missing, self.likelihood.support.nearest_to_zero, x), tf.logical_not(missing)

    def _with_missingness(
        self,
        x: tf.Tensor,
        mask: tf.Tensor | None,
        z: tf.Tensor,
        log_prob: Callable[[tf.Tensor], tf.Tensor],
        training: bool = False,
    ) -> tf.Tensor:
        features = self.features(z, training)
        log_likelihood = log_prob(features)
        if self.missingness is not None:
            of_mask = self.missingness.log_prob(x, mask, self.likelihood(features))
            log_likelihood += tf.reduce_sum(of_mask, axis=-1)
        # Otherwise K = 1 is lost in a batch of unknown size: 1 and an unknown number broadcast to an unknown number.
        known = tf.broadcast_static_shape(tf.TensorShape(z.shape[:-1]), tf.TensorShape(x.shape[:1]))
        return tf.ensure_shape(log_likelihood, known)

    def log_prior(self, z: tf.Tensor, training: bool = False) -> tf.Tensor:
        """log p(z) in nats, `[K, B]`, of latents `[K, B, D]`."""
        return self.prior.log_prob(self._own(z), training)

    def _own(self, z: tf.Tensor) -> tf.Tensor:
        """The latents without auxiliary variables of a posterior, which come after them."""
        check_width("latents", z, self.latent_dim, self.latent_dim + self._auxiliary_dim)
        return z if z.shape[-1] == self.latent_dim else z[..., : self.latent_dim]

    def log_joint(self, x: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """log p(x, z) in nats, `[K, B]`, of events `[B, *event_shape]` and latents `[K, B, D]`."""
        return self.log_likelihood(x, z) + self.log_prior(z)

    def sample(self, num_samples: int | tf.Tensor, seed: tf.Tensor) -> Samples:
        """Ancestral samples, z ~ p(z), then x ~ p(x|z).

        Args:
            num_samples: N.
            seed: int32 `[2]`, a stateless seed.

        Returns:
            `Samples(latents, mean, events)`.
        """
        latent_seed, event_seed = tf.unstack(tf.random.split(seed, 2))
        latents = self.prior.sample(num_samples, latent_seed)
        return Samples(latents, *self.likelihood.sample(self.features(latents), event_seed))

    def get_config(self):
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in _PARTS}
        own = {"event_shape": self.event_shape, "missing": self.missing, "seed": self.seed}
        missingness = keras.saving.serialize_keras_object(self.missingness)
        return {
            **super().get_config(),
            **parts,
            **own,
            "features": self._given_features,
            "missingness": missingness,
        }

    @classmethod
    def from_config(cls, config):
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in (*_PARTS, "missingness")}
        return cls(**{**config, **parts})
