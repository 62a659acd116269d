"""What docs/results.md says was aimed at and not run follows from the results."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
from _aims import AIMS, OFFERED, aims, not_run

from keras_iwae.experiments.paper_table import ROWS


def record(row: str, **nlls: float) -> dict:
    return {"row": row, **{name: {"nll": nll} for name, nll in nlls.items()}}


def met(table: str, row: str) -> list[str]:
    return [line.split("|")[-2].strip() for line in table.splitlines() if f"`{row}`" in line]


def test_an_aim_is_met_missed_or_not_run():
    table = aims([record("mnist-iwae-k50-l1-fast", nll_test=85.0), record("mnist-iwae-k50-vamp-fast", nll_test=82.0)])
    assert met(table, "mnist-iwae-k50-l1-fast") == ["yes"]
    assert met(table, "mnist-iwae-k50-vamp-fast") == ["missed by 0.10", "not run"]
    assert met(table, "mnist-iwae-k50-l2-long") == ["not run"]


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
