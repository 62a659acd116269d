"""Batches of an evaluation computed by many processes: by Ray, on this machine or on a cluster of machines."""

import contextlib
import functools
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_iwae.evaluation import Arrays, Batch, Recipe, Spread, model_digest
from keras_iwae.experiments.processes import RETRIES, Processes, check_count, processes
from keras_iwae.foundation import MARK, float32_products
from keras_iwae.models import IWAE
from keras_iwae.training import runs


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
    workers = check_count(workers)
    if address is None and workers in (None, 1):
        yield None
        return
    with processes(Workers, workers, address) as started:
        yield started


class Workers(Processes):
    """Processes that load the model and then compute a batch at a time.

    Args:
        ray: the module.
        where: what it is started with.
        count: how many batches are computed at once; `None` is one for each core that Ray knows.
    """

    def of(self, path: str | os.PathLike, model: IWAE) -> Spread:
        """What computes batches for a model that lies at `path`, a run folder or a `.keras` file."""
        return functools.partial(self._spread, Path(path).resolve(), model_digest(model))

    def _spread(
        self, path: Path, digest: str, recipe: Recipe, batches: Sequence[Batch]
    ) -> Iterator[tuple[int, Arrays]]:
        ray, count = self._ray, min(self.start(), len(batches))
        compute, load = (ray.remote(num_cpus=1, max_retries=RETRIES)(task) for task in (_computed, _loads))
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

    def _result(self, ready: Any) -> Any:
        try:
            return self._ray.get(ready)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            times = f"{RETRIES + 1} processes that died computing it"
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


@float32_products()
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
    # Of a GPU all workers, and who started them, would take a part.
    tf.config.set_visible_devices([], "GPU")
    model = runs.load_model(path)
    if model_digest(model) != digest:
        raise ValueError(
            f"{MARK}model`. Expected the same weights for all workers. Received: others in a worker's {path}, "
            "which was written meanwhile or lies on another machine"
        )
    return model
