"""One process at a time at work in a folder: the second is refused, and a killed one leaves nothing behind."""

import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest

from keras_iwae import experiments
from keras_iwae.experiments import trial_processes, tuning
from keras_iwae.experiments.search_space import parse_space
from keras_iwae.foundation import held_folder, locks
from keras_iwae.training import runs

HOLDING = """
import sys
from pathlib import Path
from keras_iwae.foundation import held_folder
with held_folder(Path(sys.argv[1]), "out"):
    print("held", flush=True)
    sys.stdin.read()
"""
REFUSED = "`out`. Expected a folder in which no other process is at work"


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(locks, "_PATIENCE", 0.2)


def holding(folder) -> subprocess.Popen:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", HOLDING, str(folder)], **pipes)
    assert process.stdout.readline() == b"held\n"
    return process


@pytest.mark.long
def test_another_process_is_refused_and_a_killed_one_lets_go(tmp_path, impatient):
    process = holding(tmp_path)
    try:
        with pytest.raises(ValueError, match=REFUSED), held_folder(tmp_path, "out"):
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    with held_folder(tmp_path, "out"):
        assert not [*tmp_path.iterdir()]


def test_who_lets_go_in_time_is_waited_for(tmp_path, monkeypatch):
    held = held_folder(tmp_path, "out")
    held.__enter__()
    let_go = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: held.__exit__(None, None, None))
    monkeypatch.setattr(locks, "time", let_go)
    with held_folder(tmp_path, "out"):
        pass


def test_records_of_evaluations_that_end_at_one_time_are_all_kept(tmp_path, monkeypatch):
    # What a killed process leaves is no hindrance.
    tmp_path.joinpath(".metrics.json.lock").touch()
    read = runs.read_metrics

    def read_slowly(run):
        found = read(run)
        time.sleep(0.02)
        return found

    monkeypatch.setattr(runs, "read_metrics", read_slowly)
    threads = [Thread(target=runs.update_metrics, args=(tmp_path, {f"nll_{i}": {"nll": 1.0}})) for i in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(read(tmp_path)) == [f"nll_{i}" for i in range(4)]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_a_run_that_is_being_trained_is_not_gone_on_with(tmp_path, impatient):
    config = experiments.ExperimentConfig.of(dataset="digits")
    runs.create(tmp_path, asdict(config))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with held_folder(tmp_path, "out"), pytest.raises(ValueError, match=REFUSED):
        experiments.resume(tmp_path, epochs=3)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["0", "0.log"])
def test_a_trial_waits_for_who_is_at_work_in_it(name, tmp_path, monkeypatch):
    """A process of a start before has the log, and somebody who trains the run has that; neither is a failure."""
    run = tmp_path / "trials" / "0"
    runs.create(run, {})
    run.with_name("0.log").touch()
    held, waited, said = held_folder(run.with_name(name), "out"), [], []
    held.__enter__()

    def let_go(_):
        waited.append(name)
        held.__exit__(None, None, None)

    def resume(run, callbacks):
        assert waited == [name]
        said.append("resumed")

    seconds = iter([0.0, 1e6])
    monkeypatch.setattr(locks, "time", SimpleNamespace(monotonic=lambda: next(seconds, 2e6), sleep=let_go))
    monkeypatch.setattr(trial_processes, "resume", resume)
    trial_processes._trained(tmp_path, 0, None, Path.cwd(), said.append)
    assert said == ["resumed"]


@pytest.mark.slow
def test_a_tuning_that_is_under_way_is_not_begun_beside_itself(tmp_path, impatient, monkeypatch):
    monkeypatch.setattr(tuning, "_train", lambda *_: pytest.fail("it trained"))
    tmp_path.joinpath("out").mkdir()
    space = parse_space({"learning_rate": {"uniform": [1e-3, 1e-2]}})
    with held_folder(tmp_path / "out", "out"), pytest.raises(ValueError, match=REFUSED):
        tuning.tune(space, {"dataset": "digits", "epochs": 1}, tmp_path / "out", trials=2)
    # What it would have written is not the other one's.
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.slow
def test_a_tuning_that_is_refused_leaves_no_folder(tmp_path, monkeypatch):
    def refused(*_):
        raise ValueError("refused")

    monkeypatch.setattr(tuning, "begin", refused)
    space = parse_space({"learning_rate": {"uniform": [1e-3, 1e-2]}})
    with pytest.raises(ValueError, match="refused"):
        tuning.tune(space, {"dataset": "digits", "epochs": 1}, tmp_path / "of" / "out", trials=2)
    assert not list(tmp_path.iterdir())
