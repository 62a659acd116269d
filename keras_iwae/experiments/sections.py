"""The sections of a configuration: each a handful of settings of one subject, which it checks by itself."""

from dataclasses import dataclass, fields
from typing import Any

from keras_iwae.foundation import check_choice, check_integer, check_positive

NETWORKS = ("dense", "conv")
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
        dataset: a name that `keras_iwae.data.load` knows, or a path to a .npz or .npy file.
        binarization: "dynamic", "static", "threshold", "none" or "levels"; `None` is what the likelihood is made for.
        batch_size: images a step.
    """

    dataset: str = "mnist"
    binarization: str | None = None
    batch_size: int = 100


@dataclass(frozen=True)
class ModelConfig:
    """What the model is made of.

    Attributes:
        likelihood: a name in `keras_iwae.likelihoods.LIKELIHOODS`.
        levels: numbers that a pixel of "discretized_logistic" or "categorical" can be; `None` is those of the data set.
        missing: "nan" where pixels that are NaN are missing; `None` takes every pixel as seen.
        mask_input: whether the encoder is told which pixels are missing.
        posterior: a name in `keras_iwae.models.POSTERIORS`; "adversarial" goes with "elbo" and has no estimators.
        network: "dense", or "conv" for images [H, W, C]; `hidden` and `activation` are for the dense one.
        latent_dim: latent units, one number for each stochastic layer.
        hidden: units of the encoder's layers, one sequence for each stochastic layer; the decoder's are the same in
            reverse.
        activation: a Keras activation by name.
    """

    likelihood: str = "bernoulli"
    levels: int | None = None
    missing: str | None = None
    mask_input: bool = False
    posterior: str = "gaussian"
    network: str = "dense"
    latent_dim: tuple[int, ...] = (50,)
    hidden: tuple[tuple[int, ...], ...] = ((200, 200),)
    activation: str = "tanh"

    def __post_init__(self):
        # JSON gives lists.
        object.__setattr__(self, "latent_dim", tuple(self.latent_dim))
        object.__setattr__(self, "hidden", tuple(tuple(units) for units in self.hidden))
        check_choice("likelihood", self.likelihood, tuple(BINARIZATIONS))
        check_choice("missing", self.missing, MISSING)
        check_choice("network", self.network, NETWORKS)
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
        objective: "iwae", "elbo", "ae", "miwae", "piwae", "ciwae" or "renyi".
        num_samples: K.
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
    num_samples: int = 50
    early_samples: int | None = None
    num_groups: int | None = None
    beta: float | None = None
    alpha: float | None = None
    estimator: str = "auto"
    backward_samples: int | None = None
    kl_warmup_steps: int = 0

    def __post_init__(self):
        if self.early_samples is not None and check_integer("early_samples", self.early_samples) > self.num_samples:
            raise ValueError(
                f"Invalid value received for `early_samples`. Expected at most num_samples = {self.num_samples}. "
                f"Received: {self.early_samples}"
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
    """

    learning_rate: float = 1e-3
    schedule: str = "constant"
    beta_1: float = 0.9
    epsilon: float = 1e-7

    def __post_init__(self):
        check_choice("schedule", self.schedule, SCHEDULES)
        check_positive("learning_rate", self.learning_rate)
        check_positive("epsilon", self.epsilon)
        if not 0.0 <= self.beta_1 < 1.0:
            raise ValueError(f"Invalid value received for `beta_1`. Expected 0 <= beta_1 < 1. Received: {self.beta_1}")


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
        check_integer("epochs", self.epochs)


SECTIONS: dict[str, Any] = {
    "data": DataConfig,
    "model": ModelConfig,
    "objective": ObjectiveConfig,
    "optimizer": OptimizerConfig,
    "run": RunConfig,
}
SECTION_OF = {field.name: section for section, kind in SECTIONS.items() for field in fields(kind)}
