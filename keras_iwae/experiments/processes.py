"""Ray, started for a block and ended with it: processes on this machine, or those of a cluster."""

import contextlib
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from keras_iwae.foundation import MARK, check_integer

# How often work is begun anew whose process died, as one does that the system kills for its memory.
RETRIES = 3
# Of each of Ray's three attempts at a cluster, which by default take a minute.
_SECONDS_TO_ANSWER = "2"


class Processes:
    """Ray, and how many processes compute at once.

    Args:
        ray: the module.
        where: what it is started with.
        count: how many processes compute at once; `None` is one for each core that Ray knows.
    """

    def __init__(self, ray: Any, where: Mapping[str, Any], count: int | None):
        self._ray, self._where, self._count = ray, where, count

    def start(self) -> int:
        """Start Ray where it is not: how many processes compute at once.

        On this machine that is done with the first work, so that what this refuses is refused at once.

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


Kind = TypeVar("Kind", bound=Processes)


@contextlib.contextmanager
def processes(kind: type[Kind], workers: int | None, address: str | None, extra: str = "ray") -> Iterator[Kind]:
    """Processes of Ray for a block, each with its share of the cores.

    Args:
        kind: what to make of them.
        workers: how many; `None` is one for each core of the cluster.
        address: "ray://HOST:PORT" of a cluster; `None` is this machine, with `workers` given.
        extra: what of this package has to be installed.

    Raises:
        ValueError: if Ray is not installed or runs already, or `address` is none.
        OSError: if nothing answers there.
    """
    argument, value = ("workers", workers) if address is None else ("address", address)
    ray = _ray(argument, value, extra)
    if ray.is_initialized():
        raise ValueError(f"{MARK}{argument}`. Expected no other Ray in this process. Received: {value!r} beside one")
    if address is None:
        cores = usable_cores()
        where = {"address": "local", "num_cpus": workers, "include_dashboard": False}
    else:
        if not isinstance(address, str) or not re.fullmatch(r"ray://[^/]+:\d+", address):
            raise ValueError(f"{MARK}address`. Expected ray://HOST:PORT. Received: {address!r}")
        cores, where = 1, {"address": address}
    environment = {"env_vars": _environment(max(1, cores // (workers or 1)))}
    made = kind(ray, {**where, "runtime_env": environment}, workers)
    try:
        if address is not None:
            made.start()
        yield made
    finally:
        ray.shutdown()


def check_count(workers: Any) -> int | None:
    """`workers` as a number of processes, or `None`.

    Raises:
        ValueError: if it is no positive integer.
    """
    return None if workers is None else check_integer("workers", workers)


def usable_cores() -> int:
    """Cores that this process may use, of which the machine may have more."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_accelerators() -> None:
    """Leave room on a GPU to the processes that this one starts: TensorFlow takes nearly all of its memory at once."""
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")


def _environment(threads: int) -> dict[str, str]:
    """What a process is started with: its share of the cores, no more of a GPU than it needs, and this very package."""
    limits = {name: str(threads) for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")}
    limits["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
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
    # Of a process that died, whose work goes on elsewhere, Ray would print a paragraph among the results.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    try:
        import ray
    except ImportError:
        raise ValueError(
            f"{MARK}{argument}`. Expected Ray for other processes: pip install 'keras-iwae[{extra}]'. "
            f"Received: {value!r} without it"
        ) from None
    return ray
