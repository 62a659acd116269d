"""The import rule, by AST: a file imports only from rooms above its own."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "keras_iwae"
# Top to bottom; docs/architecture.md says what each room is for.
ROOMS = (
    "inputs",
    "storage",
    "numerics",
    "schedules",
    "optimizers",
    "networks",
    "made",
    "bijectors",
    "conditional",
    "discriminator",
    "posteriors",
    "priors",
    "generative",
    "parts",
    "objectives",
    "estimators",
    "backward",
    "checked_model",
    "latent_model",
    "model",
    "adversarial",
    "resampling",
    "diagnostics",
    "evaluation",
    "data",
    "plots",
    "charts",
    "runs",
    "callbacks",
    "serving_warmup",
    "export",
    "experiments",
    "report",
)
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room_of(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "keras_iwae":
            if node.module == "keras_iwae":
                yield from (f"keras_iwae.{alias.name}" for alias in node.names)
            else:
                yield node.module
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "keras_iwae")


def violations(path, modules):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for module in modules:
        room = room_of(module)
        if room is None or ROOMS.index(room) > ROOMS.index(own):
            yield f"{path.relative_to(PACKAGE)} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_from_rooms_above(path):
    assert not list(violations(path, imported(path)))


def test_every_room_is_in_the_plan():
    assert {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES} == set(ROOMS)


def test_the_rule_would_catch_an_import_from_below():
    assert list(violations(PACKAGE / "numerics.py", ["keras_iwae.model"]))
    assert not list(violations(PACKAGE / "model.py", ["keras_iwae.numerics"]))


def test_no_file_holds_two_concepts():
    assert not [path.name for path in FILES if len(path.read_text().splitlines()) > 400]
