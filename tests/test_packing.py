"""A packed run: the model without its optimizer, small, with a card; and models by name, folder, file and address."""

import os
import re
import shutil
import sys
import types
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml
from test_scripts import call, error_line

import keras_iwae
from keras_iwae import experiments
from keras_iwae.experiments import ExperimentConfig, pack
from keras_iwae.experiments.card import card
from keras_iwae.training import library, runs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory, no_pictures):
    folder = tmp_path_factory.mktemp("packing") / "run"
    config = ExperimentConfig.of(
        dataset="digits", hidden=((16,),), latent_dim=(3,), num_samples=4, epochs=2, learning_rate=1e-2
    )
    experiments.train(config, folder)
    experiments.evaluate(folder, num_samples=20, limit=50)
    return folder


@pytest.fixture(scope="module")
def packed(run):
    return pack(run, run.parent / "digits-iwae-k4"), pack(run, run.parent / "rounded", half=True)


def test_it_is_the_model_without_its_optimizer(run, packed):
    model, ours = runs.load_model(run), keras_iwae.load(packed[0])
    for one, other in zip(model.weights, ours.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert getattr(ours, "optimizer", None) is None
    assert sorted(path.name for path in packed[0].iterdir()) == sorted(
        ["README.md", "config.json", "history.csv", "inputs.json", "metrics.json", "model.keras"]
    )
    assert (packed[0] / "model.keras").stat().st_size < 0.7 * (run / "model.keras").stat().st_size
    assert not [path for path in run.parent.iterdir() if path.name.startswith(".")]


def test_what_was_evaluated_is_of_the_same_weights(run, packed):
    before, after = (runs.read_json(folder / "metrics.json") for folder in (run, packed[0]))
    assert after["nll_test"] == before["nll_test"] | {"model": packed[0].name, "model_digest": runs.digest(packed[0])}
    # Evaluated again it is the same to the last digit.
    experiments.evaluate(packed[0], num_samples=20, limit=50)
    again = runs.read_json(packed[0] / "metrics.json")["nll_test"]
    assert again["nll"] == before["nll_test"]["nll"]


def test_what_was_of_an_earlier_model_is_left_out(run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    record = runs.read_json(other / "metrics.json")["nll_test"]
    runs.update_metrics(other, {"nll_test": record | {"model_digest": "0" * 16}})
    assert set(runs.read_json(pack(other, tmp_path / "packed") / "metrics.json")) == {"training"}


def test_rounded_weights_are_those_of_float16_and_what_that_changes_is_said(run, packed):
    model, ours = runs.load_model(run), keras_iwae.load(packed[1])
    for one, other in zip(model.trainable_weights, ours.trainable_weights, strict=True):
        np.testing.assert_array_equal(one.numpy().astype(np.float16).astype(np.float32), other)
    sizes = [(folder / "model.keras").stat().st_size for folder in packed]
    assert sizes[1] < 0.5 * sizes[0]
    metrics, card = runs.read_json(packed[1] / "metrics.json"), (packed[1] / "README.md").read_text()
    assert "nll_test" not in metrics
    assert "model_digest" not in metrics["nll_test_before_rounding"]
    change = metrics["rounding"]["nll_change"]["mean"]
    # An independent one: the bound that both report for the same draws.
    x = keras_iwae.data.in_order("digits", "test", 300, 300, "dynamic", 0, None)
    images = next(iter(x)).numpy()
    nll = [
        keras_iwae.importance_weighted_nll(each, images, num_samples=100, verbose=False).nll for each in (model, ours)
    ]
    assert change == pytest.approx(nll[1] - nll[0], abs=1e-5)
    assert 0.0 < abs(change) < 0.05
    assert f"| {change:+.4f} ± " in card
    assert "before rounding" in card


@pytest.mark.parametrize("half", [False, True])
def test_rounded_weights_are_rounded_once(packed, half, tmp_path):
    """What was said of the weights before stays, and what is said of these stays theirs."""
    again = tmp_path / "again"
    shutil.copytree(packed[1], tmp_path / "rounded")
    experiments.evaluate(tmp_path / "rounded", num_samples=20, limit=50)
    before = runs.read_json(tmp_path / "rounded" / "metrics.json")
    pack(tmp_path / "rounded", again, half)
    found, own = runs.read_json(again / "metrics.json"), {"model": "again", "model_digest": runs.digest(again)}
    assert set(found) == {"training", "rounding", "nll_test", "nll_test_before_rounding"}
    assert found == before | {"nll_test": before["nll_test"] | own}
    for one, other in zip(keras_iwae.load(packed[1]).weights, keras_iwae.load(again).weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_weight_that_float16_does_not_hold_is_refused(run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    model = runs.load_model(other)
    model.trainable_weights[0].assign(1e5 * np.ones_like(model.trainable_weights[0]))
    runs.save_model(model, other / "model.keras")
    with pytest.raises(ValueError, match=r"`half`\. Expected False: a weight of .* is too large for float16"):
        pack(other, tmp_path / "packed", half=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other"]


def test_the_card_says_what_it_is(packed):
    text = (packed[0] / "README.md").read_text()
    record = runs.read_json(packed[0] / "metrics.json")["nll_test"]
    assert text.startswith('---\nlibrary_name: keras\ndatasets: ["digits"]\n')
    assert "Importance weighted autoencoder with K = 4 on digits, 3 latent units." in text
    # A bare name is that of a model in the box, another one.
    assert 'keras_iwae.load("path/to/digits-iwae-k4")' in text
    nll = f"{record['nll']:.2f} ± {record['standard_error']:.2f} nats"
    assert f"| NLL, L_20, amortized; test images of digits: 50 | {nll} |" in text
    assert record["verdict"] in text
    assert "| passes over the training data | 2 |" in text


def test_the_card_says_whether_examples_may_be_among_the_weights():
    plain, vamp = (
        card("m", asdict(ExperimentConfig.of(dataset="digits", prior=prior)), {}, []) for prior in (None, "vamp")
    )
    assert "The data that they were trained on is not in it" in plain
    assert "is not in it" not in vamp
    assert "Pseudo-inputs of the prior began as examples of it" in vamp


def test_the_card_says_by_which_method_and_what_the_number_is(run):
    config = runs.read_json(run / "config.json")
    of = {"nll": 12.0, "standard_error": 0.5, "split": "test", "dataset": "digits", "num_examples": 20}
    metrics = {
        "ais_test": {**of, "num_chains": 16, "num_temperatures": 1000},
        "sumo_test": {**of, "num_estimates": 30},
        "nll_test": {**of, "num_samples": 50, "quantity": "cross-entropy of grey levels"},
    }
    text = card("m", config, metrics, [])
    for said in (
        "NLL by AIS, 16 chains of 1,000 temperatures;",
        "NLL by SUMO, 30 estimates;",
        "cross-entropy, L_50, amor",
    ):
        assert f"| {said}" in text
    assert "None" not in text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"objective": "renyi", "alpha": 0.3}, ["| alpha | 0.3 |", "| binarization | dynamic |"]),
        ({"objective": "ciwae", "beta": 0.2}, ["| beta | 0.2 |"]),
        ({"objective": "miwae", "num_groups": 5}, ["| groups, M | 5 |"]),
        ({"likelihood": "categorical", "levels": 17, "binarization": "none"}, ["| levels | 17 |"]),
        ({"missing": "nan", "mask_input": True}, ["| missing | nan |", "| mask input | yes |"]),
    ],
)
def test_the_card_says_what_decides_what_the_numbers_mean(given, said):
    text = card("m", asdict(ExperimentConfig.of(dataset="digits", **given)), {}, [])
    assert all(line in text.splitlines() for line in said), text
    assert ("mask input" in text) == ("missing" in given)


@pytest.mark.parametrize("dataset", ["/home/me/a, b.npz", "my#data|2.npy", "/home/me/digits", "digits"])
def test_the_card_names_on_the_hub_no_file_of_ones_own(dataset):
    """A path with a comma or a # was several data sets there or none, and one with a | broke its tables."""
    of = {"nll": 12.0, "num_samples": 50, "split": "test", "dataset": dataset, "num_examples": 20}
    text = card("m", asdict(ExperimentConfig.of(dataset=dataset)), {"nll_test": of}, [])
    assert "/home/me" not in text
    front = yaml.safe_load(text.split("---\n")[1])
    # For the owner to choose.
    assert "license" not in front
    assert "MIT" not in text
    assert front.get("datasets") == (["digits"] if dataset == "digits" else None)
    (row,) = [line for line in text.splitlines() if line.startswith("| NLL")]
    assert re.split(r"(?<!\\)\|", row)[1:-1] == [
        f" NLL, L_50, amortized; test images of {dataset.removeprefix('/home/me/')}: 20 ".replace("|", r"\|"),
        " 12.00 nats ",
    ]


def test_folders_that_cannot_be(run, packed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given, message in (
        ((tmp_path, tmp_path / "out"), r"`run`\. Expected a run folder\. Received: .*, which has no config.json"),
        ((run, packed[0]), r"`out`\. Expected a new folder\. Received: .*, which holds files"),
        ((run, "."), r"`out`\. Expected a folder that is not there yet, .*Received: \., in which this runs"),
        ((run, tmp_path / "out", 1), r"`half`"),
    ):
        with pytest.raises(ValueError, match=message):
            pack(*given)
    assert not (tmp_path / "out").exists()


def test_it_is_no_run_to_resume_and_one_to_start_from(packed, tmp_path):
    with pytest.raises(ValueError, match=r"`out`\. Expected a run with its optimizer\. .*train.py --start"):
        experiments.resume(packed[0], epochs=3)
    config = ExperimentConfig.of(
        dataset="digits", hidden=((16,),), latent_dim=(3,), num_samples=4, epochs=1, start=str(packed[1])
    )
    assert (experiments.train(config, tmp_path / "on") / "model.keras").exists()


def test_scripts_pack_and_take_what_was_packed(run, packed, tmp_path):
    small = tmp_path / "saved_models" / "handed on" / "small"
    done = call("pack", "--model", run, "--out", small, cwd=tmp_path)
    assert "MB of weights" in done.stdout
    with pytest.raises(AssertionError, match="--out"):
        call("pack", "--model", run, cwd=tmp_path)
    assert "`out`" in error_line("pack", "--model", run, "--out", packed[0], cwd=tmp_path)
    for script, *words in (("sample", "--num", "4", "--model"), ("report",)):
        call(script, *words, small, cwd=tmp_path)
    (tmp_path / "docker-compose.yml").touch()
    exported = call("export", "--model", small, cwd=tmp_path).stdout
    # The server's name for it has no slash.
    assert "MODEL='handed on/small' NAME=small docker compose up" in exported


def test_load_takes_a_name_a_folder_a_file(packed, tmp_path, monkeypatch):
    monkeypatch.setattr(library, "_SHELVES", (packed[0].parent,))
    monkeypatch.chdir(tmp_path)
    assert set(library.in_the_box()) == {"digits-iwae-k4", "rounded"}
    found = [keras_iwae.load(source) for source in ("rounded", packed[1], str(packed[1]), packed[1] / "model.keras")]
    for model in found:
        np.testing.assert_array_equal(model.sample(2, seed=1).mean, found[0].sample(2, seed=1).mean)
    # Fine-tuned as any model is.
    model = keras_iwae.load("rounded")
    model.compile(keras.optimizers.Adam(1e-3))
    model.fit(np.ones((20, 8, 8, 1), np.float32), epochs=1, verbose=0)


def test_scripts_take_a_name_and_write_beside_and_not_into_the_box(packed, tmp_path, monkeypatch):
    monkeypatch.setattr(library, "_SHELVES", (packed[0].parent,))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="Expected a trained run in saved_models/"):
        library.run_of(None)
    assert library.run_of("rounded") == Path("saved_models/rounded") == library.run_of(None)
    assert [path.name for path in Path("saved_models").iterdir()] == ["rounded"]
    # What was found is there the next time.
    runs.update_metrics("saved_models/rounded", {"nll_test": {"nll": 1.0}})
    assert runs.read_metrics(library.run_of("rounded"))["nll_test"] == {"nll": 1.0}
    # Two processes that copy it at one time.
    shutil.rmtree("saved_models/rounded")
    copytree = shutil.copytree

    def copied_by_another_too(source, target, **options):
        copytree(source, "saved_models/rounded", **options)
        return copytree(source, target, **options)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copytree", copied_by_another_too)
        assert library.run_of("rounded") == Path("saved_models/rounded")
    assert [path.name for path in Path("saved_models").iterdir()] == ["rounded"]
    # A path that exists comes first, and what is neither is told on as it is.
    Path("digits-iwae-k4").mkdir()
    for source in ("digits-iwae-k4", "nowhere"):
        assert library.run_of(source) == source


@pytest.mark.parametrize("source", [3, None, "", "mnist-iwae-k5000", "there/is-none", "none.keras"])
def test_load_says_what_it_takes(source):
    with pytest.raises(ValueError, match=r"^Invalid value received for `source`\. Expected a run folder.*Received: "):
        keras_iwae.load(source)


def test_load_says_why_a_file_cannot_be_read(packed, tmp_path):
    whole = (packed[0] / "model.keras").read_bytes()
    (tmp_path / "half.keras").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"`source`.*half\.keras, which cannot be read: it is no \.keras archive"):
        keras_iwae.load(tmp_path / "half.keras")


def test_a_copy_of_what_nobody_may_write_to_is_ones_own(packed, tmp_path, monkeypatch):
    shelf = tmp_path / "site-packages"
    shutil.copytree(packed[0], shelf / "boxed")
    (shelf / "boxed" / "figures").mkdir()
    for folder in (shelf / "boxed" / "figures", shelf / "boxed"):
        folder.chmod(0o555)
    monkeypatch.setattr(library, "_SHELVES", (shelf,))
    monkeypatch.chdir(tmp_path)
    renamed, replace = [], os.replace
    monkeypatch.setattr(os, "replace", lambda one, other: (renamed.append(one.stat().st_mode), replace(one, other)))
    copy = library.run_of("boxed")
    # Before it has its name: a folder that is nobody's to write to cannot go into another.
    assert all(mode & 0o700 == 0o700 for mode in (*renamed, (copy / "figures").stat().st_mode))
    assert len(renamed) == 1


def of_hub(packed, fetched):
    """The package huggingface_hub, where there is one packed model, and one that Keras saved."""

    def snapshot_download(name):
        fetched.append(name)
        if name not in ("someone/digits", "someone/of-keras"):
            raise OSError("404: no such repository")
        return str(packed[0] if name == "someone/digits" else packed[0].parent)

    return types.SimpleNamespace(snapshot_download=snapshot_download)


def test_scripts_take_what_load_does_from_the_hub(packed, tmp_path, monkeypatch):
    fetched = []
    monkeypatch.setitem(sys.modules, "huggingface_hub", of_hub(packed, fetched))
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        copy = library.run_of("hf://someone/digits")
        assert copy == Path("saved_models/hub-someone--digits")
    assert fetched == ["someone/digits"]
    assert {path.name for path in copy.iterdir()} == {path.name for path in packed[0].iterdir()}
    experiments.draw_samples(copy, 4, 2)
    # Of a run Keras would take config.json for its own.
    np.testing.assert_array_equal(
        runs.load_model("hf://someone/digits").weights[0], keras_iwae.load(packed[0]).weights[0]
    )
    assert library.run_of("hf://someone/of-keras") == "hf://someone/of-keras"
    for ask in (library.run_of, runs.load_model):
        with pytest.raises(ValueError, match=r"`model`.*hf://someone/else, which cannot be fetched \(OSError: 404"):
            ask("hf://someone/else")
    assert [path.name for path in Path("saved_models").iterdir()] == ["hub-someone--digits"]


def test_load_from_the_hub(packed, monkeypatch):
    fetched = []
    monkeypatch.setitem(sys.modules, "huggingface_hub", of_hub(packed, fetched))
    model = keras_iwae.load("hf://someone/digits")
    np.testing.assert_array_equal(model.weights[0], keras_iwae.load(packed[0]).weights[0])
    with pytest.raises(ValueError, match=r"`source`.*hf://someone/else, which cannot be fetched \(OSError: 404"):
        keras_iwae.load("hf://someone/else")
    assert fetched == ["someone/digits", "someone/else"]
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match=r"`source`.*pip install huggingface_hub"):
        keras_iwae.load("hf://someone/digits")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"training": []}', r"Expected an object 'training' in .*metrics\.json\. Received: \[\]"),
        ('{"nll_test": 3}', r"Expected an object 'nll_test' in .*metrics\.json\. Received: 3"),
        ('{"nll_test": {"nll": "abc"}}', r"Expected a number 'nll' of 'nll_test' in .*metrics\.json\. Received: 'abc'"),
    ],
)
def test_metrics_are_objects_of_numbers(tmp_path, run, text, said):
    spoiled = tmp_path / "run"
    shutil.copytree(run, spoiled)
    (spoiled / "metrics.json").write_text(text)
    with pytest.raises(ValueError, match=said):
        pack(spoiled, tmp_path / "out")
    assert not (tmp_path / "out").exists()
