"""Names of files on a command line: what is written under a name is what its ending says."""

import argparse
from collections.abc import Callable
from pathlib import Path


def ending_in(ending: str) -> Callable[[str], Path]:
    """The type of an argument that names a file with this ending."""

    def path(text: str) -> Path:
        if Path(text).suffix != ending:
            raise argparse.ArgumentTypeError(f"expected a file name that ends in {ending}, got {text}")
        return Path(text)

    return path
