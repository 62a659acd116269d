"""One gradient of a bound: samples, coefficients, and the two backward passes, over all K samples or a few drawn."""

from typing import NamedTuple

import tensorflow as tf

from keras_iwae.bounds.estimators import Estimator
from keras_iwae.bounds.log_terms import LogTerms
from keras_iwae.bounds.objectives import Objective, start_of
from keras_iwae.bounds.resampled import resample, streamed
from keras_iwae.foundation import DiagonalGaussian, current_rows, having_rows, is_known, rows_out_of
from keras_iwae.posteriors import check_reparameterized


class Gradients(NamedTuple):
    """Of the mean bound: the log densities of all K samples, and ascent directions for the variables of each part."""

    terms: LogTerms
    generative: list[tf.Tensor]
    posterior: list[tf.Tensor]


def bound_gradients(
    posterior,
    generative,
    x: tf.Tensor,
    num_samples: int,
    seed: tf.Tensor,
    objective: Objective,
    estimator: Estimator,
    backward_samples: int | None = None,
    kl_weight: tf.Tensor | float = 1.0,
    parameter: tf.Tensor | None = None,
    scale: tf.Tensor | float = 1.0,
    example_weights: tf.Tensor | None = None,
    total_weight: tf.Tensor | None = None,
) -> Gradients:
    """Gradients of the mean bound of a batch.

    Args:
        posterior: a posterior under the contract of `keras_iwae.posteriors`.
        generative: the generative model.
        x: examples, float32 `[B, *event_shape]`.
        num_samples: K.
        seed: int32 `[2]`, a stateless seed.
        objective: the bound.
        estimator: how it is differentiated.
        backward_samples: m, the samples drawn for the backward pass; `None` is all K.
        kl_weight: scalar in [0, 1] that multiplies log p(z) - log q(z|x) in what is climbed, not in what is reported.
        parameter: the objective's learned coefficient, if it has one.
        scale: scalar that multiplies every gradient, before the backward pass.
        example_weights: `[B]`, by which the mean is weighted; `None` weighs all alike. Where all are 0 the gradients
            are too.
        total_weight: scalar, the sum of the weights of the batch of which these examples are a replica's share; `None`
            where they are all.

    Returns:
        `Gradients`, in the order of each part's `trainable_variables`.
    """
    kl_weight = tf.convert_to_tensor(kl_weight, tf.float32)
    draw_seed, offset_seed, dream_seed = tf.unstack(tf.random.split(seed, 3))

    def log_terms(z: tf.Tensor, log_q: tf.Tensor) -> LogTerms:
        return LogTerms(generative.log_likelihood(x, z, True), generative.log_prior(z, True), log_q)

    with tf.GradientTape(persistent=True) as tape:
        q = posterior.distribution(x, training=True)
        check_reparameterized(posterior, q)
        # z as a function of the parameters; what it is worth to the bound is found with respect to its values first.
        if backward_samples is None:
            connected = q.sample([num_samples], seed=draw_seed)
        else:
            with tape.stop_recording():
                labelled = posterior.stratified and estimator.reparameterizes
                every, drawn = streamed(q, log_terms, num_samples, draw_seed, labelled)
                weights = every.tempered(kl_weight)
                coefficients = estimator.coefficients(objective, weights, kl_weight, parameter)
                chosen = resample(objective, weights, parameter, backward_samples, offset_seed)
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
        some: tf.Tensor | float = 1.0
        if example_weights is None:
            batch = tf.cast(tf.shape(x)[0], tf.float32) / scale
        else:
            whole = tf.reduce_sum(example_weights) if total_weight is None else total_weight
            # Where none has a weight nothing is climbed, dreams neither, and 0 / 0 would be NaN.
            some = tf.cast(whole > 0.0, tf.float32)
            batch = (whole + (1.0 - some)) / scale
            coefficients = coefficients.each(lambda values: values * example_weights)
        joint = terms.likelihood + kl_weight * terms.prior
        climbed = tf.reduce_sum(coefficients.generative * joint) / batch
        path_joint = path_density = None
        if estimator.reparameterizes and _are_apart(objective, num_samples):
            path_joint = tf.reduce_sum(coefficients.path * joint) / batch
        share = None
        if estimator.reparameterizes and not estimator.total:
            share = kl_weight * coefficients.path / batch
            if not is_known(q, DiagonalGaussian):
                path_density = tf.reduce_sum(share * terms.posterior)
        score = None
        if coefficients.score is not None:
            score = -tf.reduce_sum(coefficients.score * terms.posterior) / batch
        if estimator.sleeps:
            score += some * 0.5 * scale * _sleep(posterior, generative, tf.shape(x)[0], dream_seed)

    thetas = [variable.value for variable in generative.trainable_variables]
    phis = [variable.value for variable in posterior.trainable_variables]
    zero = tf.UnconnectedGradients.ZERO
    # Of a prior that is made of the posterior, log p(z) at fixed z is a function of the posterior's parameters too: as
    # part of the model, whatever estimator the posterior has.
    in_prior = phis if generative.through_posterior else []
    found = tape.gradient(climbed, [*thetas, *in_prior, z], unconnected_gradients=zero)
    for_generative, of_prior, d_joint = found[: len(thetas)], found[len(thetas) : -1], found[-1]
    if not estimator.reparameterizes:
        for_posterior = tape.gradient(score, phis, unconnected_gradients=zero)
        return Gradients(every, for_generative, _sum(for_posterior, of_prior, phis, thetas))

    if path_joint is None:
        # One pass through the decoder serves both: sample k's share of it is c_k dlog p/dz_k, and a_k is at most c_k.
        ratio = tf.math.divide_no_nan(coefficients.path, coefficients.generative)
        d_joint = ratio[..., tf.newaxis] * d_joint
    else:
        d_joint = tape.gradient(path_joint, z)
    d_z = d_joint
    if share is not None:
        d_z -= share[..., tf.newaxis] * q.slope(z) if path_density is None else tape.gradient(path_density, z)
    through = thetas if posterior.through_generative else []
    targets, slopes = [connected], [d_z]
    if score is not None:
        targets, slopes = [connected, score], [d_z, tf.ones_like(score)]
    found = tape.gradient(targets, [*phis, *through], output_gradients=slopes, unconnected_gradients=zero)
    for_posterior = _sum(found[: len(phis)], of_prior, phis, thetas)
    return Gradients(every, _sum(for_generative, found[len(phis) :], thetas, phis), for_posterior)


def _are_apart(objective: Objective, num_samples: int) -> bool:
    """Whether the posterior climbs another bound than the generative model."""
    # Of numbers: what a graph learns is none yet. At one of them alone, two bounds may be the same.
    start = start_of(objective)
    tried = [None] if start is None else [start, 0.5 * start]
    return any(objective.terms(num_samples, each) != objective.inference_terms(num_samples, each) for each in tried)


def _sum(
    gradients: list[tf.Tensor], further: list[tf.Tensor], variables: list[tf.Tensor], others: list[tf.Tensor]
) -> list[tf.Tensor]:
    """A part's gradients with further ones, but for variables of the other part too, whose have these already."""
    shared = {id(other) for other in others}
    return (
        [
            one if id(variable) in shared else one + other
            for variable, one, other in zip(variables, gradients, further, strict=True)
        ]
        if further
        else gradients
    )


def _sleep(posterior, generative, batch: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mean log q(z|x) of as many dreams as there are images: (z, x) drawn from the model.

    Of a replica it is its share of the mean over the dreams of all.
    """
    rows = current_rows()
    with having_rows(None):
        dreams = generative.sample(batch if rows is None else rows.total, seed)
    dreams = tf.nest.map_structure(lambda part: tf.stop_gradient(rows_out_of(part, batch)), dreams)
    log_q = posterior.distribution(dreams.events, training=True).log_prob(dreams.latents)
    if rows is None:
        return tf.reduce_mean(log_q)
    return tf.reduce_sum(log_q[: rows.count]) / tf.cast(rows.total, tf.float32)
