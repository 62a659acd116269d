"""Files that a run is made from, and that change behind their names: whatever reads them a second time notices."""

import warnings
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
from test_scripts import call

from keras_iwae import IWAE, data, experiments, tables
from keras_iwae.evaluation import InferenceGap
from keras_iwae.experiments import (
    building,
    evaluation_target,
    inference_gap,
    inputs,
    reproduction,
    row_states,
    sweep,
    training,
)
from keras_iwae.experiments.comparison import per_example
from keras_iwae.experiments.evaluation_target import Subject, evaluation_images
from keras_iwae.experiments.inputs import Inputs
from keras_iwae.experiments.paper_table import Row
from keras_iwae.likelihoods import DiscretizedLogisticLikelihood
from keras_iwae.training import runs

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 3, 2)).astype(np.uint8)


def save(path, train=PIXELS, test=PIXELS[:12]):
    np.savez(path, x_train=train, x_test=test)


@pytest.fixture
def made(tmp_path):
    """A run folder before its first epoch, and the file that it is made from."""
    save(tmp_path / "d.npz")
    config = experiments.ExperimentConfig.of(dataset=str(tmp_path / "d.npz"), batch_size=10, num_samples=3)
    run = runs.create(tmp_path / "out" / "k3", asdict(config))
    Inputs.now(config).keep(run)
    return run, config


def test_a_digest_is_of_what_there_is_and_not_of_how_it_is_held():
    values = np.array([[0.0, 0.5, np.nan], [1.0, 0.25, 0.0]], np.float32)
    same = [values.astype(">f4"), np.asfortranarray(values), np.where(values == 0.0, np.float32(-0.0), values)]
    payload = values.copy()
    payload.view(np.uint32)[0, 2] = 0xFFC00001
    assert np.isnan(payload[0, 2])
    assert {data.digest(each) for each in [*same, payload]} == {data.digest(values)}
    other = [values.T, values[::-1], values[:1], values.reshape(3, 2), values.astype(np.float64), values + 1e-7]
    assert len({data.digest(each) for each in [values, *other]}) == 7


def test_a_fingerprint_is_of_the_split_as_it_is_trained_on(tmp_path):
    save(tmp_path / "d.npz")
    found = data.fingerprint(tmp_path / "d.npz", "train")
    assert found == (36, data.digest(data.images(tmp_path / "d.npz", "train")))
    assert data.fingerprint(tmp_path / "d.npz", "train", "threshold") != found
    # The rest of a file says what bytes mean.
    np.savez(tmp_path / "d.npz", x_train=PIXELS // 200, x_test=PIXELS[:12] * 0)
    before = data.fingerprint(tmp_path / "d.npz", "test")
    np.savez(tmp_path / "d.npz", x_train=PIXELS // 200, x_test=PIXELS[:12] * 0 + 1)
    after = data.fingerprint(tmp_path / "d.npz", "test")
    np.savez(tmp_path / "d.npz", x_train=PIXELS, x_test=PIXELS[:12] * 0 + 1)
    assert len({before, after, data.fingerprint(tmp_path / "d.npz", "test")}) == 3


# What becomes of the training and of the test images.
CHANGES = {
    "more": (lambda x: np.concatenate([x] * 8), lambda x: np.concatenate([x] * 8)),
    "fewer": (lambda x: x[:20], lambda x: x[:11]),
    "others": (lambda x: 255 - x, lambda x: 255 - x),
    "another order": (lambda x: x[::-1], lambda x: x[::-1]),
    "one pixel": (lambda x: x + (np.arange(x.size) == 8).reshape(x.shape).astype(np.uint8),) * 2,
}


def doors(run, config):
    """What goes on with, uses again or judges on the data of a run: which splits matter, and the call."""
    row = Row(run.name, config)
    return {
        "resume": (("train",), lambda: experiments.resume(run, 30)),
        "sweep": (("train", "test"), lambda: sweep.sweep(config, [1, 3], run.parent, 5, verbose=False)),
        "reproduce": (("train",), lambda: reproduction._train(row, 30, run, None, None)),
        "evaluation images": (("test",), lambda: evaluation_images(run, 5, seed=0)),
        "training images": (("train",), lambda: evaluation_images(run, None, seed=0, split="train")),
    }


@pytest.mark.parametrize("change", CHANGES)
def test_other_examples_under_the_name_are_refused_at_every_door(made, change):
    run, config = made
    changed = dict(zip(("train", "test"), CHANGES[change], strict=True))
    whole = {"train": PIXELS, "test": PIXELS[:12]}
    for name, (matter, ask) in doors(run, config).items():
        for split in matter:
            save(config.data.dataset, **{**whole, split: changed[split](whole[split])})
            with pytest.raises(ValueError, match=rf"`dataset`. Expected in .* (36|12) {split} examples") as error:
                ask()
            assert "not the same ones; " in str(error.value), name
    assert not (run.parent / "k1").exists()
    assert not (run / "history.csv").exists()
    # Of what was named instead nothing was said.
    assert len(evaluation_images(run, None, 0, config.data.dataset, "train")) > 0


def test_a_file_that_is_gone_is_the_dataset_of_the_run(made, monkeypatch, tmp_path):
    run, config = made
    file = tmp_path / "d.npz"
    content = file.read_bytes()
    for name, (_, ask) in doors(run, config).items():
        file.unlink()
        with pytest.raises(ValueError, match=r"`dataset`. Expected the file that .*k3 was trained on.*json$") as error:
            ask()
        assert "where this was started" not in str(error.value), name
        file.write_bytes(content)
    # By a name that is looked up elsewhere than the run was made.
    runs.write_json(run / "config.json", asdict(config.replaced(dataset="d.npz")))
    monkeypatch.chdir(run)
    with pytest.raises(ValueError, match=r"d.npz, which is not there in .*k3, where this was started; put it back"):
        evaluation_images(run, None, seed=0)
    for other, said in {"there.npz": "Expected a file", "mnits": "Did you mean 'mnist'"}.items():
        with pytest.raises(ValueError, match=rf"^Invalid .*`dataset`. .*{said}"):
            evaluation_images(run, None, 0, other)
        with pytest.raises(ValueError, match=rf"^Invalid .*`dataset`. .*{said}"):
            building.build(config.replaced(dataset=other))


def test_levels_of_other_images_than_the_run_s_are_refused(made):
    """They are counted in its training images, which other data are then read by."""
    run, config = made
    config = config.replaced(likelihood="poisson", binarization="levels")
    runs.write_json(run / "config.json", asdict(config))
    Inputs.now(config).keep(run)
    assert evaluation_images(run, 2, 0, "digits").max() > 1.0
    save(config.data.dataset, PIXELS // 50)
    with pytest.raises(ValueError, match=r"`dataset`. Expected .* 36 train examples .*; they say how many levels"):
        evaluation_images(run, 2, 0, "digits")


def test_the_same_examples_elsewhere_are_the_same(made, tmp_path):
    run, config = made
    (tmp_path / "d.npz").rename(tmp_path / "moved.npz")
    np.savez_compressed(tmp_path / "moved.npz", x_test=PIXELS[:12], x_train=PIXELS, note=np.zeros(3))
    runs.write_json(run / "config.json", asdict(config.replaced(dataset=str(tmp_path / "moved.npz"))))
    inputs.check_data(run, inputs.SPLITS, "")
    inputs.check_settings(run, config.replaced(dataset=str(tmp_path / "moved.npz"), epochs=99))


@pytest.mark.parametrize("change", [{"learning_rate": 0.5}, {"batch_size": 5}, {"latent_dim": 3}, {"seed": 1}])
def test_settings_that_are_changed_by_hand_are_refused(made, change):
    run, config = made
    runs.write_json(run / "config.json", asdict(config.replaced(**change)))
    with pytest.raises(ValueError, match=rf"`{next(iter(change))}`. Expected .* in .*config.json, as the run began"):
        experiments.resume(run)


def test_a_length_that_moves_the_epoch_from_which_all_samples_are_taken(made):
    """As if the run had been asked for so at first: of its epochs the first two thirds have fewer samples."""
    _, config = made
    before = config.replaced(early_samples=2, epochs=9)
    for epochs_done, epochs, taken in [(4, 12, True), (6, 12, True), (7, 12, False), (4, 6, True), (5, 6, False)]:
        after = before.replaced(epochs=epochs)
        if taken:
            training._check_early_epochs(before, after, epochs_done)
        else:
            with pytest.raises(ValueError, match=r"`epochs`. Expected 9, of which the first 6 have early_samples = 2"):
                training._check_early_epochs(before, after, epochs_done)


def test_other_weights_to_start_from_are_refused(made, tmp_path):
    run, config = made
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "model.keras").write_bytes(b"one")
    config = config.replaced(start=str(tmp_path / "first"))
    Inputs.now(config).keep(run)
    runs.write_json(run / "config.json", asdict(config))
    inputs.check_start(run, config)
    (tmp_path / "first" / "model.keras").write_bytes(b"trained further")
    for ask in (
        lambda: experiments.resume(run),
        lambda: sweep.sweep(config, [1, 3], run.parent, 5, verbose=False),
        lambda: inputs.check_wanted(run, config),
    ):
        with pytest.raises(ValueError, match=r"`start`. Expected .* as it was when"):
            ask()
    assert not (run.parent / "k1").exists()


@pytest.mark.parametrize(
    "stored", [{"data": []}, {"data": {"train": 3}}, {"data": {"train": {"count": 3}}}, {"settings": 3}]
)
def test_damaged_inputs_are_named(made, stored):
    run, _config = made
    runs.write_json(run / "inputs.json", stored)
    with pytest.raises(ValueError, match=r"Expected what a run began with in .*inputs\.json"):
        evaluation_images(run, None, seed=0)


def test_images_that_cannot_be_judged_on_leave_no_folder(tmp_path):
    save(tmp_path / "d.npz", test=PIXELS[:12] + 2.5)
    config = experiments.ExperimentConfig.of(dataset=str(tmp_path / "d.npz"), hidden=((3,),), num_samples=2)
    with pytest.raises(ValueError, match="x_test"):
        experiments.train(config.replaced(batch_size=10), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_that_does_not_say_is_told_so_and_not_refused(made):
    run, config = made
    (run / "inputs.json").unlink()
    save(config.data.dataset, PIXELS[:20], PIXELS[:11])
    with pytest.warns(UserWarning, match="whether these test examples of .* there then is not known"):
        assert len(evaluation_images(run, None, seed=0)) == 11
    (run / "model.keras").write_bytes(b"none")
    with (
        pytest.warns(UserWarning, match="does not say what it was trained on"),
        pytest.raises(ValueError, match="read"),
    ):
        experiments.resume(run)


def test_another_recipe_than_the_row_s_is_refused(made):
    run, config = made
    with pytest.raises(ValueError, match=r"`out`. Expected .* runs with these settings. .* beta_1 is 0.9 and not 0.5"):
        reproduction._train(Row(run.name, config.replaced(beta_1=0.5)), 30, run, None, None)


def test_a_row_s_result_is_of_the_very_weights(made):
    """Of the model that is there, and beside what it started from as it was then."""
    run, config = made
    root, row = run.parent, Row(run.name, config, starts_from="digits-vae-k1-l1")
    runs.write_json(run / "inputs.json", {"start": "of then"})
    then, now = ({"row": "digits-vae-k1-l1", "model_digest": f"of {when}"} for when in ("then", "now"))
    runs.write_json(root / "results" / "digits-vae-k1-l1.json", then)
    assert reproduction._result_of_start(row, root, {}) == then
    runs.write_json(root / "results" / "digits-vae-k1-l1.json", now)
    assert reproduction._result_of_start(row, root, {}) is None
    assert reproduction._result_of_start(row, root, {"from": then}) == then
    (run / "model.keras").write_bytes(b"now")
    for digest, said in ((runs.digest(run), False), ("of then", True), (None, False)):
        runs.write_json(root / "results" / "k3.json", {"passes": 0, "model_digest": digest})
        assert ("the NLL is of another training" in row_states.status(row, root)) == said


def test_the_gap_is_kept_of_the_very_images(tmp_path, monkeypatch):
    monkeypatch.setattr(inference_gap, "_BATCH", 4)
    calls = []

    def found(model, batch, num_samples, num_steps, seed, progress):
        calls.append(batch[:, 0].tolist())
        return InferenceGap(*(batch[:, 0] + i for i in range(4)))

    monkeypatch.setattr(inference_gap, "inference_gap", found)
    images = np.arange(10, dtype=np.float32)[:, np.newaxis]

    def gap(images, digest="of a model"):
        calls.clear()
        return inference_gap.gap_of_run(tmp_path, digest, None, images, 0, lambda share: None).elbo.tolist()

    first = gap(images)
    assert (gap(images), calls) == (first, [])
    changed = images.copy()
    changed[5] = 99.0
    expected = gap(changed)
    assert calls == [[4.0, 99.0, 6.0, 7.0], [8.0, 9.0]]
    assert [a == b for a, b in zip(first, expected, strict=True)] == [i != 5 for i in range(10)]
    # What came first is there still.
    assert (gap(changed[:4]), calls) == (first[:4], [])
    assert gap(changed[:4], "of one trained further") == first[:4]
    assert calls == [[0.0, 1.0, 2.0, 3.0]]


def test_an_archive_of_other_images_than_the_record_s_is_no_evaluation(tmp_path):
    record = {"nll": 2.0, "num_examples": 2, "images_sha256": "a"}
    runs.update_metrics(tmp_path, {"nll_test": record})
    for digest, taken in (("a", True), ("b", False)):
        np.savez(tmp_path / "per-example-test.npz", log_likelihood=[-1.0, -3.0], images_sha256=np.array(digest))
        if taken:
            assert per_example(tmp_path).images == digest
            # The file that lies there names the folder too.
            (tmp_path / "model.keras").touch()
            assert per_example(tmp_path / "model.keras").images == digest
            (tmp_path / "model.keras").unlink()
        else:
            with pytest.raises(ValueError, match="Received: 2 of another"):
                per_example(tmp_path)


def test_what_is_of_two_things_has_two_names(made, tmp_path):
    run, _config = made
    (tmp_path / "o").mkdir()
    same, other, refined, on = (tmp_path / name for name in ("e.npz", "o/d.npz", "refined.npz", "on-d.npz"))
    for file in (same, refined, on):
        save(file)
    save(other, 255 - PIXELS, PIXELS[:12])

    def names(dataset, split, digest_of="train"):
        label = None if dataset is None else evaluation_target._label(run, str(dataset), digest_of)
        subject = Subject(run, None, None, str(dataset), label, split, None, None)
        methods = "nll", "nll_refined", "nll_adapted", "ais", "sumo"
        return [subject._key(name.replace("_", sign), sign) for name in methods for sign in "_-"]

    files = [None, "digits", "fashion_mnist", tmp_path / "d.npz", other, refined, on]
    found = [name for split in inputs.SPLITS for file in files for name in names(file, split)]
    assert len(set(found)) == len(inputs.SPLITS) * len(files) * 10
    assert names(None, "test")[:4] == ["nll_test", "nll-test", "nll_refined_test", "nll-refined-test"]
    assert names("digits", "test")[2] == "nll_refined_on_digits_test"
    # What is the same is measured once: of these files the test split, by whatever path.
    assert names(other, "test", "test") == names(tmp_path / "o" / ".." / "d.npz", "test", "test")


def test_a_quick_look_does_not_replace_what_took_longer(made, recwarn):
    run, _config = made
    warnings.simplefilter("always")
    (run / "model.keras").write_bytes(b"a model")
    subject = Subject(run, None, runs.digest(run), "d", None, "test", None, np.zeros((2, 3), np.float32))

    def keep(num_examples, num_samples, digest=subject.digest):
        record = {"model_digest": digest, "num_examples": num_examples, "num_samples": num_samples}
        recwarn.clear()
        subject.keep("nll", record, "per-example", {})
        return [str(each.message) for each in recwarn.list]

    assert [keep(10, 50), keep(10, 50), keep(20, 5000)] == [[], [], []]
    was = "metrics.json: nll_test was of num_examples = 20, num_samples = 5,000, and"
    for smaller in ((20, 50), (3, 5000), (3, 50)):
        (said,) = keep(*smaller)
        assert said.endswith(f"{was} stays; what was found now is written nowhere")
        assert runs.read_metrics(run)["nll_test"]["num_samples"] == 5000
    (said,) = keep(30, 50)
    assert said.endswith(f"{was} is replaced")
    assert runs.read_metrics(run)["nll_test"]["num_samples"] == 50
    # Of a model that is no more it had no use.
    assert keep(30, 5000, "of before") == []
    assert keep(2, 5) == []
    # Of annealing the temperatures, chains and leapfrog steps count, of SUMO the estimates.
    for name in ("num_temperatures", "num_chains", "num_leapfrog_steps", "num_estimates"):
        record = {"model_digest": subject.digest, "num_examples": 20, name: 400}
        assert not evaluation_target.is_less(run, "other_test", record)
        runs.update_metrics(run, {"other_test": record})
        with pytest.warns(UserWarning, match=rf"num_examples = 20, {name} = 400, and stays"):
            assert evaluation_target.is_less(run, "other_test", {**record, name: 10})


def test_default_names_of_two_things_are_two(tmp_path, monkeypatch):
    def drawn(count, seed):
        return SimpleNamespace(
            mean=PIXELS[:count, ..., np.newaxis] / 255.0, events=PIXELS[:count, ..., np.newaxis] / 255.0
        )

    likelihood = SimpleNamespace(to_grey=lambda values: values)
    model = SimpleNamespace(sample=drawn, latent_dim=3, generative=SimpleNamespace(likelihood=likelihood))
    monkeypatch.setattr(runs, "load_model", lambda path: model)
    pictures = [*experiments.draw_samples(tmp_path, 4, 2), *experiments.draw_samples(tmp_path, 4, 2, drawn=True)]
    assert [path.name for path in pictures] == ["samples-seed0.png", "samples-seed0-drawn.png"]
    monkeypatch.setattr(tables, "score_file", lambda data, out, **_: SimpleNamespace(scores=out, kinds=""))
    named = [call("score", file, cwd=tmp_path).stdout.split()[1] for file in ("a.csv", "a.parquet")]
    assert named == ["a-scores.csv", "a.parquet-scores.csv"]


def tiny(**options):
    return IWAE((2, 3), num_samples=2, **{"latent_dim": 2, "hidden": (3,), **options})


@pytest.mark.slow
def test_weights_of_other_parts_are_no_start():
    model = tiny()
    changes = {
        "PoissonLikelihood in its likelihood": {"likelihood": "poisson"},
        "Dense relu in its decoder": {"activation": "relu"},
        # Of other shapes, too.
        "MixturePrior in its prior": {"prior": "mixture"},
    }
    for named, change in changes.items():
        with pytest.raises(ValueError, match=f"`start`. Expected .* with {named}. Received: there, with "):
            building._copy_weights(model, tiny(**change), "there")
    levels = (tiny(likelihood=DiscretizedLogisticLikelihood(levels=levels)) for levels in (3, 4))
    with pytest.raises(ValueError, match=r"with levels=4 in its likelihood. Received: there, with levels=3 there"):
        building._copy_weights(*levels, "there")
    several = (tiny(latent_dim=(3, 2), hidden=((4,), (3,)), prior="mixture") for _ in range(2))
    building._copy_weights(*several, "there")
    # Another objective, seed and what is missing are what one starts anew for.
    other = tiny(objective="elbo", seed=5, missing="nan", estimator="stl")
    building._copy_weights(model, other, "there")
    for one, same in zip(model.trainable_variables, other.trainable_variables, strict=True):
        np.testing.assert_array_equal(one, same)
