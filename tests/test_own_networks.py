"""Networks of a user's own, in every place that takes one: a Keras layer or model with one output trains."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from keras_iwae import AVB, IWAE
from keras_iwae.likelihoods import CategoricalLikelihood, GaussianLikelihood, MixedLikelihood, PoissonLikelihood
from keras_iwae.models import GenerativeModel
from keras_iwae.models.components import POSTERIORS
from keras_iwae.models.output_bias import start_from
from keras_iwae.networks import EventEncoder, output_shape
from keras_iwae.posteriors import GaussianPosterior, HierarchicalPosterior
from keras_iwae.priors import StandardNormalPrior

X = (np.random.default_rng(0).random((8, 6)) < 0.4).astype(np.float32)


class OwnLayer(keras.Layer):
    """Subclassed, built where it is called first, without `compute_output_shape`."""

    def __init__(self, units=8, activation="tanh"):
        super().__init__()
        self.dense = keras.layers.Dense(units, activation)

    def call(self, x):
        return tf.identity(self.dense(x))


class OwnModel(keras.Model):
    """Subclassed, with an argument that no `get_config` tells of."""

    def __init__(self, dense=None):
        super().__init__()
        self.dense = dense or keras.layers.Dense(8, "tanh")

    def call(self, x, training=False):
        return self.dense(x)


class TwoOutputs(keras.Layer):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(8)

    def call(self, x):
        return self.dense(x), self.dense(-x)


def functional(inputs, *layers):
    given = tensor = keras.Input((inputs,))
    for layer in layers:
        tensor = layer(tensor)
    return keras.Model(given, tensor)


def of_two_inputs(inputs):
    given = [keras.Input((inputs,)), keras.Input((inputs,))]
    return keras.Model(given, keras.layers.Add()(given))


def normalized():
    return keras.Sequential(
        [keras.layers.Dense(8), keras.layers.BatchNormalization(), keras.layers.Dropout(0.3), keras.layers.Dense(7)]
    )


def of_rank_3():
    return keras.Sequential([keras.layers.Dense(6), keras.layers.Reshape((2, 3))])


# Each is called with the size of what goes in.
GOOD = {
    "Dense": lambda inputs: keras.layers.Dense(8),
    "Sequential": lambda inputs: keras.Sequential([keras.layers.Dense(8, "relu"), keras.layers.Dense(5)]),
    "Functional": lambda inputs: functional(inputs, keras.layers.Dense(8, "tanh")),
    "Layer": lambda inputs: OwnLayer(),
    "Model": lambda inputs: OwnModel(),
    "normalized": lambda inputs: normalized(),
}
BAD = {
    "lambda": (lambda inputs: lambda x: x, "a Keras 3 layer or model"),
    "class": (lambda inputs: OwnLayer, "a Keras 3 layer or model"),
    "name": (lambda inputs: "dense", "a Keras 3 layer or model"),
    "tf_keras": (lambda inputs: tf_keras.Sequential([tf_keras.layers.Dense(8)]), "tf_keras"),
    "two outputs": (lambda inputs: TwoOutputs(), "one output"),
    "two outputs, functional": (
        lambda inputs: keras.Model(given := keras.Input((inputs,)), [given, keras.layers.Dense(2)(given)]),
        "one output",
    ),
    "two inputs": (of_two_inputs, "that takes [B, "),
    "other inputs": (lambda inputs: functional(inputs + 1, keras.layers.Dense(8)), "that takes [B, "),
    "NumPy": (lambda inputs: keras.layers.Lambda(lambda x: np.asarray(x)), "that takes [B, "),
    "no features": (lambda inputs: keras.layers.Lambda(lambda x: x[:, :0]), "at least one feature"),
    "integers": (lambda inputs: keras.layers.Lambda(lambda x: tf.cast(x, tf.int32)), "gives floats"),
    "a sum": (lambda inputs: keras.layers.Lambda(keras.ops.sum), "[B, F], a row for each"),
    "a sum of the batch": (
        lambda inputs: keras.layers.Lambda(lambda x: keras.ops.sum(x, 0, keepdims=True)),
        "[B, F], a row for each",
    ),
    "other rows": (lambda inputs: keras.layers.Lambda(lambda x: keras.ops.reshape(x, (-1, 1))), "[B, F], a row for "),
}


def make(kind, **options):
    return kind(6, **{"latent_dim": 2, "hidden": (8,), "num_samples": 3, "seed": 3, **options})


def of_posterior(name):
    def place(network):
        if name == "adversarial":
            return make(AVB, posterior=POSTERIORS[name](network, 2))
        estimator = "vimco" if name == "bernoulli" else "auto"
        return make(IWAE, posterior=POSTERIORS[name](network, 2), estimator=estimator)

    return place


OF_POSTERIORS = {
    **{f"posterior, {name}": of_posterior(name) for name in POSTERIORS},
    "posterior, hierarchical": lambda network: make(
        IWAE, posterior=HierarchicalPosterior(network, (2, 1), ((4,),)), latent_dim=(2, 1)
    ),
}
# Where a network goes: its argument, the size of its inputs, and a model with it there.
PLACES = {
    "IWAE, encoder": ("encoder", 6, lambda network: make(IWAE, encoder=network)),
    "IWAE, decoder": ("decoder", 2, lambda network: make(IWAE, decoder=network)),
    "AVB, encoder": ("encoder", 6, lambda network: make(AVB, encoder=network)),
    "AVB, decoder": ("decoder", 2, lambda network: make(AVB, decoder=network)),
    "EventEncoder": ("encoder", 6, lambda network: make(IWAE, posterior=GaussianPosterior(EventEncoder(network), 2))),
    **{name: ("encoder", 6, place) for name, place in OF_POSTERIORS.items()},
}


def step(model):
    # Eagerly: to trace a graph would take most of the time.
    model.compile(keras.optimizers.SGD(0.5), run_eagerly=True)
    return model.train_on_batch(X, return_dict=True)


def check_trains(place, network):
    model = place(network)
    before = [variable.numpy() for variable in network.trainable_variables]
    ours = {id(variable) for variable in model.trainable_variables}
    assert np.isfinite(step(model)["loss"])
    assert before
    for variable, value in zip(network.trainable_variables, before, strict=True):
        assert id(variable) in ours
        # What is normalized next has no use for a bias.
        assert np.any(variable.numpy() != value) or "bias" in variable.path


@pytest.mark.slow
@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("place", [name for name in PLACES if name not in OF_POSTERIORS])
def test_a_layer_or_model_of_any_kind_trains(place, name):
    _, inputs, model_with = PLACES[place]
    check_trains(model_with, GOOD[name](inputs))


@pytest.mark.slow
@pytest.mark.parametrize("place", OF_POSTERIORS)
def test_each_family_takes_a_subclassed_model(place):
    check_trains(OF_POSTERIORS[place], OwnModel())


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_such_network_is_named_in_one_line(place, name):
    argument, inputs, model_with = PLACES[place]
    network, message = BAD[name]
    with pytest.raises(ValueError, match="Expected") as error:
        model_with(network(inputs))
    text = str(error.value)
    assert text.startswith(f"Invalid value received for `{argument}`. Expected ")
    assert message in text
    assert ". Received: " in text
    assert text.count("Invalid value received") == 1
    assert not {"\n", "\x1b"} & set(text)


MIXING = {
    "ranks": lambda x: x + keras.ops.cast(keras.ops.argsort(x, axis=0), x.dtype),
    "attention": lambda x: keras.ops.softmax(x @ keras.ops.transpose(x)) @ x,
    "the next row": lambda x: keras.ops.roll(x, 1, axis=0) + 0.01 * x,
    "a little of the mean": lambda x: x + 0.1 * keras.ops.mean(x, axis=0),
    "the batch's own moments": lambda x: (x - keras.ops.mean(x, 0)) / (1e-3 + keras.ops.std(x, 0)),
}
APART = {
    "moments that were learned": keras.layers.BatchNormalization,
    "moments of the row": keras.layers.LayerNormalization,
    "noise of training": lambda: keras.layers.GaussianNoise(1.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*MIXING, *APART])
def test_rows_of_a_batch_are_kept_apart(name):
    if name in APART:
        assert output_shape(APART[name](), (None, 6), "encoder") == (None, 6)
        return
    with pytest.raises(ValueError, match=r"`encoder`\. Expected features of each row by itself\. Received: lambda"):
        output_shape(keras.layers.Lambda(MIXING[name]), (None, 6), "encoder")


@pytest.mark.slow
@pytest.mark.parametrize("place", ["IWAE, encoder", "IWAE, decoder", "AVB, decoder", "EventEncoder"])
def test_networks_that_mix_rows_are_refused_in_every_place(place):
    argument, inputs, model_with = PLACES[place]
    mixing = functional(inputs, keras.layers.Dense(8), keras.layers.Lambda(lambda x: x - keras.ops.mean(x, 0)))
    with pytest.raises(ValueError, match=rf"`{argument}`\. Expected features of each row by itself"):
        model_with(mixing)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["IWAE, encoder", "AVB, encoder", "EventEncoder"])
def test_features_of_more_axes_are_flattened(place):
    check_trains(PLACES[place][2], of_rank_3())


@pytest.mark.parametrize("place", [*OF_POSTERIORS, "IWAE, decoder", "AVB, decoder"])
def test_features_that_nobody_flattens_are_refused(place):
    argument, _, model_with = PLACES[place]
    with pytest.raises(ValueError, match=f"`{argument}`. Expected features .*2, 3") as error:
        model_with(of_rank_3())
    assert "\n" not in str(error.value)


class Penalized(OwnLayer):
    """Adds a loss of what goes through it."""

    def call(self, x):
        given = super().call(x)
        self.add_loss(tf.reduce_sum(given**2))
        return given


REGULARIZED = {
    "Dense": lambda: keras.layers.Dense(8, activity_regularizer="l2"),
    "within": lambda: keras.Sequential([keras.layers.Dense(8), keras.layers.ActivityRegularization(l2=0.1)]),
}


@pytest.mark.parametrize("name", REGULARIZED)
@pytest.mark.parametrize("place", ["IWAE, encoder", "IWAE, decoder", "AVB, encoder", "AVB, decoder", "EventEncoder"])
def test_penalties_of_activations_are_refused(place, name):
    """Counted in the loss they would be, and never climbed down."""
    argument, _, model_with = PLACES[place]
    with pytest.raises(ValueError, match=rf"`{argument}`\. Expected no penalties of act.*kernel_regularizer\. R"):
        model_with(REGULARIZED[name]())


@pytest.mark.slow
@pytest.mark.parametrize("place", ["IWAE, encoder", "IWAE, decoder", "AVB, encoder", "AVB, decoder"])
def test_losses_that_a_network_adds_are_refused_before_a_step(place):
    argument, _, model_with = PLACES[place]
    network = Penalized()
    model = model_with(network)
    before = network.dense.kernel.numpy()
    for method in (step, lambda model: model.test_on_batch(X)):
        with pytest.raises(ValueError, match=rf"`{argument}`\. Expected no penalties of activations.*add_loss"):
            method(model)
    np.testing.assert_array_equal(network.dense.kernel.numpy(), before)


SHARING = {
    "reparameterized": (IWAE, {"estimator": "reparameterized"}),
    "dreg": (IWAE, {"estimator": "dreg"}),
    "ae": (IWAE, {"objective": "ae", "num_samples": None}),
    "semi_amortized": (IWAE, {"posterior": "semi_amortized", "estimator": "reparameterized"}),
    "adversarial": (AVB, {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARING)
def test_a_layer_in_encoder_and_decoder_gets_the_gradients_of_both(name):
    """As two layers that start alike, whose gradients are added up."""
    kind, options = SHARING[name]

    def moved(both):
        layers = [keras.layers.Dense(6, "tanh", kernel_initializer=keras.initializers.GlorotNormal(1)) for _ in "ab"]
        last = keras.layers.Dense(7, kernel_initializer=keras.initializers.GlorotNormal(2))
        decoder = keras.Sequential([layers[0] if both else layers[1], last])
        beside = {"hidden": (8,) if kind is AVB else None}
        model = make(kind, latent_dim=6, encoder=layers[0], decoder=decoder, **beside, **options)
        before = layers[0].kernel.numpy()
        step(model)
        return [layer.kernel.numpy() - before for layer in (layers[:1] if both else layers)]

    (found,), (encoder, decoder) = moved(True), moved(False)
    np.testing.assert_allclose(found, encoder + decoder, rtol=1e-4, atol=1e-6)
    # Control: either alone would show.
    assert min(np.abs(encoder).max(), np.abs(decoder).max()) > 1e-4


@pytest.mark.slow
def test_a_decoder_gives_features_or_logits():
    """Of the shape of an event it is taken for logits, and else a head is put on it."""
    for decoder, has_head in ((keras.layers.Dense(6), False), (keras.layers.Dense(7, "sigmoid"), True)):
        model = make(IWAE, decoder=decoder)
        head = model.generative.likelihood.head
        assert (head is not None) == has_head
        z = tf.constant(np.random.default_rng(1).normal(size=(3, 8, 2)).astype(np.float32))
        given = decoder(z).numpy()
        logits = (given if head is None else given @ head.kernel.numpy() + head.bias.numpy()).astype(np.float64)
        expected = (X * logits - np.logaddexp(0.0, logits)).sum(axis=-1)
        np.testing.assert_allclose(model.generative.log_likelihood(X, z), expected, rtol=1e-5)
        check_trains(lambda network: make(IWAE, decoder=network), decoder)


SQUASHED = {
    "Dense": lambda size: keras.layers.Dense(size, "sigmoid"),
    "Sequential": lambda size: keras.Sequential([keras.layers.Dense(5), keras.layers.Dense(size, "sigmoid")]),
    "Activation": lambda size: keras.Sequential([keras.layers.Dense(size), keras.layers.Activation("sigmoid")]),
    "Functional": lambda size: functional(2, keras.layers.Dense(size, "sigmoid")),
    "Layer": lambda size: OwnLayer(size, "sigmoid"),
    "Model": lambda size: OwnModel(keras.layers.Dense(size, "sigmoid")),
    "softmax": lambda size: keras.layers.Dense(size, "softmax"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SQUASHED)
def test_a_decoder_that_squashes_logits_is_refused(name):
    """With logits in [0, 1] every pixel is at least as probable as not, and training says nothing of it."""
    for kind in (IWAE, AVB):
        with pytest.raises(ValueError, match=r"`decoder`. Expected parameters of Bern.*leave out its last activation"):
            make(kind, decoder=SQUASHED[name](6))
    # As features it may.
    make(IWAE, decoder=SQUASHED[name](7))


def by_columns(*activations):
    """A decoder of parameters that gives each of these, one number each, its own last activation."""
    latents = keras.Input((2,))
    return keras.Model(
        latents, keras.layers.Concatenate()([keras.layers.Dense(1, each)(latents) for each in activations])
    )


COLUMNS = {
    "locations": (["gaussian", "gaussian"], ("tanh", "tanh")),
    "a location beside its scale": ([GaussianLikelihood("example"), "bernoulli"], ("tanh", None, None)),
    "a location beside a logit": (["gaussian", "bernoulli"], ("sigmoid", None)),
    "levels that are normalized": (["bernoulli", CategoricalLikelihood(2)], (None, "log_sigmoid", "log_sigmoid")),
}
SQUASHED_COLUMNS = {
    "a logit": (["gaussian", "bernoulli"], (None, "sigmoid"), "Bernoulli"),
    "a logit beside a location that may be": (["gaussian", "bernoulli"], ("tanh", "tanh"), "Bernoulli"),
    "one logit of two": (["bernoulli", "bernoulli"], (None, "sigmoid"), "Bernoulli"),
    "a scale": ([GaussianLikelihood("example"), "bernoulli"], (None, "softplus", None), "Gaussian"),
    "a logit beside levels": (["bernoulli", CategoricalLikelihood(2)], ("log_sigmoid", None, None), "Bernoulli"),
}


@pytest.mark.parametrize("case", [*COLUMNS, *SQUASHED_COLUMNS])
def test_what_may_be_squashed_goes_by_the_family_of_each_column(case):
    columns, activations, *family = {**COLUMNS, **SQUASHED_COLUMNS}[case]
    settings = {"likelihood": MixedLikelihood(columns), "decoder": by_columns(*activations)}
    if not family:
        assert IWAE(2, 2, (8,), **settings).generative.likelihood.head is None
        return
    with pytest.raises(ValueError, match=rf"`decoder`. Expected parameters of {family[0]}Likelihood, any numbers"):
        IWAE(2, 2, (8,), **settings)


def test_columns_are_looked_at_together(monkeypatch):
    """Each for itself made a run of the decoder for every other weights."""
    probed = []
    run = GenerativeModel._probed
    monkeypatch.setattr(GenerativeModel, "_probed", lambda self: probed.append(1) or run(self))
    IWAE(40, 2, (8,), likelihood=MixedLikelihood(["bernoulli"] * 40), decoder=keras.layers.Dense(40))
    assert len(probed) <= 3


@pytest.mark.slow
def test_what_may_be_squashed():
    """A location of real numbers, as of grey levels, is no logit; what else a likelihood wants of the decoder is."""
    loc = make(IWAE, decoder=SQUASHED["Dense"](6), likelihood=GaussianLikelihood(scale=0.1))
    assert loc.generative.likelihood.head is None
    levels = keras.Sequential([keras.layers.Dense(18, "sigmoid"), keras.layers.Reshape((6, 3))])
    with pytest.raises(ValueError, match=r"`decoder`. Expected parameters of CategoricalLikelihood"):
        make(IWAE, decoder=levels, likelihood=CategoricalLikelihood(levels=3))
    two = keras.Sequential([keras.layers.Dense(12, "sigmoid"), keras.layers.Reshape((6, 2))])
    with pytest.raises(ValueError, match=r"`decoder`. Expected parameters of GaussianLikelihood"):
        make(IWAE, decoder=two, likelihood=GaussianLikelihood(scale="example"))


BOUNDED = {
    "relu": "no number below 0",
    "softplus": "no number below 0",
    "exponential": "no number below 0",
    "sigmoid": "numbers between 0 and 1 only",
    "tanh": "numbers between -1 and 1 only",
    "log_sigmoid": "no number above 0",
    "log_softmax": "no number above 0",
}


def generative(decoder, likelihood):
    made = GenerativeModel(decoder, StandardNormalPrior(2), likelihood, (6,))
    made.build((None, 2))
    return made


def pairs(size, *activations):
    """Two parameters of each entry, each behind an activation of its own."""
    given = keras.Input((2,))
    each = [keras.layers.Reshape((size, 1))(keras.layers.Dense(size, name)(given)) for name in activations]
    return keras.Model(given, keras.layers.Concatenate(axis=-1)(each))


@pytest.mark.slow
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", BOUNDED)
def test_a_last_activation_of_any_kind_is_seen(name, bias):
    layers = [keras.layers.Dense(9, "tanh"), keras.layers.Dense(6, name, use_bias=bias)]
    with pytest.raises(ValueError, match=f"`decoder`. Expected parameters of Poisson.*which gives {BOUNDED[name]}"):
        generative(keras.Sequential(layers), PoissonLikelihood())
    # Of two parameters one is enough, but a location may be bounded.
    with pytest.raises(ValueError, match=f"which gives {BOUNDED[name]}"):
        generative(pairs(6, None, name), GaussianLikelihood(scale="example"))
    generative(pairs(6, name, None), GaussianLikelihood(scale="example"))


@pytest.mark.parametrize(
    "layers",
    [
        [keras.layers.Dense(4, "tanh"), keras.layers.Dense(6, "sigmoid")],
        [keras.layers.Dense(6, use_bias=False)],
    ],
)
def test_what_is_no_output_bias_is_not_set_to_a_mean(layers):
    latent_dim = 2 if len(layers) > 1 else 1
    made = GenerativeModel(
        keras.Sequential(layers), StandardNormalPrior(latent_dim), GaussianLikelihood(scale=0.1), (6,)
    )
    made.build((None, latent_dim))
    before = made.get_weights()
    with pytest.raises(ValueError, match=r"`decoder`. Expected .* a bias that nothing follows.*sequential"):
        start_from(made, np.array([0.1, 0.2, 0.3, 0.05, 0.9, 0.5]))
    for now, then in zip(made.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.slow
def test_a_decoder_that_ignores_the_latents_is_refused():
    for constant in (keras.ops.zeros_like, keras.ops.ones_like):
        decoder = keras.Sequential([keras.layers.Dense(6), keras.layers.Lambda(constant)])
        for likelihood in (PoissonLikelihood(), GaussianLikelihood(scale=0.1)):
            with pytest.raises(ValueError, match=r"`decoder`. Expected .* that depend on the latents.*gives the same"):
                generative(decoder, likelihood)


def test_a_tanh_that_is_scaled_is_refused_and_a_wide_one_or_levels_that_are_normalized_are_not():
    def scaled(by):
        return keras.Sequential([keras.layers.Dense(6, "tanh"), keras.layers.Rescaling(by)])

    with pytest.raises(ValueError, match="which gives numbers between -2 and 2 only"):
        generative(scaled(2.0), PoissonLikelihood())
    generative(scaled(10.0), PoissonLikelihood())
    layers = [keras.layers.Dense(18), keras.layers.Reshape((6, 3)), keras.layers.Activation("log_softmax")]
    generative(keras.Sequential(layers), CategoricalLikelihood(3))


IN_RANGE_BY_CHANCE = {
    "a bias, as training leaves it": [keras.layers.Dense(9, "tanh"), keras.layers.Dense(6, bias_initializer="ones")],
    "small weights": [keras.layers.Dense(9, "tanh"), keras.layers.Dense(6, kernel_initializer="zeros")],
    "weights of 0": [
        keras.layers.Dense(9, "tanh", kernel_initializer="zeros"),
        keras.layers.Dense(6, None, True, "zeros"),
    ],
    "negative weights": [
        keras.layers.Dense(9, "sigmoid"),
        keras.layers.Dense(6, None, False, keras.initializers.Constant(-1.0)),
    ],
    "positive weights": [keras.layers.Dense(9, "sigmoid"), keras.layers.Dense(6, None, False, "ones")],
    "dropout": [keras.layers.Dropout(0.5), keras.layers.Dense(6, bias_initializer="ones"), keras.layers.Dropout(0.5)],
    "normalized": [keras.layers.Dense(6), keras.layers.BatchNormalization(beta_initializer="ones")],
}


@pytest.mark.parametrize("name", IN_RANGE_BY_CHANCE)
def test_parameters_that_are_in_a_range_by_chance_are_not_taken_for_squashed(name):
    decoder = keras.Sequential(IN_RANGE_BY_CHANCE[name])
    decoder.build((None, 2))
    if "bias" in name:
        decoder.layers[-1].bias.assign(np.full(6, 9.0))
    before = [weight.numpy() for weight in decoder.weights]
    generative(decoder, PoissonLikelihood())
    for weight, value in zip(decoder.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


def gaussian_posterior():
    return GaussianPosterior(keras.layers.Dense(5), 2)


def both():
    return {"encoder": keras.layers.Dense(5), "decoder": keras.layers.Dense(7)}


# What has no effect beside the networks that are given.
UNUSED = {
    "hidden": lambda: {**both(), "hidden": (8,)},
    "activation": lambda: {**both(), "activation": "relu"},
    "activation as by default": lambda: {**both(), "activation": "tanh"},
    "hidden beside a posterior": lambda: {
        "posterior": gaussian_posterior(),
        "decoder": keras.layers.Dense(7),
        "hidden": (8,),
    },
    "latent_dim beside a posterior": lambda: {"posterior": gaussian_posterior(), "latent_dim": 3},
    "num_samples of an autoencoder": lambda: {"objective": "ae", "num_samples": 3},
}


@pytest.mark.parametrize("name", UNUSED)
def test_what_the_networks_that_are_given_do_not_use_is_refused(name):
    with pytest.raises(ValueError, match=rf"`{name.split()[0].strip(',')}`\. Expected none.*Received: ") as error:
        IWAE(6, **UNUSED[name]())
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_what_one_dense_network_uses_is_taken():
    made = IWAE(6, encoder=keras.layers.Dense(5), hidden=(8,), activation="relu", latent_dim=2)
    assert made.generative.decoder.layers[0].units == 8
    own = IWAE(6, posterior=gaussian_posterior(), latent_dim=2, hidden=(9,))
    assert (own.get_config()["latent_dim"], own.generative.decoder.layers[0].units) == (2, 9)
    # The discriminator has an encoder of its own.
    assert make(AVB, **both(), hidden=(11,)).get_config()["hidden"] == (11,)
    several = IWAE(6, latent_dim=(3, 2), hidden=((4,),), **both())
    again = IWAE.from_config(several.get_config())
    assert [weight.shape for weight in again.weights] == [weight.shape for weight in several.weights]
    with pytest.raises(ValueError, match=r"`hidden`\. Expected the units of each layer"):
        IWAE(6, latent_dim=(3, 2), hidden=((4,), (4,)), **both())


@pytest.mark.parametrize("wrong", [200, "200", (), (200, "a"), (True,)])
def test_units_are_named(wrong):
    with pytest.raises(ValueError, match=r"`hidden`\. Expected"):
        IWAE(6, hidden=wrong)


def test_what_is_no_activation_is_named():
    with pytest.raises(ValueError, match=r"`activation`\. Expected a Keras activation.*Received: 'reluu'"):
        IWAE(6, activation="reluu")
    # What takes more than one tensor, gives none, or is no part of a graph.
    for wrong in ("threshold", "glu", lambda x: None, lambda x: x[:, :1]):
        with pytest.raises(ValueError, match=r"`activation`\. Expected one of a tensor alone, and of as many units"):
            IWAE(6, activation=wrong)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [tf.constant, tf.Variable, keras.Variable])
def test_an_activation_may_have_a_tensor_of_its_own(kind):
    slope = kind(0.3)
    model = IWAE(6, activation=lambda x: tf.tanh(x) * tf.convert_to_tensor(slope), hidden=(5,), latent_dim=2)
    model.compile("adam")
    assert np.isfinite(model.fit(np.ones((4, 6), np.float32), verbose=0).history["bound"][-1])


def test_what_is_no_posterior_is_named():
    for wrong in (keras.layers.Dense(2), ["gaussian"], None, "gausian"):
        with pytest.raises(ValueError, match=r"`posterior`. Expected one of"):
            make(IWAE, posterior=wrong)
