"""The import rule, by AST: a file imports only from rooms above its own, and names the room, not the file in it."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "keras_iwae"
# Top to bottom; docs/architecture.md says what each room is for.
ROOMS = (
    "foundation",
    "data",
    "networks",
    "likelihoods",
    "priors",
    "posteriors",
    "bounds",
    "models",
    "evaluation",
    "plots",
    "training",
    "tables",
    "serving",
    "experiments",
)
MOST_ROOMS, LONGEST_FILE = 14, 300
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def imported(path):
    """Every module or name of the package that a file imports, in full."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "keras_iwae":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "keras_iwae")


def violations(path, names):
    own = path.relative_to(PACKAGE).parts[0]
    for name in names:
        _, room, *rest = name.split(".")
        if room not in ROOMS or ROOMS.index(room) > ROOMS.index(own):
            yield f"{path.relative_to(PACKAGE)} imports {name} from below"
        elif room != own and len(rest) > 1:
            yield f"{path.relative_to(PACKAGE)} imports {name}: say from keras_iwae.{room} import {rest[-1]}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_from_rooms_above(path):
    assert not list(violations(path, imported(path)))


def test_every_room_is_in_the_plan():
    assert {path.relative_to(PACKAGE).parts[0] for path in FILES} == set(ROOMS)
    assert {entry.name for entry in PACKAGE.iterdir()} - {"__init__.py", "__pycache__", "py.typed"} == set(ROOMS)
    assert len(ROOMS) <= MOST_ROOMS


def test_every_room_says_its_job_in_one_sentence():
    for room in ROOMS:
        first = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text())).splitlines()[0]
        assert first.endswith((".", ":")), room
        assert first.count(". ") == 0, room


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("foundation/numerics.py", "keras_iwae.models.IWAE"),
        ("bounds/gradients.py", "keras_iwae.models"),
        ("models/iwae.py", "keras_iwae.foundation.numerics.log_mean_exp"),
    ],
)
def test_the_rule_would_catch(path, name):
    assert list(violations(PACKAGE / path, [name]))


def test_the_rule_lets_through_what_comes_from_above():
    assert not list(violations(PACKAGE / "models/iwae.py", ["keras_iwae.foundation.log_mean_exp"]))
    assert not list(violations(PACKAGE / "models/iwae.py", ["keras_iwae.models.generative.Samples"]))


def test_no_file_holds_two_concepts():
    assert not [str(path) for path in FILES if len(path.read_text().splitlines()) > LONGEST_FILE]
