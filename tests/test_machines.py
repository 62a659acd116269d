"""Several processes that train together give what one does, and go on after a kill as if nothing had been."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_iwae import IWAE, load
from keras_iwae.experiments import ExperimentConfig, train
from keras_iwae.experiments.many_rows import reproduce_rows
from keras_iwae.experiments.reproduction import reproduce
from keras_iwae.experiments.sweep import sweep
from keras_iwae.training import fit_over_machines, machines, number_of_machines, over_machines, waiting

HERE = Path(__file__).parent
TRAIN = HERE.parent / "scripts" / "train.py"
CASES = "iwae, ema", "weights", "resampled, warm-up", "vimco, binary", "rws, mixture", "adversarial"
SETTINGS = {"dataset": "digits", "hidden": 9, "latent-dim": 2, "num-samples": 3, "batch-size": 70, "ema": 0.9}
RUN = [word for name, value in SETTINGS.items() for word in (f"--{name}", str(value))]


def _ports(count: int) -> list[int]:
    """Free ones, all different."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _together(
    folder: Path, count: int, *words: str | Path, own: Sequence[str] = (), within: Mapping[str, str] = os.environ
) -> list[subprocess.Popen]:
    """A process for each of so many workers, all with the same command, which may end in a word of each one's own."""
    workers = [f"127.0.0.1:{port}" for port in _ports(count)]
    processes = []
    for index in range(count):
        place = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        environment = {**within, "TF_CONFIG": json.dumps(place), "CUDA_VISIBLE_DEVICES": ""}
        with open(folder / f"log{index}", "w") as log, open(folder / f"out{index}", "w") as out:
            given = [sys.executable, *words, *own[index : index + 1]]
            processes.append(subprocess.Popen(given, cwd=folder, env=environment, stdout=out, stderr=log))
    return processes


def _ended(folder: Path, processes: list[subprocess.Popen]) -> list[str]:
    """Wait for all; what each has written to stderr, the last line."""
    for each in processes:
        each.wait(timeout=900)
    logs = [(folder / f"log{index}").read_text().splitlines() for index in range(len(processes))]
    return [lines[-1] for lines in logs]


@pytest.fixture(scope="module")
def of_three(tmp_path_factory, as_here):
    folder = tmp_path_factory.mktemp("three")
    processes = _together(folder, 3, HERE / "machine_fits.py", within=as_here)
    said = _ended(folder, processes)
    assert [each.returncode for each in processes] == [0, 0, 0], said
    found = [json.loads((folder / f"out{index}").read_text().splitlines()[-1]) for index in range(3)]
    return found


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_three_processes_give_what_one_does(of_three, case):
    assert len({of_one[case]["digest"] for of_one in of_three}) == 1
    found = of_three[0][case]
    # Of sums in another order; nats are of the order of 4.
    assert max(found["weights"], found["optimizer"], found["history"]) < 2e-5, found
    assert found["moved"] > 0.01


@pytest.mark.long
def test_what_stops_one_stops_all(of_three):
    assert [of_one["epochs"] for of_one in of_three] == [1, 1, 1]


@pytest.mark.long
def test_steps_are_traced_once_for_batches_of_any_size_and_as_they_are_written(of_three):
    assert [of_one["files"] for of_one in of_three] == 3 * [["machine_fits.py"]]


@pytest.mark.long
def test_samples_of_a_fit_end_with_it(of_three):
    assert [of_one["samples"] for of_one in of_three] == [4, 4, 4]


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fit", "call of `fit`. Expected training.fit_over_machines"),
        ("evaluate", "call of `evaluate`. Expected evaluate of the saved model"),
        ("predict", "call of `predict`. Expected predict of the saved model"),
        ("train_on_batch", "call of `train_on_batch`. Expected `fit` under a strategy of several replicas"),
        ("model", "`model`. Expected one that was made in machines.scope()"),
        ("machines", "`machines`. Expected what over_machines() gives beside TF_CONFIG"),
        ("training", "`training`. Expected a tf.data.Dataset of batches whose number is known"),
        ("validation", "`validation`. Expected a tf.data.Dataset of batches whose number is known"),
        ("values", "`training`. Expected values in [0, 1]"),
        ("finite", "Training stopped in epoch 1, at its end: "),
        ("weight", "`training: weights`. Expected"),
        ("held out", "`validation: weights`. Expected"),
        ("settings", "`settings`. Expected the same in all 3 processes of TF_CONFIG"),
    ],
)
def test_what_fails_over_machines_is_refused(of_three, name, said):
    assert all(said in of_one["refused"][name] for of_one in of_three)


def test_what_a_loop_over_machines_cannot_do_is_refused_at_once():
    """By one process as by several."""
    alone = machines.Machines(tf.distribute.get_strategy(), 0, 1)
    model, batches = IWAE(6, latent_dim=1, hidden=(3,)), tf.data.Dataset.from_tensors(tf.zeros([2, 6]))
    for given, said in (
        ({"initial_epoch": "0"}, "`initial_epoch`. Expected an integer of at least 0. Received: '0'"),
        ({"initial_epoch": 0.0}, "`initial_epoch`. Expected an integer of at least 0. Received: 0.0"),
        ({"initial_epoch": -2}, "`initial_epoch`. Expected an integer of at least 0. Received: -2"),
        ({"initial_epoch": 2}, "`initial_epoch`. Expected at most epochs = 1"),
        ({"epochs": 0}, "`epochs`. Expected an integer of at least 1. Received: 0"),
        ({"verbose": 7}, "`verbose`. Expected an integer from 0 to 2. Received: 7"),
        ({"verbose": "auto"}, "`verbose`. Expected an integer from 0 to 2. Received: 'auto'"),
        ({"model": "m"}, "`model`. Expected an IWAE or an AVB. Received: a str"),
        ({}, "`model`. Expected one that was compiled."),
    ):
        with pytest.raises(ValueError, match=re.escape(said)):
            fit_over_machines(
                alone, **{"model": model, "training": batches, "validation": batches, "epochs": 1, **given}
            )


def _states(run: Path) -> list[np.ndarray]:
    model = load(run)
    return [np.asarray(each) for each in (*model.get_weights(), *model.optimizer.variables)]


def _ended_after_an_epoch(
    folder: Path, processes: list[subprocess.Popen], killed: int, sent: int = signal.SIGKILL
) -> None:
    """End one of two when the run has an epoch more than now: the other ends with a sentence."""
    file = folder / "run" / "history.csv"
    wanted, deadline = (_epochs(file) if file.exists() else 0) + 1, time.monotonic() + 200
    while (not file.exists() or _epochs(file) < wanted) and time.monotonic() < deadline:
        time.sleep(0.05)
    processes[killed].send_signal(sent)
    said = _ended(folder, processes)
    assert [each.returncode for each in processes] == [-sent if i == killed else 2 for i in range(2)]
    assert "Expected all processes of TF_CONFIG to go on. Received: one that ended" in said[1 - killed]


@pytest.mark.long
def test_a_run_whose_workers_are_killed_goes_on_bit_for_bit(tmp_path):
    run, whole = tmp_path / "run", tmp_path / "whole"
    processes = _together(tmp_path, 2, TRAIN, *RUN, "--epochs", "1000", "--out", run)
    _ended_after_an_epoch(tmp_path, processes, 1)
    processes = _together(tmp_path, 2, TRAIN, "--resume", "--out", run)
    _ended_after_an_epoch(tmp_path, processes, 0)
    epochs = _epochs(run / "history.csv") + 1
    processes = _together(tmp_path, 2, TRAIN, "--resume", "--epochs", str(epochs), "--out", run)
    assert all("waiting" in said for said in _ended(tmp_path, processes))
    assert [each.returncode for each in processes] == [0, 0]
    processes = _together(tmp_path, 2, TRAIN, *RUN, "--epochs", str(epochs), "--out", whole)
    assert all("waiting" in said for said in _ended(tmp_path, processes))
    assert [each.returncode for each in processes] == [0, 0]
    assert _epochs(run / "history.csv") == _epochs(whole / "history.csv") == epochs
    for one, other in zip(_states(run), _states(whole), strict=True):
        np.testing.assert_array_equal(one, other)
    # And those of one process, but for sums in another order.
    settings = {name.replace("-", "_"): value for name, value in SETTINGS.items()}
    config = ExperimentConfig.of(**{**settings, "hidden": (9,)}, epochs=epochs)
    for one, other in zip(_states(run), _states(train(config, tmp_path / "alone")), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def _epochs(history: Path) -> int:
    return len(history.read_text().splitlines()) - 1


@pytest.mark.long
def test_processes_that_are_asked_for_different_things_say_so(tmp_path):
    words = TRAIN, *RUN, "--out", tmp_path / "run", "--epochs"
    processes = _together(tmp_path, 2, *words, own=("2", "3"))
    for said in _ended(tmp_path, processes):
        assert "`epochs`. Expected the same in all 2 processes of TF_CONFIG" in said
    assert [each.returncode for each in processes] == [2, 2]
    assert not (tmp_path / "run").exists()


@pytest.mark.long
def test_a_process_whose_others_do_not_come_says_so_and_is_ended_by_any_signal(tmp_path):
    signals, started = [signal.SIGTERM, signal.SIGINT], []
    try:
        for index, number in enumerate(signals):
            addresses = [f"127.0.0.1:{port}" for port in _ports(2)]
            place = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            environment = {**os.environ, "TF_CONFIG": json.dumps(place), "CUDA_VISIBLE_DEVICES": ""}
            given = [sys.executable, TRAIN, *RUN, "--epochs", "1", "--out", tmp_path / number.name]
            started.append(subprocess.Popen(given, env=environment, stderr=subprocess.PIPE, text=True))
        for process in started:
            assert "waiting until all 2 processes of TF_CONFIG are there" in process.stderr.readline()
        for process, number, status in zip(started, signals, (-signal.SIGTERM, 130), strict=True):
            process.send_signal(number)
            assert process.wait(timeout=30) == status
    finally:
        for process in started:
            process.kill()


def test_a_wait_names_the_addresses_that_do_not_answer(monkeypatch, capsys):
    monkeypatch.setattr(waiting, "_SECONDS_BETWEEN", 0.0)
    own, late, there = (f"127.0.0.1:{port}" for port in _ports(3))

    def begin(address):
        return socket.create_server(("127.0.0.1", int(address.rpartition(":")[2])))

    with begin(there), contextlib.ExitStack() as later:
        # After the first look round the last one begins.
        monkeypatch.setattr(waiting.time, "sleep", lambda _: later.enter_context(begin(late)))
        waiting.wait_for_all(1, [there, own, late])
    assert capsys.readouterr().err.splitlines() == [
        "waiting until all 3 processes of TF_CONFIG are there",
        f"still waiting: nothing answers at {late}",
    ]
    with begin(own), pytest.raises(OSError, match=rf"to be free.*Received: {own}, the one of this process, which"):
        waiting.wait_for_all(0, [own, there])


def test_a_wait_answers_more_processes_than_the_system_has_waiting(monkeypatch):
    own, late = (f"127.0.0.1:{port}" for port in _ports(2))
    with contextlib.ExitStack() as later:
        rounds = iter(range(4))

        def ask(_):
            for _ in range(100):
                socket.create_connection(("127.0.0.1", int(own.rpartition(":")[2])), timeout=1.0).close()
            if next(rounds) == 3:
                later.enter_context(socket.create_server(("127.0.0.1", int(late.rpartition(":")[2]))))

        monkeypatch.setattr(waiting.time, "sleep", ask)
        waiting.wait_for_all(0, [own, late])


def test_an_error_of_a_server_is_said_in_a_few_words(monkeypatch):
    error = tf.errors.UnavailableError(None, None, "Barrier failed. " + "Additional GRPC error information. " * 40)
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": WORKERS, "task": {"type": "worker", "index": 1}}))

    def fails():
        raise error

    monkeypatch.setattr(machines, "wait_for_all", lambda *_: None)
    monkeypatch.setattr(machines, "_has_begun", lambda: False)
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", fails)
    with pytest.raises(OSError, match=r"to be reached\. Received: Barrier failed\.") as refused:
        machines.over_machines()
    assert len(str(refused.value)) < 300


@pytest.mark.long
def test_a_process_that_trains_is_ended_by_sigterm(tmp_path):
    run = tmp_path / "run"
    processes = _together(tmp_path, 2, TRAIN, *RUN, "--epochs", "1000", "--out", run)
    _ended_after_an_epoch(tmp_path, processes, 1, signal.SIGTERM)


WORKERS = {"worker": ["a:1", "b:1"]}


@pytest.mark.parametrize(
    ("place", "machines"),
    [
        ("", 1),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}', 1),
        (json.dumps({"cluster": WORKERS, "task": {"type": "worker", "index": 1}}), 2),
        (json.dumps({"cluster": {**WORKERS, "chief": ["c:1"]}, "task": {"type": "chief", "index": 0}}), 3),
        ("{", None),
        ("[]", None),
        ('{"cluster": {"worker": 2}}', None),
        (json.dumps({"cluster": WORKERS, "task": {"type": "worker", "index": 2}}), None),
        (json.dumps({"cluster": WORKERS, "task": {"type": "worker"}}), None),
        (json.dumps({"cluster": WORKERS, "task": {"type": "chief", "index": 0}}), None),
        (json.dumps({"cluster": WORKERS}), None),
        (json.dumps({"cluster": WORKERS, "task": {"type": "worker", "index": True}}), None),
        ('{"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}', None),
        ('{"cluster": {"worker": ["a:1", "b:65536"]}, "task": {"type": "worker", "index": 0}}', None),
        ('{"cluster": {"worker": ["a", "b"]}, "task": {"type": "worker", "index": 0}}', None),
        ('{"cluster": {"worker": "ab"}, "task": {"type": "worker", "index": 0}}', None),
        (json.dumps({"cluster": {**WORKERS, "ps": ["p:1"]}, "task": {"type": "ps", "index": 0}}), None),
    ],
)
def test_machines_are_those_of_tf_config(monkeypatch, place, machines):
    monkeypatch.setenv("TF_CONFIG", place)
    if machines is None:
        with pytest.raises(ValueError, match=r"`TF_CONFIG`\. Expected \{\"cluster\": .* Received: "):
            number_of_machines()
    else:
        assert number_of_machines() == machines
        assert machines > 1 or over_machines() is None


def test_what_has_no_effect_over_machines_is_refused_before_they_are_waited_for(monkeypatch, tmp_path):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": WORKERS, "task": {"type": "worker", "index": 0}}))
    config = ExperimentConfig.of(dataset="digits", epochs=1)
    with pytest.raises(ValueError, match=r"`out`\. Expected a folder that all processes of TF_CONFIG see"):
        train(config)
    with pytest.raises(ValueError, match=r"`devices`\. Expected 1 beside TF_CONFIG"):
        train(config, tmp_path / "run", devices=2)
    with pytest.raises(ValueError, match=r"`TF_CONFIG`\. Expected to be asked for before anything else of TensorFlow"):
        train(config, tmp_path / "run")
    for call in (
        lambda: sweep(config, [1], tmp_path / "run"),
        lambda: reproduce("digits-iwae-k50-l1-fast", tmp_path / "run"),
        lambda: reproduce_rows(["digits-iwae-k50-l1-fast"], tmp_path / "run"),
    ):
        with pytest.raises(ValueError, match=r"`TF_CONFIG`\. Expected none but for `train`"):
            call()
    assert not (tmp_path / "run").exists()
