"""Batches that other processes compute give the numbers of one process, in whichever order and after a death."""

import sys
import time
from dataclasses import asdict, replace
from importlib.util import find_spec
from itertools import pairwise

import keras
import numpy as np
import pytest
import tensorflow as tf
from other_processes import elsewhere, same, two_with_a_death_in_each

from keras_iwae import experiments
from keras_iwae.evaluation import (
    NLLResult,
    annealed_nll,
    bidirectional_gap,
    digests_of,
    importance_weighted_nll,
    model_digest,
    paired_difference,
)
from keras_iwae.evaluation.batches import in_batches
from keras_iwae.evaluation.digests import Judged
from keras_iwae.experiments.config import ExperimentConfig
from keras_iwae.experiments.workers import Workers, worker_processes
from keras_iwae.likelihoods import GaussianLikelihood, MixedLikelihood, NegativeBinomialLikelihood
from keras_iwae.models import IWAE
from keras_iwae.networks import dense_decoder, dense_encoder
from keras_iwae.posteriors import GaussianPosterior, SemiAmortizedPosterior
from keras_iwae.training import runs

QUIET = {"batch_size": 2, "verbose": False}


class Parts(keras.utils.PyDataset):
    def __init__(self, parts):
        super().__init__()
        self.parts = parts

    def __len__(self):
        return len(self.parts)

    def __getitem__(self, index):
        return self.parts[index]


@pytest.fixture(scope="module")
def model():
    """One for all tests: what it was traced for is kept with it."""
    return IWAE((4, 3, 1), latent_dim=2, hidden=(8,), num_samples=5, seed=3)


@pytest.fixture(scope="module")
def x():
    """Seven binary images."""
    return (np.random.default_rng(0).random((7, 4, 3, 1)) < 0.4).astype(np.float32)


@pytest.fixture(scope="module")
def whole(model, x):
    return importance_weighted_nll(model, x, 30, **QUIET)


@pytest.fixture(scope="module")
def shards(model, x):
    """Of two, four and one of them."""
    return [importance_weighted_nll(model, x[a:b], 30, first=a, **QUIET) for a, b in ((0, 2), (2, 6), (6, 7))]


@pytest.mark.slow
def test_shards_joined_are_the_whole(whole, shards):
    first, second, third = shards
    same(NLLResult.join([first, second, third]), whole)
    same(NLLResult.join(iter([third, first, second])), whole)
    assert NLLResult.join([second, third]).first == 2
    assert NLLResult.join([first, second, third]).to_dict() == whole.to_dict()


WEIGHTS = np.arange(7.0, dtype=np.float32)


def weighted(model, x, weights, **options):
    """In batches of one, so that float32 rounds alike."""
    one_by_one = ((x[i : i + 1], x[i : i + 1], weights[i : i + 1]) for i in range(len(x)))
    return importance_weighted_nll(model, one_by_one, 30, verbose=False, **options)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(("weights", "ends"), [(WEIGHTS, (0, 1, 4, 7)), (WEIGHTS[::-1], (0, 2, 6, 7))])
def test_a_shard_whose_weights_are_all_0_is_joined_with_the_others(model, x, weights, ends):
    shards = [weighted(model, x[a:b], weights[a:b], first=a) for a, b in pairwise(ends)]
    whole = weighted(model, x, weights)
    same(NLLResult.join(shards), whole)
    assert NLLResult.join(shards).to_dict() == whole.to_dict()
    (silent,) = (shard for shard in shards if not shard.weights.any())
    record = silent.to_dict()
    assert np.isnan([silent.nll, silent.standard_error, silent.monte_carlo_error, silent.jackknife_nll]).all()
    assert record["num_examples"] == 0
    assert record["active_units"] is None
    assert record["nll"] is record["effective_sample_size"]["min"] is record["pareto_k"]["max"] is None
    assert record["verdict"] == "All weights are 0: these images have a say in no mean."
    assert "nan" not in str(silent)
    # Alone it is a whole, of which some image has to have a say.
    with pytest.raises(ValueError, match=r"`results: weights`. Expected weights that are not all 0"):
        NLLResult.join([silent])
    with pytest.raises(ValueError, match=r"`log_likelihood`. Expected weights that are not all 0"):
        paired_difference(silent, replace(silent, judged=None))
    with pytest.raises(ValueError, match=r"`data: weights`. Expected weights that are not all 0"):
        weighted(model, x, np.zeros(7, np.float32))


def test_a_shard_without_its_place_has_other_draws(model, x, shards):
    """The control: joined, two such would have the same noise twice."""
    second = shards[1]
    misplaced = importance_weighted_nll(model, x[2:6], 30, **QUIET)
    assert np.abs(misplaced.log_likelihood_per_example - second.log_likelihood_per_example).min() > 1e-3


@pytest.mark.parametrize(
    ("sizes", "first", "refused"),
    [([2, 2, 1], 4, None), ([2, 2, 1], 3, 2), ([3, 3], 4, 3), ([1], 6, None), ([5], 7, None)],
)
@pytest.mark.parametrize("way", ["array", "PyDataset", "generator"])
def test_a_shard_begins_with_a_batch_of_the_whole(model, x, way, sizes, first, refused):
    """Within one it would have draws that the whole has not; with draws of each image it may begin anywhere."""
    ends = np.cumsum(sizes)
    parts = [x[end - size : end] for size, end in zip(sizes, ends, strict=True)]
    size = None
    if way == "array":
        # Of a single batch it knows the size that there might have been.
        refused, size = (None if first % max(sizes) == 0 else max(sizes)), max(sizes)

    def run(by_batch):
        data = {"array": lambda: x[: ends[-1]], "PyDataset": lambda: Parts(parts), "generator": lambda: iter(parts)}
        computed = []

        def compute(x, seen, advance):
            computed.append(seen)
            return (x.numpy(),)

        in_batches(model, data[way](), size, compute, {}, verbose=False, first=first, by_batch=by_batch)
        return computed

    places = (first + ends - sizes).tolist()
    assert run(False) == places
    if refused is None:
        assert run(True) == places
    else:
        with pytest.raises(ValueError, match=f"`first`. Expected a multiple of {refused}, .*Received: {first}"):
            run(True)


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"seed": 1}, "seed"),
        ({"num_samples": 20}, "num_samples"),
        ({"latent_dim": 3}, "latent_dim"),
        ({"discrete": False}, "discrete"),
        ({"weights": np.ones(4)}, "weighted"),
        ({"judged": Judged("of another model", np.zeros([4, 2], np.int32))}, "one model of all.*of another model"),
        ({"first": 3}, "first=2"),
        ({"first": 1}, "first=2"),
    ],
)
def test_what_does_not_belong_together_is_not_joined(shards, changed, name):
    first, second, _ = shards
    with pytest.raises(ValueError, match=f"`results`.*{name}"):
        NLLResult.join([first, replace(second, **changed)])


def test_shards_whose_draws_are_those_of_batches_of_other_sizes_are_not_joined(shards):
    first, second, _ = shards
    with pytest.raises(ValueError, match=r"`results`.*one batch_size of all.*Received: 1 and 2"):
        NLLResult.join([replace(first, batch_size=2), replace(second, batch_size=1)])


@pytest.mark.parametrize(
    ("given", "received"), [([], "none"), (None, "a NoneType"), (["a"], "a str"), ("a", "a str"), (3, "a int")]
)
def test_what_are_no_results_is_not_joined(given, received):
    with pytest.raises(ValueError, match=f"`results`. Expected NLLResults, at least one.*Received: {received}"):
        NLLResult.join(given)


def test_one_result_is_not_several(whole):
    with pytest.raises(ValueError, match=r"in a list\. Received: a NLLResult"):
        NLLResult.join(whole)


def test_a_result_knows_what_it_is_of(model, x, whole, shards):
    assert whole.judged.model == model_digest(model)
    examples = digests_of(tf.constant(x)).numpy()
    np.testing.assert_array_equal(shards[1].judged.examples, examples[2:6])
    assert len(np.unique(examples, axis=0)) == 7
    options = {"event_shape": (4, 3, 1), "latent_dim": 2, "hidden": (8,), "num_samples": 5, "seed": 3}
    twin = IWAE(**options)
    assert model_digest(twin) == model_digest(model)
    for other in ({"activation": "relu"}, {"likelihood": "continuous_bernoulli"}):
        assert model_digest(IWAE(**options, **other)) != model_digest(model)
    twin.generative.trainable_variables[0].assign_add(1e-6 * np.ones_like(twin.generative.trainable_variables[0]))
    assert model_digest(twin) != model_digest(model)


def semi_amortized(**settings):
    return {"posterior": SemiAmortizedPosterior(dense_encoder((8,)), 2, **settings)}


# Two models of the same weights each, of which numbers that are fixed differ.
FIXED = {
    "scale": lambda one: {"likelihood": GaussianLikelihood(scale=0.5 if one else 1.0)},
    "min_scale": lambda one: {"likelihood": GaussianLikelihood(min_scale=0.1 if one else 0.2)},
    "num_steps": lambda one: semi_amortized(num_steps=2 if one else 3),
    "step_size": lambda one: semi_amortized(step_size=0.5 if one else 0.4),
    "log_scale_range": lambda one: {
        "posterior": GaussianPosterior(dense_encoder((8,)), 2, log_scale_range=(-6.0, 2.0 if one else 1.0))
    },
    # A prior of an odd form beside it, which is saved too.
    "columns": lambda one: {
        "prior": "flow",
        "event_shape": 3,
        "likelihood": MixedLikelihood(
            [GaussianLikelihood(scale=0.5), "bernoulli", GaussianLikelihood(scale=0.6 if one else 1.0)]
        ),
    },
    "slope": lambda one: {
        "encoder": keras.Sequential(
            [
                keras.layers.Flatten(),
                keras.layers.Dense(8, kernel_initializer="ones"),
                keras.layers.LeakyReLU(0.1 if one else 0.3),
            ]
        ),
        "decoder": dense_decoder((8,)),
        "hidden": None,
    },
    "min_dispersion": lambda one: {"likelihood": NegativeBinomialLikelihood(min_dispersion=0.1 if one else 0.2)},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FIXED)
def test_models_of_other_fixed_numbers_are_others_and_a_saved_one_is_itself(name, tmp_path):
    def made(one):
        return IWAE(**{"event_shape": (4, 3, 1), "latent_dim": 2, "hidden": (8,), "seed": 3, **FIXED[name](one)})

    model = made(True)
    before = model_digest(model)
    assert model_digest(made(True)) == before != model_digest(made(False))
    model.save(tmp_path / "model.keras")
    assert model_digest(keras.models.load_model(tmp_path / "model.keras")) == before == model_digest(model)


class Scaled(GaussianLikelihood):
    def __init__(self, scales):
        super().__init__()
        self.scales = scales

    def get_config(self):
        return {**super().get_config(), "scales": self.scales}


@pytest.mark.slow
def test_numbers_of_an_array_and_of_a_dictionary_are_seen():
    given = [np.array([0.5, 1.0]), np.array([0.5, 9.0]), {"low": 0.5, "high": 1.0}, {"low": 0.5, "high": 9.0}]
    digests = [model_digest(IWAE(2, 2, (8,), likelihood=Scaled(scales))) for scales in given]
    assert len(set(digests)) == len(given)
    assert digests[0] == model_digest(IWAE(2, 2, (8,), likelihood=Scaled(np.array([0.5, 1.0]))))


class Unsaved(GaussianPosterior):
    def get_config(self):
        raise NotImplementedError


def test_a_model_that_cannot_be_saved_has_a_digest():
    made = [IWAE(3, hidden=(8,), posterior=Unsaved(dense_encoder((8,)), size)) for size in (2, 2, 3)]
    digests = [model_digest(model) for model in made]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)])
def test_batches_in_any_order_give_the_same(model, x, whole, order):
    spread = elsewhere(model, order)
    same(importance_weighted_nll(model, x, 30, **QUIET, spread=spread), whole)


@pytest.mark.slow
def test_annealing_in_any_order_gives_the_same(model, x):
    few = {"num_chains": 3, "num_temperatures": 4, "num_leapfrog_steps": 2, **QUIET}
    spread = elsewhere(model, (3, 1, 0, 2))
    same(annealed_nll(model, x, **few, spread=spread), annealed_nll(model, x, **few))
    drawn = {"num_examples": 7, "num_samples": 9, **few}
    # Seven images are one batch of importance sampling, and four of annealing.
    both = {1: elsewhere(model, [0]), 4: spread}
    same(
        bidirectional_gap(model, **drawn, spread=lambda recipe, waiting: both[len(waiting)](recipe, waiting)),
        bidirectional_gap(model, **drawn),
    )


def test_what_came_before_ctrl_c_is_not_computed_again(model, x, whole, tmp_path):
    partial, asked = tmp_path / "partial.npz", []

    def stopped(recipe, waiting):
        yield from list(elsewhere(model, (3, 1, 0, 2))(recipe, waiting))[:2]
        raise KeyboardInterrupt

    def rest(recipe, waiting):
        asked.extend(batch.number for batch in waiting)
        return elsewhere(model, range(len(waiting)))(recipe, waiting)

    with pytest.raises(KeyboardInterrupt):
        importance_weighted_nll(model, x, 30, **QUIET, resume=partial, spread=stopped)
    found = importance_weighted_nll(model, x, 30, **QUIET, resume=partial, spread=rest)
    assert asked == [0, 2]
    assert not partial.exists()
    same(found, whole)


def test_bad_workers_are_refused_by_name():
    for workers in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="`workers`"), worker_processes(workers):
            pass


def test_one_worker_needs_no_ray(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    for given in ((None,), (1,)):
        with worker_processes(*given) as workers:
            assert workers is None


@pytest.mark.parametrize("given", [(2, None), (None, "ray://localhost:10001"), (1, "ray://localhost:10001")])
def test_without_ray_it_says_how_to_install_it(monkeypatch, given):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"pip install 'keras-iwae\[ray\]'") as refused, worker_processes(*given):
        pass
    assert "\n" not in str(refused.value)


class Hesitant:
    """A Ray whose first process takes longer to start than Ray waits, so many times."""

    def __init__(self, times):
        self.times, self.shut_down = times, 0

    def is_initialized(self):
        return False

    def init(self, **given):
        self.times -= 1
        if self.times >= 0:
            # What Ray raises is no subclass.
            raise Exception("Timed out")

    def shutdown(self):
        self.shut_down += 1


def test_a_machine_that_is_busy_gets_a_second_attempt():
    once = Hesitant(1)
    assert Workers(once, {"address": "local"}, 2).start() == 2
    assert once.shut_down == 1
    for times, address in ((2, "local"), (1, "ray://localhost:9")):
        with pytest.raises(OSError, match="Timed out"):
            Workers(Hesitant(times), {"address": address}, 2).start()


@pytest.mark.long
def test_an_address_where_nothing_answers():
    # Imported by now it would have its own patience.
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    began = time.perf_counter()
    with pytest.raises(OSError, match="ray://localhost:9"), worker_processes(None, "ray://localhost:9"):
        pass
    assert time.perf_counter() - began < 15.0
    with pytest.raises(ValueError, match="`address`"), worker_processes(None, "localhost:9"):
        pass


@pytest.mark.long
def test_two_processes_of_which_one_dies_give_the_numbers_of_one(tmp_path, monkeypatch, as_here):
    pytest.importorskip("ray")
    config = ExperimentConfig.of(dataset="digits", num_samples=3, hidden=((8,),), latent_dim=(2,))
    run = runs.create(tmp_path / "run", asdict(config))
    runs.save_model(experiments.build(config), run / "model.keras")
    settings = {"num_samples": 30, "verbose": False}
    alone, _ = experiments.evaluate(run, **settings)
    with two_with_a_death_in_each(monkeypatch, as_here, tmp_path) as (workers, died):
        together, _ = experiments.evaluate(run, workers=workers, **settings)
    assert [file.exists() for file in died] == [True]
    same(together, alone)
    assert not list(run.glob("partial-*"))
