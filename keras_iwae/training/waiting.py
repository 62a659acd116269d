"""The wait for processes of other machines, before TensorFlow's own, which no signal ends and which names nobody."""

import contextlib
import socket
import sys
import time
from collections.abc import Sequence

_SECONDS_TO_LOOK, _SECONDS_TO_ANSWER = 0.2, 1.0
# Until those that are missing are named again.
_SECONDS_BETWEEN = 60.0


def wait_for_all(index: int, addresses: Sequence[str]) -> None:
    """Come back when something answers at the addresses of all others; this process answers at its own meanwhile.

    Args:
        index: which of the addresses is this process's.
        addresses: HOST:PORT of all of them.

    Raises:
        OSError: if its own port is taken.
    """
    print(f"waiting until all {len(addresses)} processes of TF_CONFIG are there", file=sys.stderr, flush=True)
    with _answering(addresses[index]) as own:
        missing = [address for place, address in enumerate(addresses) if place != index]
        due = time.monotonic() + _SECONDS_BETWEEN
        # Whoever has answered once is not asked again: TensorFlow takes over its port as soon as all are there.
        while missing := [address for address in missing if not _answers(address)]:
            if time.monotonic() >= due:
                print(f"still waiting: nothing answers at {', '.join(missing)}", file=sys.stderr, flush=True)
                due = time.monotonic() + _SECONDS_BETWEEN
            _let_in(own)
            time.sleep(_SECONDS_TO_LOOK)


def _answering(address: str) -> socket.socket:
    port = int(address.rpartition(":")[2])
    both = socket.has_dualstack_ipv6()
    try:
        own = socket.create_server(("", port), family=socket.AF_INET6 if both else socket.AF_INET, dualstack_ipv6=both)
    except OSError as error:
        raise OSError(
            f"Expected the addresses of TF_CONFIG to be free and to be reached. Received: {address}, the one of this "
            f"process, which cannot be taken ({error.strerror})"
        ) from error
    own.setblocking(False)
    return own


def _let_in(own: socket.socket) -> None:
    """Take whoever was answered out of the system's queue: once its some hundred places are full, nobody else is."""
    # There is nobody left in it, or one who has gone.
    with contextlib.suppress(OSError):
        while True:
            own.accept()[0].close()


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS_TO_ANSWER):
            return True
    except OSError:
        return False
