"""Importance weighted autoencoders from the command line.

Each command is a script of its own, whose --help has its options and examples.
"""

import argparse
import ast
import os
import re
import sys
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
# By the part before an underscore: evaluate_nll.py is `keras-iwae evaluate`.
SCRIPTS = {path.stem.split("_")[0]: path for path in sorted(FOLDER.glob("[!_]*.py"))}
NAME = "keras-iwae"


def main() -> None:
    """`keras-iwae NAME OPTIONS`: run that script in this process."""
    if "_ARGCOMPLETE" in os.environ:
        _complete()
    name, *rest = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(_help())
    elif name == "--version":
        print(f"{NAME} {version(NAME)}")
    elif name in SCRIPTS:
        # What argparse, errors and advice call the program.
        sys.argv = [f"{NAME} {name}", *rest]
        # Where it is when the script is run by its path: what scripts share lies beside them.
        sys.path.insert(0, str(FOLDER))
        source = SCRIPTS[name].read_text(encoding="utf-8")
        # Not by runpy, which puts the path of the file in the place of the name.
        exec(compile(source, SCRIPTS[name], "exec"), {"__name__": "__main__", "__file__": str(SCRIPTS[name])})
    else:
        print(f"{NAME}: error: expected one of {', '.join(SCRIPTS)}, received {name!r}", file=sys.stderr)
        sys.exit(2)


def _complete() -> None:
    """Answer a shell that asks how the command's name may go on; where there is a name, its script answers."""
    import argcomplete

    typed = os.environ["COMP_LINE"][: int(os.environ["COMP_POINT"])]
    begun = typed.split()[1:]
    if begun and (len(begun) > 1 or typed[-1].isspace()):
        # The script's own words begin behind its name.
        os.environ["_ARGCOMPLETE"] = "2"
        sys.argv[1:] = begun[:1]
        return
    parser = argparse.ArgumentParser(prog=NAME, allow_abbrev=False)
    parser.add_argument("--version", action="store_true")
    parser.add_argument("command", choices=list(SCRIPTS))
    argcomplete.autocomplete(parser)


def _help() -> str:
    lines = [f"  {name:<11} {_first_sentence(path)}" for name, path in SCRIPTS.items()]
    return "\n".join([f"usage: {NAME} COMMAND [OPTIONS]", "", __doc__.strip(), "", "commands:", *lines])


def _first_sentence(script: Path) -> str:
    text = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    return re.split(r"(?<=[.:])\s", text.replace("\n", " "), maxsplit=1)[0].rstrip(".:")
