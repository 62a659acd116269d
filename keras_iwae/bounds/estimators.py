r"""Gradient estimators: how the gradient of a bound is put together from K samples.

Write c_k for the derivative of the bound with respect to log w_k. With z_k = z(eps_k, phi) the samples,

    generative model   sum_k c_k  d/dtheta log p(x, z_k)
    posterior          sum_k a_k  dlog w_k/dz_k dz_k/dphi  -  sum_k s_k  d/dphi log q(z_k|x) at fixed z_k

and the estimators differ in a (path) and s (score) alone. dlog w/dz holds the parameters of q fixed but not the latents
that q conditions on, and dz/dphi runs through all stochastic layers, so the same formulas hold for one layer and for
many. Stopping the gradient of q's parameters instead would lose terms as soon as there are two.

For softmax weights v_k of a group, $E[v_k \, \partial_\phi \log q(z_k)] = E[\partial v_k / \partial z_k \,
dz_k / d\phi]$ turns c_k path - c_k score into the DReG coefficient: with w^p in the group, (1 - p) v_k + p v_k^2 in
place of v_k. A mean over the samples that are left out is one of bounds on the others, each with weights of its own,
and their coefficients are averaged.

Draws in strata are not independent. Draw k is of component c, and its score is that of the whole mixture, the sum over
j of $r_j \, \partial_\phi \log q_j$ with $r_j = q_j / (C q)$. As $q_c r_j = q_j r_c$, turning the score of q_j into a
path asks for v_k at a draw of component j beside others of which c has one too few and j one too many, and no such set
is drawn. For groups of one sample v is 1, and the mean over c is that of draws of q. The score estimators ask for the
score of the density that draw k came of, q_c, in the place of q's: for groups of one the means over c are the same.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from keras_iwae.bounds.objectives import Objective, start_of
from keras_iwae.bounds.terms import Term, group_values, grouped, relative_powers
from keras_iwae.foundation import log_share_without_each, softmax


class Coefficients(NamedTuple):
    """What multiplies each sample's gradients, float32 `[K, B]` each: c, a and s of this module's docstring.

    `None` is what an estimator does not have: a where it takes no path, s where it has no score.
    """

    generative: tf.Tensor
    path: tf.Tensor | None
    score: tf.Tensor | None

    def each(self, change: Callable[[tf.Tensor], tf.Tensor]) -> "Coefficients":
        """The same, each of them changed."""
        return Coefficients(*(part if part is None else change(part) for part in self))


# Of a family, or of a class that says `reparameterized = False`.
_NO_PATH = "draws that are no differentiable function of the posterior's parameters, as of discrete latents"

Terms = tuple[Term, ...]
PathAndScore = tuple[tf.Tensor | None, tf.Tensor | None]


def _summed(terms: Terms, log_weights: tf.Tensor, per_term: Callable[[Term, tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """Sum over terms of a group's coefficient times `per_term(term, log weights [groups, size, B])`, `[K, B]`."""
    samples = log_weights.shape[0]
    parts = [
        term.coefficient / (samples // term.group_size) * per_term(term, grouped(log_weights, term.group_size))
        for term in terms
    ]
    return tf.add_n([tf.reshape(part, [samples, -1]) for part in parts])


def _weights(term: Term, groups: tf.Tensor) -> tf.Tensor:
    powers = relative_powers(term, groups)
    if term.leave_one_out:
        return _without_each(powers, 1)
    return softmax(powers, axis=1)


def _without_each(powers: tf.Tensor, exponent: int) -> tf.Tensor:
    r"""Mean over i of sample k's weight among all but i to an exponent, 0 where i is k, `[groups, size, B]`.

    $\frac1g \sum_{i \ne k} (w_k / \sum_{j \ne i} w_j)^n$, with w_k the exponentials of `powers`.
    """
    powers -= tf.reduce_max(powers, axis=1, keepdims=True)
    shares = powers - tf.reduce_logsumexp(powers, axis=1, keepdims=True)
    inverse = -float(exponent) * log_share_without_each(powers, axis=1)
    others = tf.reduce_logsumexp(inverse, axis=1, keepdims=True) + log_share_without_each(inverse, axis=1)
    return tf.exp(exponent * shares + others) / tf.cast(tf.shape(powers)[1], powers.dtype)


def derivative(terms: Terms, log_weights: tf.Tensor) -> tf.Tensor:
    """Derivative of a bound with respect to its log weights, `[K, B]`; it sums to 1 over K."""
    return _summed(terms, log_weights, _weights)


def _reparameterized(terms: Terms, log_weights: tf.Tensor, kl_weight: tf.Tensor) -> PathAndScore:
    weights = derivative(terms, log_weights)
    return weights, kl_weight * weights


def _sticking_the_landing(terms: Terms, log_weights: tf.Tensor, kl_weight: tf.Tensor) -> PathAndScore:
    return derivative(terms, log_weights), None


def _doubly_reparameterized(terms: Terms, log_weights: tf.Tensor, kl_weight: tf.Tensor) -> PathAndScore:
    def path(term: Term, groups: tf.Tensor) -> tf.Tensor:
        weights, power = _weights(term, groups), term.power * kl_weight
        # Of a sum over the samples that are left out, each has its own weights and squares.
        squares = _without_each(relative_powers(term, groups), 2) if term.leave_one_out else weights**2
        return (1.0 - power) * weights + power * squares

    return _summed(terms, log_weights, path), None


def _vimco(terms: Terms, log_weights: tf.Tensor, kl_weight: tf.Tensor) -> PathAndScore:
    def signal(term: Term, groups: tf.Tensor) -> tf.Tensor:
        # The bound less that without sample k: its weight swapped for the geometric mean of the others'. With v_k its
        # share and d_k the difference of the two logarithms that is -log(1 - v_k + v_k exp(-d_k)).
        powers = relative_powers(term, groups)
        others = (tf.reduce_sum(powers, axis=1, keepdims=True) - powers) / (term.group_size - 1.0)
        shares = powers - tf.reduce_logsumexp(powers, axis=1, keepdims=True)
        change = powers - others
        is_near = tf.abs(change) < 1.0
        near = tf.math.log1p(tf.exp(shares) * tf.math.expm1(-tf.where(is_near, change, 0.0)))
        far = tf.reduce_logsumexp([log_share_without_each(powers, axis=1), shares - change], axis=0)
        return -tf.where(is_near, near, far) / term.power

    score = kl_weight * derivative(terms, log_weights) - _summed(terms, log_weights, signal)
    return None, score


def _reinforce(terms: Terms, log_weights: tf.Tensor, kl_weight: tf.Tensor) -> PathAndScore:
    def signal(term: Term, groups: tf.Tensor) -> tf.Tensor:
        return tf.broadcast_to(group_values(term, groups)[:, tf.newaxis], tf.shape(groups))

    score = kl_weight * derivative(terms, log_weights) - _summed(terms, log_weights, signal)
    return None, score


def _reweighted_wake_sleep(terms: Terms, log_weights: tf.Tensor, kl_weight: tf.Tensor) -> PathAndScore:
    return None, -0.5 * derivative(terms, log_weights)


class Estimator(NamedTuple):
    """A gradient estimator.

    Attributes:
        posterior_coefficients: from terms, log weights `[K, B]` and the KL weight to (path, score), `[K, B]` each
            or `None`.
        reparameterizes: whether it differentiates through the samples, as functions of parameters.
        sleeps: whether the posterior is also trained on samples of the model.
        resamples: whether its coefficients vanish with the weights, as the resampled backward pass needs.
        total: whether path and score of log q have the same coefficient, so that log q can be differentiated as a
            whole, through the samples and the parameters at once.
    """

    posterior_coefficients: Callable[[Terms, tf.Tensor, tf.Tensor], PathAndScore]
    reparameterizes: bool
    sleeps: bool = False
    resamples: bool = True
    total: bool = False

    def coefficients(
        self, objective: Objective, log_weights: tf.Tensor, kl_weight: tf.Tensor, parameter: tf.Tensor | None
    ) -> Coefficients:
        """Coefficients for log weights `[K, B]`, no gradient flows into them."""
        log_weights, samples = tf.stop_gradient(log_weights), log_weights.shape[0]
        if parameter is not None:
            parameter = tf.stop_gradient(parameter)
        path, score = self.posterior_coefficients(objective.inference_terms(samples, parameter), log_weights, kl_weight)
        return Coefficients(derivative(objective.terms(samples, parameter), log_weights), path, score)


ESTIMATORS: dict[str, Estimator] = {
    # Kingma, Welling (2013); for the importance weighted bound, Burda et al. (2015), equation 13.
    "reparameterized": Estimator(_reparameterized, reparameterizes=True, total=True),
    # Roeder, Wu, Duvenaud (2017), Sticking the landing.
    "stl": Estimator(_sticking_the_landing, reparameterizes=True),
    # Tucker, Lawson, Gu, Maddison (2018), Doubly reparameterized gradient estimators for Monte Carlo objectives.
    "dreg": Estimator(_doubly_reparameterized, reparameterizes=True),
    # Mnih, Rezende (2016), Variational inference for Monte Carlo objectives.
    "vimco": Estimator(_vimco, reparameterizes=False, resamples=False),
    # Williams (1992), Simple statistical gradient-following algorithms for connectionist reinforcement learning.
    "reinforce": Estimator(_reinforce, reparameterizes=False, resamples=False),
    # Bornschein, Bengio (2014), Reweighted wake-sleep; half a wake phase and half a sleep phase for the posterior.
    "rws": Estimator(_reweighted_wake_sleep, reparameterizes=False, sleeps=True),
}


# What they take off or add for a sample is right on average over one that the others know nothing of.
_OF_INDEPENDENT_DRAWS = "stl", "dreg", "vimco", "reinforce"


def get(name: str) -> Estimator:
    """Estimator by name.

    Raises:
        ValueError: if there is no such estimator.
    """
    if not isinstance(name, str) or name not in ESTIMATORS:
        names = ", ".join(repr(n) for n in ESTIMATORS)
        raise ValueError(f"Invalid value received for `estimator`. Expected one of {names}. Received: {name!r}")
    return ESTIMATORS[name]


def _climbed(objective: Objective, num_samples: int) -> Terms:
    """What the posterior climbs, as far as it is known before there is a model."""
    return objective.inference_terms(num_samples, start_of(objective))


def automatic(
    objective: Objective, num_samples: int, reparameterized: bool, total_only: str = "", stratified: bool = False
) -> str:
    """The estimator that "auto" stands for: "dreg" where samples are weighed against each other and it is legal.

    Args:
        objective: the objective.
        num_samples: K.
        reparameterized: whether the posterior's samples are differentiable in its parameters.
        total_only: as for `check_pair`.
        stratified: as for `check_pair`.
    """
    weighed = max(term.group_size for term in _climbed(objective, num_samples)) > 1
    legal = reparameterized and not total_only and not stratified and not objective.deterministic
    return "dreg" if weighed and legal else "reparameterized"


def check_pair(
    name: str,
    objective: Objective,
    num_samples: int,
    reparameterized: bool,
    total_only: str = "",
    given: str | None = None,
    stratified: bool = False,
) -> None:
    """Refuse an estimator that is biased or undefined for an objective or a posterior.

    Args:
        name: the estimator.
        objective: the objective.
        num_samples: K.
        reparameterized: whether the posterior's samples are differentiable in its parameters.
        total_only: why the posterior's log q can be differentiated as a whole only, empty where it need not.
        given: what the user knows it by, "auto"; `None` is its name.
        stratified: whether the posterior's draws are in strata, and not independent of each other.

    Raises:
        ValueError: which says what is allowed.
    """
    get(name)
    if not reparameterized and objective.deterministic:
        raise ValueError(
            f"Invalid value received for `objective`. Expected one that draws samples, for {_NO_PATH}. "
            f"Received: {type(objective).__name__}"
        )
    if stratified and any(term.leave_one_out for term in _climbed(objective, num_samples)):
        raise ValueError(
            "Invalid value received for `objective`. Expected one that leaves no sample out, such as 'iwae', for a "
            "posterior whose draws are in strata: what it would take off is the bias of independent draws. "
            f"Received: {type(objective).__name__}"
        )
    reason = _objection(name, objective, num_samples, reparameterized, total_only, stratified)
    if reason:
        asked = repr(name) if given in (None, name) else f"{given!r}, which stands for {name!r},"
        raise ValueError(
            f"Invalid value received for `estimator`. Expected {reason}. "
            f"Received: {asked} with {type(objective).__name__} and K = {num_samples}"
        )


def _objection(
    name: str, objective: Objective, num_samples: int, reparameterized: bool, total_only: str, stratified: bool = False
) -> str | None:
    """What is to be in the place of this estimator, `None` where it is legal."""
    estimator, terms = ESTIMATORS[name], _climbed(objective, num_samples)
    sizes = [term.group_size for term in terms]
    if objective.deterministic and name != "reparameterized":
        return "'reparameterized' for an objective without samples"
    if estimator.reparameterizes and not reparameterized:
        others = [other for other, one in ESTIMATORS.items() if not one.reparameterizes]
        legal = [repr(o) for o in others if not _objection(o, objective, num_samples, reparameterized, total_only)]
        return f"{' or '.join(legal)} for {_NO_PATH}"
    if total_only and not estimator.total:
        return f"'reparameterized' for a posterior {total_only}"
    if stratified and max(sizes) > 1 and name in _OF_INDEPENDENT_DRAWS:
        return (
            "'reparameterized' for groups of several samples that are drawn in strata, where one that takes them for "
            "independent is biased"
        )
    if name == "stl" and max(sizes) > 1:
        return f"'dreg' in its place for groups of {max(sizes)} samples, where 'stl' is biased"
    if name == "vimco" and min(sizes) < 2:
        return "'reinforce' in its place for groups of one sample, which leave 'vimco' no others to compare with"
    if name == "vimco" and any(term.leave_one_out for term in terms):
        return "'reinforce' in its place for groups of which one is left out, which 'vimco' has no baseline of"
    if name == "rws" and terms != (Term(1.0, num_samples),):
        return "the objective 'iwae' with 'rws', whose weights are those of all K samples"
    return None
