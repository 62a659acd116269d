"""What was aimed at in docs/results.md, beside what was found, and which rows of its tables nobody ran yet."""

from collections.abc import Mapping, Sequence

from _page import markdown

# What it is, the row, which of its NLLs, and the most that it was to be.
AIMS = (
    ("one layer, the paper's network", "mnist-iwae-k50-l1-fast", "nll_test", 85.0),
    ("", "mnist-iwae-k50-l1-long", "nll_test", 84.5),
    ("two layers, the paper's network", "mnist-iwae-k50-l2-fast", "nll_test", 83.9),
    ("", "mnist-iwae-k50-l2-long", "nll_test", 83.0),
    ("one layer, gated, VampPrior", "mnist-iwae-k50-vamp-fast", "nll_test", 81.9),
    ("the same, adapted", "mnist-iwae-k50-vamp-fast", "nll_adapted", 81.7),
    ("", "mnist-iwae-k50-vamp-long", "nll_test", 81.9),
    ("the same, adapted", "mnist-iwae-k50-vamp-long", "nll_adapted", 81.7),
    ("Omniglot, one layer", "omniglot_28x28-iwae-k50-l1-fast", "nll_test", 104.3),
    ("", "omniglot_28x28-iwae-k50-l1-long", "nll_test", 104.3),
    ("OCR letters, one layer: NADE's", "ocr_letters-iwae-k50-l1-fast", "nll_test", 27.22),
)
# Of these data sets the images are there for everyone; rows of others wait for who has them.
OFFERED = "mnist", "omniglot_28x28", "ocr_letters"


def aims(records: Sequence[Mapping]) -> str:
    """A table of what was aimed at: met, missed by how much, or not run, with all passes and on all test images."""
    by_row = {record["row"]: record for record in records}

    def found(row: str, quantity: str, most: float) -> tuple[str, str]:
        if row not in by_row or quantity not in by_row[row]:
            return "-", "not run"
        if not by_row[row]["complete"]:
            return "-", "not complete"
        nll = by_row[row][quantity]["nll"]
        return f"{nll:.2f}", "yes" if nll <= most else f"missed by {nll - most:.2f}"

    lines = [[what, f"`{row}`", f"{most:.2f}", *found(row, quantity, most)] for what, row, quantity, most in AIMS]
    return markdown(["NLL at most", "row", "aimed at", "found", "met"], lines)


def not_run(records: Sequence[Mapping], rows: Sequence[str]) -> str:
    """A line for each data set: the rows of the shorter recipes that have no complete result."""
    there = {record["row"] for record in records if record["complete"]}
    # With one sample the two bounds are one, and one run is both rows.
    there |= {row.replace("iwae-k1-", "vae-k1-") for row in there}
    lines = []
    for name in OFFERED:
        of_name = [row for row in rows if row.startswith(f"{name}-") and row.endswith(("-fast", "-long"))]
        waiting = [row for row in of_name if row not in there and "-iwae-k1-" not in row and "-then-" not in row]
        lines.append(f"- {name}: {', '.join(f'`{row.removeprefix(name)[1:]}`' for row in waiting) or 'none'}")
    return "\n".join(lines)
