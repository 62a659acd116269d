"""Annealing against models whose log p(x) is known, in both directions, with controls that fail."""

import json
import math
import pathlib
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from oracles import LinearGaussian, quadrature_log_evidence
from test_hierarchical import make_parts
from test_hierarchical import quadrature_log_evidence as quadrature_of_two_layers

from keras_iwae import IWAE
from keras_iwae.evaluation import hamiltonian
from keras_iwae.evaluation.annealed import annealed_nll, chain_ess, log_mean_weight
from keras_iwae.evaluation.annealing import _PILOT_CHAINS, _PILOT_TEMPERATURES, _PILOT_WARMUP, Annealer
from keras_iwae.evaluation.bidirectional import bidirectional_gap
from keras_iwae.evaluation.errors import log_mean_error
from keras_iwae.evaluation.paths import INITIALS, Path, sigmoidal_schedule
from keras_iwae.models.door import Door
from keras_iwae.models.graphs import KeepsGraphs

SEED = tf.constant([5, 2])


@pytest.fixture(scope="module")
def oracle():
    """Small enough for data in [0, 1]."""
    return LinearGaussian(0.7, 1.2, unit=0.05)


@pytest.fixture(scope="module")
def annealers(oracle):
    """One for each f_0, traced once for all tests."""
    return {initial: Annealer(oracle, initial, num_leapfrog_steps=3, step_size=0.3) for initial in INITIALS}


def within(log_weights, truth):
    """Whether the log-mean weight of each image is its truth, within four standard errors."""
    error = log_mean_error(chain_ess(log_weights), len(log_weights))
    assert np.all(error < 0.1)
    return np.all(np.abs(log_mean_weight(log_weights) - truth) < 4.0 * error)


def test_schedule():
    betas = sigmoidal_schedule(9)
    assert (betas[0], betas[-1]) == (0.0, 1.0)
    steps = np.diff(betas)
    np.testing.assert_allclose(steps, steps[::-1])
    assert np.all(steps > 0.0)
    assert steps.argmax() == 4
    np.testing.assert_array_equal(sigmoidal_schedule(1), [0.0, 1.0])


@pytest.mark.statistical
@pytest.mark.parametrize("initial", INITIALS)
def test_weights_are_unbiased_at_few_temperatures(oracle, annealers, initial, monkeypatch):
    """Six temperatures are far too few to mix: what is tested is the weight, not the annealing."""
    x = tf.constant(oracle.sample_data(3))
    truth = oracle.log_evidence(x)
    annealed = annealers[initial].forward(x, 3000, annealers[initial].step_sizes(x, 6, SEED), SEED)
    assert within(annealed.log_weights, truth)
    assert np.all((annealed.acceptance > 0.2) & (annealed.acceptance < 0.98))
    # Controls: the mean of logs, and steps that are always accepted.
    assert truth.mean() - annealed.log_weights.mean() > 0.2
    monkeypatch.setattr(hamiltonian, "uniform_of_rows", lambda key, shape, axis: tf.fill(shape, -1.0))
    wild = Annealer(oracle, initial, 3, 0.3).forward(x, 3000, np.full([6, 3], 0.9, np.float32), SEED)
    error = log_mean_error(chain_ess(wild.log_weights), 3000)
    assert np.any(np.abs(log_mean_weight(wild.log_weights) - truth) > 4.0 * error)


@pytest.mark.statistical
def test_the_density_at_the_temperature_before_gives_other_weights(oracle):
    """Why the chain of TFP 0.25 is not used: the same path, where only that differs, is off by many standard errors."""
    x = tf.constant(oracle.sample_data(3))
    truth, path, count = oracle.log_evidence(x), Path(oracle, "prior", x), 20
    start = path.sample_initial(5000, SEED)

    def kernel(log_density):
        return tfp.mcmc.HamiltonianMonteCarlo(log_density, 0.4, 3)

    @tf.function(autograph=False)
    def theirs():
        return tfp.mcmc.sample_annealed_importance_chain(
            count, oracle.log_prior, lambda z: oracle.log_joint(x, z), start, kernel, seed=SEED
        )[1]

    @tf.function
    def ours():
        z, log_weights = start, tf.zeros([5000, 3])
        for t in tf.range(count):
            log_weights += path.log_initial_and_ratio(z)[1] / count
            beta = tf.cast(t + 1, tf.float32) / count
            z, _ = path.step(z, beta, tf.fill([3], 0.4), 3, tf.random.fold_in(SEED, t))
        return log_weights

    assert within(ours().numpy(), truth)
    assert not within(theirs().numpy(), truth)


@pytest.mark.statistical
@pytest.mark.parametrize(("initial", "temperatures"), [("prior", 25), ("posterior", 6)])
def test_backward_weights_estimate_one_over_the_evidence(oracle, annealers, initial, temperatures):
    x = oracle.sample(1, tf.constant([8, 0])).events
    truth = oracle.log_evidence(x)
    # A row of the batch for each chain: each has an exact sample of its own, and they are independent.
    rows = tf.repeat(x, 4000, axis=0)
    # From the prior at fewer, one over a weight has a tail that 4,000 chains do not see, and that no error tells of.
    step_sizes = annealers[initial].step_sizes(rows, temperatures, SEED)
    exact = LinearGaussian(0.0, 1.0, unit=0.05).distribution(x).sample(4000, seed=tf.constant([8, 2]))[:, 0]
    log_weights = annealers[initial].backward(rows, exact, 1, step_sizes, SEED).log_weights.T
    error = log_mean_error(chain_ess(-log_weights), 4000)
    assert error < 0.15
    assert abs(-log_mean_weight(-log_weights) - truth) < 4.0 * error
    # Control: from the prior, where an exact sample is asked for.
    others = oracle.prior.sample(4000, tf.constant([8, 1]))
    log_weights = annealers[initial].backward(rows, others, 1, step_sizes, SEED).log_weights.T
    assert abs(-log_mean_weight(-log_weights) - truth) > 8.0 * error


@pytest.mark.statistical
def test_intervals_hold_the_truth_at_their_rate(oracle):
    groups = 200
    x = oracle.sample_data(3)
    truth = oracle.log_evidence(x)
    result = annealed_nll(
        oracle, np.tile(x, (groups, 1)), 24, 25, num_leapfrog_steps=3, batch_size=600, step_size=0.3, verbose=False
    )
    deviations = (result.log_likelihood_per_example.reshape(groups, 3) - truth).mean(axis=1)
    errors = np.sqrt((log_mean_error(result.ess_per_example, 24).reshape(groups, 3) ** 2).sum(axis=1)) / 3.0
    share = np.mean(np.abs(deviations) < 1.96 * errors)
    assert abs(share - 0.95) < 4.0 * math.sqrt(0.95 * 0.05 / groups), share
    assert abs(deviations.mean()) < 4.0 * result.monte_carlo_error + 0.01


@pytest.mark.statistical
def test_a_decoder_of_two_units_reaches_quadrature(images):
    model = IWAE((4, 3, 1), latent_dim=2, hidden=(8,), num_samples=5, seed=1)
    for variable in model.generative.trainable_variables:
        variable.assign(1.5 * variable + 0.1)
    truth = quadrature_log_evidence(model, images)
    result = annealed_nll(model, images, 240, 40, 4, initial="posterior", batch_size=4, verbose=False)
    error = log_mean_error(result.ess_per_example, 240)
    np.testing.assert_array_less(np.abs(result.log_likelihood_per_example - truth), 4.0 * error)
    assert error.max() < 0.2
    assert abs(result.nll + truth.mean()) < 4.0 * result.monte_carlo_error
    assert 0.5 < result.acceptance_rate < 0.8


@pytest.mark.statistical
class Judged(KeepsGraphs, SimpleNamespace):
    """What annealing asks of a model, of parts."""

    @property
    def door(self):
        return Door(self.event_shape, self.generative.likelihood.support)

    def check_finite(self):
        pass

    def get_weights(self):
        return []


@pytest.mark.slow
def test_two_stochastic_layers_reach_quadrature(images):
    parts = Judged(**vars(make_parts((1, 1))), latent_dim=2, event_shape=images.shape[1:])
    truth = quadrature_of_two_layers(parts, images)
    result = annealed_nll(parts, images, 240, 40, 4, verbose=False)
    error = log_mean_error(result.ess_per_example, 240)
    assert error.max() < 0.2
    np.testing.assert_array_less(np.abs(result.log_likelihood_per_example - truth), 4.0 * error)


@pytest.mark.slow
def test_step_sizes_come_to_the_target_from_far_away(oracle, annealers, monkeypatch):
    x = tf.constant(oracle.sample_data(4))
    for start in (0.001, 10.0):
        monkeypatch.setattr(annealers["prior"], "_log_step_size", math.log(start))
        step_sizes = annealers["prior"].step_sizes(x, 30, SEED)
        assert step_sizes.shape == (30, 4)
        annealed = annealers["prior"].forward(x, 50, step_sizes, SEED)
        assert np.all(np.abs(annealed.acceptance - 0.65) < 0.15)


@pytest.mark.statistical
def test_bidirectional_bounds_hold_the_evidence_between_them(oracle):
    settings = {"num_chains": 5, "num_leapfrog_steps": 3, "num_samples": 20, "verbose": False, "seed": 6}
    truth = oracle.log_evidence(oracle.sample(60, tf.constant([6, 2])).events)
    gaps = []
    for num_temperatures in (3, 80):
        result = bidirectional_gap(oracle, 60, num_temperatures=num_temperatures, batch_size=40, **settings)
        for bound, sign in ((result.lower_per_example, 1.0), (result.upper_per_example, -1.0)):
            below = sign * (truth - bound)
            assert below.mean() > -4.0 * below.std(ddof=1) / math.sqrt(60)
        gaps.append(result.gap)
        at_least, at_most = result.importance_gap
        exact = (truth - result.importance_per_example).mean()
        assert at_least - 0.05 < exact < at_most + 0.05
    assert gaps[0] > 0.3
    assert gaps[1] < 0.3 * gaps[0]
    record = json.loads(json.dumps(result.to_dict()))
    assert record["gap"]["mean"] == pytest.approx(result.gap)
    assert record["importance_gap_at_most"]["mean"] == pytest.approx(at_most)
    assert (record["num_examples"], record["num_temperatures"], record["num_samples"]) == (60, 80, 20)
    for text in ("lower bound", "upper bound", "gap", "L_20", "at least", "acceptance"):
        assert text in str(result)


@pytest.mark.slow
def test_numbers_of_a_result_and_seeds(make_model, images):
    model, few = make_model(), {"num_chains": 3, "num_temperatures": 5, "num_leapfrog_steps": 2, "verbose": False}
    result = annealed_nll(model, images, seed=1, **few)
    record = json.loads(json.dumps(result.to_dict()))
    assert (record["num_examples"], record["num_chains"], record["initial"]) == (7, 3, "prior")
    assert record["bits_per_dimension"] == pytest.approx(record["nll"] / 12 / math.log(2.0))
    assert record["standard_error"] == pytest.approx(result.log_likelihood_per_example.std(ddof=1) / math.sqrt(7))
    assert record["monte_carlo_error"] == pytest.approx(result.monte_carlo_error)
    for text in ("NLL by AIS", "acceptance", "5 temperatures of 2 leapfrog steps", "prior"):
        assert text in str(result)
    again = annealed_nll(model, np.concatenate([images, images]), seed=1, batch_size=7, **few)
    np.testing.assert_array_equal(again.log_likelihood_per_example[:7], result.log_likelihood_per_example)
    assert np.all(again.log_likelihood_per_example[7:] != result.log_likelihood_per_example)


@pytest.mark.slow
def test_the_encoder_runs_once_for_all_steps(make_model, images):
    model = make_model()
    annealer = Annealer(model, "posterior", 2, 0.1)
    step = tf.ones([3, 7])
    graph = annealer._forward.get_concrete_function(
        0, tf.constant(images), tf.zeros([5, 7, 2]), tf.zeros([5, 7]), tf.ones([3]), tf.ones([3]), step, SEED
    ).graph
    outside = [op.name for op in graph.get_operations() if "MatMul" in op.type and "posterior" in op.name]
    inside = [
        node.name
        for function in graph.as_graph_def().library.function
        for node in function.node_def
        if "MatMul" in node.op and "encoder" in node.name
    ]
    assert len(outside) == 4  # two hidden layers, two heads
    assert not inside


def test_what_cannot_be_annealed_is_refused(make_model, images):
    model, binary = make_model(), make_model(posterior="bernoulli", estimator="vimco")
    for call in (lambda: annealed_nll(binary, images), lambda: bidirectional_gap(binary)):
        with pytest.raises(ValueError, match=r"`model`\. Expected continuous latents.*BernoulliPosterior"):
            call()
    for arguments, name in (
        ({"initial": "encoder"}, "initial"),
        ({"num_chains": 0}, "num_chains"),
        ({"num_temperatures": 0}, "num_temperatures"),
        ({"num_leapfrog_steps": 0}, "num_leapfrog_steps"),
        ({"step_size": 0.0}, "step_size"),
    ):
        with pytest.raises(ValueError, match=f"`{name}`"):
            annealed_nll(model, images, verbose=False, **arguments)
    with pytest.raises(ValueError, match="`data`"):
        annealed_nll(model, images * 9.0, verbose=False)
    with pytest.raises(ValueError, match="`num_examples`"):
        bidirectional_gap(model, 0)


def test_the_page_s_costs_are_those_of_the_defaults():
    page = (pathlib.Path(__file__).resolve().parent.parent / "docs" / "likelihood.md").read_text()
    # A slope is two runs of the decoder, and L leapfrog steps take L + 1 slopes.
    step = 2 * (10 + 1)
    chains, pilot = 16 * 1000 * (step + 1), _PILOT_CHAINS * (_PILOT_WARMUP + _PILOT_TEMPERATURES) * step
    assert f"a pilot pass, of 8 chains and 150 steps of L + 1 slopes | {chains + pilot:,} |" in page
    assert f"one pilot pass, and K | {2 * chains + pilot + 5000:,} |" in page
