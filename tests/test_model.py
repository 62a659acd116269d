"""IWAE as a Keras user meets it: fit, evaluate, predict, save, load, callbacks, precision, custom parts, bad input."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_iwae import IWAE, networks
from keras_iwae.bounds.objectives import CIWAE
from keras_iwae.foundation import DiagonalGaussian
from keras_iwae.foundation.keys import Purpose, key_for
from keras_iwae.foundation.numerics import effective_sample_size
from keras_iwae.likelihoods import MixedLikelihood
from keras_iwae.likelihoods.bernoulli import FEWEST_SAMPLES
from keras_iwae.networks.convolutional import PixelBias
from keras_iwae.posteriors import GaussianPosterior, SemiAmortizedPosterior
from keras_iwae.training import FusedAdam

SHAPE = (4, 3, 1)
X = (np.random.default_rng(1).random((48, *SHAPE)) < 0.4).astype(np.float32)
METRICS = {"loss", "bound", "elbo", "reconstruction", "kl", "ess"}


def batches(x=X, size=8):
    return tf.data.Dataset.from_tensor_slices(x).batch(size, drop_remainder=True)


def weights_of(model):
    return [variable.numpy() for variable in model.variables]


def assert_same(model, other):
    for variable, value in zip(model.variables, weights_of(other), strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["iwae", "elbo", "ae"])
def test_fit_improves_the_bound_and_reports_its_parts(make_model, objective):
    model = make_model(objective=objective)
    history = model.fit(batches(), epochs=12, validation_data=batches(), verbose=0).history
    names = {"loss", "reconstruction"} if objective == "ae" else METRICS
    assert set(history) == names | {f"val_{name}" for name in names}
    assert history["loss"][-1] < history["loss"][0] - 0.1
    if objective != "ae":
        np.testing.assert_allclose(history["loss"], -np.array(history["bound"]), rtol=1e-6)
        # The sampled KL and the reconstruction make up the ELBO, sample by sample.
        parts = np.array(history["val_reconstruction"]) - np.array(history["val_kl"])
        np.testing.assert_allclose(history["val_elbo"], parts, rtol=1e-4)
        assert 1.0 <= min(history["ess"]) <= max(history["ess"]) <= 5.0


@pytest.mark.slow
def test_reported_values_are_the_bound_itself_and_count_every_image_once(make_model):
    model = make_model()
    # The short last batch is made of other images, so that weighing batches alike would show.
    x = np.concatenate([X[:8], np.ones((3, *SHAPE), np.float32)])
    weights = []
    for begin in (0, 8):
        seed = tf.random.fold_in(key_for(Purpose.EVALUATE, 3), begin)
        weights.append(model.log_weights(x[begin : begin + 8], 5, seed).numpy())
    weights = np.concatenate(weights, axis=1).astype(np.float64)
    result = model.evaluate(tf.data.Dataset.from_tensor_slices(x).batch(8), verbose=0, return_dict=True)
    bound = np.logaddexp.reduce(weights, axis=0) - np.log(5.0)
    np.testing.assert_allclose(result["bound"], bound.mean(), rtol=1e-5)
    np.testing.assert_allclose(result["elbo"], weights.mean(), rtol=1e-5)
    np.testing.assert_allclose(result["ess"], effective_sample_size(tf.constant(weights)).numpy().mean(), rtol=1e-5)
    # Controls: batches counted alike, and the normalized-weights sum in the bound's place, would both show.
    assert abs((bound[:8].mean() + bound[8:].mean()) / 2 - bound.mean()) > 1e-2
    surrogate = (np.exp(weights - np.logaddexp.reduce(weights, axis=0)) * weights).sum(axis=0)
    assert abs(surrogate.mean() - bound.mean()) > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize(("objective", "jit"), [("iwae", False), ("iwae", True), ("elbo", False), ("renyi", False)])
def test_one_sample_and_a_short_last_batch(make_model, images, objective, jit):
    """K = 1 in batches whose size is not known beforehand, with and without XLA."""
    dataset = tf.data.Dataset.from_tensor_slices(images)
    model = make_model({"jit_compile": jit}, num_samples=1, objective=objective)
    model.fit(dataset.batch(4), validation_data=dataset.batch(3), verbose=0)
    found = model.evaluate(dataset.batch(3), verbose=0, return_dict=True)
    assert found["bound"] == pytest.approx(found["elbo"])
    assert found["ess"] == pytest.approx(1.0)


@pytest.mark.slow
def test_a_seed_repeats_and_another_does_not(make_model):
    models = [make_model(seed=seed) for seed in (3, 3, 4)]
    for model in models:
        model.fit(batches(), epochs=2, verbose=0)
    assert_same(models[0], models[1])
    assert any(np.any(a != b) for a, b in zip(weights_of(models[0]), weights_of(models[2]), strict=True))


def test_log_weights_are_asked_for_by_numbers(make_model):
    model = make_model()
    for samples, seed, name in (
        (2.5, (0, 1), "num_samples"),
        (0, (0, 1), "num_samples"),
        (3, 7, "seed"),
        (3, "a", "seed"),
    ):
        with pytest.raises(ValueError, match=f"`{name}`"):
            model.log_weights(X, samples, seed)
    assert model.log_weights(X, 3, [0, 1]).shape == (3, len(X))


def test_what_is_reported_is_made_of_floats(step_by_step):
    """As of Keras 3.15; before, they were tensors, of which JSON is not made."""
    model = IWAE(6, latent_dim=2, hidden=(3,), num_samples=2)
    model.compile("adam")
    x = np.zeros((4, 6), np.float32)
    for method in (functools.partial(model.evaluate, verbose=0), model.test_on_batch, model.train_on_batch):
        for reported in (method(x, return_dict=True).values(), method(x)):
            assert {type(value) for value in reported} == {float}


@pytest.mark.slow
def test_what_is_reported_does_not_hang_on_kerass_default_type(make_model, images):
    many = np.tile(images, (300, 1, 1, 1))
    expected = make_model().evaluate(many, batch_size=100, verbose=0, return_dict=True)
    keras.config.set_floatx("float16")
    try:
        model = make_model()
        found = model.evaluate(many, batch_size=100, verbose=0, return_dict=True)
        assert {metric.dtype for metric in model.metrics} == {"float32"}
    finally:
        keras.config.set_floatx("float32")
    # Weights of half precision make a difference, and sums would make more.
    assert found["bound"] == pytest.approx(expected["bound"], abs=0.03)
    assert found["ess"] == pytest.approx(expected["ess"], abs=0.03)


def test_no_two_kernels_start_alike():
    kernels = [
        v.numpy().ravel() for v in IWAE(6, latent_dim=6, hidden=(6, 6)).trainable_variables if "kernel" in v.path
    ]
    assert len(kernels) == 7
    for i, kernel in enumerate(kernels):
        assert all(np.any(kernel != other) for other in kernels[:i])
        bound = np.sqrt(6.0 / 12.0)
        assert np.abs(kernel).max() <= bound
        assert np.abs(kernel).max() > 0.8 * bound


@pytest.mark.slow
def test_each_step_and_each_batch_draws_anew(make_model):
    model = make_model()
    model.compile(keras.optimizers.SGD(0.0))
    first, second = (model.train_on_batch(X[:8], return_dict=True)["bound"] for _ in range(2))
    model.reset_metrics()
    assert first != second
    doubled = np.concatenate([X[:8], X[:8]])
    one, two = (model.evaluate(batches(x), verbose=0, return_dict=True)["bound"] for x in (X[:8], doubled))
    assert one != two


@pytest.mark.slow
def test_evaluate_repeats_and_leaves_training_alone(make_model):
    model, other = make_model(), make_model()
    first = model.evaluate(batches(), verbose=0)
    assert model.evaluate(batches(), verbose=0) == first
    model.fit(batches(), epochs=1, validation_data=batches(), verbose=0)
    other.fit(batches(), epochs=1, verbose=0)
    assert_same(model, other)


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_save_and_load_continue_bit_for_bit(make_model, tmp_path, jit_compile):
    model = make_model({"jit_compile": jit_compile})
    model.fit(batches(), epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_same(loaded, model)
    assert loaded.jit_compile is jit_compile
    np.testing.assert_array_equal(loaded.rng.numpy(), [12, 0])
    assert loaded.evaluate(batches(), verbose=0) == model.evaluate(batches(), verbose=0)
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
    for each in (model, loaded):
        each.fit(batches(), epochs=2, verbose=0)
    assert_same(loaded, model)


def test_jit_compile_auto_is_saved_as_auto(make_model):
    assert make_model().get_compile_config()["jit_compile"] == "auto"


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["iwae", "elbo", "ae"])
def test_config_round_trip(make_model, objective):
    model = make_model(objective=objective, activation="relu")
    copy = IWAE.from_config(model.get_config())
    assert copy.get_config() == model.get_config()
    assert copy.objective == model.objective
    for variable, value in zip(copy.trainable_variables, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value.numpy())


@pytest.mark.slow
def test_weights_file_round_trip(make_model, tmp_path):
    model, other = make_model(), make_model(seed=9)
    model.save_weights(tmp_path / "w.weights.h5")
    other.load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_array_equal(other.predict(X, verbose=0), model.predict(X, verbose=0))


FLAT = X[:6].reshape(6, 12)


def small(**options):
    model = IWAE(12, latent_dim=1, hidden=(3,), num_samples=2, **options)
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    return model


def fitted(model, until, since=0):
    history = model.fit(FLAT, batch_size=3, shuffle=False, initial_epoch=since, epochs=until, verbose=0).history
    return history["loss"]


@pytest.mark.slow
def test_weights_that_are_loaded_go_on_as_if_training_had_never_stopped(tmp_path):
    whole, first, resumed, copy = (small(seed=3, kl_warmup_steps=5) for _ in range(4))
    losses = fitted(whole, 2)
    assert fitted(first, 1) == losses[:1]
    first.save_weights(tmp_path / "w.weights.h5")
    resumed.load_weights(tmp_path / "w.weights.h5")
    copy.set_weights(first.get_weights())
    for model in (resumed, copy):
        assert fitted(model, 2, since=1) == losses[1:]
        assert_same(model, whole)


@pytest.mark.slow
@pytest.mark.parametrize("transfer", ["set_weights", "load_weights"])
def test_a_transfer_leaves_seed_and_warm_up_to_the_model_that_is_given_the_weights(transfer, tmp_path):
    """Both were those of the model that the weights are of: its steps were more than any warm-up."""
    source = small(seed=3)
    source.rng.assign([4, 0])
    source.save_weights(tmp_path / "w.weights.h5")

    def given(**options):
        model = small(**options)
        if transfer == "set_weights":
            model.set_weights(source.get_weights())
        else:
            model.load_weights(tmp_path / "w.weights.h5")
        return model

    same, other, warm = given(seed=3), given(seed=4), given(seed=3, kl_warmup_steps=4)
    bounds = [model.test_on_batch(FLAT, return_dict=True)["bound"] for model in (source, same, other, warm)]
    assert bounds[0] == bounds[1] == bounds[3] != bounds[2]
    steps = [int(model.rng[0]) for model in (source, same, other, warm)]
    assert steps == [4, 4, 4, 0]
    assert [float(model._kl_weight()) for model in (same, other, warm)] == [1.0, 1.0, 0.25]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fit", "train_on_batch"])
def test_a_training_step_is_traced_once(make_model, images, method, monkeypatch):
    """A first trace that creates variables, as the optimizer's, asks for a second."""
    traced = []
    monkeypatch.setattr(IWAE, "_penalty", lambda self: (traced.append(self), tf.zeros([]))[1])
    arguments = {"verbose": 0} if method == "fit" else {}
    getattr(make_model(), method)(images, **arguments)
    assert len(traced) == 1


@pytest.mark.slow
@pytest.mark.parametrize("steps", [2, 4])
def test_steps_per_execution_changes_nothing(make_model, steps):
    one, many = make_model(), make_model({"steps_per_execution": steps})
    for model in (one, many):
        model.fit(batches(), epochs=2, verbose=0)
    for variable, value in zip(many.trainable_variables, one.trainable_variables, strict=True):
        np.testing.assert_allclose(variable.numpy(), value.numpy(), rtol=1e-6, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_log_densities_in_float32(policy, tmp_path):
    model = IWAE(SHAPE, latent_dim=2, hidden=(8,), num_samples=5, dtype=policy)
    model.compile(FusedAdam(1e-2))
    terms = model.log_terms(X, 5, tf.constant([0, 0]))
    assert {term.dtype for term in terms} == {tf.float32}
    assert model.generative.decoder.layers[0].compute_dtype == policy.removeprefix("mixed_")
    history = model.fit(batches(), epochs=5, verbose=0).history["bound"]
    assert history[-1] > history[0]
    assert all(v.dtype == "float32" for v in model.trainable_variables)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.evaluate(batches(), verbose=0) == model.evaluate(batches(), verbose=0)


class Stretched(GaussianPosterior):
    """Weights that `distribution` reads, which is no call of the layer."""

    def build(self, input_shape):
        super().build(input_shape)
        self.stretch = self.add_weight(shape=(self.latent_dim,), initializer="ones", name="stretch")

    def distribution(self, x, training=False):
        q = super().distribution(x, training)
        return DiagonalGaussian(q.loc * self.stretch.value, q.scale.diag)


def of_own_class(policy):
    return {"posterior": Stretched(networks.dense_encoder((8,), dtype=policy), 3, dtype=policy)}


def with_fused_steps(policy):
    encoder = networks.dense_encoder((8,), dtype=policy)
    return {"posterior": SemiAmortizedPosterior(encoder, 3, num_draws=FEWEST_SAMPLES + FEWEST_SAMPLES % 2)}


def with_missingness(_):
    settings = {"posterior": "semi_amortized", "missing": "nan", "missingness": "self_masking"}
    return {**settings, "likelihood": MixedLikelihood(["bernoulli"] * 12)}


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize(
    "settings",
    [
        *(lambda _, name=name: {"posterior": name} for name in ("iaf", "maf", "autoregressive")),
        with_fused_steps,
        with_missingness,
        of_own_class,
    ],
    ids=["iaf", "maf", "autoregressive", "fused_steps", "missingness", "own_class"],
)
def test_mixed_precision_reads_the_same_weights_inside_a_call_and_outside(settings, policy):
    given = settings(policy)
    model = IWAE(12, 3 if isinstance(given["posterior"], str) else None, (8,), num_samples=2, dtype=policy, **given)
    x = X[:5].reshape(5, 12)
    mean = model.generative.mean(model.posterior.mean(tf.constant(x)))
    np.testing.assert_array_equal(model(x), mean)


@pytest.mark.slow
def test_keras_callbacks_work(make_model, tmp_path):
    model = make_model()
    callbacks = [
        keras.callbacks.EarlyStopping(monitor="val_bound", mode="max", patience=0, min_delta=1e6),
        keras.callbacks.ReduceLROnPlateau(monitor="val_loss", patience=0, min_delta=1e6),
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor="val_loss", save_best_only=True),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.TensorBoard(tmp_path / "logs"),
    ]
    history = model.fit(batches(), epochs=9, validation_data=batches(), callbacks=callbacks, verbose=0).history
    assert len(history["loss"]) == 2
    assert (tmp_path / "best.keras").exists()
    assert (tmp_path / "log.csv").read_text().startswith("epoch,bound,")


@pytest.mark.slow
def test_fit_takes_arrays_and_datasets_of_pairs(make_model):
    model = make_model()
    model.fit(X, epochs=1, batch_size=8, verbose=0)
    model.fit(X.astype(bool), epochs=1, batch_size=8, validation_split=0.25, verbose=0)
    labelled = tf.data.Dataset.from_tensor_slices((X, np.zeros(48))).batch(8)
    model.fit(labelled, validation_data=(X, None), epochs=1, verbose=0)
    assert model.predict(X, batch_size=5, verbose=0).shape == X.shape
    assert model.predict(batches(), verbose=0).shape == X.shape
    probabilities = model.predict(X, verbose=0)
    assert probabilities.min() > 0.0
    assert probabilities.max() < 1.0


@pytest.mark.slow
def test_run_eagerly_takes_the_same_step(make_model):
    graph, eager = make_model(), make_model({"run_eagerly": True})
    for model in (graph, eager):
        model.fit(batches(X[:16]), verbose=0)
    for variable, value in zip(eager.trainable_variables, graph.trainable_variables, strict=True):
        np.testing.assert_allclose(variable.numpy(), value.numpy(), rtol=1e-4, atol=1e-5)


def test_a_flat_model_has_the_numbers_of_an_image_model(make_model):
    flat, image = make_model(event_shape=12), make_model()
    np.testing.assert_array_equal(
        flat.log_weights(X.reshape(48, 12), 5, tf.constant([0, 0])), image.log_weights(X, 5, tf.constant([0, 0]))
    )


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(8, 8, 1), (7, 9, 3)])
def test_convolutional_pair_trains_saves_and_loads(shape, tmp_path):
    x = (np.random.default_rng(2).random((16, *shape)) < 0.3).astype(np.float32)
    model = IWAE(
        shape,
        latent_dim=3,
        num_samples=4,
        encoder=networks.conv_encoder((4, 6), 8),
        decoder=networks.conv_decoder(shape, (6, 4), 8),
    )
    model.initialize_output_bias(np.full(shape, 0.3))
    model.compile(FusedAdam(1e-2))
    history = model.fit(batches(x), epochs=5, verbose=0).history["bound"]
    assert history[-1] > history[0]
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


@keras.saving.register_keras_serializable("test_model")
class NoisyEncoder(keras.Layer):
    """A user's own layer: dropout, batch normalization and a regularizer."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.flatten, self.dropout = keras.layers.Flatten(), keras.layers.Dropout(0.5, seed=1)
        self.norm, self.dense = keras.layers.BatchNormalization(), keras.layers.Dense(5, kernel_regularizer="l2")

    def build(self, input_shape):
        self.dense.build((None, 12))
        self.norm.build((None, 5))
        self.built = True

    def call(self, images, training=False):
        return self.dropout(self.norm(self.dense(self.flatten(images)), training=training), training=training)

    def compute_output_shape(self, input_shape):
        return input_shape[0], 5


@pytest.mark.slow
def test_custom_networks_train_in_training_mode_and_pay_their_penalties(make_model, tmp_path):
    model = make_model(encoder=NoisyEncoder())
    # A step so large that a penalty taken after it would show.
    model.optimizer.learning_rate = 0.1
    result = model.evaluate(batches(), verbose=0, return_dict=True)
    moving = model.posterior.encoder.norm.moving_mean.numpy().copy()
    penalty = 0.01 * float(np.sum(model.posterior.encoder.dense.kernel.numpy() ** 2))
    np.testing.assert_allclose(result["loss"], penalty - result["bound"], rtol=1e-5)
    model.reset_metrics()
    logs = model.train_on_batch(X[:8], return_dict=True)
    np.testing.assert_allclose(logs["loss"], penalty - logs["bound"], rtol=1e-5)
    assert np.any(model.posterior.encoder.norm.moving_mean.numpy() != moving)
    assert np.isfinite(result["bound"])
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))


def test_every_weight_gets_a_gradient(make_model):
    model = make_model()
    with tf.GradientTape() as tape:
        bound = tf.reduce_mean(model.objective(model.log_weights(X, 5, tf.constant([0, 0]))))
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(bound, model.trainable_variables), strict=True
    ):
        assert np.any(gradient.numpy() != 0.0), variable.path


def test_output_bias_makes_the_mean_image(make_model):
    model, mean = make_model(), np.linspace(0.0, 1.0, 12).reshape(SHAPE)
    model.initialize_output_bias(mean)
    at_origin = tf.sigmoid(model.generative(tf.zeros([1, 2]))).numpy()[0]
    np.testing.assert_allclose(at_origin, np.clip(mean, 0.001, 0.999), rtol=1e-4)
    for wrong in (np.full(SHAPE, 2.0), np.zeros(11), mean.astype(str)):
        with pytest.raises(ValueError, match="`mean_image`"):
            model.initialize_output_bias(wrong)
    # Of an entry that was never observed; a mean of a model that knows of missing entries has to be a number too.
    for unknown in (np.where(mean > 0.9, np.nan, mean), np.ma.masked_array(mean, mean > 0.9)):
        with pytest.raises(ValueError, match=r"`mean_image`\. Expected the mean of what was observed.*Received: NaN"):
            model.initialize_output_bias(unknown)
    decoder = keras.Sequential([keras.layers.Dense(12, use_bias=False), keras.layers.Reshape(SHAPE)])
    with pytest.raises(ValueError, match=r"PixelBias.*Received: \(2, 12\)"):
        make_model(decoder=decoder).initialize_output_bias(mean)
    decoder = keras.Sequential([keras.layers.Dense(12, use_bias=False), keras.layers.Reshape(SHAPE), PixelBias()])
    make_model(decoder=decoder).initialize_output_bias(mean)


def test_samples_repeat_by_seed_and_follow_their_probabilities(make_model):
    model = make_model()
    samples, again, other = model.sample(5000, seed=1), model.sample(5000, seed=1), model.sample(5000, seed=2)
    np.testing.assert_array_equal(samples.events, again.events)
    assert np.any(samples.latents != other.latents)
    assert set(np.unique(samples.events)) == {0.0, 1.0}
    error = np.sqrt(np.mean(samples.mean * (1 - samples.mean), axis=0) / 5000)
    gap = np.mean(samples.events - samples.mean, axis=0)
    np.testing.assert_array_less(np.abs(gap), 4.5 * error)
    np.testing.assert_allclose(samples.mean, tf.sigmoid(model.generative(samples.latents)), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 0}, "`num_samples`. Expected an integer of at least 1. Received: 0"),
        ({"num_samples": 2**31}, "`num_samples`. Expected an integer from 1 to 2147483647. Received: 2147483648"),
        ({"num_samples": 2.5}, "`num_samples`"),
        ({"latent_dim": -1}, "`latent_dim`"),
        ({"event_shape": (28, 0)}, "`event_shape`"),
        ({"hidden": ()}, "`hidden`"),
        ({"hidden": (5, "a")}, "`hidden`"),
        ({"objective": "iwea"}, "`objective`. Expected one of 'iwae', 'elbo', 'ae', 'miwae'"),
        ({"decoder": keras.layers.RepeatVector(2)}, "`decoder`. Expected features"),
    ],
)
def test_bad_arguments_are_named(make_model, arguments, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        make_model(**arguments)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
@pytest.mark.parametrize("wrap", [lambda x: x, batches], ids=["array", "dataset"])
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (X * 255.0, r"values in \[0, 1\]; divide 8-bit images by 255.*\[0, 255\]"),
        (X - 0.5, r"values in \[0, 1\].*-0.5"),
        (np.where(X > 0, np.nan, X), r"[nN]a[nN]"),
        (X[..., 0], r"shape \[.*4, 3, 1\]"),
    ],
    ids=["8-bit", "negative", "nan", "shape"],
)
def test_bad_images_are_refused(make_model, method, wrap, x, message):
    model = make_model()
    with pytest.raises(ValueError, match=f"Invalid value received for `x`.*{message}") as error:
        getattr(model, method)(wrap(x), verbose=0)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_bad_images_are_refused_under_xla_and_in_validation_data(make_model):
    model = make_model({"jit_compile": True})
    with pytest.raises(ValueError, match="`x`"):
        model.fit(batches(X * 2.0), verbose=0)
    for wrong in (batches(X * 2.0), (X * 2.0, None)):
        with pytest.raises(ValueError, match="`validation_data`"):
            model.fit(batches(), validation_data=wrong, verbose=0)
    with pytest.raises(ValueError, match="divide 8-bit images by 255"):
        model.fit(batches((X * 255.0).astype(np.uint8)), verbose=0)


@pytest.mark.slow
def test_bytes_of_0_and_1_are_images(make_model):
    """What counts is the values, not the type that they are kept in."""
    logs = [make_model().fit(batches(x), verbose=0).history["bound"] for x in (X, X.astype(np.uint8), X.astype(bool))]
    assert logs[0] == logs[1] == logs[2]


def test_a_loss_is_refused(make_model):
    with pytest.raises(ValueError, match="the loss is minus the bound"):
        make_model().compile("adam", loss="mse")


OTHERS = {
    "a layer more": ({"hidden": (8, 8)}, r"decoder/layers/dense_1/vars/0 is \[8, 8\] and is not here"),
    "a learned prior": ({"prior": "mixture"}, r"generative/prior/vars/0 is \[500, 2\] and is not here"),
    "more units": ({"latent_dim": 3}, r"decoder/layers/dense/vars/0 is \[3, 8\] and is \[2, 8\] here"),
    "another likelihood": ({"likelihood": "gaussian"}, r"likelihood/.* and is not here"),
}


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".weights.h5", ".keras"])
@pytest.mark.parametrize("name", OTHERS)
def test_weights_of_another_model_are_refused(name, ending, tmp_path):
    """Keras loads what it finds a place for, and says nothing of the rest."""
    settings = {"event_shape": 6, "latent_dim": 2, "hidden": (8,), "num_samples": 3}
    changes, said = OTHERS[name]
    path, model = tmp_path / f"other{ending}", IWAE(**settings)
    other = IWAE(**{**settings, **changes})
    other.save_weights(path) if ending == ".weights.h5" else other.save(path)
    before = model.get_weights()
    with pytest.raises(ValueError, match=rf"`filepath`. Expected weights of a model that is made as this one.*{said}"):
        model.load_weights(path)
    for one, two in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, two)
    # Those of one that is made alike, whatever is climbed.
    IWAE(**settings, objective="elbo").save_weights(tmp_path / "alike.weights.h5")
    model.load_weights(tmp_path / "alike.weights.h5")


def test_what_is_reported_is_what_metrics_are_called():
    model = small(seed=1)
    found = model.evaluate(FLAT, batch_size=3, verbose=0, return_dict=True)
    assert sorted(model.metrics_names) == sorted(found)


@pytest.mark.parametrize(
    ("given", "said"),
    [("EarlyStopping", "'EarlyStopping'"), (keras.callbacks.EarlyStopping, "<class"), ({"a": 1}, "{")],
)
@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_callbacks_are_objects(method, given, said):
    with pytest.raises(ValueError, match=rf"`callbacks`. Expected objects of Keras' callbacks.* Received: {said}"):
        getattr(small(seed=1), method)(FLAT, callbacks=[given] if said != "{" else given, verbose=0)


@pytest.mark.parametrize(
    ("name", "said"),
    [("num_groups", "objective=keras_iwae.MIWAE"), ("beta", "CIWAE"), ("levels", "CategoricalLikelihood")],
)
def test_arguments_of_parts_are_said_to_be_theirs(name, said):
    with pytest.raises(ValueError, match=rf"`{name}`. Expected no such argument of IWAE; .*{said}"):
        IWAE(6, **{name: 2})


@pytest.mark.parametrize("name", ["run", "run.h5"])
def test_a_file_of_another_ending_is_refused_when_saving(name, tmp_path):
    with pytest.raises(ValueError, match=r"`filepath`. Expected a file that ends in .keras"):
        small(seed=1).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{}, {"posterior": "iaf"}, {"objective": "ae"}, {"dtype": "mixed_bfloat16"}, {"missing": "nan"}],
    ids=str,
)
def test_a_summary_has_the_shapes_of_what_the_parts_give(make_model, settings, images):
    model, lines = make_model(**settings), []
    model.summary(print_fn=lambda text, **_: lines.append(text))
    assert "(None, 4, 3, 1)" in "".join(lines)
    assert "?" not in "".join(lines)
    given, shapes = model.posterior(images), model.posterior.compute_output_shape((7, 4, 3, 1))
    assert keras.tree.map_structure(lambda each: tuple(each.shape), given) == shapes


@pytest.mark.slow
def test_a_learned_beta_climbs_what_the_rest_climbs_in_a_warm_up():
    x = (np.random.default_rng(0).random((5, 6)) < 0.4).astype(np.float32)
    moved = {}
    for warmup in (0, 100):
        settings = {"objective": CIWAE(learned=True), "estimator": "reparameterized", "kl_warmup_steps": warmup}
        model, other = (IWAE(6, latent_dim=2, hidden=(4,), num_samples=4, **settings) for _ in range(2))
        model.compile(keras.optimizers.SGD(1.0), run_eagerly=True)
        start = float(tf.convert_to_tensor(model.beta_logit))
        model.train_on_batch(x)
        moved[warmup] = float(tf.convert_to_tensor(model.beta_logit)) - start
        weight = other._kl_weight()
        # As `bound_gradients` draws.
        key = tf.random.split(other._next_seed(tf.constant(x)), 3)[0]
        terms = other.log_terms(tf.constant(x), 4, key)
        with tf.GradientTape() as tape:
            tape.watch(logit := tf.constant(start))
            bound = tf.reduce_mean(other.objective(terms.tempered(weight), tf.sigmoid(logit)))
        assert moved[warmup] == pytest.approx(float(tape.gradient(bound, logit)), rel=1e-3, abs=1e-7)
    # Control: without the KL part it is another number.
    assert moved[100] != pytest.approx(moved[0], rel=0.05)


@pytest.mark.parametrize("policy", ["float64", "bfloat16"])
def test_a_learned_beta_is_float32_whatever_the_policy_is(policy):
    model = IWAE(6, latent_dim=2, hidden=(4,), num_samples=4, objective=CIWAE(learned=True), dtype=policy)
    model.compile("sgd", run_eagerly=True)
    assert np.isfinite(model.train_on_batch(np.zeros((3, 6), np.float32))[0])
