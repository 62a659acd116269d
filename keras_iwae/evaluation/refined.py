r"""Proposals that are fitted to p(z|x) of each example: refined, at its modes, and adapted from there by slopes.

*Refined*: climbs to the modes of p(z|x) from the encoder's mean and, up to 64 units, from draws of the prior, and a
Student-t at each with the curvature there. *Adapted*: a few rounds more, of draws $z_i$ with their slopes $g_i$ of
log p(x, z), from these and from the encoder's own Gaussian, where it has one: what spreads further than any mode's
curvature says is often there. Where p(z|x) is normal, $g = -P (z - \mu)$ exactly; a least-squares fit to the draws,
under their tempered weights, gives the mean and the precision that serve its bulk and not its highest point, from few
more draws than there are units. Where it is far from normal the fitted mean may lie anywhere, and it is gone to only as
far as log p(x, z) stays at what the draws have on average.

All fitting is done with draws of its own. The draws that are reported come afterwards, from proposals that know nothing
of them, so that the mean of their weights is p(x) on average and its logarithm a lower bound.
"""

import functools
import math
from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.evaluation.adapted import folded, tempered
from keras_iwae.evaluation.mixtures import StudentMixture
from keras_iwae.evaluation.modes import LEAST_CURVATURE, Modes, find_modes, mode_evaluations
from keras_iwae.foundation import is_known, softmax
from keras_iwae.models import IWAE, GenerativeModel

tfd = tfp.distributions

# Units of all climbs from draws of the prior beside the one from the encoder's mean: fewer where a climb costs more.
_UNITS_TO_CLIMB, _MOST_CLIMBS = 64, 7
# Of an image, in a round of adapting.
_FEWEST_DRAWS = 100
_DRAWN_TOGETHER = 25
# Weight of the precision that there was, to that of a round's draws, and of the mean.
_KEPT_PRECISION, _KEPT_MEAN = 0.1, 0.02
# Still drawn from the proposals of the first round: of a hundred images one or two are adapted for the worse.
_DEFENSIVE = 0.1
# Of what is adapted, drawn from the encoder's Gaussian in the first round.
_FROM_ENCODER = 0.2
# Of the encoder's Gaussian, along an axis: less is rounding, and too wide costs less than too narrow.
_LEAST_VARIANCE = 1e-6
# Of the way to a fitted mean, that are tried.
_PORTIONS = 1.0, 0.5, 0.25
# Of a component, in a round: what has no draws may have some in the next.
_LEAST_SHARE = 1e-4


class _Effort(NamedTuple):
    """Climbs from draws of the prior, Hessians of a climb, rounds of adapting and the draws of a unit in each.

    Draws of the prior of an IWAE of 50 units on MNIST take three Hessians. The encoder's mean is nearer, and in many
    units a climb is most of the time: above 64, fewer of each.
    """

    climbs: int
    hessians: int
    rounds: int
    draws_per_unit: int

    @classmethod
    def of(cls, latent_dim: int) -> "_Effort":
        climbs = min(_UNITS_TO_CLIMB // latent_dim, _MOST_CLIMBS)
        return cls(climbs, 3, 3, 4) if climbs else cls(0, 2, 2, 3)


def fitted(model: IWAE, x: tf.Tensor, keys: tf.Tensor, adapting: bool) -> StudentMixture:
    """Proposals for examples, each fitted to its own p(z|x).

    Args:
        model: the model, of continuous latents.
        x: examples, `[B, *event_shape]`.
        keys: int32 `[B, 2]`, a stateless seed for each example.
        adapting: whether the rounds of draws and slopes follow the climbs.

    Returns:
        a mixture of a component for each climb; adapting, of two, and of two more where the encoder's is a Gaussian.

    References:
        Owen, Zhou (2000), Safe and effective importance sampling, on mixtures.
        Cai, Modi, Pillaud-Vivien, Margossian, Gower, Blei, Saul (2024), Batch and match: black-box variational
        inference with a score-based divergence, on precisions from slopes.
        Cappé, Douc, Guillin, Marin, Robert (2008), Adaptive importance sampling in general mixture classes.
    """
    generative = model.generative
    posterior, effort = model.posterior.distribution(x), _Effort.of(model.latent_dim)
    gaussian = is_known(posterior, tfd.MultivariateNormalDiag, tfd.MultivariateNormalTriL)
    starts = (posterior.mean() if gaussian else model.posterior.mean(x))[tf.newaxis]
    if effort.climbs:
        draw = functools.partial(generative.prior.sample, effort.climbs)
        drawn = tf.map_fn(draw, folded(keys, 0), fn_output_signature=tf.float32)
        starts = tf.concat([starts, tf.transpose(drawn, [1, 0, 2])], axis=0)
    starts = tf.ensure_shape(starts, [1 + effort.climbs, None, model.latent_dim])
    proposals = _at(find_modes(generative, x, starts, effort.hessians))
    if not adapting:
        return proposals
    if gaussian:
        proposals = _beside(proposals, 1.0 - _FROM_ENCODER, _of_encoder(posterior), _FROM_ENCODER)

    def one_round(number, *parts):
        return number + 1, *_adapted(generative, x, StudentMixture(*parts), folded(keys, number))

    loop = tf.while_loop(
        lambda number, *_: number <= effort.rounds, one_round, (tf.constant(1), *proposals), parallel_iterations=1
    )
    return _beside(StudentMixture(*loop[1:]), 1.0 - _DEFENSIVE, proposals, _DEFENSIVE)


def _beside(first: StudentMixture, share: float, second: StudentMixture, rest: float) -> StudentMixture:
    """A mixture of two, with these shares of the draws."""
    both = [each._replace(log_share=each.log_share + math.log(part)) for each, part in ((first, share), (second, rest))]
    return StudentMixture(*(tf.concat(parts, axis=0) for parts in zip(*both, strict=True)))


def _of_encoder(posterior: tfp.distributions.Distribution) -> StudentMixture:
    """One component of the mean and the covariance of Gaussians of batch `[B]`."""
    mean, covariance = posterior.mean()[tf.newaxis], posterior.covariance()[tf.newaxis]
    # An encoder may say what is no number, of an example that is like no other.
    finite = tf.reduce_all(tf.math.is_finite(covariance), axis=-1) & tf.math.is_finite(mean)
    known = tf.reduce_all(finite, axis=-1)[..., tf.newaxis]
    mean = tf.where(known, mean, 0.0)
    covariance = tf.where(known[..., tf.newaxis], covariance, tf.eye(mean.shape[-1]))
    values, axes = tf.linalg.eigh(covariance)
    return StudentMixture.of(mean, 1.0 / tf.maximum(values, _LEAST_VARIANCE), axes, tf.zeros_like(mean[..., 0]))


def fitting_evaluations(latent_dim: int, adapting: bool) -> int:
    """Decoder evaluations of an example before its reported draws; a slope is two, forwards and backwards.

    They are those beside a Gaussian encoder. Without one there is one component less, whose tries, three in a round of
    adapting, are counted all the same: what a result knows does not tell them apart.
    """
    effort = _Effort.of(latent_dim)
    tried = len(_PORTIONS) * (2 + effort.climbs)
    rounds = effort.rounds * (2 * _draws(latent_dim) + tried) if adapting else 0
    return (1 + effort.climbs) * mode_evaluations(latent_dim, effort.hessians) + rounds


def _draws(latent_dim: int) -> int:
    """A multiple of what is drawn together."""
    draws = max(_Effort.of(latent_dim).draws_per_unit * latent_dim, _FEWEST_DRAWS)
    return -(-draws // _DRAWN_TOGETHER) * _DRAWN_TOGETHER


def _at(modes: Modes) -> StudentMixture:
    r"""$a_j \propto p(x, m_j) / \sum_i t_i(m_j)$, which counts a mode once, however many climbs ended there.

    A climb that has not ended, where the curvature is no mode's, has less, by its decrement.
    """
    even = StudentMixture.of(modes.mean, modes.precision, modes.axes, tf.zeros_like(modes.log_joint))
    density = modes.log_joint - even.log_prob(modes.mean) - modes.decrement
    # A start of which log p(x, z) is no number has no share.
    density = tf.where(tf.math.is_finite(density), density, density.dtype.min)
    return even._replace(log_share=tf.nn.log_softmax(density, axis=0))


def _adapted(generative: GenerativeModel, x: tf.Tensor, old: StudentMixture, keys: tf.Tensor) -> StudentMixture:
    """After one round: each component to the slopes at the draws that are its own."""
    z, slope, log_weights = _drawn(generative, x, old, keys)
    shares = tempered(log_weights, z.shape[0] / 2.0)
    log_terms = old.log_terms(z)
    log_joint = log_weights + tf.reduce_logsumexp(log_terms, axis=0)
    # [J, B, S]: of a draw of weight w that which each component could have made of it, and how much all of that is.
    own = tf.transpose(shares * softmax(log_terms, axis=0), [0, 2, 1])
    mass = tf.reduce_sum(own, axis=-1)
    z, slope = tf.transpose(z, [1, 0, 2]), tf.transpose(slope, [1, 0, 2])
    part = own / tf.maximum(mass, _LEAST_SHARE)[..., tf.newaxis]
    mean, mean_slope = (tf.linalg.matvec(each, part, transpose_a=True) for each in (z, slope))
    rest = z - mean[:, :, tf.newaxis]
    weighted = own[..., tf.newaxis] * rest
    covariance = tf.matmul(weighted, rest, transpose_a=True)
    # What is weighted sums to 0: the mean slope taken off would change nothing.
    products = tf.matmul(weighted, slope, transpose_a=True)
    # Least squares of g = -P (z - m), with what was known of P as draws of its own: (C + k S) P = k I - E[z g^T].
    known = tf.matmul(old.axes * (old.scale**2)[:, :, tf.newaxis], old.axes, transpose_b=True)
    right = _KEPT_PRECISION * tf.eye(z.shape[-1]) - products
    precision = tf.linalg.solve(covariance + _KEPT_PRECISION * known, right)
    values, axes = tf.linalg.eigh(0.5 * (precision + tf.linalg.matrix_transpose(precision)))
    values = tf.maximum(tf.abs(values), LEAST_CURVATURE)
    step = tf.linalg.matvec(axes, tf.linalg.matvec(axes, mean_slope, transpose_a=True) / values)
    least = tf.reduce_sum(part * tf.transpose(log_joint), axis=-1)
    mean += _portion(generative, x, mean, step, least)[..., tf.newaxis] * step
    mean = old.mean + (mass / (mass + _KEPT_MEAN))[..., tf.newaxis] * (mean - old.mean)
    return StudentMixture.of(
        mean, values, axes, tf.math.log((mass + _LEAST_SHARE) / (1.0 + _LEAST_SHARE * mass.shape[0]))
    )


def _portion(
    generative: GenerativeModel, x: tf.Tensor, mean: tf.Tensor, step: tf.Tensor, least: tf.Tensor
) -> tf.Tensor:
    """The largest portion of steps from means `[J, B, D]` that keeps log p(x, z) at `least`, `[J, B]`, or else 0."""
    portions = tf.constant(_PORTIONS)
    tried = mean + tf.reshape(portions, [-1, 1, 1, 1]) * step
    values = generative.log_joint(x, tf.reshape(tried, [-1, *tf.unstack(tf.shape(mean))[1:]]))
    # Of a component alone the number is lost otherwise, by broadcasting, and a loop has to know it.
    enough = tf.reshape(values, [len(_PORTIONS), mean.shape[0], -1]) >= least
    first = tf.argmax(tf.cast(enough, tf.int32), axis=0)
    return tf.where(tf.reduce_any(enough, axis=0), tf.gather(portions, first), 0.0)


def _drawn(
    generative: GenerativeModel, x: tf.Tensor, proposals: StudentMixture, keys: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Draws, `[S, B, D]`, their slopes of log p(x, z), and their log weights `[S, B]`."""

    def one_block(number):
        z, log_proposal = proposals.draw(_DRAWN_TOGETHER, folded(keys, number))
        with tf.GradientTape() as tape:
            tape.watch(z)
            log_joint = generative.log_joint(x, z)
        return z, tape.gradient(log_joint, z), log_joint - log_proposal

    blocks = tf.range(_draws(generative.latent_dim) // _DRAWN_TOGETHER)
    found = tf.map_fn(one_block, blocks, fn_output_signature=3 * (tf.float32,), parallel_iterations=1)
    z, slope, log_weights = (tf.reshape(each, tf.concat([[-1], tf.shape(each)[2:]], axis=0)) for each in found)
    # A draw without a density has no weight, and its slope no number.
    weightless = tf.logical_not(tf.math.is_finite(log_weights))
    slope = tf.where(weightless[..., tf.newaxis], 0.0, slope)
    log_weights = tf.where(weightless, log_weights.dtype.min, log_weights)
    return tf.ensure_shape(z, [_draws(generative.latent_dim), None, generative.latent_dim]), slope, log_weights
