"""One gradient of a bound: samples, coefficients, and the two backward passes, over all K samples or over a few drawn.

The resampled backward pass. The gradient is a weighted sum over K samples. Draw m of them by systematic resampling with
probabilities pi_k, the weights that sum to 1, and divide each drawn coefficient by m pi_k: the sum over the m has the
same expectation, and is nearly the same once m passes the effective sample size. The pass over K samples then needs no
tape and runs in chunks, so that activations and the backward pass grow with m and not with K.
"""

from typing import NamedTuple

import tensorflow as tf

from keras_iwae.estimators import Coefficients, Estimator, derivative
from keras_iwae.generative import GenerativeModel
from keras_iwae.objectives import Objective

# Samples of each image that the forward pass without a tape decodes together.
_CHUNK = 50


class LogTerms(NamedTuple):
    """The three log densities, in nats and float32 `[K, B]` each, that a log weight is made of."""

    likelihood: tf.Tensor
    prior: tf.Tensor
    posterior: tf.Tensor

    @property
    def weights(self) -> tf.Tensor:
        """log w = log p(x|z) + log p(z) - log q(z|x)."""
        return self._with_known_shape(self.likelihood + self.prior - self.posterior)

    def tempered(self, kl_weight: tf.Tensor | float) -> tf.Tensor:
        """log w with its KL part, log p(z) - log q(z|x), multiplied by `kl_weight`."""
        return self._with_known_shape(self.likelihood + kl_weight * (self.prior - self.posterior))

    def _with_known_shape(self, weights: tf.Tensor) -> tf.Tensor:
        # TFP's densities forget that K is 1 where the size of the batch is not known.
        return tf.ensure_shape(weights, self.likelihood.shape)


class Gradients(NamedTuple):
    """Of the mean bound: the log densities of all K samples, and ascent directions for the variables of each part."""

    terms: LogTerms
    generative: list[tf.Tensor]
    posterior: list[tf.Tensor]


def bound_gradients(
    posterior,
    generative: GenerativeModel,
    x: tf.Tensor,
    num_samples: int,
    seed: tf.Tensor,
    objective: Objective,
    estimator: Estimator,
    backward_samples: int | None = None,
    kl_weight: tf.Tensor | float = 1.0,
    parameter: tf.Tensor | None = None,
    scale: tf.Tensor | float = 1.0,
) -> Gradients:
    """Gradients of the mean bound of a batch.

    Args:
        posterior: a posterior under the contract of `keras_iwae.posteriors`.
        generative: the generative model.
        x: images in [0, 1], `[B, *image_shape]`.
        num_samples: K.
        seed: int32 `[2]`, a stateless seed.
        objective: the bound.
        estimator: how it is differentiated.
        backward_samples: m, the samples drawn for the backward pass; `None` is all K.
        kl_weight: scalar in [0, 1] that multiplies log p(z) - log q(z|x) in what is climbed, not in what is reported.
        parameter: the objective's learned coefficient, if it has one.
        scale: scalar that multiplies every gradient, before the backward pass.

    Returns:
        `Gradients`, in the order of each part's `trainable_variables`.
    """
    kl_weight = tf.convert_to_tensor(kl_weight, tf.float32)

    def log_terms(z: tf.Tensor, log_q: tf.Tensor) -> LogTerms:
        return LogTerms(generative.log_likelihood(x, z, True), generative.log_prior(z, True), log_q)

    with tf.GradientTape(persistent=True) as tape:
        q = posterior.distribution(x, training=True)
        # z as a function of the parameters; what it is worth to the bound is found with respect to its values first.
        if backward_samples is None:
            connected = q.sample([num_samples], seed=seed)
        else:
            with tape.stop_recording():
                every, drawn = _streamed(q, log_terms, num_samples, seed)
                weights = every.tempered(kl_weight)
                coefficients = estimator.coefficients(objective, weights, kl_weight, parameter)
                chosen = _resample(objective, weights, parameter, backward_samples, tf.random.fold_in(seed, 1))
                connected, coefficients = drawn(chosen.index), chosen.divide(coefficients)
            if estimator.reparameterizes:
                connected = posterior.reparameterize(q, connected)
        z = tf.stop_gradient(connected)
        tape.watch(z)
        # Of `connected`, TFP remembers the noise it came from, so that no flow is inverted. Of z it knows nothing, and
        # goes by its values: what an estimator needs that takes the gradient in z and that in the parameters apart.
        terms = log_terms(z, q.log_prob(connected if estimator.total else z))
        if backward_samples is None:
            every = terms
            coefficients = estimator.coefficients(objective, terms.tempered(kl_weight), kl_weight, parameter)
        batch = tf.cast(tf.shape(x)[0], tf.float32) / scale
        joint = terms.likelihood + kl_weight * terms.prior
        climbed = tf.reduce_sum(coefficients.generative * joint) / batch
        path_density = None
        if estimator.reparameterizes and not estimator.total:
            path_density = kl_weight * tf.reduce_sum(coefficients.path * terms.posterior) / batch
        score = -tf.reduce_sum(coefficients.score * terms.posterior) / batch
        if estimator.sleeps:
            score += 0.5 * scale * _sleep(posterior, generative, tf.shape(x)[0], tf.random.fold_in(seed, 2))
        shared = objective.inference_terms(num_samples) == objective.terms(num_samples)
        path_joint = None if shared else tf.reduce_sum(coefficients.path * joint) / batch

    thetas = [variable.value for variable in generative.trainable_variables]
    phis = [variable.value for variable in posterior.trainable_variables]
    zero = tf.UnconnectedGradients.ZERO
    if not estimator.reparameterizes:
        for_generative = tape.gradient(climbed, thetas, unconnected_gradients=zero)
        return Gradients(every, for_generative, tape.gradient(score, phis, unconnected_gradients=zero))

    *for_generative, d_joint = tape.gradient(climbed, [*thetas, z], unconnected_gradients=zero)
    if path_joint is None:
        # One pass through the decoder serves both: sample k's share of it is c_k dlog p/dz_k, and a_k is at most c_k.
        ratio = tf.math.divide_no_nan(coefficients.path, coefficients.generative)
        d_joint = ratio[..., tf.newaxis] * d_joint
    else:
        d_joint = tape.gradient(path_joint, z)
    d_z = d_joint if path_density is None else d_joint - tape.gradient(path_density, z)
    through = thetas if posterior.through_generative else []
    found = tape.gradient(
        [connected, score], [*phis, *through], output_gradients=[d_z, tf.ones_like(score)], unconnected_gradients=zero
    )
    for_posterior = found[: len(phis)]
    if through:
        for_generative = [one + other for one, other in zip(for_generative, found[len(phis) :], strict=True)]
    return Gradients(every, for_generative, for_posterior)


class _Drawn(NamedTuple):
    """Which samples were drawn, `[m, B]`, and m pi_k of each, the number of times it was expected."""

    index: tf.Tensor
    expected: tf.Tensor

    def divide(self, coefficients: Coefficients) -> Coefficients:
        return Coefficients(*(_pick(values, self.index) / self.expected for values in coefficients))


def _pick(values: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Entries `[m, B, ...]` of `values` `[K, B, ...]`, each column by its own `index` `[m, B]`."""
    columns = tf.broadcast_to(tf.range(tf.shape(index)[1]), tf.shape(index))
    return tf.gather_nd(values, tf.stack([index, columns], axis=-1))


def _resample(objective: Objective, log_weights: tf.Tensor, parameter, draws: int, seed: tf.Tensor) -> _Drawn:
    """Systematic resampling of each column by the weights that the model and the posterior climb, half and half."""
    samples = log_weights.shape[0]
    weights = [
        derivative(terms(samples, parameter), log_weights) for terms in (objective.terms, objective.inference_terms)
    ]
    probabilities = 0.5 * (weights[0] + weights[1])
    cumulative = tf.cumsum(tf.transpose(probabilities), axis=1)
    offset = tf.random.stateless_uniform([tf.shape(cumulative)[0], 1], seed)
    # Float32 sums may end short of 1: scaled by the last, no position falls behind it.
    positions = (offset + tf.range(draws, dtype=tf.float32)) / draws * cumulative[:, -1:]
    index = tf.minimum(tf.transpose(tf.searchsorted(cumulative, positions, side="right")), samples - 1)
    return _Drawn(index, draws * _pick(probabilities, index))


def _streamed(q, log_terms, num_samples: int, seed: tf.Tensor):
    """Log densities of K samples, chunk by chunk, and a function that gives the samples at an index `[m, B]` again."""
    if num_samples <= _CHUNK:
        z = q.sample([num_samples], seed=seed)
        return log_terms(z, q.log_prob(z)), lambda index: _pick(z, index)
    whole, rest = divmod(num_samples, _CHUNK)

    def chunk(i: tf.Tensor | int, size: int) -> tf.Tensor:
        return q.sample([size], seed=tf.random.fold_in(seed, i))

    def chunk_terms(i: tf.Tensor | int, size: int) -> LogTerms:
        z = chunk(i, size)
        return log_terms(z, q.log_prob(z))

    terms = tf.map_fn(
        lambda i: chunk_terms(i, _CHUNK),
        tf.range(whole),
        fn_output_signature=LogTerms(*[tf.float32] * 3),
        parallel_iterations=1,
    )
    terms = LogTerms(*(tf.reshape(part, [whole * _CHUNK, -1]) for part in terms))
    if rest:
        terms = LogTerms(*(tf.concat(parts, axis=0) for parts in zip(terms, chunk_terms(whole, rest), strict=True)))

    def drawn(index: tf.Tensor) -> tf.Tensor:
        def of_chunk(i: tf.Tensor | int, size: int) -> tf.Tensor:
            return _pick(chunk(i, size), tf.clip_by_value(index - i * _CHUNK, 0, size - 1))

        def with_chunk(i: tf.Tensor | int, size: int, chosen: tf.Tensor) -> tf.Tensor:
            # Chunks come in order: what lies in a later one is overwritten then.
            return tf.where((index >= i * _CHUNK)[..., tf.newaxis], of_chunk(i, size), chosen)

        first = of_chunk(0, _CHUNK)
        _, chosen = tf.while_loop(
            lambda i, _: i < whole,
            lambda i, chosen: (i + 1, with_chunk(i, _CHUNK, chosen)),
            (tf.constant(1), first),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, None, first.shape[-1]])),
            parallel_iterations=1,
        )
        return with_chunk(whole, rest, chosen) if rest else chosen

    return terms, drawn


def _sleep(posterior, generative: GenerativeModel, batch: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mean log q(z|x) of as many dreams as there are images: (z, x) drawn from the model."""
    dreams = tf.nest.map_structure(tf.stop_gradient, generative.sample(batch, seed))
    return tf.reduce_mean(posterior.distribution(dreams.images, training=True).log_prob(dreams.latents))
