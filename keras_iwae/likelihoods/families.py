"""Families of likelihoods by name."""

from keras_iwae.foundation import MARK
from keras_iwae.likelihoods.base import Likelihood
from keras_iwae.likelihoods.bernoulli import BernoulliLikelihood
from keras_iwae.likelihoods.categorical import CategoricalLikelihood
from keras_iwae.likelihoods.continuous_bernoulli import ContinuousBernoulliLikelihood
from keras_iwae.likelihoods.discretized_logistic import DiscretizedLogisticLikelihood
from keras_iwae.likelihoods.gaussian import GaussianLikelihood
from keras_iwae.likelihoods.negative_binomial import NegativeBinomialLikelihood
from keras_iwae.likelihoods.poisson import PoissonLikelihood
from keras_iwae.likelihoods.student_t import StudentTLikelihood

LIKELIHOODS: dict[str, type[Likelihood]] = {
    "bernoulli": BernoulliLikelihood,
    "gaussian": GaussianLikelihood,
    "student_t": StudentTLikelihood,
    "discretized_logistic": DiscretizedLogisticLikelihood,
    "continuous_bernoulli": ContinuousBernoulliLikelihood,
    "poisson": PoissonLikelihood,
    "negative_binomial": NegativeBinomialLikelihood,
    "categorical": CategoricalLikelihood,
}


def get(likelihood: str | Likelihood, argument: str = "likelihood") -> Likelihood:
    """Likelihood by name, with its default settings, or the object itself.

    Args:
        likelihood: a name in `LIKELIHOODS`, or a `Likelihood`.
        argument: the name that the caller knows it by, for the error.

    Raises:
        ValueError: if there is no such likelihood, or it cannot be made without being told more.
    """
    if isinstance(likelihood, Likelihood):
        return likelihood
    if isinstance(likelihood, str) and likelihood == "categorical":
        raise ValueError(
            f"{MARK}{argument}`. Expected CategoricalLikelihood(levels=...), which has to be told how many levels "
            "there are. Received: 'categorical'"
        )
    if isinstance(likelihood, str) and likelihood in LIKELIHOODS:
        return LIKELIHOODS[likelihood]()
    names = ", ".join(repr(name) for name in LIKELIHOODS)
    raise ValueError(
        f"{MARK}{argument}`. Expected one of {names}, or a layer of keras_iwae.likelihoods. Received: {likelihood!r}"
    )
