"""Adam in one operation: the same weights and moments as Keras' Adam, in every way that it can be called."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_iwae.training.optimizers import FusedAdam
from keras_iwae.training.schedules import PaperSchedule

SETTINGS = (
    {},
    {"learning_rate": PaperSchedule(steps_per_pass=1), "beta_1": 0.7, "beta_2": 0.9, "epsilon": 0.01},
    {"global_clipnorm": 0.5, "weight_decay": 0.1},
    {"use_ema": True, "gradient_accumulation_steps": 2},
)


def after(optimizer, steps=5, jit_compile=False):
    """Two variables and all of an optimizer's, after some steps along gradients that vary."""
    rng = np.random.default_rng(0)
    variables = [keras.Variable(rng.normal(size=shape).astype(np.float32)) for shape in ((3, 4), (4,))]
    gradients = [[rng.normal(size=v.shape).astype(np.float32) for v in variables] for _ in range(steps)]
    optimizer.build(variables)
    step = tf.function(lambda *given: optimizer.apply(list(given), variables), jit_compile=jit_compile)
    for given in gradients:
        step(*map(tf.constant, given))
    return [np.asarray(variable) for variable in (*variables, *optimizer.variables)]


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("settings", SETTINGS)
def test_the_same_as_kerass_adam(settings, jit_compile):
    settings = {"learning_rate": 0.1, **settings}
    ours, theirs = (after(kind(**settings), jit_compile=jit_compile) for kind in (FusedAdam, keras.optimizers.Adam))
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-6)


@pytest.mark.slow
def test_the_comparison_would_see_another_epsilon():
    one, other = after(FusedAdam(0.1, epsilon=1e-2)), after(keras.optimizers.Adam(0.1, epsilon=2e-2))
    assert np.abs(one[0] - other[0]).max() > 1e-4


def test_its_update_is_one_operation():
    variable = keras.Variable(np.ones(3, np.float32))
    optimizer = FusedAdam(0.1)
    optimizer.build([variable])
    graph = tf.function(lambda g: optimizer.apply([g], [variable])).get_concrete_function(tf.ones(3)).graph
    operations = [operation.type for operation in graph.get_operations()]
    assert operations.count("ResourceApplyAdam") == 1
    assert "Sqrt" not in operations


def test_what_variables_share_is_computed_once():
    variables = [keras.Variable(np.ones(3, np.float32)) for _ in range(5)]
    optimizer = FusedAdam(0.1)
    optimizer.build(variables)
    step = tf.function(lambda g: optimizer.apply([g] * 5, variables)).get_concrete_function(tf.ones(3))
    assert [operation.type for operation in step.graph.get_operations()].count("Pow") == 2


def test_variables_of_other_precisions_are_updated():
    variable = keras.Variable(np.ones(3), dtype="float64")
    optimizer = FusedAdam(0.1)
    optimizer.build([variable])
    optimizer.apply([tf.ones(3, tf.float64)], [variable])
    np.testing.assert_allclose(variable, 0.9, rtol=1e-5)


@pytest.mark.slow
def test_it_is_saved_with_a_model(make_model, images, tmp_path):
    model = make_model()
    model.compile(FusedAdam(0.01, beta_1=0.8))
    model.fit(images, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.optimizer, FusedAdam)
    for each in (model, loaded):
        each.fit(images, shuffle=False, verbose=0)
    for one, other in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_amsgrad_is_refused():
    with pytest.raises(ValueError, match=r"`amsgrad`\. Expected False\. Received: True"):
        FusedAdam(0.1, amsgrad=True)
