"""The source distribution has what Git tracks: its own tests and pages need it all."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Not tracked, and lying about where someone has worked.
LITTER = (
    ".venv/bin/activate",
    ".mypy_cache/a.json",
    ".pytest_cache/README.md",
    "build/lib/keras_iwae/__init__.py",
    "dist/keras_iwae-0.1.0.tar.gz",
    "keras_iwae/__pycache__/keys.cpython-311.pyc",
    "keras_iwae.egg-info/PKG-INFO",
    "saved_models/digits-iwae-k50-20260101-000000/model.keras",
    "saved_models/digits-iwae-k50/per-example-test.npz",
    "saved_models/tune/results.json",
    "site/index.html",
    "tests/__pycache__/oracles.cpython-311.pyc",
)


def tracked_files():
    if not (ROOT / ".git").exists():
        pytest.skip("no clone of Git, which knows the files")
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("Git is not installed")
    assert listed.returncode == 0, listed.stderr
    return [name for name in listed.stdout.split("\0") if name]


def test_its_patterns_are_the_files_that_git_tracks(tmp_path, monkeypatch):
    """Setuptools finds by MANIFEST.in, in a folder with litter, every tracked file and none beside."""
    egg_info = pytest.importorskip("setuptools.command.egg_info")
    tracked = tracked_files()
    for name in (*tracked, *LITTER):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    found = egg_info.FileList()
    for line in (ROOT / "MANIFEST.in").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            found.process_template_line(line)
    assert set(found.files) ^ set(tracked) == set()
