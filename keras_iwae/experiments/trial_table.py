"""The trials of a tuning as rows, best first, and these as Markdown and CSV."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_iwae.experiments.trial_journal import Journal
from keras_iwae.foundation import number_text, replacing

_NUMBERS = "epochs", "bound", "best_bound"


def trial_row(journal: Journal, number: int, settings: Mapping[str, Any], epochs: int) -> dict[str, Any]:
    """What is known of a trial.

    Args:
        journal: what was reported.
        number: the trial's.
        settings: what varies, as it was drawn.
        epochs: how many it was to be trained for.

    Returns:
        `trial`, `settings`, `epochs` that are done, `bound` after the last of them and `best_bound` in nats, `None`
        before the first, `state`, and `why` it failed, if it did.
    """
    rows = journal.of(number)
    bounds = [row["val_bound"] for row in rows]
    return {
        "trial": number,
        "settings": dict(settings),
        "epochs": int(rows[-1]["epoch"]) if rows else 0,
        "bound": bounds[-1] if bounds else None,
        "best_bound": max(bounds, default=None),
        "state": journal.state(number, epochs),
        "why": journal.failures[number]["why"] if number in journal.failures else None,
    }


def ranked(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, those first that were trained longest, by the bound after their last epoch; failures at the end.

    A model is what it is after its last epoch, so that a better bound on the way there does not count.
    """

    def rank(row: Mapping[str, Any]) -> tuple:
        bound = row["bound"]
        return row["state"] == "failed", -row["epochs"], 0.0 if bound is None else -bound, row["trial"]

    return sorted(rows, key=rank)


def value_text(value: Any) -> str:
    """A setting's value for people: a number short, what is no text as JSON."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def settings_text(settings: Mapping[str, Any]) -> str:
    """Settings in one line."""
    return ", ".join(f"{name} {value_text(value)}" for name, value in settings.items())


def trials_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as Markdown."""
    names = list(rows[0]["settings"])
    heads = ["trial", *names, "epochs", "validation bound", "its best", "state"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "-|" * len(heads)]
    for row in rows:
        state = row["state"] if row["why"] is None else f"{row['state']}: {row['why']}".replace("|", "\\|")
        values = [value_text(row["settings"][name]) for name in names]
        bounds = [number_text(row[name]) for name in ("bound", "best_bound")]
        lines.append("| " + " | ".join(map(str, [row["trial"], *values, row["epochs"], *bounds, state])) + " |")
    return "\n".join(lines)


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows with a column for each setting."""
    names = list(rows[0]["settings"])
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["trial", *names, *_NUMBERS, "state", "why"])
        for row in rows:
            values = [row["settings"][name] for name in names]
            texts = [json.dumps(value) if isinstance(value, (list, tuple)) else value for value in values]
            writer.writerow([row["trial"], *texts, *(row[name] for name in _NUMBERS), row["state"], row["why"]])
