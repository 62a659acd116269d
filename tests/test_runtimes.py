"""Files of other runtimes answer what the Python model answers, where a runtime is installed."""

import importlib
import importlib.util
import runpy
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from test_scripts import SCRIPTS, call, error_line

from keras_iwae import IWAE, networks
from keras_iwae.posteriors import GaussianPosterior
from keras_iwae.serving import export_runtime, runtimes
from keras_iwae.serving.noise_endpoints import NAMES, noise_endpoints

tfd = tfp.distributions

SHAPE, LATENT = (4, 3, 1), 2
# What writing and running a file takes.
MODULES = {
    "onnx": ("tf2onnx", "onnx", "onnxruntime"),
    "tflite": (),
    "openvino": ("openvino",),
}
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def small_model(event_shape=SHAPE, **settings) -> IWAE:
    model = IWAE(event_shape, **{"latent_dim": LATENT, "hidden": (5,), **settings})
    # Fresh biases are zero and fresh kernels small: an endpoint that forgot a layer would hardly differ.
    rng = np.random.default_rng(0)
    for weight in model.trainable_variables:
        weight.assign(weight + rng.normal(0.0, 0.3, weight.shape).astype(np.float32))
    return model


def answer(file: Path, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the runtime of a file answers."""
    if file.suffix == ".onnx":
        onnxruntime = pytest.importorskip("onnxruntime")
        session = onnxruntime.InferenceSession(file)
        return dict(zip([each.name for each in session.get_outputs()], session.run(None, inputs), strict=True))
    if file.suffix == ".tflite":
        # TensorFlow still has one, which is to go.
        installed = importlib.util.find_spec("ai_edge_litert") is not None
        runtime = importlib.import_module("ai_edge_litert.interpreter") if installed else tf.lite
        return runtime.Interpreter(model_path=str(file)).get_signature_runner()(**inputs)
    # By itself it takes bfloat16 where the processor has it.
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    found = pytest.importorskip("openvino").compile_model(file, "CPU", settings)(inputs)
    return {output.get_any_name(): value for output, value in found.items()}


def numpy(tensors: dict[str, tf.Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def assert_same(actual: dict, expected: dict) -> None:
    assert set(actual) == set(expected)
    for name, value in expected.items():
        assert actual[name].shape == value.shape, name
        np.testing.assert_allclose(actual[name], value, **TOLERANCE, err_msg=name)


def events(n: int, shape=SHAPE) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 2, (n, *shape)).astype(np.float32)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


def log_likelihood_by_hand(model: IWAE, x: np.ndarray, z: tf.Tensor) -> dict[str, np.ndarray]:
    """The bound and the effective sample size of draws, their weights averaged in float64."""
    log_weights = model.generative.log_joint(x, z) - model.posterior.log_prob(z, x)
    log_weights = log_weights.numpy().astype(np.float64)
    weights = np.exp(log_weights - log_weights.max(axis=0))
    return {
        "log_likelihood": np.log(weights.mean(axis=0)) + log_weights.max(axis=0),
        "effective_sample_size": weights.sum(axis=0) ** 2 / (weights**2).sum(axis=0),
    }


@pytest.fixture(scope="module")
def model() -> IWAE:
    return small_model()


@pytest.fixture(scope="module", params=runtimes.FORMATS)
def files(request, model, tmp_path_factory) -> dict[str, Path]:
    for module in MODULES[request.param]:
        pytest.importorskip(module)
    return export_runtime(model, tmp_path_factory.mktemp(request.param), request.param)


@pytest.mark.slow
def test_each_endpoint_is_a_file(files):
    assert set(files) == set(NAMES)
    (folder,) = {file.parent for file in files.values()}
    assert {file.stem for file in folder.iterdir()} == set(NAMES)


# K, n and D all differ, and a second request has other numbers of rows and samples.
@pytest.mark.slow
@pytest.mark.parametrize(("rows", "samples"), [(3, 7), (5, 1)])
def test_the_answers_are_those_of_the_model(model, files, rows, samples):
    x, z = events(rows), noise(rows, LATENT)
    logits = model.generative(z)
    decoded = numpy({"probabilities": tf.sigmoid(logits), "logits": logits})
    assert_same(answer(files["decode"], {"latents": z}), decoded)
    posterior = model.posterior.distribution(x)
    assert_same(answer(files["encode"], {"images": x}), numpy({"mean": posterior.loc, "stddev": posterior.scale.diag}))
    assert_same(answer(files["reconstruct"], {"images": x}), {"probabilities": model.predict(x, verbose=0)})
    drawn = {"latents": z, "probabilities": decoded["probabilities"]}
    assert_same(answer(files["sample"], {"noise": z}), drawn)
    each = noise(samples, rows, LATENT)
    by_hand = log_likelihood_by_hand(model, x, posterior.loc + posterior.scale.diag * each)
    assert_same(answer(files["log_likelihood"], {"images": x, "noise": each}), by_hand)


# Models of other kinds, whose graphs have other operations

# What a model is made with, and its endpoints that are other graphs for it.
KINDS: dict[str, tuple[dict, tuple[str, ...]]] = {
    "layers": ({"latent_dim": (3, 2), "hidden": ((5,), (4,))}, ("encode", "sample", "log_likelihood")),
    "gaps": ({"likelihood": "gaussian", "missing": "nan", "mask_input": True}, ("encode", "log_likelihood")),
    "flow prior": ({"prior": "flow"}, ("sample", "log_likelihood")),
    "mixture prior": ({"prior": "mixture"}, ("log_likelihood",)),
    "poisson": ({"likelihood": "poisson"}, ("decode", "encode")),
    "continuous_bernoulli": ({"likelihood": "continuous_bernoulli"}, ("decode",)),
    "full_covariance": ({"posterior": "full_covariance"}, ("encode", "log_likelihood")),
    "autoregressive": ({"posterior": "autoregressive"}, ("encode", "log_likelihood")),
    "auxiliary": ({"posterior": "auxiliary"}, ("encode", "log_likelihood")),
}
# What a converter cannot express of them: log(1 + x), exp(x) - 1, cosh, float64, some sums, triangular matrices.
CANNOT = {
    ("onnx", "poisson", "encode"),
    ("onnx", "continuous_bernoulli", "decode"),
    ("tflite", "continuous_bernoulli", "decode"),
    ("tflite", "mixture prior", "log_likelihood"),
    ("openvino", "autoregressive", "log_likelihood"),
    *((format, "full_covariance", name) for format in runtimes.FORMATS for name in ("encode", "log_likelihood")),
}


def request(endpoint, rows: int, samples: int) -> dict[str, np.ndarray]:
    """Zeros and ones, with a gap where there may be some, and noise."""
    found = {}
    for spec in endpoint.inputs:
        if spec.name in ("images", "events"):
            found[spec.name] = events(rows, spec.shape[1:])
        else:
            found[spec.name] = noise(*[samples] * (spec.shape.rank - 2), rows, spec.shape[-1])
    return found


@pytest.mark.long
@pytest.mark.parametrize("format", runtimes.FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_models_of_every_kind(tmp_path, format, kind):
    for module in MODULES[format]:
        pytest.importorskip(module)
    settings, names = KINDS[kind]
    model = small_model((6,), **settings)
    endpoints = noise_endpoints(model)[0]
    for name in names:
        if (format, kind, name) in CANNOT:
            with pytest.raises(ValueError, match=rf"`endpoints`\. Expected some that {format} can .* '{name}'"):
                export_runtime(model, tmp_path / name, format, [name])
            continue
        (file,) = export_runtime(model, tmp_path / name, format, [name]).values()
        for rows, samples in ((3, 7), (4, 1)):
            inputs = request(endpoints[name], rows, samples)
            for each in ("images", "events"):
                if each in inputs and kind == "gaps":
                    inputs[each][0, :2] = np.nan
            expected = endpoints[name].function(*map(tf.constant, inputs.values()))
            assert_same(answer(file, inputs), numpy(expected))


# What is refused


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "endpoint", "why"),
    [
        ({"prior": "mixture"}, "sample", "a MixturePrior, whose draws are no function of standard normal noise alone"),
        ({"prior": "vamp"}, "sample", "a VampPrior, whose"),
        ({"posterior": "mixture"}, "log_likelihood", "a MixturePosterior, whose"),
        ({"posterior": "bernoulli", "estimator": "vimco"}, "log_likelihood", "a BernoulliPosterior, whose"),
        ({"posterior": "bernoulli", "estimator": "vimco"}, "sample", "a BernoulliPrior, whose"),
    ],
)
def test_draws_that_are_no_function_of_noise(tmp_path, settings, endpoint, why):
    model = small_model(**settings)
    assert endpoint not in noise_endpoints(model)[0]
    with pytest.raises(ValueError, match=rf"`endpoints`\. .* Received: '{endpoint}', beside {why}"):
        export_runtime(model, tmp_path, "tflite", [endpoint])
    assert not list(tmp_path.iterdir())


class LogisticNoise(GaussianPosterior):
    """Has a bijector, and noise that is not normal."""

    reparameterized = True

    def distribution(self, x, training=False):
        loc, scale = self(x, training=training)
        noise = tfd.Independent(tfd.Logistic(tf.zeros_like(loc), 1.0), 1)
        return tfd.TransformedDistribution(
            noise, tfp.bijectors.Chain([tfp.bijectors.Shift(loc), tfp.bijectors.Scale(scale)])
        )


@pytest.mark.slow
def test_noise_of_another_law_is_seen():
    given = GaussianPosterior(networks.dense_encoder((5,)), LATENT)
    assert "log_likelihood" in noise_endpoints(small_model(posterior=given))[0]
    other = LogisticNoise(networks.dense_encoder((5,)), LATENT)
    found, refused = noise_endpoints(small_model(posterior=other))
    assert set(found) == {*NAMES} - {"log_likelihood"}
    assert refused["log_likelihood"].startswith("a LogisticNoise, whose draws are no function of standard normal noise")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "coreml"}, r"`format`\. Expected one of \('onnx', 'tflite', 'openvino'\)\. Received: 'coreml'"),
        ({"path": None}, "`path`"),
        ({"endpoints": "decode"}, r"`endpoints`\. Expected a list"),
        ({"endpoints": []}, r"`endpoints`\. Expected a list"),
        ({"endpoints": ["sample_n"]}, r"`endpoints`\. Expected one of .* Received: 'sample_n'"),
        ({"model": 3}, r"`model`\. Expected an IWAE or an AVB; tables .* Received: a int"),
    ],
)
def test_what_is_refused(model, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        export_runtime(**{"model": model, "path": tmp_path / "new", "format": "tflite", **arguments})
    assert not list(tmp_path.iterdir())


def test_a_folder_with_something_in_it_is_kept(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"`path`\. .*\. Received: \., in which this runs"):
        export_runtime(model, ".", "tflite")
    kept = tmp_path / "full" / "decode.tflite"
    kept.parent.mkdir()
    kept.write_bytes(b"kept")
    with pytest.raises(ValueError, match=r"`path`\. Expected a folder that is not there yet, or is empty"):
        export_runtime(model, kept.parent, "tflite")
    assert kept.read_bytes() == b"kept"


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_what_is_not_installed_is_named(model, tmp_path, monkeypatch, format):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=rf"`format`\. .* pip install 'keras-iwae\[{format}\]'"):
        export_runtime(model, tmp_path / "new", format)
    assert not list(tmp_path.iterdir())


def half_written(error: Exception):
    """A format whose second file breaks off in the middle."""

    def write(model, name, graph, file):
        file.write_bytes(b"half")
        if name == "encode":
            raise error

    return {"tflite": runtimes._Format(write, ".tflite", ())}


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device"), "No space left"),
        (
            RuntimeError("no such op"),
            r"`endpoints`\. Expected some that tflite can express\. .* 'encode', .*: no such op",
        ),
    ],
)
def test_all_files_are_there_or_none(model, tmp_path, monkeypatch, error, message):
    monkeypatch.setattr(runtimes, "_FORMATS", half_written(error))
    with pytest.raises((OSError, ValueError), match=message):
        export_runtime(model, tmp_path / "new", "tflite", ["decode", "encode"])
    assert not list(tmp_path.iterdir())


# The script


def test_the_script_has_these_formats_and_endpoints(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    script = runpy.run_path(str(SCRIPTS / "export.py"))
    assert script["FORMATS"] == ("savedmodel", *runtimes.FORMATS)
    assert script["ENDPOINTS"] == NAMES


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "onnx", "--max-rows", "3"], "--format onnx takes no --max-rows"),
        (["--format", "tflite", "--version", "2"], "--format tflite takes no --version"),
        (["--format", "openvino", "--proposal", "refined"], "--format openvino takes no --proposal"),
        (["--endpoints", "decode"], "--format savedmodel takes no --endpoints"),
    ],
)
def test_an_option_without_effect_is_refused(tmp_path, arguments, said):
    assert said in call("export", *arguments, cwd=tmp_path, status=2).stderr.splitlines()[-1]


@pytest.mark.slow
def test_the_script_says_in_one_line_what_a_converter_cannot_express(tmp_path, capfd):
    """The converter writes pages about it, from C++."""
    small_model(prior="mixture", posterior="gaussian").save(tmp_path / "model.keras")
    given = "--model", "model.keras", "--format", "tflite", "--endpoints", "log_likelihood", "--out", "files"
    (line,) = call("export", *given, cwd=tmp_path, status=2).stderr.splitlines()
    assert line.startswith("export.py: error: Invalid value received for `endpoints`")
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_the_script_writes_files_and_says_what_it_left_out(tmp_path):
    small_model(posterior="bernoulli", estimator="vimco").save(tmp_path / "model.keras")
    printed = call("export", "--model", "model.keras", "--format", "tflite", "--out", "files", cwd=tmp_path).stdout
    assert {file.stem for file in (tmp_path / "files").iterdir()} == {"decode", "encode", "reconstruct"}
    assert "left out  sample and log_likelihood; --endpoints sample says why" in printed
    # The command that it names says so, in the same folder.
    asked = ("export", "--model", "model.keras", "--format", "tflite", "--out", "files", "--endpoints", "sample")
    assert "'sample', beside a" in error_line(*asked, cwd=tmp_path)
