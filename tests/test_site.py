"""The documentation site: every public name is on a page of the reference, and every page is in the navigation.

`make docs` builds it, and fails where a link, an anchor or a name leads nowhere.
"""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest
import yaml

import keras_iwae

DOCS = Path(__file__).resolve().parent.parent / "docs"
REFERENCE = {page.name: page.read_text() for page in (DOCS / "reference").glob("*.md")}
DIRECTIVES = [name for text in REFERENCE.values() for name in re.findall(r"^::: (\S+)$", text, re.MULTILINE)]
# Names that are printed as code, too: constants have no docstring of their own.
NAMED = {name for text in REFERENCE.values() for name in re.findall(r"`(keras_iwae(?:\.\w+)+)`", text)} | set(
    DIRECTIVES
)

# What rooms export for each other and is not promised to anyone.
BETWEEN_ROOMS = {
    "data": {
        "BINARY",
        "before_draws",
        "brightest_byte",
        "check_binarization",
        "digest",
        "digest_of_batches",
        "has_missing",
        "in_order",
    },
    "networks": {
        "check_activation",
        "check_layer",
        "checked_networks",
        "checked_sizes",
        "checked_units",
        "dense_gaussians",
        "derived_seed",
        "discrimination",
        "features_shape",
        "following_seed",
        "glorot",
        "output_shape",
    },
    "likelihoods": set(),
    "priors": {"top_of"},
    "posteriors": {"NUM_COMPONENTS", "FullGaussian", "check_path"},
    "bounds": {"objectives"},
    "models": {
        "ACTIVATION",
        "Door",
        "StopWhereLossNotFinite",
        "check_batch_size",
        "check_model",
        "check_passes",
        "check_weights",
        "encoder_inputs",
        "replica_context",
        "sizes",
        "units_of",
        "with_inputs",
        "with_stopping",
    },
    "evaluation": {
        "Arrays",
        "Batch",
        "Compute",
        "Recipe",
        "Spread",
        "computed_batches",
        "conditional_graph",
        "diagnostics",
        "digests_of",
        "examples_together",
        "model_digest",
        "nats",
        "pareto_k_of",
        "seen_examples",
    },
    "evaluation.diagnostics": set(),
    "plots": set(),
    "training": {"number_of_machines", "refuse_several_machines"},
    "tables": {"open_filled"},
    "serving": set(),
    "experiments": set(),
}


class _Loader(yaml.SafeLoader):
    """What MkDocs' settings have besides plain values is of no account here."""


_Loader.add_multi_constructor("!!python", lambda loader, suffix, node: None)
_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: None)
SETTINGS = yaml.load((DOCS.parent / "mkdocs.yml").read_text(), _Loader)


def thing(name):
    return pkgutil.resolve_name(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", DIRECTIVES)
def test_a_name_of_the_reference_is_there(name):
    assert thing(name).__doc__


def test_no_name_is_on_two_pages():
    found = [id(thing(name)) for name in DIRECTIVES]
    assert len(found) == len(set(found))


@pytest.mark.parametrize("room", BETWEEN_ROOMS)
def test_what_a_room_exports_is_in_the_reference_or_between_rooms(room):
    module, between = importlib.import_module(f"keras_iwae.{room}"), BETWEEN_ROOMS[room]
    assert between <= set(module.__all__)
    documented = {id(thing(name)) for name in NAMED}
    for name in set(module.__all__) - between:
        assert id(getattr(module, name)) in documented, name
    for name in between:
        assert f"keras_iwae.{room}.{name}" not in DIRECTIVES, name


def test_every_name_of_the_package_is_in_the_reference():
    documented = {id(thing(name)) for name in NAMED}
    for name in keras_iwae.__all__:
        assert id(getattr(keras_iwae, name)) in documented, name


def pages(entry):
    """Pages of a navigation, of which an entry is a page, or a title with one, or with further entries."""
    if isinstance(entry, str):
        return [entry]
    return [page for each in (entry if isinstance(entry, list) else entry.values()) for page in pages(each)]


def test_every_page_is_in_the_navigation_once():
    elsewhere = SETTINGS["extra"]["elsewhere"]
    assert all((DOCS.parent / path).exists() for path in elsewhere)
    hidden = tuple(line for line in SETTINGS["exclude_docs"].split() if line.endswith("/"))
    written = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    shown = {page for page in written if not page.startswith(hidden)}
    shown |= {f"course/{lesson.stem}.md" for lesson in (DOCS / "course").glob("*.py")}
    assert sorted(pages(SETTINGS["nav"])) == sorted(shown | set(elsewhere.values()))


def test_links_lead_to_what_the_site_has():
    """A file of the repository alone is there where the page is read in it, and not on the site, whose build fails."""
    root, elsewhere = DOCS.parent, SETTINGS["extra"]["elsewhere"]
    hidden = tuple(f"docs/{line}" for line in SETTINGS["exclude_docs"].split() if line.endswith("/"))
    nowhere = []
    for page in [*DOCS.rglob("*.md"), *(root / path for path in elsewhere)]:
        if str(page.relative_to(root)).startswith(hidden):
            continue
        for link in re.findall(r"\]\(([^)\s#:]+)(?=[)#])", page.read_text()):
            target = (page.parent / link).resolve()
            path = str(target.relative_to(root))
            # Of a folder the site has the name.
            if path in elsewhere or target.is_dir():
                continue
            if not path.startswith("docs/") or path.startswith(hidden) or path.endswith(".json"):
                nowhere.append((page.name, link))
    assert not nowhere


def test_each_page_of_the_reference_is_in_its_table():
    assert {f"{page}.md" for page in re.findall(r"\]\((\w+)\.md\)", REFERENCE["index.md"])} == set(REFERENCE) - {
        "index.md"
    }
