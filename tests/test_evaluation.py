import json
import math
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from keras_iwae.evaluation import diagnostics
from keras_iwae.evaluation.importance import importance_weighted_nll
from keras_iwae.evaluation.streaming import stream_log_weights
from keras_iwae.foundation import Places, having_rows
from keras_iwae.foundation.numerics import as_sample_size, effective_sample_size


def nll(model, images, num_samples, **kwargs):
    return importance_weighted_nll(model, images, num_samples, verbose=False, **kwargs)


def reference_weights(model, images, num_samples, seed):
    """Every log weight at once, sample by sample with the seeds and the places that the evaluator documents."""
    q = model.posterior.distribution(images)
    weights = []
    for block in range(-(-num_samples // 25)):
        with having_rows(Places(tf.constant(0))):
            drawn = q.sample([25], seed=tf.random.fold_in(seed, block))
        for z in drawn:
            weights.append(model.generative.log_joint(images, z[tf.newaxis]) - q.log_prob(z))
    return np.concatenate(weights[:num_samples]).astype(np.float64)


def log_mean_exp(weights):
    return np.logaddexp.reduce(weights, axis=0) - math.log(len(weights))


@pytest.mark.slow
@pytest.mark.parametrize("chunk_size", [1, 7, 25, 40, 100])
def test_result_equals_all_weights_at_once_whatever_the_chunk(make_model, images, chunk_size):
    model = make_model()
    weights = reference_weights(model, images, 53, tf.constant([5, 0]))
    result = nll(model, images, 53, bounds=(1, 4, 10), chunk_size=chunk_size, seed=5)
    assert list(result.bound_per_example) == [1, 4, 10, 53]
    np.testing.assert_allclose(result.log_likelihood_per_example, log_mean_exp(weights), rtol=1e-5)
    np.testing.assert_allclose(result.bound_per_example[1], weights.mean(axis=0), rtol=1e-5)
    fours = np.stack([log_mean_exp(weights[i : i + 4]) for i in range(0, 52, 4)]).mean(axis=0)
    np.testing.assert_allclose(result.bound_per_example[4], fours, rtol=1e-5)
    normalized = np.exp(weights - np.logaddexp.reduce(weights, axis=0))
    np.testing.assert_allclose(result.ess_per_example, 1.0 / (normalized**2).sum(axis=0), rtol=1e-4)
    # Control: K rounded down to a multiple of the chunk, as others have it, is another number.
    assert np.abs(log_mean_exp(weights[:50]) - log_mean_exp(weights)).max() > 1e-3


@pytest.mark.slow
def test_every_image_counts_once(make_model, images):
    model = make_model()
    batched = nll(model, tf.data.Dataset.from_tensor_slices(images).batch(3), 11, seed=2)
    assert batched.ess_per_example.shape == batched.log_likelihood_per_example.shape == (7,)
    assert batched.nll == pytest.approx(-batched.log_likelihood_per_example.mean())
    per_batch = [batched.log_likelihood_per_example[i : i + 3].mean() for i in (0, 3, 6)]
    assert abs(np.mean(per_batch) + batched.nll) > 1e-3


@pytest.mark.slow
def test_numbers_of_a_result(make_model, images):
    result = nll(make_model(), images, 9)
    values = result.log_likelihood_per_example
    assert result.nll > 0.0
    assert result.bits_per_dimension == pytest.approx(result.nll / math.log(2.0) / 12)
    assert result.standard_error == pytest.approx(values.std(ddof=1) / math.sqrt(7))
    assert result.bounds[9] == pytest.approx(-result.nll)
    record = json.loads(json.dumps(result.to_dict()))
    assert record["num_examples"] == 7
    assert record["bounds"]["9"] == pytest.approx(-result.nll)
    for text in ("NLL", "L_1", "L_2", "L_5", "L_9", "active units", "of 9"):
        assert text in str(result)
    assert nll(make_model(), images[:1], 9).to_dict()["standard_error"] is None


@pytest.mark.slow
def test_seeds(make_model, images):
    model = make_model()
    first, again, other = (nll(model, images, 9, seed=seed).nll for seed in (1, 1, 2))
    assert first == again != other
    doubled = nll(model, np.concatenate([images, images]), 9, batch_size=7).log_likelihood_per_example
    assert np.all(doubled[:7] != doubled[7:])


@pytest.mark.slow
def test_the_encoder_runs_once_for_all_chunks(make_model, images):
    model = make_model()
    graph = tf.function(
        lambda x: stream_log_weights(
            model, x, tf.constant(40), tf.constant([0, 0]), [1, 40], chunk_size=4, num_largest=9
        ),
        autograph=False,
    ).get_concrete_function(tf.TensorSpec([None, 4, 3, 1]))
    outside = [op for op in graph.graph.get_operations() if "MatMul" in op.type]
    inside = [
        node
        for function in graph.graph.as_graph_def().library.function
        for node in function.node_def
        if "MatMul" in node.op and "encoder" in node.name
    ]
    # Two hidden layers and two heads; and, of the likelihood's head, what is of the images alone.
    assert len(outside) == 4 + 2
    assert not inside


@pytest.mark.slow
def test_bad_input(make_model, images):
    model = make_model()
    for arguments, name in [
        ({"num_samples": 0}, "num_samples"),
        ({"num_samples": 5, "chunk_size": 0}, "chunk_size"),
        ({"num_samples": 5, "bounds": (0,)}, "bounds"),
        ({"num_samples": 5, "bounds": (6,)}, "bounds"),
        ({"num_samples": 5, "bounds": 5}, "bounds"),
        ({"num_samples": 5, "batch_size": 0}, "batch_size"),
    ]:
        with pytest.raises(ValueError, match=f"`{name}`"):
            nll(model, images, **arguments)
    for wrong in (images * 9, images[..., 0], images[:0], tf.data.Dataset.from_tensor_slices(images * 9).batch(2)):
        with pytest.raises(ValueError, match="`data`"):
            nll(model, wrong, 5)
    with pytest.raises(ValueError, match=r"at least one (example|batch)"):
        nll(model, tf.data.Dataset.from_tensor_slices(images).batch(2).take(0), 5)


def test_active_units_are_counted_over_data_on_means():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(4000, 5)) * np.sqrt([1.0, 0.02, 0.005, 0.0, 4.0]) + [0.0, 9.0, 9.0, 9.0, 0.0]
    np.testing.assert_array_equal(diagnostics.active_units(means), [True, True, False, False, True])


@pytest.mark.slow
def test_memory_does_not_grow_with_k():
    """What an evaluation at a larger K adds to the peak memory of its process, beside what two chunks take."""
    program = """
import resource, numpy as np
from keras_iwae import IWAE
from keras_iwae.evaluation import importance_weighted_nll
for pixels, count, ks in ((28, 28, 1), 8, (100, 4000)), ((2, 2, 1), 3000, (1000, 9000)):
    model = IWAE(pixels, hidden=(4,), latent_dim=2)
    images = (np.random.default_rng(0).random((count, *pixels)) < 0.2).astype("float32")
    peaks = []
    for k in ks:
        importance_weighted_nll(model, images, k, chunk_size=25, batch_size=count, bounds=(), verbose=False)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    print(peaks[1] - peaks[0])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    of_logits, of_log_weights = map(int, done.stdout.split())
    # All logits of 3,900 more samples would be 98 MB.
    assert of_logits < 40
    # All log weights of 8,000 more samples would be 96 MB; what is kept of them grows with the square root of K.
    assert of_log_weights < 60


@pytest.mark.parametrize("offset", [0.0, 543.21, -98765.4])
def test_no_effective_sample_size_is_below_one_or_above_all(offset):
    """Where one sample has all of the weight, float32 leaves a little less than one of it, and of equal ones more."""
    rng = np.random.default_rng(3)
    one = rng.normal(size=(1000, 50)).astype(np.float32) + np.float32(offset)
    one[rng.integers(1000, size=50), np.arange(50)] += 200.0
    equal = np.full([1000, 50], offset, np.float32) + rng.normal(size=50).astype(np.float32)
    for log_weights, expected in ((one, 1.0), (equal, 1000.0)):
        found = effective_sample_size(tf.constant(log_weights)).numpy()
        assert (found >= 1.0).all()
        assert (found <= 1000.0).all()
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    beyond = as_sample_size(tf.constant([0.9999, 1.5, 1000.0001, np.nan]), 1000)
    np.testing.assert_array_equal(beyond, np.array([1.0, 1.5, 1000.0, np.nan], np.float32))


@pytest.mark.slow
def test_noise_that_one_sample_explains_counts_as_one(make_model):
    model = make_model(event_shape=(28, 28, 1), seed=2)
    noise = (np.random.default_rng(0).random((40, 28, 28, 1)) < 0.5).astype(np.float32)
    for weight in model.generative.trainable_variables:
        weight.assign(8.0 * weight)
    found = importance_weighted_nll(model, noise, num_samples=50, verbose=False).ess_per_example
    assert found.min() >= 1.0
    assert (found < 1.001).any()
