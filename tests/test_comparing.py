"""Paired comparisons: intervals that hold the truth as often as they say, and runs that are refused."""

import json
import math

import numpy as np
import pytest

from keras_iwae.evaluation import NLLResult, Proposal, SumoResult
from keras_iwae.evaluation.digests import Judged
from keras_iwae.evaluation.paired import paired_difference
from keras_iwae.experiments.comparison import compare, table
from keras_iwae.training import runs

RECORD = {"dataset": "mnist", "split": "test", "limit": None, "num_samples": 50, "seed": 0}


@pytest.mark.statistical
@pytest.mark.parametrize("count", [5, 60])
def test_intervals_hold_the_truth_at_their_rate(count):
    rng, truth, trials = np.random.default_rng(count), -0.3, 4000
    held, unpaired_width, widths = 0, [], []
    for _ in range(trials):
        # Images differ by ten nats, the two models on the same image by a fraction of one.
        reference = rng.normal(-90.0, 10.0, size=count)
        found = paired_difference(reference - truth + rng.normal(0.0, 0.5, size=count), reference)
        held += found.low <= truth <= found.high
        widths.append(found.high - found.low)
        unpaired_width.append(4.0 * reference.std(ddof=1) * math.sqrt(2.0 / count))
    rate, error = held / trials, math.sqrt(0.95 * 0.05 / trials)
    assert abs(rate - 0.95) < 4.0 * error
    # What pairing is for.
    assert np.mean(widths) < 0.1 * np.mean(unpaired_width)


@pytest.mark.statistical
def test_a_normal_interval_would_hold_the_truth_too_rarely():
    """The control: 1.96 standard errors of five differences."""
    rng, trials = np.random.default_rng(0), 4000
    held = 0
    for _ in range(trials):
        found = paired_difference(rng.normal(size=5), np.zeros(5))
        held += abs(found.mean) <= 1.96 * found.standard_error
    assert held / trials < 0.95 - 10.0 * math.sqrt(0.95 * 0.05 / trials)


def test_sign_and_verdict():
    reference = np.array([-90.0, -80.0, -100.0, -95.0])
    noise = np.array([0.1, -0.1, 0.05, 0.0])
    better, worse = (paired_difference(reference + shift + noise, reference) for shift in (1.0, -1.0))
    assert better.mean == pytest.approx(-1.0125)
    assert (better.verdict, worse.verdict) == ("better", "worse")
    assert paired_difference(reference + noise, reference).verdict == "cannot be told apart"
    one = paired_difference(reference[:1] + 5.0, reference[:1])
    assert (one.mean, one.verdict) == (-5.0, "cannot be told apart")
    for wrong in (reference[:3], reference[:0], reference[:, np.newaxis]):
        with pytest.raises(ValueError, match="`log_likelihood`"):
            paired_difference(wrong, reference if wrong.size else wrong)


def result(values, model="one", examples=((1, 2), (3, 4), (5, 6)), **options):
    """Of three images, as an evaluation gives it."""
    values = np.asarray(values, np.float64)
    settings = {
        "num_samples": 50,
        "seed": 0,
        "ess_per_example": np.full(3, 40.0),
        "pareto_k_per_example": np.full(3, 0.2),
        "jackknife_per_example": values,
        "means_per_example": np.zeros([3, 2]),
        "latent_dim": 2,
        "proposal": Proposal(),
        "entries_per_example": np.full(3, 6),
        **options,
    }
    bounds = {settings["num_samples"]: values}
    return NLLResult(bound_per_example=bounds, judged=Judged(model, np.array(examples)), **settings)


ONE, OTHER = [-9.0, -7.9, -8.1], [-10.0, -9.0, -9.0]


def test_results_are_compared_as_their_numbers():
    assert paired_difference(result(ONE), result(OTHER, "two", seed=1)) == paired_difference(ONE, OTHER)
    weights = {"weights": np.array([1.0, 3.0, 1.0])}
    weighted = paired_difference(result(ONE, **weights), result(OTHER, "two", **weights))
    assert weighted.mean == pytest.approx(-(1.0 + 3.0 * 1.1 + 0.9) / 5.0)
    # Of weight 0, whatever there is.
    weights = {"weights": np.array([1.0, 0.0, 1.0])}
    gone = paired_difference(result([-9.0, -np.inf, -8.1], **weights), result(OTHER, "two", **weights))
    assert gone == paired_difference([-9.0, -8.1], [-10.0, -9.0])
    # Other settings of the latents are what is compared.
    assert paired_difference(result(ONE, latent_dim=3), result(OTHER, "two")).num_images == 3


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (result(ONE), "another model"),
        (result(OTHER, "two", examples=((3, 4), (1, 2), (5, 6))), "same order"),
        (result(OTHER, "two", num_samples=5), "num_samples = 5"),
        (result(OTHER, "two", proposal=Proposal(scale=1.2)), "proposal"),
        (result(OTHER, "two", discrete=False), "discrete = False"),
        (result(OTHER, "two", cross_entropy=True), "quantity = cross-entropy"),
        (result(OTHER, "two", weights=np.ones(3)), "weights of examples"),
        (result(OTHER, "two", missingness=True), "of which entries were"),
        (SumoResult(np.array(OTHER), np.ones(3), 5, 6.0, 0), "kind = SumoResult"),
    ],
)
def test_results_that_do_not_belong_together_are_refused(other, named):
    with pytest.raises(ValueError, match=f"`log_likelihood`. Expected .*{named}"):
        paired_difference(result(ONE), other)


def make_run(folder, values, file="per-example-test.npz", digest=None, config=None, **changes):
    folder.mkdir()
    record = {**RECORD, "nll": -float(values.mean()), "standard_error": 0.5, "num_examples": len(values), **changes}
    (folder / "metrics.json").write_text(json.dumps({"nll_test": record}))
    (folder / "config.json").write_text(json.dumps({"data": {"dataset": "mnist", **(config or {})}}))
    extra = {} if digest is None else {"images_sha256": np.array(digest)}
    np.savez(folder / file, log_likelihood=values, **extra)
    return folder


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (([1.0, 2.0], [1.0, 3.0], 95), "level"),
        (([1.0, 2.0], [1.0, 3.0], "x"), "level"),
        (([1.0, np.nan], [1.0, 3.0]), "log_likelihood"),
        (([1.0, 2.0], [-np.inf, 3.0]), "reference"),
        ((None, [1.0, 3.0]), "log_likelihood"),
        (([1.0, 2.0], "a"), "reference"),
        ((result(ONE), ONE), "reference"),
        ((ONE, result(ONE)), "reference"),
        ((object(), [1.0]), "log_likelihood"),
    ],
)
def test_differences_that_cannot_be_told_are_refused(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        paired_difference(*arguments)


def test_a_model_is_not_compared_with_itself():
    values = np.array(ONE)
    for same in (values, result(ONE)):
        with pytest.raises(ValueError, match=r"`log_likelihood`\. Expected another model's"):
            paired_difference(same, same)


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(-90.0, 8.0, size=40)


def test_runs_are_compared_to_the_first(tmp_path, values):
    noise = np.random.default_rng(1).normal(0.0, 0.4, size=40)
    first = make_run(tmp_path / "first", values, file="per-example.npz")
    better = make_run(tmp_path / "better", values + 0.8 + noise, digest="a")
    same = make_run(tmp_path / "same", values + noise - noise.mean(), config={"binarization": "static"}, digest="a")
    found = json.loads(json.dumps(compare([first, better, same])))
    assert [row["run"] for row in found["runs"]] == ["first", "better", "same"]
    assert "difference" not in found["runs"][0]
    difference = found["runs"][1]["difference"]
    assert difference["nll"] == pytest.approx(-0.8 - noise.mean())
    assert difference["low"] < difference["nll"] < difference["high"] < 0.0
    assert difference["verdict"] == "better"
    assert found["runs"][2]["difference"]["verdict"] == "cannot be told apart"
    printed = table(found)
    assert f"{difference['nll']:+.2f}" in printed
    assert "40 images, K = 50, seed 0" in printed


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"dataset": "kmnist"}, "dataset mnist in .*first and kmnist"),
        ({"limit": 40}, "limit None in .*first and 40"),
        ({"num_samples": 500}, "num_samples 50"),
        ({"seed": 1}, "seed 0 in"),
        ({"split": "validation"}, "split test"),
        ({"quantity": "cross-entropy of grey levels"}, "quantity None in .*first and cross-entropy"),
        ({"defensive": 0.9}, "defensive None in .*first and 0.9"),
        ({"proposal_scale": 2.5}, "proposal_scale None in .*first and 2.5"),
        ({"bits_per_dimension": 0.5}, "numbers densities in .*first and probabilities"),
        ({"config": {"binarization": "threshold"}}, "binarization drawn once"),
        ({"digest": "b"}, "images a in .*first and b"),
    ],
)
def test_runs_that_were_not_evaluated_alike_are_refused(tmp_path, values, changes, named):
    first = make_run(tmp_path / "first", values, digest="a")
    other = make_run(tmp_path / "other", values, **{"digest": "a", **changes})
    with pytest.raises(ValueError, match=f"evaluated alike. Received: {named}"):
        compare([first, other])


def test_an_evaluation_of_other_weights_is_refused(tmp_path, values):
    first, other = (make_run(tmp_path / name, values, model_digest=f"of {name}") for name in ("first", "other"))
    compare([first, other])
    (other / "model.keras").write_bytes(b"trained further")
    with pytest.raises(ValueError, match=r"`folders`\. .*model in .*other as it is now\. .*evaluate_nll\.py"):
        compare([first, other])


def test_a_run_is_not_compared_with_itself(tmp_path, values):
    first, copy = (make_run(tmp_path / name, values, model_digest="0123456789abcdef") for name in ("first", "copy"))
    for other in (first, tmp_path / "copy" / ".." / "first", copy):
        with pytest.raises(ValueError, match=r"other runs beside .*first. Received: .*, which holds the same model"):
            compare([first, other])


def test_runs_without_the_numbers_are_refused(tmp_path, values):
    first = make_run(tmp_path / "first", values)
    (tmp_path / "empty").mkdir()
    runs.write_json(tmp_path / "empty" / "metrics.json", {})
    with pytest.raises(
        ValueError, match=r"`folders`\. Expected metrics.json with nll_test .*empty.*evaluate_nll.py --k 5000"
    ):
        compare([first, tmp_path / "empty"])
    # Not the command that is refused for such a run.
    (tmp_path / "adversarial").mkdir()
    runs.write_json(tmp_path / "adversarial" / "config.json", {"model": {"posterior": "adversarial"}})
    with pytest.raises(ValueError, match=r"nll_test in .*adversarial\. .*; its posterior has no log weights"):
        compare([first, tmp_path / "adversarial"])
    with pytest.raises(ValueError, match="nowhere, where there is none"):
        compare([first, tmp_path / "nowhere"])
    without = make_run(tmp_path / "without", values)
    (without / "per-example-test.npz").unlink()
    with pytest.raises(ValueError, match=r"`folders`\. Expected per-example-test.npz in .*without"):
        compare([first, without])
    # Arrays of another evaluation than the one in metrics.json: of fewer images, or of other numbers.
    for name, changes in (("fewer", {"num_examples": 10_000}), ("other", {"nll": 95.0})):
        with pytest.raises(ValueError, match="of another"):
            compare([first, make_run(tmp_path / name, values, **changes)])
