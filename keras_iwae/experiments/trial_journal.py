"""What trials of a tuning have reported, in order, and which of them were stopped by it or failed.

OUT/reports.csv      a row for each epoch: trial, epoch, val_bound, and stopped, 1 where the trial was then stopped
OUT/failures.json    for each trial that failed why, and whether another attempt may end otherwise

A report is written before what was decided by it takes effect, so that a tuning which is killed goes on with the
decisions that it made. One process writes.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

from keras_iwae.foundation import write_json
from keras_iwae.training import runs

_COLUMNS = "trial", "epoch", "val_bound", "stopped"


class Journal:
    """The reports of a tuning's folder.

    Args:
        out: the folder.

    Raises:
        ValueError: if a file is damaged.
    """

    def __init__(self, out: Path):
        self._reports, self._failures = out / "reports.csv", out / "failures.json"
        self.rows = runs.read_rows(self._reports, *_COLUMNS)
        self._of: defaultdict[int, list[dict[str, float]]] = defaultdict(list)
        for row in self.rows:
            self._of[int(row["trial"])].append(row)
        self.failures: dict[int, dict[str, Any]] = {
            int(number): failure for number, failure in runs.read_json(self._failures).items()
        }

    def of(self, trial: int) -> list[dict[str, float]]:
        """The rows of a trial."""
        return self._of[trial]

    def report(self, trial: int, epoch: int, bound: float, stopped: bool) -> None:
        """Add a row."""
        row = dict(zip(_COLUMNS, map(float, (trial, epoch, bound, stopped)), strict=True))
        self.rows.append(row)
        self._of[trial].append(row)
        runs.write_rows(self._reports, self.rows)

    def fail(self, trial: int, why: str, again: bool = False) -> None:
        """Say that a trial failed.

        Args:
            trial: its number.
            why: one sentence.
            again: whether another start is to try it again, as one that had no room.
        """
        self.failures[trial] = {"why": why, "again": again}
        self._write_failures()

    def forgive(self) -> None:
        """Forget the failures that are to be tried again."""
        kept = {number: failure for number, failure in self.failures.items() if not failure["again"]}
        if kept != self.failures:
            self.failures = kept
            self._write_failures()

    def _write_failures(self) -> None:
        write_json(self._failures, {str(number): failure for number, failure in self.failures.items()})

    def state(self, trial: int, epochs: int) -> str:
        """ "failed", "stopped", "trained" to its last epoch, or "begun"."""
        rows = self.of(trial)
        if trial in self.failures:
            return "failed"
        if rows and rows[-1]["stopped"]:
            return "stopped"
        return "trained" if rows and rows[-1]["epoch"] == epochs else "begun"
