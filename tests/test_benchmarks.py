"""Benchmarks: what is computed from times, and that the scripts start. No time is asserted, and no peer is needed."""

import argparse
import ast
import json
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(FOLDER))

import _files  # noqa: E402
import _free_bits  # noqa: E402
import _network  # noqa: E402
import _peers  # noqa: E402
import _rates  # noqa: E402
import _report  # noqa: E402
import _same_step  # noqa: E402
import _timing  # noqa: E402
import ablations  # noqa: E402
import anomaly  # noqa: E402
import gpu  # noqa: E402
import growth  # noqa: E402
import imputation  # noqa: E402
import imputation_page  # noqa: E402
import jobs  # noqa: E402
import posterior_table  # noqa: E402
import recipe_minutes  # noqa: E402
import recipe_trials  # noqa: E402
import soak  # noqa: E402
import step_cost  # noqa: E402
import time_to_nll  # noqa: E402

from keras_iwae import IWAE  # noqa: E402
from keras_iwae.experiments.paper_table import ROWS  # noqa: E402
from keras_iwae.training import warm_cosine  # noqa: E402

SCRIPTS = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))
# Sizes that all differ: pixels 3, hidden 2 and 5, 4 latent units.
SMALL = _network.Network(3, (2, 5), 4)


def test_a_file_is_what_its_name_says():
    assert _files.ending_in(".json")(str(FOLDER / "x.json")) == FOLDER / "x.json"
    for wrong in ("x.png", "x", "json"):
        with pytest.raises(argparse.ArgumentTypeError, match=f"ends in .json, got {wrong}"):
            _files.ending_in(".json")(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_answers_help(script):
    command = [sys.executable, str(FOLDER / f"{script}.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_no_script_takes_an_option_that_is_cut_short():
    # A benchmark that takes one for another goes on for hours, and writes into docs/results/.
    parsers = [
        call
        for path in FOLDER.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "ArgumentParser"
    ]
    assert len(parsers) > 5
    assert all(any(ast.unparse(each) == "allow_abbrev=False" for each in call.keywords) for call in parsers)
    with pytest.raises(SystemExit):
        imputation.arguments().parse_args(["--dat", "wine"])


def test_sides_take_turns_and_none_is_always_first(monkeypatch):
    monkeypatch.setattr(_timing, "SETTLE_SECONDS", 0.0)
    order = []

    def side(name, seconds):
        def run():
            order.append(name)
            return seconds

        return run

    times = _timing.alternate({"a": side("a", 1.0), "b": side("b", 2.0), "c": side("c", 3.0)}, rounds=3)
    assert order == ["a", "b", "c", "b", "c", "a", "c", "a", "b"]
    assert times == {"a": [1.0] * 3, "b": [2.0] * 3, "c": [3.0] * 3}
    assert _timing.fastest(times) == "a"
    assert _timing.fastest({}) is None


def test_ratios_are_of_the_same_round():
    # The machine is half as fast in the second round: each round's ratio is 3, that of unlike rounds is not.
    ours, theirs = [1.0, 2.0, 1.0], [3.0, 6.0, 3.0]
    assert _timing.ratios(theirs, ours) == {"median": 3.0, "low": 3.0, "high": 3.0}
    assert _timing.ratios(theirs, ours[::-1][1:] + ours[:1])["low"] == 1.5
    assert _timing.text(_timing.spread([0.002, 0.001, 0.004]), 1, 1e3) == "2.0 (1.0 to 4.0)"


def test_a_line_is_found_over_orders_of_magnitude():
    x = np.array([1.0, 10.0, 100.0, 1000.0])
    law = _timing.fit_line(x, 3.0 + 0.5 * x)
    assert (law.intercept, law.slope) == pytest.approx((3.0, 0.5))
    assert law.worst < 1e-9
    assert law.text("K", "ms") == "3 + 0.5 K ms (within 0%)"
    assert _timing.fit_line(x, 3.0 - 0.001 * x).text("K", "ms").startswith("3 - 0.001 K ms")
    # Errors of 5 % everywhere: plain least squares would let the largest point decide, and lose the intercept.
    noisy = (3.0 + 0.5 * x) * np.array([1.05, 0.95, 1.05, 0.95])
    law, plain = _timing.fit_line(x, noisy), np.polyfit(x, noisy, 1)
    assert law.intercept == pytest.approx(3.0, rel=0.1)
    assert abs(plain[1] / 3.0 - 1.0) > 0.5
    assert 0.04 < law.worst < 0.11


def test_a_power_is_found():
    x = np.array([2.0, 8.0, 64.0])
    law = _timing.fit_power(x, 3.0 * x**1.5)
    assert (law.factor, law.exponent) == pytest.approx((3.0, 1.5))
    assert "x^1.50" in law.text("x", "ms")


@pytest.mark.parametrize(("x", "y"), [([1.0], [1.0]), ([1.0, 2.0], [1.0, 0.0]), ([1.0, 2.0], [1.0])])
def test_laws_refuse_what_they_cannot_fit(x, y):
    with pytest.raises(ValueError, match="Invalid value received for `y`"):
        _timing.fit_line(x, y)


def test_flops_by_hand():
    # Encoder 3*2 + 2*5 + 5*4 + 5*4 = 56 products of numbers a row, decoder 4*5 + 5*2 + 2*3 = 36; B = 7, K = 6, m = 2.
    encoder = 2 * 7 * (3 * 56 - 6)
    assert _network.step_flops(SMALL, 7, 6) == encoder + 2 * 42 * 3 * 36 == 11340
    assert _network.step_flops(SMALL, 7, 6, 2) == encoder + 2 * 42 * 36 + 2 * 14 * 3 * 36 == 8316
    assert _network.nll_flops(SMALL, 6) == 2 * 56 + 2 * 6 * 36 == 544


@pytest.mark.slow
@pytest.mark.parametrize("drawn", [None, 2])
def test_flops_are_those_of_the_graph(make_model, drawn):
    model = make_model(event_shape=3, hidden=(2, 5), latent_dim=4, num_samples=6, backward_samples=drawn)
    model.optimizer.build(model.trainable_variables)
    step = tf.function(model.train_step, autograph=False).get_concrete_function(tf.TensorSpec([7, 3]))

    def flops(product):
        (rows, inner), transposed = product.inputs[0].shape, product.get_attr("transpose_a")
        rows, inner = (inner, rows) if transposed else (rows, inner)
        return 2 * rows * inner * product.outputs[0].shape[1]

    # A tape also traces products that nobody asks for; they never run.
    needed, found = [*step.graph.control_outputs, *(output.op for output in step.graph.outputs)], set()
    while needed:
        op = needed.pop()
        if op not in found:
            found.add(op)
            needed += [*op.control_inputs, *(tensor.op for tensor in op.inputs)]
    products = [op for op in found if op.type == "MatMul"]
    assert sum(map(flops, products)) == _network.step_flops(SMALL, 7, 6, drawn)


@pytest.mark.slow
def test_the_judge_and_the_package_agree_on_the_same_noise():
    batch = (np.random.default_rng(5).random((3, 784)) < 0.3).astype(np.float32)
    bound, _ = _same_step.gradients("CPU:0", False, 5, "reparameterized", batch)
    assert bound == pytest.approx(_network.mean_bound(_network.Network().weights(), batch, 5, seed=1), rel=1e-6)
    assert bound != pytest.approx(_network.mean_bound(_network.Network().weights(), batch, 5, seed=2), rel=1e-6)


def test_weights_survive_a_file_and_a_model(tmp_path, make_model):
    weights = _network.with_output_bias(SMALL.weights(), np.array([[0, 51, 255]], np.uint8))
    assert weights[-1] == pytest.approx(np.log([0.001 / 0.999, 0.2 / 0.8, 0.999 / 0.001]))
    _network.save_weights(tmp_path / "w.npz", weights)
    model = make_model(event_shape=3, hidden=(2, 5), latent_dim=4)
    _network.assign(model, _network.load_weights(tmp_path / "w.npz"))
    assert len(weights) == len(model.trainable_variables) == 14
    for variable, value in zip(_network.variables_of(model), weights, strict=True):
        np.testing.assert_array_equal(variable, value)


STUB = """
import sys
sys.path[:0] = [{folder!r}, {peers!r}]
from _serve import serve

class Side:
    def __init__(self, settings):
        self.done, self.settings = 0, settings

    def ready(self, count):
        def run():
            print("noise among the answers")
            self.done += count
            return self.done
        return run

    def weights(self):
        return [[float(self.done)]]

serve({{"counting": Side}})
"""


def test_a_worker_answers_and_says_what_went_wrong(tmp_path, monkeypatch):
    (tmp_path / "peers").mkdir()
    stub = STUB.format(folder=str(FOLDER), peers=str(FOLDER / "peers"))
    (tmp_path / "peers" / "with_stub.py").write_text(stub)
    monkeypatch.setattr(_peers, "BENCHMARKS", tmp_path)
    with _peers.Worker("stub") as worker:
        worker.ask("make", name="a", kind="counting", batch_size=3)
        worker.ask("exactly", name="a", count=4)
        assert [worker.ask("round", name="a")["result"] for _ in range(2)] == [4, 8]
        assert worker.weights("a", tmp_path) == [np.array([8.0])]
        count = worker.ask("prepare", name="a", seconds=1e-9, most=10, multiple=5)["count"]
        assert count == worker.ask("round", name="a")["count"] == 5
        # A round is as long as it says, and no longer than `most`.
        assert worker.ask("prepare", name="a", seconds=1e9, most=13, multiple=5)["count"] == 10
        before, after = (worker.ask("round", name="a")["result"] for _ in range(2))
        assert after - before == 10
        memory = worker.ask("memory")
        assert 0 < memory["base"] <= memory["peak"]
        with pytest.raises(ChildProcessError, match=r"the worker stub could not round: KeyError: 'b'"):
            worker.ask("round", name="b")


def test_a_worker_that_ends_is_named(tmp_path, monkeypatch):
    (tmp_path / "peers").mkdir()
    (tmp_path / "peers" / "with_stub.py").write_text("raise SystemExit('no such framework')")
    monkeypatch.setattr(_peers, "BENCHMARKS", tmp_path)
    with _peers.Worker("stub") as worker, pytest.raises(ChildProcessError, match="it ended: no such framework"):
        worker.ask("memory")


def test_memory_is_foretold_from_the_largest_points_before():
    known = [
        {"axis": "K", "drawn": None, "K": k, "peak_over_imports": (1.0 + 0.01 * k) * growth.GIB} for k in (1, 100, 500)
    ]
    point = {"axis": "K", "drawn": None, "K": 5000}
    assert growth.foretold(point, known) == pytest.approx(51.0)
    assert growth.foretold({**point, "drawn": 8}, known) == 0.0


def test_growth_has_a_law_for_each_axis_and_backward_pass():
    points = growth.points("K", (1, 10, 100))
    of_each = {drawn: [p["K"] for p in points if p["drawn"] == drawn] for drawn in (None, 8, 32)}
    assert of_each == {None: [1, 10, 100], 8: [10, 100], 32: [100]}
    for point in points:
        point["seconds"] = [1e-3 * (2.0 + 0.1 * point["K"])]
        point["peak_over_imports"] = growth.GIB
    exact, resampled, alone = growth.laws(points)
    assert (exact["time"]["intercept"], exact["time"]["slope"]) == pytest.approx((2.0, 0.1))
    assert resampled["drawn"] == 8
    assert resampled["memory"]["slope"] == pytest.approx(0.0, abs=1e-12)
    assert alone["time"] is None


def test_a_threshold_is_reached_at_the_first_pass_under_it():
    curve = [{"passes": i, "nll": nll} for i, nll in ((1, 99.0), (2, 94.0), (3, 96.0), (4, 91.0))]
    assert time_to_nll.reached(curve, 95.0)["passes"] == 2
    assert time_to_nll.reached(curve, 90.0) is None


@pytest.mark.parametrize("total", [1, 49, 50, 1193])
def test_peers_have_the_rates_of_the_recipe(total):
    expected = warm_cosine(total, 3e-3)
    for step in range(0, total + 2, max(1, total // 97)):
        assert _rates.warm_cosine(step, total, 3e-3) == pytest.approx(float(expected(step)), rel=1e-4, abs=1e-9)


def test_the_papers_stages_are_powers_of_three():
    row = {"batch_size": 20, "num_samples": 5, "side": "fit", "steps_per_second": {"median": 1.0}}
    faster = "JAX", "matrix products", "the same, m = 8"
    others = [{**row, "side": side, "steps_per_second": {"median": 1e6}} for side in faster]
    (line,) = gpu.protocol([row, {**row, "steps_per_second": {"median": 2980.0}}, *others])
    # One pass a second: 2,187 passes in the last stage, 3,280 in all.
    assert line["stage_hours"][-1] == pytest.approx(2187 / 3600)
    assert line["total_hours"] == pytest.approx(3280 / 3600)


class _Failing:
    """A framework's process that computes on a device, or cannot compute at all."""

    def __init__(self, device):
        self.device, self.closed = device, False

    def ask(self, do, **settings):
        if self.device is None and do == "round":
            raise ChildProcessError("no room")
        return {"device": self.device}

    def close(self):
        self.closed = True


def test_a_peer_that_fails_or_computes_elsewhere_is_left_out_of_a_gpu_s_table(capsys):
    workers = _peers.Workers([])
    started = {"pytorch": _Failing(None), "jax": _Failing("cpu"), "keras_iwae": _Failing("gpu")}
    workers.started = dict(started)
    gpu.drop_peers_elsewhere(workers, 20, 5, {})
    assert list(workers.started) == ["keras_iwae"]
    assert workers.left_out == {"pytorch": "no room", "jax": "it computes on cpu"}
    assert started["pytorch"].closed
    assert started["jax"].closed
    workers.started, workers.left_out = {"jax": _Failing("gpu"), "pytorch": _Failing("cuda")}, {}
    gpu.drop_peers_elsewhere(workers, 20, 5, {})
    assert len(workers.started) == 2
    assert not workers.left_out


def test_a_report_is_kept_before_it_is_whole(tmp_path, capsys):
    report = _report.Report("name", argparse.Namespace(out=tmp_path / "name.json", quick=False))
    report.keep({"rows": [1], "complete": False})
    assert json.loads((tmp_path / "name.json").read_text())["rows"] == [1]
    assert not capsys.readouterr().out
    assert not (tmp_path / "name.png").exists()
    report.write({"rows": [1, 2], "complete": True})
    assert json.loads((tmp_path / "name.json").read_text())["complete"] is True


def test_a_smoke_run_leaves_the_docs_alone_and_a_file_has_its_figure_beside_it(tmp_path):
    def report(**given):
        return _report.Report("name", argparse.Namespace(**{"out": None, "quick": False, **given}))

    assert report().json == _report.ROOT / "docs" / "benchmarks" / "name.json"
    assert report().figure == _report.ROOT / "docs" / "images" / "bench-name.png"
    assert _report.ROOT not in report(quick=True).json.parents
    assert _report.ROOT not in report(quick=True).figure.parents
    assert report(out=tmp_path / "mine.json").figure == tmp_path / "mine.png"


def test_a_report_says_how_it_came_about_but_not_where_it_lies(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmarks/x.py", "--rounds", "2", "--out", str(tmp_path / "x.json")])
    args = argparse.Namespace(rounds=2, quick=False, out=tmp_path / "x.json")
    _report.Report("x", args).write({"rows": []}, lambda figure: figure.subplots())
    written = json.loads((tmp_path / "x.json").read_text())
    assert written["command"] == "python benchmarks/x.py --rounds 2"
    assert str(tmp_path) not in json.dumps(written)
    assert written["machine"]["cores"] >= 1
    assert "tensorflow" in written["versions"]
    assert (tmp_path / "x.png").exists()


class Pretended:
    """Workers whose rounds take a second, and of the second side of a group two; `make smoke` starts real ones."""

    folder = Path("nowhere")

    def __init__(self, names):
        self.made = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __getitem__(self, name):
        return self

    def ask(self, what, **given):
        if what == "make":
            self.made.append(given["name"])

    def round_of(self, worker, side):
        return lambda: 1.0 + self.made.index(side) % 2

    def save_images(self, images):
        return "images"

    def save_weights(self, weights):
        return "weights"


def test_a_script_from_start_to_end(tmp_path, monkeypatch):
    monkeypatch.setattr(_timing, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(step_cost, "Workers", Pretended)
    monkeypatch.chdir(tmp_path)
    step_cost.main(argparse.Namespace(quick=True, rounds=2, out=Path("found.json"), seconds=0.1))
    rows = json.loads((tmp_path / "found.json").read_text())["rows"]
    assert [row["times_the_first"]["median"] for row in rows] == [1.0, 2.0, 1.0, 2.0]
    assert all(len(row["seconds"]) == 2 for row in rows)
    assert [row["group"] for row in rows] == ["bounds"] * 2 + ["posteriors"] * 2
    assert (tmp_path / "found.png").exists()


@pytest.mark.slow
def test_no_gpu_is_one_line_and_status_2(capfd, monkeypatch):
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--quick"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(FOLDER / "gpu.py"), run_name="__main__")
    assert ended.value.code == 2
    assert capfd.readouterr().err.strip().splitlines()[-1].startswith("gpu.py: error: TensorFlow sees no GPU here")


@pytest.mark.parametrize("pattern", imputation.PATTERNS)
def test_as_many_cells_are_taken_out_as_were_asked_for(pattern):
    x = np.random.default_rng(0).normal(size=(4000, 9))
    mask = imputation.taken_out(x, pattern, 0.2, 0)
    assert mask.mean() == pytest.approx(0.2, abs=0.01)
    seen, gone = np.where(mask, np.nan, x), np.where(mask, x, np.nan)
    larger = np.nanmean(gone, axis=0) - np.nanmean(seen, axis=0) if pattern != "MAR" else np.zeros(9)
    # Large values go missing where their own size decides, and only there.
    assert np.all(np.abs(larger) < 0.2) == (pattern != "MNAR")
    assert (not mask.any(axis=0).all()) == (pattern == "MAR")


def measured(monkeypatch, out, *arguments):
    """What a run of the one side that costs nothing adds to a file."""
    monkeypatch.setattr(sys, "argv", ["imputation.py", "--side", "mean", "--out", str(out), *arguments])
    imputation.main(imputation.arguments().parse_args())
    return [(row["data"], row["share"], row["seed"]) for row in json.loads(out.read_text())["rows"]]


def test_rows_of_a_quick_run_are_none_of_a_full_one(monkeypatch, tmp_path, capsys):
    full = "--data", "wine", "--pattern", "MCAR", "--share", "0.5", "0.5"
    out = tmp_path / "rows.json"
    # What is said of a quick run is done.
    assert measured(monkeypatch, out, "--quick", "--seeds", "2") == [("wine", 0.5, 0), ("wine", 0.5, 1)]
    monkeypatch.setattr(imputation, "complete", lambda name: np.random.default_rng(0).normal(size=(30, 4)))
    found = measured(monkeypatch, out, *full, "--seeds", "1")
    assert found == [("wine", 0.5, 0)]
    before = out.read_text()
    assert measured(monkeypatch, out, *full, "--seeds", "2") == [*found, ("wine", 0.5, 1)]
    assert json.loads(out.read_text())["rows"][0] == json.loads(before)["rows"][0]
    before = out.read_text()
    with pytest.raises(ValueError, match="--out: expected another file beside --quick"):
        measured(monkeypatch, out, "--quick")
    with pytest.raises(ValueError, match=r"--share: expected at most 0\.675 where a third of the columns stays"):
        measured(monkeypatch, out, "--data", "wine", "--share", "0.9")
    with pytest.raises(
        ValueError, match=r"--share: expected at most 0\.933, for two cells of each column stay; receiv"
    ):
        measured(monkeypatch, out, *full[:4], "--share", "0.95")
    with pytest.raises(ValueError, match="--share: expected one that takes a cell out"):
        measured(monkeypatch, out, *full[:4], "--share", "1e-9")
    assert out.read_text() == before
    none = '{"benchmark": "imputation", "settings": {"quick": false}, "rows": [{}]}'
    for text in (before.replace('"imputation"', '"anomaly"'), "", "\0", "[1]", '{"benchmark": "imputation"}', none):
        out.write_text(text)
        with pytest.raises(ValueError, match=r"--out: expected a file of imputation\.py, or none"):
            measured(monkeypatch, out, *full)
    (tmp_path / "folder.json").mkdir()
    for file in ("no/rows.json", "folder.json"):
        with pytest.raises(SystemExit):
            measured(monkeypatch, tmp_path / file, *full)
    assert "folder.json, which is a folder" in (said := capsys.readouterr().err)
    assert f"expected a file in a folder that there is, got {tmp_path}/no/rows.json, and no folder" in said
    for wrong in (["--share", "1.5"], ["--share", "0"], ["--share", "nan"], ["--rounds", "3"]):
        with pytest.raises(SystemExit):
            measured(monkeypatch, out, *wrong)
        assert wrong[0] in capsys.readouterr().err


def test_intervals_of_draws_from_the_truth_cover_what_they_should():
    rng = np.random.default_rng(0)
    for count in (imputation.CHAINS, imputation.DRAWS):
        low, high = imputation.intervals(rng.normal(size=(count, 20_000)))
        truth = rng.normal(size=20_000)
        inside = ((low <= truth) & (truth <= high)).mean()
        # Plain quantiles of 20 draws cover (19.05 - 1.95) / 21 = 0.81.
        assert inside == pytest.approx(imputation.LEVEL, abs=0.01)


def test_the_page_counts_a_tie_of_one_standard_error_and_no_more():
    def side(*rmse):
        return [{"rmse": value} for value in rmse]

    ours = side(0.50, 0.52, 0.54)
    assert imputation_page.within({"IWAEImputer": ours, "forests": side(0.51, 0.51, 0.51)}, "IWAEImputer")
    assert not imputation_page.within({"IWAEImputer": ours, "forests": side(0.50, 0.50, 0.50)}, "IWAEImputer")
    assert not imputation_page.within({"IWAEImputer": side(0.52), "forests": side(0.519)}, "IWAEImputer")
    # An easy table that one side alone was run on says nothing of the sides.
    rows = [{"seed": seed, "rmse": rmse} for seed, rmse in ((0, 0.5), (1, 0.1))]
    assert imputation_page.of_common_seeds({"a": rows, "b": rows[:1]}) == {"a": rows[:1], "b": rows[:1]}


def test_a_detector_never_learns_from_what_it_is_asked():
    target = np.repeat([0, 1, 2], 30)
    learned, asked = anomaly.split(target, 1, 0)
    assert set(target[learned]) == {1}
    assert len(learned) == 20
    assert sorted([*learned, *asked]) == list(range(90))


@pytest.mark.slow
@pytest.mark.parametrize("side", anomaly.SIDES)
def test_detectors_find_rows_that_are_far_away(side):
    rng = np.random.default_rng(0)
    known, usual, odd = rng.normal(size=(60, 3)), rng.normal(size=(10, 3)), rng.normal(9.0, 1.0, (10, 3))
    scores = anomaly.SIDES[side](known, np.concatenate([usual, odd]), 0, True)
    assert scores[:10].min() > scores[10:].max()


@pytest.mark.slow
def test_the_table_of_posteriors_goes_on_where_it_stopped(tmp_path, monkeypatch):
    made = [{"posterior": "planar", "bound": bound, "passes": "2", "test images": "20"} for bound in ("ELBO", "IWAE-5")]
    (tmp_path / "rows.json").write_text(json.dumps(made))
    monkeypatch.chdir(tmp_path)
    command = ["--quick", "--out", "runs", "--json", "rows.json"]
    posterior_table.main(posterior_table.arguments().parse_args([*command, "--families", "planar", "adversarial"]))
    *kept, row = json.loads((tmp_path / "rows.json").read_text())
    assert kept == made
    assert (row["posterior"], row["by"], row["test images"]) == ("adversarial", "AIS, 2 chains", "3")


@pytest.mark.long
def test_the_table_of_ablations_is_of_one_change_at_a_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["--quick", "--out", "runs", "--json", "rows.json", "--changes", "nothing", "flow"]
    for changes in (command, [*command, "K = 1"]):
        ablations.main(ablations.arguments().parse_args(changes))
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["changed"] for row in rows] == ["nothing", "prior: a flow", "bound: K = 1, the VAE"]
    configs = [json.loads(path.read_text()) for path in sorted((tmp_path / "runs").glob("*/config.json"))]
    assert sorted(str(config["model"]["prior"]) for config in configs) == ["flow", "vamp", "vamp"]


TABLES = {
    ablations: (["--changes", "nothing"], ["--dataset", "digits"], ["--limit", "5000"], ["--passes", "3"]),
    posterior_table: (["--families", "adversarial"], ["--annealed", "7"], ["--passes", "3"]),
}


@pytest.fixture
def rows_of(tmp_path, monkeypatch):
    """The rows of a table of which no model is trained, after a command; published ones are in a folder of the test."""

    def rows(script, *given):
        monkeypatch.setattr(script, "row", lambda *what: script.key(*what))
        script.main(args := script.arguments().parse_args(given))
        return json.loads(args.json.read_text())

    monkeypatch.setattr(_report, "ROOT", tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return rows


@pytest.mark.parametrize("script", TABLES)
def test_what_was_asked_for_otherwise_is_a_row_of_its_own(rows_of, tmp_path, script):
    few, *others = TABLES[script]
    for count, other in enumerate(([], *others), start=1):
        for _ in range(2):
            assert len(rows_of(script, *few, *other, "--json", str(tmp_path / "rows.json"))) == count


@pytest.mark.parametrize("script", TABLES)
def test_a_smoke_run_of_a_table_is_not_among_its_published_rows(rows_of, tmp_path, script):
    (option, value), *_ = TABLES[script]
    (tmp_path / "docs" / "results").mkdir(parents=True)
    published = tmp_path / "docs" / "results" / ("ablations.json" if script is ablations else "posteriors.json")
    published.write_text("[]")
    assert [row["passes"] for row in rows_of(script, "--quick", option, value)] == ["2"]
    assert [row["passes"] for row in rows_of(script, "--quick", option, value, "--passes", "3")] == ["3"]
    with pytest.raises(ValueError, match="--json: expected another file beside --quick"):
        rows_of(script, "--quick", option, value, "--json", str(published))
    assert published.read_text() == "[]"
    assert len(rows_of(script, option, value)) == len(json.loads(published.read_text())) == 1
    with pytest.raises(ValueError, match=f"{option}: expected .* received no such"):
        rows_of(script, option, value, "no such")


def test_a_row_of_more_images_than_there_are_is_refused():
    _report.check_images({"num_examples": 20, "limit": 20}, "--limit")
    with pytest.raises(ValueError, match="--limit: expected at most 359 test images; received 400"):
        _report.check_images({"num_examples": 359, "limit": 400}, "--limit")


def test_a_trial_of_other_data_or_passes_is_another(tmp_path, monkeypatch):
    folders, file = [], tmp_path / "trials.json"

    def trained(folder, dataset, passes, **settings):
        folders.append(folder)
        return float(len(folders))

    monkeypatch.setattr(recipe_trials, "trained", trained)
    for other in ([], ["--dataset", "digits"], ["--passes", "3"], []):
        given = ["--only", "DReG, rate 0.002", "--json", str(file), *other]
        recipe_trials.main(recipe_trials.arguments().parse_args(given))
    rows = [(row["data set"], row["passes"], row["validation NLL, K = 1000"]) for row in json.loads(file.read_text())]
    assert rows == [("digits", "6", "2.00"), ("mnist", "3", "3.00"), ("mnist", "6", "4.00")]
    assert len(set(folders)) == 3
    with pytest.raises(ValueError, match="--only: expected a part of a trial's name"):
        recipe_trials.main(recipe_trials.arguments().parse_args(["--only", "no such"]))


@pytest.mark.statistical
def test_free_bits_are_the_elbo_but_for_units_that_say_little():
    """Against the model's own ELBO of many draws, where nothing is free, and TFP's divergence of each unit."""
    model = IWAE(event_shape=6, latent_dim=3, hidden=(8,), num_samples=1000, objective="elbo", seed=3)
    model.compile()
    x = np.random.default_rng(0).integers(0, 2, (20, 6)).astype("float32")
    model(x)
    rng = np.random.default_rng(1)
    for weight in model.trainable_variables:
        weight.assign(rng.normal(0.0, 0.5, weight.shape))
    q = model.posterior.distribution(x)
    units = tfp.distributions.Normal(q.mean(), q.stddev())
    says = np.mean(units.kl_divergence(tfp.distributions.Normal(0.0, 1.0)), 0)

    def losses(nats, draws):
        trained = _free_bits.FreeBits(model, nats)
        return np.array([trained.compute_loss(y_pred=trained(x)) for _ in range(draws)])

    def differs(found, expected):
        return (found.mean() - expected) / (found.std(ddof=1) / np.sqrt(len(found)))

    nothing_free = losses(0.0, 100)
    assert abs(differs(nothing_free, -model.evaluate(x, verbose=0, return_dict=True)["elbo"])) < 4.0
    # One unit below, two above; all that a unit may say for nothing is paid in full.
    free = np.sort(says)[:2].mean()
    expected = nothing_free.mean() + free - says.min()
    assert abs(differs(losses(free, 100), expected)) < 5.0 < abs(differs(nothing_free, expected))


def test_a_unit_that_says_little_is_not_pulled_to_the_prior():
    model = IWAE(event_shape=6, latent_dim=3, hidden=(8,), seed=3)
    x = np.ones((4, 6), "float32")
    trained = _free_bits.FreeBits(model, 0.0)
    trained(x)

    def slopes(nats):
        trained.nats = nats
        with tf.GradientTape() as tape:
            # What is fitted is not looked at.
            loss = trained.compute_loss(y_pred=(tf.zeros([4]), trained(x)[1]))
        return tape.gradient(loss, model.posterior.trainable_variables)

    assert max(np.abs(slope).max() for slope in slopes(0.0)) > 0.0
    assert max(np.abs(slope).max() for slope in slopes(100.0)) == 0.0


def test_a_soak_sees_what_goes_wrong():
    """A server that answers everything alike: bad requests too, and good ones with another's answer."""
    request, alone = {"seed": np.zeros(2)}, {"images": np.ones(2)}

    def server(endpoint, request):
        return {"images": np.ones(2) if endpoint == "sample" else np.zeros(2)}

    assert soak.answered(server, "sample", request, alone) == ""
    assert soak.answered(server, "decode", request, alone) == "decode: another answer than alone"
    assert soak.refused(server, "sample", request, "max_rows") == "sample: not refused, where 'max_rows' is wrong"

    def refusing(endpoint, request):
        raise tf.errors.InvalidArgumentError(None, None, "Invalid value received for `seed`")

    assert soak.refused(refusing, "sample", request, "seed") == ""
    assert "refused without 'max_rows'" in soak.refused(refusing, "sample", request, "max_rows")


def test_a_soak_that_leaks_or_goes_wrong_fails():
    found = {"faults": [], "memory_warm_mib": 1000.0, "memory_end_mib": 1090.0}
    soak.check(found, quick=False)
    soak.check({**found, "memory_end_mib": 2000.0}, quick=True)
    with pytest.raises(ValueError, match="memory grew from 1,000 MiB to 2,000 MiB"):
        soak.check({**found, "memory_end_mib": 2000.0}, quick=False)
    with pytest.raises(ValueError, match="1 kinds of requests went wrong: encode: not refused"):
        soak.check({**found, "faults": ["encode: not refused"]}, quick=True)


def test_bad_requests_are_of_flat_events_too():
    shapes = [np.shape(value) for _, request, _ in soak.bad_requests((5,), 3, None) for value in request.values()]
    assert (2, 5) in shapes
    assert (2, 10) in shapes


def test_jobs_are_held_to_the_numbers_and_the_time_of_one_process(tmp_path, monkeypatch):
    monkeypatch.setattr(_timing, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(jobs, "products", lambda processes, threads, count: {1: 8.0, 2: 6.0}[processes])

    def reproduced(names, root, options):
        by_jobs = "--workers" in options
        return (30.0 if by_jobs else 50.0), {name: 25.0 + 0.125 * by_jobs * (name == names[1]) for name in names}

    monkeypatch.setattr(jobs, "reproduced", reproduced)
    jobs.main(argparse.Namespace(quick=True, rounds=2, workers=2, out=tmp_path / "jobs.json"))
    found = json.loads((tmp_path / "jobs.json").read_text())
    assert found["jobs_over_serial"]["median"] == pytest.approx(0.6)
    assert found["products_over"]["one process, one thread"]["median"] == pytest.approx(0.75)
    assert found["largest_difference"] == 0.125
    assert len(jobs.ROWS) == len(set(jobs.ROWS)) == 10
    assert all(ROWS[name].recipe == "fast" and name.startswith("digits-") for name in jobs.ROWS)


@pytest.mark.slow
def test_minutes_of_a_recipe_are_of_as_many_samples_as_its_passes_have(monkeypatch):
    seen, step = [], IWAE.train_step

    def counted(model, batch):
        seen.append(model.training_samples)
        return step(model, batch)

    monkeypatch.setattr(IWAE, "train_step", counted)
    config = ROWS["digits-iwae-k50-l1-fast"].config.replaced(hidden=((8,),), latent_dim=2, batch_size=20)
    early, late = recipe_minutes.phases(config, 60)
    assert set(seen) == {10, 50}
    # Once more, as in a round: `fit` ends with all samples.
    for phase, samples in ((early, 10), (late, 50)):
        seen.clear()
        assert phase() > 0.0
        assert set(seen) <= {samples}
