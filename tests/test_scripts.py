"""Each script as a user runs it, judged by what it prints, writes and returns; some in a process of their own."""

import contextlib
import inspect
import io
import json
import runpy
import subprocess
import sys
import time
from dataclasses import asdict
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from keras_iwae import experiments, serving
from keras_iwae.experiments import diagnosis, sweep, tuning
from keras_iwae.training import library, runs

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
NAMES = sorted(path.stem for path in SCRIPTS.glob("[!_]*.py"))
SMALL = ["--dataset", "digits", "--num-samples", "5", "--batch-size", "100", "--hidden", "16", "--latent-dim", "2"]


def run(script, *arguments, cwd=None, status=0):
    command = [sys.executable, str(SCRIPTS / f"{script}.py"), *map(str, arguments)]
    process = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300)
    assert process.returncode == status, process.stderr
    return process


class Terminal(io.StringIO):
    """What shows progress."""

    def isatty(self):
        return True


def call(script, *arguments, cwd, status=0, err=None):
    """As `run`, but here: a process of its own would import TensorFlow for seconds before it does anything."""
    out, err, returncode = io.StringIO(), io.StringIO() if err is None else err, 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", [f"{script}.py", *map(str, arguments)])
        patch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
        patch.chdir(cwd)
        try:
            runpy.run_path(str(SCRIPTS / f"{script}.py"), run_name="__main__")
        except SystemExit as ended:
            returncode = ended.code
    assert returncode == status, err.getvalue()
    return subprocess.CompletedProcess(script, returncode, out.getvalue(), err.getvalue())


def error_line(script, *arguments, cwd):
    """The one line that a script says on bad input."""
    return one_line(script, call(script, *arguments, cwd=cwd, status=2).stderr)


def one_line(script, printed):
    (line,) = printed.strip().splitlines()
    assert line.startswith(f"{script}.py: error: ")
    return line


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A folder with one trained run, made by the script that names it itself."""
    folder = tmp_path_factory.mktemp("workspace")
    process = run("train", *SMALL, "--epochs", "2", cwd=folder)
    (trained,) = (folder / "saved_models").iterdir()
    assert trained.name.startswith("digits-iwae-k5-")
    assert str(trained.relative_to(folder)) in process.stdout
    return folder, trained, process


@pytest.mark.slow
def test_help_answers_at_once_and_explains():
    for name in NAMES:
        begin = time.perf_counter()
        text = run(name, "--help").stdout
        # Importing TensorFlow, Keras and TFP takes longer, even with another test beside this one.
        assert time.perf_counter() - begin < 4.0
        assert "usage:" in text
        assert "examples:" in text or name == "demo"


@pytest.mark.slow
def test_train_keeps_quiet_about_the_framework(workspace):
    _, _, process = workspace
    assert process.stderr == ""
    assert "Epoch 2/2" in process.stdout
    assert len(process.stdout.splitlines()) < 15


@pytest.mark.slow
def test_evaluate_prints_a_table_for_the_newest_run(workspace):
    folder, trained, _ = workspace
    arguments = ["--k", 60, "--limit", 120, "--proposal-scale", 1.1, "--sumo", 2, "--per-example", "out.npz"]
    process = call("evaluate_nll", *arguments, cwd=folder)
    for text in (
        "NLL",
        "standard error",
        "bits per dimension",
        "L_1 ",
        "L_5 ",
        "L_50 ",
        "L_60 ",
        "active",
        "120 images",
        "Monte Carlo error",
        "jackknife NLL",
        "Pareto k-hat",
        "K = 60 ",
        "scale 1.1",
        "NLL by SUMO",
    ):
        assert text in process.stdout
    values = np.load(folder / "out.npz")
    record = json.loads((trained / "metrics.json").read_text())["nll_test"]
    assert values["log_likelihood"].shape == values["effective_sample_size"].shape == (120,)
    assert record["nll"] == pytest.approx(-values["log_likelihood"].mean(), rel=1e-5)
    assert record["limit"] == 120
    np.testing.assert_array_equal(np.load(trained / "per-example-test.npz")["log_likelihood"], values["log_likelihood"])


@pytest.mark.slow
def test_evaluate_by_annealing(workspace):
    folder, trained, _ = workspace
    few = ["--chains", 3, "--temperatures", 5, "--leapfrog", 2, "--initial", "posterior", "--limit", 4, "--json"]
    for arguments, key in (("ais", "ais_test"), ("bdmc", "bdmc")):
        process = call("evaluate_nll", "--method", arguments, *few, cwd=folder)
        record = json.loads(process.stdout)
        assert json.loads((trained / "metrics.json").read_text())[key] == record
        assert (record["num_examples"], record["num_chains"], record["num_temperatures"]) == (4, 3, 5)
    process = call("evaluate_nll", "--method", "bdmc", "--sumo", 3, cwd=folder, status=2)
    assert process.stderr.splitlines()[-1] == "evaluate_nll.py: error: --method bdmc has no --sumo"


@pytest.mark.slow
def test_evaluate_puts_fitted_proposals_beside_the_posterior(workspace):
    folder, trained, _ = workspace
    # What other tests found of more images.
    known = json.loads((trained / "metrics.json").read_text())
    (trained / "metrics.json").write_text(json.dumps({"training": known["training"]}))
    few = ["--k", 30, "--limit", 20, "--proposal", "refined", "--proposal-k", 25, "--json"]
    record = json.loads(call("evaluate_nll", *few, cwd=folder).stdout)
    metrics = json.loads((trained / "metrics.json").read_text())
    published, refined = metrics["nll_test"], metrics["nll_refined_test"]
    assert (published["proposal"], published["num_samples"], refined["num_samples"]) == ("amortized", 30, 25)
    assert refined["decoder_evaluations"] > 25
    assert (record["nll"], record["refined"]) == (published["nll"], refined)
    assert record["believe"]
    assert np.load(trained / "per-example-refined-test.npz")["pareto_k"].shape == (20,)
    process = call("evaluate_nll", "--proposal-k", 25, cwd=folder, status=2)
    assert process.stderr.splitlines()[-1].startswith("evaluate_nll.py: error: --proposal-k is of --proposal refined")


@pytest.mark.parametrize(("k", "early"), [(["100", "200"], "60"), (["5", "20"], "4")])
def test_what_goes_with_the_k_of_a_sweep_is_taken(tmp_path, monkeypatch, k, early):
    asked = []
    monkeypatch.setattr(sweep, "sweep", lambda config, ks, *_: asked.append((config, ks)) or [])
    monkeypatch.setattr(sweep, "table", lambda rows: "")
    call("sweep_k", "--dataset", "digits", "--k", *k, "--early-samples", early, cwd=tmp_path)
    ((config, ks),) = asked
    assert (config.objective.early_samples, ks) == (int(early), [int(one) for one in k])


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize(
    ("script", "arguments", "module", "door"),
    [
        ("evaluate_nll", ["--model", "digits-iwae-k50"], experiments, "evaluate"),
        ("evaluate_nll", ["--model", "digits-iwae-k50", "--json"], experiments, "evaluate"),
        ("sweep_k", ["--dataset", "digits"], sweep, "sweep"),
        ("tune", ["space.json", "--dataset", "digits"], tuning, "tune"),
        ("demo", [], experiments, "evaluate"),
        ("diagnose", ["--model", "digits-iwae-k50"], diagnosis, "diagnose"),
    ],
)
def test_progress_is_shown_where_stderr_is_a_terminal(tmp_path, monkeypatch, terminal, script, arguments, module, door):
    """There it is written, wherever results go."""
    (tmp_path / "space.json").write_text('{"learning_rate": {"choice": [0.1, 0.2]}}')
    signature = inspect.signature(getattr(module, door))

    def opened(*given, **by_name):
        raise ValueError(f"verbose={signature.bind(*given, **by_name).arguments['verbose']}")

    monkeypatch.setattr(module, door, opened)
    monkeypatch.setattr(experiments, "train", lambda config: "a run")
    err = Terminal() if terminal else io.StringIO()
    call(script, *arguments, cwd=tmp_path, status=2, err=err)
    assert err.getvalue().splitlines()[-1] == f"{script}.py: error: verbose={terminal}"


@pytest.mark.slow
def test_progress_leaves_the_results_alone(tmp_path):
    few = ["--model", "digits-iwae-k50", "--k", 5, "--limit", 3, "--json"]
    shown, silent = (call("evaluate_nll", *few, cwd=tmp_path, err=err) for err in (Terminal(), io.StringIO()))
    assert "so far, about" in shown.stderr
    assert "so far" not in silent.stderr
    one, other = (json.loads(each.stdout) for each in (shown, silent))
    assert {**one, "seconds": 0} == {**other, "seconds": 0}


@pytest.mark.parametrize("count", [0, -1])
@pytest.mark.parametrize(
    ("beside", "option"),
    [
        *product(["--proposal=adapted"], ["--k", "--limit", "--chunk-size", "--proposal-k", "--sumo"]),
        *product(["--method=bdmc"], ["--chains", "--temperatures", "--leapfrog", "--limit", "--k"]),
    ],
)
def test_a_count_of_none_is_refused_by_its_options_name(tmp_path, beside, option, count):
    said = call("evaluate_nll", beside, option, count, cwd=tmp_path, status=2).stderr
    expected = f"{option}: expected an integer of at least 1, received {count}"
    assert said.splitlines()[-1] == f"evaluate_nll.py: error: {expected}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "name"),
    [(["--seed", -1], "seed"), (["--proposal-scale", 0], "proposal_scale"), (["--defensive", -1], "defensive")],
)
def test_a_number_out_of_range_is_refused_by_its_options_name(tmp_path, options, name):
    few = ["--model", "digits-iwae-k50", "--k", 5, "--limit", 3]
    assert f"`{name}`" in error_line("evaluate_nll", *few, *options, cwd=tmp_path)


@pytest.mark.parametrize(
    ("script", "arguments", "name"),
    [
        ("sample", ["--model", "digits-iwae-k50", "--num", "0"], "--num"),
        ("sample", ["--model", "digits-iwae-k50", "--seed", "-1"], "seed"),
        ("evaluate_nll", ["--model", "digits-iwae-k50", "--k", "99999999999999"], "--k"),
        ("evaluate_nll", ["--model", "digits-iwae-k50", "--dataset", "other.npy"], "--dataset"),
        ("reproduce", ["--row", "digits-iwae-k5-l1", "--k", "99999999999999"], "--k"),
        ("reproduce", ["--list", "--out", "file"], "out"),
        ("sweep_k", ["--dataset", "digits", "--k", "5", "5"], "--k"),
        ("score", ["nowhere.csv"], "DATA"),
        ("score", ["table.csv", "--out", "folder"], "out"),
        ("impute", ["nowhere.csv", "--out", "filled.csv"], "DATA"),
        ("export", ["--model", "digits-iwae-k50", "--out", "file"], "--out"),
        ("pack", ["--model", "nowhere", "--out", "packed"], "--model"),
        ("compare", ["file", "folder"], "RUN"),
        ("train", ["--dataset", "digits", "--epsilon", "1e-50"], "epsilon"),
        ("train", ["--dataset", "digits", "--learning-rate", "1e-320"], "learning_rate"),
        ("train", ["--dataset", "digits", "--activation", "glu"], "activation"),
        ("train", ["--dataset", "digits", "--activation", "threshold"], "activation"),
    ],
)
def test_an_error_names_what_was_given(tmp_path, monkeypatch, script, arguments, name):
    monkeypatch.setattr(library.runs, "ROOT", tmp_path / "saved_models")
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    np.save(tmp_path / "other.npy", np.ones((40, 6), np.float32))
    assert f": error: Invalid value received for `{name}`. Expected" in error_line(script, *arguments, cwd=tmp_path)


def test_a_start_may_be_a_model_in_the_box(tmp_path, monkeypatch):
    monkeypatch.setattr(library.runs, "ROOT", tmp_path / "saved_models")
    taken = []

    def train(config, *_, **__):
        taken.append(config.run.start)
        raise ValueError("taken")

    monkeypatch.setattr(experiments, "train", train)
    error_line("train", "--dataset", "digits", "--start", "digits-iwae-k50", cwd=tmp_path)
    assert (Path(taken[0]) / "model.keras").is_file()


@pytest.mark.parametrize(
    ("script", "module", "door"), [("evaluate_nll", experiments, "evaluate"), ("diagnose", diagnosis, "diagnose")]
)
def test_workers_come_to_what_they_compute(tmp_path, monkeypatch, script, module, door):
    def opened(*given, **by_name):
        raise ValueError(by_name["workers"])

    monkeypatch.setattr(experiments, "worker_processes", lambda *given: contextlib.nullcontext(f"workers of {given}"))
    monkeypatch.setattr(module, door, opened)
    words = ["--model", "digits-iwae-k50", "--workers", 3, "--address", "ray://localhost:9"]
    said = error_line(script, *words, cwd=tmp_path)
    assert said == f"{script}.py: error: workers of (3, 'ray://localhost:9')"


def test_more_workers_without_ray_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    for script in ("evaluate_nll", "diagnose"):
        for option, value in (("--workers", 2), ("--address", "ray://localhost:9")):
            assert "pip install 'keras-iwae[ray]'" in error_line(script, option, value, cwd=tmp_path)
        assert "`workers`" in error_line(script, "--workers", 0, cwd=tmp_path)
    for script, *arguments in (("reproduce", "--row", "digits-vae-k1-l1-fast"), ("sweep_k", "--dataset", "digits")):
        for option, value in (("--workers", 1), ("--address", "ray://localhost:9")):
            assert "pip install 'keras-iwae[ray]'" in error_line(script, *arguments, option, value, cwd=tmp_path)
        assert "`workers`" in error_line(script, *arguments, "--workers", 0, cwd=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_evaluate_prints_json_and_repeats_by_seed(workspace):
    folder, trained, _ = workspace
    arguments = ["--k", 30, "--limit", 50, "--json", "--model", trained]
    first = json.loads(call("evaluate_nll", *arguments, cwd=folder).stdout)
    again = json.loads(call("evaluate_nll", *arguments, "--chunk-size", 7, cwd=folder).stdout)
    assert first["nll"] == pytest.approx(again["nll"], rel=1e-6)
    assert first["num_samples"] == 30
    assert list(first["bounds"]) == ["1", "2", "5", "10", "20", "30"]


@pytest.mark.slow
def test_export_and_sample(workspace):
    folder, trained, _ = workspace
    (folder / "docker-compose.yml").touch()
    printed = call("export", cwd=folder).stdout
    assert (trained / "serving" / "1" / "saved_model.pb").exists()
    assert f"MODEL={trained.name} docker compose up" in printed
    call("sample", "--num", 12, "--columns", 6, "--seed", 3, "--drawn", "--out", "grid.png", cwd=folder)
    assert imread(folder / "grid.png").shape[:2] == (4 * (2 * 9 - 1), 4 * (6 * 9 - 1))
    # Two latent units: the map of the plane comes too.
    assert imread(folder / "grid-plane.png").shape[:2] == (4 * (20 * 9 - 1),) * 2


@pytest.mark.slow
def test_resume_without_a_name_takes_the_newest_run(workspace):
    folder, trained, _ = workspace
    process = call("train", "--resume", "--epochs", 3, cwd=folder)
    assert str(trained.relative_to(folder)) in process.stdout
    assert "Epoch 3/3" in process.stdout
    assert "Epoch 2/3" not in process.stdout


# Options of each script, cut short, of which no other begins in the same way.
CUT_SHORT = {
    "compare": ["a", "b", "--js"],
    "convert": ["x.npy", "--out", "folder", "--sha", "3"],
    "demo": ["--epo", "1"],
    "diagnose": ["--gap", "3"],
    "evaluate_nll": ["--chunk", "3"],
    "export": ["--vers", "3"],
    "impute": ["table.csv", "--out", "filled.csv", "--imput", "3"],
    "pack": ["--out", "packed", "--hal"],
    "report": ["--hel"],
    "reproduce": ["--row", "x", "--stage", "1"],
    "sample": ["--col", "3"],
    "score": ["table.csv", "--out", "scores.csv", "--cel"],
    "sweep_k": ["--eval", "3"],
    "train": ["--data", "digits"],
    "tune": ["space.json", "--tri", "3"],
}


def test_every_script_has_its_line_in_the_table():
    assert sorted(CUT_SHORT) == NAMES


@pytest.mark.parametrize("script", CUT_SHORT)
def test_an_option_that_is_cut_short_is_refused(tmp_path, script):
    """A new option would otherwise change what an old command means."""
    arguments = CUT_SHORT[script]
    (cut,) = (word for word in arguments if word.startswith("--") and word not in ("--row", "--out"))
    said = call(script, *arguments, cwd=tmp_path, status=2).stderr.splitlines()[-1]
    assert said.startswith(f"{script}.py: error: unrecognized arguments: {cut}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--row", "digits-iwae-k5-l1", "--fast"], "--fast is of --all"),
        (["--list", "--fast"], "--fast is of --all"),
        (["--list", "--stages", "3"], "--list shows what is there, and takes no --stages"),
        (["--list", "--k", "5000"], "takes no --k"),
        (["--list", "--limit", "9"], "takes no --limit"),
        (["--list", "--budget-minutes", "0"], "takes no --budget-minutes"),
        (["--list", "--seeds", "1"], "takes no --seeds"),
        (["--list", "--workers", "2"], "takes no --workers"),
        (["--list", "--address", "ray://localhost:9"], "takes no --address"),
    ],
)
def test_an_option_without_effect_on_what_is_reproduced_is_refused(tmp_path, arguments, said):
    assert said in call("reproduce", *arguments, cwd=tmp_path, status=2).stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_the_table_of_options_is_the_configuration(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    settings = runpy.run_path(str(SCRIPTS / "train.py"))["SETTINGS"]
    config = asdict(experiments.ExperimentConfig())
    assert {section: list(options) for section, options in settings.items()} == {
        section: list(fields) for section, fields in config.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("train", ["--dataset", "mnits"], "'mnits'. Did you mean 'mnist'"),
        ("train", ["--dataset", "digits", "--num-samples", "0"], "`num_samples`"),
        ("train", ["--dataset", "digits", "--levels", "17"], "`levels`. Expected none with the likelihood 'bernoulli'"),
        ("train", ["--dataset", "digits", "--mask-input"], "`mask_input`. Expected False where `missing` is None"),
        ("train", ["--dataset", "digits", "--estimator", "stl"], "`estimator`. Expected 'dreg' in its place"),
        ("train", ["--dataset", "digits", "--beta", "0.3"], "`beta`. Expected none with the objective 'iwae'"),
        ("train", ["--dataset", "digits", "--objective", "miwae", "--num-samples", "9"], "divisor of num_samples = 9"),
        ("train", ["--dataset", "digits", "--out", "."], "`out`. Expected a new folder"),
        ("train", ["--dataset", "digits", "--out", "broken.keras/run"], "where broken.keras is a file"),
        ("train", ["--dataset", "digits", "--start", "nowhere"], "`start`. Expected a run folder"),
        ("train", ["--dataset", "digits", "--out", ""], "--out: expected some text, received none"),
        ("impute", ["", "--out", "x.csv"], "DATA: expected some text, received none"),
        ("compare", ["a", ""], "RUN: expected some text, received none"),
        ("sweep_k", ["--k", "1", "--dataset", "digits", "--out", "broken.keras"], "`out`. Expected a folder"),
        ("reproduce", ["--row", "digits-iwae-k5-l1", "--out", "broken.keras"], "`out`. Expected a folder"),
        ("train", ["--dataset", "missing.npz"], "missing.npz"),
        ("train", ["--resume", "--num-samples", "9"], "not --num-samples"),
        ("evaluate_nll", ["--model", "nowhere"], "`model`. Expected a run folder or a .keras file, or a model in the"),
        ("evaluate_nll", ["--k", "0"], "--k: expected an integer of at least 1, received 0"),
        ("evaluate_nll", ["--dataset", "missing.npy"], "missing.npy"),
        ("export", ["--model", "broken.keras"], "broken.keras, which cannot be read"),
    ],
)
def test_bad_input_is_one_line_and_status_two(workspace, script, arguments, message):
    folder, _, _ = workspace
    (folder / "broken.keras").write_text("no model")
    before = sorted(folder.rglob("*"))
    if "--resume" in arguments or "--k" in message:
        # A usage error, below the usage.
        assert message in call(script, *arguments, cwd=folder, status=2).stderr.splitlines()[-1]
    else:
        assert message in error_line(script, *arguments, cwd=folder)
    assert sorted(folder.rglob("*")) == before


@pytest.mark.slow
def test_nothing_but_the_error_is_said_by_a_process(workspace):
    folder, _, _ = workspace
    process = run("sample", "--num", "0", cwd=folder, status=2)
    assert "`--num`" in one_line("sample", process.stderr)
    assert process.stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (
            ["--objective", "piwae", "--num-groups", "3", "--estimator", "dreg", "--backward-samples", "2"],
            "piwae-dreg-k6-m2",
        ),
        (["--latent-dim", "4", "2", "--hidden", "16", "--hidden", "8", "--kl-warmup-steps", "9"], "iwae-k6"),
        (["--posterior", "bernoulli", "--estimator", "vimco"], "iwae-vimco-k6"),
    ],
)
def test_bounds_estimators_and_posteriors_by_argument(tmp_path, arguments, name):
    call("train", "--dataset", "digits", "--num-samples", 6, "--epochs", 1, *arguments, cwd=tmp_path)
    (trained,) = (tmp_path / "saved_models").iterdir()
    assert trained.name.startswith(f"digits-{name}-")
    if "--hidden" in arguments:
        call("train", "--resume", "--epochs", 2, cwd=tmp_path)
        assert "L_20 " in call("evaluate_nll", "--k", 20, "--limit", 20, cwd=tmp_path).stdout


@pytest.mark.slow
def test_a_users_own_images_from_file_to_evaluation(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "mine.npz", x=(rng.random((400, 6, 5)) * 255).astype(np.uint8))
    call("train", "--dataset", "mine.npz", "--epochs", 1, "--num-samples", 2, "--batch-size", 50, cwd=tmp_path)
    assert "40 images" in call("evaluate_nll", "--k", 5, cwd=tmp_path).stdout
    (trained,) = (tmp_path / "saved_models").iterdir()
    assert json.loads((trained / "metrics.json").read_text())["nll_test"]["num_examples"] == 40


@pytest.mark.parametrize("cloned", [True, False])
@pytest.mark.parametrize("script", ["export", "demo"])
def test_the_next_command_is_one_that_can_be_given_here(tmp_path, monkeypatch, script, cloned):
    """Where the package is installed there is no docker-compose.yml, nor an environment in .venv."""
    done, run = tmp_path / "saved_models" / "done", Path("saved_models/done")
    done.mkdir(parents=True)
    (done / "config.json").write_text("{}")
    if cloned:
        (tmp_path / ".venv" / "bin").mkdir(parents=True)
        for name in ("docker-compose.yml", ".venv/bin/activate"):
            (tmp_path / name).touch()
    monkeypatch.setattr(runs, "load_model", lambda _: None)
    monkeypatch.setattr(serving, "export_saved_model", lambda *_: run / "serving" / "1")
    for name, found in (("train", run), ("evaluate", ("NLL", {})), ("draw_samples", [run / "samples.png"])):
        monkeypatch.setattr(experiments, name, lambda *_, found=found, **__: found)
    printed = call(script, *(["--model", run] if script == "export" else []), cwd=tmp_path).stdout
    assert ("MODEL=done docker compose up" in printed) == cloned
    assert (". .venv/bin/activate" in printed) == (cloned and script == "demo")
    assert "docs/serving.md" in printed


@pytest.mark.slow
def test_demo_ends_by_saying_where_things_are(tmp_path):
    printed = call("demo", "--epochs", 1, cwd=tmp_path).stdout
    for name in ("model.keras", "reconstructions.png", "curves.png", "metrics.json", "samples-seed0.png", "serving/1"):
        (path,) = (word for word in printed.split() if word.endswith(name))
        assert (tmp_path / path).exists()
    assert "Next" in printed
