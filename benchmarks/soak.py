#!/usr/bin/env python
"""Does an export stay up, and right, under thousands of requests of which half are bad?

The SavedModel runs in TensorFlow's C++ session, as in TF Serving, with threads that ask for whatever comes next: every
endpoint with few and many rows, and requests that must be refused: images out of range or not a number, shapes that
are none, counts below 1 or beyond the limits. Each good answer is compared with the one that the same request had
alone, each bad one has to be refused by the name of an input or of a limit, and memory may not grow by more than a
tenth after a fifth of the requests, which a smoke run is too short to tell.

examples:
  python benchmarks/soak.py
  python benchmarks/soak.py --model saved_models/digits-iwae-k50 --requests 10000 --threads 8
"""

import concurrent.futures
import os
import tempfile
import time
from pathlib import Path

from _report import Report, frameworks, parser, positive, run, settle, table

WHOLE, SMALLEST = {"requests": 10_000, "threads": 8}, {"requests": 200, "threads": 4}
# Of what the allocator and the executors of each endpoint keep from their first calls.
WARM = 0.2
ROUNDING = 1e-4
# What allocators hold back and give comes and goes: 1 % of ten thousand requests (docs/benchmarks/soak.json).
GROWTH = 1.1


def good_requests(shape, latents, rng):
    """Requests of every endpoint, by few and many rows."""
    import numpy as np

    def images(rows):
        return (rng.random((rows, *shape)) < 0.5).astype(np.float32)

    made = []
    for rows in (1, 7, 64):
        made += [
            ("sample", {"seed": rng.integers(0, 2**31, rows).astype(np.int32)}),
            ("sample_n", {"num_samples": np.int32(rows), "seed": np.int32(rng.integers(2**31))}),
            ("decode", {"latents": rng.normal(size=(rows, latents)).astype(np.float32)}),
            ("encode", {"images": images(rows)}),
            ("reconstruct", {"images": images(rows)}),
            ("log_likelihood", {"images": images(rows), "num_samples": np.int32(50), "seed": np.int32(rows)}),
        ]
    return made


def bad_requests(shape, latents, rng):
    """Requests that must be refused, with a word that the answer has to have."""
    import numpy as np

    image = np.full((2, *shape), 0.5, np.float32)
    counts = {"seed": np.int32(1)}
    made = [
        (endpoint, {"images": value}, "images")
        for endpoint in ("encode", "reconstruct")
        for value in (image * np.nan, image * 255.0, -image, np.full((3, *shape), np.inf, np.float32))
    ]
    made += [
        ("log_likelihood", {"images": image, "num_samples": np.int32(n), **counts}, word)
        for n, word in ((0, "num_samples"), (-5, "num_samples"), (2**31 - 1, "max_samples"), (600_000, "max_samples"))
    ]
    made += [
        ("sample_n", {"num_samples": np.int32(n), **counts}, word)
        for n, word in ((0, "num_samples"), (-1, "num_samples"), (2**31 - 1, "max_rows"), (10_001, "max_rows"))
    ]
    made += [
        ("decode", {"latents": np.zeros((20_000, latents), np.float32)}, "max_rows"),
        ("decode", {"latents": np.zeros((3, latents + 1), np.float32)}, "latents"),
        ("decode", {"latents": np.zeros(latents, np.float32)}, "latents"),
        ("sample", {"seed": np.zeros(10_001, np.int32)}, "max_rows"),
        ("sample", {"seed": np.zeros((2, 2), np.int32)}, "seed"),
        ("encode", {"images": image[0]}, "images"),
        ("reconstruct", {"images": image[:, 1:]}, "images"),
        ("log_likelihood", {"images": np.repeat(image, 2, axis=-1), "num_samples": np.int32(5), **counts}, "images"),
    ]
    return made


class Server:
    """The endpoints of an export in a C++ session."""

    def __init__(self, folder: Path):
        import tensorflow as tf

        self.session = tf.compat.v1.Session(graph=tf.Graph())
        loaded = tf.compat.v1.saved_model.load(self.session, ["serve"], str(folder))
        self.calls = {}
        for name, signature in loaded.signature_def.items():
            if name.startswith("__"):
                continue
            inputs, outputs = dict(signature.inputs), dict(signature.outputs)
            names = [inputs[key].name for key in inputs], [outputs[key].name for key in outputs]
            self.calls[name] = list(inputs), list(outputs), self.session.make_callable(names[1], feed_list=names[0])
        # Python's side of a session looks at shapes itself, which a server's does not: such requests go by functions.
        self.functions = tf.saved_model.load(str(folder)).signatures

    def __call__(self, endpoint, request):
        import tensorflow as tf

        inputs, outputs, call = self.calls[endpoint]
        expected = self.functions[endpoint].structured_input_signature[1]
        if all(expected[name].shape.is_compatible_with(value.shape) for name, value in request.items()):
            return dict(zip(outputs, call(*(request[name] for name in inputs)), strict=True))
        return self.functions[endpoint](**{name: tf.constant(value) for name, value in request.items()})


def resident() -> float:
    """Memory of this process, in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def refused(server, endpoint, request, word) -> str:
    """Empty where the request is refused in the right words, and what happened where it is not."""
    import tensorflow as tf

    try:
        server(endpoint, request)
    except tf.errors.InvalidArgumentError as error:
        return "" if word in str(error) else f"{endpoint}: refused without {word!r}: {str(error)[:200]}"
    return f"{endpoint}: not refused, where {word!r} is wrong"


def answered(server, endpoint, request, expected) -> str:
    """Empty where the answer is the one that the request had alone."""
    import numpy as np

    found = server(endpoint, request)
    close = (np.allclose(found[name], value, rtol=ROUNDING, atol=ROUNDING) for name, value in expected.items())
    return "" if found.keys() == expected.keys() and all(close) else f"{endpoint}: another answer than alone"


def soak(folder: Path, shape, latents: int, requests: int, threads: int) -> dict:
    """Ask; give counts, what went wrong, and memory after the warm-up and at the end."""
    import numpy as np

    rng = np.random.default_rng(0)
    server = Server(folder)
    good = [(endpoint, request, server(endpoint, request)) for endpoint, request in good_requests(shape, latents, rng)]
    bad = bad_requests(shape, latents, rng)
    order = rng.integers(0, 2, requests)
    which = rng.integers(0, 2**31, requests)

    def ask(turn: int) -> str:
        if order[turn]:
            return answered(server, *good[which[turn] % len(good)])
        return refused(server, *bad[which[turn] % len(bad)])

    begin, first = time.perf_counter(), round(WARM * requests)
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        faults = list(pool.map(ask, range(first)))
        warm = resident()
        faults += pool.map(ask, range(first, requests))
    return {
        "requests": requests,
        "threads": threads,
        "answered": int(order.sum()),
        "refused": int(requests - order.sum()),
        "faults": sorted({fault for fault in faults if fault}),
        "memory_warm_mib": round(warm, 1),
        "memory_end_mib": round(resident(), 1),
        "seconds": round(time.perf_counter() - begin, 1),
    }


def check(found: dict, quick: bool) -> None:
    """Refuse what went wrong, with a ValueError."""
    if found["faults"]:
        raise ValueError(f"{len(found['faults'])} kinds of requests went wrong: {'; '.join(found['faults'])}")
    warm, end = found["memory_warm_mib"], found["memory_end_mib"]
    if not quick and end > GROWTH * warm:
        raise ValueError(f"memory grew from {warm:,.0f} MiB to {end:,.0f} MiB; expected {GROWTH:g} times at most")


def main(args) -> None:
    settle(args, WHOLE, SMALLEST)
    report = Report("soak", args)
    frameworks()
    import keras_iwae

    model = keras_iwae.load(args.model) if args.model else keras_iwae.IWAE((8, 8, 1), latent_dim=20, hidden=(64, 64))
    latents = model.generative.prior.decoded_dim
    with tempfile.TemporaryDirectory() as folder:
        exported = keras_iwae.export_saved_model(model, folder)
        found = soak(exported, model.event_shape, latents, args.requests, args.threads)
    table(["", ""], [(name.replace("_", " "), value) for name, value in found.items() if name != "faults"])
    report.write(found)
    check(found, args.quick)


if __name__ == "__main__":
    arguments = parser(__doc__, rounds=None)
    arguments.add_argument("--model", help="what `keras_iwae.load` takes [an untrained one of digits]")
    arguments.add_argument("--requests", type=positive, help="how many [10000]")
    arguments.add_argument("--threads", type=positive, help="that ask at once [8]")
    run(main, arguments)
