"""Files of which Python or NumPy says something else than that they are damaged: one sentence, at every door."""

import json
import shutil
import zipfile

import numpy as np
import pytest

from keras_iwae import data, experiments, training
from keras_iwae.experiments import comparison, inputs
from keras_iwae.experiments.config import settings_of
from keras_iwae.experiments.search_space import read_space
from keras_iwae.training import runs

ROWS = np.random.default_rng(0).uniform(size=(50, 6)).astype(np.float32)


def patched(path, old, new):
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))


def another_compression(path):
    np.savez(path, x=ROWS)
    # Deflate64, which Python's zipfile does not read, in the archive's entry and its directory.
    content = bytearray(path.read_bytes())
    content[8], content[content.index(b"PK\x01\x02") + 10] = 9, 9
    path.write_bytes(content)


def password(path):
    np.savez(path, x=ROWS)
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)


def no_array(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", "hello")


def header(old, new):
    def write(path):
        np.save(path, ROWS)
        patched(path, old, new)

    return write


DAMAGED = {
    "another compression.npz": another_compression,
    "password.npz": password,
    "no array.npz": no_array,
    "a bracket.npy": header(b"(50, 6)", b"(50, 6 "),
    "more than any memory.npy": header(b"(50, 6), }      ", b"(5000000000, 6),}"[:16].ljust(16)),
}


@pytest.mark.parametrize(
    "door", [lambda path: data.images(path, "train"), lambda path: data.convert(path, path.parent / "out")]
)
@pytest.mark.parametrize("name", DAMAGED)
def test_files_of_examples_are_refused(tmp_path, name, door):
    path = tmp_path / name
    DAMAGED[name](path)
    with pytest.raises(ValueError, match=rf"`source`\. Expected .*{path}"):
        door(path)
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_json_that_is_too_deep_is_refused(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"a":' * 100_000)
    with pytest.raises(ValueError, match=r"Expected a JSON object in .*config\.json"):
        runs.read_json(path)
    with pytest.raises(ValueError, match=r"`space`\. Expected a file of JSON.*config\.json"):
        read_space(path)


def test_a_folder_is_no_search_space(tmp_path):
    with pytest.raises(ValueError, match=r"`space`\. Expected a file of JSON\. Received: .*, which is none"):
        read_space(tmp_path)


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "run"
    shutil.copytree(training.in_the_box()["digits-iwae-k50"], path)
    return path


def changed(path, change):
    stored = json.loads(path.read_text())
    change(stored)
    path.write_text(json.dumps(stored))


@pytest.mark.parametrize("dataset", [3, ["digits"], None])
def test_a_data_set_that_is_no_text_is_refused(run, dataset):
    changed(run / "config.json", lambda stored: stored["data"].update(dataset=dataset))
    for door in (settings_of, lambda run: experiments.evaluate(run, num_samples=2, limit=2, verbose=False)):
        with pytest.raises(ValueError, match=r"Expected a name or a file as `dataset` in .*config\.json"):
            door(run)


@pytest.mark.parametrize("name", ["dataset", "binarization", "levels"])
def test_a_configuration_that_lacks_what_the_data_were_read_by_is_refused(run, name):
    stored = json.loads((run / "config.json").read_text())
    config = experiments.ExperimentConfig.from_dict(stored)
    for file, value in inputs.Inputs.now(config).files().items():
        (run / file).write_text(json.dumps(value))
    # Control: that of the run itself.
    inputs.check_data(run, ["train"], "")
    section = next(section for section, fields in stored.items() if name in fields)
    changed(run / "config.json", lambda stored: stored[section].pop(name))
    with pytest.raises(ValueError, match=rf"Expected `{name}` in .*config\.json"):
        inputs.check_data(run, ["train"], "")


@pytest.mark.parametrize("key", ["num_examples", "num_samples", "num_chains"])
def test_counts_that_are_text_are_refused(run, key):
    (run / "metrics.json").write_text(json.dumps({"nll_test": {key: "many"}}))
    with pytest.raises(ValueError, match=rf"Expected a number '{key}' of 'nll_test' in .*metrics\.json"):
        runs.read_metrics(run)


def test_what_is_no_run_is_not_to_be_evaluated(tmp_path):
    other = tmp_path / "README.md"
    other.write_text("none")
    for folder in (tmp_path, other):
        with pytest.raises(ValueError, match=r"`folders`\. Expected a run folder\. Received: .*, which is none"):
            comparison.compare([folder, folder])
    with pytest.raises(ValueError, match=r"`model`\. Expected a run folder or a \.keras file.*, which is another file"):
        experiments.evaluate(other, num_samples=2)


def test_a_split_that_there_is_not_is_all_that_is_said(run, recwarn):
    with pytest.raises(ValueError, match=r"`split`.*'foo'"):
        experiments.evaluate(run, num_samples=2, split="foo", verbose=False)
    assert not [warning for warning in recwarn if "does not say what it began with" in str(warning.message)]
