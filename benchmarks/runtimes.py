#!/usr/bin/env python
"""How fast do onnxruntime, LiteRT and OpenVINO decode what TensorFlow's SavedModel decodes?

For each number of images, in turn in one process: the SavedModel's `decode` (latents in, probabilities and logits out)
and the same endpoint in each runtime that is installed, every one with as many threads as it takes by itself. How far
each side's answer is from TensorFlow's is in the table.

examples:
  python benchmarks/runtimes.py
"""

import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _report import Report, bars, frameworks, parser, run, table
from _timing import alternate, ratios, spread, text
from sampling import timed

BATCHES = 1, 100
TENSORFLOW = "TensorFlow, SavedModel"
# Each runtime's name to its format, and to the modules that writing and running its file takes.
RUNTIMES = {
    "onnxruntime": ("onnx", ("onnxruntime", "onnx", "tf2onnx")),
    "LiteRT": ("tflite", ("ai_edge_litert",)),
    "OpenVINO": ("openvino", ("openvino",)),
}
Decoder = Callable[[np.ndarray], np.ndarray]


def loaded(name: str, file: Path) -> Decoder:
    """Latents to probabilities, in a runtime that has read `file`."""
    if name == "onnxruntime":
        import onnxruntime

        session = onnxruntime.InferenceSession(file)
        names = [output.name for output in session.get_outputs()]
        return lambda latents: session.run(names, {"latents": latents})[names.index("probabilities")]
    if name == "LiteRT":
        from ai_edge_litert.interpreter import Interpreter

        runner = Interpreter(model_path=str(file)).get_signature_runner()
        return lambda latents: runner(latents=latents)["probabilities"]
    import openvino

    # By itself it takes bfloat16 where the processor has it.
    compiled = openvino.compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda latents: compiled({"latents": latents})["probabilities"]


def sides(model, folder: Path) -> dict[str, Decoder]:
    """The name of each side to its decoder; a runtime that is not installed is left out, and that is said."""
    import tensorflow as tf

    from keras_iwae import serving

    serving.export_saved_model(model, folder / "saved")
    served = serving.load_saved_model(folder / "saved")
    decode = served.signatures["decode"]
    # The loaded object holds the weights of its signatures.
    found: dict[str, Decoder] = {
        TENSORFLOW: lambda latents, _=served: decode(latents=tf.constant(latents))["probabilities"].numpy()
    }
    for name, (kind, modules) in RUNTIMES.items():
        absent = [module for module in modules if importlib.util.find_spec(module) is None]
        if absent:
            print(f"{name} is left out: no {' and '.join(absent)}")
            continue
        found[name] = loaded(name, serving.export_runtime(model, folder / kind, kind, ["decode"])["decode"])
    return found


def measure(decoders: dict[str, Decoder], batch: int, latent_dim: int, args) -> list[dict]:
    latents = np.random.default_rng(batch).normal(size=(batch, latent_dim)).astype(np.float32)
    expected = decoders[TENSORFLOW](latents)
    turns, apart = {}, {}
    for name, decode in decoders.items():
        apart[name] = float(np.abs(decode(latents) - expected).max())
        turns[name] = timed(lambda decode=decode: decode(latents), 0.01 if args.quick else args.seconds)
    times = alternate(turns, args.rounds)
    return [
        {
            "side": name,
            "batch_size": batch,
            "seconds_per_batch": taken,
            "batch_milliseconds": spread([1e3 * t for t in taken]),
            "speed_to_tensorflow": ratios(times[TENSORFLOW], taken),
            "largest_difference": apart[name],
        }
        for name, taken in times.items()
    ]


def show(rows: list[dict]) -> None:
    cells = [
        [
            row["batch_size"],
            row["side"],
            text(row["batch_milliseconds"], 3),
            text(row["speed_to_tensorflow"], 1),
            f"{row['largest_difference']:.0e}",
        ]
        for row in rows
    ]
    table(["images", "side", "ms", "times as fast as TensorFlow", "largest difference"], cells)


def draw(figure, rows: list[dict]) -> None:
    for axes, batch in zip(np.atleast_1d(figure.subplots(1, len(BATCHES))), BATCHES, strict=True):
        line = [row for row in rows if row["batch_size"] == batch]
        colors = ["0.6" if row["side"] == TENSORFLOW else "C0" for row in line]
        bars(axes, [row["side"] for row in line], [row["batch_milliseconds"] for row in line], colors)
        axes.set(xlabel="milliseconds", title=f"{batch} image{'s' if batch > 1 else ''}")


def main(args) -> None:
    report = Report("runtimes", args)
    frameworks()
    import keras_iwae

    model = keras_iwae.IWAE(784)
    with tempfile.TemporaryDirectory() as folder:
        decoders = sides(model, Path(folder))
        rows = [row for batch in BATCHES for row in measure(decoders, batch, model.latent_dim, args)]
    show(rows)
    report.write({"rows": rows}, lambda figure: draw(figure, rows), size=(9, 3))


if __name__ == "__main__":
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=float, default=0.5, help="length of a round of a side [0.5]")
    run(main, arguments)
