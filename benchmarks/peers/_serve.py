"""One framework in a process of its own, which does a round of work when it is told to.

A worker reads one JSON object a line from its standard input and answers with one on its standard output. Between
requests it waits in a read and uses no core, so frameworks take turns without sharing thread pools or memory.
"""

import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from _network import save_weights


class Side(Protocol):
    """Something that is timed; a side that has `seconds` after its work says itself how long that took."""

    def ready(self, count: int) -> Callable[[], object]:
        """A function that does `count` units of the work, steps or images, and returns when they are done."""

    def weights(self) -> list[np.ndarray]:
        """The 14 arrays of `_network`, as they are now."""


def timed(side: Side, run: Callable[[], object]) -> tuple[float, object]:
    """Seconds of the work of `run`, and what it gave: by the clock around it, or by the side's own where it has one."""
    begin = time.perf_counter()
    result = run()
    around = time.perf_counter() - begin
    own = getattr(side, "seconds", None)
    return around if own is None else own, result


def serve(makers: Mapping[str, Callable[[dict], Side]]) -> None:
    """Answer requests until standard input ends.

    Args:
        makers: the name of a kind of side to a function from its settings to the side.
    """
    # What a framework prints must not get among the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = _Worker(makers)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, f"do_{request.pop('do')}")(**request)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


class _Worker:
    def __init__(self, makers):
        self.makers, self.sides, self.rounds = makers, {}, {}
        # Imports are done: what the framework itself takes.
        self.base = resident()

    def do_make(self, name: str, kind: str, **settings) -> dict:
        self.sides[name] = self.makers[kind](settings)
        return {"device": getattr(self.sides[name], "device", None)}

    def do_prepare(self, name: str, seconds: float, most: int, multiple: int = 1) -> dict:
        """Compile and warm up, and choose how many units, a multiple of `multiple`, a round of about `seconds` has."""
        side, count, first = self.sides[name], multiple, None
        for _ in range(3):
            run = side.ready(count)
            begin = time.perf_counter()
            run()
            first = time.perf_counter() - begin if first is None else first
            taken, _ = timed(side, run)
            wanted = min(most, max(count, round(count * seconds / taken)))
            if wanted <= 1.5 * count:
                break
            count = multiple * (wanted // multiple)
        self.rounds[name] = side.ready(count), count
        return {"count": count, "first_seconds": first}

    def do_exactly(self, name: str, count: int) -> dict:
        """A round has `count` units, and none was done yet."""
        self.rounds[name] = self.sides[name].ready(count), count
        return {}

    def do_round(self, name: str) -> dict:
        run, count = self.rounds[name]
        seconds, result = timed(self.sides[name], run)
        return {"seconds": seconds / count, "count": count, "result": result}

    def do_weights(self, name: str, path: str) -> dict:
        save_weights(path, self.sides[name].weights())
        return {}

    def do_memory(self) -> dict:
        return {"base": self.base, "peak": peak()}

    def do_drop(self) -> dict:
        self.sides, self.rounds = {}, {}
        return {}


def resident() -> int:
    """Bytes of memory in use now; the most so far where the system does not say."""
    return _status("VmRSS") or _most()


def peak() -> int:
    """The most bytes of memory that this process had in use."""
    # Linux lets getrusage count the parent's pages from before exec; VmHWM starts at 0.
    return _status("VmHWM") or _most()


def _most() -> int:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def _status(field: str) -> int:
    try:
        with open("/proc/self/status") as lines:
            return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))
    except OSError:
        return 0
