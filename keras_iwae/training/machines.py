"""Several machines, with a process on each, that train one model together: which they are, and whether they agree."""

import contextlib
import hashlib
import json
import os
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_iwae.foundation import MARK
from keras_iwae.training.waiting import wait_for_all

_ASKED_BY = "TF_CONFIG"
_KINDS = "chief", "worker"
# Characters of an error of TensorFlow's servers.
_MOST_SAID = 200
# What an operation of all processes ends with where one of them is gone; other errors are of the step itself.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


def number_of_machines() -> int:
    """How many processes the environment variable TF_CONFIG names, 1 where it is not there.

    Raises:
        ValueError: if it names something else.

    Example:
        >>> number_of_machines()
        1
    """
    return len(_place(os.environ.get(_ASKED_BY, ""))[1])


def refuse_several_machines() -> None:
    """Refuse TF_CONFIG where each process would do the same beside the others.

    Raises:
        ValueError: if it names several.
    """
    if number_of_machines() > 1:
        raise ValueError(
            f"{MARK}{_ASKED_BY}`. Expected none but for `train`, whose processes share a run out; others would all "
            f"do the same. Received: {number_of_machines()} processes"
        )


def over_machines() -> "Machines | None":
    """The machines that the environment variable TF_CONFIG names, once all of them have begun.

    It is TensorFlow's: `{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}`, with an
    index of its own for each process.

    Returns:
        `Machines`; `None` where the variable is not there or names one process.

    Raises:
        ValueError: if it names something else, or TensorFlow has begun without it.
        OSError: if an address of its own is taken, or others are not reached.

    Example:
        >>> over_machines() is None
        True

    References:
        TensorFlow's guide to distributed training, section on MultiWorkerMirroredStrategy.
    """
    index, addresses = _place(os.environ.get(_ASKED_BY, ""))
    if len(addresses) == 1:
        return None
    if _has_begun():
        raise ValueError(
            f"{MARK}{_ASKED_BY}`. Expected to be asked for before anything else of TensorFlow. Received: it began "
            "without, on this machine alone"
        )
    wait_for_all(index, addresses)
    try:
        strategy = _begun()
    except tf.errors.OpError as error:
        raise OSError(
            f"Expected the addresses of {_ASKED_BY} to be free and to be reached. Received: {_first_words(error)}"
        ) from error
    return Machines(strategy, index, len(addresses))


def _has_begun() -> bool:
    """Whether TensorFlow has set up its devices, after which it takes no others: then it takes no threads either."""
    threads = tf.config.threading.get_inter_op_parallelism_threads()
    try:
        tf.config.threading.set_inter_op_parallelism_threads(threads + 1)
    except RuntimeError:
        return True
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    return False


def _begun() -> tf.distribute.Strategy:
    """TensorFlow's strategy; Ctrl-C ends what is left of the wait for others, and SIGTERM training, as any other."""
    if threading.current_thread() is not threading.main_thread():
        return tf.distribute.MultiWorkerMirroredStrategy()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # It is not Python that waits here, whose own handler would have its turn afterwards.
    if before[signal.SIGINT] != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    finally:
        # TensorFlow takes SIGTERM for a notice of which to tell the others, and goes on.
        for number, handler in before.items():
            # None is one that is not Python's.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


class Machines:
    """Processes that train together, and which of them this one is.

    Args:
        strategy: TensorFlow's.
        index: of this process, from 0.
        count: how many there are.

    Attributes:
        strategy: TensorFlow's, which the processes have in common.
        index: of this process, from 0.
        count: how many there are.
        replicas: how many each of them has.
        first: whether this is the one that writes files.
    """

    def __init__(self, strategy: tf.distribute.Strategy, index: int, count: int):
        self.strategy, self.index, self.count, self.first = strategy, index, count, index == 0
        self.replicas = strategy.num_replicas_in_sync // count

        @tf.autograph.experimental.do_not_convert
        def of_replica(row: tf.Tensor) -> tf.Tensor:
            # The argument of a graph is on no device, and what is gathered has to be.
            return tf.distribute.get_replica_context().all_gather(tf.identity(row), axis=0)

        # One for all that is asked: of each length it is traced once.
        self._gather = tf.function(lambda row: strategy.run(of_replica, (row,)), autograph=False)

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """What a model is made or loaded in.

        Raises:
            OSError: if another process ends meanwhile.
        """
        with others_going_on(), self.strategy.scope():
            yield

    def check_same(self, **found: Any) -> None:
        """Wait for all, and refuse to go on where they have found different things.

        Args:
            **found: of each name what this process has found, which its text tells from anything else.

        Raises:
            ValueError: in all of them, which names what differs.
        """
        # As many bytes as float32 holds exactly: on GPUs integers are not sent.
        digests = [hashlib.sha256(repr(value).encode()).digest()[:3] for value in found.values()]
        of_all = self._of_all([float(int.from_bytes(digest, "little")) for digest in digests])
        for name, column in zip(found, of_all.T, strict=True):
            others = [i for i in range(self.count) if column[i] != column[0]]
            if others:
                raise ValueError(
                    f"{MARK}{name}`. Expected the same in all {self.count} processes of {_ASKED_BY}: one command, one "
                    f"data set, and an `out` that all of them see. Received: another in {', '.join(map(str, others))} "
                    "than in 0"
                )

    def wait(self) -> None:
        """Wait for all to come here.

        Raises:
            OSError: if another process ends before.
        """
        self.any(False)

    def any(self, mine: bool) -> bool:
        """Whether it is so in any of them."""
        return bool(self._of_all([float(mine)]).any())

    def _of_all(self, mine: Sequence[float]) -> np.ndarray:
        """Of the N numbers `mine` those of each process, `[processes, N]`."""
        with others_going_on():
            found = self._gather(tf.constant([mine]))
            return self.strategy.experimental_local_results(found)[0].numpy()[:: self.replicas]


@contextlib.contextmanager
def others_going_on() -> Iterator[None]:
    """Say in one sentence that another process has ended."""
    try:
        yield
    except _LOST as error:
        raise OSError(
            "Expected all processes of TF_CONFIG to go on. Received: one that ended, or is not reached "
            f"({type(error).__name__}). Start all of them again to go on from the last whole epoch"
        ) from error


def _first_words(error: tf.errors.OpError) -> str:
    """What is said, without the page of protocol that may follow."""
    said = " ".join(error.message.split())
    return said if len(said) <= _MOST_SAID else f"{said[:_MOST_SAID]} ..."


def _place(text: str) -> tuple[int, list[str]]:
    """Which this process is, and the addresses of all, one where it is alone."""
    if not text:
        return 0, [""]
    expected = 'Expected {"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}'
    try:
        stated = json.loads(text)
        cluster = stated.get("cluster", {})
        addresses = [address for kind in sorted(cluster) for address in _addresses(cluster[kind])]
        if len(addresses) < 2:
            return 0, [""]
        kind, index = stated["task"]["type"], stated["task"]["index"]
        if len({*addresses}) < len(addresses):
            raise ValueError("one address twice")
        if not {*cluster} <= {*_KINDS} or len(cluster.get("chief", [])) > 1:
            raise ValueError("other processes than a chief and workers")
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(cluster[kind]):
            raise ValueError(f"no {kind} of index {index!r}")
    except KeyError as error:
        raise ValueError(f"{MARK}{_ASKED_BY}`. {expected}. Received: {text}, without {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{MARK}{_ASKED_BY}`. {expected}. Received: {text} ({error})") from error
    return index + (len(cluster.get("chief", [])) if kind == "worker" else 0), addresses


def _addresses(found: Any) -> list[str]:
    if not isinstance(found, list) or not all(
        isinstance(each, str) and re.fullmatch(r"[^\s/]+:\d{1,5}", each) and int(each.split(":")[-1]) < 65536
        for each in found
    ):
        raise ValueError(f"no list of HOST:PORT: {found!r}")
    return found
