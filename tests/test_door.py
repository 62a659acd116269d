"""The one door for data: each way in gives the numbers of a plain array, or an error of one line."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from keras_iwae import IWAE
from keras_iwae.evaluation import annealed_nll, importance_weighted_nll, latents, resampled_posterior, sumo_nll
from keras_iwae.models.passes import settle_validation_freq

X = (np.random.default_rng(0).random((8, 6)) < 0.4).astype(np.float32)
LABELS, WEIGHTS = np.arange(8), np.arange(1.0, 9.0, dtype=np.float32)
BATCH = 4


class Batches(keras.utils.PyDataset):
    """A PyDataset of elements (x, ...)."""

    def __init__(self, *parts):
        super().__init__()
        self.parts = parts

    @property
    def num_batches(self):
        return len(self.parts[0]) // BATCH

    def __getitem__(self, index):
        return tuple(part[BATCH * index : BATCH * (index + 1)] for part in self.parts)


def generator(*parts):
    batches = Batches(*parts)
    return (batches[index] for index in range(batches.num_batches))


def dataset(*parts):
    return tf.data.Dataset.from_tensor_slices(parts if len(parts) > 1 else parts[0]).batch(BATCH)


IN_MEMORY = {
    "array": lambda x: x,
    "uint8": lambda x: x.astype(np.uint8),
    "bool": lambda x: x.astype(bool),
    "list": lambda x: x.tolist(),
    "tensor": tf.constant,
    "DataFrame": pd.DataFrame,
    "nullable": lambda x: pd.DataFrame(x).astype("Float32"),
    "dict": lambda x: {"anything": x},
}
IN_BATCHES = {
    "tf.data": dataset,
    "tf.data of pairs": lambda x: dataset(x, np.arange(len(x))),
    "tf.data of TFDS": lambda x: dataset({"image": x, "label": np.arange(len(x))}),
    "tf.data of uint8": lambda x: dataset(x.astype(np.uint8)),
    "PyDataset": Batches,
    "PyDataset of pairs": lambda x: Batches(x, np.arange(len(x))),
    "generator": generator,
    "generator of arrays": lambda x: (x for (x,) in generator(x)),
}
QUIET = {"verbose": False}


def sizes(data):
    """Keras wants the size of a batch for what does not come in batches."""
    return {} if isinstance(data, (tf.data.Dataset, Batches)) or hasattr(data, "__next__") else {"batch_size": BATCH}


def trained(model):
    return np.concatenate([variable.numpy().ravel() for variable in model.trainable_variables])


def fit(model, x, **options):
    model.fit(x, shuffle=False, verbose=0, **sizes(x), **options)
    return trained(model)


def train_on_batch(model, x, **options):
    model.train_on_batch(x, **options)
    return trained(model)


STREAMED = {
    "fit": fit,
    "evaluate": lambda model, x, **options: model.evaluate(x, verbose=0, **sizes(x), **options),
    "predict": lambda model, x: model.predict(x, verbose=0, **sizes(x)),
    "importance_weighted_nll": lambda model, x: importance_weighted_nll(model, x, 4, **sizes(x), **QUIET).nll,
    "sumo_nll": lambda model, x: sumo_nll(model, x, 2, **sizes(x), **QUIET).nll,
    "annealed_nll": lambda model, x: annealed_nll(model, x, 2, 3, 1, **sizes(x), **QUIET).nll,
}
AT_ONCE = {
    "train_on_batch": train_on_batch,
    "test_on_batch": lambda model, x, **options: model.test_on_batch(x, **options),
    "predict_on_batch": lambda model, x: model.predict_on_batch(x),
    "latents": lambda model, x: latents(model, x, 2).kl,
    "resampled_posterior": lambda model, x: resampled_posterior(model, x, 2, 3),
}
METHODS = {**STREAMED, **AT_ONCE}
ARGUMENTS = {"latents": "images", **{name: "data" for name in STREAMED if name.endswith("_nll")}}


def make(kind=IWAE, run_eagerly=False, **options):
    samples = {} if options.get("objective") == "ae" else {"num_samples": 3}
    model = kind(6, **{"latent_dim": 2, "hidden": (8,), "seed": 3, **samples, **options})
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=run_eagerly)
    return model


@pytest.fixture(scope="module")
def call():
    """Call a method on a model as it is made: the same one, whose graphs are traced once."""
    model = make()
    model.train_on_batch(X)
    optimizer, variables = model.optimizer.variables, model.weights
    beginnings = make().weights

    def fresh(method, data, **options):
        for variable, beginning in zip(variables, beginnings, strict=True):
            variable.assign(beginning)
        for variable in optimizer[:1]:
            variable.assign(0)
        model.reset_metrics()
        return np.asarray(METHODS[method](model, data, **options))

    fresh.model, fresh.beginning = model, trained(make())
    return fresh


@pytest.fixture(scope="module")
def plain(call):
    """What each method gives for the array."""
    return {method: call(method, X) for method in METHODS}


def one_line(error, argument):
    text = str(error.value)
    assert text.startswith(f"Invalid value received for `{argument}`. Expected ")
    assert ". Received: " in text
    assert "\n" not in text
    return text


@pytest.mark.long
@pytest.mark.parametrize("way", [*IN_MEMORY, *IN_BATCHES])
@pytest.mark.parametrize("method", STREAMED)
def test_each_way_in_gives_the_numbers_of_the_array(call, plain, method, way):
    found = call(method, {**IN_MEMORY, **IN_BATCHES}[way](X))
    np.testing.assert_allclose(found, plain[method], rtol=1e-5, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("way", IN_MEMORY)
@pytest.mark.parametrize("method", AT_ONCE)
def test_what_is_taken_at_once_may_be_of_any_kind(call, plain, method, way):
    np.testing.assert_array_equal(call(method, IN_MEMORY[way](X)), plain[method])


@pytest.mark.slow
@pytest.mark.parametrize("way", IN_BATCHES)
@pytest.mark.parametrize("method", AT_ONCE)
def test_what_is_taken_at_once_is_refused_in_batches(call, method, way):
    data = IN_BATCHES[way](X)
    with pytest.raises(ValueError, match=f"an array, a tensor.*Received: a .*{type(data).__name__}") as error:
        call(method, data)
    assert "PyDataset or" not in one_line(error, ARGUMENTS.get(method, "x"))


def with_each(value):
    """X with a value in every batch."""
    x = X.copy()
    x[::2, 3] = value
    return x


FAULTS = {
    "8 bits": (X * 255.0, "divide 8-bit images by 255. Received: values in [0, 255]"),
    "bytes": ((X * 255.0).astype(np.uint8), "divide 8-bit images by 255. Received: values in [0, 255]"),
    "NaN": (with_each(np.nan), "nan"),
    "infinity": (with_each(np.inf), "values in [0, 1]. Received: values in [0, inf]"),
    "negative": (with_each(-0.5), "values in [0, 1]. Received: values in [-0.5, 1]"),
    "shape": (X[:, :5], "Expected shape ["),
    "strings": (X.astype(str), "Expected numbers: floats, integers or bools. Received: "),
    "none": (X[:0], "Expected at least one "),
}
ROUTES = {**IN_MEMORY, **IN_BATCHES}
# Where the type alone is another value.
CHANGED = {"uint8", "bool", "tf.data of uint8", "nullable"}


@pytest.mark.slow
@pytest.mark.parametrize("way", [way for way in ROUTES if way not in CHANGED])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_one_line_at_every_way_in(call, fault, way):
    x, message = FAULTS[fault]
    with pytest.raises(ValueError, match="x") as error:
        call("fit", ROUTES[way](x))
    # An empty list has no shape.
    assert message.lower() in one_line(error, "x").lower() or (fault, way) == ("none", "list")
    np.testing.assert_array_equal(trained(call.model), call.beginning)


@pytest.mark.slow
@pytest.mark.parametrize("way", IN_BATCHES)
def test_a_late_batch_is_looked_at_too(call, way):
    late = np.concatenate([X, X, X])
    late[20:] *= 255.0
    with pytest.raises(ValueError, match="divide 8-bit images by 255") as error:
        call("fit", IN_BATCHES[way](late))
    one_line(error, "x")


ODD = {
    "ragged rows": ([[1.0, 0.0], [1.0]], "rows of different lengths"),
    "a RaggedTensor": (tf.ragged.constant([[1.0, 0.0], [1.0]]), "RaggedTensor"),
    "a sparse tensor": (tf.sparse.from_dense(X), "SparseTensor"),
    "a masked array": (np.ma.masked_array(X, X > 0.5), "missing='nan'"),
    "words": (pd.DataFrame(X.astype(str)), "dtype object"),
    "complex": (X.astype(complex), "dtype complex"),
    "a name": ("mnist", "str"),
    "nothing": (None, "NoneType"),
    "two keys": (dataset({"a": X, "b": X}), "keys ['a', 'b']"),
    "four parts": (dataset(X, X, X, X), "4 parts"),
    "single examples": (tf.data.Dataset.from_tensor_slices(X), "batch the dataset"),
    "no whole batch": (tf.data.Dataset.from_tensor_slices(X).batch(9, drop_remainder=True), "drop_remainder"),
    "no batch": (iter(()), "at least one batch"),
    "any shape": (tf.data.Dataset.from_generator(lambda: generator(X), (tf.float32,)), "output_signature"),
    "parts in memory": (
        (X, LABELS, WEIGHTS),
        "`x`. Expected x[0] alone, for labels are not used, and x[2] as `sample_",
    ),
    "a pair in memory": (
        [pd.DataFrame(X), LABELS],
        "`x`. Expected x[0] alone, for labels are not used. Received: a list",
    ),
    "negative weights": (dataset(X, LABELS, -WEIGHTS), "`x: weights`. Expected values of at least 0"),
    "weights of entries": (dataset(X, LABELS, X), "`x: weights`. Expected shape [B, 1]"),
    "weights of words": (dataset(X, LABELS, WEIGHTS.astype(str)), "`x: weights`. Expected numbers"),
    "weights by name": (dataset(X, LABELS, {"a": WEIGHTS}), "`x: weights`. Expected elements that are tensors"),
    "negative weights, later": (Batches(X, LABELS, -WEIGHTS), "`x: weights`. Expected values of at least 0"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
def test_odd_things_are_one_line(call, name):
    data, message = ODD[name]
    with pytest.raises(ValueError, match="x") as error:
        call("fit", data)
    assert message in one_line(error, "x: weights" if "weights" in name else "x")
    np.testing.assert_array_equal(trained(call.model), call.beginning)


def test_a_number_that_float32_cannot_hold_is_refused():
    model = make(run_eagerly=True, likelihood="gaussian")
    for x in (1e300 * X.astype(np.float64), dataset(1e300 * X.astype(np.float64))):
        with pytest.raises(ValueError, match=r"finite values up to 1e\+15, .* \[0, 1e\+300\]") as error:
            model.fit(x, verbose=0)
        one_line(error, "x")


@pytest.mark.slow
def test_masked_entries_are_missing_ones():
    model, masked = make(run_eagerly=True, missing="nan"), np.ma.masked_array(X, np.arange(48).reshape(8, 6) % 5 == 0)
    expected = model.evaluate(masked.filled(np.nan), verbose=0)
    assert model.evaluate(masked, verbose=0) == expected != model.evaluate(X, verbose=0)


@pytest.mark.slow
def test_data_without_end_is_refused_where_it_would_be_waited_for(call):
    class Endless(Batches):
        num_batches = None

    for data in (dataset(X).repeat(), Endless(X)):
        with pytest.raises(ValueError, match="batches that end") as error:
            call("importance_weighted_nll", data)
        one_line(error, "data")

    for options in ({"x": dataset(X).repeat()}, {"x": Endless(X)}, {"x": X, "validation_data": dataset(X).repeat()}):
        with pytest.raises(ValueError, match=r"batches that end, or `.*steps") as error:
            call.model.fit(**options)
        one_line(error, list(options)[-1])
    for method in (call.model.evaluate, call.model.predict):
        with pytest.raises(ValueError, match="batches that end, or `steps`"):
            method(dataset(X).repeat())
    assert np.isfinite(call.model.evaluate(dataset(X).repeat(), steps=2, verbose=0)).all()


def test_a_generator_serves_one_pass(call):
    """Keras gave a second pass of it the batches that it had looked at before the first, and no others."""
    before = trained(call.model)
    for options in ({"x": generator(X)}, {"x": X, "validation_data": generator(X)}):
        with pytest.raises(ValueError, match="had again for each of 2 passes") as error:
            call.model.fit(**options, epochs=2)
        one_line(error, list(options)[-1])
    np.testing.assert_array_equal(trained(call.model), before)


@pytest.mark.slow
def test_a_step_that_gets_no_batch_moves_nothing():
    """Batches of which nobody knows how many there are end in a step: it counted, and took a seed."""
    spec = (tf.TensorSpec([None, 6]),)
    without_end = tf.data.Dataset.from_generator(lambda: generator(X), output_signature=spec)
    endings = []
    for x in (generator(X), without_end, dataset(X)):
        model = make()
        model.fit(x, verbose=0)
        assert (int(model.optimizer.iterations), int(model.rng[0])) == (2, 2)
        endings.append(trained(model))
    np.testing.assert_array_equal(*endings[:2])
    np.testing.assert_array_equal(*endings[1:])


@pytest.mark.parametrize("kind", ["generator", "PyDataset"])
def test_weights_are_in_every_batch_or_in_none(call, kind):
    mixed = [(X[:4],), (X[4:], None, np.ones(len(X) - 4))]

    class Mixed(keras.utils.PyDataset):
        num_batches = 2

        def __getitem__(self, index):
            return mixed[index]

    with pytest.raises(ValueError, match="Expected weights in every batch or in none") as error:
        call.model.evaluate(iter(mixed) if kind == "generator" else Mixed(), verbose=0)
    one_line(error, "x: weights")


@pytest.mark.long
@pytest.mark.parametrize("way", [*IN_BATCHES, "array", "tuple"])
def test_validation_data_enters_by_the_same_door(call, way):
    ways = {**ROUTES, "tuple": lambda x: (x, None, np.ones(len(x)))}
    model = call.model
    steps = {} if way.startswith(("tf", "Py", "array", "tuple")) else {"validation_steps": 2}
    found = model.fit(X, validation_data=ways[way](X), verbose=0, batch_size=BATCH, **steps).history["val_bound"][-1]
    assert found == pytest.approx(model.evaluate(X, verbose=0, batch_size=BATCH, return_dict=True)["bound"])
    with pytest.raises(ValueError, match="divide 8-bit") as error:
        model.fit(X, validation_data=ways[way](X * 255.0), verbose=0, **steps)
    one_line(error, "validation_data")


# Of batches, which have a size and an order already.
GIVEN = {
    "fit": lambda model, x: model.fit(x, batch_size=2),
    "fit, by position": lambda model, x: model.fit(x, None, 2),
    "evaluate": lambda model, x: model.evaluate(x, batch_size=2),
    "predict": lambda model, x: model.predict(x, batch_size=2),
    "importance_weighted_nll": lambda model, x: importance_weighted_nll(model, x, 4, batch_size=2),
    "sumo_nll": lambda model, x: sumo_nll(model, x, 2, batch_size=2),
    "annealed_nll": lambda model, x: annealed_nll(model, x, 2, 3, 1, batch_size=2),
}


@pytest.mark.parametrize("way", ["tf.data", "PyDataset", "generator"])
@pytest.mark.parametrize("method", GIVEN)
def test_a_size_beside_batches_is_refused(call, method, way):
    with pytest.raises(ValueError, match=r"beside batches, which have a size already\. Received: 2") as error:
        GIVEN[method](call.model, IN_BATCHES[way](X))
    one_line(error, "batch_size")


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("shuffle", {"x": dataset(X), "shuffle": True}),
        ("shuffle", {"x": generator(X), "shuffle": True}),
        ("shuffle", {"x": X, "shuffle": "no"}),
        ("batch_size", {"x": X, "batch_size": 2.5}),
        ("validation_batch_size", {"x": X, "validation_data": dataset(X), "validation_batch_size": 2}),
        ("validation_batch_size", {"x": X, "validation_batch_size": 2}),
        ("validation_steps", {"x": X, "validation_steps": 2}),
        ("validation_freq", {"x": X, "validation_freq": 2}),
        ("validation_freq", {"x": X, "validation_data": X, "validation_freq": 2}),
        ("validation_freq", {"x": X, "validation_split": 0.5, "validation_freq": 4, "epochs": 7, "initial_epoch": 4}),
        ("validation_freq", {"x": X, "validation_data": X, "validation_freq": [3, 9], "epochs": 8, "initial_epoch": 3}),
        ("validation_freq", {"x": X, "validation_data": X, "validation_freq": []}),
        ("validation_freq", {"x": X, "validation_data": X, "validation_freq": 0}),
        ("validation_freq", {"x": X, "validation_data": X, "validation_freq": "2"}),
        ("validation_split", {"x": X, "validation_data": X, "validation_split": 0.2}),
        ("validation_split", {"x": dataset(X), "validation_split": 0.2}),
        ("validation_split", {"x": Batches(X), "validation_split": 0.2}),
        ("validation_split", {"x": generator(X), "validation_split": 0.2}),
        ("validation_split", {"x": X, "validation_split": 1.5}),
        ("validation_split", {"x": X, "validation_split": "0.2"}),
        ("epochs", {"x": X, "epochs": 0}),
        ("epochs", {"x": X, "epochs": 1.5}),
        ("initial_epoch", {"x": X, "epochs": 3, "initial_epoch": 5}),
        ("steps_per_epoch", {"x": X, "steps_per_epoch": 0}),
        ("steps_per_epoch", {"x": X, "steps_per_epoch": 2.5}),
        ("validation_steps", {"x": X, "validation_data": X, "validation_steps": 0}),
        ("validation_data", {"x": X, "validation_data": (X, np.ones(len(X)))}),
        ("validation_data", {"x": X, "validation_data": ({"image": X}, np.ones(len(X)))}),
        ("validation_data", {"x": X, "validation_data": (X.tolist(), np.ones(len(X)))}),
        ("validation_data", {"x": X, "validation_data": [X.tolist(), np.ones(len(X))]}),
        ("x", {"x": {"image": X, "sample_weight": np.ones(len(X))}}),
    ],
)
def test_an_argument_of_fit_without_effect_is_refused(call, argument, options):
    with pytest.raises(ValueError, match="Expected") as error:
        call.model.fit(**options)
    one_line(error, argument)


@pytest.mark.slow
def test_steps_within_a_call_of_several_are_refused_for_a_call_takes_all_of_its_steps():
    model, batches = make(), dataset(X)
    model.compile(keras.optimizers.SGD(0.1), steps_per_execution=4)
    endless = {"x": batches.repeat(), "verbose": 0}
    for method, options, argument in (
        (model.fit, {"steps_per_epoch": 2}, "steps_per_epoch"),
        (model.fit, {"steps_per_epoch": 4, "validation_data": endless["x"], "validation_steps": 5}, "validation_steps"),
        (model.evaluate, {"steps": 6}, "steps"),
        (model.predict, {"steps": 1}, "steps"),
        (model.fit, {"x": {"image": X}, "batch_size": 2, "steps_per_epoch": 3}, "steps_per_epoch"),
        (model.evaluate, {"x": {"image": X}, "batch_size": 2, "steps": 3}, "steps"),
        (
            model.fit,
            {"x": X, "validation_data": [X, None, np.ones(len(X))], "validation_batch_size": 2, "validation_steps": 3},
            "validation_steps",
        ),
    ):
        with pytest.raises(
            ValueError, match=r"Expected a multiple of steps_per_execution = 4, .* Received: \d$"
        ) as error:
            method(**{**endless, **options})
        one_line(error, argument)
    assert int(model.optimizer.iterations) == 0
    model.fit(**endless, steps_per_epoch=8)
    assert int(model.optimizer.iterations) == 8
    # As many as there are.
    there = len(batches)
    assert there % 4
    model.fit(batches, steps_per_epoch=there, verbose=0)
    assert int(model.optimizer.iterations) == 8 + there
    assert len(model.predict(batches, steps=there, verbose=0)) == len(X)
    assert len(model.predict(X, BATCH, steps=there, verbose=0)) == len(X)
    model.fit(X, batch_size=BATCH, steps_per_epoch=there, validation_data=X, validation_steps=there, verbose=0)
    assert int(model.optimizer.iterations) == 8 + 2 * there
    with pytest.raises(ValueError, match="Expected a multiple of steps_per_execution = 4"):
        model.predict(X, BATCH, steps=1)


def test_epochs_that_are_validated_are_said_in_any_way():
    for given, taken in ((np.int64(3), 3), ((5, 1), [5, 1]), (range(6, 9), [6, 7, 8]), (np.array([6]), [6])):
        found = settle_validation_freq(given, epochs=6, initial_epoch=4)
        assert (found, type(found)) == (taken, type(taken))


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("steps_per_execution", {"steps_per_execution": 0}),
        ("steps_per_execution", {"steps_per_execution": "auto"}),
        ("jit_compile", {"jit_compile": "yes"}),
        ("optimizer", {"optimizer": None}),
    ],
)
def test_what_compile_cannot_use_is_refused(argument, options):
    with pytest.raises(ValueError, match="Expected") as error:
        IWAE(4, latent_dim=1, hidden=(3,)).compile(**options)
    one_line(error, argument)


@pytest.mark.slow
def test_what_shuffles_does(call):
    """Batches of a PyDataset by default, as Keras does; an order that is asked for stays."""
    seen = []

    class Watched(Batches):
        def __getitem__(self, index):
            seen.append(index)
            return super().__getitem__(index)

    many = np.tile(X, (8, 1))
    for shuffle in (False, None):
        seen.clear()
        call.model.fit(Watched(many), verbose=0, shuffle=shuffle)
        assert sorted(seen)[-16:] == sorted(range(16)) or set(seen) == set(range(16))
        assert ([i for n, i in enumerate(seen) if i not in seen[:n]] == list(range(16))) == (shuffle is False)
