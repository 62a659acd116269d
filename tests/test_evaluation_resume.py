"""An evaluation that was interrupted continues, and only if nothing that decides its result has changed."""

import json
from dataclasses import asdict
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_iwae import evaluation, experiments
from keras_iwae.evaluation import batches
from keras_iwae.evaluation.batches import in_batches
from keras_iwae.experiments.config import ExperimentConfig
from keras_iwae.training import runs


class Interrupting:
    """Row sums of a batch; as Ctrl-C after so many batches."""

    def __init__(self, after=99):
        self.after, self.calls = after, 0

    def __call__(self, x, seen, advance):
        if self.calls == self.after:
            raise KeyboardInterrupt
        self.calls += 1
        advance(1.0)
        return x.numpy().reshape(len(x), -1).sum(axis=1), np.full([len(x), 2], seen)


def run(model, images, compute, resume, settings=(("k", 5),)):
    return in_batches(model, images, 2, compute, dict(settings), resume, verbose=False).arrays


def test_a_second_start_computes_what_is_missing(make_model, images, tmp_path):
    model, partial = make_model(), tmp_path / "partial.npz"
    with pytest.raises(KeyboardInterrupt):
        run(model, images, Interrupting(after=2), partial)
    assert [path.name for path in tmp_path.iterdir()] == ["partial.npz"]
    rest = Interrupting()
    sums, seen = run(model, images, rest, partial)
    assert rest.calls == 2
    np.testing.assert_array_equal(sums, images.reshape(7, -1).sum(axis=1))
    np.testing.assert_array_equal(seen[:, 0], [0, 0, 2, 2, 4, 4, 6])
    assert not list(tmp_path.iterdir())


def test_a_file_of_many_results_is_not_written_anew_for_each(make_model, images, tmp_path, monkeypatch):
    written, write, now = [], batches.write_arrays, iter(range(10**6))
    # Every look at the clock is a second later: a write takes one, and a batch as long.
    monkeypatch.setattr(batches, "time", SimpleNamespace(monotonic=lambda: float(next(now))))
    monkeypatch.setattr(batches, "write_arrays", lambda *given: (written.append(given), write(*given)))
    model, partial, many = make_model(), tmp_path / "partial.npz", np.concatenate([images] * 10)
    with pytest.raises(KeyboardInterrupt):
        run(model, many, Interrupting(after=34), partial)
    # After the first batch, after twenty seconds, and at the stop, by which all are there.
    assert len(written) == 3
    rest = Interrupting()
    sums, _ = run(model, many, rest, partial)
    assert rest.calls == 1
    np.testing.assert_array_equal(sums, many.reshape(70, -1).sum(axis=1))


@pytest.mark.slow
@pytest.mark.parametrize("changed", ["settings", "weights", "images", "nothing"])
def test_what_decides_the_result_is_compared(make_model, images, tmp_path, changed):
    model, partial, settings = make_model(), tmp_path / "partial.npz", (("k", 5),)
    with pytest.raises(KeyboardInterrupt):
        run(model, images, Interrupting(after=3), partial)
    if changed == "settings":
        settings = (("k", 6),)
    if changed == "weights":
        model.trainable_variables[0].assign_add(1e-3 * np.ones_like(model.trainable_variables[0]))
    if changed == "images":
        images = np.roll(images, 1, axis=0)
    compute = Interrupting()
    sums, _ = run(model, images, compute, partial, settings)
    assert compute.calls == (1 if changed == "nothing" else 4)
    np.testing.assert_array_equal(sums, images.reshape(7, -1).sum(axis=1))
    # What was interrupted first is another's, and still there; only what is done is gone.
    assert partial.exists() == (changed != "nothing")
    if changed == "settings":
        rest = Interrupting()
        run(model, images, rest, partial)
        assert rest.calls == 1
        assert not partial.exists()


def test_another_file_is_neither_taken_nor_removed(make_model, images, tmp_path):
    file = tmp_path / "mine.npz"
    np.savez(file, x=np.arange(3))
    with pytest.raises(ValueError, match=r"`resume`\. .*mine\.npz, which holds 'x'"):
        evaluation.importance_weighted_nll(make_model(), images, 5, verbose=False, resume=file)
    assert file.exists()


def test_what_is_no_file_of_arrays_is_named(make_model, images, tmp_path):
    file = tmp_path / "part.txt"
    file.write_text("x")
    with pytest.raises(ValueError, match=r"`resume`\. Expected a file .*part\.txt, which NumPy cannot"):
        run(make_model(), images, Interrupting(), file)
    assert file.read_text() == "x"


def test_without_a_file_nothing_is_written(make_model, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(make_model(), images, Interrupting(), None)
    assert not list(tmp_path.iterdir())


def test_results_outlive_weights_that_are_refused_at_the_end(make_model, images, tmp_path):
    model, partial = make_model(), tmp_path / "partial.npz"

    def weighted(value):
        parts = np.split(images, [2, 4, 6])
        return ((part, np.zeros(len(part)), np.full(len(part), value)) for part in parts)

    def weighing(value, compute):
        return in_batches(model, weighted(value), None, compute, {}, partial, verbose=False).arrays

    with pytest.raises(ValueError, match="weights"):
        weighing(0.0, Interrupting())
    rest = Interrupting()
    sums, _ = weighing(1.0, rest)
    assert rest.calls == 0
    np.testing.assert_array_equal(sums, images.reshape(7, -1).sum(axis=1))
    assert not partial.exists()


def test_batches_of_a_pydataset_are_loaded_one_at_a_time(make_model, images):
    loaded, held = [], []

    class Loading(keras.utils.PyDataset):
        num_batches = 4

        def __getitem__(self, index):
            loaded.append(index)
            return images[2 * index : 2 * index + 2]

    def compute(x, seen, advance):
        held.append(len(loaded))
        return (x.numpy().reshape(len(x), -1).sum(axis=1),)

    found = in_batches(make_model(), Loading(), None, compute, {}, verbose=False)
    np.testing.assert_array_equal(found.arrays[0], images.reshape(7, -1).sum(axis=1))
    assert held == [1, 2, 3, 4]


def stop_after(monkeypatch, batches_kept):
    """Ctrl-C right after so many batches were written."""
    written, write = [], batches.write_arrays

    def stopping(path, arrays):
        write(path, arrays)
        written.append(path)
        if len(written) == batches_kept:
            raise KeyboardInterrupt

    monkeypatch.setattr(batches, "write_arrays", stopping)


@pytest.mark.slow
def test_a_run_folder_keeps_and_continues_its_evaluation(tmp_path, monkeypatch):
    config = ExperimentConfig.of(dataset="digits", num_samples=3, hidden=((8,),), latent_dim=(2,))
    run = runs.create(tmp_path / "run", asdict(config))
    runs.save_model(experiments.build(config), run / "model.keras")
    whole, _ = experiments.evaluate(run, num_samples=30, verbose=False)
    (run / "metrics.json").unlink()
    stop_after(monkeypatch, batches_kept=1)
    with pytest.raises(KeyboardInterrupt):
        experiments.evaluate(run, num_samples=30, verbose=False)
    monkeypatch.undo()
    assert (run / "partial-nll-test.npz").exists()
    assert "nll_test" not in runs.read_json(run / "metrics.json")
    result, record = experiments.evaluate(run, num_samples=30, verbose=False)
    assert result.to_dict() == whole.to_dict()
    assert not list(run.glob("partial-*"))
    assert runs.read_json(run / "metrics.json")["nll_test"] == json.loads(json.dumps(record))
    kept = np.load(run / "per-example-test.npz")
    np.testing.assert_array_equal(kept["log_likelihood"], result.log_likelihood_per_example)
    np.testing.assert_array_equal(kept["group_sizes"], [1, 2, 5, 10, 20, 30])
    np.testing.assert_array_equal(kept["bounds"][3], result.bound_per_example[10])
    assert kept["pareto_k"].shape == kept["jackknife"].shape == kept["effective_sample_size"].shape == (300,)
    _, annealed = experiments.evaluate_annealed(run, limit=5, num_chains=3, num_temperatures=4, verbose=False)
    _, sumo = experiments.evaluate_sumo(run, limit=5, num_estimates=2, verbose=False)
    _, both = experiments.evaluate_bidirectional(
        run, num_examples=4, num_samples=9, num_chains=3, num_temperatures=5, verbose=False
    )
    metrics = runs.read_json(run / "metrics.json")
    assert (metrics["ais_test"], metrics["sumo_test"], metrics["bdmc"]) == (annealed, sumo, both)
    # Which images an array is of can be told: the first five, each time, and not all 300.
    digests = {
        name: str(np.load(run / f"per-example-{name}.npz")["images_sha256"])
        for name in ("ais-test", "sumo-test", "test")
    }
    assert digests["ais-test"] == digests["sumo-test"] != digests["test"]
