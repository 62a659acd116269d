"""Files are whole or not there: what a killed process leaves is cleaned up, and a full disk is named."""

import ast
import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_iwae import IWAE
from keras_iwae.foundation import check_replaceable, folders, replacing, storage, write_arrays, write_json
from keras_iwae.tables.work import Work
from keras_iwae.training import runs


@pytest.fixture(scope="module")
def dead():
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def temporary(path, process):
    return path.with_name(f".{path.stem}-{storage.this_host()}-{process}-0.tmp{path.suffix}")


WRITING = {
    "metrics.json": lambda path: write_json(path, {"nll": 1.0}),
    "per-example.npz": lambda path: write_arrays(path, {"nll": np.ones(3)}),
    "history.csv": lambda path: runs.write_rows(path, [{"epoch": 1.0}]),
    "model.keras": lambda path: runs.save_model(IWAE(6, latent_dim=2, hidden=(3,)), path),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITING)
def test_what_a_killed_process_left_is_removed_by_the_next_write(tmp_path, dead, name):
    path, other = tmp_path / name, tmp_path / f"other-{name}"
    # Of processes that live, of another file, and what only looks like it.
    kept = [temporary(path, os.getppid()), temporary(other, dead), tmp_path / f".{path.stem}-notes.tmp{path.suffix}"]
    # Whose process there is another machine's.
    kept.append(path.with_name(f".{path.stem}-elsewhere-{dead}-0.tmp{path.suffix}"))
    for file in (temporary(path, dead), *kept):
        file.write_text("half")
    WRITING[name](path)
    assert sorted(tmp_path.iterdir()) == sorted([path, *kept])
    assert path.stat().st_size > 4


def full(*arguments, **options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def half(path):
    with replacing(path) as temporary:
        temporary.write_text("half of it")
        full()


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITING)
@pytest.mark.parametrize("where", ["while it is written", "at the end"])
def test_a_full_disk_is_an_error_with_the_name_of_the_file(tmp_path, monkeypatch, name, where):
    path, write = tmp_path / name, half
    path.write_text("as it was")
    if where == "at the end":
        monkeypatch.setattr(os, "fsync", full)
        write = WRITING[name]
    with pytest.raises(OSError, match="No space left on device") as error:
        write(path)
    assert error.value.errno == errno.ENOSPC
    assert error.value.filename == str(path)
    assert path.read_text() == "as it was"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_without_a_number_is_named_too(tmp_path):
    """As HDF5 has them, which writes the weights of a model."""
    with pytest.raises(OSError, match=r"Unable to write.*model.keras"), replacing(tmp_path / "model.keras"):
        raise OSError("Unable to write (no space)")
    with pytest.raises(OSError, match="elsewhere"), replacing(tmp_path / "model.keras"):
        raise OSError(errno.ENOENT, "No such file", "elsewhere")


def test_an_error_is_about_the_file_that_was_named(tmp_path):
    """And not about the one beside it, whose longer name does not fit, or a folder there."""
    path = tmp_path / f"{250 * 'a'}.json"
    with pytest.raises(OSError, match="name too long") as error:
        write_json(path, {})
    assert error.value.filename == str(path)
    # Where nobody can make a folder.
    path = Path("/proc/nowhere/filled.csv")
    with pytest.raises(OSError, match=re.escape(str(path))):
        Work(path, {}).kept("first", dict)


def test_a_process_is_running_or_not(dead):
    assert storage.is_running(os.getpid())
    # Of another user, whom nobody may signal but who is there.
    assert storage.is_running(1)
    assert not storage.is_running(dead)


def test_what_another_machine_is_writing_is_not_removed(tmp_path, dead, monkeypatch):
    """node1-11 and node11-1 were one, whose processes have their numbers apart."""
    names = {}
    for host in ("node11-1", "node1.11", "node111", "node1-11"):
        monkeypatch.setattr(storage.socket, "gethostname", lambda host=host: host)
        names[host] = storage.this_host()
    assert all(re.fullmatch("[A-Za-z0-9_]+", name) for name in names.values())
    file = tmp_path / "x.json"
    left = [tmp_path / f".unfinished-{name}-{dead}-0" for name in names.values()]
    halves = [tmp_path / f".x-{name}-{dead}-0.tmp.json" for name in names.values()]
    for folder, half_written in zip(left, halves, strict=True):
        folder.mkdir()
        half_written.touch()
    with folders.whole_folder(tmp_path / "1") as unfinished:
        unfinished.mkdir()
        assert unfinished.name.startswith(f".unfinished-{names['node1-11']}-{os.getpid()}-")
    write_json(file, 1)
    assert set(tmp_path.iterdir()) == {*left[:3], *halves[:3], file, tmp_path / "1"}


def made(target):
    with folders.whole_folder(target) as unfinished:
        unfinished.mkdir()
        (unfinished / "part").touch()


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_takes_the_place_of_what_a_link_points_to(tmp_path, there):
    held = tmp_path / "disk" / "held"
    held.parent.mkdir()
    if there:
        held.mkdir()
    (tmp_path / "link").symlink_to(held)
    made(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert [path.name for path in held.iterdir()] == ["part"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["disk", "held", "link", "part"]


def test_why_a_folder_cannot_have_its_name_is_said(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()

    def busy(*_):
        raise OSError(errno.EBUSY, "Device or resource busy")

    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "by another").touch()
    monkeypatch.setattr(folders.Path, "rename", busy)
    with pytest.raises(OSError, match=r"resource busy: '.*empty'"):
        made(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"Expected no folder .*held yet\. Received: one that was made meanwhile"):
        made(tmp_path / "held")


def test_the_folder_that_one_is_in_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (Path(), tmp_path):
        with pytest.raises(
            ValueError, match=r"`out`\. Expected a folder that is not there yet, .*, in which this runs"
        ):
            check_replaceable("out", path)
    with pytest.raises(ValueError, match=r"Received: /, where a disk is mounted; name one in it"):
        check_replaceable("out", Path("/"))
    (tmp_path / "empty").mkdir()
    check_replaceable("out", tmp_path / "empty")


TEXTS = sorted((Path(folders.__file__).parents[1]).rglob("*.py"))


@pytest.mark.slow
def test_texts_are_written_in_one_encoding_wherever_they_are_written():
    """JSON has no other letters than ASCII's."""
    without = []
    for path in TEXTS:
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call):
                continue
            source = ast.unparse(call)
            method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            opens = isinstance(call.func, ast.Name) and call.func.id == "open"
            modes = [each.value for each in call.args[1:] if isinstance(each, ast.Constant)]
            text = method == "write_text" or (opens and any(mode in ("w", "a", "x") for mode in modes))
            if text and not any(said in source for said in ("encoding", "json", "_settings")):
                without.append(f"{path.name}: {source}")
    assert not without
