"""The SavedModel answers what the Python model answers, in processes that know nothing of Keras or of this package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow.core.protobuf import saved_model_pb2

from keras_iwae import likelihoods, networks
from keras_iwae.evaluation.streaming import stream_log_weights
from keras_iwae.foundation.keys import Purpose, key_for
from keras_iwae.foundation.support import Support
from keras_iwae.models.iwae import IWAE
from keras_iwae.serving import export
from keras_iwae.serving.endpoints import Endpoint
from keras_iwae.serving.export import export_saved_model, load_saved_model
from keras_iwae.serving.limits import limited
from keras_iwae.serving.warmup import PredictionLog, prediction_log

SHAPE, LATENT = (8, 8, 1), 2
ROW_ENDPOINTS = {"sample": "seed", "decode": "latents", "encode": "images", "reconstruct": "images"}
ENDPOINTS = {*ROW_ENDPOINTS, "sample_n", "log_likelihood"}
TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}


def small_model(event_shape=SHAPE, **kwargs) -> IWAE:
    model = IWAE(event_shape, **{"latent_dim": LATENT, "hidden": (16,), **kwargs})
    # Fresh biases are zero and fresh kernels small: an endpoint that forgot a layer would hardly differ.
    rng = np.random.default_rng(0)
    for weight in model.trainable_variables:
        weight.assign(rng.normal(0.0, 0.5, weight.shape).astype(np.float32))
    return model


def images(n: int, shape=SHAPE) -> np.ndarray:
    return np.random.default_rng(1).random((n, *shape), dtype=np.float32)


@pytest.fixture(scope="module")
def model() -> IWAE:
    return small_model()


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory) -> Path:
    # A seed set before the export is what makes stateful random ops repeat themselves in the artefact.
    tf.random.set_seed(0)
    return export_saved_model(model, tmp_path_factory.mktemp("serving"))


@pytest.fixture(scope="module")
def signatures(folder):
    loaded = load_saved_model(folder.parent)
    return {name: _Numpy(loaded, signature) for name, signature in loaded.signatures.items()}


class _Numpy:
    """A signature that gives arrays; it keeps the loaded object, and so its variables, alive."""

    def __init__(self, loaded, signature):
        self.loaded, self.signature = loaded, signature

    def __call__(self, **inputs) -> dict[str, np.ndarray]:
        outputs = self.signature(**{name: tf.constant(value) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}


def requests() -> dict[str, dict[str, np.ndarray]]:
    """One request for each endpoint."""
    latents = np.random.default_rng(2).normal(size=(3, LATENT)).astype(np.float32)
    return {
        "sample": {"seed": np.array([3, -1, 2**31 - 1, 3], np.int32)},
        "sample_n": {"num_samples": np.int32(4), "seed": np.int32(11)},
        "decode": {"latents": latents},
        "encode": {"images": images(3)},
        "reconstruct": {"images": images(3)},
        "log_likelihood": {"images": images(3), "num_samples": np.int32(60), "seed": np.int32(5)},
    }


def assert_same(actual: dict, expected: dict):
    assert set(actual) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(actual[name], value, **TOLERANCE, err_msg=name)


# What the artefact says of itself


@pytest.mark.slow
def test_signatures_have_the_documented_names_types_and_shapes(signatures):
    image, rows, scalar = ("float32", [None, *SHAPE]), ("float32", [None, LATENT]), ("int32", [])
    draws = {"latents": rows, "probabilities": image, "images": image}
    vector = ("float32", [None])
    expected = {
        "sample": ({"seed": ("int32", [None])}, draws),
        "sample_n": ({"num_samples": scalar, "seed": scalar}, draws),
        "decode": ({"latents": rows}, {"probabilities": image, "logits": image}),
        "encode": ({"images": image}, {"mean": rows, "stddev": rows}),
        "reconstruct": ({"images": image}, {"probabilities": image}),
        "log_likelihood": (
            {"images": image, "num_samples": scalar, "seed": scalar},
            {"log_likelihood": vector, "effective_sample_size": vector},
        ),
    }
    expected["serving_default"] = expected["sample"]

    def described(specs):
        return {name: (spec.dtype.name, spec.shape.as_list()) for name, spec in specs.items()}

    actual = {
        name: (described(s.signature.structured_input_signature[1]), described(s.signature.structured_outputs))
        for name, s in signatures.items()
    }
    assert actual == expected


@pytest.mark.slow
@pytest.mark.parametrize("rows", [0, 1, 5])
@pytest.mark.parametrize("endpoint", ROW_ENDPOINTS)
def test_a_row_in_is_a_row_out(signatures, endpoint, rows):
    name = ROW_ENDPOINTS[endpoint]
    inputs = {
        "seed": np.arange(rows, dtype=np.int32),
        "latents": np.zeros((rows, LATENT), np.float32),
        "images": images(rows),
    }
    outputs = signatures[endpoint](**{name: inputs[name]})
    assert {len(value) for value in outputs.values()} == {rows}


@pytest.mark.slow
def test_no_random_op_keeps_state_and_decode_has_none_at_all(folder, signatures):
    proto = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graph = proto.meta_graphs[0].graph_def
    ops = {node.op for function in graph.library.function for node in function.node_def} | {
        node.op for node in graph.node
    }
    random_ops = {op for op in ops if "Random" in op}
    assert random_ops
    assert all(op.startswith("Stateless") for op in random_ops)
    decode = signatures["decode"].signature.graph.as_graph_def()
    decode_ops = {node.op for function in decode.library.function for node in function.node_def}
    assert "MatMul" in decode_ops
    assert not any("Random" in op for op in decode_ops)


# Each endpoint against the Python model


def named(samples):
    """Samples of a Bernoulli model under the names that the served ones have."""
    return {"latents": samples.latents, "probabilities": samples.mean, "images": samples.events}


@pytest.mark.slow
def test_sample_is_the_models_own_sample_of_each_seed(model, signatures):
    seeds = requests()["sample"]["seed"]
    served = signatures["sample"](seed=seeds)
    for row, seed in enumerate(seeds):
        expected = {name: value.numpy()[0] for name, value in named(model.sample(1, int(seed))).items()}
        assert_same({name: value[row] for name, value in served.items()}, expected)
    assert not np.array_equal(served["latents"][0], served["latents"][1])
    assert set(np.unique(served["images"])) <= {0.0, 1.0}


def test_a_sample_depends_on_its_own_seed_only(signatures):
    sample = signatures["sample"]
    seeds = np.arange(20, dtype=np.int32)
    together = sample(seed=seeds)
    order = np.random.default_rng(0).permutation(20)
    shuffled = sample(seed=seeds[order])
    alone = sample(seed=seeds[7:8])
    tf.random.set_seed(123)
    again = sample(seed=seeds)
    for name, value in together.items():
        np.testing.assert_array_equal(shuffled[name], value[order], err_msg=name)
        np.testing.assert_array_equal(alone[name][0], value[7], err_msg=name)
        np.testing.assert_array_equal(again[name], value, err_msg=name)
    assert len(np.unique(together["latents"], axis=0)) == 20


def test_serving_default_is_sample(signatures):
    assert_same(signatures["serving_default"](**requests()["sample"]), signatures["sample"](**requests()["sample"]))


@pytest.mark.statistical
def test_samples_have_the_priors_and_the_likelihoods_moments(signatures):
    draws = signatures["sample"](seed=np.arange(4000, dtype=np.int32))
    standard_error = 1.0 / np.sqrt(draws["latents"].size)
    assert abs(draws["latents"].mean()) < 4 * standard_error
    assert abs(draws["latents"].var() - 1.0) < 4 * np.sqrt(2) * standard_error
    p = draws["probabilities"].astype(np.float64)
    assert abs((draws["images"] - p).mean()) < 4 * np.sqrt((p * (1 - p)).mean() / p.size)


def test_sample_n_is_the_models_sample(model, signatures):
    request = requests()["sample_n"]
    expected = model.sample(int(request["num_samples"]), int(request["seed"]))
    assert_same(signatures["sample_n"](**request), {name: v.numpy() for name, v in named(expected).items()})


def test_decode_gives_the_logits_and_their_sigmoid(model, signatures):
    latents = requests()["decode"]["latents"]
    logits = model.generative(latents).numpy()
    expected = {"logits": logits, "probabilities": 1.0 / (1.0 + np.exp(-logits.astype(np.float64)))}
    assert_same(signatures["decode"](latents=latents), expected)


def test_encode_gives_the_posterior(model, signatures):
    mean, stddev = model.posterior(images(3))
    assert_same(signatures["encode"](images=images(3)), {"mean": mean.numpy(), "stddev": stddev.numpy()})


def test_reconstruct_decodes_the_posterior_mean(signatures):
    mean = signatures["encode"](images=images(3))["mean"]
    expected = {"probabilities": signatures["decode"](latents=mean)["probabilities"]}
    assert_same(signatures["reconstruct"](images=images(3)), expected)


def test_log_likelihood_is_the_importance_sampled_bound(model, signatures):
    request = requests()["log_likelihood"]
    served = signatures["log_likelihood"](**request)
    num_samples, seed = int(request["num_samples"]), key_for(Purpose.SERVED, 5)
    streamed = stream_log_weights(model, request["images"], tf.constant(num_samples), seed, [num_samples])
    np.testing.assert_allclose(served["log_likelihood"], streamed.bounds[0], rtol=1e-5)
    np.testing.assert_allclose(served["effective_sample_size"], streamed.effective_sample_size, rtol=1e-4)

    # The same draws once more, weighted one by one and averaged in float64.
    posterior = model.posterior.distribution(request["images"])
    blocks = [posterior.sample([25], seed=tf.random.fold_in(seed, i)) for i in range(-(-num_samples // 25))]
    z = tf.concat(blocks, axis=0)[:num_samples]
    log_weights = (model.generative.log_joint(request["images"], z) - posterior.log_prob(z)).numpy().astype(np.float64)
    weights = np.exp(log_weights - log_weights.max(axis=0))
    np.testing.assert_allclose(
        served["log_likelihood"], np.log(weights.mean(axis=0)) + log_weights.max(axis=0), rtol=1e-5
    )
    ess = weights.sum(axis=0) ** 2 / (weights**2).sum(axis=0)
    np.testing.assert_allclose(served["effective_sample_size"], ess, rtol=1e-4)


@pytest.mark.slow
def test_log_likelihood_by_a_proposal_fitted_to_each_image(model, signatures, tmp_path):
    """Closer to log p(x), and the same for an image wherever it stands in a request."""
    export_saved_model(model, tmp_path, proposal="refined")
    loaded = load_saved_model(tmp_path)
    fitted = _Numpy(loaded, loaded.signatures["log_likelihood"])
    x, scalars = images(5), {"num_samples": np.int32(20), "seed": np.int32(3)}
    found = fitted(images=x, **scalars)["log_likelihood"]
    np.testing.assert_allclose(fitted(images=x[::-1], **scalars)["log_likelihood"], found[::-1], rtol=1e-5)
    many = fitted(images=x, num_samples=np.int32(2000), seed=np.int32(4))["log_likelihood"]
    np.testing.assert_allclose(found, many, atol=0.2)
    # The encoder of this model knows nothing of its decoder.
    assert np.all(signatures["log_likelihood"](images=x, **scalars)["log_likelihood"] < many - 0.5)
    with pytest.raises(ValueError, match="`proposal`"):
        export_saved_model(model, tmp_path, proposal="best")


@pytest.mark.slow
def test_convolutions_export_too(tmp_path):
    shape = (10, 9, 2)
    encoder, decoder = networks.conv_encoder((4, 4), units=8), networks.conv_decoder(shape, (4, 4), units=8)
    model = small_model(shape, encoder=encoder, decoder=decoder, hidden=None)
    export_saved_model(model, tmp_path)
    loaded = load_saved_model(tmp_path)
    latents = requests()["decode"]["latents"]
    served = loaded.signatures["decode"](latents=tf.constant(latents))
    np.testing.assert_allclose(served["logits"], model.generative(latents), **TOLERANCE)
    x = images(3, shape)
    served = loaded.signatures["encode"](images=tf.constant(x))
    np.testing.assert_allclose(served["mean"], model.posterior.mean(x), **TOLERANCE)


# What a server does with it


@pytest.fixture(scope="module")
def session(folder):
    """The artefact as one graph in a session, which is how TF Serving runs it: fed and fetched by tensor names."""
    with tf.Graph().as_default() as graph:
        session = tf.compat.v1.Session(graph=graph)
        meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))

    def run(endpoint, inputs):
        signature = meta_graph.signature_def[endpoint]
        feeds = {signature.inputs[name].name: value for name, value in inputs.items()}
        return session.run({name: tensor.name for name, tensor in signature.outputs.items()}, feeds)

    yield run
    session.close()


@pytest.mark.slow
def test_a_graph_session_gives_the_same(session, signatures):
    for endpoint, inputs in requests().items():
        assert_same(session(endpoint, inputs), signatures[endpoint](**inputs))


BAD_IMAGES = {
    "8-bit": images(2) * 255.0,
    "negative": images(2) - 1.0,
    "nan": np.where(images(2) > 0.5, np.nan, images(2)),
}


@pytest.mark.slow
@pytest.mark.parametrize("bad", BAD_IMAGES)
@pytest.mark.parametrize("endpoint", ["encode", "reconstruct", "log_likelihood"])
def test_images_out_of_range_are_refused(session, signatures, endpoint, bad):
    request = {**requests()[endpoint], "images": BAD_IMAGES[bad].astype(np.float32)}
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`images`. Expected values in \[0, 1\]"):
        signatures[endpoint](**request)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`images`. Expected values in \[0, 1\]"):
        session(endpoint, request)


@pytest.mark.parametrize("num_samples", [0, -3])
@pytest.mark.parametrize("endpoint", ["sample_n", "log_likelihood"])
def test_fewer_than_one_sample_is_refused(session, signatures, endpoint, num_samples):
    request = {**requests()[endpoint], "num_samples": np.int32(num_samples)}
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`num_samples`. Expected an integer of at least 1"):
        signatures[endpoint](**request)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`num_samples`. Expected an integer of at least 1"):
        session(endpoint, request)


MOST = np.int32(2**31 - 1)
TOO_MUCH = {
    "sample_n": ({"num_samples": MOST, "seed": np.int32(0)}, r"`num_samples`. Expected at most 10000 rows"),
    "sample": ({"seed": np.zeros(10_001, np.int32)}, r"`seed`. Expected at most 10000 rows"),
    "decode": ({"latents": np.zeros([10_001, LATENT], np.float32)}, r"`latents`. Expected at most 10000 rows"),
    "encode": ({"images": np.zeros([10_001, *SHAPE], np.float32)}, r"`images`. Expected at most 10000 rows"),
    "log_likelihood": (
        {"images": images(2), "num_samples": MOST, "seed": np.int32(0)},
        r"`num_samples`. Expected at most 1000000 importance samples over all rows",
    ),
}


@pytest.mark.parametrize("endpoint", TOO_MUCH)
def test_more_than_a_server_can_bear_is_refused_at_once(session, endpoint):
    inputs, message = TOO_MUCH[endpoint]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        session(endpoint, inputs)


def test_what_is_said_of_a_limit_is_what_was_sent(session):
    request = {"images": images(3), "num_samples": np.int32(2_000_000), "seed": np.int32(0)}
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"Received: 2000000 samples of each row"):
        session("log_likelihood", request)


@pytest.mark.parametrize(
    ("endpoint", "name"), [("log_likelihood", "num_samples"), ("sample_n", "num_samples"), ("sample_n", "seed")]
)
def test_a_list_in_the_place_of_a_number_is_named(signatures, endpoint, name):
    request = {**requests()[endpoint], name: np.array([3], np.int32)}
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"`{name}`. Expected shape \[\]. Received: \[1\]"):
        signatures[endpoint](**request)


@pytest.mark.slow
def test_limits_are_those_of_the_export():
    specs = tf.TensorSpec([None], tf.float32, "events"), tf.TensorSpec([], tf.int32, "num_samples")
    served = limited(Endpoint(lambda x, n: {"y": x * tf.cast(n, tf.float32)}, specs), max_rows=25, max_samples=200)
    served = tf.function(served, input_signature=specs)
    np.testing.assert_array_equal(served([1.0, 2.0], 10)["y"], [10.0, 20.0])
    # Samples of no row at all are as many steps as those of 20.
    samples, rows = "at most 200 importance .*fewer than 20 rows count as 20", "`events`. .* at most 25 rows"
    for *inputs, message in (
        ([1.0, 2.0], 11, samples),
        (tf.zeros([0]), 11, samples),
        ([1.0] * 25, 9, samples),
        ([1.0] * 26, 1, rows),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            served(*inputs)
    # Of a table, where the export says how many samples a row takes.
    rows = Endpoint(lambda x: {"y": x}, specs[:1], samples=10)
    served = limited(rows, max_rows=3, max_samples=20)
    assert served(tf.ones(2))["y"].shape == [2]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`events`. .* at most 20 importance .*\(max_samples\)"):
        served(tf.ones(3))
    for asked, has in ((rows, True), (rows._replace(samples=0), False), (Endpoint(len, specs), True)):
        assert asked.has_samples is has
    assert not Endpoint(len, specs[1:]).has_samples


@pytest.mark.parametrize("path", [None, 3])
def test_a_path_is_one(tiny, path):
    for ask in (lambda: export_saved_model(tiny, path), lambda: load_saved_model(path)):
        with pytest.raises(ValueError, match=r"`path`\. Expected a path\. Received: "):
            ask()


@pytest.mark.parametrize("limit", [{"max_rows": 0}, {"max_samples": 1.5}, {"max_samples": 19}])
def test_a_limit_is_a_positive_integer(tiny, tmp_path, limit):
    # And one that allows something.
    with pytest.raises(ValueError, match=f"`{next(iter(limit))}`"):
        export_saved_model(tiny, tmp_path, **limit)
    assert not list(tmp_path.iterdir())


CLIENT = """
import importlib.util, sys

ABSENT = {"keras", "tf_keras", "tensorflow_probability", "keras_iwae"}
assert all(importlib.util.find_spec(name) for name in ABSENT), "nothing to hide"

class Hiding:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in ABSENT else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
for name in ABSENT:
    try:
        __import__(name)
    except ImportError:
        continue
    raise AssertionError(name + " can be imported")

import numpy as np
import tensorflow as tf

folder, inputs, outputs, seed = sys.argv[1:]
tf.random.set_seed(int(seed))
signatures = tf.saved_model.load(folder).signatures
answers = {}
requests = np.load(inputs)
for endpoint in {key.split("/")[0] for key in requests}:
    request = {key.split("/")[1]: tf.constant(requests[key]) for key in requests if key.split("/")[0] == endpoint}
    answers |= {endpoint + "/" + name: value.numpy() for name, value in signatures[endpoint](**request).items()}
assert not {module.split(".")[0] for module in sys.modules} & ABSENT
np.savez(outputs, **answers)
"""


@pytest.mark.slow
def test_two_processes_without_keras_serve_the_same_numbers(folder, signatures, tmp_path):
    np.savez(
        tmp_path / "in.npz",
        **{f"{e}/{name}": value for e, inputs in requests().items() for name, value in inputs.items()},
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(export.__file__).parents[2])}
    clients = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                CLIENT,
                str(folder),
                str(tmp_path / "in.npz"),
                str(tmp_path / f"{seed}.npz"),
                str(seed),
            ],
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )
        for seed in (1, 2)
    ]
    for client in clients:
        _, stderr = client.communicate(timeout=120)
        assert client.returncode == 0, stderr
    first, second = (dict(np.load(tmp_path / f"{seed}.npz")) for seed in (1, 2))
    here = {f"{e}/{name}": v for e, inputs in requests().items() for name, v in signatures[e](**inputs).items()}
    assert {name.split("/")[0] for name in first} == ENDPOINTS
    assert_same(first, here)
    assert_same(second, first)


# Warm-up


def warmup_requests(folder: Path) -> list:
    records = tf.data.TFRecordDataset(str(folder / "assets.extra" / "tf_serving_warmup_requests"))
    return [PredictionLog.FromString(record.numpy()).predict_log.request for record in records]


def test_warmup_replays_every_endpoint_that_server_side_batching_takes(folder, session):
    replayed = []
    for request in warmup_requests(folder):
        inputs = {entry.key: tf.make_ndarray(entry.value) for entry in request.inputs}
        # A scalar input would keep the whole version from loading under --enable_batching.
        assert {len(value) for value in inputs.values()} == {1}
        outputs = session(request.model_spec.signature_name, inputs)
        assert all(len(value) == 1 and np.isfinite(value).all() for value in outputs.values())
        replayed.append(request.model_spec.signature_name)
    assert replayed == list(ROW_ENDPOINTS)


class NumbersFromOne(likelihoods.Likelihood):
    """Of a user's own, of numbers of at least 1."""

    support = Support(low=1.0)

    def entries(self, parameters):
        return tfp.distributions.LogNormal(parameters, 1.0)


@pytest.mark.slow
def test_warmup_rows_are_in_the_support(tmp_path):
    model = IWAE(3, latent_dim=2, hidden=(4,), likelihood=NumbersFromOne())
    folder = export_saved_model(model, tmp_path)
    served = load_saved_model(tmp_path).signatures
    answered = []
    for request in warmup_requests(folder):
        inputs = {entry.key: tf.constant(tf.make_ndarray(entry.value)) for entry in request.inputs}
        outputs = served[request.model_spec.signature_name](**inputs)
        assert all(np.isfinite(value).all() for value in outputs.values())
        answered.append(request.model_spec.signature_name)
    assert set(answered) == set(ROW_ENDPOINTS)
    # Columns have their own.
    spec = tf.TensorSpec([None, 3], tf.float32)
    np.testing.assert_array_equal(export._one_row(spec, [1.0, 0.0, 2.0]), [[1.0, 0.0, 2.0]])


def test_warmup_bytes_are_those_of_tensorflow_serving_api():
    # Written by `tensorflow_serving.apis` 2.21.0 with SerializeToString(deterministic=True).
    reference = (
        "32540a520a160a04697761651a0e6c6f675f6c696b656c69686f6f6412200a06696d61676573121608011208120208011202080222080000"
        "00000000803f12160a0b6e756d5f73616d706c65731207080312003a0103"
    )
    inputs = {"images": np.array([[0.0, 1.0]], np.float32), "num_samples": np.int32(3)}
    assert prediction_log("iwae", "log_likelihood", inputs).hex() == reference


# Versions


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def tiny() -> IWAE:
    return small_model((4,))


@pytest.mark.slow
def test_a_notebook_is_told_of_no_folder_that_is_renamed_at_once(tiny, tmp_path, caplog):
    tf.get_logger().propagate, propagates = True, tf.get_logger().propagate
    caplog.set_level("INFO", "tensorflow")
    try:
        tf.saved_model.save(tf.Module(), str(tmp_path / "plain"))
        assert "Assets written" in caplog.text
        caplog.clear()
        export_saved_model(tiny, tmp_path / "serving")
    finally:
        tf.get_logger().propagate = propagates
    assert not caplog.text
    assert tf.get_logger().level == 20


@pytest.mark.slow
def test_versions_count_up_from_what_is_there(tiny, tmp_path):
    path = tmp_path / "new" / "serving"
    assert export_saved_model(tiny, path) == path / "1"
    for name in ("7", "notes", ".unfinished-1", "8.tmp"):
        (path / name).mkdir()
    (path / "9").write_text("a file is no version")
    assert export_saved_model(tiny, str(path)).name == "8"
    assert sorted(f.name for f in path.iterdir()) == [".unfinished-1", "1", "7", "8", "8.tmp", "9", "notes"]
    assert {f.name for f in (path / "8").iterdir()} >= {"saved_model.pb", "variables", "assets.extra"}


@pytest.mark.slow
def test_the_highest_version_is_loaded_unless_one_is_named(tmp_path):
    latents = tf.constant(requests()["decode"]["latents"])
    for version, model in ((2, IWAE((4,), LATENT, (16,))), (20261130120000, small_model((4,)))):
        assert export_saved_model(model, tmp_path, version) == tmp_path / str(version)
        expected = model.generative(latents)
        for loaded in (load_saved_model(tmp_path), load_saved_model(tmp_path, version)):
            np.testing.assert_allclose(loaded.signatures["decode"](latents=latents)["logits"], expected, **TOLERANCE)


def test_a_version_that_exists_is_refused_and_kept(tiny, tmp_path):
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "saved_model.pb").write_bytes(b"kept")
    with pytest.raises(ValueError, match=r"`version`.* Received: 3"):
        export_saved_model(tiny, tmp_path, version=3)
    assert snapshot(tmp_path) == {"3/saved_model.pb": b"kept"}


@pytest.mark.parametrize("version", [0, -1, 1.0, "2", True])
def test_a_version_is_a_positive_integer(tiny, tmp_path, version):
    with pytest.raises(ValueError, match=r"`version`. Expected an integer from 1 to 9223372036854775807"):
        export_saved_model(tiny, tmp_path / "serving", version=version)
    assert not (tmp_path / "serving").exists()


def disk_full(*_, **__):
    raise OSError(28, "No space left on device")


def half_written(_, folder, **__):
    Path(folder, "variables").mkdir(parents=True)
    Path(folder, "saved_model.pb").write_bytes(b"half")
    disk_full()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "name", "failure"),
    [(tf.saved_model, "save", half_written), (export, "write_warmup_requests", disk_full)],
    ids=["weights", "warm-up"],
)
def test_a_failed_export_leaves_nothing_behind(tiny, tmp_path, monkeypatch, owner, name, failure):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"kept")
    monkeypatch.setattr(owner, name, failure)
    with pytest.raises(OSError, match="No space left"):
        export_saved_model(tiny, tmp_path)
    assert snapshot(tmp_path) == {"1/saved_model.pb": b"kept"}
    assert [folder.name for folder in tmp_path.iterdir()] == ["1"]


@pytest.mark.parametrize("damage", ["half", "other bytes", "no weights"])
def test_a_version_that_cannot_be_read_is_named(folder, tmp_path, damage):
    version = tmp_path / "1"
    shutil.copytree(folder, version)
    graph = (version / "saved_model.pb").read_bytes()
    if damage == "no weights":
        shutil.rmtree(version / "variables")
    else:
        (version / "saved_model.pb").write_bytes(graph[: len(graph) // 2] if damage == "half" else b"no graph")
    for path in (tmp_path, version):
        with pytest.raises(
            ValueError, match=r"`path`\. Expected a version that can be read\. Received: .*1, which cann"
        ):
            load_saved_model(path)


@pytest.mark.slow
def test_loading_takes_a_version_too_and_says_what_is_missing(folder, tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ValueError, match=r"`path`. Expected a folder of versions"):
            load_saved_model(path)
    with pytest.raises(ValueError, match=r"`version`. Expected one of 1. Received: 2"):
        load_saved_model(folder.parent, version=2)
    for version in ([1], True, 1.0, "1", -1):
        with pytest.raises(
            ValueError, match=r"`version`. Expected an integer from 0 to 9223372036854775807. Received: "
        ):
            load_saved_model(folder.parent, version)
    with pytest.raises(ValueError, match=r"`version`. Expected None beside the folder of one version. Received: 1"):
        load_saved_model(folder, version=1)
    assert set(load_saved_model(folder).signatures) == set(load_saved_model(folder.parent).signatures)
