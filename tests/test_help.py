"""What scripts say of their options: in one screen by --help, all of it by --help-all."""

import argparse
import contextlib
import io
import re
import runpy
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
NAMES = sorted(path.stem for path in SCRIPTS.glob("[!_]*.py"))
LONG = ["evaluate_nll", "impute", "score", "sweep_k", "train", "tune"]


class Parsed(Exception):
    """What a script has come to where it would go on to its work."""


@pytest.fixture
def parse(monkeypatch):
    """The parser of a script, the arguments if they can be parsed, and what is printed, by its name and its words."""
    found = {}
    original = argparse.ArgumentParser.parse_args

    def parse_args(self, *given, **named):
        found["parser"] = self
        found["args"] = original(self, *given, **named)
        raise Parsed

    def run(name, *words):
        monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *words])
        monkeypatch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
        monkeypatch.setenv("COLUMNS", "80")
        found.clear()
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), contextlib.suppress(Parsed, SystemExit):
            runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name="__main__")
        return found["parser"], found.get("args"), out.getvalue()

    return run


def closed(text):
    """Without blanks, for lines are broken at them and behind hyphens."""
    return "".join(text.split())


@pytest.mark.parametrize("name", NAMES)
def test_help_is_one_screen(parse, name):
    lines = parse(name, "--help")[2].splitlines()
    assert 0 < len(lines) <= 50
    if name in LONG:
        assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("name", LONG)
def test_help_explains_the_main_options_and_names_all(parse, name):
    parser, _, text = parse(name, "--help")
    main = runpy.run_path(str(SCRIPTS / f"{name}.py"))["MAIN"]
    explained, named = text.split("more, which --help-all explains:\n")
    explained = explained.split("main options:\n")[1]
    for action in parser._actions:
        if action.dest in main:
            assert closed(action.help) in closed(explained)
        elif action.dest not in ("help", "help_all"):
            assert action.option_strings[-1] in named.split()
    assert len(re.findall(r"^  \S", explained, flags=re.M)) == len(main)


@pytest.mark.parametrize("name", LONG)
def test_help_all_explains_every_option(parse, name):
    parser, _, text = parse(name, "--help-all")
    for action in parser._actions:
        assert len(action.help) > 5
        assert re.search(
            rf"^  (-h, )?{(action.option_strings or [action.metavar or action.dest])[-1]}\b", text, flags=re.M
        )
        assert closed(action.help) in closed(text)
    assert parser.description.strip() in text


@pytest.mark.parametrize("name", LONG)
def test_examples_in_help_are_those_of_the_whole_to_the_letter(parse, name):
    shown = parse(name, "-h")[2].split("examples:\n")[1].split("\n\n")[0]
    # A line ends before an option, and not between it and its value.
    assert all(line.startswith(("  python", "      --")) for line in shown.splitlines())
    commands = re.sub(r" \\\n +", " ", shown).splitlines()
    assert 1 < len(commands) < 4
    assert set(commands) <= set(parse(name, "--help-all")[2].splitlines())


def test_what_has_to_be_given_is_in_the_usage(parse):
    assert parse("impute", "--help")[2].startswith("usage: impute.py [options] DATA --out OUT\n")
    assert parse("tune", "--help")[2].startswith("usage: tune.py [options] SPACE\n")


def test_what_is_parsed_is_as_without_it(parse):
    _, args, text = parse("train", "--epochs", "3")
    assert args.epochs == 3
    assert text == ""
    assert not {"help", "help_all"} & set(vars(args))
    for misspelt in ("--epoch", "--help-al"):
        parser, args, text = parse("train", misspelt)
        assert args is None
        assert text == f"{parser.format_usage()}train.py: error: unrecognized arguments: {misspelt}\n"
