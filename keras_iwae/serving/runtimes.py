"""A trained model in other runtimes than TensorFlow: ONNX, LiteRT (TensorFlow Lite) and OpenVINO, a file an endpoint.

They have no random numbers of TensorFlow's, so that what draws takes standard normal noise.
"""

import importlib.util
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from keras_iwae.foundation import MARK, check_choice, check_folder, check_replaceable, whole_folder
from keras_iwae.models import LatentModel
from keras_iwae.serving.export import write_saved_model
from keras_iwae.serving.noise_endpoints import NAMES, noise_endpoints


class _Format(NamedTuple):
    """One runtime's files: how one is written, its ending, and the modules that writing it takes."""

    write: Callable[[LatentModel, str, Any, Path], None]
    ending: str
    modules: tuple[str, ...]


def _write_onnx(model: LatentModel, name: str, graph: Any, file: Path) -> None:
    import onnx
    from tf2onnx import optimizer, tf_loader, tfonnx

    inputs = {tensor.name: tensor.name.split(":")[0] for tensor in graph.inputs if tensor.dtype != tf.resource}
    # TensorFlow flattens a dict in the order of its keys.
    outputs = {tensor.name: key for key, tensor in zip(sorted(graph.structured_outputs), graph.outputs, strict=True)}
    frozen = tf_loader.from_function(graph, list(inputs), list(outputs))
    with tf.Graph().as_default() as again:
        tf.import_graph_def(frozen, name="")
        made = tfonnx.process_tf_graph(
            again, input_names=list(inputs), output_names=list(outputs), tensors_to_rename={**inputs, **outputs}
        )
    # Not `tf2onnx.convert.from_function`, which joins two reshapes of which the second says "as long as before", of
    # what lies between them: a log-likelihood of K samples then has the wrong shape.
    passes = {
        "transpose": optimizer.TransposeOptimizer,
        "constants": optimizer.ConstFoldOptimizer,
        "duplicates": optimizer.MergeDuplicatedNodesOptimizer,
        "reshape": optimizer.ReshapeOptimizer,
        "identity": optimizer.IdentityOptimizer,
    }
    written = optimizer.optimize_graph(made, optimizers=passes).make_model(name)
    onnx.checker.check_model(written)
    onnx.save_model(written, file)


def _write_tflite(model: LatentModel, name: str, graph: Any, file: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_saved_model(model, folder, {name: graph})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[name])
        file.write_bytes(converter.convert())


def _write_openvino(model: LatentModel, name: str, graph: Any, file: Path) -> None:
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        write_saved_model(model, folder, {"serving_default": graph})
        converted = openvino.convert_model(folder)
    # What it converts it need not be able to run, which is found out here and not where the file has gone.
    openvino.compile_model(converted, "CPU")
    # At full precision: by default weights are rounded to float16.
    openvino.save_model(converted, file, compress_to_fp16=False)


_FORMATS = {
    "onnx": _Format(_write_onnx, ".onnx", ("onnx", "tf2onnx")),
    "tflite": _Format(_write_tflite, ".tflite", ()),
    "openvino": _Format(_write_openvino, ".xml", ("openvino",)),
}
FORMATS = tuple(_FORMATS)


def export_runtime(
    model: LatentModel, path: str | os.PathLike, format: str, endpoints: Sequence[str] | None = None
) -> dict[str, Path]:
    r"""Write `model` for another runtime than TensorFlow, an endpoint a file: `<path>/decode.onnx`.

    The endpoints of a model with a Bernoulli likelihood, in float32, with any number of rows n (D latent units):

    - `decode(latents [n, D])`: `probabilities` and `logits` `[n, *event_shape]`.
    - `encode(images [n, *event_shape])`: `mean` and, where there is one, `stddev` of q(z|x), `[n, D]`.
    - `reconstruct(images)`: `probabilities` `[n, *event_shape]`, decoded from the posterior mean.
    - `sample(noise [n, D])`: `latents` `[n, D]` and `probabilities` `[n, *event_shape]`.
    - `log_likelihood(images, noise [K, n, D])`: `log_likelihood` `[n]`, the bound
      $L_K = \log \frac1K \sum_k p(x, z_k) / q(z_k|x)$ in nats, and `effective_sample_size` `[n]`, in samples; all K at
      once. Where a posterior has A auxiliary variables the noise is `[K, n, D + A]`.

    Noise is standard normal, and draws are a function of it. With another likelihood `images` are called `events` and
    `probabilities` `mean`, and `decode` gives `mean` and `stddev`, as those of `export_saved_model` do. No input is
    checked: what is out of range is answered with numbers that mean nothing.

    Args:
        model: the model.
        path: a folder that is not there yet, or is empty.
        format: "onnx", of which onnxruntime runs the files; "tflite", LiteRT; "openvino", OpenVINO, with the weights of
            `decode.xml` in `decode.bin`.
        endpoints: names of those to write; `None` is all that this model has. There is no `sample` where draws of the
            prior, and no `log_likelihood` where those of the posterior, are no function of standard normal noise
            alone, as of a mixture or of binary latents, or the posterior has no density.

    Returns:
        the file of each endpoint, by name.

    Raises:
        ValueError: if the model is none, the path is not free, what the format takes is not installed, an endpoint is
            none or not one of this model, or the format cannot express it.

    Example:
        >>> files = export_runtime(model, "saved_models/iwae/tflite", "tflite", endpoints=["decode"])
        >>> files["decode"].name
        'decode.tflite'

    References:
        Burda, Grosse, Salakhutdinov (2015), Importance weighted autoencoders, equation 8, for L_K.
        The converters: https://github.com/onnx/tensorflow-onnx, https://ai.google.dev/edge/litert,
        https://docs.openvino.ai.
    """
    path = check_folder("path", path)
    check_replaceable("path", path)
    check_choice("format", format, FORMATS)
    kind = _FORMATS[format]
    if not isinstance(model, LatentModel):
        raise ValueError(
            f"{MARK}model`. Expected an IWAE or an AVB; tables are what `export_saved_model` serves. Received: a "
            f"{type(model).__name__}"
        )
    absent = [module for module in kind.modules if importlib.util.find_spec(module) is None]
    if absent:
        raise ValueError(
            f"{MARK}format`. Expected what writes it to be installed: pip install 'keras-iwae[{format}]'. Received: "
            f"{format!r}, without {' and '.join(absent)}"
        )
    model.check_finite()
    found, refused = noise_endpoints(model)
    names = tuple(found) if endpoints is None else _checked(endpoints, refused)
    # Last: why there is no such endpoint is said where the files of the others are, too.
    if path.is_dir() and any(path.iterdir()):
        raise ValueError(f"{MARK}path`. Expected a folder that is not there yet, or is empty. Received: {path}")
    with whole_folder(path) as unfinished:
        unfinished.mkdir()
        for name in names:
            graph = model.traced(("runtime", name), found[name].function, found[name].inputs)
            try:
                kind.write(model, name, graph, unfinished / f"{name}{kind.ending}")
            except OSError:
                raise
            # The converters have no error in common.
            except Exception as error:
                raise ValueError(
                    f"{MARK}endpoints`. Expected some that {format} can express. Received: {name!r}, of which its "
                    f"converter says: {_briefly(error)}"
                ) from error
    return {name: path / f"{name}{kind.ending}" for name in names}


def _checked(endpoints: Sequence[str], refused: dict[str, str]) -> tuple[str, ...]:
    if isinstance(endpoints, str) or not isinstance(endpoints, Sequence) or not endpoints:
        raise ValueError(f"{MARK}endpoints`. Expected a list of some of {NAMES}, or None. Received: {endpoints!r}")
    for name in endpoints:
        check_choice("endpoints", name, NAMES)
        if name in refused:
            raise ValueError(
                f"{MARK}endpoints`. Expected none but those of this model. Received: {name!r}, beside {refused[name]}"
            )
    return tuple(dict.fromkeys(endpoints))


def _briefly(error: Exception) -> str:
    """What a converter says, of pages on a graph the line that names the operations."""
    lines = str(error).splitlines() or [type(error).__name__]
    named = [line for line in lines if line.startswith(("TF Select ops", "-- No conversion rule"))]
    return (named or lines)[0][:300]
