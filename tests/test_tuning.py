"""Tuning: what a space may say, what is drawn of it, which trials are stopped, and how it goes on after a kill."""

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.image import imread
from test_scripts import SCRIPTS, error_line

from keras_iwae import experiments
from keras_iwae.experiments import tuning
from keras_iwae.experiments.asked_trials import begin, check_built, configured
from keras_iwae.experiments.config import settings_of
from keras_iwae.experiments.search_space import (
    FIXED,
    KINDS,
    Domain,
    check_space,
    draw_trials,
    parse_space,
    read_space,
)
from keras_iwae.experiments.trial_journal import Journal
from keras_iwae.experiments.trial_processes import _halving
from keras_iwae.experiments.trial_table import ranked, trial_row, trials_table, write_csv
from keras_iwae.foundation import write_json
from keras_iwae.plots import charts, trial_charts
from keras_iwae.training import runs

SPACE = {
    "learning_rate": {"log_uniform": [1e-4, 1e-1]},
    "latent_dim": {"integers": [2, 40]},
    "prior": {"choice": [None, "mixture"]},
    "ema": {"uniform": [0.9, 0.99]},
}
SMALL = {"dataset": "digits", "hidden": [[8]], "num_samples": 5, "batch_size": 100}


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({}, "`space`. Expected an object with at least one setting"),
        ([1], "`space`. Expected an object"),
        ({"learning_rte": {"choice": [1]}}, "Received: 'learning_rte'"),
        ({"learning_rate": [1e-3, 1e-2]}, "one of choice, uniform, log_uniform, integers for learning_rate"),
        ({"learning_rate": {"normal": [0, 1]}}, "for learning_rate. Received: {'normal'"),
        ({"learning_rate": {"uniform": [1, 2], "choice": [1]}}, "one of choice"),
        ({"learning_rate": {"uniform": [1, 2, 3]}}, r"two numbers \[least, most\] for learning_rate"),
        ({"learning_rate": {"uniform": [2, 1]}}, r"\[least, most\] for learning_rate. Received: \[2, 1\]"),
        ({"learning_rate": {"uniform": [1, 1]}}, r"\[least, most\] for learning_rate"),
        ({"learning_rate": {"uniform": [1, float("inf")]}}, "`learning_rate`. Expected a finite number"),
        ({"learning_rate": {"log_uniform": [0, 1]}}, "`learning_rate`. Expected a number above 0. Received: 0"),
        ({"latent_dim": {"integers": [2.5, 4]}}, "`latent_dim`. Expected an integer"),
        ({"latent_dim": {"integers": [True, 4]}}, "`latent_dim`. Expected an integer"),
        ({"latent_dim": {"choice": 5}}, "a list for the choice of latent_dim"),
        ({"latent_dim": {"choice": []}}, "a list for the choice of latent_dim"),
        ({"latent_dim": {"choice": [5, 6, 5]}}, "each choice of latent_dim once"),
    ],
)
def test_what_is_no_space_is_refused_by_name(space, said):
    with pytest.raises(ValueError, match=said):
        parse_space(space)


@pytest.mark.parametrize("name", FIXED)
def test_what_would_make_bounds_of_other_things_may_not_vary(name):
    with pytest.raises(ValueError, match=f"`space`.*Received: {name}: {FIXED[name]}"):
        parse_space({name: {"choice": [1, 2]}})


def test_every_setting_is_free_or_has_a_reason():
    config = experiments.ExperimentConfig()
    assert set(FIXED) < set(config.settings)
    free = {name: {"choice": [value]} for name, value in config.settings.items() if name not in FIXED}
    check_space(parse_space(free), {"dataset": "digits"})


def test_the_space_of_the_documents_is_one():
    page = (SCRIPTS.parent / "docs" / "scale.md").read_text()
    (printed,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    space = parse_space(json.loads(printed))
    check_space(space, {"dataset": "digits"})
    assert len(draw_trials(space, 20, seed=0)) == 20
    for kind in KINDS:
        assert f'| `{{"{kind}": [' in page


@pytest.mark.parametrize(
    ("space", "given", "said"),
    [
        ({"learning_rate": {"choice": [0.1]}}, {"learning_rate": 0.2}, "`learning_rate`.*in the space or as a setting"),
        ({"learning_rate": {"uniform": [-1, 1]}}, {}, "`learning_rate`. Expected a number above 0. Received: -1"),
        ({"beta_1": {"uniform": [0.5, 1.5]}}, {}, "`beta_1`.*Received: 1.5"),
        ({"batch_size": {"uniform": [10, 100]}}, {}, "`batch_size`. Expected an integer"),
        ({"latent_dim": {"integers": [0, 9]}}, {}, "`latent_dim`.*Received: 0"),
        ({"hidden": {"choice": [[8], "8"]}}, {}, "`hidden`.*Received: '8'"),
        ({"prior": {"choice": ["mixtures"]}}, {}, "`prior`.*Received: 'mixtures'"),
        ({"latent_dim": {"choice": [50, 20, [50]]}}, {}, "each choice of latent_dim once.*where two are one"),
        ({"learning_rate": {"choice": [1, 1.0]}}, {}, "each choice of learning_rate once"),
        ({"activation": {"choice": [None, "tanh"]}}, {}, "each choice of activation once"),
        ({"prior_components": {"integers": [5, 9]}}, {}, "`prior_components`. Expected none but with the prior"),
        ({"ema": {"choice": [0.9]}}, {"levels": 17}, "`levels`. Expected none with the likelihood 'bernoulli'"),
        ({"posterior": {"choice": ["gaussian", "adversarial"]}}, {"objective": "elbo"}, "`posterior`.*log weights"),
        ({"ema": {"choice": [0.9]}}, {"posterior": "adversarial"}, "`posterior`.*log weights"),
        ({"ema": {"choice": [0.9]}}, {"objective": "ae"}, "`objective`.*from below"),
        ({"ema": {"choice": [0.9]}}, {"objective": "jvi"}, "`objective`.*from below"),
        ({"ema": {"choice": [0.9]}}, {"objective": "renyi", "alpha": -1.0}, "`alpha`.*from below"),
    ],
)
def test_values_are_refused_before_anything_starts(space, given, said):
    with pytest.raises(ValueError, match=said):
        check_space(parse_space(space), {"dataset": "digits", **given})


def test_a_value_that_goes_with_some_others_is_taken():
    check_space(parse_space({"prior": {"choice": [None, "vamp"]}, "prior_components": {"integers": [5, 9]}}), {})
    configs, refused = configured(SMALL, [{"prior": "vamp", "prior_components": 5}, {"prior_components": 6}])
    assert configs[0].model.prior_components == 5
    assert list(refused) == [1]
    assert "`prior_components`" in refused[1]
    with pytest.raises(ValueError, match="`prior_components`"):
        configured(SMALL, [{"prior_components": 6}])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"objective": "miwae", "num_samples": 5, "num_groups": 7}, "num_groups"),
        ({"backward_samples": 60}, "backward_samples"),
        ({"objective": "elbo", "estimator": "rws"}, "estimator"),
        ({"batch_size": 5000}, "batch_size"),
    ],
)
def test_what_no_trial_can_be_built_with_leaves_no_tuning(options, said, tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "processes", lambda *_: pytest.fail("it trained"))
    space = parse_space({"learning_rate": {"uniform": [1e-3, 1e-2]}})
    with pytest.raises(ValueError, match=f"`{said}`"):
        tuning.tune(space, {**SMALL, **options}, tmp_path / "out", trials=2)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_one_trial_that_can_be_built_is_enough():
    configs, _ = configured(SMALL, [{"backward_samples": 60}, {"backward_samples": 2}])
    check_built(configs)


def test_draws_are_of_the_seed_the_number_and_the_setting():
    space = parse_space(SPACE)
    drawn = draw_trials(space, 60, seed=3)
    assert draw_trials(space, 20, seed=3) == drawn[:20]
    assert draw_trials(dict(reversed(space.items())), 60, seed=3) == drawn
    without = draw_trials({name: domain for name, domain in space.items() if name != "prior"}, 60, seed=3)
    assert [one["ema"] for one in without] == [one["ema"] for one in drawn]
    assert draw_trials(space, 1, seed=4) != drawn[:1]
    assert len({one["learning_rate"] for one in drawn}) == 60
    rates, sizes, emas = (np.array([one[name] for one in drawn]) for name in ("learning_rate", "latent_dim", "ema"))
    assert 1e-4 <= rates.min() < 1e-3 < 1e-2 < rates.max() <= 1e-1
    # Standard error of a mean of 60 draws: 0.87 / 60 ** 0.5.
    assert abs(np.log10(rates).mean() + 2.5) < 0.45
    assert sizes.dtype.kind == "i"
    assert (sizes.min(), sizes.max()) >= (2, 30)
    assert sizes.max() <= 40
    assert 0.9 <= emas.min() < emas.max() <= 0.99
    assert {one["prior"] for one in drawn} == {None, "mixture"}


def test_trials_beyond_count_are_refused_before_they_are_drawn():
    with pytest.raises(ValueError, match=r"`trials`\. Expected an integer from 1 to 10000\. Received: 2000000000"):
        draw_trials({"learning_rate": Domain("uniform", (0.1, 0.2))}, 2_000_000_000, 0)


def test_no_two_trials_are_the_same():
    space = parse_space({"latent_dim": {"integers": [2, 4]}, "prior": {"choice": [None, "mixture"]}})
    drawn = draw_trials(space, 6, seed=0)
    assert len({json.dumps(one) for one in drawn}) == 6
    with pytest.raises(ValueError, match=r"`trials`\. Expected at most 6"):
        draw_trials(space, 7, seed=0)
    with pytest.raises(ValueError, match="`trials`"):
        draw_trials(space, 0, seed=0)
    with pytest.raises(ValueError, match="`seed`"):
        draw_trials(space, 1, seed=-1)


def test_a_file_that_is_no_space_is_one_line(tmp_path):
    (tmp_path / "broken.json").write_text('{"ema": ')
    (tmp_path / "twice.json").write_text('{"ema": {"choice": [0.9]}, "ema": {"choice": [0.99]}}')
    (tmp_path / "good.json").write_text(json.dumps(SPACE))
    assert "broken.json" in error_line("tune", "broken.json", cwd=tmp_path)
    assert "'ema' twice" in error_line("tune", "twice.json", cwd=tmp_path)
    assert "nowhere.json" in error_line("tune", "nowhere.json", cwd=tmp_path)
    both = error_line("tune", "good.json", "--dataset", "digits", "--ema", 0.9, cwd=tmp_path)
    assert "`ema`. Expected it in the space or as a setting" in both
    assert "`trials`" in error_line("tune", "good.json", "--dataset", "digits", "--trials", 0, cwd=tmp_path)
    assert "mnits" in error_line("tune", "good.json", "--dataset", "mnits", cwd=tmp_path)
    assert read_space(tmp_path / "good.json")["ema"] == Domain("uniform", (0.9, 0.99))
    assert len(list(tmp_path.iterdir())) == 3


def test_without_ray_it_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "space.json").write_text(json.dumps(SPACE))
    for name in ("ray", "ray.tune"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            assert "pip install 'keras-iwae[tune]'" in error_line(
                "tune", "space.json", "--dataset", "digits", cwd=tmp_path
            )
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_of_another_tuning_is_refused(tmp_path):
    space = parse_space({"ema": {"uniform": [0.9, 0.99]}})

    def asked(trials=3, space=space, **other):
        drawn = draw_trials(space, trials, seed=0)
        begin(tmp_path / "out", space, drawn, configured({**SMALL, **other}, drawn)[0])

    asked()
    asked()
    asked(4)
    for other, said in (
        ({"trials": 3}, "`trials`. Expected at least 4"),
        ({"learning_rate": 0.5}, "`out`.*where learning_rate is 0.001 and not 0.5"),
        ({"epochs": 3}, "`out`.*where epochs is 20 and not 3"),
        ({"space": parse_space({"ema": {"uniform": [0.9, 0.95]}})}, "`out`.*with another space"),
    ):
        with pytest.raises(ValueError, match=said):
            asked(**{"trials": 4, **other})
    inputs = runs.read_json(tmp_path / "out" / "inputs.json")
    inputs["data"]["train"]["sha256"] = "0" * 64
    write_json(tmp_path / "out" / "inputs.json", inputs)
    with pytest.raises(ValueError, match=r"`dataset`\. Expected what was there"):
        asked(4)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"`out`.*with other files"):
        begin(tmp_path, space, draw_trials(space, 1, 0), configured(SMALL, [{"ema": 0.9}])[0])


def reports(scheduler, trial, *bounds):
    """What a scheduler decides for a trial that reports these after its first epochs."""
    of = SimpleNamespace(config={"trial": trial})
    return [
        scheduler.on_trial_result(None, of, {"epoch": epoch, "val_bound": bound})
        for epoch, bound in enumerate(bounds, start=1)
    ]


def test_trials_behind_are_stopped_and_a_new_start_knows_what_was_decided(tmp_path):
    pytest.importorskip("ray.tune")
    scheduler = _halving(Journal(tmp_path), epochs=9)
    assert reports(scheduler, 0, -10.0) == ["CONTINUE"]
    assert reports(scheduler, 1, -20.0) == ["STOP"]
    assert reports(scheduler, 2, -5.0, -4.0, -3.0) == ["CONTINUE"] * 3
    # Behind the other after three epochs; of the first it was asked already.
    assert reports(scheduler, 0, -10.0, -9.0, -8.0) == ["CONTINUE", "CONTINUE", "STOP"]
    again = Journal(tmp_path)
    assert [again.state(trial, 9) for trial in range(4)] == ["begun" if n in (2, 3) else "stopped" for n in range(4)]
    restarted = _halving(again, epochs=9)
    # By what came before the new start, too, and never by what a trial has reported already.
    assert reports(restarted, 3, -9.0) == ["STOP"]
    assert reports(restarted, 2, *[-30.0] * 3, *[-2.0] * 6) == ["CONTINUE"] * 9
    assert Journal(tmp_path).state(2, 9) == "trained"
    assert [row["val_bound"] for row in Journal(tmp_path).of(2)] == [-5.0, -4.0, -3.0, *[-2.0] * 6]
    # The last epoch is nothing to be stopped before.
    assert reports(_halving(Journal(tmp_path), epochs=9), 4, *[-1.0] * 8, -99.0)[-1] == "CONTINUE"


def test_a_trial_that_fails_is_not_tried_again_and_one_without_room_is(tmp_path):
    pytest.importorskip("ray.tune")
    scheduler = _halving(Journal(tmp_path), epochs=9)
    first, second = (SimpleNamespace(config={"trial": number}) for number in (0, 1))
    scheduler.on_trial_result(None, first, {"failed": "a loss that is not finite"})
    for times in range(4):
        assert Journal(tmp_path).state(1, 9) == "begun", times
        scheduler.on_trial_error(None, second)
    journal = Journal(tmp_path)
    assert [journal.state(number, 9) for number in (0, 1)] == ["failed", "failed"]
    assert "4 times" in trial_row(journal, 1, {"ema": 0.9}, 9)["why"]
    journal.forgive()
    assert [Journal(tmp_path).state(number, 9) for number in (0, 1)] == ["failed", "begun"]


def test_the_table_has_the_longest_trained_first_and_its_picture_shows_all(tmp_path):
    journal = Journal(tmp_path)
    settings = [{"hidden": [8, n], "prior": prior} for n, prior in enumerate([None, "mixture", None, "a|b"])]
    for epoch in (1, 2):
        journal.report(0, epoch, -9.0 - epoch, stopped=False)
        journal.report(1, epoch, -12.0 + epoch, stopped=False)
    journal.report(2, 1, -1.0, stopped=True)
    journal.fail(3, "no a|b")
    rows = ranked([trial_row(journal, number, one, 2) for number, one in enumerate(settings)])
    assert [row["trial"] for row in rows] == [1, 0, 2, 3]
    assert [row["state"] for row in rows] == ["trained", "trained", "stopped", "failed"]
    # After the last epoch, and not on the way there.
    assert (rows[1]["bound"], rows[1]["best_bound"]) == (-11.0, -10.0)
    table = trials_table(rows).splitlines()
    assert table[2] == "| 1 | [8, 1] | mixture | 2 | -10.00 | -10.00 | trained |"
    assert table[-1] == "| 3 | [8, 3] | a|b | 0 | - | - | failed: no a\\|b |"
    write_csv(tmp_path / "rows.csv", rows)
    assert (tmp_path / "rows.csv").read_text().splitlines()[1] == '1,"[8, 1]",mixture,2,-10.0,-10.0,trained,'
    picture = tuning._chart(journal, rows)
    assert len(picture.axes) == 3
    charts.save(tmp_path / "tune.png", picture)
    assert imread(tmp_path / "tune.png").std() > 0.05
    # One trial alone, and one that is far below.
    for curves in ({0: [-5.0]}, {0: [-5.0, -4.0], 1: [-5.1, -4.2], 2: [-1e6]}):
        figure = trial_charts.trials_chart(curves, {"ema": dict.fromkeys(curves, 0.9)}, [0], 0)
        low, high = figure.axes[0].get_ylim()
        assert low < max(values[-1] for values in curves.values()) < high
        assert high - low < 1.0


def written_run(path, config, epochs):
    """A folder that says of itself that a run of this configuration was trained for so many epochs."""
    write_json(path / "config.json", dataclasses.asdict(config.replaced(epochs=max(epochs, config.run.epochs))))
    runs.write_history(path, [{"epoch": epoch + 1, "seconds": 1.0} for epoch in range(epochs)])
    write_json(path / "metrics.json", {"training": {"epoch": epochs}})


def test_a_best_run_that_was_worked_on_is_kept(tmp_path):
    first, second = (experiments.ExperimentConfig.of(**SMALL, epochs=2, learning_rate=rate) for rate in (0.1, 0.2))
    for number, config in enumerate((first, second)):
        written_run(tmp_path / "trials" / str(number), config, 2)
    of = {"trial": 0, "state": "trained", "epochs": 2}
    assert tuning._finish(tmp_path, of, first) == "trained for all 2 epochs as a trial"
    written_run(tmp_path / "best", first, 5)
    (tmp_path / "best" / "serving").mkdir()
    assert tuning._finish(tmp_path, of, first) == "trained for all 2 epochs as a trial, and then on to 5"
    assert (tmp_path / "best" / "serving").is_dir()
    # Another trial is the best by now.
    for _ in range(2):
        assert tuning._finish(tmp_path, {**of, "trial": 1}, second) == "trained for all 2 epochs as a trial"
    assert settings_of(tmp_path / "best")["learning_rate"] == 0.2
    assert (tmp_path / "best-before-1" / "serving").is_dir()
    assert len(runs.read_history(tmp_path / "best-before-1")) == 5
    tuning._finish(tmp_path, of, first)
    assert settings_of(tmp_path / "best-before-2")["learning_rate"] == 0.2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "best-before-1", "best-before-2", "trials"]


def test_a_best_run_stays_where_another_cannot_be_copied(tmp_path, monkeypatch):
    first, second = (experiments.ExperimentConfig.of(**SMALL, epochs=2, learning_rate=rate) for rate in (0.1, 0.2))
    written_run(tmp_path / "best", first, 2)
    written_run(tmp_path / "trials" / "1", second, 2)

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(tuning.shutil, "copytree", full)
    with pytest.raises(OSError, match="no space left"):
        tuning._finish(tmp_path, {"trial": 1, "state": "trained", "epochs": 2}, second)
    assert len(runs.read_history(tmp_path / "best")) == 2


def test_a_trial_that_was_trained_on_has_ended(tmp_path):
    config = experiments.ExperimentConfig.of(**SMALL, epochs=2)
    written_run(tmp_path / "trials" / "0", config, 5)
    journal = Journal(tmp_path)
    for epoch in (1, 2):
        journal.report(0, epoch, -9.0, stopped=False)
    assert tuning._has_ended(tmp_path, journal, 0, config)


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_the_best_of_trials_that_were_all_stopped_is_trained_to_its_end(tmp_path):
    config = experiments.ExperimentConfig.of(**SMALL, epochs=2)
    run = tmp_path / "trials" / "0"
    experiments.train(config.replaced(epochs=1), run)
    stored = runs.read_json(run / "config.json")
    write_json(run / "config.json", {**stored, "run": {**stored["run"], "epochs": 2}})
    said = tuning._finish(tmp_path, {"trial": 0, "state": "stopped", "epochs": 1}, config)
    assert said == "stopped after 1 epochs as no trial came to the end, and then trained for all 2 epochs"
    assert len(runs.read_history(tmp_path / "best")) == 2
    assert len(runs.read_history(run)) == 1
    written = os.stat(tmp_path / "best" / "model.keras").st_mtime_ns
    assert tuning._finish(tmp_path, {"trial": 0, "state": "stopped", "epochs": 1}, config) == said
    assert os.stat(tmp_path / "best" / "model.keras").st_mtime_ns == written


def descendants(process):
    """Numbers and command lines of the processes that a process started, and these."""
    parents, lines = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            number = int(folder.name)
            parents[number] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            lines[number] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    found, new = {}, {process}
    while new:
        new = {number for number, parent in parents.items() if parent in new} - set(found)
        found |= {number: lines[number] for number in new}
    return found


def until(true, seconds=300.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_killed_and_stopped_it_ends_with_the_numbers_of_runs_that_were_not(tmp_path, as_here, monkeypatch):
    pytest.importorskip("ray.tune")
    space = {"learning_rate": {"choice": [0.01, 0.003, 0.001, 1e30]}}
    (tmp_path / "space.json").write_text(json.dumps(space))
    words = ["space.json", "--dataset", "digits", "--hidden", 8, "--batch-size", 20, "--num-samples", 5, "--epochs", 6]
    words += ["--latent-dim", 3, "--trials", 4, "--workers", 2, "--eval-k", 50, "--limit", 60, "--out", "out"]
    command = [sys.executable, str(SCRIPTS / "tune.py"), *map(str, words)]
    started = {"cwd": tmp_path, "env": as_here, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    out = tmp_path / "out"
    with subprocess.Popen(command, **started, start_new_session=True) as process:
        until(lambda: (out / "reports.csv").exists())
        inside = descendants(process.pid)
        (victim, *_) = (number for number, line in inside.items() if "ray::ImplicitFunc" in line)
        os.kill(victim, signal.SIGKILL)
        rows = len(Journal(out).rows)
        until(lambda: len(Journal(out).rows) > rows + 2)
        # As a terminal sends it, to Ray's processes too.
        os.killpg(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.strip() == "tune.py: stopped; the same command goes on from the last whole epochs"
    until(lambda: not any(Path(f"/proc/{number}").exists() for number in inside))
    before = Journal(out)
    ended = subprocess.run(command, **{**started, "timeout": 400})
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert Journal(out).rows[: len(before.rows)] == before.rows
    found = json.loads((out / "results.json").read_text())
    rows, best = found["trials"], found["best"]
    assert len(rows) == 4
    assert {row["state"] for row in rows if row["settings"]["learning_rate"] < 1.0} <= {"trained", "stopped"}
    (failed,) = (row for row in rows if row["settings"]["learning_rate"] > 1.0)
    assert failed["state"] == "failed"
    assert failed["why"].endswith("bound is not finite")
    assert rows[0]["state"] == "trained"
    assert rows[0]["trial"] == best["trial"]
    assert rows[0]["epochs"] == 6
    assert (out / "results.md").read_text().strip() in ended.stdout
    assert not (out / "ray").exists()
    assert imread(out / "tune.png").std() > 0.05
    for row in rows:
        history = runs.read_history(out / "trials" / str(row["trial"]))
        assert len(history) == row["epochs"]
        assert (out / "trials" / f"{row['trial']}.log").read_text().startswith("Epoch 1/6")
    # What a run that was left alone has.
    for name, value in as_here.items():
        monkeypatch.setenv(name, value)
    config = experiments.ExperimentConfig.from_dict(runs.read_json(out / "best" / "config.json"))
    assert config.settings["learning_rate"] == rows[0]["settings"]["learning_rate"]
    alone = experiments.train(config, tmp_path / "alone")
    assert [row["val_bound"] for row in runs.read_history(out / "best")] == pytest.approx(
        [row["val_bound"] for row in runs.read_history(alone)], abs=1e-3
    )
    _, record = experiments.evaluate(alone, 50, limit=60, verbose=False)
    assert best["nll"] == pytest.approx(record["nll"], abs=1e-3)
    assert runs.read_metrics(out / "best")["nll_test"]["nll"] == best["nll"]
