"""What is timed on a GPU: steps of training, the NLL, proposals fitted to each image, and one row of the table.

Peers that find the GPU by themselves stand beside ours: JAX's step and NLL, and PyTorch's compiled ones, each step of
theirs a call. Steps are with TensorFloat-32 products where the device has them, the NLL is in float32 everywhere.
"""

import json
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from _network import Network, mean_bound, nll_flops, step_flops
from _peers import BENCHMARKS, Workers, environment
from _timing import alternate, fastest, ratios, spread

SEVERAL, DRAWN = 50, 8
PRODUCTS = "matrix products"
_XLA = {"compile": {"jit_compile": True}}
_CALLS = {"fused": True, "compile": {"jit_compile": True, "steps_per_execution": SEVERAL}}
# Of each side the process, what it does there, and its settings.
STEPS: dict[str, tuple[str, str, dict]] = {
    "fit": ("keras_iwae", "fit", {"compile": {"jit_compile": False}}),
    "fit, XLA": ("keras_iwae", "fit", _XLA),
    f"fit, XLA, FusedAdam, {SEVERAL} steps a call": ("keras_iwae", "fit", _CALLS),
    f"the same, m = {DRAWN}": ("keras_iwae", "fit", {**_CALLS, "backward_samples": DRAWN}),
    "PyTorch, compiled": ("pytorch", "compiled", {}),
    "JAX": ("jax", "train", {}),
    PRODUCTS: ("keras_iwae", "products", {}),
}
# What stands for the rest where a program of XLA would be compiled for each.
FEW = (f"fit, XLA, FusedAdam, {SEVERAL} steps a call", "PyTorch, compiled", "JAX", PRODUCTS)
# Images, samples of each: the NLL of test images, and what fitted proposals take in its place.
NLL, FITTED = (1000, 5000), (200, 500)
NLLS: dict[str, tuple[str, str, dict]] = {
    "keras_iwae": ("keras_iwae", "nll", {}),
    "PyTorch, compiled": ("pytorch", "compiled_nll", {}),
    "JAX": ("jax", "nll", {}),
    PRODUCTS: ("keras_iwae", "products", {"forward_only": True}),
    "keras_iwae, refined proposals": ("keras_iwae", "nll", {"proposal": "refined"}),
    "keras_iwae, adapted proposals": ("keras_iwae", "nll", {"proposal": "adapted"}),
}
_CHUNK, _BATCH = 25, 200


def is_peer(name: str) -> bool:
    return name.startswith(("PyTorch", "JAX"))


def is_ours(name: str) -> bool:
    return name != PRODUCTS and not is_peer(name)


def drawn_of(name: str) -> int | None:
    return STEPS[name][2].get("backward_samples")


def drop_peers_elsewhere(workers: Workers, batch: int, samples: int, files: dict) -> None:
    """Leave out the peers that fail here or compute on another device than a GPU."""
    for who, kinds in (("pytorch", ("compiled_nll", "compiled")), ("jax", ("nll", "train"))):
        if who not in workers:
            continue
        try:
            for kind in kinds:
                made = workers[who].ask("make", name="trial", kind=kind, batch_size=batch, num_samples=samples, **files)
                workers[who].ask("exactly", name="trial", count=1)
                workers[who].ask("round", name="trial")
        except ChildProcessError as error:
            workers.drop(who, str(error))
        else:
            if made["device"] not in ("gpu", "cuda"):
                workers.drop(who, f"it computes on {made['device']}")


def steps(
    workers: Workers, batch: int, samples: int, names: Collection[str], seconds: float, rounds: int, shared: dict
) -> list[dict]:
    """Rows of one batch size and K: seconds a step of each side, round by round, and what follows from them."""
    sides = {name: STEPS[name] for name in names if STEPS[name][0] in workers}
    common, most = {"batch_size": batch, "num_samples": samples, **shared["files"]}, shared["rows"] // batch
    first = {}
    for name, (who, kind, settings) in sides.items():
        workers[who].ask("make", name=name, kind=kind, **common, **settings)
        # Two calls: a round of one has no step after its first.
        multiple = min(2 * settings.get("compile", {}).get("steps_per_execution", 1), most)
        found = workers[who].ask("prepare", name=name, seconds=seconds, most=most, multiple=multiple)
        first[name] = found["first_seconds"]
    times = alternate({name: workers.round_of(side[0], name) for name, side in sides.items()}, rounds)
    peer, rows = fastest({name: taken for name, taken in times.items() if is_peer(name)}), []
    for name, taken in times.items():
        flops = step_flops(Network(), batch, samples, drawn_of(name))
        row = {
            "side": name,
            "batch_size": batch,
            "num_samples": samples,
            "seconds": taken,
            "first_seconds": first[name],
            "steps_per_second": spread([1.0 / t for t in taken]),
            "gflops_per_second": spread([flops / t / 1e9 for t in taken]),
            "share_of_large_product": spread([flops / t / 1e9 / shared["limit"] for t in taken]),
            "share_of_products": ratios(times[PRODUCTS], taken),
        }
        if "fit" in times:
            row["speed_to_fit"] = ratios(times["fit"], taken)
        if peer is not None:
            row |= {"fastest_peer": peer, "speed_to_fastest_peer": ratios(times[peer], taken)}
        if name != PRODUCTS:
            weights = workers[sides[name][0]].weights(name, workers.folder)
            row["bound_after"] = mean_bound(weights, shared["judged"], 50)
        rows.append(row)
    for who in {side[0] for side in sides.values()}:
        workers[who].ask("drop")
    return rows


def nlls(workers: Workers, files: dict, quick: bool, rounds: int, limit: float) -> list[dict]:
    """Rows of the NLL: images a second of each side, and what it found."""
    sides = {name: side for name, side in NLLS.items() if side[0] in workers}
    sizes: dict[str, tuple[int, int]] = {}
    found: dict[str, list[float]] = {name: [] for name in sides if name != PRODUCTS}
    chunks = 0.0
    for name, (who, kind, settings) in sides.items():
        count, samples = FITTED if "proposal" in settings else NLL
        count, samples = (4, 50) if quick else (count, samples)
        sizes[name] = count, samples
        if name == PRODUCTS:
            rows, chunk = min(_BATCH, count), min(_CHUNK, samples)
            shape = {"batch_size": rows, "num_samples": chunk}
            workers[who].ask("make", name=name, kind=kind, **files, **shape, **settings)
            # A round in seconds a chunk, of which an image takes so many.
            chunks, count = samples / (chunk * rows), max(1, samples * count // (chunk * rows))
        else:
            workers[who].ask("make", name=name, kind=kind, num_samples=samples, **files, **settings)
        workers[who].ask("exactly", name=name, count=count)

    def turn(name: str):
        def take() -> float:
            answer = workers[sides[name][0]].ask("round", name=name)
            if name == PRODUCTS:
                return answer["seconds"] * chunks
            found[name].append(answer["result"])
            return answer["seconds"]

        return take

    turns = {name: turn(name) for name in sides}
    for warm_up in turns.values():
        warm_up()
    times, results = alternate(turns, rounds), []
    peer = fastest({name: taken for name, taken in times.items() if is_peer(name)})
    for name, taken in times.items():
        count, samples = sizes[name]
        row = {
            "side": name,
            "images": count,
            "num_samples": samples,
            "seconds_per_image": taken,
            "images_per_second": spread([1.0 / t for t in taken]),
        }
        if name != PRODUCTS:
            row["nll"] = found[name][-1]
        # Of fitted proposals most is in the fits, which are no products of this shape.
        if "proposal" not in sides[name][2]:
            flops = nll_flops(Network(), samples)
            row["share_of_large_product"] = spread([flops / t / 1e9 / limit for t in taken])
            row["share_of_products"] = ratios(times[PRODUCTS], taken)
            if peer is not None:
                row |= {"fastest_peer": peer, "speed_to_fastest_peer": ratios(times[peer], taken)}
        results.append(row)
    workers["keras_iwae"].ask("drop")
    return results


def table_row(name: str, folder: Path, quick: bool) -> dict:
    """Train and evaluate a row of the paper's table in a process of its own, and give what came out."""
    script = BENCHMARKS.parent / "scripts" / "reproduce.py"
    command = [sys.executable, str(script), "--row", name, "--out", str(folder)]
    command += ["--budget-minutes", "0.01", "--k", "10", "--limit", "10"] if quick else []
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    if done.returncode:
        raise ChildProcessError(f"--row {name}: {done.stderr.strip().splitlines()[-1]}")
    found = json.loads((folder / "results" / f"{name}.json").read_text())
    kept = "row", "passes", "seed", "seconds_training", "seconds_evaluation", "gpu_names"
    row = {key: found[key] for key in kept}
    for key in ("nll_test", "nll_adapted"):
        row[key] = {part: found[key][part] for part in ("nll", "standard_error", "num_samples", "seconds")}
    return row
