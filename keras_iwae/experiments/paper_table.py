"""The paper's table as named configurations, and a faster recipe for each row.

    DATASET-MODEL-kK-lL            the paper's protocol: eight stages, 3,280 passes
    DATASET-MODEL-kK-lL-fast       the same network and K by a short recipe
    DATASET-iwae-k50-lL-long       that recipe for five times the passes; two layers have half of these, at 0.001
    DATASET-iwae-k50-vamp-fast     that recipe for a gated network of 300-300-40 with the VampPrior, which no paper has
    DATASET-FIRST-then-SECOND      the paper's transfer experiment, each half as above
    lecture-ae, -vae, -iwae-k10    a small network with ten latent units, from autoencoder to IWAE
    ROW-seedS                      a row with another training seed than 0

Where the paper and its released code differ, the paper's protocol here takes beta1 = 0.9 from the paper (the code has
0.99) and the sum of the gradients over a batch from the code: epsilon = 1e-4 beside a sum over 20 images is 5e-6 beside
their mean.
"""

import re
from dataclasses import dataclass, replace

from keras_iwae.experiments.config import ExperimentConfig
from keras_iwae.training import STAGES, passes_of

_LAYERS: dict[str, dict] = {
    "l1": dict(latent_dim=(50,), hidden=((200, 200),)),
    "l2": dict(latent_dim=(100, 50), hidden=((200, 200), (100, 100))),
}
_MODELS = {"vae": "elbo", "iwae": "iwae"}
_PAPER: dict = dict(
    estimator="reparameterized",
    schedule="paper",
    epochs=passes_of(STAGES),
    batch_size=20,
    learning_rate=1e-3,
    epsilon=1e-4 / 20,
)
_FAST: dict = dict(schedule="cosine", batch_size=100, learning_rate=3e-3)
_LENGTHS = {"fast": 1, "long": 5}
# A pass over the digits is short.
_FAST_PASSES = {"digits": 400}
# Tomczak and Welling (2018), section 5, on the same data.
_VAMP: dict = dict(network="gated", latent_dim=(40,), hidden=((300, 300),), prior="vamp")
_FULL_TABLE = ("mnist", "binarized_mnist", "omniglot_28x28", "digits")
_THREE_ROWS = ("kmnist", "emnist_letters", "ocr_letters", "fashion_mnist")


@dataclass(frozen=True)
class Published:
    """What the paper's tables say: NLL in nats at K = 5000 and active units, layer by layer, where it gives them."""

    nll: float
    active_units: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        name: its name.
        config: what is trained.
        starts_from: the row whose weights training starts from, in the transfer experiment.
        published: the paper's numbers, if it has such a row.
    """

    name: str
    config: ExperimentConfig
    starts_from: str | None = None
    published: Published | None = None

    @property
    def recipe(self) -> str:
        """How it is trained: "paper" by the paper's protocol, "fast", "long", or "lecture"."""
        of_name = (recipe for recipe in ("fast", "long") if f"-{recipe}" in self.name)
        return next(of_name, "lecture" if self.name.startswith("lecture") else "paper")

    def seeded(self, seed: int) -> "Row":
        """The row with this training seed, and what it starts from too; where it is another, under a name of its own.

        Raises:
            ValueError: if it is no seed.
        """
        config = self.config.replaced(seed=seed)
        if config == self.config:
            return self
        suffix = f"-seed{config.run.seed}"
        start = None if self.starts_from is None else self.starts_from + suffix
        return replace(self, name=self.name + suffix, config=config, starts_from=start)


# Burda, Grosse, Salakhutdinov (2015), table 1, with the fixed binarization of its appendix, and table 2.
_PUBLISHED = {
    "mnist-vae-k1-l1": Published(86.76, (19,)),
    "mnist-vae-k5-l1": Published(86.47, (20,)),
    "mnist-vae-k50-l1": Published(86.35, (20,)),
    "mnist-iwae-k1-l1": Published(86.76, (19,)),
    "mnist-iwae-k5-l1": Published(85.54, (22,)),
    "mnist-iwae-k50-l1": Published(84.78, (25,)),
    "mnist-vae-k1-l2": Published(85.33, (16, 5)),
    "mnist-vae-k5-l2": Published(85.01, (17, 5)),
    "mnist-vae-k50-l2": Published(84.78, (17, 5)),
    "mnist-iwae-k1-l2": Published(85.33, (16, 5)),
    "mnist-iwae-k5-l2": Published(83.89, (21, 5)),
    "mnist-iwae-k50-l2": Published(82.90, (26, 7)),
    "omniglot_28x28-vae-k1-l1": Published(108.11, (28,)),
    "omniglot_28x28-vae-k5-l1": Published(107.62, (28,)),
    "omniglot_28x28-vae-k50-l1": Published(107.80, (28,)),
    "omniglot_28x28-iwae-k1-l1": Published(108.11, (28,)),
    "omniglot_28x28-iwae-k5-l1": Published(106.12, (34,)),
    "omniglot_28x28-iwae-k50-l1": Published(104.67, (41,)),
    "omniglot_28x28-vae-k1-l2": Published(107.58, (28, 4)),
    "omniglot_28x28-vae-k5-l2": Published(106.31, (30, 5)),
    "omniglot_28x28-vae-k50-l2": Published(106.30, (30, 5)),
    "omniglot_28x28-iwae-k1-l2": Published(107.58, (28, 4)),
    "omniglot_28x28-iwae-k5-l2": Published(104.79, (38, 6)),
    "omniglot_28x28-iwae-k50-l2": Published(103.38, (44, 7)),
    "binarized_mnist-iwae-k1-l1": Published(88.71),
    "binarized_mnist-iwae-k5-l1": Published(87.63),
    "binarized_mnist-iwae-k50-l1": Published(87.10),
    "mnist-vae-k1-l1-then-iwae-k50": Published(84.88, (22,)),
    "mnist-iwae-k50-l1-then-vae-k1": Published(86.02, (23,)),
}


def _recipe(dataset: str, model: str, num_samples: int, recipe: str) -> dict:
    """The fast recipe: doubly reparameterized gradients, and for K = 50 first ten samples, then all of them.

    Of IWAE's 50 the resampled backward pass draws eight; the ELBO weighs all alike, and has none to leave out. The
    long one is the same, with the same shares of rise and fall of the rate.
    """
    many = model == "iwae" and num_samples > 1
    early = 10 if num_samples > 10 else None
    drawn = 8 if many and early else None
    epochs = _FAST_PASSES.get(dataset, 200) * _LENGTHS[recipe]
    return dict(_FAST, epochs=epochs, estimator="dreg" if many else "stl", backward_samples=drawn, early_samples=early)


def _row(dataset: str, model: str, num_samples: int, layers: str, recipe: str) -> Row:
    name = f"{dataset}-{model}-k{num_samples}-{layers}"
    protocol = _PAPER if recipe == "paper" else _recipe(dataset, model, num_samples, recipe)
    if recipe == "long" and layers == "l2":
        # Each takes half as long again. Near the highest rate of one layer for so long, two get worse.
        protocol.update(epochs=protocol["epochs"] // 2, learning_rate=1e-3)
    config = ExperimentConfig.of(
        dataset=dataset, objective=_MODELS[model], num_samples=num_samples, **_LAYERS[layers], **protocol
    )
    return Row(name + _suffix(recipe), config, published=_PUBLISHED.get(name))


def _suffix(recipe: str) -> str:
    return "" if recipe == "paper" else f"-{recipe}"


def _vamp(dataset: str, recipe: str) -> Row:
    """A fifth of the passes, each of which costs three times as much here.

    What a gated encoder makes of an odd image has no bound, and the gradient of one such image can end a run at this
    rate: the posterior's scales have ends (`building.py`), and what is left of such is clipped.
    """
    settings = {**_recipe(dataset, "iwae", 50, recipe), "global_clipnorm": 100.0}
    settings["epochs"] //= 5
    config = ExperimentConfig.of(dataset=dataset, objective="iwae", num_samples=50, **_VAMP, **settings)
    return Row(f"{dataset}-iwae-k50-vamp{_suffix(recipe)}", config)


def _transfer(dataset: str, first: str, second: str, recipe: str) -> Row:
    """`first` is trained on as `second`: for the length of the last stage, at its rate."""
    start, suffix = f"{dataset}-{first}-l1", _suffix(recipe)
    model, samples = second.split("-k")
    config = _row(dataset, model, int(samples), "l1", recipe).config
    if recipe == "paper":
        config = config.replaced(schedule="constant", epochs=3 ** (STAGES - 1), learning_rate=1e-4)
    else:
        config = config.replaced(epochs=config.run.epochs // 3, learning_rate=1e-3)
    name = f"{start}-then-{second}"
    return Row(name + suffix, config, starts_from=start + suffix, published=_PUBLISHED.get(name))


def _lecture(name: str, objective: str, num_samples: int) -> Row:
    config = ExperimentConfig.of(
        dataset="mnist",
        objective=objective,
        num_samples=num_samples,
        estimator="reparameterized",
        latent_dim=(10,),
        hidden=((64,),),
        epochs=10,
    )
    return Row(f"lecture-{name}", config)


def _rows() -> list[Row]:
    rows = [_lecture("ae", "ae", 1), _lecture("vae", "elbo", 1), _lecture("iwae-k10", "iwae", 10)]
    for recipe in ("paper", "fast"):
        for dataset in _FULL_TABLE:
            rows += [
                _row(dataset, model, samples, layers, recipe)
                for layers in _LAYERS
                for model in _MODELS
                for samples in (1, 5, 50)
            ]
        for dataset in _THREE_ROWS:
            rows += [
                _row(dataset, model, samples, "l1", recipe)
                for model, samples in (("vae", 1), ("iwae", 5), ("iwae", 50))
            ]
        for dataset in ("mnist", "digits"):
            rows += [_transfer(dataset, *pair, recipe) for pair in (("vae-k1", "iwae-k50"), ("iwae-k50", "vae-k1"))]
    rows += [_vamp(dataset, "fast") for dataset in ("mnist", "omniglot_28x28", "digits")]
    # Not Omniglot's VampPrior, which fits the training images too closely after 40 passes.
    rows += [_row("mnist", "iwae", 50, layers, "long") for layers in _LAYERS]
    return [*rows, _row("omniglot_28x28", "iwae", 50, "l1", "long"), _vamp("mnist", "long")]


ROWS: dict[str, Row] = {row.name: row for row in _rows()}


def find_row(name: str) -> Row:
    """The row of that name, one of `ROWS` or of those with another training seed.

    Raises:
        ValueError: if there is none.
    """
    said = str(name)
    match = re.fullmatch(r"(.+)-seed(\d+)", said)
    row = ROWS.get(said) or (ROWS[match[1]].seeded(int(match[2])) if match and match[1] in ROWS else None)
    # Its own seed, or one with zeros in front, is no part of a name.
    if row is None or row.name != name:
        raise ValueError(f"Invalid value received for `row`. Expected a name that --list shows. Received: {name!r}")
    return row
