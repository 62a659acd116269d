"""Python for a process that makes many graphs, as those of tests do: what it does time and again is done less often."""

import functools
import gc
import sys
import typing


def prepare() -> None:
    if sys.version_info < (3, 12):
        # An `isinstance` with a protocol, of which graphs are full, looks through its bases; 3.12 keeps what it found.
        typing._get_protocol_attrs = functools.cache(typing._get_protocol_attrs)
    # Graphs are many small objects: looking through all of them time and again takes a seventh of the time.
    gc.set_threshold(100_000, 20, 60)
    gc.collect()
    gc.freeze()
