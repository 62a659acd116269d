"""The sections of a configuration: each a handful of settings of one subject, which it checks by itself."""

from dataclasses import dataclass, fields
from typing import Any

from keras_iwae import data
from keras_iwae.bounds import estimators, objectives
from keras_iwae.experiments.settling import (
    check_path,
    settle,
    settle_components,
    settle_hidden,
    settle_latent_dim,
)
from keras_iwae.foundation import (
    MARK,
    check_boolean,
    check_choice,
    check_integer,
    check_number,
    check_positive_float32,
    check_seed,
)
from keras_iwae.models import ACTIVATION, POSTERIORS, PRIORS
from keras_iwae.networks import check_activation

NETWORKS = ("dense", "gated", "conv")
SCHEDULES = ("constant", "cosine", "paper")
MISSING = (None, "nan")
# Likelihoods, and what each is a likelihood of: pixels that are black or white, whole numbers, or grey levels as such.
BINARIZATIONS = {
    "bernoulli": "dynamic",
    "continuous_bernoulli": "none",
    "discretized_logistic": "levels",
    "categorical": "levels",
    "gaussian": "none",
    "student_t": "none",
    "poisson": "levels",
    "negative_binomial": "levels",
}
# Those that have to be told how many numbers there are.
LEVELLED = ("discretized_logistic", "categorical")


@dataclass(frozen=True)
class DataConfig:
    """What is trained on.

    Attributes:
        dataset: a name that `keras_iwae.data.load` knows, a path to a .npz or .npy file, or a folder of shards.
        binarization: "dynamic", "static", "threshold", "none" or "levels"; `None` is what the likelihood is made for.
        batch_size: images a step.
    """

    dataset: str = "mnist"
    binarization: str | None = None
    batch_size: int = 100

    def __post_init__(self):
        check_choice("binarization", self.binarization, (None, *data.BINARIZATIONS))
        settle(
            self,
            dataset=check_path("dataset", self.dataset),
            batch_size=check_integer("batch_size", self.batch_size),
        )


@dataclass(frozen=True)
class ModelConfig:
    """What the model is made of.

    Attributes:
        likelihood: a name in `keras_iwae.likelihoods.LIKELIHOODS`.
        levels: numbers that a pixel of "discretized_logistic" or "categorical" can be; `None` is those of the data set.
        missing: "nan" where pixels that are NaN are missing; `None` takes every pixel as seen.
        mask_input: whether the encoder is told which pixels are missing.
        posterior: a name in `keras_iwae.models.POSTERIORS`; "adversarial" goes with "elbo" and has no estimators.
        posterior_components: components of the posterior "mixture"; given as `None` it is 4, which stands here then.
        prior: a name in `keras_iwae.models.PRIORS`; `None` is the one without parameters that goes with the posterior.
        prior_components: components of the priors "mixture" and "vamp"; given as `None` it is 500, which stands then.
        network: "dense", "gated", or "conv" for images [H, W, C]. A Gaussian posterior with one stochastic layer keeps
            its log scales between -6 and 2 on "gated", whose features have no bounds.
        latent_dim: latent units, one number for each stochastic layer.
        hidden: units of the encoder's layers, one sequence for each stochastic layer; the decoder's are the same in
            reverse. Given as `None` it is (200, 200), which stands here then. With "conv" only the layers above the
            first have dense networks, and the discriminator of "adversarial"; where there are none it is `None`.
        activation: a Keras activation by name, of the dense networks; given as `None` it is "tanh" where there are any.
    """

    likelihood: str = "bernoulli"
    levels: int | None = None
    missing: str | None = None
    mask_input: bool = False
    posterior: str = "gaussian"
    posterior_components: int | None = None
    prior: str | None = None
    prior_components: int | None = None
    network: str = "dense"
    latent_dim: tuple[int, ...] = (50,)
    hidden: tuple[tuple[int, ...], ...] | None = None
    activation: str | None = None

    def __post_init__(self):
        check_choice("likelihood", self.likelihood, tuple(BINARIZATIONS))
        check_choice("missing", self.missing, MISSING)
        check_choice("posterior", self.posterior, tuple(POSTERIORS))
        check_choice("prior", self.prior, (None, *PRIORS))
        check_choice("network", self.network, NETWORKS)
        # JSON gives lists.
        latent_dim = settle_latent_dim(self.latent_dim)
        dense = len(latent_dim) if self.network != "conv" else len(latent_dim) - 1
        # Gated layers have no activation, and those above the first are dense.
        activated = len(latent_dim) if self.network == "dense" else len(latent_dim) - 1
        if self.posterior == "adversarial":
            dense = activated = 1
        settle(
            self,
            levels=None if self.levels is None else check_integer("levels", self.levels, at_least=2),
            mask_input=check_boolean("mask_input", self.mask_input),
            latent_dim=latent_dim,
            hidden=settle_hidden(self.hidden, dense),
            activation=ACTIVATION if self.activation is None and activated else self.activation,
            posterior_components=settle_components("posterior", self.posterior, self.posterior_components),
            prior_components=settle_components("prior", self.prior, self.prior_components),
        )
        if self.activation is not None:
            if not activated:
                raise ValueError(
                    f"{MARK}activation`. Expected none with the network {self.network!r}, which has its own. "
                    f"Received: {self.activation!r}"
                )
            # What is no name is no JSON either.
            if not isinstance(self.activation, str):
                raise ValueError(
                    f"{MARK}activation`. Expected the name of a Keras activation. Received: {self.activation!r}"
                )
            check_activation("activation", self.activation)
        if self.levels is not None and self.likelihood not in LEVELLED:
            raise ValueError(
                f"Invalid value received for `levels`. Expected none with the likelihood {self.likelihood!r}; "
                f"{' and '.join(map(repr, LEVELLED))} have it. Received: {self.levels!r}"
            )
        if self.mask_input and self.missing is None:
            raise ValueError(
                "Invalid value received for `mask_input`. Expected False where `missing` is None, and no pixel is "
                f"missing. Received: {self.mask_input!r}"
            )


@dataclass(frozen=True)
class ObjectiveConfig:
    """What is climbed, and how.

    Attributes:
        objective: "iwae", "elbo", "ae", "miwae", "piwae", "ciwae", "renyi" or "jvi".
        num_samples: K; given as `None` it is 50, and 1 for "ae", which draws none.
        early_samples: K of the first two thirds of the epochs; `None` is `num_samples` throughout.
        num_groups: M of "miwae" and "piwae", a divisor of K.
        beta: the ELBO's share in "ciwae".
        alpha: the order of "renyi".
        estimator: "auto", which is what `keras_iwae.IWAE` takes it for; or "reparameterized", "stl", "dreg", "vimco",
            "reinforce" or "rws".
        backward_samples: samples drawn for the backward pass; `None` is all K.
        kl_warmup_steps: steps over which the KL part grows to its full weight.
    """

    objective: str = "iwae"
    num_samples: int | None = None
    early_samples: int | None = None
    num_groups: int | None = None
    beta: float | None = None
    alpha: float | None = None
    estimator: str = "auto"
    backward_samples: int | None = None
    kl_warmup_steps: int = 0

    def __post_init__(self):
        check_choice("objective", self.objective, tuple(objectives.OBJECTIVES))
        check_choice("estimator", self.estimator, ("auto", *estimators.ESTIMATORS))
        climbed = objectives.get(self.objective)
        samples = objectives.settle_samples(climbed, self.num_samples)
        settle(
            self,
            num_samples=samples,
            kl_warmup_steps=check_integer("kl_warmup_steps", self.kl_warmup_steps, at_least=0),
        )
        for name in ("early_samples", "num_groups", "backward_samples"):
            if getattr(self, name) is not None:
                settle(self, **{name: check_integer(name, getattr(self, name))})
        for name in ("beta", "alpha"):
            if getattr(self, name) is not None:
                settle(self, **{name: check_number(name, getattr(self, name))})
        most = 0 if climbed.deterministic else samples
        if self.early_samples is not None and self.early_samples >= most:
            raise ValueError(
                f"Invalid value received for `early_samples`. Expected fewer than num_samples = {samples}, and "
                f"none for an autoencoder. Received: {self.early_samples}"
            )


@dataclass(frozen=True)
class OptimizerConfig:
    """How steps are taken: Adam.

    Attributes:
        learning_rate: the first of the paper's schedule, the highest of the cosine.
        schedule: "constant"; "cosine", which rises for a fiftieth of the epochs and falls to 0 at the last; or "paper",
            `PaperSchedule`.
        beta_1: the decay of the first moment.
        epsilon: added to the square root of the uncorrected second moment; the loss is a mean over the batch.
        global_clipnorm: gradients of all weights together are shortened to this length where they are longer; `None`
            leaves them as they are.
        ema: decay d of the moving averages of the weights, $d$ times the average and $1 - d$ times the weights after
            each step, which are then what is validated, saved, judged and exported; `None` keeps none.
    """

    learning_rate: float = 1e-3
    schedule: str = "constant"
    beta_1: float = 0.9
    epsilon: float = 1e-7
    global_clipnorm: float | None = None
    ema: float | None = None

    def __post_init__(self):
        check_choice("schedule", self.schedule, SCHEDULES)
        if self.global_clipnorm is not None:
            settle(self, global_clipnorm=check_positive_float32("global_clipnorm", self.global_clipnorm))
        settle(
            self,
            learning_rate=check_positive_float32("learning_rate", self.learning_rate),
            beta_1=check_number("beta_1", self.beta_1),
            epsilon=check_positive_float32("epsilon", self.epsilon),
            ema=None if self.ema is None else check_number("ema", self.ema),
        )
        if not 0.0 <= self.beta_1 < 1.0:
            raise ValueError(f"Invalid value received for `beta_1`. Expected 0 <= beta_1 < 1. Received: {self.beta_1}")
        if self.ema is not None and not 0.0 < self.ema < 1.0:
            raise ValueError(f"{MARK}ema`. Expected a decay between 0 and 1, both excluded. Received: {self.ema}")


@dataclass(frozen=True)
class RunConfig:
    """From where to where.

    Attributes:
        epochs: passes over the training images.
        start: a run folder or .keras file whose weights training starts from; `None` draws them.
        seed: seed of the weights, the order of the images and every draw in training.
    """

    epochs: int = 20
    start: str | None = None
    seed: int = 0

    def __post_init__(self):
        settle(
            self,
            epochs=check_integer("epochs", self.epochs),
            start=None if self.start is None else check_path("start", self.start),
            seed=check_seed("seed", self.seed),
        )


SECTIONS: dict[str, Any] = {
    "data": DataConfig,
    "model": ModelConfig,
    "objective": ObjectiveConfig,
    "optimizer": OptimizerConfig,
    "run": RunConfig,
}
SECTION_OF = {field.name: section for section, kind in SECTIONS.items() for field in fields(kind)}
