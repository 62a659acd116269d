"""The command that pip installs: each script by its name, in its own words."""

import contextlib
import importlib.util
import io
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from keras_iwae.foundation import command_line

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def scripts():
    spec = importlib.util.spec_from_file_location("keras_iwae_scripts", ROOT / "scripts" / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ran(scripts, *words):
    """Exit status, output and errors of `keras-iwae WORDS`."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["/somewhere/bin/keras-iwae", *words])
        patch.setattr(sys, "path", list(sys.path))
        try:
            scripts.main()
        except SystemExit as ended:
            status = ended.code
    return status, out.getvalue(), err.getvalue()


def test_every_script_is_a_command_and_is_explained(scripts):
    status, printed, _ = ran(scripts, "--help")
    assert status == 0
    assert ran(scripts) == (0, printed, "")
    said = dict(re.findall(r"^  (\w+) +(\S.*)$", printed, flags=re.M))
    assert set(said) == {path.stem.split("_")[0] for path in (ROOT / "scripts").glob("[a-z]*.py")}
    assert len(said) == len(list((ROOT / "scripts").glob("[a-z]*.py")))
    assert said["report"].startswith("Write one self-contained HTML page")
    assert len(printed.splitlines()) < 24


def test_other_words_are_one_line(scripts):
    assert ran(scripts, "--version") == (0, "keras-iwae 0.1.0\n", "")
    status, printed, error = ran(scripts, "evalaute")
    assert (status, printed) == (2, "")
    assert re.fullmatch(r"keras-iwae: error: expected one of compare, .*, train, tune, received 'evalaute'\n", error)


@pytest.mark.parametrize("name", ["evaluate", "train", "impute", "reproduce"])
def test_help_names_what_was_run(scripts, name):
    status, printed, _ = ran(scripts, name, "--help")
    assert status == 0
    assert printed.startswith(f"usage: keras-iwae {name} [")
    assert f"  keras-iwae {name} " in printed
    assert "scripts/" not in printed


def test_errors_and_advice_name_it_too(scripts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, error = ran(scripts, "report")
    assert status == 2
    assert error.startswith("keras-iwae report: error: Expected a trained run in saved_models/.")
    assert error.rstrip().endswith("train one: keras-iwae train")


def test_advice_is_of_the_scripts_where_these_are_run(monkeypatch):
    words = "evaluate_nll", "--model", "my run"
    for program, start in (
        ("/a clone/scripts/train.py", "python scripts/evaluate_nll.py"),
        ("keras-iwae train", "keras-iwae evaluate"),
        ("/usr/bin/pytest", "python scripts/evaluate_nll.py"),
    ):
        monkeypatch.setattr(sys, "argv", [program])
        assert command_line(*words) == f"{start} --model 'my run'"


@pytest.mark.parametrize(
    ("typed", "completions"),
    [
        ("keras-iwae ev", ["evaluate"]),
        ("keras-iwae train --prior", ["--prior", "--prior-components"]),
        ("keras-iwae evaluate --method b", ["bdmc"]),
        ("keras-iwae evaluate --method b --k", ["--k"]),
    ],
)
def test_a_shell_is_told_how_words_may_go_on(typed, completions):
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import scripts; scripts.main()"
    asked = {"_ARGCOMPLETE": "1", "COMP_LINE": typed, "COMP_POINT": str(len(typed)), "COMP_TYPE": "9"}
    command = ["bash", "-c", 'exec "$0" -c "$1" 8>&1 9>/dev/null', sys.executable, program]
    done = subprocess.run(command, env=os.environ | asked, capture_output=True, text=True, timeout=60)
    assert [word.strip() for word in done.stdout.split("\013")] == completions, done.stderr


def test_a_folder_of_the_package_s_name_is_not_taken_for_it(tmp_path):
    """As a clone is, in the folder that it lies in, to an editable install that `make` did not complete."""
    (tmp_path / "keras_iwae" / "keras_iwae").mkdir(parents=True)
    asked = "import importlib.util; print(importlib.util.find_spec('keras_iwae').origin)"
    found = subprocess.run([sys.executable, "-c", asked], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()) == ROOT / "keras_iwae" / "__init__.py"


def test_every_package_is_installed():
    listed = re.search(r"^packages = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), flags=re.M | re.S).group(1)
    found = [
        str(path.parent.relative_to(ROOT)).replace("/", ".") for path in (ROOT / "keras_iwae").rglob("__init__.py")
    ]
    assert re.findall(r'"(.+?)"', listed) == [*sorted(found), "keras_iwae_models", "keras_iwae_scripts"]


def test_the_models_in_the_box_are_small_whole_and_installed():
    """What is installed of them, by the patterns of pyproject.toml, is all that lies there in a clean clone."""
    project = (ROOT / "pyproject.toml").read_text()
    patterns = re.findall(
        r'"(.+?)"', re.search(r'^"keras_iwae_models" = \[(.*?)\]', project, flags=re.M | re.S).group(1)
    )
    names = sorted({pattern.split("/")[0] for pattern in patterns})
    listed = re.findall(r"^\| \[(.+?)\]\(\1/\)", (ROOT / "saved_models" / "README.md").read_text(), flags=re.M)
    assert sorted(listed) == names
    for name in names:
        found = {path for pattern in patterns for path in (ROOT / "saved_models").glob(pattern) if name in path.parts}
        assert {path.name for path in found} >= {
            "README.md",
            "config.json",
            "inputs.json",
            "metrics.json",
            "model.keras",
        }
        assert max(path.stat().st_size for path in found) < 3e6
        with zipfile.ZipFile(ROOT / "saved_models" / name / "model.keras") as archive:
            assert b"optimizer" not in archive.read("model.weights.h5")


def test_requirements_are_what_is_installed_and_what_tests_need():
    project = (ROOT / "pyproject.toml").read_text()
    installed = re.search(r"^dependencies = \[(.*?)^\]", project, flags=re.M | re.S).group(1)
    of_tests = re.search(r"^test = \[(.*)\]", project, flags=re.M).group(1)
    named = [double or single for double, single in re.findall(r"^ *\"(.+)\",$|^ *'(.+)',$", installed, flags=re.M)]
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [*named, *re.findall(r'"(.+?)"', of_tests)]
