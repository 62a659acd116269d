"""Batches of an evaluation computed by many processes: by Ray, on this machine or on a cluster of machines."""

import contextlib
import functools
import itertools
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_iwae.evaluation import Arrays, Batch, Recipe, Spread, model_digest
from keras_iwae.foundation import MARK, check_integer
from keras_iwae.models import IWAE
from keras_iwae.training import runs

# How often a batch is begun anew whose process died, as one does that the system kills for its memory.
_RETRIES = 3
# Of each of Ray's three attempts at a cluster, which by default take a minute.
_SECONDS_TO_ANSWER = "2"


@contextlib.contextmanager
def worker_processes(workers: int | None = None, address: str | None = None) -> Iterator["Workers | None"]:
    """Processes for the batches of evaluations, started with the first of these and ended with the block.

    A batch is computed from its images, their places and the seed, in whichever process, so that the numbers are those
    of one process, to the last bit where its batches and threads are the same.

    Args:
        workers: how many; `None` is 1, or one for each core of the cluster.
        address: "ray://HOST:PORT" of a cluster whose machines have this package and see the run folder; `None` is this
            machine, whose cores the workers share.

    Yields:
        `Workers`; `None` for one process, which is this one and needs no Ray.

    Raises:
        ValueError: if `workers` is no positive integer, Ray is not installed or runs already, or `address` is none.
        OSError: if nothing answers there.

    Example:
        >>> with worker_processes(4) as workers:
        ...     result, record = evaluate("saved_models/mnist-50", workers=workers)
    """
    if workers is not None:
        workers = check_integer("workers", workers)
    if address is None and workers in (None, 1):
        yield None
        return
    with ray_processes(workers, address) as processes:
        yield processes


@contextlib.contextmanager
def ray_processes(workers: int | None, address: str | None, extra: str = "ray") -> Iterator["Workers"]:
    """Ray for as long as the block, which `Workers.start` starts: as `worker_processes`, for one process too.

    Args:
        workers: how many processes; `None` is one for each core of the cluster.
        address: as in `worker_processes`.
        extra: what of this package has to be installed.
    """
    argument, value = ("workers", workers) if address is None else ("address", address)
    ray = _ray(argument, value, extra)
    if ray.is_initialized():
        raise ValueError(f"{MARK}{argument}`. Expected no other Ray in this process. Received: {value!r} beside one")
    if address is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        where = {"address": "local", "num_cpus": workers, "include_dashboard": False}
    else:
        if not re.fullmatch(r"ray://[^/]+:\d+", address):
            raise ValueError(f"{MARK}address`. Expected ray://HOST:PORT. Received: {address!r}")
        cores, where = 1, {"address": address}
    environment = {"env_vars": _environment(max(1, cores // (workers or 1)))}
    processes = Workers(ray, {**where, "runtime_env": environment}, workers)
    try:
        if address is not None:
            processes.start()
        yield processes
    finally:
        ray.shutdown()


class Workers:
    """Processes that load the model and then compute a batch at a time.

    Args:
        ray: the module.
        where: what it is started with.
        count: how many batches are computed at once; `None` is one for each core that Ray knows.
    """

    def __init__(self, ray: Any, where: Mapping[str, Any], count: int | None):
        self._ray, self._where, self._count = ray, where, count

    def of(self, path: str | os.PathLike, model: IWAE) -> Spread:
        """What computes batches for a model that lies at `path`, a run folder or a `.keras` file."""
        return functools.partial(self._spread, Path(path).resolve(), model_digest(model))

    def _spread(
        self, path: Path, digest: str, recipe: Recipe, batches: Sequence[Batch]
    ) -> Iterator[tuple[int, Arrays]]:
        ray, count = self._ray, min(self.start(), len(batches))
        compute, load = (ray.remote(num_cpus=1, max_retries=_RETRIES)(task) for task in (_computed, _loads))
        # All beside each other, hence each in a process of its own.
        for loaded in [load.remote(path, digest) for _ in range(count)]:
            self._result(loaded)
        return self._as_ready(compute, count, path, digest, recipe, batches)

    def _as_ready(
        self, compute: Any, count: int, path: Path, digest: str, recipe: Recipe, batches: Sequence[Batch]
    ) -> Iterator[tuple[int, Arrays]]:
        ray = self._ray
        waiting = iter(batches)
        running: dict[Any, int] = {}

        def begin(more: int) -> None:
            for batch in itertools.islice(waiting, more):
                running[compute.remote(path, digest, recipe, batch)] = batch.number

        begin(count)
        try:
            while running:
                (ready,), _ = ray.wait(list(running), num_returns=1)
                number = running.pop(ready)
                begin(1)
                yield number, self._result(ready)
        finally:
            for begun in running:
                ray.cancel(begun, force=True)

    def start(self) -> int:
        """Start Ray where it is not: how many batches are computed at once.

        On this machine that is done with the first evaluation, so that what this refuses is refused at once.

        Raises:
            OSError: if it does not start, or no cluster answers.
        """
        ray, address = self._ray, self._where["address"]
        # On a busy machine Ray may not wait long enough for its own first processes.
        for attempts_left in (1, 0) if address == "local" else (0,):
            try:
                with warnings.catch_warnings():
                    # Of an address where nothing answers, which the error says.
                    warnings.simplefilter("ignore")
                    if not ray.is_initialized():
                        ray.init(**self._where, log_to_driver=False, logging_level=logging.CRITICAL)
            # Of a cluster with another Ray or Python, or a machine without room or time: of many kinds, bare ones too.
            except Exception as error:
                if attempts_left:
                    ray.shutdown()
                    continue
                raise OSError(
                    f"Expected Ray at {address!r} to answer, and to take this machine's token if it asks for one "
                    f"(RAY_AUTH_MODE=token). Received: {error}"
                ) from error
            break
        return self._count or max(1, int(ray.cluster_resources().get("CPU", 1)))

    def beside(self, function: Callable[..., None], *given: Any) -> Iterator[None]:
        """Run a function in a process of Ray's that takes none of the cores; something each second, and at its end.

        Raises:
            OSError: if the process dies; and what the function raises.
        """
        running = self._ray.remote(num_cpus=0, max_retries=0)(function).remote(*given)
        while not self._ray.wait([running], timeout=1.0)[0]:
            yield
        yield
        try:
            self._ray.get(running)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            raise OSError(f"Expected Ray to go on. Received: {type(error).__name__}") from error

    def _result(self, ready: Any) -> Any:
        try:
            return self._ray.get(ready)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            times = f"{_RETRIES + 1} processes that died computing it"
            raise OSError(
                f"Expected a worker to compute a batch. Received: {times} ({type(error).__name__})"
            ) from error


def check_workers(workers: Any) -> None:
    """Refuse what is no `Workers`, before anything is loaded.

    Raises:
        ValueError: which says how they are made.
    """
    if workers is not None and not isinstance(workers, Workers):
        raise ValueError(
            f"{MARK}workers`. Expected None, or what `with worker_processes(2) as workers:` gives. "
            f"Received: {workers!r}"
        )


def _computed(path: Path, digest: str, recipe: Recipe, batch: Batch) -> Arrays:
    """What a worker does."""
    model = _loaded(path, digest)
    compute = model.kept(("worker", recipe), lambda: recipe.on(model))
    return compute(tf.convert_to_tensor(batch.x), batch.seen, lambda share: None)


def _loads(path: Path, digest: str) -> None:
    """What a worker does first, so that the time of its start is not taken for that of a batch."""
    _loaded(path, digest)


@functools.lru_cache(maxsize=1)
def _loaded(path: Path, digest: str) -> IWAE:
    model = runs.load_model(path)
    if model_digest(model) != digest:
        raise ValueError(
            f"{MARK}model`. Expected the same weights for all workers. Received: others in a worker's {path}, "
            "which was written meanwhile or lies on another machine"
        )
    return model


def _environment(threads: int) -> dict[str, str]:
    """What a worker's process is started with: its share of the cores, and this very package."""
    limits = {name: str(threads) for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")}
    home = str(Path(__file__).resolve().parents[2])
    return {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])]),
        **{name: os.environ.get(name, limit) for name, limit in limits.items()},
    }


def _ray(argument: str, value: object, extra: str) -> Any:
    for name in ("RAY_CLIENT_INITIAL_CONNECTION_TIMEOUT_S", "RAY_CLIENT_MAX_CONNECTION_TIMEOUT_S"):
        os.environ.setdefault(name, _SECONDS_TO_ANSWER)
    # What is computed here is nobody else's to count.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Of a worker that died, which goes on elsewhere, Ray would print a paragraph among the results.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    try:
        import ray
    except ImportError:
        raise ValueError(
            f"{MARK}{argument}`. Expected Ray for other processes: pip install 'keras-iwae[{extra}]'. "
            f"Received: {value!r} without it"
        ) from None
    return ray
