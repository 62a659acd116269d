"""Help in one screen: what most people need, and the names of the rest, which `--help-all` explains."""

import argparse
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence

from _entry import said


def parser_with_main_options(doc: str, main: Sequence[str]) -> argparse.ArgumentParser:
    """A parser described by `doc`, whose `--help` explains the arguments named in `main` alone, in that order."""
    parser = argparse.ArgumentParser(
        description=said(doc),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument("-h", "--help", action=_MainHelp, main=main, help="explain the main options and exit")
    parser.add_argument("--help-all", action="help", help="explain every option and exit")
    return parser


class _MainHelp(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, main: Sequence[str], help: str) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)
        self.main = main

    def __call__(self, parser, namespace, values, option_string=None):
        # As wide as argparse has it, and printed by it, which stands a reader that has closed.
        parser._print_message(_main_help(parser, self.main, shutil.get_terminal_size().columns - 2) + "\n", sys.stdout)
        parser.exit()


def _main_help(parser: argparse.ArgumentParser, main: Sequence[str], width: int) -> str:
    """Usage, the first two paragraphs of the description, the first three examples, and the options."""
    actions = {action.dest: action for action in parser._actions}
    needed = [" ".join([*action.option_strings, _value(action)]) for action in parser._actions if action.required]
    summary, how, *_, examples = (parser.description or "").strip().split("\n\n")
    parts = [
        [" ".join([f"usage: {parser.prog} [options]", *needed])],
        _wrapped(summary, width),
        _wrapped(how, width),
        ["examples:", *_commands(examples.splitlines()[1:4], width)],
        ["main options:", *_explained([actions[name] for name in main], width)],
        ["more, which --help-all explains:", *_named(parser, main, width)],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts)


def _commands(lines: Sequence[str], width: int) -> list[str]:
    """Commands as a shell takes them, before an option on to another line where one is too short."""
    # What stands between an option and its values is no place to break at.
    broken = (_wrapped(re.sub(" (?!--)", "\0", line.strip()), width - 4, "    ") for line in lines)
    return ["  " + " \\\n  ".join(pieces).replace("\0", " ") for pieces in broken]


def _explained(actions: Sequence[argparse.Action], width: int) -> list[str]:
    column = 4 + max(len(_written(action)) for action in actions)
    lines = []
    for action in actions:
        first, *rest = _wrapped(action.help or "", width - column)
        lines += [f"  {_written(action)}".ljust(column) + first, *(" " * column + line for line in rest)]
    return lines


def _named(parser: argparse.ArgumentParser, main: Sequence[str], width: int) -> list[str]:
    """The names of the other options, group by group."""
    lines = []
    for group in parser._action_groups:
        names = [
            action.option_strings[-1]
            for action in group._group_actions
            if action.dest not in ("help", "help_all", *main)
        ]
        if names:
            lines += ["  " + line for line in _wrapped(f"{group.title}: {' '.join(names)}", width - 2, "  ")]
    return lines


def _written(action: argparse.Action) -> str:
    """An argument and its value, which is left out where it would be the option's name once more."""
    if not action.option_strings:
        return _value(action)
    value = action.metavar or {int: "N", float: "X"}.get(action.type, "")
    return f"{action.option_strings[-1]} {value}".rstrip()


def _value(action: argparse.Action) -> str:
    return str(action.metavar or action.dest.upper())


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    # In a window that is narrower still, lines are too long.
    return textwrap.wrap(text, max(width, 20), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
