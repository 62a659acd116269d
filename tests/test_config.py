"""The configuration: five sections with one namespace, one JSON file, and what goes together or is refused."""

import itertools
import json
import math
import os
import subprocess
import sys
from dataclasses import FrozenInstanceError, asdict, fields
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_iwae import data, experiments
from keras_iwae.experiments import DataConfig, ExperimentConfig, ModelConfig, ObjectiveConfig, RunConfig
from keras_iwae.experiments.building import make_optimizer
from keras_iwae.experiments.config import flattened, settings_of
from keras_iwae.experiments.sections import BINARIZATIONS, SCHEDULES, SECTION_OF, SECTIONS
from keras_iwae.likelihoods import LIKELIHOODS
from keras_iwae.models import PRIORS
from keras_iwae.models.sizes import settle_hidden

# A value of each field that is not its default, and goes with the others.
OTHERS = {
    **dict(dataset="digits", binarization="levels", batch_size=7),
    **dict(
        likelihood="categorical",
        levels=17,
        missing="nan",
        mask_input=True,
        posterior="mixture",
        posterior_components=3,
        network="conv",
    ),
    **dict(prior="mixture", prior_components=7, latent_dim=(3, 2), hidden=((4,),), activation="relu"),
    **dict(objective="ciwae", num_samples=6, early_samples=2, num_groups=3, beta=0.25, alpha=0.5, estimator="dreg"),
    **dict(backward_samples=4, kl_warmup_steps=9),
    **dict(learning_rate=0.5, schedule="paper", beta_1=0.5, epsilon=0.25, global_clipnorm=3.5, ema=0.5),
    **dict(epochs=3, start="there", seed=8),
}


def test_a_name_belongs_to_one_section():
    names = [field.name for kind in SECTIONS.values() for field in fields(kind)]
    assert sorted(names) == sorted(set(names)) == sorted(SECTION_OF) == sorted(OTHERS)
    assert list(SECTIONS) == [field.name for field in fields(ExperimentConfig)]


@pytest.mark.parametrize("name", OTHERS)
def test_each_field_is_reached_by_its_name_alone(name):
    config, section = ExperimentConfig.of(**OTHERS), SECTION_OF[name]
    assert getattr(getattr(config, section), name) == OTHERS[name] != asdict(ExperimentConfig())[section][name]
    assert config.settings[name] == OTHERS[name]


@pytest.mark.long
def test_settings_are_read_before_tensorflow_begins():
    # Devices and machines are set after them, which TensorFlow takes before anything else alone.
    given = (
        "from test_config import OTHERS, ExperimentConfig; from keras_iwae.training import over_devices\n"
        "ExperimentConfig.of(**OTHERS)\nover_devices(2)"
    )
    folders = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-c", given],
        env={**os.environ, "PYTHONPATH": folders, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_all_but_the_replaced_stays():
    config = ExperimentConfig.of(**OTHERS)
    changed = config.replaced(epochs=4, seed=9, num_samples=8)
    assert {name for name, value in changed.settings.items() if value != config.settings[name]} == {
        "epochs",
        "seed",
        "num_samples",
    }
    assert changed.replaced(epochs=3, seed=8, num_samples=6) == config
    assert config.replaced() == config
    with pytest.raises(FrozenInstanceError):
        config.run.epochs = 5


def test_sections_and_names_say_the_same():
    of = ExperimentConfig.of(dataset="digits", likelihood="gaussian", num_samples=3, epochs=2)
    by_section = ExperimentConfig(
        data=DataConfig("digits"),
        model=ModelConfig("gaussian"),
        objective=ObjectiveConfig(num_samples=3),
        run=RunConfig(epochs=2),
    )
    assert of == by_section
    assert hash(of) == hash(by_section)


@pytest.mark.parametrize("make", [ExperimentConfig.of, ExperimentConfig().replaced])
def test_an_unknown_name_is_named(make):
    with pytest.raises(ValueError, match=r"`epoch`. Expected one of the fields dataset, .*, seed. Received: epoch=3"):
        make(epoch=3)


def test_json_is_one_file_of_five_sections(tmp_path):
    for config in (ExperimentConfig(), ExperimentConfig.of(**OTHERS)):
        (tmp_path / "config.json").write_text(json.dumps(asdict(config)))
        stored = json.loads((tmp_path / "config.json").read_text())
        assert list(stored) == ["data", "model", "objective", "optimizer", "run"]
        assert ExperimentConfig.from_dict(stored) == config
        assert settings_of(tmp_path) == flattened(stored)
        assert ExperimentConfig.of(**settings_of(tmp_path)) == config
    assert settings_of(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(
    ("stored", "named"),
    [
        ({"epochs": 3}, "epochs"),
        ({"run": {"epoch": 3}}, "run.epoch"),
        ({"data": {"epochs": 3}}, "data.epochs"),
        ({"data": "digits", "run": {"seed": 1, "sed": 1}}, "data, run.sed"),
    ],
)
def test_a_file_with_other_fields_is_refused(stored, named):
    with pytest.raises(ValueError, match=f"Expected the fields of a run's config.json. Received: {named}$"):
        ExperimentConfig.from_dict(stored)


def test_a_file_without_sections_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"dataset": "digits", "run": {}}')
    with pytest.raises(ValueError, match=r"sections of a run's config.json. Received: dataset$"):
        settings_of(tmp_path)


@pytest.mark.parametrize("likelihood", BINARIZATIONS)
def test_images_are_made_for_the_likelihood_unless_it_is_said_how(likelihood):
    config = ExperimentConfig.of(likelihood=likelihood)
    assert config.data.binarization == config.binarization == BINARIZATIONS[likelihood]
    assert ExperimentConfig.of(likelihood=likelihood, binarization="static").data.binarization == "static"
    # What was stored is explicit, and stays what it was.
    assert ExperimentConfig().replaced(likelihood=likelihood).data.binarization == "dynamic"
    assert ExperimentConfig().replaced(likelihood=likelihood, binarization=None) == config


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"learning_rate": "fast"}, "`learning_rate`. Expected a number above 0. Received: 'fast'"),
        ({"likelihood": "cauchy"}, "`likelihood`. Expected one of .*'bernoulli'.*Received: 'cauchy'"),
        ({"levels": 17}, "`levels`. Expected none with the likelihood 'bernoulli'"),
        ({"levels": 17, "likelihood": "poisson"}, "`levels`. Expected none with the likelihood 'poisson'"),
        ({"missing": "zero"}, "`missing`. Expected one of"),
        ({"mask_input": True}, "`mask_input`. Expected False where `missing` is None"),
        ({"early_samples": 51}, "`early_samples`. Expected fewer than num_samples = 50"),
    ],
)
def test_what_does_not_go_together_is_refused(options, named):
    with pytest.raises(ValueError, match=named):
        ExperimentConfig.of(**options)


def test_a_run_is_named_after_what_was_asked_for():
    names = {
        "mnist-iwae-k50": {},
        "mnist-iwae-reparameterized-k50": {"estimator": "reparameterized"},
        "mine-elbo-stl-k1": {"dataset": "some/mine.npz", "objective": "elbo", "num_samples": 1, "estimator": "stl"},
        "mnist-iwae-k50-m8": {"backward_samples": 8},
    }
    assert {name: ExperimentConfig.of(**options).name for name, options in names.items()} == {n: n for n in names}


def test_adversarial_training_takes_the_elbo_alone():
    config = ExperimentConfig.of(
        dataset="digits", posterior="adversarial", objective="elbo", num_samples=2, hidden=((4,),), latent_dim=(2,)
    )
    experiments.build(config)
    refused = [{"objective": "iwae"}, {"estimator": "dreg"}, {"early_samples": 1}, {"kl_warmup_steps": 3}]
    for name, value in itertools.chain.from_iterable(options.items() for options in refused):
        with pytest.raises(ValueError, match=f"`{name}`.*'adversarial', which has no log weights"):
            experiments.build(config.replaced(**{name: value}))


SMALL = dict(dataset="digits", hidden=((8,),), latent_dim=(2,), num_samples=2)


def test_there_is_a_way_to_make_images_for_each_likelihood():
    assert set(BINARIZATIONS) == set(LIKELIHOODS)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["dense", "conv"])
@pytest.mark.parametrize("likelihood", BINARIZATIONS)
def test_each_likelihood_is_built_and_takes_its_images(likelihood, network):
    settings = {**SMALL, "hidden": None} if network == "conv" else SMALL
    config = ExperimentConfig.of(**settings, likelihood=likelihood, network=network)
    model = experiments.build(config)
    assert type(model.generative.likelihood) is LIKELIHOODS[likelihood]
    images = data.load("digits", "test", 100, config.binarization)
    assert np.isfinite(model.evaluate(images, verbose=0, return_dict=True)["bound"])


def test_pseudo_inputs_are_no_more_than_the_examples_that_they_start_as():
    config = ExperimentConfig.of(dataset="digits", latent_dim=2, prior="vamp", prior_components=1298, num_samples=2)
    with pytest.raises(ValueError, match=r"`prior_components`. Expected at most 1297, .* Received: 1298"):
        experiments.build(config)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prior", "latent_dim", "hidden"),
    [("vamp", (2,), ((8,),)), ("mixture", (3, 2), ((8,), (4,))), ("flow", (2,), ((8,),)), (None, (2,), ((8,),))],
)
def test_gated_networks_and_learned_priors_are_built(prior, latent_dim, hidden):
    components = 5 if prior in ("vamp", "mixture") else None
    settings = dict(SMALL, network="gated", latent_dim=latent_dim, hidden=hidden)
    config = ExperimentConfig.of(**settings, prior=prior, prior_components=components)
    assert ExperimentConfig.from_dict(json.loads(json.dumps(asdict(config)))) == config
    model = experiments.build(config)
    grey, names = data.images("digits", "train") / 255.0, [type(layer).__name__ for layer in model._flatten_layers()]
    assert names.count("GatedDense") == 2
    assert isinstance(
        getattr(model.generative.prior, "top", model.generative.prior), PRIORS[prior or "standard_normal"]
    )
    if prior == "vamp":
        pseudo = model.generative.prior.pseudo_inputs.numpy()
        assert all(np.isclose(row, grey).all(axis=(1, 2, 3)).any() for row in pseudo)
    if len(latent_dim) == 1:
        assert model.posterior.log_scale_range == (-6.0, 2.0)
    model.train_on_batch(grey[:10])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"likelihood": "categorical", "binarization": "none"},
            "`binarization`. Expected one that makes examples of the likelihood 'categorical', as 'levels' does. "
            "Received: 'none', which makes fractions",
        ),
        ({"likelihood": "poisson", "binarization": "none"}, "`binarization`.*'poisson', as 'levels' does"),
        ({"likelihood": "bernoulli", "binarization": "levels"}, "`binarization`.*'bernoulli', as 'dynamic' does"),
        ({"likelihood": "poisson", "binarization": "none", "prior": "vamp"}, "`binarization`.*'poisson'"),
        *(
            ({"batch_size": 5000, "schedule": schedule}, "`batch_size`. Expected at most 1297, .* Received: 5000")
            for schedule in SCHEDULES
        ),
    ],
)
def test_what_cannot_be_trained_leaves_no_run(options, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        experiments.train(ExperimentConfig.of(**{**SMALL, **options}), tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_an_activation_that_is_no_name_is_told_as_it_came():
    with pytest.raises(ValueError, match=r"`activation`\. Expected the name of .* Received: <function relu"):
        ExperimentConfig.of(activation=keras.activations.relu)


def test_a_prior_beside_adversarial_training_is_refused():
    settings = dict(SMALL, posterior="adversarial", objective="elbo")
    with pytest.raises(ValueError, match=r"`prior`. Expected None with the posterior 'adversarial'"):
        experiments.build(ExperimentConfig.of(**settings, prior="mixture"))


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", ["discretized_logistic", "categorical"])
def test_levels_are_those_of_the_data_set_or_of_the_configuration(likelihood):
    config = ExperimentConfig.of(**SMALL, likelihood=likelihood)
    assert experiments.build(config).generative.likelihood.levels == 17
    coarse = experiments.build(config.replaced(levels=5))
    assert coarse.generative.likelihood.levels == 5
    # The decoder starts from the mean in the coarse levels, not in those of the data set.
    images = np.concatenate(list(data.load("digits", "test", 100, "levels", levels=5).as_numpy_iterator()))
    started = coarse.sample(500).mean.numpy().mean(axis=0)
    assert np.abs(started - images.mean(axis=0)).mean() < 0.2


@pytest.mark.slow
def test_what_is_missing_is_for_the_model_to_know(tmp_path):
    values = np.random.default_rng(0).normal(size=(100, 6)).astype(np.float32)
    values[::3, 2] = np.nan
    np.save(tmp_path / "table.npy", values)
    wanted = {"likelihood": "gaussian", "missing": "nan", "mask_input": True, "batch_size": 20}
    config = ExperimentConfig.of(**SMALL, **wanted)
    model = experiments.build(config.replaced(dataset=str(tmp_path / "table.npy")))
    assert (model.missing, model.get_config()["mask_input"]) == ("nan", True)
    batches = data.load(tmp_path / "table.npy", "train", 10, config.binarization)
    assert np.isfinite(model.evaluate(batches, verbose=0, return_dict=True)["bound"])


def test_the_estimator_is_the_models_to_choose():
    chosen = {"iwae": "dreg", "elbo": "reparameterized", "ae": "reparameterized"}
    for objective, estimator in chosen.items():
        samples = {"num_samples": None} if objective == "ae" else {}
        model = experiments.build(ExperimentConfig.of(**{**SMALL, **samples}, objective=objective))
        assert model.get_config()["estimator"] == estimator
    # It is that of all samples, in the first epochs too.
    experiments.build(ExperimentConfig.of(**SMALL, early_samples=1))
    with pytest.raises(ValueError, match=r"`estimator`. Expected 'reinforce' in its place"):
        experiments.build(ExperimentConfig.of(**SMALL, early_samples=1, posterior="bernoulli", estimator="vimco"))


# For each field values that are no such thing, or out of range.
WRONG = {
    "dataset": [3, None, "", np.zeros((3, 4))],
    "binarization": ["foo", 1, ["none"]],
    "batch_size": ["a", 0, 2.5, True, None],
    "likelihood": ["cauchy", None, 3],
    "levels": [-3, 1, "17", 4.0],
    "missing": ["zero", 0, True],
    "mask_input": ["no", 1, None],
    "posterior": ["cauchy", None, 3],
    "prior": ["gaussian", 3, ["vamp"]],
    "posterior_components": [0, "a", 2.5, True],
    "prior_components": [0, "a", 2.5, True],
    "network": ["cnn", None, 0],
    "latent_dim": ["a", 0, (), (3, 0), 2.5, None, True],
    "hidden": [200, "a", (), ((),), (200, 0), ((200,), (100,)), (True,), ((200, "a"),)],
    "activation": ["reluu", 3, ("tanh",)],
    "objective": ["iwea", None, 3],
    "num_samples": ["a", 0, 2.5, True, math.nan],
    "early_samples": ["a", 0, 50, 51, True],
    "num_groups": ["a", 0, 1.5],
    "beta": ["a", math.nan, math.inf, True],
    "alpha": ["a", math.nan, True],
    "estimator": ["dregs", None, 3, ["dreg"]],
    "backward_samples": ["a", 0, 1.5],
    "kl_warmup_steps": ["a", -1, None],
    "learning_rate": ["fast", 0, -1.0, math.nan, math.inf, True, None],
    "schedule": ["linear", None, 3],
    "beta_1": ["a", -0.1, 1.0, math.nan, None, True],
    "epsilon": ["a", 0.0, math.nan, None],
    "global_clipnorm": ["a", 0.0, -1.0, math.nan, math.inf, True],
    "ema": ["a", 0.0, 1.0, math.nan, True],
    "epochs": ["a", 0, 2.5, None],
    "start": ["", 3, True],
    "seed": ["a", -1, 2**31, 1.5, None, True],
}


def test_the_optimizer_has_what_the_configuration_says():
    optimizer = make_optimizer(ExperimentConfig.of(beta_1=0.5, epsilon=0.25, global_clipnorm=3.5, ema=0.75))
    found = optimizer.beta_1, optimizer.epsilon, optimizer.global_clipnorm, optimizer.ema_momentum, optimizer.use_ema
    assert found == (0.5, 0.25, 3.5, 0.75, True)
    assert make_optimizer(ExperimentConfig.of()).global_clipnorm is None


def test_every_field_is_checked():
    assert sorted(WRONG) == sorted(SECTION_OF)


@pytest.mark.parametrize("name", WRONG)
def test_a_value_that_a_field_cannot_have_is_refused_by_its_name(name):
    needed: dict[str, dict] = {"levels": {"likelihood": "categorical"}, "mask_input": {"missing": "nan"}}
    needed["prior_components"], needed["posterior_components"] = {"prior": "vamp"}, {"posterior": "mixture"}
    for value in WRONG[name]:
        with pytest.raises(ValueError, match=rf"^Invalid value received for `{name}`\. Expected .*Received: "):
            ExperimentConfig.of(**needed.get(name, {}), **{name: value})


def test_what_means_the_same_is_the_same():
    plain = ExperimentConfig.of(dataset="mine.npy", latent_dim=(3,), hidden=((8, 4),), num_samples=6, epsilon=1.0)
    numbers = {"latent_dim": np.int64(3), "hidden": [8, np.int32(4)], "num_samples": np.int64(6), "epsilon": 1}
    other = ExperimentConfig.of(dataset=Path("mine.npy"), **numbers)
    assert plain == other
    assert json.dumps(asdict(plain)) == json.dumps(asdict(other))
    several = ExperimentConfig.of(latent_dim=[3, 2], hidden=[[8], [4]])
    assert (several.model.latent_dim, several.model.hidden) == ((3, 2), ((8,), (4,)))
    with pytest.raises(ValueError, match=r"`data`\. Expected a DataConfig. Received: 'digits'"):
        ExperimentConfig(data="digits")


def test_defaults_stand_where_they_take_effect():
    """What is written of a run is complete, and null is what the network has not."""
    dense, conv = (ExperimentConfig.of(network=name).model for name in ("dense", "conv"))
    assert (dense.hidden, dense.activation) == (((200, 200),), "tanh")
    assert (conv.hidden, conv.activation) == (None, None)
    gated = ExperimentConfig.of(network="gated", prior="vamp").model
    assert (gated.hidden, gated.activation, gated.prior_components) == (((200, 200),), None, 500)
    two = ExperimentConfig.of(network="conv", latent_dim=(3, 2), hidden=(8,)).model
    assert (two.hidden, two.activation) == (((8,),), "tanh")
    adversarial = ExperimentConfig.of(network="conv", posterior="adversarial").model
    assert (adversarial.hidden, adversarial.activation) == (((200, 200),), "tanh")
    assert [ExperimentConfig.of(objective=name).objective.num_samples for name in ("iwae", "ae")] == [50, 1]


NO_EFFECT = {
    "hidden beside conv": ({"network": "conv", "hidden": ((200, 200),)}, "`hidden`. Expected none with the network"),
    "activation beside conv": (
        {"network": "conv", "activation": "tanh"},
        "`activation`. Expected none with the network",
    ),
    "activation beside gated": (
        {"network": "gated", "activation": "tanh"},
        "`activation`. Expected none with the network 'gated'",
    ),
    "components of a flow": ({"prior": "flow", "prior_components": 3}, "`prior_components`. Expected none but with"),
    "components of a flow for posterior": (
        {"posterior": "iaf", "posterior_components": 3},
        "`posterior_components`. Expected none but with the posterior 'mixture'",
    ),
    "hidden of the first layer beside conv": (
        {"network": "conv", "latent_dim": (3, 2), "hidden": ((8,), (4,))},
        "`hidden`. Expected the units of each layer",
    ),
    "samples of an autoencoder": ({"objective": "ae", "num_samples": 5}, "`num_samples`. Expected none, or 1"),
    "early samples of an autoencoder": (
        {"objective": "ae", "early_samples": 1},
        "`early_samples`. Expected fewer than",
    ),
    "early samples of one epoch": ({"early_samples": 5, "epochs": 1}, "`early_samples`. Expected none for 1 epoch"),
    "binarizing what is binary": (
        {"dataset": "binarized_mnist", "binarization": "threshold"},
        "`binarization`. Expected none for 'binarized_mnist'",
    ),
}


@pytest.mark.parametrize("name", NO_EFFECT)
def test_an_option_without_effect_is_refused(name):
    options, message = NO_EFFECT[name]
    with pytest.raises(ValueError, match=message):
        ExperimentConfig.of(**options)


def test_a_stored_binarization_of_what_is_binary_is_taken():
    config = ExperimentConfig.of(dataset="binarized_mnist")
    assert ExperimentConfig.from_dict(json.loads(json.dumps(asdict(config)))) == config


@pytest.mark.slow
def test_pixels_that_are_missing_train_by_default(tmp_path):
    pixels = (np.random.default_rng(0).random((40, 6)) < 0.4).astype(np.float32)
    pixels[::3, 2] = np.nan
    np.save(tmp_path / "pixels.npy", pixels)
    config = ExperimentConfig.of(**{**SMALL, "dataset": tmp_path / "pixels.npy"}, missing="nan", batch_size=10)
    assert config.binarization == "dynamic"
    model = experiments.build(config)
    batch = next(iter(data.load(tmp_path / "pixels.npy", "train", 10)))
    assert np.isnan(batch).any()
    assert np.isfinite(model.test_on_batch(batch, return_dict=True)["bound"])
    with pytest.raises(ValueError, match=r"`missing`\. Expected 'nan' for data with pixels that are NaN"):
        experiments.build(config.replaced(missing=None))


# Units, of how many networks, and what a configuration and a model take them for; None where both refuse them.
UNITS = [
    ((8, 4), 1, ((8, 4),)),
    (((8, 4),), 1, ((8, 4),)),
    ([[8], [np.int32(4)]], 2, ((8,), (4,))),
    (np.array([[8, 4], [3, 2]]), 2, ((8, 4), (3, 2))),
    (None, 1, ((200, 200),)),
    (None, 2, None),
    ((8, 4), 2, None),
    (((8,), (4,)), 1, None),
    (((8,), 4), 2, None),
    (((8,), ()), 2, None),
    (((8, (4,)),), 1, None),
    ((), 1, None),
    ("84", 1, None),
]


@pytest.mark.parametrize(("given", "networks", "taken"), UNITS)
def test_one_rule_says_which_units_a_network_has(given, networks, taken):
    latent_dim = (3, 2)[:networks]
    ways = (
        lambda: ExperimentConfig.of(latent_dim=latent_dim, hidden=given).model.hidden,
        lambda: settle_hidden(given, None, "gaussian", networks, None, None)[0],
    )
    for way in ways:
        if taken is None:
            with pytest.raises(ValueError, match=r"`hidden`\. Expected"):
                way()
        else:
            # A model of one network says it without the brackets around it.
            assert way() in (taken, taken[0])
