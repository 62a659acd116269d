"""Names of files on a command line: what is written under a name is what its ending says."""

import argparse
from collections.abc import Callable
from pathlib import Path


def ending_in(ending: str) -> Callable[[str], Path]:
    """The type of an argument that names a file with this ending, in a folder that there is."""

    def path(text: str) -> Path:
        found = Path(text)
        if found.suffix != ending:
            raise argparse.ArgumentTypeError(f"expected a file name that ends in {ending}, got {text}")
        # Said before anything is measured.
        if found.is_dir() or not found.parent.is_dir():
            why = "which is a folder" if found.is_dir() else f"and no folder {found.parent}"
            raise argparse.ArgumentTypeError(f"expected a file in a folder that there is, got {text}, {why}")
        return found

    return path
