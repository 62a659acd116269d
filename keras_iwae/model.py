"""The importance weighted autoencoder as a Keras model: from a batch to log weights, a bound and a step."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_iwae import estimators, networks, objectives
from keras_iwae.backward import LogTerms, bound_gradients
from keras_iwae.checked_model import CheckedModel
from keras_iwae.generative import GenerativeModel, Samples
from keras_iwae.inputs import check_images, check_integer
from keras_iwae.numerics import effective_sample_size
from keras_iwae.posteriors import BernoulliPosterior, GaussianPosterior, HierarchicalPosterior
from keras_iwae.priors import BernoulliPrior, HierarchicalPrior, StandardNormalPrior

POSTERIORS = ("gaussian", "bernoulli")


def _as_tuples(units):
    return tuple(_as_tuples(u) if isinstance(u, (list, tuple)) else u for u in units)


@keras.saving.register_keras_serializable("keras_iwae")
class IWAE(CheckedModel):
    r"""Importance weighted autoencoder with a Bernoulli decoder.

    With z_1..z_K ~ q(z|x) and $w_k = p(x, z_k) / q(z_k|x)$, `fit` maximizes the mean over the batch of
    $L_K = \log \frac{1}{K} \sum_k w_k \le \log p(x)$ ("iwae"), or of another objective of the same log weights.

    Args:
        image_shape: shape of one image, `(D,)` or `(H, W, C)`; an integer stands for a flat image.
        latent_dim: number of latent units; several numbers are as many stochastic layers, the one next to the image
            first, as `(100, 50)` in the paper.
        hidden: units of the encoder's dense layers; the decoder's are the same in reverse. With several stochastic
            layers one such sequence for each, as `((200, 200), (100, 100))`.
        activation: their Keras activation, by name or callable.
        num_samples: K, importance samples per image in training and in `evaluate`.
        objective: "iwae", "elbo" (VAE with K draws), "ae" (plain autoencoder), "miwae", "piwae", "ciwae", "renyi", or
            an object of `keras_iwae.objectives`, such as `MIWAE(num_groups=8)`.
        estimator: how the objective is differentiated: "reparameterized", "stl", "dreg", "vimco", "reinforce" or "rws".
        posterior: "gaussian", or "bernoulli" for binary latents with a uniform prior.
        backward_samples: m, samples drawn for the backward pass by the resampled backward pass; `None` is all K.
        kl_warmup_steps: steps over which the KL part of what is climbed grows from 0 to its full weight.
        encoder: a Keras layer or model from images to features, in place of the dense one.
        decoder: a Keras layer or model from latents to logits, in place of the dense one.
        seed: seed of the initial weights and of every draw; saved with the model.
        **kwargs: passed to `keras.Model`.

    Raises:
        ValueError: if an argument is out of range, if objective, estimator and posterior do not go together, or if the
            decoder's logits have another shape than the images.

    Example:
        >>> model = IWAE(image_shape=(28, 28, 1), latent_dim=50, num_samples=50)
        >>> model.compile(keras.optimizers.Adam(1e-3))
        >>> model.fit(keras_iwae.data.load("mnist", "train", batch_size=100), epochs=10)

    `fit` and `evaluate` report, as means over images: `loss` (minus the bound), `bound` and `elbo` in nats,
    `reconstruction` (E_q log p(x|z)) and `kl` (its sampled value, E_q log q(z|x) - log p(z)) in nats, and `ess`, the
    effective sample size of the K weights. With "ae" only `loss` and `reconstruction` have a meaning, and are reported;
    a learned CIWAE reports its `beta`.

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, equations 8 and 14.
    """

    def __init__(
        self,
        image_shape: int | Sequence[int],
        latent_dim: int | Sequence[int] = 50,
        hidden: Sequence = (200, 200),
        activation="tanh",
        num_samples: int = 50,
        objective: str | objectives.Objective = "iwae",
        estimator: str = "reparameterized",
        posterior: str = "gaussian",
        backward_samples: int | None = None,
        kl_warmup_steps: int = 0,
        encoder: keras.Layer | None = None,
        decoder: keras.Layer | None = None,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        shape = [image_shape] if isinstance(image_shape, int) else image_shape
        self.image_shape = tuple(check_integer("image_shape", size) for size in shape)
        layers = [latent_dim] if isinstance(latent_dim, int) else latent_dim
        latent_dims = tuple(check_integer("latent_dim", dim) for dim in layers)
        self.num_samples = check_integer("num_samples", num_samples)
        # K of a training step: `keras_iwae.callbacks.FewerSamplesFirst` lowers it for a while.
        self.training_samples = self.num_samples
        self.objective, self.estimator = objectives.get(objective), estimators.get(estimator)
        self.backward_samples = backward_samples
        self.kl_warmup_steps = check_integer("kl_warmup_steps", kl_warmup_steps, at_least=0)
        self.seed = check_integer("seed", seed, at_least=0)
        self._config = {
            "image_shape": self.image_shape,
            "latent_dim": latent_dim if isinstance(latent_dim, int) else latent_dims,
            "hidden": _as_tuples(hidden),
            "activation": keras.activations.serialize(keras.activations.get(activation)),
            "num_samples": self.num_samples,
            "objective": keras.saving.serialize_keras_object(self.objective),
            "estimator": estimator,
            "posterior": posterior,
            "backward_samples": backward_samples,
            "kl_warmup_steps": self.kl_warmup_steps,
            "encoder": keras.saving.serialize_keras_object(encoder),
            "decoder": keras.saving.serialize_keras_object(decoder),
            "seed": self.seed,
        }
        self._make_parts(posterior, latent_dims, hidden, activation, encoder, decoder)
        self._check_training(estimator)
        # A Keras SeedGenerator is not saved with the model; a weight is, so a resumed run continues the same stream.
        self.rng = self.add_weight(
            shape=(2,), dtype="int64", trainable=False, autocast=False, name="rng", initializer="zeros"
        )
        self.rng.assign([seed, 0])
        self.beta_logit = None
        if self.objective.learned:
            start = keras.initializers.Constant(np.log(self.objective.beta / (1.0 - self.objective.beta)))
            self.beta_logit = self.add_weight(shape=(), name="beta_logit", initializer=start)
        self._trackers = {name: keras.metrics.Mean(name=name) for name in self._metric_names()}
        self.build()

    def _make_parts(self, posterior, latent_dims, hidden, activation, encoder, decoder) -> None:
        if posterior not in POSTERIORS or (posterior == "bernoulli" and len(latent_dims) > 1):
            expected = f"one of {POSTERIORS}" if len(latent_dims) == 1 else "'gaussian' for several stochastic layers"
            raise ValueError(f"Invalid value received for `posterior`. Expected {expected}. Received: {posterior!r}")
        per_layer = [hidden] if len(latent_dims) == 1 else hidden
        if len(per_layer) != len(latent_dims) or (len(latent_dims) > 1 and any(isinstance(u, int) for u in per_layer)):
            raise ValueError(
                f"Invalid value received for `hidden`. Expected {len(latent_dims)} sequences of units, one for each "
                f"stochastic layer. Received: {hidden}"
            )
        dtype, seed, (trunk, *upper) = self.dtype_policy, self.seed, per_layer
        encoder = encoder or networks.dense_encoder(trunk, activation, seed, dtype)
        decoder = decoder or networks.dense_decoder(self.image_shape, tuple(trunk)[::-1], activation, seed + 1, dtype)
        if posterior == "bernoulli":
            self.posterior = BernoulliPosterior(encoder, latent_dims[0], seed + 2, dtype=dtype, name="posterior")
            prior = BernoulliPrior(latent_dims[0])
        elif len(latent_dims) == 1:
            self.posterior = GaussianPosterior(encoder, latent_dims[0], seed + 2, dtype=dtype, name="posterior")
            prior = StandardNormalPrior(latent_dims[0])
        else:
            self.posterior = HierarchicalPosterior(
                encoder, latent_dims, upper, activation, seed + 2, dtype=dtype, name="posterior"
            )
            downwards = tuple(tuple(units)[::-1] for units in upper)
            prior = HierarchicalPrior(latent_dims, downwards, activation, seed + 3, dtype=dtype)
        self.generative = GenerativeModel(decoder, prior, self.image_shape, dtype=dtype, name="generative")
        self.latent_dim = sum(latent_dims)

    def _check_training(self, estimator: str) -> None:
        estimators.check_pair(estimator, self.objective, self.num_samples, self.posterior.reparameterized)
        if self.backward_samples is not None:
            check_integer("backward_samples", self.backward_samples)
            if self.deterministic or not self.estimator.resamples or self.backward_samples > self.num_samples:
                raise ValueError(
                    f"Invalid value received for `backward_samples`. Expected at most num_samples = {self.num_samples}"
                    ", and an objective and an estimator whose coefficients vanish with the weights. "
                    f"Received: {self.backward_samples} with {estimator!r} and {type(self.objective).__name__}"
                )
        if self.kl_warmup_steps and (self.deterministic or self.estimator.sleeps):
            raise ValueError(
                "Invalid value received for `kl_warmup_steps`. Expected 0 for an objective or an estimator without a "
                f"KL term. Received: {self.kl_warmup_steps} with {estimator!r} and {type(self.objective).__name__}"
            )

    def _metric_names(self) -> tuple[str, ...]:
        if self.deterministic:
            return "loss", "reconstruction"
        return "loss", "bound", "elbo", "reconstruction", "kl", "ess", *(["beta"] if self.objective.learned else [])

    @property
    def deterministic(self) -> bool:
        """Whether the objective takes the posterior mean in place of samples."""
        return self.objective.deterministic

    @property
    def beta(self) -> tf.Tensor | None:
        """The learned coefficient of the objective, `None` where there is none."""
        return None if self.beta_logit is None else tf.sigmoid(self.beta_logit)

    @property
    def metrics(self) -> list[keras.Metric]:
        return list(self._trackers.values())

    def build(self, input_shape=None):
        self.posterior.build((None, *self.image_shape))
        self.generative.build((None, self.latent_dim))
        self.built = True

    def call(self, images, training=False):
        """Pixel probabilities, `[B, *image_shape]`, decoded from the posterior mean of each image."""
        return keras.ops.sigmoid(self.generative(self.posterior.mean(images, training), training=training))

    def log_terms(self, x: tf.Tensor, num_samples: int | tf.Tensor, seed: tf.Tensor) -> LogTerms:
        """Log densities of K posterior draws for each image.

        Args:
            x: images in [0, 1], `[B, *image_shape]`.
            num_samples: K.
            seed: int32 `[2]`, a stateless seed.

        Returns:
            `LogTerms`; its `weights` are log w, `[K, B]`.
        """
        z, log_posterior = self.posterior.sample_and_log_prob(x, num_samples, seed)
        return LogTerms(self.generative.log_likelihood(x, z), self.generative.log_prior(z), log_posterior)

    def log_weights(self, x: tf.Tensor, num_samples: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """log w = log p(x|z) + log p(z) - log q(z|x) in nats, `[K, B]`; arguments as for `log_terms`."""
        return self.log_terms(x, num_samples, seed).weights

    def sample(self, num_samples: int, seed: int = 0) -> Samples:
        """`Samples(latents, probabilities, images)` from the prior, decoded; the same seed gives the same draws."""
        return self.generative.sample(check_integer("num_samples", num_samples), tf.constant([seed, 0]))

    def initialize_output_bias(self, mean_image: np.ndarray) -> None:
        r"""Set the decoder's output bias to the log-odds of the training mean, $\log \frac{m}{1 - m}$.

        Args:
            mean_image: mean grey level of each pixel over the training images, of shape `image_shape`; clipped to
                [0.001, 0.999].

        Raises:
            ValueError: if the shape is another, or if the decoder's last trainable weight is no bias of that size.

        Example:
            >>> model.initialize_output_bias(keras_iwae.data.mean_image("mnist"))

        References:
            The IWAE paper's released code; the paper gives the networks only.
        """
        mean = check_images(np.asarray(mean_image)[np.newaxis], "mean_image", self.image_shape)[0]
        weights = self.generative.decoder.trainable_variables
        if not weights or int(np.prod(weights[-1].shape)) != mean.size:
            raise ValueError(
                f"Invalid value received for `decoder`. Expected a last weight with {mean.size} values, one a pixel, "
                f"as `keras_iwae.networks.PixelBias` has. Received: {weights[-1].shape if weights else 'no weights'}"
            )
        mean = np.clip(mean, 0.001, 0.999)
        weights[-1].assign(np.log(mean / (1.0 - mean)).reshape(weights[-1].shape))

    def train_step(self, data):
        x, step = self._images(data), tf.cast(self.rng[1], tf.float32)
        self.rng.assign_add([0, 1])
        seed, variables = self._stateless_seed(self.rng), self.trainable_variables
        # What a loss-scaling optimizer multiplies by; replicas' gradients are summed.
        scale = self.optimizer.scale_loss(1.0) / self.distribute_strategy.num_replicas_in_sync
        if self.deterministic:
            with tf.GradientTape() as tape:
                terms = self._mean_terms(x, training=True)
                climbed = scale * tf.reduce_mean(terms.weights)
            sources = [variable.value for variable in variables]
            # The posterior's scale takes no part.
            ascent = tape.gradient(climbed, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        else:
            warmup = self.kl_warmup_steps
            kl_weight = tf.minimum(1.0, (step + 1.0) / warmup) if warmup else 1.0
            drawn = self.backward_samples
            found = bound_gradients(
                self.posterior,
                self.generative,
                x,
                self.training_samples,
                seed,
                self.objective,
                self.estimator,
                None if drawn is None or self.training_samples <= drawn else drawn,
                kl_weight,
                self.beta,
                scale,
            )
            terms = found.terms
            by_variable: dict[int, tf.Tensor] = {}
            for part, gradients in ((self.generative, found.generative), (self.posterior, found.posterior)):
                by_variable |= {id(v): g for v, g in zip(part.trainable_variables, gradients, strict=True)}
            if self.beta_logit is not None:
                with tf.GradientTape() as tape:
                    climbed = scale * tf.reduce_mean(self.objective(terms.weights, self.beta))
                by_variable[id(self.beta_logit)] = tape.gradient(climbed, self.beta_logit.value)
            ascent = [by_variable[id(variable)] for variable in variables]
        with tf.GradientTape() as tape:
            penalty = self._penalty()
            scaled = scale * penalty
        sources = [variable.value for variable in variables]
        descents = tape.gradient(scaled, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        steps = [descent - upward for descent, upward in zip(descents, ascent, strict=True)]
        self.optimizer.apply_gradients(zip(steps, variables, strict=True))
        # The penalty from before the step, as the bound is.
        return self._update_metrics(terms, penalty)

    def _penalty(self) -> tf.Tensor:
        """Sum of the regularizers' penalties."""
        return tf.add_n([tf.zeros([]), *(tf.cast(loss, tf.float32) for loss in self.losses)])

    def test_step(self, data):
        x = self._images(data)
        # The number of images seen in this pass keys the draws: batches differ, a second pass repeats.
        seen = tf.cast(self._trackers["loss"].count, tf.int64)
        seed = tf.random.fold_in(self._stateless_seed(tf.stack([self.rng[0], seen])), 1)
        terms = self._mean_terms(x) if self.deterministic else self.log_terms(x, self.num_samples, seed)
        return self._update_metrics(terms, self._penalty())

    def _stateless_seed(self, seed_and_counter: tf.Tensor) -> tf.Tensor:
        seed = tf.cast(seed_and_counter, tf.int32)
        replica = tf.distribute.get_replica_context()
        if replica is None or replica.num_replicas_in_sync == 1:
            return seed
        return tf.random.fold_in(seed, replica.replica_id_in_sync_group)

    def _mean_terms(self, x: tf.Tensor, training: bool = False) -> LogTerms:
        """Log-likelihood at the posterior mean, `[1, B]`, in the place of samples' log densities."""
        z = self.posterior.mean(x, training)[tf.newaxis]
        log_likelihood = self.generative.log_likelihood(x, z, training)
        return LogTerms(log_likelihood, tf.zeros_like(log_likelihood), tf.zeros_like(log_likelihood))

    def _update_metrics(self, terms: LogTerms, penalty: tf.Tensor) -> dict[str, tf.Tensor]:
        bound = self.objective(terms.weights, self.beta)
        values = {
            "loss": penalty - bound,
            "bound": bound,
            "elbo": tf.reduce_mean(terms.weights, axis=0),
            "reconstruction": tf.reduce_mean(terms.likelihood, axis=0),
            "kl": tf.reduce_mean(terms.posterior - terms.prior, axis=0),
            "ess": effective_sample_size(terms.weights),
            "beta": self.beta,
        }
        for name, tracker in self._trackers.items():
            # An entry an image, so that a short last batch does not count like a full one.
            tracker.update_state(values[name])
        return {name: tracker.result() for name, tracker in self._trackers.items()}

    def get_config(self):
        return {**super().get_config(), **self._config}

    @classmethod
    def from_config(cls, config):
        parts = {
            name: keras.saving.deserialize_keras_object(config[name]) for name in ("objective", "encoder", "decoder")
        }
        return cls(**{**config, **parts})
