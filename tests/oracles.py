"""Models whose log p(x) is known, to hold the estimators against, and log densities of entries in float64."""

import math

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats
from scipy.special import gammaln, logsumexp

from keras_iwae import IWAE
from keras_iwae.foundation import Support
from keras_iwae.likelihoods import GaussianLikelihood
from keras_iwae.models.door import Door
from keras_iwae.models.generative import Samples
from keras_iwae.models.graphs import KeepsGraphs
from keras_iwae.networks import EventEncoder
from keras_iwae.posteriors import Posterior
from keras_iwae.priors.standard_normal import StandardNormalPrior

tfd = tfp.distributions


class LinearGaussian(KeepsGraphs):
    """p(z) = N(0, I), p(x|z) = N(W z + b, s^2 I), so p(x) = N(b, W W^T + s^2 I) and the true posterior is Gaussian.

    The posterior used for sampling is the true one's diagonal, its mean moved and its scale stretched by the arguments.
    """

    reparameterized = True
    stratified = False
    density = "exact"
    missingness = None

    def __init__(self, shift=0.3, stretch=1.2, dim=5, latent_dim=2, noise=0.7, seed=0, unit=1.0):
        rng = np.random.default_rng(seed)
        self.weights = rng.normal(size=(dim, latent_dim))
        # Orthogonal columns make the true posterior diagonal, so that a diagonal one can equal it.
        self.weights = np.linalg.qr(self.weights)[0] * np.linspace(0.8, 1.6, latent_dim)
        self.bias, self.noise = rng.normal(size=dim), noise
        if unit != 1.0:
            # About 0.5 and small, so that it may pass for images; the posterior stays what it is.
            self.weights, self.bias, self.noise = unit * self.weights, 0.5 + unit * self.bias, unit * noise
        self.event_shape, self.latent_dim, self.prior = (dim,), latent_dim, StandardNormalPrior(latent_dim)
        self.precision = np.eye(latent_dim) + self.weights.T @ self.weights / self.noise**2
        self.shift, self.stretch = shift, stretch
        self.posterior = self.generative = self
        self.likelihood, self.door = GaussianLikelihood(scale=noise), Door((dim,), Support())

    def check_finite(self):
        pass

    def get_weights(self):
        return [self.weights, self.bias]

    def sample_data(self, count, seed=1):
        rng = np.random.default_rng(seed)
        z = rng.normal(size=(count, self.weights.shape[1]))
        return (z @ self.weights.T + self.bias + self.noise * rng.normal(size=(count, len(self.bias)))).astype(
            np.float32
        )

    def log_evidence(self, x):
        covariance = self.weights @ self.weights.T + self.noise**2 * np.eye(len(self.bias))
        distribution = tfd.MultivariateNormalFullCovariance(self.bias, covariance)
        return distribution.log_prob(np.asarray(x, np.float64)).numpy()

    def elbo(self, x):
        """log p(x) - KL(q || true posterior), both Gaussian."""
        scale = 1.0 / np.sqrt(np.diag(self.precision))
        q_scale, truth = self.stretch * scale, tfd.MultivariateNormalDiag(np.zeros_like(scale), scale)
        q = tfd.MultivariateNormalDiag(self.shift * np.ones_like(scale), q_scale)
        return self.log_evidence(x) - tfd.kl_divergence(q, truth).numpy()

    def distribution(self, x):
        mean = (tf.cast(x, tf.float64) - self.bias) @ self.weights @ np.linalg.inv(self.precision) / self.noise**2
        scale = self.stretch / np.sqrt(np.diag(self.precision))
        return tfd.MultivariateNormalDiag(
            tf.cast(mean + self.shift, tf.float32),
            tf.constant(scale, tf.float32) * tf.ones_like(tf.cast(mean, tf.float32)),
        )

    def mean(self, x):
        return self.distribution(x).mean()

    def sample(self, count, seed):
        """`Samples` of the generative model; `latents` are exact draws from p(z|x) of the `images`."""
        z = self.prior.sample(count, tf.random.fold_in(seed, 0))
        mean = z @ tf.constant(self.weights.T, tf.float32) + self.bias.astype(np.float32)
        noise = tf.random.stateless_normal(mean.shape, tf.random.fold_in(seed, 1))
        return Samples(z, mean, mean + self.noise * noise)

    def log_joint(self, x, z):
        return self.log_likelihood(x, z) + self.log_prior(z)

    def log_likelihood_of(self, x):
        return lambda z: self.log_likelihood(x, z)

    def log_likelihood(self, x, z):
        mean = tf.einsum("kbd,xd->kbx", z, tf.constant(self.weights, tf.float32)) + self.bias.astype(np.float32)
        return tfd.Independent(tfd.Normal(mean, self.noise), 1).log_prob(x)

    def log_prior(self, z):
        return tfd.MultivariateNormalDiag(tf.zeros(z.shape[-1]), tf.ones(z.shape[-1])).log_prob(z)

    def log_weights(self, x, num_samples, seed):
        q = self.distribution(x)
        z = q.sample([num_samples], seed=seed)
        return self.log_likelihood(x, z) + self.log_prior(z) - q.log_prob(z)


def quadrature_log_evidence(model, x, half_width=8.0, points=401):
    """log p(x) of an IWAE with one or two latent units, by the trapezoid rule on a grid, in float64, `[B]`."""
    ticks = np.linspace(-half_width, half_width, points)
    grid = np.stack(np.meshgrid(*[ticks] * model.latent_dim, indexing="ij"), axis=-1).reshape(-1, model.latent_dim)
    logits = model.generative(grid.astype(np.float32)).numpy().astype(np.float64).reshape(len(grid), -1)
    pixels = np.asarray(x, np.float64).reshape(len(x), -1)
    log_likelihood = pixels @ logits.T - np.logaddexp(0.0, logits).sum(axis=1)
    log_prior = -0.5 * (grid**2).sum(axis=1) - 0.5 * model.latent_dim * math.log(2.0 * math.pi)
    step = ticks[1] - ticks[0]
    return np.logaddexp.reduce(log_likelihood + log_prior, axis=1) + model.latent_dim * math.log(step)


def quadrature(model, x, log_prob, half_width=8.0, points=301):
    """As `quadrature_log_evidence`, of any likelihood by its log density, and of the entries that are not NaN.

    `log_prob` is of entries and raw parameters, in float64; see the log densities below.

    Returns:
        log p(x) `[B]`, and the grid `[cells, D]` with log p(x, z) on it, `[cells, B]`.
    """
    ticks = np.linspace(-half_width, half_width, points)
    grid = np.stack(np.meshgrid(*[ticks] * model.latent_dim, indexing="ij"), axis=-1).reshape(-1, model.latent_dim)
    raw = model.generative(grid.astype(np.float32)).numpy().astype(np.float64)
    raw = raw.reshape(len(grid), 1, *model.event_shape, model.generative.likelihood.parameters)
    observed, x = ~np.isnan(x), np.nan_to_num(np.asarray(x, np.float64))
    entries = np.where(observed, log_prob(x, *np.moveaxis(raw, -1, 0)), 0.0)
    log_joint = (
        entries.reshape(len(grid), len(x), -1).sum(axis=-1)
        + gaussian_log_prob(grid, 0.0, 1.0).sum(axis=1)[:, np.newaxis]
    )
    return logsumexp(log_joint, axis=0) + model.latent_dim * math.log(ticks[1] - ticks[0]), grid, log_joint


class ExactPosterior(Posterior):
    """p(z|x_obs) of a linear decoder W z + b with noise s: N(S W_o (x_o - b_o) / s^2, S), S^-1 = I + W_o W_o^T / s^2.

    It forgets that entries are missing where `sees_mask` is False, and takes the zeros in their place for data.
    """

    def __init__(self, latent_dim, noise, sees_mask=True):
        super().__init__()
        self.encoder = EventEncoder(keras.layers.Flatten(), missing="nan", mask_input=True)
        self.latent_dim, self.noise, self.sees_mask = latent_dim, noise, sees_mask
        self.of_decoder = lambda: []

    def build(self, input_shape):
        self.encoder.build(input_shape)
        self.built = True

    def distribution(self, x, training=False):
        filled, mask = tf.split(self.encoder(x), 2, axis=-1)
        mask = mask if self.sees_mask else tf.ones_like(mask)
        kernel, bias = (tf.convert_to_tensor(weight) for weight in self.of_decoder())
        seen = kernel * mask[:, tf.newaxis] / self.noise
        covariance = tf.linalg.inv(tf.eye(self.latent_dim) + tf.matmul(seen, seen, transpose_b=True))
        mean = tf.linalg.matvec(covariance, tf.linalg.matvec(seen, (filled - bias) / self.noise))
        return tfd.MultivariateNormalTriL(mean, tf.linalg.cholesky(covariance))


def linear_gaussian_model(posterior, dim=5, noise=0.7, seed=0, likelihood=None, **options):
    """An IWAE whose p(x) is N(b, W^T W + s^2 I), with s = `noise`; see `linear_gaussian_log_evidence`."""
    decoder = keras.layers.Dense(dim)
    likelihood = likelihood or GaussianLikelihood(scale=noise)
    if isinstance(posterior, ExactPosterior):
        # Before the model is made, which tries its posterior.
        decoder.build((None, posterior.latent_dim))
        # Not the layer itself, whose weights would count as the posterior's.
        posterior.of_decoder = lambda: decoder.weights
    model = IWAE(dim, posterior=posterior, decoder=decoder, likelihood=likelihood, seed=seed, **options)
    rng = np.random.default_rng(seed)
    for weight in decoder.weights:
        weight.assign(rng.normal(size=weight.shape))
    return model


def linear_gaussian_log_evidence(model, x, noise=None):
    """log of the marginal Gaussian density of the entries of each row of x `[B, D]` that are not NaN, in float64."""
    kernel, bias = (np.asarray(weight, np.float64) for weight in model.generative.decoder.weights)
    noise = model.generative.likelihood.scale if noise is None else noise
    covariance = kernel.T @ kernel + noise**2 * np.eye(len(bias))

    def of_row(row):
        seen = ~np.isnan(row)
        rest, part = row[seen] - bias[seen], covariance[np.ix_(seen, seen)]
        return (
            -0.5 * (rest @ np.linalg.solve(part, rest) + np.linalg.slogdet(2.0 * np.pi * part)[1])
            if seen.any()
            else 0.0
        )

    return np.array([of_row(row) for row in np.asarray(x, np.float64)])


def above(raw, least, start=1.0):
    """Softplus, moved so that it is `start` at 0 and never below `least`."""
    return least + np.logaddexp(0.0, np.asarray(raw, np.float64) + math.log(math.expm1(start - least)))


def bernoulli_log_prob(x, logit):
    return x * logit - np.logaddexp(0.0, logit)


def gaussian_log_prob(x, loc, scale):
    return -0.5 * ((x - loc) / scale) ** 2 - np.log(scale) - 0.5 * math.log(2.0 * math.pi)


def student_t_log_prob(x, loc, scale, df):
    return stats.t.logpdf(x, df, loc, scale)


def poisson_log_prob(x, log_mean):
    return x * log_mean - np.exp(log_mean) - gammaln(x + 1.0)


def negative_binomial_log_prob(x, log_mean, dispersion):
    odds = log_mean - np.log(dispersion)
    ways = gammaln(x + dispersion) - gammaln(dispersion) - gammaln(x + 1.0)
    return ways - dispersion * np.logaddexp(0.0, odds) - x * np.logaddexp(0.0, -odds)


def continuous_bernoulli_log_prob(x, logit):
    """log of exp(l x) l / (exp(l) - 1), written for l > 0 and mirrored."""
    x, steep = np.where(logit > 0.0, 1.0 - x, x), np.maximum(np.abs(logit), 1e-9)
    return -steep * x + np.log(steep) - np.log(-np.expm1(-steep))


def rounded_logistic_log_prob(x, loc, scale, levels):
    """log of the difference of two distribution functions, both of the tail that is nearer."""
    mirrored = x > loc
    x, loc = np.where(mirrored, levels - 1.0 - x, x), np.where(mirrored, levels - 1.0 - loc, loc)
    upper = stats.logistic.logcdf(np.where(x == levels - 1.0, np.inf, (x + 0.5 - loc) / scale))
    lower = stats.logistic.logcdf(np.where(x == 0.0, -np.inf, (x - 0.5 - loc) / scale))
    return upper + np.log(-np.expm1(lower - upper))


def categorical_log_prob(x, *logits):
    logits = np.stack(np.broadcast_arrays(*logits), axis=-1)
    chosen = np.take_along_axis(*np.broadcast_arrays(logits, np.asarray(x, int)[..., np.newaxis]), axis=-1)[..., 0]
    return chosen - logsumexp(logits, axis=-1)
