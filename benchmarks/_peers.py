"""The sides of a benchmark as the script sees them: worker processes, one a framework, that take turns.

`benchmarks/peers/with_NAME.py` is the worker of a framework; `peers/_serve.py` says what it answers. A framework that
is not installed is left out, and the results say so.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _network import Network, load_weights, save_weights
from _report import frameworks

BENCHMARKS = Path(__file__).resolve().parent
# Of each worker, what must be importable for it to start.
NEEDS = {
    "keras_iwae": ("tensorflow", "keras"),
    "pytorch": ("torch",),
    "pythae": ("torch", "pythae"),
    "pyro": ("torch", "pyro"),
    "jax": ("jax", "optax"),
}


def missing(worker: str) -> list[str]:
    """Packages that `worker` needs and that are not installed here."""
    return [name for name in NEEDS[worker] if importlib.util.find_spec(name) is None]


def environment() -> dict[str, str]:
    """The variables of a child process that imports this checkout of the package, and this folder's modules."""
    path = [str(BENCHMARKS.parent), str(BENCHMARKS), *filter(None, [os.environ.get("PYTHONPATH")])]
    # TensorFlow and JAX otherwise take a GPU's whole memory, which the script and the workers share.
    shared = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    return {**os.environ, **shared, **quiet, "PYTHONPATH": os.pathsep.join(path)}


class Worker:
    """A framework in a process of its own.

    Args:
        name: one of `NEEDS`.

    Raises:
        ChildProcessError: from `ask`, with what the worker said, if a request failed or the process ended.
    """

    def __init__(self, name: str):
        # Closed with the worker.
        self.name, self.log = name, tempfile.TemporaryFile("w+")  # noqa: SIM115
        command = [sys.executable, str(BENCHMARKS / "peers" / f"with_{name}.py")]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.log}
        self.process = subprocess.Popen(command, text=True, env=environment(), **pipes)

    def ask(self, do: str, **settings) -> dict:
        """Send a request and wait for its answer."""
        try:
            print(json.dumps({"do": do, **settings}), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        answer = json.loads(line) if line else {"error": f"it ended: {self._last_words()}"}
        if "error" in answer:
            raise ChildProcessError(f"the worker {self.name} could not {do}: {answer['error']}")
        return answer

    def _last_words(self) -> str:
        self.process.wait()
        self.log.seek(0)
        lines = [line for line in self.log.read().splitlines() if line.strip()]
        return f"{lines[-1] if lines else 'no message'} (status {self.process.returncode})"

    def weights(self, side: str, folder: str | os.PathLike) -> list[np.ndarray]:
        """The 14 arrays of a side, in the order of `_network`."""
        path = str(Path(folder) / "asked-for.npz")
        self.ask("weights", name=side, path=path)
        return load_weights(path)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_) -> None:
        self.close()


class Workers:
    """The workers that a benchmark needs and that can be started here, and a folder for what they are given."""

    def __init__(self, names):
        self.left_out = {name: f"not installed: {', '.join(missing(name))}" for name in names if missing(name)}
        for name, why in self.left_out.items():
            print(f"{name} is left out; {why}", flush=True)
        self.started: dict[str, Worker] = {}
        self.names = [name for name in names if name not in self.left_out]

    def __enter__(self) -> "Workers":
        self.scratch = tempfile.TemporaryDirectory(prefix="keras_iwae-")
        self.folder = Path(self.scratch.name)
        self.started = {name: Worker(name) for name in self.names}
        return self

    def __exit__(self, *_) -> None:
        for worker in self.started.values():
            worker.close()
        self.scratch.cleanup()

    def drop(self, name: str, why: str) -> None:
        """Leave out a worker that was started."""
        print(f"{name} is left out; {why}", flush=True)
        self.left_out[name] = why
        self.started.pop(name).close()

    def __getitem__(self, name: str) -> Worker:
        return self.started[name]

    def __contains__(self, name: str) -> bool:
        return name in self.started

    def round_of(self, worker: str, side: str) -> Callable[[], float]:
        """A function for `_timing.alternate`: one round of a side, in seconds a unit."""
        return lambda: self[worker].ask("round", name=side)["seconds"]

    def save_images(self, images: np.ndarray) -> str:
        """Write uint8 images `[N, pixels]` where workers find them."""
        path = self.folder / "images.npy"
        np.save(path, images)
        return str(path)

    def save_weights(self, weights: list[np.ndarray]) -> str:
        path = self.folder / "weights.npz"
        save_weights(path, weights)
        return str(path)


def images(split: str, quick: bool) -> np.ndarray:
    """MNIST's images as uint8 rows `[N, 784]`; with `quick` as many random ones as a smoke run needs.

    Raises:
        ValueError: if MNIST is not on disk and cannot be downloaded.
    """
    if quick:
        return np.random.default_rng(0).integers(0, 256, (400, Network().pixels), np.uint8)
    frameworks()
    from keras_iwae.data.catalog import images as of_split

    return of_split("mnist", split).reshape(-1, Network().pixels)
