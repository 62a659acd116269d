"""What an experiment is: a frozen configuration, and the compiled model that it stands for."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import keras

from keras_iwae import data, networks
from keras_iwae.bounds import estimators, objectives
from keras_iwae.foundation import check_integer
from keras_iwae.models import AVB, IWAE
from keras_iwae.training import FusedAdam, PaperSchedule, runs, warm_cosine

NETWORKS = ("dense", "conv")
SCHEDULES = ("constant", "cosine", "paper")
# Small steps are otherwise calls more than work.
_STEPS_A_CALL = 20


@dataclass(frozen=True)
class ExperimentConfig:
    """Everything that decides what a run computes.

    Attributes:
        dataset: a name that `keras_iwae.data.load` knows, or a path to a .npz or .npy file.
        objective: "iwae", "elbo", "ae", "miwae", "piwae", "ciwae" or "renyi".
        num_samples: K.
        early_samples: K of the first two thirds of the epochs; `None` is `num_samples` throughout.
        num_groups: M of "miwae" and "piwae", a divisor of K.
        beta: the ELBO's share in "ciwae".
        alpha: the order of "renyi".
        estimator: "reparameterized", "stl", "dreg", "vimco", "reinforce" or "rws".
        backward_samples: samples drawn for the backward pass; `None` is all K.
        kl_warmup_steps: steps over which the KL part grows to its full weight.
        posterior: a name in `keras_iwae.models.POSTERIORS`; "adversarial" goes with "elbo" and has no estimators.
        epochs: passes over the training images.
        batch_size: images a step.
        learning_rate: of Adam; the first of the paper's schedule, the highest of the cosine.
        schedule: "constant"; "cosine", which rises for a fiftieth of the epochs and falls to 0 at the last; or "paper",
            `PaperSchedule`.
        beta_1: of Adam.
        epsilon: of Adam, added to the square root of the uncorrected second moment; the loss is a mean over the batch.
        start: a run folder or .keras file whose weights training starts from; `None` draws them.
        network: "dense", or "conv" for images [H, W, C]; `hidden` and `activation` are for the dense one.
        latent_dim: latent units, one number for each stochastic layer.
        hidden: units of the encoder's layers, one sequence for each stochastic layer; the decoder's are the same in
            reverse.
        activation: a Keras activation by name.
        binarization: "dynamic", "static", "threshold" or "none".
        seed: seed of the weights, the order of the images and every draw in training.
    """

    dataset: str = "mnist"
    objective: str = "iwae"
    num_samples: int = 50
    early_samples: int | None = None
    num_groups: int | None = None
    beta: float | None = None
    alpha: float | None = None
    estimator: str = "reparameterized"
    backward_samples: int | None = None
    kl_warmup_steps: int = 0
    posterior: str = "gaussian"
    epochs: int = 20
    batch_size: int = 100
    learning_rate: float = 1e-3
    schedule: str = "constant"
    beta_1: float = 0.9
    epsilon: float = 1e-7
    start: str | None = None
    network: str = "dense"
    latent_dim: tuple[int, ...] = (50,)
    hidden: tuple[tuple[int, ...], ...] = ((200, 200),)
    activation: str = "tanh"
    binarization: str = "dynamic"
    seed: int = 0

    def __post_init__(self):
        # JSON gives lists.
        object.__setattr__(self, "latent_dim", tuple(self.latent_dim))
        object.__setattr__(self, "hidden", tuple(tuple(units) for units in self.hidden))
        check_integer("epochs", self.epochs)
        if self.early_samples is not None and check_integer("early_samples", self.early_samples) > self.num_samples:
            raise ValueError(
                f"Invalid value received for `early_samples`. Expected at most num_samples = {self.num_samples}. "
                f"Received: {self.early_samples}"
            )
        for name, allowed in (("network", NETWORKS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"Invalid value received for `{name}`. Expected one of {allowed}. Received: {getattr(self, name)!r}"
                )
        for name in ("learning_rate", "epsilon"):
            if not getattr(self, name) > 0.0:
                raise ValueError(
                    f"Invalid value received for `{name}`. Expected more than 0. Received: {getattr(self, name)}"
                )
        if not 0.0 <= self.beta_1 < 1.0:
            raise ValueError(f"Invalid value received for `beta_1`. Expected 0 <= beta_1 < 1. Received: {self.beta_1}")

    @property
    def name(self) -> str:
        """A name for a run of this configuration, such as `mnist-iwae-k50`."""
        estimator = "" if self.estimator == "reparameterized" else f"-{self.estimator}"
        drawn = "" if self.backward_samples is None else f"-m{self.backward_samples}"
        return f"{Path(self.dataset).stem}-{self.objective}{estimator}-k{self.num_samples}{drawn}"

    @property
    def early_epochs(self) -> int:
        """Epochs with `early_samples`."""
        return 0 if self.early_samples is None else 2 * self.epochs // 3

    @property
    def steps_per_pass(self) -> int:
        """Training steps in one pass over the training images; a partial last batch is dropped."""
        return len(data.images(self.dataset, "train")) // self.batch_size

    def make_optimizer(self) -> keras.optimizers.Optimizer:
        """Adam with the learning rate's schedule."""
        rate = self.learning_rate
        if self.schedule == "paper":
            rate = PaperSchedule(self.steps_per_pass, rate)
        elif self.schedule == "cosine":
            rate = warm_cosine(self.epochs * self.steps_per_pass, rate)
        return FusedAdam(rate, beta_1=self.beta_1, epsilon=self.epsilon)

    def make_objective(self) -> objectives.Objective:
        """The objective with the parameters that were given.

        Raises:
            ValueError: if there is no such objective, or it does not have such a parameter.
        """
        given = {
            name: getattr(self, name) for name in ("num_groups", "beta", "alpha") if getattr(self, name) is not None
        }
        kind = type(objectives.get(self.objective))
        foreign = set(given) - {field.name for field in fields(kind)}
        if foreign:
            raise ValueError(
                f"Invalid value received for `{foreign.pop()}`. Expected none with the objective {self.objective!r}, "
                f"which has no such parameter. Received: {given}"
            )
        return kind(**given)

    @classmethod
    def from_dict(cls, values: Mapping) -> "ExperimentConfig":
        """The configuration that `asdict` gave.

        Raises:
            ValueError: if there are names that a configuration does not have.
        """
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"Expected the fields of a run's config.json. Received: {', '.join(sorted(unknown))}")
        return cls(**values)


def build(config: ExperimentConfig) -> IWAE | AVB:
    """The model of a configuration, compiled, with the weights that its training starts from.

    Raises:
        ValueError: if an argument is out of range, or `start` holds a model of another shape.
    """
    mean = data.mean_image(config.dataset)
    encoder = decoder = None
    if config.network == "conv":
        encoder = networks.conv_encoder(seed=config.seed)
        decoder = networks.conv_decoder(mean.shape, seed=config.seed + 1)
    several = len(config.latent_dim) > 1
    parts: dict[str, Any] = {
        "event_shape": mean.shape,
        "latent_dim": config.latent_dim if several else config.latent_dim[0],
        "hidden": config.hidden if several else config.hidden[0],
        "activation": config.activation,
        "num_samples": config.num_samples,
        "posterior": config.posterior,
        "encoder": encoder,
        "decoder": decoder,
        "seed": config.seed,
    }
    model: IWAE | AVB
    if config.posterior == "adversarial":
        _check_adversarial(config)
        model = AVB(**parts)
    else:
        model = IWAE(
            **parts,
            objective=config.make_objective(),
            estimator=config.estimator,
            backward_samples=config.backward_samples,
            kl_warmup_steps=config.kl_warmup_steps,
        )
        if config.early_samples is not None:
            reparameterized = model.posterior.reparameterized
            estimators.check_pair(config.estimator, model.objective, config.early_samples, reparameterized)
    model.initialize_output_bias(mean)
    if config.start is not None:
        _copy_weights(runs.load_model(config.start), model, config.start)
    model.compile(config.make_optimizer(), steps_per_execution=_STEPS_A_CALL)
    return model


def _check_adversarial(config: ExperimentConfig) -> None:
    """Refuse what adversarial training has no place for."""
    only = {"objective": "elbo", "estimator": "reparameterized", "kl_warmup_steps": 0}
    only |= dict.fromkeys(("num_groups", "beta", "alpha", "backward_samples", "early_samples"))
    for name, value in only.items():
        if getattr(config, name) != value:
            raise ValueError(
                f"Invalid value received for `{name}`. Expected {value!r} with the posterior 'adversarial', which has "
                f"no log weights. Received: {getattr(config, name)!r}"
            )


def _copy_weights(source: IWAE | AVB, model: IWAE | AVB, path: str) -> None:
    pairs = list(itertools.zip_longest(source.trainable_variables, model.trainable_variables))
    if any(one is None or other is None or one.shape != other.shape for one, other in pairs):
        raise ValueError(
            "Invalid value received for `start`. Expected a model whose weights have the shapes of this "
            f"configuration's. Received: {path}, whose weights have others"
        )
    for one, other in pairs:
        other.assign(one)
