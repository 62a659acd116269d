"""Many runs as jobs of processes: the numbers of one process, after a death, Ctrl-C and beside an error too."""

import contextlib
import fcntl
import functools
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from test_scripts import call
from test_sweeping import CONFIG

from keras_iwae.experiments import many_rows, row_states, sweep
from keras_iwae.experiments.jobs import Job, Jobs, job_processes
from keras_iwae.experiments.many_rows import reproduce_rows
from keras_iwae.experiments.paper_table import ROWS, find_row
from keras_iwae.experiments.reproduction import Asked
from keras_iwae.training import runs

pytestmark = pytest.mark.usefixtures("no_pictures")

HERE = Path(__file__).resolve().parent
SCRIPT = str(HERE.parent / "scripts" / "reproduce.py")
VAE, IWAE, THEN = "digits-vae-k1-l1-fast", "digits-iwae-k50-l1-fast", "digits-vae-k1-l1-then-iwae-k50-fast"


class Pretended:
    """A Ray in which the job that was begun last ends first, and which counts how many are begun at once."""

    class exceptions:
        class RayError(Exception):
            pass

        class RayTaskError(RayError):
            def __init__(self, cause):
                self.cause = cause

        class WorkerCrashedError(RayError):
            pass

    def __init__(self):
        self.begun, self.most, self.cancelled = [], 0, []

    def is_initialized(self):
        return True

    def cluster_resources(self):
        return {"CPU": 2.0}

    def remote(self, **_):
        return lambda function: type("Function", (), {"remote": staticmethod(self.begin)})

    def begin(self, job, folder):
        self.begun.append(job.name)
        return job

    def wait(self, running, num_returns):
        self.most = max(self.most, len(running))
        return running[-1:], running[:-1]

    def get(self, job):
        try:
            return job.task()
        except self.exceptions.RayError:
            raise
        except Exception as error:
            raise self.exceptions.RayTaskError(error) from error

    def cancel(self, job, force):
        self.cancelled.append(job.name)


def pretended(count=2):
    ray = Pretended()
    return ray, Jobs(ray, {"address": "local"}, count)


def job(name, task=lambda: None, after=()):
    return Job(name, task, Path(name), tuple(after))


def fails(error):
    raise error


def test_jobs_wait_for_what_they_come_after_and_no_more_are_begun_than_there_are_processes():
    ray, jobs = pretended()
    order = [ended.job.name for ended in jobs.run([job("a"), job("b", after="a"), job("c"), job("d", after="ab")])]
    assert order == ["c", "a", "b", "d"]
    assert ray.begun == ["a", "c", "b", "d"]
    assert ray.most == 2
    assert set(jobs.states.values()) == {"done"}


def test_an_error_leaves_the_others_alone_and_stops_what_comes_after():
    ray, jobs = pretended()
    made = [
        job("value", lambda: fails(ValueError("one\nline"))),
        job("bug", lambda: fails(KeyError("x"))),
        job("death", lambda: fails(ray.exceptions.WorkerCrashedError())),
        job("after", after=["value"]),
        job("later", after=["after"]),
        job("good", lambda: 7),
    ]
    found = {ended.job.name: (ended.result, ended.error) for ended in jobs.run(made)}
    assert found == {
        "value": (None, "one line"),
        "bug": (None, "KeyError: 'x'"),
        "death": (None, "4 processes died doing it"),
        "after": (None, "not begun, for it comes after value"),
        "later": (None, "not begun, for it comes after after"),
        "good": (7, None),
    }
    assert sorted(ray.begun) == ["bug", "death", "good", "value"]
    assert jobs.states == {name: "done" if name == "good" else "error" for name in found}


def test_what_stops_the_one_that_waits_stops_the_jobs(monkeypatch):
    ray, jobs = pretended()
    monkeypatch.setattr(ray, "wait", lambda *_, **__: fails(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        list(jobs.run([job("a"), job("b"), job("c")]))
    assert ray.cancelled == ["a", "b"]
    assert jobs.states == {"a": "running", "b": "running", "c": "waiting"}


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (["a"], "instances of Job. Received: 'a'"),
        ([job("a"), job("a")], "Received: those of 'a' twice"),
        ([job("a"), replace(job("b"), log=Path("a"))], "Received: those of 'b' twice"),
        ([job("b", after="a"), job("a")], r"what 'b' comes after to be before it\. Received: \('a',\)"),
    ],
)
def test_jobs_that_cannot_be_kept_apart_or_in_order_are_refused(made, said):
    with pytest.raises(ValueError, match=rf"`jobs`\. Expected .*{said}"):
        list(pretended()[1].run(made))


def test_none_is_this_process_and_bad_ones_are_refused_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with job_processes() as jobs:
        assert jobs is None
    with pytest.raises(ValueError, match=r"pip install 'keras-iwae\[ray\]'"), job_processes(1):
        pass
    with pytest.raises(ValueError, match=r"`workers`"), job_processes(0):
        pass


def test_what_is_no_address_is_refused():
    pytest.importorskip("ray")
    for address in ("localhost:9", 9):
        with pytest.raises(ValueError, match=r"`address`\. Expected ray://HOST:PORT"), job_processes(None, address):
            pass


def trained(row, root, asked, command):
    """What is there of a row after it was reproduced, as far as tables ask."""
    if row.starts_from:
        assert (root / "results" / f"{row.starts_from}.json").exists()
    nll = 25.0 + row.config.run.seed
    (root / row.name).mkdir(parents=True)
    runs.write_json(root / row.name / "config.json", {})
    history = {"epoch": 400, "seconds": 1.0}
    runs.write_history(root / row.name, [{**history, "epoch": passes + 1} for passes in range(400)])
    result = {"passes": 400, "num_samples": asked.num_samples, "limit": None, "complete": True, "command": command}
    runs.write_json(root / "results" / f"{row.name}.json", {**result, "nll_test": {"nll": nll}})


@pytest.mark.parametrize("by", ["one process", "jobs"])
def test_seeds_are_rows_of_their_own_with_what_they_start_from(by, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(many_rows, "reproduce_row", trained)
    ray, jobs = pretended()
    asked, words = Asked(num_samples=50), ["--k", "50"]
    reproduce_rows([THEN, IWAE], [0, 2, 5], tmp_path, asked, words, None if by == "one process" else jobs)
    printed = capsys.readouterr().out
    expected = {f"{name}{seed}" for name in (VAE, IWAE, THEN) for seed in ("", "-seed2", "-seed5")}
    assert {path.stem for path in (tmp_path / "results").iterdir()} == expected
    if by == "jobs":
        assert ray.begun[0] == IWAE
        assert all(ray.begun.index(f"{VAE}{seed}") < ray.begun.index(f"{THEN}{seed}") for seed in ("", "-seed2"))
    result = row_states.result_of(f"{THEN}-seed2", tmp_path)
    assert result["command"] == f"python scripts/reproduce.py --row {THEN}-seed2 --k 50"
    (spread, _) = (line for line in printed.splitlines() if "mean of 3 seeds" in line)
    assert re.search(r"27\.33   standard deviation 2\.52, 25\.00 to 30\.00; after 400 passes, K = 50$", spread)
    listed = call("reproduce", "--list", "--out", tmp_path, cwd=tmp_path).stdout.splitlines()
    place = next(i for i, line in enumerate(listed) if line.startswith(f"{IWAE} "))
    assert [line.split()[0] for line in listed[place : place + 3]] == [IWAE, f"{IWAE}-seed2", f"{IWAE}-seed5"]
    assert listed[place + 3] == spread
    # Judged otherwise, it is no third number of the same.
    other = {**row_states.result_of(f"{IWAE}-seed5", tmp_path), "num_samples": 9}
    runs.write_json(tmp_path / "results" / f"{IWAE}-seed5.json", other)
    rows = [ROWS[IWAE].seeded(seed) for seed in (0, 2, 5)]
    assert ["mean of 2 seeds" in line for line in row_states.over_seeds(rows, tmp_path)] == [True]


def test_a_row_that_cannot_be_read_leaves_the_others_alone(tmp_path, monkeypatch, capsys):
    def damaged(row, root, asked, command):
        trained(row, root, asked, command)
        if row.name == IWAE:
            (root / row.name / "history.csv").write_text("no numbers")
            runs.read_history(root / row.name)

    monkeypatch.setattr(many_rows, "reproduce_row", damaged)
    with pytest.raises(ValueError, match=rf"Expected 2 rows without errors\. Received: 1 with one, {IWAE}; see .*logs"):
        reproduce_rows([VAE, IWAE], None, tmp_path, jobs=pretended()[1])
    printed = capsys.readouterr().out
    assert re.search(rf"^{IWAE} +error: Expected rows of numbers", printed, re.M)
    assert re.search(rf"^{VAE} +25\.00   complete\n{IWAE} +error$", printed, re.M)


def test_a_seed_is_of_all_that_is_trained():
    row = find_row(f"{THEN}-seed3")
    assert row == ROWS[THEN].seeded(3)
    assert (row.config, row.starts_from) == (ROWS[THEN].config.replaced(seed=3), f"{VAE}-seed3")
    assert ROWS[THEN].seeded(0) is ROWS[THEN]
    for name in (f"{THEN}-seed0", f"{THEN}-seed03", f"{THEN}-seed1-seed2", "nothing-seed2"):
        with pytest.raises(ValueError, match=f"`row`.*{name}"):
            find_row(name)


def test_a_number_is_no_processes(tmp_path):
    for ask in (lambda: reproduce_rows([IWAE], jobs=2), lambda: sweep.sweep(CONFIG, [1], tmp_path, jobs=2)):
        with pytest.raises(ValueError, match=r"`jobs`\. Expected None, or what `with job_processes\(2\) as jobs:`"):
            ask()


@pytest.mark.parametrize(
    ("names", "seeds", "asked", "said"),
    [
        ([IWAE, VAE, IWAE], None, {}, f"`row`. Expected each row, with each seed, once. Received: {IWAE} twice"),
        ([IWAE], [1, 1], {}, f"{IWAE}-seed1 twice"),
        ([f"{IWAE}-seed2"], [1], {}, "`row`. Expected a name without a seed beside `seeds`"),
        ([IWAE], [-1], {}, "`seed`. Expected an integer from 0"),
        # The second row does not take it, and the first would be trained for days before.
        (["digits-iwae-k50-l1", IWAE], None, {"stages": 2}, "`stages`. Expected none"),
        (["lecture-vae", "lecture-ae"], None, {"num_samples": 9}, "`num_samples`. Expected none for 'lecture-ae'"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is(names, seeds, asked, said, tmp_path):
    with pytest.raises(ValueError, match=re.escape(said)):
        reproduce_rows(names, seeds, tmp_path, Asked(**asked))
    assert not list(tmp_path.iterdir())


def test_rows_of_the_paper_are_not_fast():
    rows = [row for row in ROWS.values() if row.published and row.recipe == "paper"]
    assert len(rows) == 29
    assert all(not row.name.endswith("-fast") for row in rows)


@pytest.mark.long
def test_a_sweep_by_jobs_has_the_numbers_of_one_in_turn(tmp_path, capsys):
    serial = sweep.sweep(CONFIG, [1, 2], tmp_path / "serial", 5, 20, verbose=False)
    ray, jobs = pretended()
    found = sweep.sweep(CONFIG, [1, 2], tmp_path / "jobs", 5, 20, False, jobs)
    assert ray.begun == ["K = 2", "K = 1"]
    for row in (*serial, *found):
        row.pop("seconds_per_epoch")
    assert found == serial
    assert {path.name for path in (tmp_path / "jobs").iterdir()} >= {"results.md", "sweep.png", "samples.png"}
    (tmp_path / "jobs" / "k2" / "model.keras").write_text("no model")
    (tmp_path / "jobs" / "k2" / "metrics.json").unlink()
    with pytest.raises(ValueError, match=r"Expected 2 K without errors\. Received: 1 with one, K = 2; see"):
        sweep.sweep(CONFIG, [1, 2], tmp_path / "jobs", 5, 20, False, pretended()[1])
    assert "K = 2: error: Invalid value received" in capsys.readouterr().out


def dies_once(place):
    """What a process does that the system kills, and the next one that does the same."""
    if not place.exists():
        place.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.environ["TF_NUM_INTRAOP_THREADS"], Path.cwd()


def refuses():
    print("so far", flush=True)
    raise ValueError("Invalid value received for `x`.")


@pytest.mark.long
def test_a_process_that_is_killed_is_followed_by_another_beside_one_with_an_error(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")])))
    monkeypatch.chdir(tmp_path)
    made = [
        Job("killed", functools.partial(dies_once, tmp_path / "died"), Path("logs/killed.txt")),
        Job("refused", refuses, Path("logs/refused.txt")),
    ]
    with job_processes(2) as jobs:
        found = {ended.job.name: (ended.result, ended.error) for ended in jobs.run(made)}
    cores = len(os.sched_getaffinity(0))
    assert found == {
        "killed": ((str(max(1, cores // 2)), tmp_path), None),
        "refused": (None, "Invalid value received for `x`."),
    }
    killed, refused = (Path(f"logs/{name}.txt").read_text().splitlines() for name in ("killed", "refused"))
    processes = [re.search(r"killed, process (\d+) on", line)[1] for line in killed]
    assert len(set(processes)) == 2
    assert refused[1:] == ["so far", "error: Invalid value received for `x`."]


def ended(path):
    """Whether no process does the job of this log any more."""
    with open(path) as log:
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def wait_for(condition, process):
    until = time.monotonic() + 300
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)


def passes_of(run):
    with contextlib.suppress(FileNotFoundError):
        return len((run / "history.csv").read_text().splitlines()) - 1
    return 0


def numbers(found):
    """A result but for times, and the digest of a file that has its date in it."""
    changing = {"seconds", "seconds_training", "seconds_evaluation", "date", "command", "model_digest"}
    if isinstance(found, dict):
        return {name: numbers(value) for name, value in found.items() if name not in changing}
    return found


@pytest.mark.long
def test_ctrl_c_then_a_kill_then_the_same_command_gives_the_results_of_one_process(tmp_path, as_here):
    pytest.importorskip("ray")
    names, root = ["digits-iwae-k5-l1", "digits-vae-k1-l1"], tmp_path / "jobs"
    options = ["--stages", "3", "--k", "20", "--limit", "10", "--out", str(root), "--workers", "2"]
    command = [sys.executable, SCRIPT, "--row", *names, *options]

    def begin():
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=as_here)

    process = begin()
    wait_for(lambda: all(passes_of(root / name) for name in names), process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert err.strip() == "reproduce.py: stopped; the same command goes on from the last whole epoch"
    for name in names:
        assert re.search(rf"^{name} .* of 3280 passes.*; stopped$", out, re.M)
    log, stopped = root / "logs" / f"{names[0]}.txt", passes_of(root / names[0])
    until = time.monotonic() + 60
    while not ended(log):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert stopped < 13
    process = begin()
    wait_for(lambda: passes_of(root / names[0]) > stopped, process)
    os.kill(int(re.findall(r"process (\d+) on", log.read_text())[-1]), signal.SIGKILL)
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, out + err
    assert len(re.findall(r"process (\d+) on", log.read_text())) == 3
    assert "running" not in out
    serial = tmp_path / "serial"
    reproduce_rows(names, None, serial, Asked(stages=3, num_samples=20, limit=10))
    for name in names:
        one, other = (row_states.result_of(name, folder) for folder in (serial, root))
        assert one["passes"] == 13
        assert numbers(other) == numbers(one)
