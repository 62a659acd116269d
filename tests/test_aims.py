"""What docs/results.md and docs/performance.md say was aimed at, met, missed or not run follows from their files."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
from _aims import AIMS, OFFERED, aims, not_run
from _targets import targets

from keras_iwae.experiments.paper_table import ROWS


def record(row: str, complete: bool = True, **nlls: float) -> dict:
    return {"row": row, "complete": complete, **{name: {"nll": nll} for name, nll in nlls.items()}}


def met(table: str, row: str) -> list[str]:
    return [line.split("|")[-2].strip() for line in table.splitlines() if f"`{row}`" in line]


def test_an_aim_is_met_missed_or_not_run():
    table = aims([record("mnist-iwae-k50-l1-fast", nll_test=85.0), record("mnist-iwae-k50-vamp-fast", nll_test=82.0)])
    assert met(table, "mnist-iwae-k50-l1-fast") == ["yes"]
    assert met(table, "mnist-iwae-k50-vamp-fast") == ["missed by 0.10", "not run"]
    assert met(table, "mnist-iwae-k50-l2-long") == ["not run"]


def test_a_run_that_was_stopped_or_judged_on_a_few_images_meets_no_aim():
    row = "mnist-iwae-k50-l1-long"
    stopped = [record(row, complete=False, nll_test=83.0)]
    assert met(aims(stopped), row) == ["not complete"]
    assert "`iwae-k50-l1-long`" in not_run(stopped, list(ROWS)).splitlines()[0]


def test_what_is_aimed_at_are_rows_that_can_be_run():
    assert {row for _, row, _, _ in AIMS} <= set(ROWS)


def test_rows_without_a_result_are_named():
    nothing = not_run([], list(ROWS)).splitlines()
    assert [line.split(":")[0] for line in nothing] == [f"- {name}" for name in OFFERED]
    assert "`vae-k1-l1-fast`, `vae-k5-l1-fast`" in nothing[0]
    assert "`iwae-k50-l2-long`" in nothing[0]
    # Of two names of one run there is one, whichever has the result.
    assert "iwae-k1-" not in nothing[0]
    one = not_run([record("mnist-iwae-k1-l2-fast")], list(ROWS)).splitlines()[0]
    assert "`vae-k1-l2-fast`" not in one
    assert "`vae-k1-l2-fast`" in nothing[0]
    assert not_run([record(row) for row in ROWS], list(ROWS)).splitlines()[0] == "- mnist: none"


def at_90(seconds: float | None) -> dict:
    return {"90": None if seconds is None else {"seconds": seconds}}


@pytest.mark.parametrize(
    ("peer", "reached", "said"),
    [(250.0, "0.40 (0.40 to 0.40)", "yes"), (150.0, "0.67 (0.67 to 0.67)", "no"), (None, "not reached in 6 min", "no")],
)
def test_seconds_to_a_likelihood_are_those_of_the_fastest_on_either_side(peer, reached, said):
    sides = {"keras_iwae": at_90(120.0), "keras_iwae, fast recipe": at_90(100.0), "Pyro": at_90(999.0)}
    one = sides | {"PyTorch": at_90(peer)} if peer else {name: at_90(None) for name in sides}
    files = {"time_to_nll": {"reached": [one], "settings": {"minutes": 6.0, "thresholds": [95.0, 90.0]}}}
    table = targets(files.get, []).splitlines()
    assert table[-1] == f"| seconds to 90 nats, to the fastest peer's, at most | 0.5 | {reached} | {said} |"


@pytest.mark.parametrize(
    ("rounds", "reached"),
    [
        ([(9.0, None)], "no peer got there in 6 min | yes"),
        # Of a peer that takes 361 seconds, more than half.
        ([(9.0, None), (200.0, None)], "no peer got there in 6 min | no"),
        ([(100.0, 60.0), (100.0, None)], "not reached in 6 min | no"),
    ],
)
def test_a_likelihood_that_no_peer_reached_is_reached_sooner(rounds, reached):
    rounds = [{"keras_iwae": at_90(ours), "PyTorch": at_90(theirs)} for ours, theirs in rounds]
    files = {"time_to_nll": {"reached": rounds, "settings": {"minutes": 6.0, "thresholds": [90.0]}}}
    assert targets(files.get, []).splitlines()[-1].endswith(f"| 0.5 | {reached} |")


def test_what_could_not_be_compared_meets_and_misses_nothing():
    rows = [
        {"estimator": "reparameterized, m = 8", "to the first row": text}
        for text in ("none: other images", "0.07 ± 0.02")
    ]
    assert targets({}.get, rows).splitlines()[2:] == targets({}.get, rows[1:]).splitlines()[2:]
    assert targets({}.get, rows[:1]) == "*Not run yet.*"


def test_what_was_measured_without_a_peer_or_threshold_meets_and_misses_nothing():
    settings, step = {"minutes": 6.0, "thresholds": [90.0]}, {"batch_size": 100, "num_samples": 50}
    own = {"side": "keras_iwae", **step, "backward_samples": None, "share_of_products": {"median": 0.8}}
    alone = {"train_step": {"rows": [own]}, "time_to_nll": {"reached": [{"keras_iwae": at_90(9.0)}]}}
    alone["time_to_nll"]["settings"] = settings
    assert len(targets(alone.get, []).splitlines()) == 3
    assert "share of the matrix products' rate | 75% | 80% | yes |" in targets(alone.get, [])
    others = {"reached": [{"keras_iwae": {"95": None}, "PyTorch": {"95": None}}]}
    others["settings"] = settings | {"thresholds": [95.0]}
    assert targets({"time_to_nll": others}.get, []) == "*Not run yet.*"


def test_the_nll_is_held_against_the_fastest_peer():
    speeds = {"a": {"median": 4.0, "low": 3.9, "high": 4.1}, "b": {"median": 1.5, "low": 1.4, "high": 1.6}}
    own = {"side": "keras_iwae", "share_of_products": {"median": 0.6}, "times_as_fast_as": speeds}
    memory = [{"side": "keras_iwae", "peak": 2**30, "base": 0}]
    table = targets({"nll": {"rows": [own], "memory": memory}}.get, [])
    assert "| NLL at K = 5000, to b | 3 | 1.50 (1.40 to 1.60) | no |" in table
    assert "to a" not in table
