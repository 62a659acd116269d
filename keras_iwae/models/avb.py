"""Adversarial variational Bayes: an autoencoder whose posterior is a network of noise, and has no density."""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_iwae.bounds import LogTerms
from keras_iwae.foundation import having_rows, normal_of_rows
from keras_iwae.likelihoods import Likelihood
from keras_iwae.models.components import encoder_inputs, with_inputs
from keras_iwae.models.given import build_at_once
from keras_iwae.models.latent_model import LatentModel
from keras_iwae.models.replicas import Batch
from keras_iwae.networks import Discriminator, dense_encoder, discrimination, following_seed
from keras_iwae.posteriors import Posterior


class _Step(NamedTuple):
    """Log densities of K draws, of which log q is the discriminator's, and what the discriminator climbs, `[K, B]`."""

    terms: LogTerms
    discriminated: tf.Tensor


@keras.saving.register_keras_serializable("keras_iwae")
class AVB(LatentModel):
    r"""Autoencoder with an implicit posterior and adaptive contrast.

    With r(z|x) the Gaussian of q's mean and standard deviation and T(x, z) the discriminator, the other parts climb

    $\mathcal{L} = E_q[\log p(x|z) + \log p(z) - \log r(z|x) - T(x, z)]$

    at fixed T and r, and T climbs $E_q[\log \sigma(T)] + E_r[\log(1 - \sigma(T))]$, whose optimum is
    $T^* = \log q - \log r$, where $\mathcal{L}$ is the ELBO. T is given z in units of r, so that it has to tell q from
    a standard normal only. All step together, once for every batch.

    What is reported as `elbo` and `kl` is as good as T is: no bound. For the likelihood there is `annealed_nll`
    (`evaluate_nll.py --method ais`), or an IWAE with this decoder and likelihood, not
    trainable, whose posterior is fitted to it.

    Args:
        event_shape: shape of one example, `(D,)` or `(H, W, C)`; an integer stands for a flat one.
        latent_dim: number of latent units; `None` is 50, or those of the posterior that is given.
        hidden: units of the encoder's dense layers, and of those of the discriminator's own encoder; the decoder's are
            the same in reverse; `None` is (200, 200).
        activation: their Keras activation, by name or callable; `None` is "tanh".
        num_samples: K, draws per image in training and in `evaluate`.
        posterior: "adversarial", or a layer with draws and no density, as `keras_iwae.posteriors.ImplicitPosterior`.
        likelihood: p(x|z), a name or a layer of `keras_iwae.likelihoods`; as for `IWAE`.
        missing: "nan" where NaN stands for an entry that was not observed; `None` refuses it.
        mask_input: whether the encoders see which entries were observed.
        encoder: a Keras layer or model from examples to features, in place of the dense one.
        decoder: a Keras layer or model from latents to features, in place of the dense one, or to the likelihood's
            parameters themselves.
        seed: seed of the initial weights and of every draw; saved with the model.
        **kwargs: passed to `keras.Model`.

    Raises:
        ValueError: if an argument is out of range, or the posterior has a density, and needs no discriminator.

    Example:
        >>> model = AVB(event_shape=(8, 8, 1), latent_dim=8)
        >>> model.compile(keras.optimizers.Adam(1e-4))
        >>> model.fit(keras_iwae.data.load("digits", "train", batch_size=100), epochs=10)

    `fit` and `evaluate` report, as means over images: `loss`, minus `elbo`; `elbo`, `reconstruction`
    (E_q log p(x|z)) and `kl` in nats; and `discrimination`, what T climbs: -1.39 where it cannot tell q from r.

    References:
        Mescheder, Nowozin, Geiger (2017), Adversarial variational Bayes, algorithm 1 and section 4.
    """

    parts = ("discriminator",)
    always_dense = True

    def __init__(
        self,
        event_shape: int | Sequence[int],
        latent_dim: int | None = None,
        hidden: Sequence[int] | None = None,
        activation=None,
        num_samples: int = 1,
        posterior: str | Posterior = "adversarial",
        likelihood: str | Likelihood = "bernoulli",
        missing: str | None = None,
        mask_input: bool = False,
        encoder: keras.Layer | None = None,
        decoder: keras.Layer | None = None,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(
            event_shape,
            latent_dim,
            hidden,
            activation,
            num_samples,
            posterior,
            likelihood,
            missing,
            mask_input,
            encoder,
            decoder,
            seed,
            **kwargs,
        )
        if self.generative.likelihood.weighted:
            raise ValueError(
                "Invalid value received for `likelihood`. Expected one that weighs no columns, which `keras_iwae.IWAE` "
                "trains. Received: column_weights"
            )
        if self.posterior.density != "none":
            raise ValueError(
                "Invalid value received for `posterior`. Expected one without a density, which a discriminator stands "
                f"in for. Received: a {type(self.posterior).__name__}, which `keras_iwae.IWAE` trains"
            )
        own_encoder = with_inputs(
            dense_encoder(
                self._made_with.hidden, self._made_with.activation, following_seed(self.seed, 4), self.dtype_policy
            ),
            self.event_shape,
            encoder_inputs(self.generative.likelihood, missing, mask_input),
        )
        own_seed = following_seed(self.seed, 5)
        self.discriminator = Discriminator(own_encoder, self.latent_dim, seed=own_seed, name="discriminator")
        self._track("loss", "elbo", "reconstruction", "kl", "discrimination")
        build_at_once(self)

    def build(self, input_shape=None):
        self.discriminator.build((None, *self.event_shape))
        super().build(input_shape)

    def train_step(self, data):
        batch, scale = self._batch(data), self._loss_scale()
        seed = self._next_seed(batch.x)
        with tf.GradientTape(persistent=True) as tape:
            with having_rows(batch.rows):
                step = self._compute(batch.x, seed, training=True)
            loss = -scale * batch.mean(tf.reduce_mean(step.terms.weights, axis=0))
            confusion = -scale * batch.mean(tf.reduce_mean(step.discriminated, axis=0))
        by_variable: dict[int, tf.Tensor] = {}
        parts = ((self.generative, loss), (self.posterior, loss), (self.discriminator, confusion))
        for part, of in parts:
            sources = [variable.value for variable in part.trainable_variables]
            # None is no number that a penalty could be added to.
            found = tape.gradient(of, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            # Of a layer in both of the first two, either gradient is the whole.
            by_variable |= {id(v): g for v, g in zip(part.trainable_variables, found, strict=True)}
        slopes = [by_variable[id(variable)] for variable in self.trainable_variables]
        return self._update_metrics(step, batch, self._descend(slopes, scale))

    def test_step(self, data):
        batch, seed = self._batch(data), self._evaluation_seed()
        with having_rows(batch.rows):
            step = self._compute(batch.x, seed)
        return self._update_metrics(step, batch, self._penalty())

    def _compute(self, x: tf.Tensor, seed: tf.Tensor, training: bool = False) -> _Step:
        draw_seed, contrast_seed = tf.unstack(tf.random.split(seed, 2))
        q = self.posterior.distribution(x, training)
        z = q.sample([self.num_samples], seed=draw_seed)
        # Constants: at the optimum of T no value of theirs changes the ELBO.
        loc, scale = tf.stop_gradient(q.mean()), tf.stop_gradient(q.stddev())
        noise, contrast = (
            (z - loc) / scale,
            normal_of_rows(contrast_seed, tf.shape(z), axis=1),
        )
        of_images = self.discriminator(x, training=training)
        ratio = self.discriminator.given(of_images, noise)
        log_contrast = tf.reduce_sum(-0.5 * (noise**2 + np.log(2.0 * np.pi)) - tf.math.log(scale), axis=-1)
        terms = LogTerms(
            self.generative.log_likelihood(x, z, training), self.generative.log_prior(z, training), log_contrast + ratio
        )
        return _Step(terms, discrimination(ratio, self.discriminator.given(of_images, contrast)))

    def _update_metrics(self, step: _Step, batch: Batch, penalty: tf.Tensor) -> dict[str, tf.Tensor]:
        terms, elbo = step.terms, tf.reduce_mean(step.terms.weights, axis=0)
        return self._report(
            {
                "loss": penalty - elbo,
                "elbo": elbo,
                "reconstruction": tf.reduce_mean(terms.likelihood, axis=0),
                "kl": tf.reduce_mean(terms.posterior - terms.prior, axis=0),
                "discrimination": tf.reduce_mean(step.discriminated, axis=0),
            },
            batch,
        )
