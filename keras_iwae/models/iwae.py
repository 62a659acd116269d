"""The importance weighted autoencoder as a Keras model: from a batch to log weights, a bound and a step."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_iwae.bounds import LogTerms, bound_gradients, check_contract, estimators, objectives
from keras_iwae.foundation import check_integer, check_key, effective_sample_size, having_rows
from keras_iwae.likelihoods import Likelihood, SelfMasking
from keras_iwae.models.as_made import as_given
from keras_iwae.models.given import ELSEWHERE, build_at_once
from keras_iwae.models.latent_model import LatentModel
from keras_iwae.models.legal_training import check_backward_path, check_prior, check_samples, check_training
from keras_iwae.models.missingness import mechanism
from keras_iwae.models.replicas import Batch
from keras_iwae.posteriors import Posterior
from keras_iwae.priors import Prior


@keras.saving.register_keras_serializable("keras_iwae")
class IWAE(LatentModel):
    r"""Importance weighted autoencoder.

    With z_1..z_K ~ q(z|x) and $w_k = p(x, z_k) / q(z_k|x)$, `fit` maximizes the mean over the batch of
    $L_K = \log \frac{1}{K} \sum_k w_k \le \log p(x)$ ("iwae"), or of another objective of the same log weights.

    Args:
        event_shape: shape of one example, `(D,)` or `(H, W, C)`; an integer stands for a flat one.
        latent_dim: number of latent units; several numbers are as many stochastic layers, the one next to the image
            first, as `(100, 50)` in the paper; `None` is 50.
        hidden: units of the encoder's dense layers; the decoder's are the same in reverse. With several stochastic
            layers one such sequence for each, as `((200, 200), (100, 100))`: beside an encoder and a decoder that are
            given, for the layers above the first alone. `None` is (200, 200), for one stochastic layer.
        activation: their Keras activation, by name or callable; `None` is "tanh".
        num_samples: K, importance samples of each example in training and in `evaluate`; `None` is 50, and 1 for "ae",
            which draws none.
        objective: "iwae", "elbo" (VAE with K draws), "ae" (plain autoencoder), "miwae", "piwae", "ciwae", "renyi",
            "jvi", or an object of `keras_iwae.bounds.objectives`, such as `MIWAE(num_groups=8)`.
        estimator: how the objective is differentiated: "reparameterized", "stl", "dreg", "vimco", "reinforce" or "rws";
            "auto" is "dreg" where importance weights are of more than one sample and it is legal, and else
            "reparameterized".
        posterior: "gaussian", "full_covariance", "planar", "radial", "iaf", "maf", "autoregressive", "mixture",
            "auxiliary", "semi_amortized", or "bernoulli" for binary latents with a uniform prior; or a Keras layer
            under the contract of `keras_iwae.posteriors`, whose encoder and `latent_dim` then take the place of the
            ones here, and `hidden` and `activation` are the decoder's alone. "adversarial" is for `keras_iwae.AVB`.
        likelihood: p(x|z): "bernoulli", "gaussian", "student_t", "discretized_logistic", "continuous_bernoulli",
            "poisson", "negative_binomial", or a layer of `keras_iwae.likelihoods`, such as
            `CategoricalLikelihood(levels=17)`.
        missing: "nan" where NaN stands for an entry that was not observed, and log p(x) is that of the others; `None`
            refuses NaN.
        mask_input: whether the encoder sees which entries were observed, besides zeros where they were not.
        backward_samples: m, samples drawn for the backward pass by the resampled backward pass, with a decoder that
            training neither randomizes nor moves otherwise than by gradients; `None` is all K.
        kl_warmup_steps: n, steps over which the weight of the KL part of what is climbed grows from 1/n to 1; they
            start anew where weights are loaded that are of a model with another number.
        encoder: a Keras layer or model from examples to features `[B, F]`, in place of the dense one.
        decoder: a Keras layer or model from latents to features `[N, F]`, in place of the dense one, or to the
            likelihood's parameters themselves (logits `[N, *event_shape]` for a Bernoulli).
        seed: seed of the initial weights and of every draw; saved with the model.
        missingness: "self_masking" where each column of a table goes missing by a logistic of its own value, or a
            `SelfMasking`: log p(x) is then log p(x_obs, s) everywhere, with s what was observed; `None` where that says
            nothing of the missing values.
        prior: p(z): "standard_normal", or one that is learned: "mixture" of Gaussians, "vamp", a mixture of the
            posteriors of pseudo-inputs, or "flow"; or a layer of `keras_iwae.priors`. With several stochastic layers it
            is that of the last, or a layer of all. `None` is the standard normal, and fair coins for binary latents.
        **kwargs: passed to `keras.Model`.

    Raises:
        ValueError: if an argument is out of range, or objective, estimator, posterior and networks do not go together.

    Example:
        >>> model = IWAE(event_shape=(8, 8, 1), latent_dim=10, num_samples=50)
        >>> model.compile(keras.optimizers.Adam(1e-3))
        >>> model.fit(keras_iwae.data.load("digits", "train", batch_size=100), epochs=10)

    `fit` and `evaluate` report, as means over images: `loss` (minus the bound), `bound` and `elbo` in nats,
    `reconstruction` (E_q log p(x|z)) and `kl` (its sampled value, E_q log q(z|x) - log p(z)) in nats, and `ess`, the
    effective sample size of the K weights. With "ae" only `loss` and `reconstruction` have a meaning, and are reported;
    a learned CIWAE reports its `beta`. Where the likelihood weighs its columns, what `fit` reports of training is
    called `weighted_bound` and so on.

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, equations 8 and 14.
    """

    objects = ("objective", "missingness", "prior")
    elsewhere = ELSEWHERE

    def __init__(
        self,
        event_shape: int | Sequence[int],
        latent_dim: int | Sequence[int] | None = None,
        hidden: Sequence | None = None,
        activation=None,
        num_samples: int | None = None,
        objective: str | objectives.Objective = "iwae",
        estimator: str = "auto",
        posterior: str | Posterior = "gaussian",
        likelihood: str | Likelihood = "bernoulli",
        missing: str | None = None,
        mask_input: bool = False,
        backward_samples: int | None = None,
        kl_warmup_steps: int = 0,
        encoder: keras.Layer | None = None,
        decoder: keras.Layer | None = None,
        seed: int = 0,
        missingness: str | SelfMasking | None = None,
        prior: str | Prior | None = None,
        **kwargs,
    ):
        masking = mechanism(missingness, missing, estimator)
        objective = objectives.get(objective)
        super().__init__(
            event_shape,
            latent_dim,
            hidden,
            activation,
            objectives.settle_samples(objective, num_samples),
            posterior,
            likelihood,
            missing,
            mask_input,
            encoder,
            decoder,
            seed,
            masking,
            prior,
            **kwargs,
        )
        self._training_samples = self.num_samples
        check_contract(objective, self.num_samples, backward_samples is not None)
        self.objective = objective
        asked, q = estimator, self.posterior
        if isinstance(estimator, str) and estimator == "auto":
            estimator = estimators.automatic(objective, self.num_samples, q.reparameterized, q.total_only, q.stratified)
        self.estimator = estimators.get(estimator)
        drawn = backward_samples
        self.backward_samples = None if drawn is None else check_integer("backward_samples", drawn)
        self.kl_warmup_steps = check_integer("kl_warmup_steps", kl_warmup_steps, at_least=0)
        vars(self._made_with).update(
            objective=keras.saving.serialize_keras_object(self.objective),
            estimator=estimator,
            backward_samples=self.backward_samples,
            kl_warmup_steps=self.kl_warmup_steps,
            missingness=as_given(missingness),
            prior=as_given(prior),
        )
        check_training(self, estimator, asked)
        self.beta_logit = None
        if self.objective.learned:
            start = keras.initializers.Constant(np.log(self.objective.beta / (1.0 - self.objective.beta)))
            self.beta_logit = self.add_weight((), start, "float32", name="beta_logit", autocast=False)
        self._track(*self._metric_names())
        build_at_once(self)
        check_prior(self)
        check_backward_path(self)

    @property
    def training_samples(self) -> int:
        """K of a training step: `num_samples`, unless `keras_iwae.training.FewerSamplesFirst` lowers it in a `fit`."""
        return self._training_samples

    def _end_fit(self) -> None:
        super()._end_fit()
        self._train_with(self.num_samples)

    def _train_with(self, samples: int) -> None:
        check_samples(self, self._made_with.estimator, samples)
        changed, self._training_samples = samples != self._training_samples, samples
        if changed and self.train_function is not None:
            self.make_train_function(force=True)

    def _metric_names(self) -> tuple[str, ...]:
        names = ("reconstruction",) if self.deterministic else ("bound", "elbo", "reconstruction", "kl", "ess")
        weighted = [self._training_name(name) for name in names if self._training_name(name) not in names]
        return "loss", *names, *weighted, *(["beta"] if self.objective.learned else [])

    def _training_name(self, name: str) -> str:
        """What a metric is called in training: where the likelihood is weighted it is of no log-likelihood."""
        return f"weighted_{name}" if self.generative.likelihood.weighted and name != "kl" else name

    @property
    def deterministic(self) -> bool:
        """Whether the objective takes the posterior mean in place of samples."""
        return self.objective.deterministic

    @property
    def beta(self) -> tf.Tensor | None:
        """The learned coefficient of the objective, `None` where there is none."""
        return None if self.beta_logit is None else tf.sigmoid(self.beta_logit)

    def log_terms(self, x: tf.Tensor, num_samples: int | tf.Tensor, seed: tf.Tensor) -> LogTerms:
        """Log densities of K posterior draws for each image.

        Args:
            x: examples, float32 `[B, *event_shape]`.
            num_samples: K.
            seed: int32 `[2]`, a stateless seed.

        Returns:
            `LogTerms`; its `weights` are log w, `[K, B]`.
        """
        x = self._looked_at(x)
        if not tf.is_tensor(num_samples):
            num_samples = check_integer("num_samples", num_samples)
        if not tf.is_tensor(seed):
            check_key("seed", seed)
        z, log_posterior = self.posterior.sample_and_log_prob(x, num_samples, seed)
        return LogTerms(self.generative.log_likelihood(x, z), self.generative.log_prior(z), log_posterior)

    def log_weights(self, x: tf.Tensor, num_samples: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """log w = log p(x|z) + log p(z) - log q(z|x) in nats, `[K, B]`; arguments as for `log_terms`."""
        return self.log_terms(x, num_samples, seed).weights

    def train_step(self, data):
        batch, kl_weight = self._batch(data), self._kl_weight()
        with having_rows(batch.rows):
            return self._step(batch, kl_weight)

    def _step(self, batch: Batch, kl_weight: tf.Tensor | float) -> dict[str, tf.Tensor]:
        x, seed, scale, variables = batch.x, self._next_seed(batch.x), self._loss_scale(), self.trainable_variables
        # Of before the step, as is all that is reported.
        beta = None if self.beta is None else tf.identity(self.beta)
        if self.deterministic:
            with tf.GradientTape() as tape:
                terms = self._mean_terms(x, training=True)
                loss = -scale * batch.mean(self.objective(terms.weights))
            sources = [variable.value for variable in variables]
            # The posterior's scale takes no part.
            slopes = tape.gradient(loss, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        else:
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
                # Downhill from the start: to turn them round would be a pass over all weights.
                -scale,
                batch.weights,
                batch.total_weight,
            )
            terms = found.terms
            by_variable: dict[int, tf.Tensor] = {}
            for part, gradients in ((self.generative, found.generative), (self.posterior, found.posterior)):
                for variable, gradient in zip(part.trainable_variables, gradients, strict=True):
                    # Of a layer that is in both, each part has its own share.
                    other = by_variable.get(id(variable))
                    by_variable[id(variable)] = gradient if other is None else other + gradient
            if self.beta_logit is not None:
                with tf.GradientTape() as tape:
                    loss = -scale * batch.mean(self.objective(terms.tempered(kl_weight), self.beta))
                by_variable[id(self.beta_logit)] = tape.gradient(loss, self.beta_logit.value)
            slopes = [by_variable[id(variable)] for variable in variables]
        return self._update_metrics(terms, batch, beta, self._descend(slopes, scale), training=True)

    def test_step(self, data):
        batch, seed = self._batch(data), self._evaluation_seed()
        with having_rows(batch.rows):
            terms = self._mean_terms(batch.x) if self.deterministic else self.log_terms(batch.x, self.num_samples, seed)
        return self._update_metrics(terms, batch, self.beta, self._penalty())

    def _mean_terms(self, x: tf.Tensor, training: bool = False) -> LogTerms:
        """Log-likelihood at the posterior mean, `[1, B]`, in the place of samples' log densities."""
        z = self.posterior.mean(x, training)[tf.newaxis]
        log_likelihood = self.generative.log_likelihood(x, z, training)
        return LogTerms(log_likelihood, tf.zeros_like(log_likelihood), tf.zeros_like(log_likelihood))

    def _update_metrics(
        self,
        terms: LogTerms,
        batch: Batch,
        beta: tf.Tensor | None,
        penalty: tf.Tensor,
        training: bool = False,
    ) -> dict[str, tf.Tensor]:
        bound = self.objective(terms.weights, beta)
        found = {
            "bound": bound,
            "elbo": tf.reduce_mean(terms.weights, axis=0),
            "reconstruction": tf.reduce_mean(terms.likelihood, axis=0),
            "kl": tf.reduce_mean(terms.posterior - terms.prior, axis=0),
            "ess": effective_sample_size(terms.weights),
        }
        named = {self._training_name(name): value for name, value in found.items()} if training else found
        return self._report({"loss": penalty - bound, **named, "beta": beta}, batch)
