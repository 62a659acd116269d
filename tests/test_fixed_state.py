"""State that survives: frozen parts stay frozen, NumPy's numbers are numbers, and what is made stays as it was made."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_iwae import AVB, CIWAE, IWAE, MIWAE, PIWAE, Renyi, dense_decoder, dense_encoder
from keras_iwae.likelihoods import (
    LIKELIHOODS,
    BernoulliLikelihood,
    CategoricalLikelihood,
)
from keras_iwae.models.components import POSTERIORS
from keras_iwae.networks import EventEncoder, conv_decoder, conv_encoder
from keras_iwae.posteriors import GaussianPosterior, HierarchicalPosterior
from keras_iwae.priors import FlowPrior, StandardNormalPrior
from keras_iwae.training import FusedAdam, PaperSchedule

X = (np.random.default_rng(0).random((8, 6)) < 0.4).astype(np.float32)
SMALL = {"event_shape": (6,), "latent_dim": 2, "hidden": (8,), "num_samples": 4, "seed": 3}
# Without dense networks.
BARE = {name: value for name, value in SMALL.items() if name != "hidden"}


def dense(units=5):
    return keras.layers.Dense(units, "tanh")


def make(kind=IWAE, **options):
    model = kind(**{**SMALL, **options})
    compiled(model)
    return model


def compiled(model):
    model.compile(keras.optimizers.Adam(0.01), run_eagerly=True)


def saved_and_loaded(model, folder):
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras")


PARTS = {
    "generative": lambda model: model.generative,
    "posterior": lambda model: model.posterior,
    "decoder": lambda model: model.generative.decoder,
    "one layer": lambda model: model.posterior.encoder.layers[1],
    "head": lambda model: model.generative.likelihood.head,
}
MODELS = {
    "by name": make,
    "networks of a user's own": lambda: make(encoder=dense_encoder((5, 5)), decoder=dense_decoder((4,)), hidden=None),
    "a posterior of a user's own": lambda: make(posterior=GaussianPosterior(dense_encoder((5,)), 2)),
    "several layers": lambda: make(latent_dim=(2, 1), hidden=((8,), (3,))),
    "adversarial": lambda: make(AVB),
}


def trainable(model):
    ours = {id(variable) for variable in model.trainable_variables}
    return [id(weight) in ours for weight in model.weights]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "part"),
    [*(("by name", part) for part in PARTS), *((name, "decoder") for name in MODELS if name != "by name")],
)
def test_a_frozen_part_stays_frozen_and_training_goes_on(name, part, tmp_path):
    model, free = MODELS[name](), MODELS[name]()
    frozen = PARTS[part](model)
    frozen.trainable = False
    compiled(model)
    kept = frozen.get_weights()
    assert kept
    model.train_on_batch(X)
    assert sum(trainable(model)) == sum(trainable(free)) - len(kept)
    loaded = saved_and_loaded(model, tmp_path)
    for copy in (loaded, keras.models.clone_model(model), type(model).from_config(model.get_config())):
        assert trainable(copy) == trainable(model)
    assert int(loaded.optimizer.iterations) == 1
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
    for each in (model, loaded):
        each.train_on_batch(X)
    for one, other in zip(
        (*loaded.weights, *loaded.optimizer.variables), (*model.weights, *model.optimizer.variables), strict=True
    ):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)
    for now, before in zip(PARTS[part](loaded).get_weights(), kept, strict=True):
        np.testing.assert_array_equal(now, before)
    # Control: training would have moved it.
    free.train_on_batch(X)
    assert any(np.any(now != before) for now, before in zip(PARTS[part](free).get_weights(), kept, strict=True))


MADE_FROZEN = {
    "posterior": lambda: {"posterior": GaussianPosterior(dense(), 2, trainable=False)},
    "decoder": lambda: {"decoder": keras.Sequential([dense(), dense(4)], trainable=False)},
    "likelihood": lambda: {"likelihood": BernoulliLikelihood(trainable=False)},
    "prior": lambda: {"prior": FlowPrior(2, num_layers=2, hidden=(3,), trainable=False)},
}


@pytest.mark.parametrize("name", MADE_FROZEN)
def test_a_part_that_is_made_frozen_is_frozen_to_its_last_layer(name):
    model = make(**MADE_FROZEN[name]())
    part = model.posterior if name == "posterior" else getattr(model.generative, name)
    assert part.weights
    assert not any(weight.trainable for weight in part.weights)
    assert model.trainable_variables
    assert trainable(type(model).from_config(model.get_config())) == trainable(model)
    if name == "posterior":
        kept = part.get_weights()
        model.train_on_batch(X)
        for now, before in zip(part.get_weights(), kept, strict=True):
            np.testing.assert_array_equal(now, before)


def test_a_layer_that_was_thawed_in_a_frozen_network_is_trained():
    encoder = keras.Sequential([dense(), dense(4)])
    encoder.build((None, 6))
    encoder.trainable = False
    encoder.layers[-1].trainable = True
    model = make(encoder=encoder)
    assert len([weight for weight in encoder.weights if any(weight is each for each in model.trainable_weights)]) == 2


def test_a_part_that_was_made_frozen_and_is_trained_since_stays_so(tmp_path):
    model = make(**MADE_FROZEN["posterior"]())
    model.posterior.trainable = True
    model.compile("sgd")
    assert trainable(type(model).from_config(model.get_config())) == trainable(model)
    model.save(tmp_path / "model.keras")
    assert trainable(keras.saving.load_model(tmp_path / "model.keras")) == trainable(model)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [IWAE, AVB])
def test_where_all_is_frozen_there_is_nothing_to_train(kind):
    model = make(kind)
    model.trainable = False
    compiled(model)
    for method in (model.fit, model.train_on_batch):
        with pytest.raises(ValueError, match=r"`trainable`\. Expected True .* there is nothing to train\. Received: "):
            method(X)
    assert np.isfinite(model.evaluate(X, verbose=0)[0])


def test_what_is_thawed_again_trains(tmp_path):
    model = make()
    model.generative.trainable = False
    loaded = saved_and_loaded(model, tmp_path)
    loaded.generative.trainable = True
    assert trainable(loaded) == trainable(make())
    assert "trainable_layers" not in make().get_config()


# What each is called with beside what it must have: every number that it takes.
OF_POSTERIORS = {
    **{name: {} for name in ("gaussian", "full_covariance", "bernoulli")},
    "planar": {"num_steps": 2},
    "radial": {"num_steps": 2},
    "iaf": {"num_steps": 2, "hidden": (4,)},
    "maf": {"num_steps": 2, "hidden": (4,)},
    "autoregressive": {"hidden": (4,)},
    "mixture": {"num_components": 3},
    "auxiliary": {"auxiliary_dim": 1, "units": 5},
    "semi_amortized": {"num_steps": 2, "step_size": 0.4, "num_draws": 2},
    "adversarial": {"noise_dim": 1, "units": 5},
}
OF_LIKELIHOODS = {
    **{name: {} for name in ("bernoulli", "continuous_bernoulli")},
    "categorical": {"levels": 3},
    "discretized_logistic": {"levels": 4, "min_scale": 0.01},
    "gaussian": {"min_scale": 0.02},
    "negative_binomial": {"min_dispersion": 0.02, "max_log_mean": 5.0},
    "poisson": {"max_log_mean": 4.0},
    "student_t": {"df": 4.0, "scale": 0.5},
}


def with_posterior(name, numbers):
    model = AVB if name == "adversarial" else IWAE
    estimator = {"estimator": "vimco"} if name == "bernoulli" else {}
    family = POSTERIORS[name](dense(), **numbers({"latent_dim": 2, "seed": 1, **OF_POSTERIORS[name]}))
    return model(**numbers(SMALL), **estimator, posterior=family)


def with_likelihood(name, numbers):
    return IWAE(**numbers(SMALL), likelihood=LIKELIHOODS[name](**numbers({"seed": 2, **OF_LIKELIHOODS[name]})))


# Models by what they are told in numbers; `numbers` turns those of a dictionary into NumPy's.
NUMBERS = {
    "IWAE": lambda n: IWAE(**n({**SMALL, "backward_samples": 2, "kl_warmup_steps": 3}), estimator="dreg"),
    "IWAE, a flat event": lambda n: IWAE(**n({**SMALL, "event_shape": 6})),
    "IWAE, two layers": lambda n: IWAE(**n({**SMALL, "latent_dim": (2, 1), "hidden": ((4,), (3,))})),
    "IWAE, arrays": lambda n: IWAE(np.array([2, 3]), np.array([2, 1]), [np.array([8]), np.array([3])]),
    "AVB": lambda n: AVB(**n(SMALL)),
    "MIWAE": lambda n: IWAE(**n(SMALL), objective=MIWAE(**n({"num_groups": 2}))),
    "PIWAE": lambda n: IWAE(**n(SMALL), objective=PIWAE(**n({"num_groups": 2}))),
    "CIWAE": lambda n: IWAE(**n(SMALL), objective=CIWAE(**n({"beta": 0.3}))),
    "CIWAE, learned": lambda n: IWAE(**n(SMALL), objective=CIWAE(**n({"beta": 0.3}), learned=True)),
    "Renyi": lambda n: IWAE(**n(SMALL), objective=Renyi(**n({"alpha": 0.3}))),
    "hierarchical": lambda n: IWAE(
        **n({**SMALL, "latent_dim": (2, 1)}),
        posterior=HierarchicalPosterior(dense(), **n({"latent_dims": (2, 1), "hidden": ((3,),), "seed": 2})),
    ),
    "EventEncoder": lambda n: IWAE(
        **n(SMALL),
        likelihood=CategoricalLikelihood(3),
        posterior=GaussianPosterior(EventEncoder(dense(), "one_hot", **n({"levels": 3})), 2),
    ),
    "dense networks": lambda n: IWAE(
        **n(BARE),
        encoder=dense_encoder(**n({"hidden": (5,), "seed": 1})),
        decoder=dense_decoder(**n({"hidden": (5,), "seed": 1})),
    ),
    "convolutional networks": lambda n: IWAE(
        **n({**BARE, "event_shape": (2, 3, 1)}),
        encoder=conv_encoder(**n({"filters": (2,), "units": 5, "seed": 1})),
        decoder=conv_decoder(**n({"event_shape": (2, 3, 1), "filters": (2,), "units": 5, "seed": 1, "parameters": 1})),
    ),
    **{f"posterior, {name}": lambda n, name=name: with_posterior(name, n) for name in OF_POSTERIORS},
    **{f"likelihood, {name}": lambda n, name=name: with_likelihood(name, n) for name in OF_LIKELIHOODS},
}


def as_numpy(settings):
    """Of those types that are no kind of Python's: float64 is a float."""

    def turn(value):
        if isinstance(value, tuple):
            return tuple(map(turn, value))
        return (np.float32 if isinstance(value, float) else np.int32)(value)

    return {name: turn(value) for name, value in settings.items()}


def test_every_family_has_its_line_in_the_tables():
    assert sorted(OF_POSTERIORS) == sorted(POSTERIORS)
    assert sorted(OF_LIKELIHOODS) == sorted(LIKELIHOODS)


@pytest.mark.slow
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_of_numpy_are_numbers(name, tmp_path):
    model, plain = NUMBERS[name](as_numpy), NUMBERS[name](dict)
    assert "np." not in str(model.get_config())
    compiled(model)
    loaded = saved_and_loaded(model, tmp_path)
    for weight, other, expected in zip(model.weights, loaded.weights, plain.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), other.numpy(), err_msg=weight.path)
        # Where they have no seed of their own.
        if not name.startswith(("posterior", "hier", "Event")):
            np.testing.assert_allclose(weight.numpy(), expected.numpy(), err_msg=weight.path)
    assert np.isfinite(loaded.train_on_batch(X.reshape(8, *loaded.event_shape), return_dict=True)["loss"])


# A constructor, what it is given beside an argument of another name, and the name that was meant.
MISSPELT = {
    "what another model has": (AVB, (6,), "missingness", "missing"),
    **{f"IWAE, {wrong}": (IWAE, (6,), wrong, meant) for wrong, meant in [("latent_dims", "latent_dim"), ("k", None)]},
    "IWAE, of Keras": (IWAE, (6,), "types", "dtype"),
    "AVB": (AVB, (6,), "num_sample", "num_samples"),
    **{
        f"likelihood, {name}": (LIKELIHOODS[name], (), "sed", "seed")
        for name in sorted({*LIKELIHOODS} - {"categorical"})
    },
    "likelihood, categorical": (CategoricalLikelihood, (3,), "level", "levels"),
    **{f"posterior, {name}": (POSTERIORS[name], (dense, 2), "seeds", "seed") for name in POSTERIORS},
    "posterior, hierarchical": (HierarchicalPosterior, (dense, (2, 1), ((3,),)), "activations", "activation"),
    "prior": (StandardNormalPrior, (2,), "names", "name"),
    "EventEncoder": (EventEncoder, (dense,), "level", "levels"),
}


@pytest.mark.parametrize("name", MISSPELT)
def test_an_argument_that_there_is_not_is_named_with_the_one_that_is_meant(name):
    kind, given, wrong, meant = MISSPELT[name]
    given = [each() if each is dense else each for each in given]
    said = f"no such argument of {kind.__name__}; the closest is `{meant}`" if meant else "one of .*num_samples"
    with pytest.raises(ValueError, match=rf"`{wrong}`\. Expected {said}.*\. Received: {wrong}=1$"):
        kind(*given, **{wrong: 1})


def test_what_an_own_class_takes_out_of_its_arguments_is_its_own():
    class Own(GaussianPosterior):
        def __init__(self, *args, **kwargs):
            self.colour = kwargs.pop("colour")
            super().__init__(*args, **kwargs)

    assert Own(dense(), 2, colour="red", name="own").colour == "red"
    with pytest.raises(ValueError, match=r"`size`\. Expected one of .*latent_dim"):
        Own(dense(), 2, colour="red", size=3)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [(np.float32(0.01),), (PaperSchedule(5, 0.01), np.float32(0.8))])
def test_an_optimizer_of_numpy_s_numbers_is_saved(settings, tmp_path):
    model = make()
    model.compile(FusedAdam(*settings, epsilon=np.float32(1e-3)))
    loaded = saved_and_loaded(model, tmp_path).optimizer
    assert loaded.get_config() == model.optimizer.get_config()
    assert loaded.epsilon == pytest.approx(1e-3)


def test_a_schedule_of_numpy_s_numbers_is_saved(tmp_path):
    model = make()
    model.compile(keras.optimizers.Adam(PaperSchedule(np.int64(5), np.float32(0.01))))
    assert saved_and_loaded(model, tmp_path).optimizer.get_config()["learning_rate"]["config"]["steps_per_pass"] == 5


def parts_of(model):
    """The model and all that it is made of that is this package's."""
    return [layer for layer in model._flatten_layers() if type(layer).__module__.startswith("keras_iwae.")]


def arguments_of(layer):
    makers = [vars(base).get("__init__") for base in type(layer).__mro__ if base.__module__.startswith("keras_iwae.")]
    names = {name for maker in makers if maker for name in inspect.signature(maker).parameters}
    return names - {"self", "kwargs"}


@pytest.mark.slow
@pytest.mark.parametrize("name", NUMBERS)
def test_an_argument_of_the_constructor_cannot_be_set_anew(name):
    model = NUMBERS[name](dict)
    assert len(parts_of(model)) >= 4
    for layer in parts_of(model):
        for argument in arguments_of(layer):
            with pytest.raises(AttributeError, match=rf"Invalid assignment to `{argument}`\. .*Make another one"):
                setattr(layer, argument, getattr(layer, argument, None))
            with pytest.raises(AttributeError, match=rf"Invalid assignment to `{argument}`\. .*Make another one"):
                delattr(layer, argument)
    for part in ("generative", "rng", *(["discriminator"] if isinstance(model, AVB) else [])):
        with pytest.raises(AttributeError, match=rf"`{part}`"):
            setattr(model, part, getattr(model, part))
    with pytest.raises(AttributeError, match=r"Invalid assignment to `door`\. Expected none: .* works it out"):
        model.door = 5
    objective = getattr(model, "objective", None)
    for argument in [] if objective is None else inspect.signature(type(objective)).parameters:
        with pytest.raises(AttributeError, match=argument):
            setattr(objective, argument, 1)


# Keras' own, which take effect, are of Keras' machinery, or say nothing that a step asks.
KERAS_OWN = {
    *("name", "trainable", "built", "input_spec", "supports_jit", "supports_masking", "call_signature_parameters"),
    *("compiled", "run_eagerly", "stop_training", "train_function", "test_function", "predict_function"),
}


def public(layer):
    """Attributes that hold something and are no methods."""
    for name in dir(layer):
        # A prior that is no TFP distribution says so there.
        value = None if name.startswith("_") or name == "distribution" else getattr(layer, name, None)
        if value is not None and (isinstance(value, keras.Layer) or not callable(value)):
            yield name


@pytest.mark.slow
@pytest.mark.parametrize("name", NUMBERS)
def test_no_public_attribute_can_be_set_and_ignored(name):
    model = NUMBERS[name](dict)
    compiled(model)
    for layer in parts_of(model):
        for attribute in {*public(layer), "loss" if layer is model else "dtype"} - KERAS_OWN:
            with pytest.raises((AttributeError, ValueError, TypeError)):
                setattr(layer, attribute, object())
            with pytest.raises((AttributeError, ValueError, TypeError)):
                delattr(layer, attribute)


@pytest.mark.slow
@pytest.mark.parametrize("name", NUMBERS)
def test_no_method_can_be_set_on_an_object(name):
    model = NUMBERS[name](dict)
    for layer in parts_of(model):
        methods = {name for name in dir(type(layer)) if inspect.isroutine(getattr(type(layer), name))}
        # Under the name of one Keras keeps what `compile` is given.
        for method in {"__call__", *(name for name in methods if not name.startswith("_"))} - {"loss"}:
            with pytest.raises(AttributeError, match=rf"`{method}`\. Expected none: .*Make (a subclass|another)"):
                setattr(layer, method, lambda *_: None)


@pytest.mark.slow
def test_a_change_of_what_is_trainable_takes_effect_at_compile():
    for run_eagerly in (True, False):
        model = make()
        model.compile("sgd", run_eagerly=run_eagerly)
        model.train_on_batch(X)
        model.generative.trainable = False
        for step in (model.train_on_batch, model.fit):
            with pytest.raises(ValueError, match=r"`trainable`\. Expected no change since `compile`"):
                step(X)
        kept = model.generative.get_weights()
        model.compile("sgd", run_eagerly=True)
        model.train_on_batch(X)
        model.generative.trainable = True
        model.compile(model.optimizer, run_eagerly=True)
        with pytest.raises(ValueError, match=r"`trainable`.*a new optimizer"):
            model.train_on_batch(X)
        for one, other in zip(model.generative.get_weights(), kept, strict=True):
            np.testing.assert_array_equal(one, other)


@keras.saving.register_keras_serializable("test_fixed_state")
class Tempered(IWAE):
    """A user's own class, with an argument that it keeps when the model is made."""

    def __init__(self, *arguments, temperature=1.0, **options):
        super().__init__(*arguments, **options)
        self.temperature = temperature

    def get_config(self):
        return {**super().get_config(), "temperature": self.temperature}


def test_a_class_of_a_users_own_may_have_arguments_of_its_own(tmp_path):
    model = Tempered(**SMALL, temperature=np.float32(0.5))
    model.note = model.note_again = "what is no argument is the user's"
    assert saved_and_loaded(model, tmp_path).temperature == 0.5
    for argument in ("temperature", "num_samples"):
        with pytest.raises(AttributeError, match=f"`{argument}`"):
            setattr(model, argument, 2)


def test_export_names_what_there_is_in_its_place(tmp_path):
    for model in (make(), make(AVB)):
        with pytest.raises(ValueError, match=r"Expected keras_iwae\.export_saved_model\(model, path\)"):
            model.export(tmp_path / "exported")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_file_of_weights_goes_round(name, tmp_path):
    model, other = MODELS[name](), MODELS[name]()
    model.train_on_batch(X)
    model.save_weights(tmp_path / "model.weights.h5")
    with pytest.warns(UserWarning, match="Skipping variable loading for optimizer"):
        other.load_weights(tmp_path / "model.weights.h5")
    for one, two in zip(other.weights, model.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy(), err_msg=one.path)
    # Of an optimizer that has no state yet Keras loads none; one that has, of Adam's kind, goes on.
    assert int(other.optimizer.iterations) == 0
    other.compile(FusedAdam(0.01), run_eagerly=True)
    other.train_on_batch(X)
    other.train_on_batch(X)
    other.load_weights(tmp_path / "model.weights.h5")
    state, wanted = ([np.asarray(one) for one in each.optimizer.variables] for each in (other, model))
    assert int(other.optimizer.iterations) == 1
    for one, two in zip(state[2:], wanted[2:], strict=True):
        np.testing.assert_array_equal(one, two)


CHECKPOINTED = [{"posterior": name} for name in POSTERIORS if name not in ("adversarial", "bernoulli")]
CHECKPOINTED += [{"prior": name} for name in ("mixture", "vamp", "flow")]
CHECKPOINTED += [{"latent_dim": (3, 2), "hidden": ((5,), (4,)), "prior": prior} for prior in (None, "flow")]


@pytest.mark.slow
@pytest.mark.parametrize("settings", CHECKPOINTED, ids=str)
def test_tensorflows_checkpoints_hold_every_weight(settings, tmp_path):
    """Of layers in a list of Keras' they hold none, and `assert_existing_objects_matched` finds nothing wrong."""
    first, second = (
        IWAE(6, **{"latent_dim": 2, "hidden": (5,), "num_samples": 3, **settings}, seed=seed) for seed in (1, 2)
    )
    for weight in first.weights:
        # Some start at zero in both.
        weight.assign(weight + 1)
    path = tf.train.Checkpoint(model=first).save(tmp_path / "checkpoint")
    tf.train.Checkpoint(model=second).restore(path).assert_existing_objects_matched()
    for one, other in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)
