"""Many independent runs as jobs: each in a process of Ray of its own, on this machine or on a cluster of machines."""

import contextlib
import dataclasses
import datetime
import math
import os
import socket
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_iwae.experiments.processes import RETRIES, Processes, check_count, processes
from keras_iwae.foundation import MARK

WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "error"


@dataclasses.dataclass(frozen=True)
class Job:
    """Work for a process of its own, which goes on where it was stopped when it is done once more.

    Attributes:
        name: what it is called.
        task: a function without arguments, or a `functools.partial`, that other processes can import.
        log: the file to which all is added that the process prints, its own for each job.
        after: names of jobs that have to be done before.
    """

    name: str
    task: Callable[[], Any]
    log: Path
    after: tuple[str, ...] = ()


class Ended(NamedTuple):
    """A job that is done, with what its task returned, or one that is not, with one line that says why."""

    job: Job
    result: Any
    error: str | None


@contextlib.contextmanager
def job_processes(workers: int | None = None, address: str | None = None) -> Iterator["Jobs | None"]:
    """Processes for jobs, started with the first of these and ended with the block.

    Args:
        workers: how many jobs are done at once; `None` is one for each core of the cluster.
        address: "ray://HOST:PORT" of a cluster whose machines have this package and see this folder; `None` is this
            machine, whose cores and GPUs the jobs share.

    Yields:
        `Jobs`; `None` where neither is given, for work that is done here, one after the other, and needs no Ray.

    Raises:
        ValueError: if `workers` is no positive integer, Ray is not installed or runs already, or `address` is none.
        OSError: if nothing answers there.

    Example:
        >>> def trained(run, **settings):
        ...     begun = os.path.exists(f"{run}/config.json")
        ...     return resume(run) if begun else train(ExperimentConfig.of(**settings), run)
        >>> job = Job("digits", functools.partial(trained, "runs/digits", dataset="digits"), Path("logs/digits.txt"))
        >>> with job_processes(2) as jobs:
        ...     for ended in jobs.run([job]):
        ...         print(ended.job.name, ended.error or ended.result)
    """
    workers = check_count(workers)
    if workers is None and address is None:
        yield None
        return
    with processes(Jobs, workers, address) as started:
        yield started


class Jobs(Processes):
    """Processes that do one job each.

    Args:
        ray: the module.
        where: what it is started with.
        count: how many jobs are done at once; `None` is one for each core that Ray knows.

    Attributes:
        states: of each job by its name whether it is "waiting", "running", "done" or "error".
    """

    def __init__(self, ray: Any, where: Any, count: int | None):
        super().__init__(ray, where, count)
        self.states: dict[str, str] = {}

    def run(self, jobs: Sequence[Job]) -> Iterator[Ended]:
        """Do jobs, as many at once as there are processes, and give each when it ends.

        One whose process dies is done once more, up to three times. One that ends with an error leaves the others
        alone, but for those that come after it, which are not begun. Whatever ends this ends the processes.

        Args:
            jobs: what to do; those that others come after are before them.

        Yields:
            each job, in the order in which they end.

        Raises:
            ValueError: if one is no `Job`, two have one name or one log, or one comes after what is not before it.
            OSError: if Ray does not start.
        """
        _check(jobs)
        count, running = self.start(), dict[Any, Job]()
        self.states = {job.name: WAITING for job in jobs}
        task = self._ray.remote(num_cpus=1, num_gpus=self._gpus(count), max_calls=1, max_retries=RETRIES)(_done)
        ended: list[Ended] = []
        try:
            while True:
                ended += self._dropped(jobs)
                for job in self._ready(jobs)[: count - len(running)]:
                    self.states[job.name] = RUNNING
                    running[task.remote(job, os.getcwd())] = job
                yield from ended
                if not running:
                    return
                (ready,), _ = self._ray.wait(list(running), num_returns=1)
                ended = [self._ended(running.pop(ready), ready)]
        finally:
            # Where this is closed late, Ray may have ended by itself, and `cancel` would start it anew.
            for begun in running if self._ray.is_initialized() else ():
                self._ray.cancel(begun, force=True)

    def _gpus(self, count: int) -> float:
        """What a job has of the GPUs: one, or a part of one where there are fewer than jobs."""
        # Ray counts in parts of ten thousand, and rounds up.
        return min(1.0, math.floor(1e4 * self._ray.cluster_resources().get("GPU", 0.0) / count) / 1e4)

    def _ready(self, jobs: Sequence[Job]) -> list[Job]:
        return [
            job
            for job in jobs
            if self.states[job.name] == WAITING and all(self.states[name] == DONE for name in job.after)
        ]

    def _dropped(self, jobs: Sequence[Job]) -> list[Ended]:
        """Jobs that will not be begun, in whose order each is before those that come after it."""
        found = []
        for job in jobs:
            failed = [name for name in job.after if self.states[name] == FAILED]
            if self.states[job.name] == WAITING and failed:
                self.states[job.name] = FAILED
                found.append(Ended(job, None, f"not begun, for it comes after {failed[0]}"))
        return found

    def _ended(self, job: Job, ready: Any) -> Ended:
        errors = self._ray.exceptions
        self.states[job.name] = FAILED
        try:
            result = self._ray.get(ready)
        except errors.RayTaskError as error:
            return Ended(job, None, _line(error.cause or error))
        except errors.WorkerCrashedError:
            return Ended(job, None, f"{RETRIES + 1} processes died doing it")
        except errors.RayError as error:
            return Ended(job, None, _line(error))
        self.states[job.name] = DONE
        return Ended(job, result, None)


def _check(jobs: Sequence[Job]) -> None:
    names, logs = set[str](), set[Path]()
    if not isinstance(jobs, Sequence):
        raise ValueError(f"{MARK}jobs`. Expected a sequence of instances of Job. Received: {jobs!r}")
    for job in jobs:
        if not isinstance(job, Job):
            raise ValueError(f"{MARK}jobs`. Expected instances of Job. Received: {job!r}")
        if job.name in names or job.log in logs:
            raise ValueError(f"{MARK}jobs`. Expected a name and a log for each. Received: those of {job.name!r} twice")
        if not names.issuperset(job.after):
            raise ValueError(
                f"{MARK}jobs`. Expected what {job.name!r} comes after to be before it. Received: {job.after}"
            )
        names.add(job.name)
        logs.add(job.log)


def check_jobs(jobs: Any) -> None:
    """Refuse what are no processes for jobs, before anything is begun.

    Raises:
        ValueError: which says how they are made.
    """
    if jobs is not None and not isinstance(jobs, Jobs):
        raise ValueError(
            f"{MARK}jobs`. Expected None, or what `with job_processes(2) as jobs:` gives. Received: {jobs!r}"
        )


def _line(error: BaseException) -> str:
    said = " ".join(str(error).split())
    # Ray tells of a lack of memory on a page.
    return said if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: {said[:300]}"


def _done(job: Job, folder: str) -> Any:
    """What a job's process does, in the folder that names of files are of."""
    os.chdir(folder)
    with _printing_to(job.log):
        now = datetime.datetime.now().isoformat(" ", "seconds")
        print(f"{now} {job.name}, process {os.getpid()} on {socket.gethostname()}")
        try:
            return job.task()
        except (ValueError, OSError) as error:
            print(f"error: {_line(error)}")
            raise
        except Exception:
            traceback.print_exc()
            raise


@contextlib.contextmanager
def _printing_to(log: Path) -> Iterator[None]:
    # Not there on Windows, where the rest of this is.
    import fcntl

    log.parent.mkdir(parents=True, exist_ok=True)
    # A line at a time, so that a process that is killed leaves what it said.
    with open(log, "a", buffering=1, encoding="utf-8") as file:
        # A process of a command before may take a moment to end, or belong to a command beside this one: two never do
        # the same job at once. The lock is the process' own and ends with it, however that ends.
        fcntl.flock(file, fcntl.LOCK_EX)
        for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
            stream.flush()
            os.dup2(file.fileno(), number)
        with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            yield
