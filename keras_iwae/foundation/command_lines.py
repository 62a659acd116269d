"""What a person can run next, said as they ran this: a script of a clone, or the command that pip installs."""

import shlex
import sys
from pathlib import Path

COMMAND = "keras-iwae"


def command_line(script: str, *words: str) -> str:
    """A line to be pasted into a shell.

    Args:
        script: name of a file in scripts/, without its ending. The command has the part before an underscore.
        *words: its arguments, quoted here where they need it.

    Example:
        >>> command_line("evaluate_nll", "--model", "my run")
        "python scripts/evaluate_nll.py --model 'my run'"
    """
    if Path(sys.argv[0]).name.split(" ")[0] == COMMAND:
        start = [COMMAND, script.split("_")[0]]
    else:
        start = ["python", f"scripts/{script}.py"]
    return shlex.join([*start, *words])
