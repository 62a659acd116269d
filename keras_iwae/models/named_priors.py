"""Which prior a model has: by name or as the user made it, and how it is joined to the posterior."""

from keras_iwae import networks
from keras_iwae.foundation import MARK, Support
from keras_iwae.likelihoods import Likelihood
from keras_iwae.models.generative import GenerativeModel
from keras_iwae.posteriors import (
    BernoulliPosterior,
    GaussianPosterior,
    HierarchicalPosterior,
    Posterior,
    SemiAmortizedPosterior,
)
from keras_iwae.priors import (
    BernoulliPrior,
    FlowPrior,
    HierarchicalPrior,
    MixturePrior,
    Prior,
    StandardNormalPrior,
    VampPrior,
    top_of,
)

PRIORS: dict[str, type[Prior]] = {
    "standard_normal": StandardNormalPrior,
    "mixture": MixturePrior,
    "vamp": VampPrior,
    "flow": FlowPrior,
}
# Encodings under which an encoder has a gradient in what it sees.
_SMOOTH = "identity", "levels", "log1p"


def make_prior(prior: str | Prior | None, posterior: Posterior, seed: int, dtype) -> Prior:
    """The prior of a name, or the one that is given; of several stochastic layers that of the last, or of all.

    Raises:
        ValueError: if there is no such prior, or it does not go with the posterior.
    """
    if prior is not None and not isinstance(prior, Prior) and (not isinstance(prior, str) or prior not in PRIORS):
        raise ValueError(f"{MARK}prior`. Expected one of {tuple(PRIORS)}, or a layer. Received: {prior!r}")
    if isinstance(posterior, HierarchicalPosterior):
        last = posterior.latent_dims[-1]
        made = _named(prior, last, networks.derived_seed(seed, 0), dtype) if isinstance(prior, str) else prior
        if made is not None:
            _check_kind(made, posterior, prior if isinstance(prior, str) else type(made).__name__)
        if made is None or made.latent_dim == last:
            if isinstance(made, VampPrior):
                raise _no_mixture_of(posterior)
            downwards = tuple(tuple(units)[::-1] for units in posterior.hidden)
            return HierarchicalPrior(posterior.latent_dims, downwards, posterior.activation, seed, made, dtype=dtype)
        if isinstance(made, HierarchicalPrior) and made.latent_dims != posterior.latent_dims:
            raise ValueError(
                f"{MARK}prior`. Expected one of the posterior's layers, of {posterior.latent_dims} units. Received: a "
                f"{type(made).__name__} of {made.latent_dims}"
            )
    else:
        made = _named(prior, posterior.latent_dim, seed, dtype) if isinstance(prior, str) else prior
    if made is None:
        coins = isinstance(posterior, BernoulliPosterior)
        return BernoulliPrior(posterior.latent_dim) if coins else StandardNormalPrior(posterior.latent_dim)
    if made.latent_dim != posterior.latent_dim:
        raise ValueError(
            f"{MARK}prior`. Expected one of the posterior's {posterior.latent_dim} latent units. Received: "
            f"{type(made).__name__} of {made.latent_dim}"
        )
    _check_kind(made, posterior, prior if isinstance(prior, str) else type(made).__name__)
    return made


def _named(name: str, latent_dim: int, seed: int, dtype) -> Prior:
    options = {} if name == "standard_normal" else {"seed": seed}
    return PRIORS[name](latent_dim, dtype=dtype, **options)


def _check_kind(prior: Prior, posterior: Posterior, received: str) -> None:
    """Refuse densities for binary latents, and fair coins for any other."""
    binary = isinstance(posterior, BernoulliPosterior)
    of_coins = isinstance(prior if binary else top_of(prior), BernoulliPrior)
    ours = (FlowPrior, HierarchicalPrior, MixturePrior, StandardNormalPrior, VampPrior)
    if of_coins != binary and (of_coins or isinstance(prior, ours)):
        expected = "a prior of latents that are no numbers of 0 and 1" if of_coins else "none, which is fair coins,"
        raise ValueError(f"{MARK}prior`. Expected {expected} beside a {type(posterior).__name__}. Received: {received}")


def join_prior(generative: GenerativeModel, posterior: Posterior) -> None:
    """Tell a prior that is made of the posterior which posterior it is.

    Raises:
        ValueError: if the posterior or the likelihood is not one that it can be made of.
    """
    prior, likelihood = generative.prior, generative.likelihood
    if isinstance(prior, VampPrior):
        _check_mixed(posterior, likelihood)
    # One of a user's own may know it from elsewhere.
    if prior.through_posterior and hasattr(prior, "of_model"):
        prior.of_model(posterior.distribution, generative.event_shape, likelihood.support)


def _check_mixed(posterior: Posterior, likelihood: Likelihood) -> None:
    if not isinstance(posterior, GaussianPosterior) or isinstance(posterior, SemiAmortizedPosterior):
        raise _no_mixture_of(posterior)
    if likelihood.encoding not in _SMOOTH or not isinstance(likelihood.support, Support):
        raise ValueError(
            f"{MARK}prior`. Expected another than 'vamp', whose pseudo-inputs are numbers that are learned, beside a "
            f"likelihood of categories or of a table; 'mixture' and 'flow' go with every one. Received: a VampPrior "
            f"beside {type(likelihood).__name__}"
        )


def _no_mixture_of(posterior: Posterior) -> ValueError:
    return ValueError(
        f"{MARK}prior`. Expected another than 'vamp', which is a mixture of Gaussians q(z|u), beside a "
        f"{type(posterior).__name__}; 'mixture' and 'flow' go with every one. Received: a VampPrior"
    )
