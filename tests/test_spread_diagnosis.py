"""A diagnosis whose batches other processes compute has the numbers of one process."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from other_processes import elsewhere, same, two_with_a_death_in_each

from keras_iwae import experiments
from keras_iwae.evaluation import InferenceGap, latents
from keras_iwae.experiments import diagnosis, inference_gap, model_checks
from keras_iwae.experiments.config import ExperimentConfig
from keras_iwae.foundation import read_arrays
from keras_iwae.models import IWAE
from keras_iwae.training import runs

X = (np.random.default_rng(0).random((410, 4, 3, 1)) < 0.4).astype(np.float32)
MODELS = {
    "a Gaussian": {},
    "two layers": {"latent_dim": (3, 2), "hidden": ((8,), (4,))},
    "no KL by unit": {"posterior": "full_covariance"},
}


def small(**options):
    return IWAE((4, 3, 1), **{"latent_dim": 2, "hidden": (8,), "num_samples": 5, "seed": 3, **options})


@pytest.fixture
def quickly(monkeypatch):
    monkeypatch.setattr(inference_gap, "NUM_SAMPLES", 30)
    monkeypatch.setattr(inference_gap, "NUM_STEPS", 4)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_latents_in_any_order_are_the_same(name):
    model, told = small(**MODELS[name]), []
    alone = latents(model, X, 3)
    found = latents(model, X, 3, progress=told.append, spread=elsewhere(model, (2, 0, 1)))
    same(found, alone)
    assert found.kl_is_exact.dtype == bool
    assert (found.kl_per_unit is None) == (name == "no KL by unit")
    assert told == [0, 10, 200, 200]


@pytest.mark.slow
def test_gaps_in_any_order_are_the_same_and_the_first_are_kept(tmp_path, monkeypatch, quickly):
    monkeypatch.setattr(inference_gap, "_BATCH", 2)
    model, asked = small(), []
    folders = [tmp_path / "alone", tmp_path / "together"]
    for folder in folders:
        folder.mkdir()

    def gap(folder, spread=None, progress=lambda share: None):
        return inference_gap.gap_of_run(folder, "of it", model, X[:7], 3, progress, spread)

    def stopped(recipe, waiting):
        yield from list(elsewhere(model, (0, 2, 1, 3))(recipe, waiting))[:2]
        raise KeyboardInterrupt

    def rest(recipe, waiting):
        asked.extend(batch.seen for batch in waiting)
        return elsewhere(model, (2, 0, 1))(recipe, waiting)

    with pytest.raises(KeyboardInterrupt):
        gap(folders[1], stopped)
    shares = []
    found, alone = gap(folders[1], rest, shares.append), gap(folders[0])
    assert asked == [2, 4, 6]
    assert sum(shares) == pytest.approx(1.0)
    same(found, alone)
    np.testing.assert_equal(*(dict(read_arrays(folder / "inference-gap.npz")) for folder in folders))


@pytest.mark.slow
def test_the_same_images_have_draws_of_their_own_in_every_hundred(tmp_path, monkeypatch, quickly):
    monkeypatch.setattr(inference_gap, "_BATCH", 2)
    gap = inference_gap.gap_of_run(tmp_path, "of it", small(), np.concatenate([X[:2], X[:2]]), 3, lambda share: None)
    assert np.abs(gap.elbo[:2] - gap.elbo[2:]).min() > 1e-3


@pytest.mark.slow
def test_the_gap_of_another_file_of_a_run_is_its_own(tmp_path, monkeypatch):
    def of_weights(model, batch, *_, seed, progress):
        total = sum(float(np.abs(weight).sum()) for weight in model.get_weights())
        return InferenceGap(*(np.full(len(batch), total) for _ in range(4)))

    monkeypatch.setattr(inference_gap, "inference_gap", of_weights)
    monkeypatch.setattr(diagnosis, "_draw", lambda *_: None)
    monkeypatch.setattr(model_checks, "SIMULATIONS", 20)
    monkeypatch.setattr(model_checks, "REPLICATES", 2)
    config = ExperimentConfig.of(dataset="digits", num_samples=3, hidden=((8,),), latent_dim=(2,))
    run = runs.create(tmp_path / "run", asdict(config))
    for seed, name in enumerate(("model", "other")):
        runs.save_model(experiments.build(config.replaced(seed=seed)), run / f"{name}.keras")
    own, other, again = (
        experiments.diagnose(path, limit=3, gap_images=2, verbose=False)["inference_gap"]
        for path in (run, run / "other.keras", run)
    )
    assert own == again != other


@pytest.mark.long
def test_a_diagnosis_by_two_processes_of_which_some_die_is_that_of_one(tmp_path, monkeypatch, as_here, quickly):
    pytest.importorskip("ray")
    monkeypatch.setattr(diagnosis, "_draw", lambda *_: None)
    config = ExperimentConfig.of(dataset="digits", num_samples=3, hidden=((8,),), latent_dim=(2,))
    run = runs.create(tmp_path / "run", asdict(config))
    runs.save_model(experiments.build(config), run / "model.keras")
    settings = {"gap_images": 150, "verbose": False}
    alone = experiments.diagnose(run, **settings)
    kept = dict(read_arrays(run / "inference-gap.npz"))
    (run / "inference-gap.npz").unlink()
    with two_with_a_death_in_each(monkeypatch, as_here, tmp_path) as (workers, died):
        together = experiments.diagnose(run, **settings, workers=workers)
    # Of the latents, and of the gap.
    assert [file.exists() for file in died] == [True, True]
    assert json.dumps(together) == json.dumps(alone)
    np.testing.assert_equal(dict(read_arrays(run / "inference-gap.npz")), kept)
