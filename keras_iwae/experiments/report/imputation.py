"""A page about a table that was filled in: what was missing, what was put in, and which rows are unsteady."""

import csv
import itertools
import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_iwae.experiments.report.blocks import Missing, Picture, attempt, chart
from keras_iwae.experiments.report.numbers import Fact, settings_rows
from keras_iwae.experiments.report.templates import rendered
from keras_iwae.foundation import check_ending, percent_text, replacing
from keras_iwae.plots import tables as charts
from keras_iwae.tables import Column, FilledFiles, TableFile, dialect_of, open_filled, open_table

_CHUNK = 5_000
# Values of a column that are drawn, rows and patterns that are shown, and columns of a picture.
_VALUES, _SHOWN, _PATTERNS, _PANELS, _COLUMNS = 20_000, 20, 12, 24, 40
# What verdicts on rows begin with: of those that were judged, and of those with too few samples for it.
_STEADY, _UNSTEADY, _UNKNOWN = "steady", "unsteady", "not judged"


def check_page(path: str | os.PathLike) -> Path:
    """The path of a page, by its ending, to be asked before there is anything to write."""
    return check_ending("report", path, ".html", ".htm")


def write_imputation_report(files: FilledFiles, path: str | os.PathLike) -> Path:
    """Write one self-contained HTML page about what `keras_iwae.tables.impute_file` filled in.

    Args:
        files: what it wrote.
        path: the page.

    Returns:
        the page.

    Raises:
        ValueError: if `path` is no name of a page.
    """
    path = check_page(path)
    page = rendered("imputation.html", _contents(files))
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _opened(files: FilledFiles) -> tuple[TableFile, TableFile]:
    """The file with gaps, and one without, of the same columns."""
    missing, ignore, kinds = (files.settings[name] for name in ("missing", "ignore", "kinds"))
    drawn = files.imputations[0] if files.imputations else files.filled
    # A first column without gaps might be taken for the names of the rows, unless it is said what it is.
    return open_table(files.source, missing, ignore, kinds), open_filled(drawn, ignore, files.columns)


class _Gaps:
    """What was missing and what was put in, of the file with gaps and of one without, read side by side."""

    def __init__(self, source: TableFile, filled: TableFile):
        self.missing, self.patterns = np.zeros(len(source.names), int), Counter[bytes]()
        rng, observed_cells = np.random.default_rng(0), np.array([source.facts[name].count for name in source.names])
        # A few gaps of many rows would hardly be seen among as large a share of them as of what was observed.
        shares = [_VALUES / np.maximum(cells, 1) for cells in (observed_cells, source.num_rows - observed_cells)]
        observed: dict[str, list] = {name: [] for name in source.names}
        imputed: dict[str, list] = {name: [] for name in source.names}
        for (_, before), (_, after) in zip(source.chunks(_CHUNK), filled.chunks(_CHUNK), strict=True):
            gaps = before.isna().to_numpy()
            self.missing += gaps.sum(axis=0)
            found, counts = np.unique(np.packbits(gaps, axis=1), axis=0, return_counts=True)
            self.patterns.update({pattern.tobytes(): int(count) for pattern, count in zip(found, counts, strict=True)})
            drawn = rng.random(len(before))
            for name, gap, of_observed, of_imputed in zip(source.names, gaps.T, *shares, strict=True):
                observed[name].append(before[name][(drawn < of_observed) & ~gap])
                imputed[name].append(after[name][(drawn < of_imputed) & gap])
        self.observed, self.imputed = ({name: _values(p) for name, p in part.items()} for part in (observed, imputed))


def _values(parts: list[pd.Series]) -> np.ndarray:
    values = pd.concat(parts)
    return values.to_numpy(float) if pd.api.types.is_numeric_dtype(values.dtype) else values.astype(str).to_numpy()


def _contents(files: FilledFiles) -> dict:
    """Every name that the template uses."""
    source, drawn = _opened(files)
    gaps = _Gaps(source, drawn)
    total, cells = int(gaps.missing.sum()), files.num_rows * len(source.names)
    verdicts, unsteady = _verdicts(files.rows, source)
    incomplete, judged, verdict = sum(verdicts.values()), _count(verdicts, _STEADY, _UNSTEADY), _judged(verdicts)
    verdicts["complete: nothing was missing"] = files.num_rows - incomplete
    return {
        "name": files.filled.name,
        "source": files.source.name,
        "rows_file": files.rows.name,
        "written": time.strftime("%Y-%m-%d %H:%M"),
        "sentence": f"{files.num_rows:,} rows of {len(source.names)} columns. {_percent(total, cells)} of the cells "
        "were missing and have been filled in.",
        "headline": [
            Fact(f"{total:,}", "cells", "filled in"),
            Fact(f"{incomplete:,}", "rows", "had gaps"),
            *([Fact(f"{_count(verdicts, _UNSTEADY):,}", "rows", "unsteady")] if judged else []),
        ],
        "verdict": verdict,
        "verdicts": [(verdict, f"{count:,}") for verdict, count in verdicts.items() if count],
        "unsteady": unsteady,
        "patterns": attempt(lambda: _patterns(source.names, gaps, files.num_rows)),
        "columns": [
            (_measured(files.columns[name]), f"{files.columns[name].kind}, {_percent(missing, files.num_rows)} missing")
            for name, missing in zip(source.names, gaps.missing, strict=True)
        ],
        "distributions": attempt(lambda: _distributions(gaps, files.columns)),
        "distributions_caption": _caption(bool(files.imputations)),
        "trace": chart(charts.bound_trace(files.history), f"Bound by steps of training, at the end {_end(files)}"),
        "mechanism": files.settings.get("missingness") is not None,
        "use": _use(files),
        "settings": settings_rows(_told(files.settings)),
    }


def _told(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that say something, kinds as the script's option has them."""
    # A column may be called as a setting is, and would be renamed as that is.
    kinds = ", ".join(f"{name}={_kind(said)}" for name, said in settings["kinds"].items())
    return {name: value for name, value in {**settings, "kinds": kinds}.items() if value not in ([], "")}


def _kind(said: str | Column) -> str:
    if isinstance(said, str):
        return said
    levels = ("<" if said.kind == "ordinal" else ", ").join(map(str, said.categories or ()))
    return f"{said.kind}({levels})" if levels else said.kind


def _verdicts(path: Path, source: TableFile) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """How many rows have each verdict, and the unsteady rows, the worst first."""
    dialect = dialect_of(source)
    counts, worst = Counter[str](), []
    with open(path, encoding=dialect.encoding, newline="") as file:
        lines = itertools.islice(file, dialect.skipped, None)
        for row in csv.DictReader(lines, delimiter=dialect.separator):
            counts[row["verdict"]] += 1
            if row["verdict"].startswith(_UNSTEADY):
                worst.append((float(row["pareto_k"].replace(dialect.decimal, ".")), row))
    worst.sort(key=lambda pair: -pair[0])
    return dict(counts), [
        (
            f"row {row['row']}",
            f"{row['missing']} cells missing, k-hat {tail:.2f}, worth {row['effective_sample_size']} samples",
        )
        for tail, row in worst[:_SHOWN]
    ]


def _count(verdicts: Mapping[str, int], *begin: str) -> int:
    """How many rows have a verdict that begins so."""
    return sum(count for verdict, count in verdicts.items() if verdict.startswith(begin))


def _judged(verdicts: Mapping[str, int]) -> str:
    """What the verdicts on rows with gaps say together."""
    incomplete, judged = sum(verdicts.values()), _count(verdicts, _STEADY, _UNSTEADY)
    if not incomplete:
        return "Nothing was missing."
    if not judged and _count(verdicts, _UNKNOWN):
        return (
            "Whether numbers vary from seed to seed was not judged: it takes more than 20 importance samples of a row "
            "(--num-samples)."
        )
    if not judged:
        return "Whether numbers vary from seed to seed was not judged: nothing was observed of any row with gaps."
    rows = f"{judged:,} rows with gaps" if judged == incomplete else f"{judged:,} rows with gaps that were judged"
    unsteady = _count(verdicts, _UNSTEADY)
    if not unsteady:
        return (
            f"Of {rows}, none has numbers that vary much from seed to seed. Whether the model "
            "is right about them is another question, which cells that are known and left out would answer."
        )
    return (
        f"{unsteady:,} of {rows} ({_percent(unsteady, judged)}) have numbers that "
        "vary from seed to seed: a few samples have nearly all of the weight. More samples may help; it does not say "
        "that the model is wrong about these rows."
    )


def _patterns(names: list[str], gaps: _Gaps, num_rows: int) -> Picture | Missing:
    if not gaps.missing.any():
        return Missing("Nothing was missing.")
    chosen = gaps.patterns.most_common(_PATTERNS)
    packed = np.stack([np.frombuffer(pattern, np.uint8) for pattern, _ in chosen])
    patterns = np.unpackbits(packed, axis=1, count=len(names)).astype(bool)
    shown = np.sort(np.argsort(-gaps.missing, kind="stable")[:_COLUMNS])
    figure = charts.missing_patterns(
        [names[place] for place in shown],
        patterns[:, shown],
        [count for _, count in chosen],
        [gaps.missing[place] / num_rows for place in shown],
    )
    return chart(
        figure, f"The {len(chosen)} most frequent of {len(gaps.patterns)} patterns of gaps, over {len(shown)} columns"
    )


def _measured(column: Column) -> str:
    return str(column.name) if column.unit is None else f"{column.name}, {column.unit}"


def _distributions(gaps: _Gaps, columns: Mapping[str, Column]) -> Picture | Missing:
    order = sorted(gaps.imputed, key=lambda name: -len(gaps.imputed[name]))
    names = [name for name in order if len(gaps.imputed[name])][:_PANELS]
    if not names:
        return Missing("Nothing was put in.")
    titles = {name: _measured(columns[name]) for name in names}
    parts = ({titles[name]: part[name] for name in names} for part in (gaps.observed, gaps.imputed))
    figure = charts.distributions(*parts)
    return chart(figure, f"Observed values and those that were put in, of {', '.join(names)}")


def _caption(draws: bool) -> str:
    ends = " What is far out is counted in the bars at the ends."
    if draws:
        return (
            "Cells that were there, and the draws of the first imputation. Where gaps fall on rows of another kind "
            f"than others the two differ, and rightly; a difference without a reason is a reason to look.{ends}"
        )
    return (
        "Cells that were there, and the means and most probable levels that were put in. Means vary less than what "
        f"they stand for; draws, which --imputations writes, vary as much.{ends}"
    )


def _use(files: FilledFiles) -> str:
    table, draws = files.filled.name, files.imputations
    if draws:
        return (
            f"For averages, regressions and tests, run the same analysis on each of the {len(draws)} files from "
            f"{draws[0].name} on and pool the results by Rubin's rules, as keras_iwae.tables.pool does: the "
            f"differences between them are what the gaps cost. {table} is for looking at, and for programs that need "
            "one table."
        )
    return (
        f"{table} has the best single guess for each gap. An analysis that takes guesses for measurements is too "
        "sure of itself: for averages, regressions and tests, have --imputations 20 write files with draws, run the "
        "analysis on each, and pool the results."
    )


def _end(files: FilledFiles) -> str:
    last = files.history[-1]
    return f"{last['bound']:.2f} nats" if "bound" in last else f"{last['weighted_bound']:.2f}, of weighted columns"


def _percent(part: int, whole: int) -> str:
    return percent_text(part / max(whole, 1))
