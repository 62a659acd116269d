"""The importance weighted autoencoder as a Keras model: from a batch to log weights, a bound and a step."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_iwae import networks, objectives
from keras_iwae.generative import GenerativeModel, Samples
from keras_iwae.inputs import check_image_spec, check_images, check_integer, checked_dataset, value_errors
from keras_iwae.numerics import effective_sample_size
from keras_iwae.posteriors import GaussianPosterior


class LogTerms(NamedTuple):
    """The three log densities, in nats and float32 `[K, B]` each, that a log weight is made of."""

    likelihood: tf.Tensor
    prior: tf.Tensor
    posterior: tf.Tensor

    @property
    def weights(self) -> tf.Tensor:
        """log w = log p(x|z) + log p(z) - log q(z|x)."""
        return self.likelihood + self.prior - self.posterior


@keras.saving.register_keras_serializable("keras_iwae")
class IWAE(keras.Model):
    r"""Importance weighted autoencoder with a Gaussian posterior and a Bernoulli decoder.

    With z_1..z_K ~ q(z|x) and $w_k = p(x, z_k) / q(z_k|x)$, `fit` maximizes the mean over the batch of
    $L_K = \log \frac{1}{K} \sum_k w_k \le \log p(x)$ ("iwae"), or of another objective of the same log weights.

    Args:
        image_shape: shape of one image, `(D,)` or `(H, W, C)`; an integer stands for a flat image.
        latent_dim: number of latent units.
        hidden: units of the encoder's dense layers; the decoder's are the same in reverse.
        activation: their Keras activation, by name or callable.
        num_samples: K, importance samples per image in training and in `evaluate`.
        objective: "iwae", "elbo" (VAE with K draws), "ae" (plain autoencoder), or a callable `[K, B]` -> `[B]`.
        encoder: a Keras layer or model from images to features, in place of the dense one.
        decoder: a Keras layer or model from latents to logits, in place of the dense one.
        seed: seed of the initial weights and of every draw; saved with the model.
        **kwargs: passed to `keras.Model`.

    Raises:
        ValueError: if an argument is out of range, or if the decoder's logits have another shape than the images.

    Example:
        >>> model = IWAE(image_shape=(28, 28, 1), latent_dim=50, num_samples=50)
        >>> model.compile(keras.optimizers.Adam(1e-3))
        >>> model.fit(keras_iwae.data.load("mnist", "train", batch_size=100), epochs=10)

    `fit` and `evaluate` report, as means over images: `loss` (minus the bound), `bound` and `elbo` in nats,
    `reconstruction` (E_q log p(x|z)) and `kl` (its sampled value, E_q log q(z|x) - log p(z)) in nats, and `ess`, the
    effective sample size of the K weights. With "ae" only `loss` and `reconstruction` have a meaning, and are reported.

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, equations 8 and 14.
    """

    def __init__(
        self,
        image_shape: int | Sequence[int],
        latent_dim: int = 50,
        hidden: Sequence[int] = (200, 200),
        activation="tanh",
        num_samples: int = 50,
        objective: str | Callable = "iwae",
        encoder: keras.Layer | None = None,
        decoder: keras.Layer | None = None,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        shape = [image_shape] if isinstance(image_shape, int) else image_shape
        self.image_shape = tuple(check_integer("image_shape", size) for size in shape)
        self.latent_dim = check_integer("latent_dim", latent_dim)
        self.num_samples = check_integer("num_samples", num_samples)
        self.objective = objectives.get(objective)
        self.seed = check_integer("seed", seed, at_least=0)
        self._config = {
            "image_shape": self.image_shape,
            "latent_dim": self.latent_dim,
            "hidden": tuple(hidden),
            "activation": keras.activations.serialize(keras.activations.get(activation)),
            "num_samples": self.num_samples,
            "objective": keras.saving.serialize_keras_object(self.objective),
            "encoder": keras.saving.serialize_keras_object(encoder),
            "decoder": keras.saving.serialize_keras_object(decoder),
            "seed": seed,
        }
        dtype = self.dtype_policy
        encoder = encoder or networks.dense_encoder(hidden, activation, seed, dtype)
        decoder = decoder or networks.dense_decoder(self.image_shape, tuple(hidden)[::-1], activation, seed + 1, dtype)
        self.posterior = GaussianPosterior(encoder, self.latent_dim, seed + 2, dtype=dtype, name="posterior")
        self.generative = GenerativeModel(decoder, self.latent_dim, self.image_shape, dtype=dtype, name="generative")
        # A Keras SeedGenerator is not saved with the model; a weight is, so a resumed run continues the same stream.
        self.rng = self.add_weight(
            shape=(2,), dtype="int64", trainable=False, autocast=False, name="rng", initializer="zeros"
        )
        self.rng.assign([seed, 0])
        self._trackers = {name: keras.metrics.Mean(name=name) for name in self._metric_names()}
        self.build()

    def _metric_names(self) -> tuple[str, ...]:
        if self.deterministic:
            return "loss", "reconstruction"
        return "loss", "bound", "elbo", "reconstruction", "kl", "ess"

    @property
    def deterministic(self) -> bool:
        """Whether the objective takes the posterior mean in place of samples."""
        return getattr(self.objective, "deterministic", False)

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

    def log_terms(
        self, x: tf.Tensor, num_samples: int | tf.Tensor, seed: tf.Tensor, training: bool = False
    ) -> LogTerms:
        """Log densities of K posterior draws for each image.

        Args:
            x: images in [0, 1], `[B, *image_shape]`.
            num_samples: K.
            seed: int32 `[2]`, a stateless seed.
            training: whether the networks run in training mode.

        Returns:
            `LogTerms`; its `weights` are log w, `[K, B]`.
        """
        z, log_posterior = self.posterior.sample_and_log_prob(x, num_samples, seed, training)
        return LogTerms(self.generative.log_likelihood(x, z, training), self.generative.log_prior(z), log_posterior)

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
        x = self._images(data)
        self.rng.assign_add([0, 1])
        with tf.GradientTape() as tape:
            bound, terms = self._bound(x, self._stateless_seed(self.rng), training=True)
            loss = tf.add_n([-tf.reduce_mean(bound), *(tf.cast(penalty, tf.float32) for penalty in self.losses)])
            # Replicas' gradients are summed.
            scaled = self.optimizer.scale_loss(loss / self.distribute_strategy.num_replicas_in_sync)
        variables = self.trainable_variables
        # Zeros where an objective leaves weights out, as "ae" does the posterior's scale; Keras' own variables lack a
        # TensorFlow dtype to make zeros of.
        sources = [variable.value for variable in variables]
        gradients = tape.gradient(scaled, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return self._update_metrics(loss, bound, terms)

    def test_step(self, data):
        x = self._images(data)
        # The number of images seen in this pass keys the draws: batches differ, a second pass repeats.
        seen = tf.cast(self._trackers["loss"].count, tf.int64)
        seed = tf.random.fold_in(self._stateless_seed(tf.stack([self.rng[0], seen])), 1)
        bound, terms = self._bound(x, seed, training=False)
        return self._update_metrics(-tf.reduce_mean(bound), bound, terms)

    def _images(self, data) -> tf.Tensor:
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        check_image_spec(x, self.image_shape)
        return tf.cast(x, tf.float32)

    def _stateless_seed(self, seed_and_counter: tf.Tensor) -> tf.Tensor:
        seed = tf.cast(seed_and_counter, tf.int32)
        replica = tf.distribute.get_replica_context()
        if replica is None or replica.num_replicas_in_sync == 1:
            return seed
        return tf.random.fold_in(seed, replica.replica_id_in_sync_group)

    def _bound(self, x: tf.Tensor, seed: tf.Tensor, training: bool) -> tuple[tf.Tensor, LogTerms]:
        if self.deterministic:
            z = self.posterior.mean(x, training)[tf.newaxis]
            log_likelihood = self.generative.log_likelihood(x, z, training)
            nothing = tf.zeros_like(log_likelihood)
            terms = LogTerms(log_likelihood, nothing, nothing)
        else:
            terms = self.log_terms(x, self.num_samples, seed, training)
        return self.objective(terms.weights), terms

    def _update_metrics(self, loss: tf.Tensor, bound: tf.Tensor, terms: LogTerms) -> dict[str, tf.Tensor]:
        values = {
            "loss": tf.fill(tf.shape(bound), loss),
            "bound": bound,
            "elbo": terms.weights,
            "reconstruction": terms.likelihood,
            "kl": terms.posterior - terms.prior,
            "ess": effective_sample_size(terms.weights),
        }
        for name, tracker in self._trackers.items():
            # Means over images, [B] each, so that a short last batch does not count like a full one.
            value = values[name]
            tracker.update_state(tf.reduce_mean(value, axis=0) if value.shape.rank == 2 else value)
        return {name: tracker.result() for name, tracker in self._trackers.items()}

    def compile(self, optimizer="adam", *, jit_compile="auto", **kwargs):
        """As `keras.Model.compile`, without losses and metrics of predictions: the objective is the loss.

        Args:
            optimizer: a Keras optimizer, by name or object.
            jit_compile: whether steps run in XLA; "auto" means on a GPU, also for a model that was saved on a CPU.
            **kwargs: `run_eagerly`, `steps_per_execution`, `auto_scale_loss`.

        Raises:
            ValueError: if a loss or metrics are given.
        """
        for argument in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            if kwargs.pop(argument, None) is not None:
                raise ValueError(
                    f"Invalid value received for `{argument}`. Expected none: the loss is minus the bound of "
                    "`objective`, and the metrics are the bound's parts. Use a callback for more."
                )
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)
        self._requested_jit_compile = jit_compile

    def get_compile_config(self):
        config = super().get_compile_config()
        return {**config, "jit_compile": self._requested_jit_compile} if config else config

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(self, x=None, *args, validation_data=None, **kwargs):
        """As `keras.Model.fit`; images are checked to lie in [0, 1]."""
        if isinstance(x, tf.data.Dataset):
            # Keras' default, True, only makes it warn that it cannot shuffle a dataset.
            kwargs.setdefault("shuffle", False)
        with value_errors():
            validation_data = self._checked(validation_data, "validation_data")
            return super().fit(self._checked(x, "x"), *args, validation_data=validation_data, **kwargs)

    def evaluate(self, x=None, *args, **kwargs):
        """As `keras.Model.evaluate`; the same data gives the same numbers at every call."""
        with value_errors():
            return super().evaluate(self._checked(x, "x"), *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        """As `keras.Model.predict`: reconstructed pixel probabilities, `[N, *image_shape]`."""
        with value_errors():
            return super().predict(self._checked(x, "x"), *args, **kwargs)

    def _checked(self, x, argument: str):
        if isinstance(x, tf.data.Dataset):
            return checked_dataset(x, self.image_shape, argument)
        if isinstance(x, (tuple, list)) and argument == "validation_data":
            return (check_images(x[0], argument, self.image_shape), *x[1:])
        if isinstance(x, (np.ndarray, tf.Tensor)):
            return check_images(x, argument, self.image_shape)
        return x

    def get_config(self):
        return {**super().get_config(), **self._config}

    @classmethod
    def from_config(cls, config):
        parts = {
            name: keras.saving.deserialize_keras_object(config[name]) for name in ("objective", "encoder", "decoder")
        }
        return cls(**{**config, **parts})
