#!/usr/bin/env python
"""Run docs/tables.md from top to bottom, and write into it what its Python prints, with its picture.

examples:
  python benchmarks/tables_page.py
"""

import argparse
import contextlib
import io
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
PAGE, PICTURE = ROOT / "docs" / "tables.md", ROOT / "docs" / "images" / "tables.png"
# A block, and what it printed when the page was written.
BLOCK = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)


def run(page: str) -> tuple[list[str], dict[str, Any]]:
    """What each block of Python prints, and the names that there are in the end; files are left in this folder."""
    names: dict[str, Any] = {"__name__": "tables"}
    printed = []
    for block in BLOCK.finditer(page):
        with contextlib.redirect_stdout(io.StringIO()) as text:
            exec(block[1], names)
        printed.append(text.getvalue())
    return printed, names


def draw(found: dict[str, Any], terms: list[str]) -> None:
    """Coefficients with their 95 % intervals, a panel for each."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 2.6), layout="constrained")
    colors = ["#222222", "#8a8a80", "#b5452c", "#1f5a99"]
    for place, (axes, term) in enumerate(zip(figure.subplots(1, len(terms), sharey=True), terms, strict=True)):
        for line, (estimate, squared_error) in enumerate(found.values()):
            half = 1.96 * squared_error[place] ** 0.5
            axes.errorbar(estimate[place], line, xerr=half, fmt="o", color=colors[line], capsize=3)
        axes.axvline(next(iter(found.values()))[0][place], color=colors[0], linewidth=0.6, linestyle=":")
        axes.set_yticks(range(len(found)), list(found))
        axes.invert_yaxis() if place == 0 else None
        axes.set_title(term, loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)
    figure.savefig(PICTURE, dpi=110, metadata={"Software": None})


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    ).parse_args()
    page = PAGE.read_text()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        printed, names = run(page)
        os.chdir(ROOT)
    texts = iter(printed)

    def with_output(block: re.Match) -> str:
        text = next(texts)
        return f"```python\n{block[1]}```\n" + (f"\n```text\n{text}```\n" if text else "")

    PAGE.write_text(BLOCK.sub(with_output, page))
    draw(names["found"], names["TERMS"])
    print(PAGE)


if __name__ == "__main__":
    main()
