"""What a model does with its latents, as arrays that `keras_iwae.evaluation.diagnostics` reads."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.evaluation import diagnostics
from keras_iwae.evaluation.diagnostics.numbers import numbers
from keras_iwae.evaluation.spreading import Batch, Compute, Spread, computed_batches
from keras_iwae.foundation import MARK, Purpose, check_callable, check_integer, float32_products, is_known, key_for
from keras_iwae.models import IWAE, check_model
from keras_iwae.posteriors import HierarchicalGaussian, StratifiedGaussianMixture, check_density
from keras_iwae.priors import BernoulliPrior, HierarchicalPrior, StandardNormalPrior

tfd = tfp.distributions

_BATCH_SIZE = 200
# Pairs of a draw and an image whose densities are computed together.
_PAIRS = 20_000
# After each of so many parts progress is told; each encodes the images again.
_PARTS = 10
# What there is of each image.
_NAMES = "means", "noise", "draws", "kl_per_unit", "kl_is_exact", "kl", "log_likelihood", "squared_error"


@dataclass(frozen=True)
class Latents:
    """The latents of N images, from S draws of each posterior.

    Attributes:
        layer_sizes: D_1, ..., D_L, units of each stochastic layer, the one next to the image first.
        means: E_q[z|x], `[N, D]`: exact for the layer next to the image, averages of draws above it and for posteriors
            whose mean is not known.
        noise: variance of each such average about its expectation, 0 where the mean is exact, `[N, D]`.
        draws: one draw of each posterior, `[N, D]`.
        kl_per_unit: KL of each unit in nats, `[N, D]`; `None` for a posterior whose density does not fall into units.
        kl_is_exact: whether each unit's KL is a closed form rather than an average of draws, bool `[D]`.
        kl: sampled KL of all latents in nats, mean over S of log q(z|x) - log p(z), `[N]`.
        log_likelihood: mean over S of log p(x|z) in nats, `[N]`.
        squared_error: mean over observed entries of (x - E[x|z])^2, averaged over S, `[N]`; NaN where none was.
    """

    layer_sizes: tuple[int, ...]
    means: np.ndarray
    noise: np.ndarray
    draws: np.ndarray
    kl_per_unit: np.ndarray | None
    kl_is_exact: np.ndarray
    kl: np.ndarray
    log_likelihood: np.ndarray
    squared_error: np.ndarray

    def by_layer(self, per_unit: np.ndarray) -> list[np.ndarray]:
        """What there is of each unit along the last axis, `[..., D]`, cut into layers."""
        return np.split(per_unit, np.cumsum(self.layer_sizes)[:-1], axis=-1)


@dataclass(frozen=True)
class _Encoding:
    """What is computed of a batch: a `Recipe`."""

    arrays: ClassVar[int] = len(_NAMES)
    num_draws: int
    seed: int

    def on(self, model: IWAE) -> Compute:
        num_draws = self.num_draws

        def of_batch(x: tf.Tensor, seed: tf.Tensor) -> dict:
            posterior = model.posterior.distribution(x)
            z = posterior.sample([num_draws], seed=seed)
            errors = (x - model.generative.mean(z)) ** 2
            observed = tf.cast(tf.logical_not(tf.math.is_nan(x)), tf.float32)
            entries = list(range(1, x.shape.rank))
            summed = tf.reduce_sum(tf.where(observed > 0.0, tf.reduce_mean(errors, axis=0), 0.0), axis=entries)
            return {
                # Behind the latents there may be auxiliary variables, of which the density alone is to know.
                "draws": z[..., : model.latent_dim],
                "kl": tf.reduce_mean(posterior.log_prob(z) - model.generative.log_prior(z), axis=0),
                "log_likelihood": tf.reduce_mean(model.generative.log_likelihood(x, z), axis=0),
                # 0 / 0 where nothing is: no number.
                "squared_error": summed / tf.reduce_sum(observed, axis=entries),
                "layers": _layers(model, posterior, z),
            }

        specs = tf.TensorSpec([None, *model.event_shape]), tf.TensorSpec([2], tf.int32)
        traced = model.traced(("latents", num_draws), of_batch, specs)

        def encoded(x, seen, advance):
            found = traced(x, tf.random.fold_in(key_for(Purpose.LATENTS, self.seed), seen))
            reduced = _reduced(tf.nest.map_structure(np.asarray, found))
            advance(1)
            return tuple(reduced[name] for name in _NAMES)

        return encoded


@float32_products()
def latents(
    model: IWAE,
    images: np.ndarray,
    num_draws: int = 16,
    seed: int = 0,
    progress: Callable[[int], object] = lambda done: None,
    spread: Spread | None = None,
) -> Latents:
    r"""Encode images, draw from each posterior and decode the draws.

    The KL of a unit is a closed form for a Gaussian unit against the standard normal and for a binary one against a
    fair coin. In a hierarchical model the top layer's is the closed form given the draw below, averaged over draws;
    the other layers', whose prior is given the draw above, is sampled (`diagnostics.sampled_kl`).

    Args:
        model: the model.
        images: in [0, 1], `[N, *event_shape]`, binarized as in training.
        num_draws: S, draws of each posterior.
        seed: seed of the draws.
        progress: called after every batch with the number of its images, and with 0 when other processes begin.
        spread: other processes that compute the batches, as those of `keras_iwae.experiments.worker_processes`.

    Returns:
        `Latents`.

    Raises:
        ValueError: if the images are not in [0, 1], of another shape, or none, `num_draws` is below 2, the posterior
            has no density, or `spread` does not give every batch once.
    """
    check_model(model)
    check_density(model.posterior)
    model.check_finite()
    images = model.door.array(images, "images")
    num_draws = check_integer("num_draws", num_draws, at_least=2)
    check_callable("progress", progress)

    starts = range(0, len(images), _BATCH_SIZE)
    batches = [Batch(i, images[start : start + _BATCH_SIZE], start) for i, start in enumerate(starts)]
    found = computed_batches(model, _Encoding(num_draws, seed), batches, spread, lambda done: progress(int(done)))
    parts = [part for _, part in sorted(found, key=lambda pair: pair[0].number)]
    whole = {name: np.concatenate(arrays) for name, arrays in zip(_NAMES, zip(*parts, strict=True), strict=True)}
    per_unit, exact = whole.pop("kl_per_unit"), whole.pop("kl_is_exact")
    return Latents(
        layer_sizes=tuple(getattr(model.posterior, "latent_dims", (model.latent_dim,))),
        kl_per_unit=per_unit if per_unit.shape[1] else None,
        kl_is_exact=exact[0].astype(bool),
        **whole,
    )


def _layers(model: IWAE, posterior, z: tf.Tensor) -> list[dict[str, tf.Tensor]]:
    """Parameters of q and p of each layer given the drawn neighbours, `[S or 1, B, D_l]`; none for another family."""
    prior = model.generative.prior
    if is_known(posterior, tfd.MultivariateNormalDiag):
        standard = type(prior) is StandardNormalPrior
        kind = {"loc": posterior.mean()[tf.newaxis]}
        return [{**kind, "scale": posterior.stddev()[tf.newaxis]} if standard else kind]
    if is_known(posterior, tfd.Independent) and is_known(posterior.distribution, tfd.Bernoulli):
        fair = type(prior) is BernoulliPrior
        return [{"probabilities" if fair else "loc": posterior.mean()[tf.newaxis]}]
    if is_known(posterior, StratifiedGaussianMixture):
        # Its mean is known, and its density falls into no units.
        return [{"loc": posterior.mean()[tf.newaxis]}]
    if not (is_known(posterior, HierarchicalGaussian) and isinstance(prior, HierarchicalPrior)):
        return []
    drawn = tf.split(z, prior.latent_dims, axis=-1)
    layers = [{"loc": posterior.loc[tf.newaxis], "scale": posterior.scale[tf.newaxis]}]
    for network, below in zip(posterior.networks, drawn[:-1], strict=True):
        layers.append(dict(zip(("loc", "scale"), network.given(below), strict=True)))
    for layer, network, below, above in zip(layers[:-1], prior.networks, drawn[:-1], drawn[1:], strict=True):
        layer["log_posterior"] = tfd.Normal(layer["loc"], layer["scale"]).log_prob(below)
        layer["log_prior"] = tfd.Normal(*network.given(above)).log_prob(below)
    if type(prior.top) is not StandardNormalPrior:
        # Of one unit of it alone there is no KL.
        del layers[-1]["scale"]
    return layers


def _reduced(found: dict) -> dict:
    """Average a batch's draws away, unit by unit; KL of no unit, where not every layer has it, is no column."""
    draws, layers = found["draws"], found.pop("layers")
    # A family whose means are not known: its draws stand for them, with the noise that this brings.
    means = [layer.get("loc", layer.get("probabilities")) for layer in layers] or [draws]
    kls = [_kl(layer) for layer in layers]
    per_unit = [np.broadcast_to(kl, (draws.shape[1], kl.shape[-1])) for kl in kls if kl is not None]
    complete = bool(kls) and len(per_unit) == len(kls)
    exact = [np.full(layer[next(iter(layer))].shape[-1], "log_prior" not in layer) for layer in layers]
    sampled = np.zeros(draws.shape[-1], bool)
    return {
        **found,
        "draws": draws[0],
        "means": np.concatenate([mean.mean(axis=0) for mean in means], axis=-1),
        "noise": np.concatenate([_noise(mean) for mean in means], axis=-1),
        "kl_per_unit": np.concatenate(per_unit, axis=-1) if complete else np.zeros((draws.shape[1], 0)),
        # The same for every image: each row of what a process gives is an image's.
        "kl_is_exact": np.tile(np.concatenate(exact) if complete else sampled, (draws.shape[1], 1)).astype(np.int8),
    }


def _noise(means: np.ndarray) -> np.ndarray:
    return means.var(axis=0, ddof=1) / len(means) if len(means) > 1 else np.zeros(means.shape[1:])


def _kl(layer: dict[str, np.ndarray]) -> np.ndarray | None:
    if "probabilities" in layer:
        return diagnostics.bernoulli_kl(layer["probabilities"]).mean(axis=0)
    if "log_prior" in layer:
        return diagnostics.sampled_kl(layer["log_posterior"], layer["log_prior"])
    return diagnostics.gaussian_kl(layer["loc"], layer["scale"]).mean(axis=0) if "scale" in layer else None


@float32_products()
def pairwise_log_posterior(
    model: IWAE, images: np.ndarray, draws: np.ndarray, progress: Callable[[int], object] = lambda done: None
) -> np.ndarray:
    """log q(z_i|x_j) of every draw under every image's posterior, for `diagnostics.mutual_information`.

    Args:
        model: the model.
        images: `[N, *event_shape]`.
        draws: z_i, `[N, D]`, one from each image's posterior, as `latents` gives them.
        progress: called with the number of rows that are further done.

    Returns:
        nats, float32 `[N, N]`: row i, column j.

    Raises:
        ValueError: if the images are none that the model takes, there is not one draw for each, a weight is not finite,
            or log q(z|x) is not known.
    """
    check_model(model)
    check_density(model.posterior)
    if model.posterior.density != "exact":
        raise ValueError(
            f"{MARK}model`. Expected one whose log q(z|x) is known. Received: one with a "
            f"{type(model.posterior).__name__}, of whose draws only a joint density is"
        )
    model.check_finite()
    images = tf.constant(model.door.array(images, "images"))
    check_callable("progress", progress)
    draws = numbers("draws", draws, len(images), model.latent_dim)

    def of_blocks(x: tf.Tensor, blocks: tf.Tensor) -> tf.Tensor:
        posterior, count = model.posterior.distribution(x), tf.shape(x)[0]
        # Repeated and not broadcast: with several layers the densities above the first have no image to broadcast to.
        return tf.map_fn(
            lambda z: posterior.log_prob(tf.repeat(z[:, tf.newaxis], count, axis=1)), blocks, parallel_iterations=1
        )

    specs = tf.TensorSpec([None, *model.event_shape]), tf.TensorSpec([None, None, model.latent_dim])
    traced = model.traced("pairwise log posterior", of_blocks, specs)
    rows = max(1, _PAIRS // len(images))
    padded = np.pad(np.asarray(draws, np.float32), [(0, -len(draws) % rows), (0, 0)], "edge")
    blocks = padded.reshape(-1, rows, model.latent_dim)
    found = np.empty((0, len(images)), np.float32)
    for part in np.array_split(blocks, min(_PARTS, len(blocks))):
        before = len(found)
        found = np.concatenate([found, traced(images, tf.constant(part)).numpy().reshape(-1, len(images))])
        found = found[: len(draws)]
        progress(len(found) - before)
    return found
