r"""Objectives: what log weights [K, B] are turned into, a bound [B] in nats of which more is better.

One idea covers the family. A bound is a weighted sum of terms; a term of group size g cuts the K samples into K / g
groups of successive samples and takes the mean over groups of

    1/p log 1/g sum_k w_k^p

with p = 1 but for Renyi's. A term that leaves one out has in its place the mean over the g samples of the log-mean of
the g - 1 others. ELBO is (1, g=1), IWAE (1, g=K), MIWAE (1, g=K/M), CIWAE (beta, g=1) + (1 - beta, g=K), JVI
(K, g=K) + (1 - K, g=K, one left out). Its derivative with respect to log w_k is the coefficient / (K / g) times the
softmax of p log w within the group, or the mean of those of the others, and that is all that a gradient estimator needs
to know (`keras_iwae.bounds.estimators`).

An objective is a value: it holds no weights, compares equal by its fields, and a saved model carries it along.
"""

from dataclasses import asdict, dataclass
from typing import ClassVar

import keras
import tensorflow as tf

from keras_iwae.bounds.terms import Term, term_value
from keras_iwae.foundation import check_boolean, check_integer, check_number, log_mean_exp

_NUM_SAMPLES = 50
# Times a difference of log weights float32 has no more.
_LARGEST_ORDER = 1e30


@dataclass(frozen=True)
class Objective:
    """What every objective shares: its value from its terms, equality by value, and the configuration that Keras saves.

    `deterministic` tells the model to take the posterior mean in place of samples: K is 1, and log w is log p(x|z).
    `learned` names a coefficient in (0, 1) that the model trains along, if there is one.
    """

    deterministic: ClassVar[bool] = False
    # In this order: a subclass that makes fields of them keeps it.
    beta: ClassVar[float]
    learned: ClassVar[bool] = False

    def terms(self, num_samples: int, parameter: tf.Tensor | None = None) -> tuple[Term, ...]:
        """Terms of the bound that the generative model climbs, and that is reported; `parameter` is the learned one."""
        raise NotImplementedError

    def inference_terms(self, num_samples: int, parameter: tf.Tensor | None = None) -> tuple[Term, ...]:
        """Terms of the bound that the posterior climbs: the same, but for PIWAE."""
        return self.terms(num_samples, parameter)

    def __call__(self, log_weights: tf.Tensor, parameter: tf.Tensor | None = None) -> tf.Tensor:
        """Value in nats, `[B]`, of log weights `[K, B]`."""
        terms = self.terms(log_weights.shape[0], parameter)
        if all(tf.is_tensor(term.coefficient) or term.coefficient >= 0.0 for term in terms):
            return tf.add_n([term.coefficient * term_value(term, log_weights) for term in terms])
        # K times a number of hundreds less K - 1 times another has few digits left, unless both begin near 0.
        begin = tf.stop_gradient(log_mean_exp(log_weights))
        values = [term.coefficient * term_value(term, log_weights - begin) for term in terms]
        return tf.add_n(values) + begin * tf.add_n([tf.cast(term.coefficient, tf.float32) for term in terms])

    def get_config(self) -> dict:
        return asdict(self)

    @classmethod
    def from_config(cls, config: dict) -> "Objective":
        return cls(**config)


@keras.saving.register_keras_serializable("keras_iwae")
@dataclass(frozen=True)
class IWAEBound(Objective):
    r"""Importance weighted bound, $L_K = \log \frac{1}{K} \sum_k w_k$; it grows with K towards log p(x).

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, equation 8.
    """

    def terms(self, num_samples, parameter=None):
        return (Term(1.0, num_samples),)


@keras.saving.register_keras_serializable("keras_iwae")
@dataclass(frozen=True)
class ELBO(Objective):
    r"""Evidence lower bound on K draws, $\frac{1}{K} \sum_k \log w_k$: the VAE; K lowers noise, not the gap.

    References:
        Kingma, Welling (2013), Auto-encoding variational Bayes, equation 6.
    """

    def terms(self, num_samples, parameter=None):
        return (Term(1.0, 1),)


@keras.saving.register_keras_serializable("keras_iwae")
@dataclass(frozen=True)
class Reconstruction(ELBO):
    r"""The plain autoencoder: $\log p(x | z = \mathrm{E}_q[z])$. No bound on log p(x): z may leave the prior."""

    deterministic: ClassVar[bool] = True


def _group_size(num_samples: int, num_groups: int) -> int:
    if num_samples % num_groups:
        nearest = max(number for number in range(1, num_groups) if num_samples % number == 0)
        raise ValueError(
            f"Invalid value received for `num_groups`. Expected a divisor of num_samples = {num_samples}, such as "
            f"objective=MIWAE(num_groups={nearest}), or PIWAE; it is 8 where none is given. Received: {num_groups}"
        )
    return num_samples // num_groups


@keras.saving.register_keras_serializable("keras_iwae")
@dataclass(frozen=True)
class MIWAE(Objective):
    r"""Multiply importance weighted bound: the mean of M bounds of K/M samples, $\frac{1}{M} \sum_m L_{K/M}^{(m)}$.

    Less tight than IWAE on the same K samples, with a less noisy gradient for the posterior.

    Args:
        num_groups: M, which divides K; 1 is IWAE, K is the ELBO.

    References:
        Rainforth et al. (2018), Tighter variational bounds are not necessarily better.
    """

    num_groups: int = 8

    def __post_init__(self):
        object.__setattr__(self, "num_groups", check_integer("num_groups", self.num_groups))

    def terms(self, num_samples, parameter=None):
        return (Term(1.0, _group_size(num_samples, self.num_groups)),)


@keras.saving.register_keras_serializable("keras_iwae")
@dataclass(frozen=True)
class PIWAE(MIWAE):
    r"""Partially importance weighted: the generative model climbs IWAE's $L_K$, the posterior climbs MIWAE's bound.

    Args:
        num_groups: M of the posterior's MIWAE, which divides K.

    References:
        Rainforth et al. (2018), Tighter variational bounds are not necessarily better.
    """

    def terms(self, num_samples, parameter=None):
        return (Term(1.0, num_samples),)

    def inference_terms(self, num_samples, parameter=None):
        return (Term(1.0, _group_size(num_samples, self.num_groups)),)


@keras.saving.register_keras_serializable("keras_iwae")
@dataclass(frozen=True)
class CIWAE(Objective):
    r"""Combination importance weighted bound, $\beta \, \mathrm{ELBO} + (1 - \beta) L_K$.

    Args:
        beta: the ELBO's share, in [0, 1]; where it is learned, what it starts from.
        learned: whether the model trains beta along; it climbs the bound, so it moves towards IWAE, slower where the
            two differ less.

    References:
        Rainforth et al. (2018), Tighter variational bounds are not necessarily better.
    """

    beta: float = 0.5  # type: ignore[misc]
    learned: bool = False  # type: ignore[misc]

    def __post_init__(self):
        object.__setattr__(self, "beta", check_number("beta", self.beta))
        object.__setattr__(self, "learned", check_boolean("learned", self.learned))
        inside = 0.0 < self.beta < 1.0 if self.learned else 0.0 <= self.beta <= 1.0
        if not inside:
            between = "between 0 and 1, both excluded" if self.learned else "in [0, 1]"
            raise ValueError(f"Invalid value received for `beta`. Expected a number {between}. Received: {self.beta}")

    def terms(self, num_samples, parameter=None):
        beta = self.beta if parameter is None else parameter
        return Term(beta, 1), Term(1.0 - beta, num_samples)


@keras.saving.register_keras_serializable("keras_iwae")
@dataclass(frozen=True)
class Renyi(Objective):
    r"""Variational Renyi bound, $\frac{1}{1-\alpha} \log \frac{1}{K} \sum_k w_k^{1-\alpha}$; it falls as alpha grows.

    Args:
        alpha: the order, of a size of up to 1e30; 0 is IWAE, 1 the ELBO. With K samples it is a bound on log p(x) for
            alpha of 0 and more; below 0 it may pass it.

    For alpha in [0, 1) its mean over draws is the VR-IWAE bound, with the same alpha: below log p(x) for every K, where
    the variational Renyi bound of Li and Turner, to which it grows with K, is estimated with a bias.

    References:
        Li, Turner (2016), Renyi divergence variational inference, equations 5 and 7; Daudel, Benton, Shi, Doucet
        (2023), Alpha-divergence variational inference meets importance weighted auto-encoders, on the bound
        of K samples and its doubly reparameterized gradient.
    """

    alpha: float = 0.5

    def __post_init__(self):
        object.__setattr__(self, "alpha", check_number("alpha", self.alpha))
        if abs(self.alpha) > _LARGEST_ORDER:
            span = f"from {-_LARGEST_ORDER:g} to {_LARGEST_ORDER:g}"
            raise ValueError(f"Invalid value received for `alpha`. Expected a number {span}. Received: {self.alpha}")

    def terms(self, num_samples, parameter=None):
        if self.alpha == 1.0:
            return (Term(1.0, 1),)
        return (Term(1.0, num_samples, 1.0 - self.alpha),)


@keras.saving.register_keras_serializable("keras_iwae")
@dataclass(frozen=True)
class JVI(Objective):
    r"""Jackknife variational inference of order 1, $K L_K - (K - 1) \frac{1}{K} \sum_i L_{K-1}^{(-i)}$: no lower bound.

    $L_{K-1}^{(-i)}$ is the importance weighted bound without sample i. Where the mean of $L_K$ is log p(x) - a/K + ...,
    that of this is log p(x) + O(1/K^2), below it or above. On the same samples it is no less than $L_K$.

    What it climbs is an estimate of log p(x) and may pass it. Models are compared by `importance_weighted_nll`, which
    bounds log p(x) whatever they were trained by.

    References:
        Nowozin (2018), Debiasing evidence approximations: on importance-weighted autoencoders and jackknife variational
        inference.
    """

    def terms(self, num_samples, parameter=None):
        if num_samples < 2:
            raise ValueError(
                "Invalid value received for `num_samples`. Expected at least 2 for an objective that leaves one out. "
                f"Received: {num_samples}"
            )
        return Term(float(num_samples), num_samples), Term(1.0 - num_samples, num_samples, leave_one_out=True)


OBJECTIVES: dict[str, type[Objective]] = {
    "iwae": IWAEBound,
    "elbo": ELBO,
    "ae": Reconstruction,
    "miwae": MIWAE,
    "piwae": PIWAE,
    "ciwae": CIWAE,
    "renyi": Renyi,
    "jvi": JVI,
}


def settle_samples(objective: Objective, num_samples: int | None) -> int:
    """K: as given, or for `None` 50, and 1 where the objective takes none.

    Raises:
        ValueError: if it is no positive integer, or more than an objective without samples takes.
    """
    if num_samples is None:
        return 1 if objective.deterministic else _NUM_SAMPLES
    samples = check_integer("num_samples", num_samples)
    if objective.deterministic and samples > 1:
        raise ValueError(
            "Invalid value received for `num_samples`. Expected none, or 1, for an objective that takes the posterior "
            f"mean and draws no samples. Received: {num_samples}"
        )
    return samples


def start_of(objective: Objective) -> float | None:
    """The number that its learned coefficient starts from: its terms' `parameter` before there is a model's."""
    return objective.beta if objective.learned else None


def get(objective: str | Objective) -> Objective:
    """Objective by name, with its default parameters, or the object itself.

    Args:
        objective: a name in `OBJECTIVES`, or an `Objective`.

    Raises:
        ValueError: if there is no such objective.
    """
    if isinstance(objective, Objective):
        return objective
    if isinstance(objective, str) and objective in OBJECTIVES:
        return OBJECTIVES[objective]()
    names = ", ".join(repr(name) for name in OBJECTIVES)
    raise ValueError(
        f"Invalid value received for `objective`. Expected one of {names}, or an Objective. Received: {objective!r}"
    )
