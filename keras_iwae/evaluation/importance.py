r"""Negative log-likelihood by importance sampling: $-\log p(x) \le -L_K$, K in the thousands, memory flat in K."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_iwae.diagnostics import active_units
from keras_iwae.inputs import check_images, check_integer, checked_dataset, value_errors
from keras_iwae.model import IWAE, LogTerms
from keras_iwae.numerics import StreamingLogMeanExp

DEFAULT_CHUNK_SIZE = 25


class StreamedWeights(NamedTuple):
    """What is left of K log weights: the bounds `[len(group_sizes), B]` in nats and the effective sample size `[B]`."""

    bounds: tf.Tensor
    effective_sample_size: tf.Tensor


def stream_log_weights(
    model: IWAE,
    x: tf.Tensor,
    num_samples: tf.Tensor,
    seed: tf.Tensor,
    group_sizes: Sequence[int | tf.Tensor],
    chunk_size: int = DEFAULT_CHUNK_SIZE,
) -> StreamedWeights:
    r"""Draw K samples for each image in chunks and keep only running sums of their weights.

    The bound of group size k is the mean of $L_k$ over the K // k groups of k successive samples, all of it from the
    same K draws; for k = K it is $L_K$. The encoder runs once. Sample k of an image has a seed of its own, derived
    from `seed` and k, so that the chunk size changes nothing but the order of float32 additions.

    Args:
        model: the model.
        x: images in [0, 1], `[B, *image_shape]`.
        num_samples: K, int32 scalar.
        seed: int32 `[2]`, a stateless seed.
        group_sizes: the k's, none larger than K.
        chunk_size: samples of each image that are decoded together.

    Returns:
        `StreamedWeights`.
    """
    posterior = model.posterior.distribution(x)
    batch = tf.shape(x)[0]

    def draw(k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        z = posterior.sample(seed=tf.random.fold_in(seed, k))
        return z, posterior.log_prob(z)

    def one_chunk(begin: tf.Tensor, streams: tuple, squares: StreamingLogMeanExp) -> tuple:
        end = tf.minimum(begin + chunk_size, num_samples)
        z, log_posterior = tf.map_fn(draw, tf.range(begin, end), fn_output_signature=(tf.float32, tf.float32))
        terms = LogTerms(model.generative.log_likelihood(x, z), model.generative.log_prior(z), log_posterior)
        weights = terms.weights
        return end, tuple(stream.update(weights) for stream in streams), squares.update(2.0 * weights)

    total = StreamingLogMeanExp.zeros(num_samples, batch)
    groups = tuple(StreamingLogMeanExp.zeros(size, batch) for size in group_sizes)
    _, (total, *groups), squares = tf.while_loop(
        lambda begin, *_: begin < num_samples,
        one_chunk,
        (tf.constant(0), (total, *groups), total),
        parallel_iterations=1,
    )
    ess = tf.cast(num_samples, tf.float32) * tf.exp(2.0 * total.result() - squares.result())
    return StreamedWeights(tf.stack([group.result() for group in groups]), ess)


@dataclass(frozen=True)
class NLLResult:
    """Importance-sampled log-likelihoods of a data set, image by image, and what is said of them as a whole.

    Attributes:
        num_samples: K.
        seed: seed of the draws.
        num_pixels: D, the dimensions of one image.
        bound_per_example: for each k, the bound L_k of each image in nats, `[N]`; the largest k is K.
        ess_per_example: effective sample size of each image's K weights, `[N]`.
        active_units: latent units whose posterior mean varies over the images.
        latent_dim: latent units in all.
    """

    num_samples: int
    seed: int
    num_pixels: int
    bound_per_example: dict[int, np.ndarray] = field(repr=False)
    ess_per_example: np.ndarray = field(repr=False)
    active_units: int
    latent_dim: int

    @property
    def log_likelihood_per_example(self) -> np.ndarray:
        """L_K of each image in nats, `[N]`: a lower bound of log p(x) in expectation."""
        return self.bound_per_example[self.num_samples]

    @property
    def nll(self) -> float:
        """Minus the mean L_K, in nats per image."""
        return -float(self.log_likelihood_per_example.mean(dtype=np.float64))

    @property
    def standard_error(self) -> float:
        """Standard error of `nll` over images, in nats; NaN for a single image."""
        values = self.log_likelihood_per_example
        return float(values.std(ddof=1, dtype=np.float64) / math.sqrt(len(values))) if len(values) > 1 else math.nan

    @property
    def bits_per_dimension(self) -> float:
        """NLL in bits per pixel."""
        return self.nll / (self.num_pixels * math.log(2.0))

    @property
    def bounds(self) -> dict[int, float]:
        """Mean L_k in nats for each k."""
        return {k: float(values.mean(dtype=np.float64)) for k, values in self.bound_per_example.items()}

    def to_dict(self) -> dict:
        """Everything but the per-image arrays, ready for JSON."""
        ess = self.ess_per_example
        return {
            "nll": self.nll,
            "standard_error": None if math.isnan(self.standard_error) else self.standard_error,
            "bits_per_dimension": self.bits_per_dimension,
            "bounds": {str(k): value for k, value in self.bounds.items()},
            "effective_sample_size": {
                "mean": float(ess.mean()),
                "median": float(np.median(ess)),
                "min": float(ess.min()),
            },
            "active_units": self.active_units,
            "latent_dim": self.latent_dim,
            "num_examples": len(ess),
            "num_samples": self.num_samples,
            "seed": self.seed,
        }

    def __str__(self) -> str:
        ess = self.ess_per_example
        rows = [
            ("NLL", f"{self.nll:.2f} nats (standard error {self.standard_error:.2f}, {len(ess)} images)"),
            ("bits per dimension", f"{self.bits_per_dimension:.4f}"),
            *((f"L_{k}", f"{value:.2f} nats") for k, value in self.bounds.items()),
            (
                "effective samples",
                f"mean {ess.mean():.1f}, median {np.median(ess):.1f}, min {ess.min():.1f} of {self.num_samples}",
            ),
            ("active units", f"{self.active_units} of {self.latent_dim}"),
        ]
        return "\n".join(f"{name:<20}{value}" for name, value in rows)


def importance_weighted_nll(
    model: IWAE,
    data: tf.data.Dataset | np.ndarray,
    num_samples: int = 5000,
    bounds: Iterable[int] = (1, 5, 50),
    chunk_size: int = DEFAULT_CHUNK_SIZE,
    batch_size: int = 200,
    seed: int = 0,
    verbose: bool = True,
) -> NLLResult:
    r"""Negative log-likelihood of each image, $-L_K = -\log \frac{1}{K} \sum_k p(x, z_k) / q(z_k|x)$.

    Every image counts once, those of a short last batch too, and K is exact, multiple of the chunk or not.
    The same seed and batch size give the same draws, so the chunk size changes the result by float32 rounding only.

    Args:
        model: the model.
        data: batches of images in [0, 1], or an array `[N, *image_shape]`. Binarize a test set once, not at each call.
        num_samples: K.
        bounds: further k for which to report the bound L_k from the same draws; those above K are left out.
        chunk_size: samples of each image decoded together; memory grows with chunk_size * batch_size and not with K.
        batch_size: images in a batch where `data` is an array.
        seed: seed of the draws.
        verbose: whether to show a progress bar.

    Returns:
        `NLLResult`; printed, it is a table.

    Raises:
        ValueError: if a count is below 1, or the images are not in [0, 1], of another shape, or none.

    Example:
        >>> result = importance_weighted_nll(model, keras_iwae.data.load("mnist", "test"), num_samples=5000)
        >>> print(result.nll, result.standard_error)

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, section 5 (the L_5000 of its tables).
    """
    num_samples = check_integer("num_samples", num_samples)
    chunk_size = check_integer("chunk_size", chunk_size)
    sizes = sorted({k for k in (check_integer("bounds", k) for k in bounds) if k < num_samples} | {num_samples})
    if isinstance(data, tf.data.Dataset):
        dataset = checked_dataset(data, model.image_shape, "data")
    else:
        images = check_images(data, "data", model.image_shape)
        dataset = tf.data.Dataset.from_tensor_slices(images).batch(check_integer("batch_size", batch_size))

    def evaluate(x, seed):
        streamed = stream_log_weights(model, x, tf.constant(num_samples), seed, sizes, chunk_size)
        return streamed.bounds, streamed.effective_sample_size, model.posterior.mean(x)

    # Traced once, for batches of any size.
    specs = tf.TensorSpec([None, *model.image_shape]), tf.TensorSpec([2], tf.int32)
    evaluate_batch = tf.function(evaluate).get_concrete_function(*specs)

    batches = int(dataset.cardinality())
    progress = keras.utils.Progbar(batches if batches > 0 else None, unit_name="batch", verbose=int(verbose))
    parts, seen = [], 0
    with value_errors():
        for element in dataset:
            x = tf.cast(element[0] if isinstance(element, tuple) else element, tf.float32)
            parts.append([part.numpy() for part in evaluate_batch(x, tf.random.fold_in(tf.constant([seed, 0]), seen))])
            seen += int(x.shape[0])
            progress.add(1)
    if not seen:
        raise ValueError("Invalid value received for `data`. Expected at least one image. Received: none")
    values, ess, means = (
        np.concatenate(arrays, axis=-1 if i < 2 else 0) for i, arrays in enumerate(zip(*parts, strict=True))
    )
    return NLLResult(
        num_samples=num_samples,
        seed=seed,
        num_pixels=math.prod(model.image_shape),
        bound_per_example=dict(zip(sizes, values, strict=True)),
        ess_per_example=ess,
        active_units=int(active_units(means).sum()),
        latent_dim=model.latent_dim,
    )
