"""How every script starts and ends: no wall of framework log lines, errors in one line with exit status 2."""

import contextlib
import os
import re
import sys
import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path


def command(
    main: Callable[[Namespace], None],
    args: Namespace,
    when_stopped: str = "stopped",
    options: Mapping[str, str] | None = None,
) -> None:
    """Run `main(args)` and exit: 0 when it is done, 2 with one line on bad input, 130 and `when_stopped` on Ctrl-C.

    An error names arguments of functions; `options` has what the script calls those that have other names there.
    TensorFlow is imported here and not at the top of a script, so that `--help` and usage errors answer at once.
    """
    # A clone works without being installed.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Of a GPU no more than is needed: by default a second program beside this one finds nothing left.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    name = Path(sys.argv[0]).name
    try:
        with quiet_stderr():
            import tensorflow as tf

            tf.get_logger().setLevel("ERROR")
            # The search for a GPU, and its complaint where there is none, would otherwise come later.
            tf.config.list_physical_devices("GPU")
            import keras_iwae
        ours = str(Path(keras_iwae.__file__).parent), str(Path(__file__).parent.resolve())

        def said(message: Warning | str, category: type[Warning], filename: str, *_, **__) -> None:
            # A sentence to the person, and not where it was said; other packages' are for those who write them.
            if filename.startswith(ours):
                print(f"{name}: warning: {message}", file=sys.stderr)

        with warnings.catch_warnings():
            warnings.showwarning = said
            main(args)
    except (ValueError, OSError) as error:
        # python -X dev shows where an error came from.
        if sys.flags.dev_mode:
            raise
        text = " ".join(str(error).split())
        for argument, option in (options or {}).items():
            text = text.replace(f"`{argument}`", f"`{option}`")
        print(f"{name}: error: {text}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"\n{name}: {when_stopped}", file=sys.stderr)
        sys.exit(130)


def parsed(parser: ArgumentParser) -> Namespace:
    """The arguments; a shell that asks for completions of what was typed so far is answered, and the program ends."""
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)
    args = parser.parse_args()
    for action in parser._actions:
        given = getattr(args, action.dest, None)
        if given == "" or (not action.option_strings and isinstance(given, list) and "" in given):
            name = action.option_strings[-1] if action.option_strings else action.metavar or action.dest
            parser.exit(2, f"{parser.prog}: error: {name}: expected some text, received none\n")
        # Of --option=-- argparse leaves nothing, before Python 3.13, and takes that.
        if action.option_strings and given in ([], "--") and action.default != []:
            parser.error(f"argument {action.option_strings[-1]}: expected something other than '--'")
    return args


def said(text: str) -> str:
    """A text that names scripts, as the person runs them: by `keras-iwae`, where that is how this one was started."""
    name = Path(sys.argv[0]).name.split(" ")
    return re.sub(r"python scripts/([a-z]+)\w*\.py", rf"{name[0]} \1", text) if len(name) > 1 else text


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Send what C++ writes to stderr nowhere: TensorFlow logs before its own log level is read."""
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
