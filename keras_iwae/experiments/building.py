"""From a configuration to the compiled model that it stands for, with the weights that its training starts from."""

import itertools
import operator
from dataclasses import fields
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf

from keras_iwae import data, likelihoods, networks
from keras_iwae.bounds import estimators, objectives
from keras_iwae.experiments.config import ExperimentConfig, check_config
from keras_iwae.experiments.named_data import as_dataset
from keras_iwae.experiments.sections import BINARIZATIONS, LEVELLED, ObjectiveConfig
from keras_iwae.foundation import computing_settings, value_errors
from keras_iwae.likelihoods import Likelihood
from keras_iwae.models import AVB, IWAE, encoder_inputs, with_inputs
from keras_iwae.posteriors import GaussianPosterior, MixturePosterior, Posterior
from keras_iwae.priors import MixturePrior, Prior, VampPrior
from keras_iwae.training import FusedAdam, PaperSchedule, runs, warm_cosine

# Small steps are otherwise calls more than work.
_STEPS_A_CALL = 20
# Log of the scales of a Gaussian posterior on gated layers, whose features have no bounds. No more than odd examples
# come so far; -3 and 1, with which such networks were published, are where many units come, and end their gradient.
_GATED_LOG_SCALES = (-6.0, 2.0)


@as_dataset()
def build(config: ExperimentConfig) -> IWAE | AVB:
    """The model of a configuration, compiled, with the weights that its training starts from.

    Args:
        config: what to make.

    Returns:
        an `AVB` with the posterior "adversarial", else an `IWAE`.

    Raises:
        ValueError: if an argument is out of range, the first training examples are none of the likelihood's, or `start`
            holds a model of another shape or of other parts.
    """
    check_config(config)
    wanted, climbed, seed = config.model, config.objective, config.run.seed
    mean = data.mean_image(config.data.dataset, config.binarization, wanted.levels)
    if wanted.missing is None and config.data.dataset not in data.names():
        _check_whole(config.data.dataset)
    likelihood = _likelihood(config)
    encoder = decoder = None
    hidden = wanted.hidden or ()
    if wanted.network == "gated":
        encoder = networks.gated_encoder(hidden[0], seed)
        decoder = networks.gated_decoder(hidden[0][::-1], networks.following_seed(seed, 1))
        # A discriminator has layers of the same sizes.
        hidden = hidden if wanted.posterior == "adversarial" else hidden[1:]
    if wanted.network == "conv":
        encoder = networks.conv_encoder(seed=seed)
        parameters = likelihoods.get(likelihood).parameters
        decoder = networks.conv_decoder(mean.shape, seed=networks.following_seed(seed, 1), parameters=parameters)
    several = len(wanted.latent_dim) > 1
    parts: dict[str, Any] = {
        "event_shape": mean.shape,
        "latent_dim": wanted.latent_dim if several else wanted.latent_dim[0],
        "hidden": (hidden if several else hidden[0]) if hidden else None,
        "num_samples": climbed.num_samples,
        "posterior": wanted.posterior,
        "likelihood": likelihood,
        "missing": wanted.missing,
        "mask_input": wanted.mask_input,
        "encoder": encoder,
        "decoder": decoder,
        "seed": seed,
        "activation": wanted.activation,
    }
    bounded = wanted.posterior == "gaussian" and wanted.network == "gated"
    if (bounded or wanted.posterior == "mixture") and not several:
        parts.update(posterior=_posterior(config, parts), encoder=None)
    model: IWAE | AVB
    if wanted.posterior == "adversarial":
        _check_adversarial(config)
        model = AVB(**parts)
    else:
        model = IWAE(
            **parts,
            objective=make_objective(climbed),
            estimator=climbed.estimator,
            backward_samples=climbed.backward_samples,
            kl_warmup_steps=climbed.kl_warmup_steps,
            prior=_prior(config),
        )
        if climbed.early_samples is not None:
            # Of all K samples, the one that "auto" stands for.
            estimator, q = model.get_config()["estimator"], model.posterior
            estimators.check_pair(
                estimator, model.objective, climbed.early_samples, q.reparameterized, stratified=q.stratified
            )
    _check_examples(config, model)
    if wanted.prior == "vamp":
        examples = data.before_draws(config.data.dataset, "train", config.binarization, wanted.levels)
        _check_components(examples, wanted.prior_components)
        model.initialize_pseudo_inputs(examples, seed)
    model.initialize_output_bias(mean)
    if config.run.start is not None:
        _copy_weights(runs.load_model(config.run.start, "start"), model, config.run.start)
    several_devices = tf.distribute.get_strategy().num_replicas_in_sync > 1
    model.compile(make_optimizer(config), steps_per_execution=1 if several_devices else _STEPS_A_CALL)
    return model


def make_optimizer(config: ExperimentConfig) -> keras.optimizers.Optimizer:
    """Adam with the learning rate's schedule."""
    wanted = config.optimizer
    rate: Any = wanted.learning_rate
    if wanted.schedule == "paper":
        rate = PaperSchedule(config.steps_per_pass, wanted.learning_rate)
    elif wanted.schedule == "cosine":
        rate = warm_cosine(config.run.epochs * config.steps_per_pass, wanted.learning_rate)
    averaged = {} if wanted.ema is None else {"use_ema": True, "ema_momentum": wanted.ema}
    clipped = {"global_clipnorm": wanted.global_clipnorm}
    return FusedAdam(rate, beta_1=wanted.beta_1, epsilon=wanted.epsilon, **clipped, **averaged)


def make_objective(config: ObjectiveConfig) -> objectives.Objective:
    """The objective with the parameters that were given.

    Raises:
        ValueError: if there is no such objective, or it does not have such a parameter.
    """
    names = "num_groups", "beta", "alpha"
    given = {name: getattr(config, name) for name in names if getattr(config, name) is not None}
    kind = type(objectives.get(config.objective))
    foreign = set(given) - {field.name for field in fields(kind)}
    if foreign:
        raise ValueError(
            f"Invalid value received for `{foreign.pop()}`. Expected none with the objective {config.objective!r}, "
            f"which has no such parameter. Received: {given}"
        )
    return kind(**given)


def _posterior(config: ExperimentConfig, parts: dict[str, Any]) -> Posterior:
    """The posterior that a model makes of this name, with what else is asked for."""
    wanted, encoder, seed = config.model, parts["encoder"], config.run.seed
    if encoder is None:
        encoder = networks.dense_encoder(parts["hidden"], wanted.activation, seed)
    likelihood = likelihoods.get(parts["likelihood"])
    inputs = encoder_inputs(likelihood, wanted.missing, wanted.mask_input)
    encoder = with_inputs(encoder, parts["event_shape"], inputs)
    following = networks.following_seed(seed, 2)
    if wanted.posterior == "mixture":
        components = cast(int, wanted.posterior_components)
        return MixturePosterior(encoder, parts["latent_dim"], following, components, name="posterior")
    return GaussianPosterior(encoder, parts["latent_dim"], following, _GATED_LOG_SCALES, name="posterior")


def _prior(config: ExperimentConfig) -> str | Prior | None:
    wanted = config.model
    if wanted.prior_components is None:
        return wanted.prior
    kind = VampPrior if wanted.prior == "vamp" else MixturePrior
    return kind(wanted.latent_dim[-1], wanted.prior_components, config.run.seed)


def _check_examples(config: ExperimentConfig, model: IWAE | AVB) -> None:
    """Refuse what cannot be trained: fewer examples than are in a batch, or others than the likelihood's."""
    size, given, likelihood = config.data.batch_size, config.binarization, config.model.likelihood
    # Read once: a user's file may be large.
    batches = data.in_order(config.data.dataset, "train", size, size, given, config.run.seed, config.model.levels)
    with value_errors():
        first = next(iter(batches))
    if len(first) < size:
        raise ValueError(
            f"Invalid value received for `batch_size`. Expected at most {len(first)}, the training examples, as "
            f"partial batches are dropped. Received: {size}"
        )
    try:
        model.door.array(first, "dataset")
    except ValueError as error:
        made_for, came = BINARIZATIONS[likelihood], str(error).rpartition("Received: ")[2]
        if given == made_for:
            raise
        raise ValueError(
            f"Invalid value received for `binarization`. Expected one that makes examples of the likelihood "
            f"{likelihood!r}, as {made_for!r} does. Received: {given!r}, which makes {came}"
        ) from error


def _check_components(examples: np.ndarray, components: int | None) -> None:
    """Refuse more pseudo-inputs than there are examples that they can start as."""
    whole = int((~np.isnan(examples).any(axis=tuple(range(1, examples.ndim)))).sum())
    if components is not None and components > whole:
        raise ValueError(
            f"Invalid value received for `prior_components`. Expected at most {whole}, the training examples without "
            f"gaps, as which the pseudo-inputs of 'vamp' start. Received: {components}"
        )


def _likelihood(config: ExperimentConfig) -> str | Likelihood:
    name, levels = config.model.likelihood, config.model.levels
    if name not in LEVELLED:
        return name
    if levels is None and config.data.dataset not in data.names():
        _check_bytes(config.data.dataset)
    return likelihoods.LIKELIHOODS[name](levels=data.num_levels(config.data.dataset) if levels is None else levels)


def _check_bytes(file: str) -> None:
    """Refuse to guess how many levels bytes have that are neither bits nor as bright as images."""
    brightest = data.brightest_byte(file)
    if brightest is not None and brightest < 255:
        raise ValueError(
            f"Invalid value received for `levels`. Expected it (--levels) for bytes up to {brightest}: 256 for grey "
            f"levels of 8 bits, {brightest + 1} for codes that end there. Received: None"
        )


def _check_whole(file: str) -> None:
    if data.has_missing(file):
        raise ValueError(
            "Invalid value received for `missing`. Expected 'nan' for data with pixels that are NaN. Received: None"
        )


def _check_adversarial(config: ExperimentConfig) -> None:
    """Refuse what adversarial training has no place for."""
    only = {"objective": "elbo", "estimator": "auto", "kl_warmup_steps": 0}
    only |= dict.fromkeys(("num_groups", "beta", "alpha", "backward_samples", "early_samples", "prior"))
    for name, value in only.items():
        if config.settings[name] != value:
            raise ValueError(
                f"Invalid value received for `{name}`. Expected {value!r} with the posterior 'adversarial', which has "
                f"no log weights. Received: {config.settings[name]!r}"
            )


def _copy_weights(source: IWAE | AVB, model: IWAE | AVB, path: str) -> None:
    # What is of another kind mostly has other shapes too, which would say less.
    _check_same_parts(source, model, path)
    pairs = list(itertools.zip_longest(source.trainable_variables, model.trainable_variables))
    if any(one is None or other is None or one.shape != other.shape for one, other in pairs):
        raise ValueError(
            "Invalid value received for `start`. Expected a model whose weights have the shapes of this "
            f"configuration's. Received: {path}, whose weights have others"
        )
    for one, other in pairs:
        other.assign(one)


def _check_same_parts(source: IWAE | AVB, model: IWAE | AVB, path: str) -> None:
    """Refuse weights that meant something else where they were trained, as under another likelihood or activation."""
    for part in ("generative.likelihood", "generative.prior", "generative.decoder", "posterior"):
        one, other = (_made_of(operator.attrgetter(part)(each)) for each in (source, model))
        for its, wanted in itertools.zip_longest(one, other):
            if its != wanted:
                name = part.rpartition(".")[2]
                raise ValueError(
                    f"Invalid value received for `start`. Expected a model of the same parts as this configuration's, "
                    f"with {wanted or 'nothing further'} in its {name}. Received: {path}, with {its or 'nothing'} there"
                )


def _made_of(part: keras.Layer) -> list[str]:
    """What a part computes with its weights: kinds of layers, their activations, and its own settings."""
    own = computing_settings(part.get_config()) if isinstance(part, (Likelihood, Prior)) else {}
    settings = [f"{name}={value!r}" for name, value in own.items()]
    layers = [layer for layer in part._flatten_layers() if not isinstance(layer, networks.EventEncoder)]
    activations = [getattr(getattr(layer, "activation", None), "__name__", "") for layer in layers]
    kinds = [f"{type(layer).__name__} {name}".strip() for layer, name in zip(layers, activations, strict=True)]
    return [*kinds, *settings]
