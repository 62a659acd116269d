"""Options of the scripts about tables: how a file is read, and how a model of it is made."""

import argparse
import re
import sys

KINDS = ("real", "positive", "count", "binary", "categorical", "ordinal")
# The levels are the package's to judge.
_ORDER = re.compile(r"(.+?)=(ordinal\(.*\))", re.DOTALL)
_LARGEST_SEED = 2**31 - 1


def kind(text: str) -> tuple[str, str]:
    """NAME=KIND; a name may hold an equals sign, and so may levels in their order."""
    if order := _ORDER.fullmatch(text):
        return order[1], order[2]
    name, _, value = text.rpartition("=")
    if not name or value not in KINDS:
        raise argparse.ArgumentTypeError(f"expected NAME=KIND with a kind of {', '.join(KINDS)}, not {text!r}")
    return name, value


class _Kinds(argparse.Action):
    """Kinds by name, each given once, however often the option is."""

    def __call__(self, parser, namespace, values, option_string=None):
        found = dict(getattr(namespace, self.dest))
        if not values:
            raise argparse.ArgumentError(self, "expected NAME=KIND, not '--'")
        for name, value in values:
            if name in found:
                raise argparse.ArgumentError(self, f"expected one kind for {name}, not {found[name]} and {value}")
            found[name] = value
        setattr(namespace, self.dest, found)


class _Texts(argparse.Action):
    """Texts, however often the option is; of --missing=-- argparse leaves none, which is taken for what was given."""

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), *(values or ["--"])])


def seed(text: str) -> int:
    """A whole number that int32 holds, from 0 on."""
    if not text.isdecimal() or int(text) > _LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"expected an integer from 0 to {_LARGEST_SEED}, not {text!r}")
    return int(text)


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Options of how a file is read and a model of it made, which every script about tables has."""
    reading = parser.add_argument_group("reading")
    reading.add_argument(
        "--kind",
        type=kind,
        nargs="+",
        action=_Kinds,
        default={},
        metavar="NAME=KIND",
        help=f"what a column is, where it is not what it looks like: {', '.join(KINDS)}, or levels in their "
        'order, as "size=ordinal(S<M<L)"; levels that are said are texts to the letter, and 007 looks like a code',
    )
    reading.add_argument(
        "--ignore", nargs="+", action=_Texts, default=[], metavar="NAME", help="columns that say nothing, such as ids"
    )
    reading.add_argument(
        "--missing",
        nargs="+",
        action=_Texts,
        default=[],
        metavar="TEXT",
        help="further texts that stand for a missing cell, which some cell is: by value in a column of numbers, "
        "to the letter elsewhere; one that begins with a hyphen is given as --missing=TEXT",
    )
    model = parser.add_argument_group("model")
    model.add_argument("--fit-rows", type=int, metavar="N", help="rows to learn from, drawn at random [100000]")
    model.add_argument("--num-samples", type=int, metavar="K", help="importance samples of each row [1000]")
    model.add_argument("--max-steps", type=int, metavar="N", help="steps of training, at most [the imputer's own]")
    model.add_argument(
        "--balanced", action="store_true", help="let training hear all columns alike, not numbers more than levels"
    )
    model.add_argument(
        "--missingness",
        choices=["self_masking"],
        help="self_masking: cells may be missing because of their own values; learn how, by column [gaps say nothing]",
    )
    model.add_argument("--seed", type=seed, default=0, help="the same seed gives the same files, but for rounding [0]")


def given_reading(args: argparse.Namespace) -> dict:
    """Those options by the names of the package's arguments."""
    optional = {name: getattr(args, name) for name in ("fit_rows", "num_samples", "max_steps", "missingness")}
    return {
        "kinds": args.kind,
        "ignore": args.ignore,
        "missing": args.missing,
        "balanced": args.balanced,
        "seed": args.seed,
        "verbose": sys.stderr.isatty(),
        **{name: value for name, value in optional.items() if value is not None},
    }
