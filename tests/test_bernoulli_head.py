"""The last layer and the Bernoulli log-likelihood as one operation, against the plain formula in float64."""

import numpy as np
import pytest
import tensorflow as tf

from keras_iwae.likelihoods import BernoulliLikelihood, bernoulli, bernoulli_head
from keras_iwae.likelihoods.bernoulli_head import FEWEST_SAMPLES

# K, B, F and D. 127 is prime, so that no logarithms are shared; 126 and 240 are of groups of 7 and of 8.
SHAPES = [(4, 3, 5, 12), (4, 3, 5, 127), (4, 3, 5, 126), (4, 3, 5, 240), (4, 3, 5, 1), (1, 3, 5, 12), (4, 1, 5, 12)]


def arguments(samples, batch, units, size, grey=False, gain=1.0):
    """x, features, kernel and bias in float64, of numbers that float32 holds."""
    rng = np.random.default_rng(size)
    x = rng.random((batch, size)) if grey else rng.random((batch, size)) < 0.5
    features, kernel, bias = (
        rng.normal(size=(samples, batch, units)),
        rng.normal(size=(units, size)),
        rng.normal(size=size),
    )
    return [np.float64(np.float32(a)) for a in (x, features, gain * kernel, gain * bias)]


def by_head(x, features, kernel, bias):
    return bernoulli_head.bernoulli_head(x, kernel, bias)(features)


def plain(x, features, kernel, bias):
    logits = tf.einsum("kbf,fd->kbd", features, kernel) + bias
    return tf.reduce_sum(x * logits - tf.nn.softplus(logits), axis=-1)


def derivatives(function, inputs, dtype, jit_compile=False):
    """Values, their gradients in all inputs, and the gradients of a penalty on those in features and kernel."""
    inputs = [tf.constant(each, dtype) for each in inputs]
    upstream = tf.constant(np.random.default_rng(1).normal(size=inputs[1].shape[:2]), dtype)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def compute(inputs):
        with tf.GradientTape() as outer:
            outer.watch(inputs)
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                values = function(*inputs)
                total = tf.reduce_sum(upstream * values)
            first = tape.gradient(total, inputs)
            penalty = tf.reduce_sum(tf.sin(first[1])) + tf.reduce_sum(first[2] ** 2)
        return values, first, outer.gradient(penalty, inputs)

    values, first, second = compute(inputs)
    return [each.numpy() for each in (values, *first, *second)]


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5 * max(1.0, np.abs(other).max()))


@pytest.mark.slow
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_first_and_second_derivatives(shape, grey):
    inputs = arguments(*shape, grey=grey)
    expected = derivatives(plain, inputs, tf.float64)
    assert_same(derivatives(by_head, inputs, tf.float32), expected)

    # Controls: one term wrong at a time, as each might be left out of what is summed.
    def without_tails(x, features, kernel, bias):
        logits = tf.einsum("kbf,fd->kbd", features, kernel) + bias
        return tf.reduce_sum((x - 0.5) * logits - 0.5 * tf.abs(logits), axis=-1)

    def without_bias_of_x(x, features, kernel, bias):
        return plain(x, features, kernel, bias) - tf.linalg.matvec(x, bias)

    def not_centred(x, features, kernel, bias):
        return plain(x + 0.5, features, kernel, bias)

    for wrong in (without_tails, without_bias_of_x, not_centred):
        with pytest.raises(AssertionError):
            assert_same(derivatives(wrong, inputs, tf.float64), expected)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(4, 3, 5, 12), (4, 3, 5, 127), (1, 1, 5, 1)], ids=str)
def test_the_same_under_xla(shape):
    inputs = arguments(*shape)
    found = derivatives(by_head, inputs, tf.float32, jit_compile=True)
    assert_same(found, derivatives(plain, inputs, tf.float64))


@pytest.mark.slow
@pytest.mark.parametrize("gain", [10.0, 1e3, 1e4])
def test_sure_logits_cost_digits_of_their_own_size_and_no_more(gain):
    inputs = arguments(4, 3, 5, 127, gain=gain)
    found = derivatives(by_head, inputs, tf.float32)
    expected = derivatives(plain, inputs, tf.float64)
    assert all(np.all(np.isfinite(each)) for each in found)
    sizes = np.abs(np.einsum("kbf,fd->kbd", inputs[1], inputs[2]) + inputs[3]).sum(axis=-1)
    np.testing.assert_array_less(np.abs(found[0] - expected[0]), 1e-6 * sizes)


def test_a_product_that_float32_does_not_hold_is_not_taken(monkeypatch):
    inputs = [tf.constant(each, tf.float32) for each in arguments(4, 3, 5, 120, gain=100.0)]
    assert np.all(np.isfinite(by_head(*inputs)))
    # Control: it would be 0, and its logarithm infinite.
    monkeypatch.setattr(bernoulli_head, "_SMALLEST", -1.0)
    assert not np.all(np.isfinite(by_head(*inputs)))


def test_a_row_is_rounded_as_it_is_whatever_the_others_are():
    x, features, kernel, bias = (tf.constant(each, tf.float32) for each in arguments(3, 4, 5, 120))
    # Of the last event, logits whose products float32 does not hold.
    beside = tf.concat([features[:, :3], 1e3 * features[:, 3:]], axis=1)
    one, other = (by_head(x, each, kernel, bias) for each in (features, beside))
    np.testing.assert_array_equal(one[:, :3], other[:, :3])


def built(features=5, **kwargs):
    likelihood = BernoulliLikelihood(**kwargs)
    likelihood.describe_events((2, 3), seed=1)
    likelihood.build((None, *features) if isinstance(features, tuple) else (None, features))
    for variable in likelihood.trainable_variables:
        variable.assign(np.random.default_rng(2).normal(size=variable.shape))
    return likelihood


@pytest.mark.slow
def test_the_likelihood_takes_it_where_it_wins_and_only_there(monkeypatch):
    used = []

    def spy(*given):
        used.append(given)
        return bernoulli_head.bernoulli_head(*given)

    monkeypatch.setattr(bernoulli, "bernoulli_head", spy)
    likelihood, rng = built(), np.random.default_rng(3)
    x = (rng.random((3, 2, 3)) < 0.5).astype(np.float32)
    features = rng.normal(size=(FEWEST_SAMPLES, 3, 5)).astype(np.float32)
    mask = tf.constant(rng.random(x.shape) < 0.5)

    def uses(likelihood, features, mask=None):
        before = len(used)
        found = likelihood.log_prob(x, features, mask).numpy()
        entries = likelihood.entries(likelihood(features)).log_prob(x).numpy()
        expected = (entries if mask is None else np.where(mask, entries, 0.0)).sum(axis=(2, 3))
        np.testing.assert_allclose(found, expected, rtol=1e-2 if likelihood.dtype_policy.name != "float32" else 1e-5)
        return len(used) - before

    assert uses(likelihood, features) == 1
    assert uses(likelihood, features[1:]) == 0
    assert uses(likelihood, features, mask) == 0
    assert uses(built((2, 3)), rng.normal(size=(FEWEST_SAMPLES, 3, 2, 3)).astype(np.float32)) == 0
    assert uses(built(dtype="mixed_bfloat16"), features) == 0
    # Those of a decoder of another precision, as of a model with dtype="mixed_float16", whose likelihood is float32.
    for dtype in ("float16", "bfloat16", "float64"):
        assert uses(likelihood, tf.cast(features, dtype)) == 1
    # A number of samples that is not known while the graph is made is none that wins, but for many draws of the same x.
    unknown = tf.function(likelihood.log_prob, input_signature=[tf.TensorSpec([3, 2, 3]), tf.TensorSpec([None, 3, 5])])
    before, expected = len(used), likelihood.entries(likelihood(features)).log_prob(x).numpy().sum(axis=(2, 3))
    np.testing.assert_allclose(unknown(x, features), expected, rtol=1e-5)
    assert len(used) == before
    of_x = likelihood.log_prob_of(x)
    unknown = tf.function(of_x, input_signature=[tf.TensorSpec([None, 3, 5])])
    for some in (of_x(features), of_x(features[1:]), unknown(features), unknown(features[1:])):
        np.testing.assert_allclose(some, expected[-len(some) :], rtol=1e-5)
    assert len(used) == before + 1, "what x alone says is said once"
    # On a GPU none of it: it has the host look at a condition.
    before, branches = len(used), {"If", "StatelessIf"}

    def operations():
        graph = tf.function(likelihood.log_prob_of(x)).get_concrete_function(tf.TensorSpec([20, 3, 5])).graph
        return {operation.type for operation in graph.get_operations()}

    assert operations() & branches
    assert len(used) == before + 1
    on_cpu = likelihood.log_prob(x, features).numpy()
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["/GPU:0"] if kind == "GPU" else [])
    before = len(used)
    assert not operations() & branches
    np.testing.assert_allclose(likelihood.log_prob(x, features), on_cpu, rtol=1e-5)
    assert len(used) == before
